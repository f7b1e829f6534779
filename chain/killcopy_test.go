package chain

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"
)

// copyAsKilled copies the directory of an open ledger as a kill at one instant would
// leave it. The database compacts its tables whenever it likes, so a copy counts only
// if no file came, went or changed meanwhile; else it is made again.
func copyAsKilled(from, to string) error {
	for range 1000 {
		before, err := listing(from)
		if err == nil {
			err = os.CopyFS(to, os.DirFS(from))
		}
		after, errAfter := listing(from)
		switch {
		case err == nil && errAfter == nil && same(before, after):
			return nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case errAfter != nil && !errors.Is(errAfter, fs.ErrNotExist):
			return errAfter
		}
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("the files never rested while they were copied")
}

// listing is every file below a directory, in order.
func listing(dir string) (files []fs.FileInfo, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		files = append(files, info)
		return err
	})
	return files, err
}

func same(a, b []fs.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

func TestCopyAsKilledWaits(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()+"/copy"
	done := make(chan struct{})
	if err := os.WriteFile(from+"/a0", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { // one file takes the place of another, as tables do
		defer close(done)
		for i := range byte(200) {
			old, next := from+"/a"+string('0'+i%2), from+"/a"+string('0'+(i+1)%2)
			if os.WriteFile(next, []byte{i}, 0o600) != nil || os.Remove(old) != nil {
				return
			}
		}
	}()
	if err := copyAsKilled(from, to); err != nil {
		t.Fatal(err)
	}
	<-done
	if files, err := listing(to); err != nil || len(files) == 0 || len(files) > 2 {
		t.Errorf("%d files, %v", len(files), err)
	}
}
