package p2p

import (
	"cmp"
	"slices"
	"time"
)

// How many inbound peers are kept for one quality when all places are taken, as
// in Bitcoin Core (node/eviction.cpp). Each is hard to have for an attacker who
// only opens many connections.
const (
	keptByGroup      = 4 // whose network group has the lowest of secret numbers
	keptByPing       = 8
	keptByTx         = 4 // that gave new transactions last
	keptByBlocksOnly = 8 // that want no transactions, and gave new blocks last
	keptByBlock      = 4 // that gave new blocks last
)

// candidate is an inbound peer that may have to make room for another.
type candidate struct {
	peer        *peer
	connected   time.Time
	minPing     time.Duration // 0 if unknown
	lastTx      time.Time
	lastBlock   time.Time
	relayTxs    bool
	group       string // network group
	keyedGroup  int    // a number for group that only this node knows
	discouraged bool
	ready       bool // its handshake is over
}

// evict chooses who has to go: after those who are kept for a quality, and the
// half of the others that are connected longest, one of the network group that has
// most: of those whose handshake is not over the one who has had most time for it,
// or else the youngest. (Bitcoin Core takes the youngest. An honest peer is that
// until its first pong has come, and a flood of connections without a handshake
// would push it out again and again.) ok is false if nobody is left. It destroys
// list.
func evict(list []candidate) (victim candidate, ok bool) {
	all := func(*candidate) bool { return true }
	keep := func(count int, which func(*candidate) bool, best func(a, b candidate) int) {
		slices.SortStableFunc(list, best)
		list = slices.DeleteFunc(list, func(c candidate) bool {
			if count > 0 && which(&c) {
				count--
				return true
			}
			return false
		})
	}
	oldest := func(a, b candidate) int { return a.connected.Compare(b.connected) }
	latest := func(at func(*candidate) time.Time) func(a, b candidate) int {
		return func(a, b candidate) int { return cmp.Or(at(&b).Compare(at(&a)), oldest(a, b)) }
	}
	gaveBlock := func(c *candidate) bool { return !c.lastBlock.IsZero() }
	blockTime := latest(func(c *candidate) time.Time { return c.lastBlock })

	keep(keptByGroup, all, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.keyedGroup, b.keyedGroup), oldest(a, b)) })
	keep(keptByPing, func(c *candidate) bool { return c.minPing > 0 }, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.minPing, b.minPing), oldest(a, b)) })
	keep(keptByTx, func(c *candidate) bool { return !c.lastTx.IsZero() }, latest(func(c *candidate) time.Time { return c.lastTx }))
	keep(keptByBlocksOnly, func(c *candidate) bool { return !c.relayTxs && gaveBlock(c) }, blockTime)
	keep(keptByBlock, gaveBlock, blockTime)
	keep(len(list)/2, all, oldest)

	if slices.ContainsFunc(list, func(c candidate) bool { return c.discouraged }) {
		list = slices.DeleteFunc(list, func(c candidate) bool { return !c.discouraged })
	}
	members := make(map[string]int)
	for _, c := range list {
		members[c.group]++
	}
	for _, c := range list { // the oldest first: of groups as large the one with the youngest member counts
		if !ok || members[c.group] >= members[victim.group] {
			victim, ok = c, true
		}
	}
	if i := slices.IndexFunc(list, func(c candidate) bool { return c.group == victim.group && !c.ready }); i >= 0 {
		victim = list[i]
	}
	return victim, ok
}
