package network

import (
	"bytes"
	"fmt"
	"os"
)

// startedAt is when a process was started, in clock ticks since the boot of the
// machine (proc_pid_stat(5), field 22). One that has ended, and that nobody has asked
// about yet, is none any more.
func startedAt(pid int) (string, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	i := bytes.LastIndex(stat, []byte(") ")) // the name of the program before it may hold anything
	fields := bytes.Fields(stat[i+1:])
	const state, started = 0, 22 - 3
	if i < 0 || len(fields) <= started || bytes.Equal(fields[state], []byte("Z")) || bytes.Equal(fields[state], []byte("X")) {
		return "", false
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return fmt.Sprintf("%s+%s", bytes.TrimSpace(boot), fields[started]), true
}
