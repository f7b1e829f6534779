//go:build linux || darwin || freebsd

package diskfree

import (
	"math"

	"golang.org/x/sys/unix"
)

func free(dir string) (int64, bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	blocks, size := max(0, int64(s.Bavail)), int64(s.Bsize) // their types differ; below 0 is what is kept for root
	if size <= 0 || blocks > math.MaxInt64/size {
		return math.MaxInt64, size > 0
	}
	return blocks * size, true
}
