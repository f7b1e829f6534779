package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/rpc"
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	const call = `{"method":"getblockcount","id":1}`
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"right", func(*http.Request) {}, 200},
		{"none", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"wrong password", func(r *http.Request) { r.SetBasicAuth(user, "x") }, 401},
		{"longer password", func(r *http.Request) { r.SetBasicAuth(user, password+"x") }, 401},
		{"wrong user", func(r *http.Request) { r.SetBasicAuth("x", password) }, 401},
		{"empty", func(r *http.Request) { r.SetBasicAuth("", "") }, 401},
		{"another scheme", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+password) }, 401},
		{"not base64", func(r *http.Request) { r.Header.Set("Authorization", "Basic !!") }, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // for the time that a guess takes
				r := authorized(call)
				test.change(r)
				start := time.Now()
				resp := n.do(r)
				body, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != test.status {
					t.Fatalf("status %d, want %d", resp.StatusCode, test.status)
				}
				if test.status != 401 {
					return
				}
				if len(body) > 0 || resp.Header.Get("WWW-Authenticate") != `Basic realm="jsonrpc"` || resp.Header.Get("Content-Type") == "" {
					t.Errorf("401 with body %q and header %v", body, resp.Header)
				}
				guessed := r.Header.Get("Authorization") != ""
				if slow := time.Since(start) >= 200*time.Millisecond; slow != guessed {
					t.Errorf("slow: %v, want %v: only guesses are slowed down", slow, guessed)
				}
			})
		})
	}
}

// TestNoPassword makes sure that a server without a password lets nobody in.
func TestNoPassword(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.User, c.Password = "", "" })
	r := authorized(`{"method":"getblockcount"}`)
	r.SetBasicAuth("", "")
	if resp := n.do(r); resp.StatusCode != 401 {
		t.Errorf("status %d, want 401", resp.StatusCode)
	}
}

func TestGuessesAreLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer // written under the handler's lock
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	synctest.Test(t, func(*testing.T) { // within a moment
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				r := authorized("{}")
				r.SetBasicAuth(user, "guess")
				n.do(r)
			})
		}
		wg.Wait()
	})
	if got := strings.Count(log.String(), "wrong password"); got != 1 || strings.Contains(log.String(), "guess\"") {
		t.Errorf("%d warnings, want 1 without the password:\n%s", got, log.String())
	}
}

func TestHostAndOrigin(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.AllowHosts = []string{"Node.example", ".Pods.example"} })
	for _, test := range []struct {
		host, origin string
		status       int
	}{
		{"127.0.0.1:18443", "", 200},
		{"127.0.0.1", "", 200},
		{"[::1]:18443", "", 200},
		{"[::1]", "", 200},
		{"192.168.1.7:18443", "", 200},
		{"localhost:18443", "", 200},
		{"LOCALHOST", "", 200},
		{"node.example:18443", "", 200},
		{"NODE.EXAMPLE", "", 200},
		{"", "", 200}, // not from a browser
		{"", "http://127.0.0.1:18443", 403},
		{"", "null", 403},
		{"evil.example", "", 403},
		{"node-1.pods.example:18443", "", 200},
		{"a.b.PODS.example", "", 200},
		{"pods.example", "", 403},
		{".pods.example", "", 403},
		{"evilpods.example", "", 403},
		{"node.pods.example.evil.example", "", 403},
		{"evil.example:18443", "", 403},
		{"localhost.evil.example:18443", "", 403},
		{"127.0.0.1.evil.example", "", 403},
		{"node.example.evil.example", "", 403},
		{"127.1", "", 403},
		{"127.0.0.1:18443", "http://127.0.0.1:18443", 200},
		{"node.example", "https://node.example", 200},
		{"127.0.0.1:18443", "http://127.0.0.1:8080", 403},
		{"127.0.0.1:18443", "http://evil.example", 403},
		{"127.0.0.1:18443", "http://127.0.0.1:18443.evil.example", 403},
		{"127.0.0.1:18443", "http://127.0.0.1:18443@evil.example", 403},
		{"127.0.0.1:18443", "null", 403},
		{"127.0.0.1:18443", "file://", 403},
		{"evil.example", "http://evil.example", 403},
	} {
		r := authorized(`{"method":"getblockcount","id":1}`)
		r.Host = test.host
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		if resp := n.do(r); resp.StatusCode != test.status {
			t.Errorf("host %q, origin %q: status %d, want %d", test.host, test.origin, resp.StatusCode, test.status)
		}
	}
	// Programs read JSON alone, people whatever there is.
	for method, want := range map[string]string{http.MethodPost: `{"result":null,"error":{"code":-32600,"message":"this server is not known by that name`, http.MethodGet: "this server is not known"} {
		r := authorized(`{"method":"getblockcount","id":1}`)
		r.Method, r.Host = method, "bitcoin:18443"
		if body, _ := io.ReadAll(n.do(r).Body); !strings.HasPrefix(string(body), want) || !strings.Contains(string(body), "--rpc-allow-host") {
			t.Errorf("%s by a name that was not allowed: %s", method, body)
		}
	}
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	for _, test := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, 405},
		{"OPTIONS", func(r *http.Request) { r.Method = http.MethodOptions }, 405},
		{"another path", func(r *http.Request) { r.URL.Path = "/walle/x" }, 404},
		{"a path that leads back", func(r *http.Request) { r.URL.Path = "/x/.." }, 404},
		{"GET of another path", func(r *http.Request) { r.Method, r.URL.Path = http.MethodGet, "/x" }, 404},
		{"another path by a foreign name", func(r *http.Request) { r.Host, r.URL.Path = "evil.example", "/x" }, 404},
	} {
		r := authorized(`{"method":"stop","id":1}`)
		test.change(r)
		if resp := n.do(r); resp.StatusCode != test.status {
			t.Errorf("%s: status %d, want %d", test.name, resp.StatusCode, test.status)
		}
	}
	if n.stops.Load() != 0 {
		t.Error("a refused request was executed")
	}
}

func TestOversizedBody(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	largest := bytes.Repeat([]byte{'x'}, 32<<20)
	for _, test := range []struct {
		body   io.Reader
		status int
	}{
		{bytes.NewReader(largest), 500},
		{io.MultiReader(bytes.NewReader(largest), strings.NewReader("x")), 413},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", test.body)
		r.Host = "localhost"
		r.SetBasicAuth(user, password)
		if resp := n.do(r); resp.StatusCode != test.status {
			t.Errorf("status %d, want %d", resp.StatusCode, test.status)
		}
	}
}

// TestTooManyAtOnce holds as many requests as the server works on at once, by
// bodies that do not end, and then makes one more.
func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	const most = 64
	var wg sync.WaitGroup
	var ends []*io.PipeWriter
	for range most {
		body, end := io.Pipe()
		ends = append(ends, end)
		r := httptest.NewRequest(http.MethodPost, "/", body)
		r.Host = "localhost"
		r.SetBasicAuth(user, password)
		wg.Go(func() { n.do(r) })
		_, _ = end.Write([]byte(" ")) // returns once the server reads
	}
	if status, _ := n.post(`{"method":"uptime"}`); status != 503 {
		t.Errorf("status %d, want 503", status)
	}
	for _, end := range ends {
		_ = end.Close()
	}
	wg.Wait()
	if status, _ := n.post(`{"method":"uptime"}`); status != 200 {
		t.Errorf("status %d afterwards, want 200", status)
	}
}

// TestAQueueAsShortAsItWasAskedFor: a call that waits keeps its place where the places were
// counted.
func TestAQueueAsShortAsItWasAskedFor(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.MaxCalls = 2 })
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 2 {
		wg.Go(func() { n.do(authorized(`{"method":"waitfornewblock"}`).WithContext(ctx)) })
	}
	for { // until both have come
		resp := n.do(authorized(`{"method":"uptime"}`))
		if resp.StatusCode == http.StatusServiceUnavailable {
			text, err := io.ReadAll(resp.Body)
			check(t, err)
			if got := string(text); got != "Work queue depth exceeded" { // which bitcoin-cli shows
				t.Errorf("%q", got)
			}
			return
		}
		runtime.Gosched()
	}
}

func TestServeUntilStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Stop = cancel })
	listeners := make([]net.Listener, 2)
	for i := range listeners {
		var err error
		listeners[i], err = net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
	}
	l := listeners[1]
	done := make(chan error, 1)
	go func() { done <- n.server.Serve(ctx, listeners...) }()
	r, err := http.NewRequest(http.MethodPost, "http://"+l.Addr().String(), strings.NewReader(`{"method":"stop","id":1}`))
	check(t, err)
	r.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(r)
	check(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	// The caller that stops the node is still told so.
	if want := `{"result":"Lode stopping","error":null,"id":1}`; strings.TrimSpace(string(body)) != want {
		t.Errorf("answer %s, want %s", body, want)
	}
	select {
	case err := <-done:
		check(t, err)
	case <-time.After(3 * time.Minute):
		t.Fatal("the server does not stop")
	}
	if _, err := listeners[0].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other listener: %v", err)
	}
}

// TestCallersFromOtherAddresses: where networks are named, who is in none of them is refused
// before anything else of his is looked at, and loopback never is.
func TestCallersFromOtherAddresses(t *testing.T) {
	t.Parallel()
	some := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::7/128")}
	for _, c := range []struct {
		from    string
		allowed []netip.Prefix
		want    int
	}{
		{"192.0.2.1:5", nil, 200},
		{"10.1.2.3:5", some, 200},
		{"[::ffff:10.1.2.3]:5", some, 200},
		{"[2001:db8::7%eth0]:5", some, 200},
		{"127.0.0.9:5", some, 200},
		{"[::1]:5", some, 200},
		{"10.2.0.1:5", some, 403},
		{"[2001:db8::8]:5", some, 403},
		{"nonsense", some, 403},
	} {
		n := newNode(t, "regtest", 0, func(cfg *rpc.Config) { cfg.AllowCallers = c.allowed })
		r := authorized(`{"method":"uptime"}`)
		r.RemoteAddr = c.from
		if resp := n.do(r); resp.StatusCode != c.want {
			t.Errorf("from %s with %v: status %d, want %d", c.from, c.allowed, resp.StatusCode, c.want)
		}
	}
}
