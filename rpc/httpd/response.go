package httpd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// response is the answer to a request, as http.ResponseWriter. What a handler
// writes without saying how long it is goes out with a length if it is short, and
// in chunks else, which HTTP/1.0 does not know: there the end of the connection is
// the end of the answer.
type response struct {
	c         *conn
	req       *http.Request
	header    http.Header
	sent      http.Header // what WriteHeader found
	status    int         // 0 before WriteHeader
	length    int64       // of the body, as declared; -1 if it is not
	written   int64
	pending   []byte // of the body, before the head is out
	begun     bool   // the head is out
	chunked   bool
	bare      bool // there is no body
	keepAlive bool
	hijacked  bool
	deadline  bool // the handler has set one for writing
	err       error
}

// maxPending is how much of an answer of unknown length waits for its end.
const maxPending = 4 << 10

func newResponse(c *conn, req *http.Request) *response {
	return &response{c: c, req: req, header: make(http.Header), length: -1}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Only the first call counts.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || w.hijacked || status < 200 || status > 999 {
		return
	}
	w.status, w.sent = status, w.header.Clone()
	w.bare = w.req.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		w.length = n
	} else {
		w.sent.Del("Content-Length")
	}
	if status == http.StatusNoContent {
		w.sent.Del("Content-Length")
		w.length = -1
	}
}

// Write implements io.Writer.
func (w *response) Write(p []byte) (int, error) {
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	w.WriteHeader(http.StatusOK)
	if w.bare {
		if w.req.Method == http.MethodHead {
			w.written += int64(len(p))
			return len(p), nil
		}
		return 0, http.ErrBodyNotAllowed
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if !w.begun && w.length < 0 {
		if len(w.pending)+len(p) <= maxPending {
			w.pending = append(w.pending, p...)
			return len(p), nil
		}
	}
	w.begin()
	w.emit(p)
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// emit sends a part of the body.
func (w *response) emit(p []byte) {
	if w.err != nil || len(p) == 0 {
		return
	}
	if !w.chunked {
		_, w.err = w.c.out.Write(p)
		return
	}
	if _, w.err = fmt.Fprintf(w.c.out, "%x\r\n", len(p)); w.err == nil {
		_, w.err = w.c.out.Write(p)
	}
	if w.err == nil {
		_, w.err = io.WriteString(w.c.out, "\r\n")
	}
}

// begin sends the head, and what waited for it.
func (w *response) begin() {
	if w.begun {
		return
	}
	w.begun = true
	if !w.deadline {
		_ = w.c.net.SetWriteDeadline(time.Now().Add(w.c.s.cfg.WriteTimeout))
	}
	modern := w.req.ProtoAtLeast(1, 1)
	w.keepAlive = !w.req.Close && !w.c.s.isStopping() && !strings.EqualFold(w.sent.Get("Connection"), "close") && !w.c.body.failed
	if w.length < 0 && !w.bare {
		w.chunked = modern
		w.keepAlive = w.keepAlive && modern
	}
	switch {
	case !w.keepAlive:
		w.sent.Set("Connection", "close")
	case !modern:
		w.sent.Set("Connection", "keep-alive")
	}
	if w.chunked {
		w.sent.Set("Transfer-Encoding", "chunked")
	} else {
		w.sent.Del("Transfer-Encoding")
	}
	if w.sent.Get("Date") == "" {
		w.sent.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	version := "HTTP/1.1"
	if !modern {
		version = "HTTP/1.0"
	}
	_, w.err = fmt.Fprintf(w.c.out, "%s %03d %s\r\n", version, w.status, http.StatusText(w.status))
	if w.err == nil {
		w.err = w.sent.Write(w.c.out)
	}
	if w.err == nil {
		_, w.err = io.WriteString(w.c.out, "\r\n")
	}
	w.emit(w.pending)
	w.pending = nil
}

// errShort is the kind of error for a handler that wrote less than it had said.
var errShort = errors.New("the answer is shorter than its Content-Length")

// finish sends what is left of the answer.
func (w *response) finish() error {
	w.WriteHeader(http.StatusOK)
	if !w.begun && w.length < 0 && (!w.bare || w.req.Method == http.MethodHead && w.written > 0) {
		w.length = w.written
		w.sent.Set("Content-Length", strconv.FormatInt(w.written, 10))
	}
	w.begin()
	if w.chunked && w.err == nil {
		_, w.err = io.WriteString(w.c.out, "0\r\n\r\n")
	}
	if w.err == nil {
		w.err = w.c.out.Flush()
	}
	if w.err == nil && !w.bare && w.length >= 0 && w.written < w.length {
		w.err = errShort
	}
	return w.err
}

// FlushError sends what was written so far, for http.ResponseController.
func (w *response) FlushError() error {
	if w.hijacked {
		return http.ErrHijacked
	}
	w.WriteHeader(http.StatusOK)
	w.begin()
	if w.err == nil {
		w.err = w.c.out.Flush()
	}
	return w.err
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// SetWriteDeadline bounds how long the caller may take, for http.ResponseController.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.deadline = true
	return w.c.net.SetWriteDeadline(t)
}

// SetReadDeadline bounds how long the rest of the body may take.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.c.body.ended {
		return nil
	}
	return w.c.net.SetReadDeadline(t)
}

// Hijack implements http.Hijacker. The connection keeps its place, and ends when
// the handler returns.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.begun || w.status != 0 {
		return nil, nil, errors.New("an answer has begun already")
	}
	w.c.body.stopWatching()
	w.hijacked = true
	_ = w.c.net.SetDeadline(time.Time{})
	return w.c.net, bufio.NewReadWriter(w.c.in, w.c.out), nil
}
