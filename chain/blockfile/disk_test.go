package blockfile

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReadOnlyFileCanBeRead opens a file that must not be written, as a block file on a
// medium that is read-only: also root cannot write that of the kernel.
func TestReadOnlyFileCanBeRead(t *testing.T) {
	own := filepath.Join(t.TempDir(), "blk00000.dat")
	if err := os.WriteFile(own, []byte("blocks"), 0o400); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{own, "/sys/devices/system/cpu/online"} {
		if f, err := os.OpenFile(name, os.O_RDWR, 0); err == nil || os.IsNotExist(err) {
			f.Close()
			continue
		}
		f, err := OS{}.Open(name, false)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if n, err := f.ReadAt(make([]byte, 1), 0); n != 1 {
			t.Error(err)
		}
		if _, err := (OS{}).Open(name, true); err == nil {
			t.Error("a file that has to be written is opened without")
		}
		return
	}
	t.Skip("this system has no file that cannot be written")
}
