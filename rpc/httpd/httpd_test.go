package httpd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections have no network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// pipe is a connection from an address.
type pipe struct {
	net.Conn
	from netip.AddrPort
}

func (p pipe) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(p.from) }

// world is a server in a bubble of synctest.
type world struct {
	t      *testing.T
	server *Server
	l      *pipes
	stop   func()
	ended  chan error
}

// virtual runs a test in a bubble. The server has ended when test returns.
func virtual(t *testing.T, cfg Config, test func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, server: New(cfg), l: &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}, ended: make(chan error, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		w.stop = cancel
		go func() { w.ended <- w.server.Serve(ctx, w.l) }()
		test(w)
		cancel()
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
		if n := len(w.server.conns) + w.server.places.Len() + len(w.server.sockets); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func (w *world) dial(from string) net.Conn {
	client, server := net.Pipe()
	w.l.conns <- pipe{server, netip.AddrPortFrom(netip.MustParseAddr(from), 4000)}
	synctest.Wait()
	return client
}

// say sends text and reads all that comes back within a while of virtual time; it
// reports whether the connection has ended.
func (w *world) say(c net.Conn, text string, within time.Duration) (answer string, ended bool) {
	w.t.Helper()
	if text != "" {
		go func() { _, _ = io.WriteString(c, text) }()
	}
	_ = c.SetReadDeadline(time.Now().Add(within))
	b, err := io.ReadAll(c)
	return string(b), err == nil || errors.Is(err, io.ErrClosedPipe)
}

// echo answers with what it was asked. It trusts whoever says so.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		Trust(r.Context())
	}
	if r.URL.Path == "/wait" {
		<-r.Context().Done()
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s host=%q body=%q", r.Method, r.URL.Path, r.Host, b)
}

// TestFraming has requests answered in order and told apart, and those refused that
// others could read in another way.
func TestFraming(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for _, test := range []struct {
		name, request string
		want          []string // in the answer, in this order
		ends          bool     // the connection
	}{
		{"no Host in 1.1", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", []string{"200 OK", `host="" body="hi"`}, false},
		{"no Host in 1.0", "GET / HTTP/1.0\r\n\r\n", []string{"HTTP/1.0 200 OK", "Connection: close", `host=""`}, true},
		{"1.0 kept alive", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n", []string{"Connection: keep-alive", "GET /a", "GET /b"}, true},
		{"two at once", "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nyou", []string{`/a host="" body="hi"`, `/b host="" body="you"`}, false},
		{"an empty line between", "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi\r\nGET /b HTTP/1.1\r\n\r\n", []string{"/a", "/b"}, false},
		{"bare newlines", "GET /a HTTP/1.1\nHost: x\n\nGET /b HTTP/1.1\n\n", []string{`/a host="x"`, "/b"}, false},
		{"chunks", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\nyou\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n", []string{`body="hiyou"`, "/b"}, false},
		{"close", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", []string{"Connection: close", "GET /"}, true},
		{"HEAD", "HEAD / HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", []string{"Content-Length: 22\r\n", "GET /b"}, false},
		{"100-continue", "POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi", []string{"100 Continue\r\n\r\nHTTP/1.1 200 OK", `body="hi"`}, false},
		{"expects more", "POST / HTTP/1.1\r\nExpect: 200-ok\r\nContent-Length: 2\r\n\r\nhi", []string{"417"}, true},
		{"a URL of 1,000 bytes", "GET /" + long[:1000] + " HTTP/1.1\r\n\r\n", []string{"200 OK"}, false},
		{"a URL of 10,000 bytes", "GET /" + long + " HTTP/1.1\r\n\r\n", []string{"400 Bad Request"}, true},
		{"a URL of 100,000 bytes", "GET /" + strings.Repeat(long, 10) + " HTTP/1.1\r\n\r\n", []string{"400 Bad Request"}, true},
		{"a field of 20,000 bytes", "GET / HTTP/1.1\r\nA: " + long + long + "\r\n\r\n", []string{"400 Bad Request"}, true},
		{"200 fields", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 200) + "\r\n", []string{"400 Bad Request"}, true},
		{"a length and an encoding", "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"400 Bad Request", "exclude each other"}, true},
		{"two lengths", "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", []string{"400 Bad Request"}, true},
		{"a list of lengths", "POST / HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\nhi", []string{"400 Bad Request"}, true},
		{"a signed length", "POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\nhi", []string{"400 Bad Request"}, true},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", []string{"400 Bad Request", "Host is there twice"}, true},
		{"two origins", "GET / HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nORIGIN: http://b\r\n\r\n", []string{"400 Bad Request", "Origin is there twice"}, true},
		{"two passwords", "GET / HTTP/1.1\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", []string{"400 Bad Request"}, true},
		{"two encodings", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"400 Bad Request"}, true},
		{"another encoding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []string{"400 Bad Request"}, true},
		{"an encoding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"400 Bad Request"}, true},
		{"a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", []string{"400 Bad Request"}, true},
		{"a folded line", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", []string{"400 Bad Request"}, true},
		{"a carriage return", "GET / HTTP/1.1\r\nA: b\rHost: c\r\n\r\n", []string{"400 Bad Request"}, true},
		{"a carriage return at the end", "POST / HTTP/1.1\r\nContent-Length: 2\r\r\n\r\nhi", []string{"400 Bad Request"}, true},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []string{"400 Bad Request"}, true},
		{"HTTP/0.9", "GET /\r\n\r\n", []string{"400 Bad Request"}, true},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", []string{"400 Bad Request"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			virtual(t, Config{Handler: http.HandlerFunc(echo)}, func(w *world) {
				c := w.dial("192.0.2.1")
				defer c.Close()
				got, ended := w.say(c, test.request, time.Second)
				rest := got
				for _, want := range test.want {
					_, after, ok := strings.Cut(rest, want)
					if !ok {
						t.Fatalf("no %q in\n%s", want, got)
					}
					rest = after
				}
				if ended != test.ends || strings.Count(got, "HTTP/1.") > 1+strings.Count(test.request, "HTTP/1.")-1+strings.Count(got, "100 Continue") && !test.ends {
					t.Errorf("ended: %v, want %v:\n%s", ended, test.ends, got)
				}
			})
		})
	}
}

// TestAnswers has answers of every kind read by net/http's client.
func TestAnswers(t *testing.T) {
	big := strings.Repeat("0123456789", 10_000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/nothing":
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/big":
			_, _ = io.WriteString(w, big)
		case "/length":
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			_, _ = io.WriteString(w, big)
		case "/flush":
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "b")
		case "/short":
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hi")
		case "/long":
			w.Header().Set("Content-Length", "2")
			if _, err := io.WriteString(w, "hello"); !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
			_, _ = io.WriteString(w, "hi")
		case "/panic":
			panic("on purpose")
		case "/unread":
			http.Error(w, "no", http.StatusRequestEntityTooLarge)
		case "/hijack":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			if r.Context().Err() != nil {
				panic("the context has ended")
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(Config{Handler: handler}).Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{}}
	for _, test := range []struct {
		path, body, want string
		status           int
		length           int64
		fails            bool
	}{
		{"/nothing", "", "", 200, 0, false},
		{"/none", "", "", 204, 0, false},
		{"/big", "", big, 200, -1, false},
		{"/length", "", big, 200, int64(len(big)), false},
		{"/flush", "", "ab", 200, -1, false},
		{"/short", "", "", 200, 5, true},
		{"/long", "", "hi", 200, 2, false},
		{"/panic", "", "", 0, 0, true},
		{"/unread", big, "no\n", 413, 3, false},
		{"/unread", strings.Repeat(big, 100), "no\n", 413, 3, false},
		{"/hijack", "", "hi", 200, 2, false},
	} {
		resp, err := client.Post("http://"+l.Addr().String()+test.path, "text/plain", strings.NewReader(test.body))
		if err != nil {
			if !test.fails {
				t.Errorf("%s: %v", test.path, err)
			}
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if (err != nil) != test.fails || !test.fails && string(b) != test.want || resp.StatusCode != test.status || resp.ContentLength != test.length {
			t.Errorf("%s: status %d, length %d, %d bytes, %v", test.path, resp.StatusCode, resp.ContentLength, len(b), err)
		}
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestIdleStrangersMakeRoom has more idle connections than there are places, from
// one address and from many: the next caller is answered at once, who has
// authenticated stays connected, and a call in progress is not disturbed.
func TestIdleStrangersMakeRoom(t *testing.T) {
	for _, test := range []struct {
		name string
		from func(i int) string
		most int // strangers that keep a place
	}{
		{"one address", func(int) string { return "127.0.0.1" }, 32},
		{"one network", func(i int) string { return fmt.Sprintf("10.0.0.%d", i%250) }, 64},
		{"many", func(i int) string { return fmt.Sprintf("10.%d.0.1", i%250) }, 222},
	} {
		t.Run(test.name, func(t *testing.T) {
			virtual(t, Config{Handler: http.HandlerFunc(echo)}, func(w *world) {
				const get = "GET /%s HTTP/1.1\r\nAuthorization: x\r\n\r\n"
				kept := w.dial("127.0.0.1")
				w.say(kept, fmt.Sprintf(get, "first"), time.Second)
				busy := w.dial("127.0.0.1")
				go func() { _, _ = fmt.Fprintf(busy, get, "wait") }()
				synctest.Wait()
				var idle []net.Conn
				for i := range 300 {
					idle = append(idle, w.dial(test.from(i)))
				}
				if n := w.server.places.Len(); n > test.most+2 {
					t.Errorf("%d places are taken, want at most %d", n, test.most+2)
				}
				began := time.Now()
				next := w.dial("127.0.0.1")
				in := bufio.NewReader(next)
				go func() { _, _ = fmt.Fprintf(next, get, "next") }()
				if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 200 || time.Since(began) > 3*time.Second {
					t.Errorf("the next caller: %v after %v", err, time.Since(began))
				}
				if got, ended := w.say(kept, fmt.Sprintf(get, "again"), time.Second); ended || !strings.Contains(got, "/again") {
					t.Errorf("who has authenticated was cut: %q", got)
				}
				if _, ended := w.say(busy, "", time.Second); ended {
					t.Error("a call in progress was cut")
				}
				for _, c := range append(idle, kept, busy, next) {
					c.Close()
				}
			})
		})
	}
}

// TestTrustEnds has a caller authenticate once, and then not any more.
func TestTrustEnds(t *testing.T) {
	virtual(t, Config{Handler: http.HandlerFunc(echo)}, func(w *world) {
		c := w.dial("192.0.2.1")
		w.say(c, "GET / HTTP/1.1\r\nAuthorization: x\r\n\r\n", time.Second)
		w.say(c, "GET / HTTP/1.1\r\n\r\n", time.Second)
		began := time.Now()
		if _, ended := w.say(c, "", time.Hour); !ended || time.Since(began) > strangerIdle {
			t.Errorf("it is still connected after %v", time.Since(began))
		}
	})
}

// TestSilence cuts who says nothing, or not enough, in time.
func TestSilence(t *testing.T) {
	for _, test := range []struct {
		say    string
		within time.Duration
	}{
		{"", strangerIdle},
		{"GET / HTTP/1.1\r\n", 10 * time.Second},
		{"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhi", time.Minute},
		{"GET / HTTP/1.1\r\nAuthorization: x\r\n\r\n", 5 * time.Minute},
		{"GET / HTTP/1.1\r\n\r\n", strangerIdle},
	} {
		virtual(t, Config{Handler: http.HandlerFunc(echo)}, func(w *world) {
			began := time.Now()
			c := w.dial("192.0.2.1")
			if _, ended := w.say(c, test.say, time.Hour); !ended || time.Since(began) > test.within+time.Second || time.Since(began) < test.within {
				t.Errorf("%q: cut after %v: %v", test.say, time.Since(began), ended)
			}
			c.Close()
		})
	}
	const short = 2 * time.Second
	for _, say := range []string{"", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhi", "GET / HTTP/1.1\r\nAuthorization: x\r\n\r\n"} {
		cfg := Config{Handler: http.HandlerFunc(echo), HeadTimeout: short, BodyTimeout: short, IdleTimeout: short}
		virtual(t, cfg, func(w *world) {
			began := time.Now()
			c := w.dial("192.0.2.1")
			if _, ended := w.say(c, say, time.Hour); !ended || time.Since(began) != short {
				t.Errorf("%q: cut after %v, want %v: %v", say, time.Since(began), short, ended)
			}
			c.Close()
		})
	}
}

// TestCallerLeaves ends the context of a request when its caller hangs up.
func TestCallerLeaves(t *testing.T) {
	ended := make(chan struct{}, 1)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		ended <- struct{}{}
	})
	virtual(t, Config{Handler: handler}, func(w *world) {
		ended = make(chan struct{}, 1)
		c := w.dial("192.0.2.1")
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
		synctest.Wait()
		select {
		case <-ended:
			t.Error("the context has ended before the caller left")
		default:
		}
		c.Close()
		<-ended
	})
}

// TestStop lets a call in progress finish, cuts one that does not, and closes what
// is idle at once.
func TestStop(t *testing.T) {
	release := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stuck" {
			_, _ = w.(*response).c.net.Read(make([]byte, 1)) // whatever the context says
			return
		}
		<-release
		_, _ = io.WriteString(w, "done")
	})
	virtual(t, Config{Handler: handler}, func(w *world) {
		release = make(chan struct{})
		idle, busy, stuck := w.dial("192.0.2.1"), w.dial("192.0.2.2"), w.dial("192.0.2.3")
		_, _ = io.WriteString(busy, "GET / HTTP/1.1\r\n\r\n")
		_, _ = io.WriteString(stuck, "POST /stuck HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
		synctest.Wait()
		began := time.Now()
		w.stop()
		if _, ended := w.say(idle, "", time.Minute); !ended || time.Since(began) > 0 {
			t.Error("an idle connection is still open")
		}
		close(release)
		if got, ended := w.say(busy, "", time.Minute); !ended || !strings.Contains(got, "done") || !strings.Contains(got, "Connection: close") || time.Since(began) > 0 {
			t.Errorf("a call in progress: %q", got)
		}
		if _, ended := w.say(stuck, "", time.Minute); !ended || time.Since(began) > 5*time.Second {
			t.Error("a call that does not end is not cut")
		}
	})
}

// FuzzReadRequest holds the reading of requests against a second reading of their
// bytes: as much must be taken as the head and the framing say.
func FuzzReadRequest(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nx",
		"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "\r\nGET / HTTP/1.0\n\n", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n Host: c\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: 00002\r\n\r\nhi",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		source := bytes.NewReader(data)
		in := bufio.NewReaderSize(source, maxHead)
		req, err := readRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
		if err != nil || len(body) == 1<<20 {
			return
		}
		taken := len(data) - source.Len() - in.Buffered()
		skipped := 0
		for skipped < 4 && skipped < len(data) && (data[skipped] == '\r' || data[skipped] == '\n') {
			skipped++
		}
		head := headEnd(data[skipped:]) + skipped
		lower := strings.ToLower(string(data[skipped:head]))
		for _, name := range once {
			if strings.Count(lower, "\n"+strings.ToLower(name)+":") > 1 {
				t.Fatalf("%s twice in %q", name, data)
			}
		}
		chunked := strings.Contains(lower, "\ntransfer-encoding:")
		switch {
		case chunked && strings.Contains(lower, "\ncontent-length:"):
			t.Fatalf("two framings in %q", data)
		case !chunked && taken != head+len(body):
			t.Fatalf("%d bytes were taken of a head of %d and a body of %d: %q", taken, head, len(body), data)
		case chunked && !bytes.HasSuffix(bytes.TrimRight(data[:taken], "\r\n"), []byte("0")) && !strings.Contains(string(data[head:taken]), "0"):
			t.Fatalf("chunks without an end: %q", data)
		}
	})
}

// TestGuessersMakeRoomBeforeWhoIsNew has those who were refused go before one that
// has not said anything yet.
func TestGuessersMakeRoomBeforeWhoIsNew(t *testing.T) {
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		Distrust(r.Context())
		<-r.Context().Done()
	})
	virtual(t, Config{Handler: handler}, func(w *world) {
		fresh := w.dial("127.0.0.1")
		var guessers []net.Conn
		for range 500 {
			c := w.dial("127.0.0.1")
			go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") }()
			guessers = append(guessers, c)
		}
		if _, ended := w.say(fresh, "", time.Second); ended {
			t.Error("who is new was cut for guessers")
		}
		for _, c := range append(guessers, fresh) {
			c.Close()
		}
	})
}
