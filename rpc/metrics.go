package rpc

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lode/miner"
	"lode/miner/stratum"
)

// newMetrics answers a scrape (Prometheus): what the node knows of itself, and the
// process.
func (s *Server) newMetrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(nodeMetrics{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4,
	})
}

// serveMetrics asks for no password: they are read-only, and for loopback alone
// unless the node was told otherwise.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	local := err == nil && from.Addr().Unmap().IsLoopback()
	switch {
	case !local && !s.cfg.OpenMetrics:
		http.Error(w, "the metrics are for this machine alone; allow others with --open-metrics", http.StatusForbidden)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the metrics can only be read", http.StatusMethodNotAllowed)
	default:
		p := page{ResponseWriter: w}
		s.metrics.ServeHTTP(&p, r)
		limitWrite(w)
		_, _ = p.body.WriteTo(w) // the caller has gone if this fails
	}
}

// page keeps the body of an answer until it is whole: callers that do not read
// theirs would take the few places of those that are made.
type page struct {
	http.ResponseWriter
	body bytes.Buffer
}

// Write implements io.Writer.
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }

// nodeMetrics reads the figures at each scrape.
type nodeMetrics struct{ *Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("lode_"+name, help, labels, nil)
}

var (
	infoDesc     = describe("info", "What this node is; always 1.", "version", "network")
	heightDesc   = describe("height", "Blocks in the active chain behind genesis.")
	headersDesc  = describe("headers", "Height of the header with the most work.")
	tipDesc      = describe("tip_time_seconds", "Time of the tip, Unix seconds.")
	syncingDesc  = describe("syncing", "1 while templates wait for blocks that are being fetched.")
	initialDesc  = describe("initial_block_download", "1 until the tip has enough work and is younger than a day.")
	readyDesc    = describe("ready", "1 while the node has the chain, as /readyz says.")
	failedDesc   = describe("database_failed", "1 once the database has failed; the node stops.")
	diffDesc     = describe("difficulty", "Difficulty of the tip.")
	branchDesc   = describe("branches", "Known headers without children beside the tip.")
	warningsDesc = describe("warnings", "Warnings that the node has now.")
	callsDesc    = describe("rpc_calls_in_progress", "Calls that are being answered.")
	uptimeDesc   = describe("uptime_seconds", "Since the node was started.")
	poolRateMin  = describe("mempool_min_feerate_sat_per_kvb", "What a transaction must pay to come in, for 1,000 virtual bytes.")
	peersDesc    = describe("peers", "Connected peers.", "direction")
	trafficDesc  = describe("network_bytes_total", "Traffic with peers.", "direction")
	poolTxsDesc  = describe("mempool_transactions", "Unconfirmed transactions.")
	poolSizeDesc = describe("mempool_virtual_bytes", "Their virtual size.")
	poolUseDesc  = describe("mempool_memory_bytes", "Memory that they take.")
	poolFeesDesc = describe("mempool_fees_sat", "Their fees.")
	rateDesc     = describe("mining_hashes_per_second", "Hash rate of the miner in this node, lately.")
	findsDesc    = describe("mining_finds_total", "Blocks that it has found.", "outcome")
	minersDesc   = describe("pool_connections", "Connections of miners to the pool.")
	poolRateDesc = describe("pool_hashes_per_second", "Hash rate of the pool's miners, estimated from their shares.")
	sharesDesc   = describe("pool_shares_total", "Shares that the pool was given.", "outcome")
	blocksDesc   = describe("pool_blocks", "Blocks of the pool that are in the chain.")
)

// Describe implements prometheus.Collector. What there is to tell depends on the
// node, so that it says nothing before.
func (nodeMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m nodeMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(infoDesc, 1, m.cfg.Version, m.cfg.Spec.Name)
	tip, best := m.cfg.Chain.Tip(), m.cfg.Chain.BestHeader()
	gauge(heightDesc, float64(tip.Height))
	gauge(headersDesc, float64(best.Height))
	gauge(tipDesc, float64(tip.Time))
	gauge(syncingDesc, oneIf(m.cfg.Network.Syncing()))
	gauge(initialDesc, oneIf(m.cfg.Network.InitialBlockDownload()))
	state, _ := m.state()
	gauge(readyDesc, oneIf(state == stateReady))
	gauge(failedDesc, oneIf(state == stateFailed))
	gauge(diffDesc, difficulty(m.bitsOf(tip.Hash)))
	gauge(branchDesc, float64(len(m.cfg.Chain.Tips())-1))
	gauge(warningsDesc, float64(len(m.warnings())))
	gauge(callsDesc, float64(len(m.running.calls())))
	gauge(uptimeDesc, m.cfg.Clock.Wall.Now().Sub(m.started).Seconds())
	in, out := m.cfg.Network.ConnectionCount()
	gauge(peersDesc, float64(in), "in")
	gauge(peersDesc, float64(out), "out")
	received, sent := m.cfg.Network.NetTotals()
	count(trafficDesc, received, "in")
	count(trafficDesc, sent, "out")
	pool := m.cfg.Pool.Stats()
	gauge(poolTxsDesc, float64(pool.Count))
	gauge(poolSizeDesc, float64(pool.VBytes))
	gauge(poolUseDesc, float64(pool.Memory))
	gauge(poolFeesDesc, float64(pool.Fees))
	gauge(poolRateMin, float64(pool.MinFeeRate))
	if m.cfg.Mining != nil {
		m.mining(m.cfg.Mining.Stats(), gauge, count)
	}
	if m.cfg.Miners != nil {
		m.miners(m.cfg.Miners.Info(), gauge, count)
	}
}

func oneIf(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

func (nodeMetrics) mining(s miner.Stats, gauge func(*prometheus.Desc, float64, ...string), count func(*prometheus.Desc, uint64, ...string)) {
	gauge(rateDesc, s.HashRate)
	count(findsDesc, s.Accepted, "accepted")
	count(findsDesc, s.Rejected, "rejected")
	count(findsDesc, s.Stale, "stale")
}

func (nodeMetrics) miners(i stratum.Info, gauge func(*prometheus.Desc, float64, ...string), count func(*prometheus.Desc, uint64, ...string)) {
	gauge(minersDesc, float64(i.Connections))
	gauge(poolRateDesc, i.HashRate)
	count(sharesDesc, i.Shares.Accepted, "accepted")
	count(sharesDesc, i.Shares.Stale, "stale")
	count(sharesDesc, i.Shares.Duplicate, "duplicate")
	count(sharesDesc, i.Shares.Low, "low")
	count(sharesDesc, i.Shares.Invalid, "invalid")
	gauge(blocksDesc, float64(i.Blocks))
}
