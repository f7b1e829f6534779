//go:build unix

package network

import (
	"os"
	"os/exec"
	"syscall"
)

func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// terminate asks the process to stop.
func (p *Process) terminate() error {
	process, err := os.FindProcess(p.PID)
	if err != nil || !p.alive() {
		return err
	}
	return process.Signal(syscall.SIGTERM)
}
