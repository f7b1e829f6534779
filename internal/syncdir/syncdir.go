// Package syncdir makes the entries of a directory survive a power cut.
package syncdir

import (
	"errors"
	"os"
	"runtime"
)

// Sync waits until the files that were made, renamed or removed in dir are so on
// the disk. Windows has no such call for directories: there it does nothing.
func Sync(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
