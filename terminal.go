package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// errNoTerminal is the kind of the errors about questions that nobody can
// answer.
var errNoTerminal = errors.New("there is no terminal to ask on")

// onTerminal reports whether somebody can be asked: standard input is a
// terminal.
func onTerminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

// ask asks on the terminal, on standard error so that results stay clean.
func ask(ctx context.Context, question string) (string, error) {
	return prompt(ctx, question, func() (string, error) {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		return strings.TrimSpace(line), err
	})
}

// askSecret is ask without showing what is typed.
func askSecret(ctx context.Context, question string) (string, error) {
	return prompt(ctx, question, func() (string, error) {
		defer fmt.Fprintln(os.Stderr)
		b, err := term.ReadPassword(int(os.Stdin.Fd()))
		return string(b), err
	})
}

// prompt runs read, and gives up when ctx ends: the goroutine that still waits
// for the terminal then ends with the program.
func prompt(ctx context.Context, question string, read func() (string, error)) (string, error) {
	fd := int(os.Stdin.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("reading the terminal: %w", err)
	}
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	fmt.Fprint(os.Stderr, question)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case a := <-answers:
		if errors.Is(a.err, io.EOF) {
			a.err = errors.New("no answer was given")
		}
		return a.text, a.err
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr)
		return "", errors.Join(ctx.Err(), term.Restore(fd, state)) // the echo was off
	}
}

// How often progress is shown: a line that moves on a terminal, one line after
// another elsewhere.
const (
	barEvery = 200 * time.Millisecond
	logEvery = 3 * time.Second
)

// showProgress shows how far long work has come, in whatever is counted. end
// ends it.
func showProgress(w *os.File, work string) (progress func(done, total int64), end func()) {
	terminal := canMove(w)
	every, shown := logEvery, false
	if terminal {
		every = barEvery
	}
	last := time.Now()
	progress = func(done, total int64) {
		if time.Since(last) < every {
			return
		}
		last, shown = time.Now(), true
		percent := done * 100 / max(total, 1)
		if terminal {
			fmt.Fprint(w, "\r", bar(work, int(percent), columns(w)))
			return
		}
		fmt.Fprintf(w, "lode: %s: %d of %d (%d %%)\n", work, done, total, percent)
	}
	return progress, func() {
		if terminal && shown {
			fmt.Fprintln(w)
		}
	}
}

// bar shows percent of some work in less than width columns: in the last one the
// cursor would wrap, and the next bar would begin a line of its own.
func bar(work string, percent, width int) string {
	const most, least = 40, 10
	number := fmt.Sprintf(" %3d %%", percent)
	room := min(width-1-len(work)-len(" []")-len(number), most)
	if room < least {
		return cutTo(work+number, width-1)
	}
	full := min(percent, 100) * room / 100
	return work + " [" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]" + number
}

// cutTo is the end of a line of ASCII that fits into so many columns.
func cutTo(line string, width int) string {
	return line[max(0, len(line)-max(width, 0)):]
}

// canMove reports whether w is a terminal on which a line can be written over.
func canMove(w *os.File) bool {
	return term.IsTerminal(int(w.Fd())) && os.Getenv("TERM") != "dumb"
}

// columns is how wide a terminal is now; 80 where it does not say.
func columns(w *os.File) int {
	if width, _, err := term.GetSize(int(w.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// screen is an output whose last line on a terminal tells how things are; what
// is written goes above it.
type screen struct {
	w        io.Writer
	terminal bool
	width    func() int // columns

	mu   sync.Mutex // guards what follows, and w
	line string
}

func newScreen(w io.Writer) *screen {
	f, ok := w.(*os.File)
	s := &screen{w: w, terminal: ok && canMove(f), width: func() int { return 80 }}
	if s.terminal {
		s.width = func() int { return columns(f) }
	}
	return s
}

// clearLine goes to the beginning of the line and empties it (ECMA-48, EL).
const clearLine = "\r\x1b[K"

// Write writes whole lines.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.w.Write(p)
	}
	_, err := fmt.Fprintf(s.w, "%s%s%s", clearLine, p, s.line)
	return len(p), err
}

// status shows another last line.
func (s *screen) status(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = line[:min(len(line), max(s.width()-1, 0))] // else it wraps, and cannot be cleared
	fmt.Fprint(s.w, clearLine, s.line)
}

// close leaves the last line as it is.
func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != "" {
		s.line = ""
		fmt.Fprintln(s.w)
	}
}
