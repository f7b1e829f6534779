//go:build unix

package musig

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func identify(f *os.File) (identity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return identity{}, fmt.Errorf("reading the identity of %s: %w", f.Name(), err)
	}
	seconds, nanoseconds := st.Ctim.Unix()
	return identity{
		Boot:    boot(),
		Device:  uint64(st.Dev), //nolint:unconvert // its type differs by system
		Inode:   uint64(st.Ino), //nolint:unconvert
		Changed: fmt.Sprintf("%d.%09d", seconds, nanoseconds),
	}, nil
}
