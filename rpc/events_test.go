package rpc_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"lode/rpc"
)

// fakeEvents says which stream was asked for.
type fakeEvents struct{}

func (fakeEvents) ServeWS(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ws") }
func (fakeEvents) ServeEvents(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "events")
}

// TestWhoMayFollowEvents asks for both streams from here and from elsewhere.
func TestWhoMayFollowEvents(t *testing.T) {
	list, err := rpc.NewWhitelist([]string{user + ":uptime"}, nil)
	check(t, err)
	for _, test := range []struct {
		path, from, method string
		password           bool
		change             func(*rpc.Config)
		want               int
	}{
		{path: "/ws", want: 401},
		{path: "/ws", password: true, want: 200},
		{path: "/ws", from: "203.0.113.1:5", password: true, want: 200},
		{path: "/ws", password: true, change: func(c *rpc.Config) { c.Whitelist = list }, want: 403},
		{path: "/events", want: 200},
		{path: "/events", method: "POST", want: 405},
		{path: "/events", from: "203.0.113.1:5", want: 403},
		{path: "/events", from: "203.0.113.1:5", change: func(c *rpc.Config) { c.OpenPage = true }, want: 200},
	} {
		n := newNode(t, "regtest", 0, func(c *rpc.Config) {
			c.Events = fakeEvents{}
			if test.change != nil {
				test.change(c)
			}
		})
		method := test.method
		if method == "" {
			method = http.MethodGet
		}
		r := httptest.NewRequest(method, test.path, nil)
		r.Host, r.RemoteAddr = "127.0.0.1:18443", "127.0.0.1:5"
		if test.from != "" {
			r.RemoteAddr = test.from
		}
		if test.password {
			r.SetBasicAuth(user, password)
		}
		if got := n.do(r).StatusCode; got != test.want {
			t.Errorf("%+v: status %d", test, got)
		}
	}
}
