package diskfree

import (
	"path/filepath"
	"runtime"
	"testing"
)

func TestBytes(t *testing.T) {
	dir := t.TempDir()
	n, ok := Bytes(dir)
	if runtime.GOOS == "linux" && (!ok || n <= 0) {
		t.Errorf("a directory for tests: %d, %v", n, ok)
	}
	if n, ok := Bytes(filepath.Join(dir, "none")); ok {
		t.Errorf("a directory that there is not has %d bytes free", n)
	}
}
