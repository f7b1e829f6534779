package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// stuckWriter is an output whose reader does not read before it is freed.
type stuckWriter struct {
	freed chan struct{}
	mu    sync.Mutex
	text  bytes.Buffer
	err   error
}

func (s *stuckWriter) Write(p []byte) (int, error) {
	<-s.freed
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	return s.text.Write(p)
}

func (s *stuckWriter) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// TestLogReaderStopsReading: no line waits for the reader, memory is bounded, and
// what was dropped is counted in the log itself.
func TestLogReaderStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuckWriter{freed: make(chan struct{})}
		w := newLogWriter(out)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		write := func(n int) {
			for range n {
				if _, err := w.Write(line); err != nil {
					t.Error(err)
				}
			}
		}
		write(1)
		synctest.Wait() // it is in the hands of the writer
		write(maxLogQueue/len(line) + 7)
		w.mu.Lock()
		if len(w.queue) > maxLogQueue || w.lost != 7 {
			t.Errorf("%d bytes wait, %d lines are lost", len(w.queue), w.lost)
		}
		w.mu.Unlock()
		close(out.freed)
		synctest.Wait()
		w.close()
		if got, want := strings.Count(out.text.String(), "xxx\n"), maxLogQueue/len(line)+1; got != want {
			t.Errorf("%d lines, want %d", got, want)
		}
		if !strings.HasSuffix(out.text.String(), "lines=7\n") {
			t.Errorf("the last line is %q", out.text.String()[out.text.Len()-200:])
		}
	})
}

// TestLogReaderNeverReads: closing gives up on a reader after a while.
func TestLogReaderNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuckWriter{freed: make(chan struct{})}
		w := newLogWriter(out)
		w.Write([]byte("a\n"))
		w.close()
		close(out.freed)
	})
}

// TestLogCannotBeWritten: a full disk, or a pipe without a reader, costs lines, and
// the log goes on when it is over.
func TestLogCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stuckWriter{freed: make(chan struct{}), err: errors.New("no space left on device")}
		close(out.freed)
		w := newLogWriter(out)
		for range 3 {
			w.Write([]byte("lost\n"))
			synctest.Wait()
		}
		out.set(nil)
		w.Write([]byte("kept\n"))
		synctest.Wait()
		w.close()
		if got := out.text.String(); !strings.HasPrefix(got, "kept\ntime=") || !strings.HasSuffix(got, "lines=3\n") {
			t.Errorf("%q", got)
		}
	})
}

// TestLogFileIsOpenedAgain: what is written before it is in the renamed file, what
// comes after it in a new one.
func TestLogFileIsOpenedAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	w, err := newLogFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("a\n"))
	w.close()
	if w, err = newLogFile(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	w.Write([]byte("b\n"))
	w.close()
	for name, want := range map[string]string{name: "b\n", name + ".1": "a\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
}

// TestLogFileCannotBeOpenedAgain: the log goes on in the old file, and says why.
func TestLogFileCannotBeOpenedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := newLogFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	w.Write([]byte("b\n"))
	w.close()
	got, err := os.ReadFile(filepath.Join(dir+".old", "log"))
	if err != nil || !strings.Contains(string(got), "level=ERROR") || !strings.HasSuffix(string(got), "b\n") {
		t.Errorf("%q (%v)", got, err)
	}
}
