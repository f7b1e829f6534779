package network

import (
	"errors"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/windows"
)

func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS}
}

// startedAt is when a process was started.
func startedAt(pid int) (string, bool) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return "", false
	}
	defer func() { _ = windows.CloseHandle(h) }()
	var made, ended, kernel, user windows.Filetime
	var status uint32
	if windows.GetProcessTimes(h, &made, &ended, &kernel, &user) != nil || windows.GetExitCodeProcess(h, &status) != nil {
		return "", false
	}
	const stillActive = 259
	return strconv.FormatInt(made.Nanoseconds(), 10), status == stillActive
}

// terminate has no way to ask a process without a console.
func (p *Process) terminate() error { return errors.ErrUnsupported }
