//go:build !windows

package notify

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandsRun(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	r := New(slog.New(slog.NewTextHandler(&log, nil)))
	for _, name := range []string{"a", "b", "c"} {
		r.Run("echo %s > "+dir+"/%s", name)
	}
	r.Run("", "x")
	r.Run("exit 3", "")
	r.Run("echo %s > "+dir+"/quoted", Quote("it's $(touch "+dir+"/bad); `x` & | > done"))
	r.Close()
	r.Run("touch "+dir+"/late", "")
	r.Close()
	for _, name := range []string{"a", "b", "c"} {
		if raw, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(raw) != name+"\n" {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "quoted")); err != nil || string(raw) != "its (touch "+dir+"/bad); x    done\n" {
		t.Errorf("quoted: %q, %v", raw, err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 4 {
		t.Errorf("files: %v", files)
	}
	if !strings.Contains(log.String(), "status=3") {
		t.Errorf("the log says nothing of a command that failed: %s", &log)
	}
}

// Commands that do not end hold up nobody: what does not fit is left out.
func TestTooManyCommands(t *testing.T) {
	var log bytes.Buffer
	r := New(slog.New(slog.NewTextHandler(&log, nil)))
	for range maxRunning + maxWaiting + 100 {
		r.Run("sleep 100", "")
	}
	if n := strings.Count(log.String(), "left out"); n != 1 {
		t.Errorf("%d lines of what is left out", n)
	}
	r.stop()
	r.Close()
}
