//go:build unix && !linux

package network

import (
	"os/exec"
	"strconv"
	"strings"
)

// startedAt is when a process was started, as ps says.
func startedAt(pid int) (string, bool) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output()
	state, started, ok := strings.Cut(strings.TrimSpace(string(out)), " ")
	if err != nil || !ok || strings.HasPrefix(state, "Z") {
		return "", false
	}
	return strings.TrimSpace(started), true
}
