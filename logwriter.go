package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"lode/internal/poke"
)

// Limits of a log.
const (
	maxLogQueue = 1 << 20         // bytes of lines that wait to be written
	logFarewell = 2 * time.Second // how long a program that ends waits for its last lines
)

// logWriter takes lines at once and writes them in the background, so that whoever
// reads a log cannot hold up the program: while the reader is too slow, or gone,
// or the disk is full, lines are dropped and counted. The count is written as a
// line of its own when writing works again.
type logWriter struct {
	open func() (io.Writer, error) // again after reopen; nil if there is only one output
	out  io.Writer                 // belongs to run
	wake chan struct{}
	done chan struct{} // closed when run has ended

	mu     sync.Mutex // guards what follows
	queue  []byte     // whole lines
	lost   int        // lines since the last report
	stale  bool       // reopen was called
	closed bool
}

// newLogWriter writes to out.
func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// newLogFile appends to the file of that name.
func newLogFile(name string) (*logWriter, error) {
	open := func() (io.Writer, error) { return os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) }
	out, err := open()
	if err != nil {
		return nil, err
	}
	w := newLogWriter(out)
	w.open = open
	return w, nil
}

// Write takes whole lines, and never waits or fails.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.closed || len(w.queue)+len(p) > maxLogQueue {
		w.lost += countLines(p)
	} else {
		w.queue = append(w.queue, p...)
	}
	w.mu.Unlock()
	w.poke()
	return len(p), nil
}

// reopen has the file opened by its name again, before anything else is written:
// whoever rotates logs has renamed it.
func (w *logWriter) reopen() {
	w.mu.Lock()
	w.stale = w.open != nil
	w.mu.Unlock()
	w.poke()
}

// close writes what waits, if that can be done within logFarewell.
func (w *logWriter) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.poke()
	select {
	case <-w.done:
	case <-time.After(logFarewell):
	}
}

func (w *logWriter) poke() { poke.Send(w.wake) }

func (w *logWriter) run() {
	defer close(w.done)
	for range w.wake {
		w.mu.Lock()
		lines, lost, stale, closed := w.queue, w.lost, w.stale, w.closed
		w.queue, w.lost, w.stale = nil, 0, false
		w.mu.Unlock()
		if stale {
			lines = append(w.renew(), lines...)
		}
		if lost > 0 { // what waited was there before them
			lines = fmt.Appendf(lines, "time=%s level=WARN msg=\"log lines were lost: they could not be written in time\" lines=%d\n",
				time.Now().Format(logTime), lost)
		}
		if len(lines) > 0 {
			if n, err := w.out.Write(lines); err != nil {
				w.mu.Lock()
				w.lost += lost + countLines(lines[n:])
				if lost > 0 {
					w.lost-- // the report itself
				}
				w.mu.Unlock()
			}
		}
		if closed {
			if c, ok := w.out.(io.Closer); ok && w.open != nil {
				c.Close()
			}
			return
		}
	}
}

// logTime is how slog's text handler writes a time.
const logTime = "2006-01-02T15:04:05.000Z07:00"

// renew opens the file again; where that fails, it goes on with the old one and
// gives a line that says so.
func (w *logWriter) renew() []byte {
	out, err := w.open()
	if err != nil {
		return fmt.Appendf(nil, "time=%s level=ERROR msg=\"the log file cannot be opened again: going on with the old one\" error=%q\n",
			time.Now().Format(logTime), err)
	}
	if c, ok := w.out.(io.Closer); ok {
		c.Close()
	}
	w.out = out
	return nil
}

func countLines(p []byte) int { return bytes.Count(p, []byte{'\n'}) }
