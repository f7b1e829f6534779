package p2p

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// answering is a server that answers one handshake as it likes.
func answering(t *testing.T, answer func(c net.Conn, accept string)) string {
	l, url := listening(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455
		answer(c, base64.StdEncoding.EncodeToString(sum[:]))
	}()
	return url + socketPath
}

// A server claims that compression was asked for: a message could grow a
// thousandfold, and what is sent would cost processor time.
func TestCompressionIsRefused(t *testing.T) {
	spec := regtest(t)
	url := answering(t, func(c net.Conn, accept string) {
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"+
			"Sec-WebSocket-Protocol: %s\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n",
			accept, subProtocol(&spec.Rules))
		_, _ = io.Copy(io.Discard, c)
	})
	if _, err := dialSocket(spec)(t.Context(), url); !errors.Is(err, errExtension) {
		t.Errorf("got %v", err)
	}
}

// A server answers the handshake with headers without end.
func TestEndlessAnswer(t *testing.T) {
	sent := make(chan int, 1)
	url := answering(t, func(c net.Conn, _ string) {
		n, _ := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
		line := "X: " + strings.Repeat("x", 4000) + "\r\n"
		for n < 64<<20 {
			m, err := io.WriteString(c, line)
			if n += m; err != nil {
				break
			}
		}
		sent <- n
	})
	if _, err := dialSocket(regtest(t))(t.Context(), url); !errors.Is(err, errAnswer) {
		t.Errorf("got %v", err)
	}
	if n := <-sent; n > 32<<20 { // what the kernel holds counts too
		t.Errorf("%d bytes were taken", n)
	}
}

// pipeSockets connects two WebSockets without a network, in virtual time. conn
// is the side that dialled: the other one sends a large message in one frame.
func pipeSockets(t *testing.T) (raw *websocket.Conn, conn Conn) {
	there, here := net.Pipe()
	spec := regtest(t)
	accepted := make(chan Conn, 1)
	server := &http.Server{Handler: &socketHandler{
		spec: spec, admit: func(netip.Addr, bool) error { return nil }, accept: func(c Conn) { accepted <- c },
	}}
	l := &oneListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- here
	go func() { _ = server.Serve(l) }()
	dialer := websocket.Dialer{
		Subprotocols: []string{subProtocol(&spec.Rules)}, WriteBufferSize: socketBuffer,
		NetDial: func(string, string) (net.Conn, error) { return there, nil },
	}
	ws, resp, err := dialer.Dial("ws://x/p2p", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	accepting := <-accepted
	raw, conn = accepting.(*socket).ws, newSocket(ws, ws.RemoteAddr())
	t.Cleanup(func() { _, _, _ = accepting.Close(""), conn.Close(""), server.Close() })
	return raw, conn
}

// oneListener hands out what is in conns.
type oneListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error {
	close(l.closed)
	return nil
}

func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

// A proxy pings while a block goes over a slow line: the pong has to wait, and
// the connection must live on.
func TestPongWaitsForASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, conn := pipeSockets(t)
		written, read := make(chan error, 1), make(chan error, 1)
		go func() { written <- conn.WriteMessage(cmdBlock, make([]byte, 1<<20)) }()
		go func() {
			_, _, err := conn.ReadMessage()
			read <- err
		}()
		pinged := make(chan struct{})
		go func() {
			defer close(pinged)
			time.Sleep(900 * time.Millisecond) // virtual
			for range 20 {                     // each a moment before another frame is read
				_ = raw.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Minute))
				time.Sleep(time.Second) // virtual
			}
		}()
		_, r, err := raw.NextReader()
		if err != nil {
			t.Fatal(err)
		}
		n, chunk := 0, make([]byte, socketBuffer) // a frame
		for err == nil {
			time.Sleep(time.Second) // virtual
			var m int
			m, err = io.ReadFull(r, chunk)
			n += m
		}
		if n != commandSize+1<<20 {
			t.Errorf("%d bytes of the block came: %v", n, err)
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
		go func() { _, _, _ = raw.NextReader() }() // takes the last pongs
		<-pinged
		if len(read) > 0 {
			t.Errorf("the connection has ended: %v", <-read)
		}
		_, _ = raw.Close(), conn.Close("")
		time.Sleep(time.Minute) // virtual: all that was begun ends
	})
}

// A message that has begun may not take for ever.
func TestMessageWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, conn := pipeSockets(t)
		w, err := raw.NextWriter(websocket.BinaryMessage)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				if _, err := w.Write(make([]byte, 8<<10)); err != nil {
					return
				}
				time.Sleep(time.Second) // virtual
			}
		}()
		start := time.Now()
		if _, _, err := conn.ReadMessage(); err == nil {
			t.Error("it has come")
		}
		if took := time.Since(start); took > messageTimeout+5*time.Second {
			t.Errorf("one message took %v", took)
		}
		_ = raw.Close()
		time.Sleep(time.Minute) // virtual: all that was begun ends
	})
}
