package httpd

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// body is that of a request. When it has been read to its end, a goroutine watches
// whether the caller leaves, as a call may wait long.
type body struct {
	c       *conn
	inner   io.ReadCloser
	cancel  context.CancelFunc // of the request
	expects bool               // the caller waits to be told to send it
	ended   bool
	failed  bool
	leaves  atomic.Bool   // the watch is to end
	watched chan struct{} // closed when the watch is over; nil if there is none
}

func newBody(c *conn, req *http.Request, cancel context.CancelFunc) *body {
	return &body{c: c, inner: req.Body, cancel: cancel, expects: req.ProtoAtLeast(1, 1) && strings.EqualFold(req.Header.Get("Expect"), "100-continue")}
}

// begin starts the watch at once if there is no body.
func (b *body) begin() {
	if b.inner == http.NoBody {
		b.end()
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	if b.expects {
		b.expects = false
		_ = b.c.net.SetWriteDeadline(time.Now().Add(b.c.s.cfg.HeadTimeout))
		if _, err := io.WriteString(b.c.net, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			b.failed = true
			return 0, err
		}
	}
	n, err := b.inner.Read(p)
	switch {
	case err == io.EOF:
		b.end()
	case err != nil:
		b.failed = true
	}
	return n, err
}

// Close does nothing: what was not read is drained when the request is answered.
func (b *body) Close() error { return nil }

// end notes that all was read, and begins to watch.
func (b *body) end() {
	b.ended = true
	_ = b.c.net.SetReadDeadline(time.Time{})
	b.watched = make(chan struct{})
	go func() {
		defer close(b.watched)
		if _, err := b.c.in.Peek(1); err != nil && !b.leaves.Load() { // else it is the next request
			b.cancel()
		}
	}()
}

// stopWatching ends the watch, so that the connection can be read again.
func (b *body) stopWatching() {
	if b.watched == nil {
		return
	}
	b.leaves.Store(true)
	_ = b.c.net.SetReadDeadline(time.Unix(1, 0))
	<-b.watched
	b.watched = nil
}

// drain reads the rest of the body. It reports whether the next request can be read.
func (b *body) drain() bool {
	if b.ended {
		return true
	}
	if b.failed || b.expects { // it is not known whether the caller sends it
		return false
	}
	_ = b.c.net.SetReadDeadline(time.Now().Add(lingerFor))
	n, err := io.CopyN(io.Discard, b.inner, maxDrain+1)
	return n <= maxDrain && err == io.EOF
}
