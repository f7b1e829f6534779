package wallet

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// watched calls a function before each read.
type watched struct {
	io.Reader
	before func()
}

func (w watched) Read(b []byte) (int, error) {
	w.before()
	return w.Reader.Read(b)
}

// TestRestoredAtOnce: while a backup is read there is no wallet yet that could be opened
// without its payments, and a backup that is cut leaves nothing.
func TestRestoredAtOnce(t *testing.T) {
	w := newTestWallet(t, words(t))
	backup := filepath.Join(t.TempDir(), "backup.tar")
	if err := w.files.Backup(backup); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	files := FilesOf(filepath.Join(t.TempDir(), "w.age"))
	names := func() (list []string) {
		entries, err := os.ReadDir(filepath.Dir(files.Secret))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	read := func(content string) (made []string, err error) {
		return files.unpack(tar.NewReader(watched{strings.NewReader(content), func() {
			for _, name := range names() {
				if !strings.HasPrefix(name, ".") {
					t.Errorf("%s is there already", name)
				}
			}
		}}), int64(len(b)))
	}
	if _, err := read(string(b[:len(b)-1500])); !errors.Is(err, ErrBackup) || len(names()) > 0 {
		t.Errorf("a backup that is cut: %v, %q", err, names())
	}
	if made, err := read(string(b)); err != nil || len(made) != 3 || len(names()) != 3 {
		t.Errorf("%v, %v, %q", made, err, names())
	}
}
