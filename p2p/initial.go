package p2p

import (
	"cmp"
	"time"

	"lode/consensus"
)

// DefaultMaxTipAge is how old the tip may be when the initial download ends, as in
// Bitcoin Core (validation.h).
const DefaultMaxTipAge = 24 * time.Hour

func (n *Node) maxTipAge() time.Duration { return cmp.Or(n.cfg.MaxTipAge, DefaultMaxTipAge) }

// initialDownload tells whether a node is still in its initial block download, by
// the rule of Bitcoin Core (validation.cpp, IsInitialBlockDownload):
//
//	in it  until the tip has the work that the network's chain is known to have,
//	       and is younger than it may be, a day
//	over   from then on, whatever comes
//
// It governs what Core gates by it: no transaction is asked for or looked at, and
// peers are asked to announce none. It says nothing about mining, see syncWatch.
// The zero value is in it.
type initialDownload struct{ over bool }

// step looks at the tip, which may be as old as age, and reports whether the download is
// still under way.
func (d *initialDownload) step(tip *consensus.State, least *consensus.Work, age time.Duration, now time.Time) bool {
	if !d.over {
		d.over = !tip.Work.Lt(least) && int64(tip.Time) >= now.Unix()-int64(age/time.Second)
	}
	return !d.over
}

// InitialBlockDownload reports what getblockchaininfo calls by this name: the tip
// has less work than the network's chain is known to have, or is older than a
// day, and that was never otherwise since the start.
func (n *Node) InitialBlockDownload() bool {
	if n.sync.initialOver.Load() {
		return false
	}
	tip, now := n.chain.Tip(), n.wall.Now()
	n.sync.mu.Lock()
	defer n.sync.mu.Unlock()
	if n.sync.initial.step(&tip, &n.minWork, n.maxTipAge(), now) {
		return true
	}
	n.sync.initialOver.Store(true)
	return false
}

// filterRates is what the fee filters of peers depend on now.
func (n *Node) filterRates() (r filterRates) {
	s := n.pool.Stats()
	r.floor, r.step = int64(s.Policy.MinRelay), int64(s.Policy.Increment)
	if s.MinFeeRate > s.Policy.MinRelay {
		r.rate = int64(s.MinFeeRate)
	}
	if n.InitialBlockDownload() {
		r.stop = int64(n.cfg.Spec.Rules.MaxMoney)
	}
	return r
}

// tellFilters sends the fee filters that are due, such as when the initial download has
// ended.
func (n *Node) tellFilters(now time.Time) {
	rates := n.filterRates()
	for _, p := range n.ready() {
		p.sendFeeFilter(rates, now)
	}
}
