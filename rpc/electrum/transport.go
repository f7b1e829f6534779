package electrum

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// transport carries messages. One goroutine reads and one writes.
type transport interface {
	// read gives the next message, which is valid until the next call. It waits for
	// its first byte as long as it is told.
	read(idle time.Duration) ([]byte, error)
	// forget gives back what the last message took. Who has read calls it in the end.
	forget()
	// write sends messages.
	write(messages [][]byte) error
	// close ends what reads and what writes. Anybody may call it, and again.
	close()
}

var (
	errLong  = fmt.Errorf("a request is longer than %d bytes", maxLine)
	errHalf  = errors.New("a request was begun and not ended")
	errLines = errors.New("too many long requests at once")
	errForm  = errors.New("its first message is no JSON object")
)

// lines is a transport whose messages end with a newline.
type lines struct {
	s     *Server
	net   net.Conn
	r     *bufio.Reader
	buf   []byte // of a line that is longer than the reader's
	taken int64  // of Server.lines
	first bool   // nothing has been read yet
}

func newLines(s *Server, nc net.Conn) *lines {
	return &lines{s: s, net: nc, r: bufio.NewReaderSize(nc, 4<<10), first: true}
}

func (l *lines) read(idle time.Duration) ([]byte, error) {
	l.forget()
	_ = l.net.SetReadDeadline(time.Now().Add(idle))
	b, err := l.r.Peek(1)
	if err != nil {
		return nil, ended(err, fmt.Errorf("it sent nothing for %s", idle))
	}
	if l.first && b[0] != '{' && b[0] != ' ' && b[0] != '\t' && b[0] != '\r' && b[0] != '\n' {
		return nil, errForm // without waiting for the rest
	}
	l.first = false
	_ = l.net.SetReadDeadline(time.Now().Add(lineTimeout))
	for {
		part, err := l.r.ReadSlice('\n')
		if err == nil && len(l.buf) == 0 {
			return part, nil
		}
		if len(l.buf)+len(part) > maxLine {
			return nil, errLong
		}
		if err := l.grow(len(part)); err != nil {
			return nil, err
		}
		l.buf = append(l.buf, part...)
		switch {
		case err == nil:
			return l.buf, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, ended(err, errHalf)
		}
	}
}

// grow makes room for n bytes more. Beyond smallLine they are a share of what all
// connections have.
func (l *lines) grow(n int) error {
	need := len(l.buf) + n
	if need <= cap(l.buf) {
		return nil
	}
	size := min(maxLine, max(2*cap(l.buf), need, 8<<10))
	if size > smallLine {
		if !l.s.lines.TryAcquire(int64(size) - l.taken) {
			return errLines
		}
		l.taken = int64(size)
	}
	l.buf = append(make([]byte, 0, size), l.buf...)
	return nil
}

// forget gives back the memory of the line before.
func (l *lines) forget() {
	if l.buf = l.buf[:0]; l.taken > 0 {
		l.s.lines.Release(l.taken)
		l.buf, l.taken = nil, 0
	}
}

func (l *lines) write(messages [][]byte) error {
	end := time.Now().Add(answerTimeout)
	buf := make([]byte, 0, 4<<10)
	flush := func() error {
		for len(buf) > 0 {
			now := time.Now()
			if now.After(end) {
				return errors.New("it reads too slowly")
			}
			_ = l.net.SetWriteDeadline(now.Add(writeTimeout))
			n, err := l.net.Write(buf[:min(len(buf), writeChunk)])
			if err != nil {
				return fmt.Errorf("cannot be written to: %w", err)
			}
			buf = buf[n:]
		}
		return nil
	}
	for _, m := range messages {
		if len(m) >= writeChunk { // it is not copied
			if err := flush(); err != nil {
				return err
			}
			end = time.Now().Add(answerTimeout)
			buf = m
			if err := flush(); err != nil {
				return err
			}
			buf = append(make([]byte, 0, 4<<10), '\n')
			continue
		}
		buf = append(append(buf, m...), '\n')
	}
	return flush()
}

func (l *lines) close() { _ = l.net.Close() }

// ended is nil for a client that has left, and why for one that was waited for in
// vain.
func ended(err, late error) error {
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		return late
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return io.EOF
	}
	return err
}
