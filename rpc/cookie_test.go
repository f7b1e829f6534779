//go:build unix

package rpc_test

import (
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"lode/rpc"
)

func TestCookie(t *testing.T) {
	// Not parallel: the mask is that of the whole process.
	defer syscall.Umask(syscall.Umask(0))
	dir := t.TempDir()
	name := filepath.Join(dir, ".cookie")
	// What a killed node has left, readable to all.
	check(t, os.WriteFile(name, []byte("__cookie__:old"), 0o666))
	first, err := rpc.WriteCookie(name)
	check(t, err)
	b, err := os.ReadFile(name)
	check(t, err)
	if string(b) != "__cookie__:"+first || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(first) {
		t.Errorf("cookie %q for the password %q", b, first)
	}
	info, err := os.Stat(name)
	check(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	second, err := rpc.WriteCookie(name)
	check(t, err)
	if first == second {
		t.Error("the same password twice")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("files left behind: %v", entries)
	}
}

// TestCookieOverLink replaces a link, and not what it points to.
func TestCookieOverLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, other := filepath.Join(dir, ".cookie"), filepath.Join(dir, "other")
	check(t, os.WriteFile(other, []byte("precious"), 0o644))
	check(t, os.Symlink(other, name))
	_, err := rpc.WriteCookie(name)
	check(t, err)
	if b, _ := os.ReadFile(other); string(b) != "precious" {
		t.Errorf("the other file holds %q", b)
	}
	if info, err := os.Lstat(name); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestCookieCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := rpc.WriteCookie(filepath.Join(dir, "missing", ".cookie")); err == nil {
		t.Error("no error for a directory that is not there")
	}
	if _, err := rpc.WriteCookie(dir); err == nil {
		t.Error("no error for a name that is a directory")
	}
	locked := filepath.Join(dir, "locked")
	check(t, os.Mkdir(locked, 0o500))
	if os.Geteuid() != 0 { // root may write everywhere
		if _, err := rpc.WriteCookie(filepath.Join(locked, ".cookie")); err == nil {
			t.Error("no error for a directory that must not be written")
		}
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if left, _ := filepath.Glob(filepath.Join(d, ".cookie-*")); len(left) > 0 {
			t.Errorf("files left behind: %v", left)
		}
	}
}
