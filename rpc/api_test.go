package rpc_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lode/rpc"
)

// TestAPIIsForLoopbackAndAllowedPages: no password, but neither other machines nor the
// pages of others, unless they were allowed, and these get nothing else.
func TestAPIIsForLoopbackAndAllowedPages(t *testing.T) {
	const page = "https://wallet.example"
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Method+" "+r.URL.Path) })
	with := func(open bool) *testNode {
		return newNode(t, "regtest", 0, func(cfg *rpc.Config) { cfg.Esplora, cfg.OpenEsplora, cfg.AllowOrigins = echo, open, []string{page} })
	}
	shut, open := with(false), with(true)
	for _, x := range []struct {
		name               string
		node               *testNode
		method, path       string
		from, host, origin string
		status             int
		cors               string
	}{
		{"loopback", shut, "GET", "/api/blocks", "127.0.0.1:5", "127.0.0.1:18443", "", 200, ""},
		{"own page", shut, "POST", "/api/tx", "[::1]:5", "localhost:18443", "http://localhost:18443", 200, ""},
		{"another machine", shut, "GET", "/api/blocks", "192.0.2.1:5", "127.0.0.1:18443", "", 403, ""},
		{"another machine, allowed", open, "GET", "/api/blocks", "192.0.2.1:5", "127.0.0.1:18443", "", 200, ""},
		{"another page", open, "GET", "/api/blocks", "127.0.0.1:5", "127.0.0.1:18443", "https://evil.example", 403, ""},
		{"another page posts", open, "POST", "/api/tx", "127.0.0.1:5", "127.0.0.1:18443", "null", 403, ""},
		{"another name", open, "GET", "/api/blocks", "127.0.0.1:5", "evil.example", "", 403, ""},
		{"allowed page", shut, "POST", "/api/tx", "127.0.0.1:5", "127.0.0.1:18443", page, 200, page},
		{"allowed page asks first", shut, "OPTIONS", "/api/txs/package", "127.0.0.1:5", "127.0.0.1:18443", page, 204, page},
		{"allowed page, elsewhere", shut, "POST", "/", "127.0.0.1:5", "127.0.0.1:18443", page, 403, ""},
		{"allowed page, metrics", shut, "GET", "/metrics", "127.0.0.1:5", "127.0.0.1:18443", page, 403, ""},
	} {
		r := httptest.NewRequest(x.method, x.path, strings.NewReader(""))
		if r.RemoteAddr, r.Host = x.from, x.host; x.origin != "" {
			r.Header.Set("Origin", x.origin)
		}
		resp := x.node.do(r)
		if resp.StatusCode != x.status || resp.Header.Get("Access-Control-Allow-Origin") != x.cors {
			t.Errorf("%s: %s, allowed %q", x.name, resp.Status, resp.Header.Get("Access-Control-Allow-Origin"))
		}
	}
}
