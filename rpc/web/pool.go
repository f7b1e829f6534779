package web

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"lode/consensus"
)

// band is what the mempool holds between two fee rates.
type band struct {
	From   float64          `json:"from"` // sat/vB
	VBytes int              `json:"vbytes"`
	Fees   consensus.Amount `json:"fees"`
	Weight int              `json:"-"`
}

// bandEdges are the fee rates, in sat/vB, where a colour ends.
var bandEdges = []float64{0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 400, 1000}

// poolCache keeps what is dear to make of the mempool for a moment: however many look,
// it is made once a second.
type poolCache struct {
	mu   sync.Mutex // guards what follows
	at   time.Time
	made map[string]any
}

func (h *Handler) mempool(*http.Request, []string) (any, error) {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	if h.pool.made != nil && time.Since(h.pool.at) < time.Second {
		return h.pool.made, nil
	}
	if err := h.cfg.Pool.Sync(); err != nil {
		return nil, err
	}
	tip := h.cfg.Chain.Tip()
	limit := h.cfg.Chain.Rules().BlockWeightLimit(&tip)
	stats := h.cfg.Pool.Stats()
	bands := make([]band, len(bandEdges))
	for i := range bands {
		bands[i].From = bandEdges[i]
	}
	edges := []float64{} // fee rates where blocks would end
	weight, fees, next := 0, consensus.Amount(0), limit
	nextFees, nextRate := consensus.Amount(0), 0.0
	for _, c := range h.cfg.Pool.Diagram() {
		w, f := c.Weight-weight, c.Fees-fees
		if w <= 0 {
			continue
		}
		rate := float64(f) * 4 / float64(w)
		at := len(bands) - 1
		for at > 0 && bandEdges[at] > rate {
			at--
		}
		bands[at].Weight, bands[at].Fees = bands[at].Weight+w, bands[at].Fees+f
		if weight, fees = c.Weight, c.Fees; weight <= limit {
			nextFees, nextRate = fees, rate
		}
		for weight >= next && len(edges) < 8 {
			edges, next = append(edges, rate), next+limit
		}
	}
	for i := range bands {
		bands[i].VBytes = bands[i].Weight / 4
	}
	nextWeight := min(weight, limit)
	h.pool.at = time.Now()
	h.pool.made = map[string]any{
		"count": stats.Count, "vbytes": stats.VBytes, "fees": stats.Fees, "memory": stats.Memory, "max": stats.Policy.MaxMemory, "minrate": stats.MinFeeRate,
		"bands": bands, "edges": edges, "limit": limit / 4,
		"next": map[string]any{"vbytes": nextWeight / 4, "fees": nextFees, "rate": nextRate}, "clusters": h.clusters(),
	}
	return h.pool.made, nil
}

const (
	maxClusters   = 40
	maxClusterTxs = 400 // that are looked at
)

// clusters lists those that a miner wants first.
func (h *Handler) clusters() [][]member {
	ids, _ := h.cfg.Pool.TxIDs()
	seen := make(map[consensus.Hash]bool)
	list := [][]member{}
	for _, id := range ids[:min(len(ids), maxClusterTxs)] {
		if seen[id] || len(list) == maxClusters {
			continue
		}
		c := h.cluster(id)
		for i := range c {
			seen[c[i].TxID] = true
		}
		if len(c) > 0 {
			list = append(list, c)
		}
	}
	return list
}

// peers lists the peers; their addresses only to who is on this machine.
func (h *Handler) peers(r *http.Request, _ []string) (any, error) {
	raw, err := h.call(r.Context(), "getpeerinfo")
	if err != nil {
		return nil, err
	}
	var list []map[string]any
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	shown := []map[string]any{}
	for _, p := range list {
		if p["version"] == 0. { // it has said nothing yet
			continue
		}
		one := make(map[string]any)
		for _, field := range []string{
			"id", "inbound", "connection_type", "transport_protocol_type", "version", "subver", "services", "servicesnames", "startingheight", "synced_headers", "synced_blocks",
			"pingtime", "minping", "bytessent", "bytesrecv", "conntime", "last_block", "last_transaction", "relaytxes", "minfeefilter", "bip152_hb_to", "bip152_hb_from", "timeoffset",
		} {
			if v, ok := p[field]; ok {
				one[field] = v
			}
		}
		if h.cfg.Local(r) {
			one["addr"] = p["addr"]
		} else if text, ok := p["addr"].(string); ok {
			if a, err := netip.ParseAddrPort(text); err == nil && a.Addr().IsLoopback() {
				one["addr"] = "loopback"
			}
		}
		shown = append(shown, one)
	}
	return map[string]any{"peers": shown, "hidden": !h.cfg.Local(r)}, nil
}

func (h *Handler) miners(r *http.Request, _ []string) (any, error) {
	raw, err := h.cfg.Call(r.Context(), "getpoolinfo")
	if err != nil {
		return map[string]any{"missing": err.Error()}, nil
	}
	return map[string]any{"pool": raw}, nil
}

// rules are those of the network, as its chainspec has them.
func (h *Handler) rules(*http.Request, []string) (any, error) {
	return map[string]any{"name": h.cfg.Spec.Name, "id": h.cfg.Spec.Rules.ID(), "genesis": h.cfg.Spec.Rules.GenesisHash(), "rules": &h.cfg.Spec.Rules, "defaults": h.cfg.Spec.Defaults}, nil
}
