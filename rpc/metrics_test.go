package rpc_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"lode/rpc"
)

// TestMetrics reads what the node tells of itself, without a password.
func TestMetrics(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102, func(c *rpc.Config) { c.Mining, c.Miners = fakeMiner{}, fakePool{} })
	check(t, n.pool.Add(n.payment(1, 1000)))
	resp, err := http.Get(n.http.URL + "/metrics")
	check(t, err)
	defer resp.Body.Close()
	var b strings.Builder
	check(t, resp.Write(&b))
	for _, line := range []string{
		`lode_info{network="regtest",version="1.2.3"} 1`, "lode_height 102", "lode_headers 102", "lode_syncing 0", "lode_initial_block_download 0", `lode_peers{direction="in"} 1`,
		`lode_network_bytes_total{direction="out"} 400`, "lode_mempool_transactions 1", "lode_mempool_fees_sat 1000",
		"lode_mining_hashes_per_second 1234", `lode_mining_finds_total{outcome="accepted"} 5`,
		"lode_pool_connections 2", "lode_pool_hashes_per_second 1.0000004e+06", `lode_pool_shares_total{outcome="stale"} 4`, "lode_pool_blocks 7", "go_goroutines ",
	} {
		if !strings.Contains(b.String(), "\n"+line) {
			t.Errorf("no %q in\n%s", line, b.String())
		}
	}
}

// TestMetricsAreForLoopback refuses others, whatever they ask for, unless told
// otherwise.
func TestMetricsAreForLoopback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, method string
		open         bool
		status       int
	}{
		{"127.0.0.1:5", "GET", false, 200}, {"[::1]:5", "HEAD", false, 200}, {"[::ffff:127.0.0.1]:5", "GET", false, 200},
		{"127.0.0.1:5", "POST", false, 405},
		{"192.0.2.1:5", "GET", false, 403}, {"192.0.2.1:5", "GET", true, 200}, {"strange", "GET", false, 403},
	} {
		n := newNode(t, "regtest", 0, func(cfg *rpc.Config) { cfg.OpenMetrics = c.open })
		r := httptest.NewRequest(c.method, "http://127.0.0.1/metrics", nil)
		r.RemoteAddr = c.from
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s from %s: %d, want %d", c.method, c.from, w.Code, c.status)
		}
		if c.status != 200 && strings.Contains(w.Body.String(), "lode_") {
			t.Errorf("%s from %s gets metrics", c.method, c.from)
		}
	}
}

// unread is an answer whose caller reads nothing of its body before it is told to.
type unread struct {
	*httptest.ResponseRecorder
	writes, reads chan struct{}
}

func (u unread) Write(b []byte) (int, error) {
	select {
	case u.writes <- struct{}{}:
	default:
	}
	<-u.reads
	return u.ResponseRecorder.Write(b)
}

// TestMetricsForReadersOnly has more callers ask for metrics and not read them than
// are answered at once: the next one is answered.
func TestMetricsForReadersOnly(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	get := func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/metrics", nil)
		r.RemoteAddr = "127.0.0.1:5"
		return r
	}
	writes, reads := make(chan struct{}, 100), make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { n.server.ServeHTTP(unread{httptest.NewRecorder(), writes, reads}, get()) })
		<-writes
	}
	w := httptest.NewRecorder()
	n.server.ServeHTTP(w, get())
	close(reads)
	wg.Wait()
	if w.Code != 200 || !strings.Contains(w.Body.String(), "lode_height") {
		t.Errorf("status %d: %.200s", w.Code, w.Body)
	}
}
