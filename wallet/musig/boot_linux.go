package musig

import (
	"os"
	"strings"
)

// boot is the random number that Linux takes at every start.
func boot() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
