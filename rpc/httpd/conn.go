package httpd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// conn is one connection, which serves one request after the other.
//
//	state   what it waits for                ends by
//	idle    the first byte of a request      IdleTimeout, making room, the server's end
//	head    the rest of the head             HeadTimeout
//	works   the handler, which reads a body  BodyTimeout, the caller's leaving
//	writes  the caller to read the answer    WriteTimeout
type conn struct {
	s      *Server
	net    net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	close  func() // at once, from wherever; and its context
	trusts bool   // the caller has authenticated with the request in progress or the one before
	body   *body  // of the request in progress

	// Guarded by Server.mu.
	busy    bool // a request is in progress
	said    bool // who it is, or that it has no password
	entered time.Time
}

func newConn(s *Server, nc net.Conn, cancel context.CancelFunc) *conn {
	c := &conn{s: s, net: nc, in: bufio.NewReaderSize(nc, maxHead), out: bufio.NewWriterSize(nc, 4<<10)}
	c.close = sync.OnceFunc(func() {
		cancel()
		_ = nc.Close()
	})
	return c
}

type connKey struct{}

// Trust says that the caller of the request with this context has authenticated:
// its connection makes no room for others while the request lasts, and is among the
// last to do so afterwards.
func Trust(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.trusts = true
		c.s.rank(c, trustedActs, true)
	}
}

// Stays says that the answer to the request with this context goes on: its connection
// makes room after all others of callers that have not authenticated.
func Stays(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.s.rank(c, strangerStays, true)
	}
}

// Distrust says that the caller of the request with this context has failed to
// authenticate: its connection is among the first to make room.
func Distrust(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.trusts = false
		c.s.rank(c, strangerDone, true)
	}
}

// serve answers requests until one of both sides has enough.
func (c *conn) serve(ctx context.Context) {
	for {
		idle := min(strangerIdle, c.s.cfg.IdleTimeout)
		if c.trusts {
			idle = c.s.cfg.IdleTimeout
		}
		_ = c.net.SetReadDeadline(time.Now().Add(idle))
		if _, err := c.in.Peek(1); err != nil {
			return
		}
		_ = c.net.SetReadDeadline(time.Now().Add(c.s.cfg.HeadTimeout))
		req, err := readRequest(c.in)
		if errors.Is(err, errBad) {
			text := err.Error()
			if _, ok := errors.AsType[*url.Error](err); ok {
				text = "URI parsing failed, it likely contained RFC 3986 invalid characters" // Bitcoin Core's words
			}
			c.refuse(http.StatusBadRequest, text)
			return
		}
		if err != nil || !c.answer(ctx, req) {
			return
		}
	}
}

// idles is the rank of the connection between two requests.
func (c *conn) idles() int {
	if c.trusts {
		return trustedIdles
	}
	return strangerDone
}

// answer has the handler answer a request. It reports whether there may be another.
func (c *conn) answer(ctx context.Context, req *http.Request) (more bool) {
	// Who was let in before is not busy before it is let in again, see Trust.
	c.s.rank(c, max(strangerNew, c.idles()), true)
	c.trusts = false
	if !expectable(req) {
		c.refuse(http.StatusExpectationFailed, "want Expect: 100-continue or none")
		return false
	}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, connKey{}, c))
	defer cancel()
	w := newResponse(c, req)
	c.body = newBody(c, req, cancel)
	req.Body, req.RemoteAddr = c.body, c.net.RemoteAddr().String()
	_ = c.net.SetReadDeadline(time.Now().Add(c.s.cfg.BodyTimeout))
	c.body.begin()
	ended := c.handle(w, req.WithContext(ctx))
	c.body.stopWatching()
	if w.hijacked {
		return false
	}
	if !ended || w.finish() != nil || !w.keepAlive || !c.body.drain() {
		c.lingers()
		return false
	}
	return c.s.rank(c, c.idles(), false)
}

// handle calls the handler. A panic in it is a bug, but not the end of the server.
func (c *conn) handle(w *response, req *http.Request) (ended bool) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			c.s.cfg.Log.Error("bug: a handler panicked", "path", req.URL.Path, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	c.s.cfg.Handler.ServeHTTP(w, req)
	return true
}

func expectable(req *http.Request) bool {
	expect := req.Header.Get("Expect")
	return expect == "" || strings.EqualFold(expect, "100-continue")
}

// refuse answers what is no request that can be served, as the last thing said.
func (c *conn) refuse(status int, text string) {
	_ = c.net.SetWriteDeadline(time.Now().Add(lingerFor))
	_, _ = fmt.Fprintf(c.net, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n",
		status, http.StatusText(status), len(text)+1, text)
	c.lingers()
}

// Bounds of what is read of a body that the handler did not want, to serve another
// request on the connection, and of how long a caller may go on sending to a
// connection that ends, so that the answer arrives.
const (
	maxDrain  = 256 << 10
	lingerFor = 500 * time.Millisecond
)

// lingers ends this side of a connection and reads on for a moment: data that comes
// after a close would have the answer dropped on its way (RFC 9112, 9.6).
func (c *conn) lingers() {
	half, ok := c.net.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.net.SetReadDeadline(time.Now().Add(lingerFor))
	_, _ = io.Copy(io.Discard, c.in)
}
