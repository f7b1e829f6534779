package network

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Process is a process that was started, and that outlives who started it. Its number
// alone does not tell it from one that got the same number later.
type Process struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // as the system says it; nothing depends on its form
}

// alive reports whether the process is there. A nil Process is not.
func (p *Process) alive() bool {
	if p == nil || p.PID <= 1 {
		return false
	}
	started, ok := startedAt(p.PID)
	return ok && started == p.Started
}

var errGone = errors.New("it ended at once")

// start runs a program in a session of its own, so that what the terminal sends
// reaches it no more, with its output at the end of a file. exited is closed when it
// ends, while this process waits for that.
func start(logFile string, env []string, program string, args ...string) (p *Process, exited <-chan struct{}, err error) {
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, env
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("starting %s: %w", program, err)
	}
	started, ok := startedAt(cmd.Process.Pid)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // its log says why
	}()
	if !ok {
		return nil, done, fmt.Errorf("starting %s: %w", program, errGone)
	}
	return &Process{cmd.Process.Pid, started}, done, nil
}

// waitGone waits until the process has ended, and reports whether it has.
func (p *Process) waitGone(limit time.Duration) bool {
	for end := time.Now().Add(limit); p.alive(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// kill ends the process at once, as a crash would.
func (p *Process) kill() error {
	if !p.alive() {
		return nil
	}
	process, err := os.FindProcess(p.PID)
	if err != nil {
		return err
	}
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if !p.waitGone(10 * time.Second) {
		return fmt.Errorf("process %d does not end", p.PID)
	}
	return nil
}

// nodeEnv is the environment of nodes: that of this process without the settings of
// lode, which are meant for the commands of whoever has them.
func nodeEnv(all []string) (env []string) {
	for _, v := range all {
		if !strings.HasPrefix(v, "LODE_") {
			env = append(env, v)
		}
	}
	return env
}
