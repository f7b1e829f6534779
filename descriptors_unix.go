//go:build unix

package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// descriptorLimit is how many file descriptors this process may have. Go has
// raised the soft limit to the hard one already, when the process began.
func descriptorLimit() (int, bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)), true
}
