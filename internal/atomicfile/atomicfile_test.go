package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// onlyFile fails the test if a directory holds anything but one file.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("there is more than %s: %v, %v", filepath.Base(path), entries, err)
	}
}

func TestContentIsReplaced(t *testing.T) {
	for name, write := range map[string]func(path, content string) error{
		"Write": func(path, content string) error { return Write(path, []byte(content)) },
		"Replace": func(path, content string) error {
			return Replace(path, func(w io.Writer) error { _, err := io.WriteString(w, content); return err })
		},
	} {
		path := filepath.Join(t.TempDir(), "file")
		for _, want := range []string{"long content", "short", ""} {
			if err := write(path, want); err != nil {
				t.Fatal(name, err)
			}
			if got := content(t, path); got != want {
				t.Errorf("%s: %q is there, want %q", name, got, want)
			}
			onlyFile(t, path)
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", name, info.Mode(), err)
		}
	}
}

func TestFailureKeepsTheOldContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no more")
	err := Replace(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "half of the n")
		return errors.Join(err, failed)
	})
	if !errors.Is(err, failed) || content(t, path) != "old" {
		t.Errorf("got %v and %q, want %v and the old content", err, content(t, path), failed)
	}
	onlyFile(t, path)
}

func TestNothingIsLeftBesideWhatCannotBeReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "directory")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("a")); err == nil {
		t.Error("Write has replaced a directory")
	}
	onlyFile(t, path)
	if err := Replace(path, func(io.Writer) error { return nil }); err == nil {
		t.Error("Replace has replaced a directory")
	}
	onlyFile(t, path)
	if err := Write(filepath.Join(path, "none", "file"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that is not there: got %v", err)
	}
}

// TestUnfinishedFileIsWrittenOver, as a kill leaves one.
func TestUnfinishedFileIsWrittenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path+".new", []byte("of a process that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, func(w io.Writer) error { _, err := io.WriteString(w, "a"); return err }); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path); got != "a" {
		t.Errorf("%q is there", got)
	}
	onlyFile(t, path)
}
