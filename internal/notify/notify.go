// Package notify runs an operator's commands when something happens, as Bitcoin
// Core's options -blocknotify and the like do. What is put into a command cannot end
// it or begin another: it is hex, or text of harmless characters in quotes.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	maxRunning = 4    // commands at once
	maxWaiting = 1000 // commands that wait for those
	patience   = 10 * time.Second
)

// Runner runs commands in a shell, some at a time, in the order in which they were
// given. One that fails is logged, and matters to nobody else.
type Runner struct {
	log     *slog.Logger
	stop    context.CancelFunc
	lines   chan string
	workers sync.WaitGroup

	mu     sync.Mutex // guards what follows
	closed bool
	told   bool // that some are left out
}

// New begins to run commands.
func New(log *slog.Logger) *Runner {
	ctx, stop := context.WithCancel(context.Background())
	r := &Runner{log: log, stop: stop, lines: make(chan string, maxWaiting)}
	for range maxRunning {
		r.workers.Go(func() {
			for line := range r.lines {
				r.run(ctx, line)
			}
		})
	}
	return r
}

// Run has a command run, with value in the place of every %s in it. It does not wait
// for it. An empty command is none.
func (r *Runner) Run(command, value string) {
	if command == "" {
		return
	}
	line := strings.ReplaceAll(command, "%s", value)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	select {
	case r.lines <- line:
		r.told = false
	default:
		if !r.told {
			r.log.Warn("too many commands wait: some are left out", "command", line)
		}
		r.told = true
	}
}

// Close waits for the commands that were given, but no longer than ten seconds: then
// those that run are ended.
func (r *Runner) Close() {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.lines)
	}
	r.mu.Unlock()
	timer := time.AfterFunc(patience, r.stop)
	defer timer.Stop()
	r.workers.Wait()
	r.stop()
}

func (r *Runner) run(ctx context.Context, line string) {
	if ctx.Err() != nil {
		return
	}
	shell, flag := "/bin/sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	cmd := exec.CommandContext(ctx, shell, flag, line)
	cmd.WaitDelay = time.Second // for what it has begun in the background, which goes on
	err := cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		r.log.Warn("a command of the operator failed", "status", e.ExitCode(), "command", line)
	} else if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		r.log.Warn("a command of the operator could not be run", "error", err)
	}
}

// Quote makes of a text one word for a shell. Characters that no sentence needs are
// left out.
func Quote(text string) string {
	const harmless = " .,;-_/:?@()"
	safe := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune(harmless, c):
			return c
		}
		return -1
	}, text)
	return "'" + safe + "'"
}
