package electrum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"lode/rpc/httpd"
)

// ServeWebSocket takes connections until ctx ends. Their messages are text frames of a
// WebSocket, at any path. A page of another origin is refused unless that was allowed.
func (s *Server) ServeWebSocket(ctx context.Context, l net.Listener) error {
	s.cfg.Log.Info("serving wallets by Electrum's protocol over WebSocket", "address", l.Addr().String())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.upgrade(ctx, w, r) })
	return httpd.New(httpd.Config{
		Handler: handler, Log: s.cfg.Log, MaxConnections: Sockets(s.cfg.MaxConnections), MaxPerAddress: s.cfg.MaxPerAddress,
		MaxPerNetwork: max(maxPerNetwork, s.cfg.MaxPerAddress),
	}).Serve(ctx, l)
}

var upgrader = websocket.Upgrader{
	HandshakeTimeout: helloTimeout,
	ReadBufferSize:   4 << 10,
	WriteBufferSize:  4 << 10,
	CheckOrigin:      func(*http.Request) bool { return true }, // see originAllowed
}

func (s *Server) upgrade(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if !s.originAllowed(r) {
		s.counts.Cut.Add(1)
		http.Error(w, "this page may not connect; allow it with --allow-origin", http.StatusForbidden)
		return
	}
	if !websocket.IsWebSocketUpgrade(r) {
		http.Error(w, "this port speaks Electrum's protocol over WebSocket", http.StatusUpgradeRequired)
		return
	}
	select {
	case s.sockets <- struct{}{}:
	default:
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return
	}
	defer func() { <-s.sockets }()
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has been answered
	}
	s.serve(ctx, newFrames(s, ws), ws.RemoteAddr())
}

// originAllowed reports whether a request comes from no web page, or from one that may
// connect. A page that was served under the same name and port is none of ours.
func (s *Server) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && u.Host != "" &&
		slices.ContainsFunc(s.cfg.Origins, func(o string) bool { return strings.EqualFold(o, origins[0]) })
}

// frames is a transport whose messages are frames of a WebSocket.
type frames struct {
	s       *Server
	ws      *websocket.Conn
	control int // frames since the last message
	l       lines
}

func newFrames(s *Server, ws *websocket.Conn) *frames {
	f := &frames{s: s, ws: ws, l: lines{s: s}}
	ws.SetReadLimit(maxLine)
	counted := func(handle func(string) error) func(string) error {
		return func(data string) error {
			if f.control++; f.control > controlFrames {
				return errors.New("it sends nothing but control frames")
			}
			return handle(data)
		}
	}
	ws.SetPingHandler(counted(ws.PingHandler()))
	ws.SetPongHandler(counted(ws.PongHandler()))
	return f
}

func (f *frames) read(idle time.Duration) ([]byte, error) {
	f.l.forget()
	f.control = 0
	_ = f.ws.SetReadDeadline(time.Now().Add(idle))
	_, r, err := f.ws.NextReader()
	if err != nil {
		return nil, closed(err, fmt.Errorf("it sent nothing for %s", idle))
	}
	_ = f.ws.SetReadDeadline(time.Now().Add(lineTimeout))
	var part [4 << 10]byte
	for {
		n, err := r.Read(part[:])
		if len(f.l.buf)+n > maxLine {
			return nil, errLong
		}
		if err := f.l.grow(n); err != nil {
			return nil, err
		}
		f.l.buf = append(f.l.buf, part[:n]...)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return f.l.buf, nil
		default:
			return nil, closed(err, errHalf)
		}
	}
}

func (f *frames) write(messages [][]byte) error {
	for _, m := range messages {
		// A frame is written in one go: the deadline is for all of it.
		_ = f.ws.SetWriteDeadline(time.Now().Add(writeTimeout + time.Duration(len(m)/writeChunk)*time.Second))
		if err := f.ws.WriteMessage(websocket.TextMessage, m); err != nil {
			return fmt.Errorf("cannot be written to: %w", err)
		}
	}
	return nil
}

func (f *frames) forget() { f.l.forget() }

func (f *frames) close() { _ = f.ws.Close() }

// closed is ended, for a WebSocket.
func closed(err, late error) error {
	var end *websocket.CloseError
	if errors.As(err, &end) {
		return io.EOF
	}
	return ended(err, late)
}
