package rpc_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"lode/rpc"
)

// TestHealthAndReadiness asks a node that is ready, one that syncs and one whose database
// has failed.
func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 2)
	for _, c := range []struct {
		do           func()
		path         string
		status       int
		text         string
		method, from string
	}{
		{path: "/healthz", status: 200, text: "ok"},
		{path: "/readyz", status: 200, text: "ready"},
		{path: "/readyz", status: 405, method: "POST", text: "this can only be read"},
		{path: "/readyz", status: 403, from: "192.0.2.1:5", text: "this is for this machine alone; allow others with --open-metrics"},
		{do: func() { n.net.syncing = true }, path: "/readyz", status: 503, text: "syncing: 2 of 2 blocks"},
		{path: "/healthz", status: 200, text: "ok"},
		{do: func() { n.net.syncing, n.net.initial = false, true }, path: "/readyz", status: 503, text: "syncing: 2 of 2 blocks"},
		{do: func() { n.net.initial = false; _ = n.chain.Close() }, path: "/readyz", status: 503, text: "stopped by an error of the database: "},
		{path: "/healthz", status: 503, text: "stopped by an error of the database: "},
	} {
		if c.do != nil {
			c.do()
		}
		if c.method == "" {
			c.method = "GET"
		}
		if c.from == "" {
			c.from = "127.0.0.1:5"
		}
		r := httptest.NewRequest(c.method, "http://127.0.0.1"+c.path, nil)
		r.RemoteAddr = c.from
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.text) {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, w.Code, w.Body, c.status, c.text)
		}
	}
}

// TestDashboardAndAlertsNameMetricsThatExist compares what the dashboard and the alerts
// ask for with what a node tells.
func TestDashboardAndAlertsNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Mining, c.Miners = fakeMiner{}, fakePool{} })
	resp, err := http.Get(n.http.URL + "/metrics")
	check(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	names := regexp.MustCompile(`\b(?:lode|process|go)_[a-z_]+\b`)
	for _, file := range []string{"../testnet/deploy/grafana/lode.json", "../testnet/deploy/prometheus/alerts.yml"} {
		b, err := os.ReadFile(file)
		check(t, err)
		asked := names.FindAllString(string(b), -1)
		if len(asked) < 10 {
			t.Errorf("%s asks for %d metrics", file, len(asked))
		}
		for _, name := range asked {
			if !strings.Contains(string(body), "# TYPE "+name+" ") {
				t.Errorf("%s asks for %s, which no node tells", file, name)
			}
		}
	}
}
