package stream

import (
	"math"
	"slices"

	"lode/miner"
	"lode/miner/stratum"
	"lode/p2p"
)

// known is what was told of peers, miner, pool and warnings, which are looked at now
// and then: what comes and goes in between is not told.
type known struct {
	peers    map[int64]peerEvent
	miner    miner.Stats
	pool     poolEvent
	warnings []string
}

type peerEvent struct {
	ID        int64  `json:"id"`
	Inbound   bool   `json:"inbound"`
	Kind      string `json:"kind"`
	Transport string `json:"transport"`
	Addr      string `json:"addr"`
	UserAgent string `json:"subver"`
}

type minerEvent struct {
	HashRate float64 `json:"hashrate"` // hashes a second
	Accepted uint64  `json:"accepted"`
	Rejected uint64  `json:"rejected"`
	Stale    uint64  `json:"stale"`
}

type poolEvent struct {
	Connections int     `json:"connections"`
	HashRate    float64 `json:"hashrate"`
	Shares      uint64  `json:"shares"` // accepted
	Blocks      int     `json:"blocks"`
	Orphans     int     `json:"orphans"`
}

// changes tells what is not as it was told before.
func (k *known) changes(src *Sources) (list []pending) {
	if src.Peers != nil {
		list = k.peerChanges(src.Peers())
	}
	if src.Miner != nil {
		if s := src.Miner(); s.Accepted != k.miner.Accepted || s.Rejected != k.miner.Rejected || s.Stale != k.miner.Stale || differ(s.HashRate, k.miner.HashRate) {
			k.miner = s
			list = append(list, newPending(Miner, "state", minerEvent{s.HashRate, s.Accepted, s.Rejected, s.Stale}))
		}
	}
	if src.Pool != nil {
		if p := poolOf(src.Pool()); p.Connections != k.pool.Connections || p.Blocks != k.pool.Blocks || p.Orphans != k.pool.Orphans || differ(p.HashRate, k.pool.HashRate) {
			k.pool = p
			list = append(list, newPending(Pool, "state", p))
		}
	}
	if src.Warnings != nil {
		if w := src.Warnings(); !slices.Equal(w, k.warnings) {
			k.warnings = slices.Clone(w)
			list = append(list, newPending(Warnings, "state", struct {
				Warnings []string `json:"warnings"`
			}{append([]string{}, w...)}))
		}
	}
	return list
}

func poolOf(i stratum.Info) poolEvent {
	return poolEvent{i.Connections, i.HashRate, i.Shares.Accepted, i.Blocks, i.Orphans}
}

// differ reports whether a rate is another one, and not only measured again.
func differ(a, b float64) bool { return math.Abs(a-b) > 0.1*max(math.Abs(a), math.Abs(b)) }

func (k *known) peerChanges(peers []p2p.PeerInfo) (list []pending) {
	now := make(map[int64]peerEvent, len(peers))
	for i := range peers {
		p := &peers[i]
		if !p.HandshakeIsOver {
			continue
		}
		e := peerEvent{p.ID, p.Inbound, p.Kind, p.Transport, p.Addr, p.SubVer}
		now[p.ID] = e
		if _, there := k.peers[p.ID]; !there {
			list = append(list, newPending(Peers, "connected", e))
		}
	}
	for id, e := range k.peers {
		if _, there := now[id]; !there {
			list = append(list, newPending(Peers, "disconnected", e))
		}
	}
	k.peers = now
	return list
}
