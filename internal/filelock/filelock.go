// Package filelock keeps two processes from using the same files at once. The
// operating system drops a lock when its process ends, however it ends.
package filelock

import (
	"errors"
	"os"
)

// ErrHeld is the error for a lock that another process, or another open file of
// this one, holds.
var ErrHeld = errors.New("in use by another process")

// Try takes the lock of an open file, which holds it until it is closed. It does
// not wait: the error is ErrHeld where it would have to.
func Try(f *os.File) error {
	err := try(f)
	if Held(err) {
		return ErrHeld
	}
	return err
}

// Held reports whether err is what the system says of files that are in use by
// another process.
func Held(err error) bool { return err != nil && held(err) }
