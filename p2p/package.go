package p2p

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"slices"

	"lode/consensus"
	"lode/mempool"
)

// A transaction that pays too little comes in with a child that pays for both,
// one parent with one child. The child is announced, because its own fee rate is
// above everybody's feefilter, and is an orphan; who has announced it is asked
// for the parent. Or the parent was announced too, and came first. Either way the
// pair is tried when the parent comes. A parent that was refused for its fee is
// therefore not refused for good: it is not fetched when it is announced, but it
// is when an orphan needs it.
//
// This is what Bitcoin Core does (txdownloadman_impl.cpp).

// tryWithChild tries a parent that pays too little together with an orphan that
// spends it. p has sent the parent.
func (n *Node) tryWithChild(p *peer, parent *orphan) {
	child := n.relay.childOf(parent, p)
	if child == nil {
		return
	}
	res := n.pool.AddPackage([]*consensus.Tx{parent.tx, child.tx}, 0)
	if n.relay.triedPair(parent, child, res); len(res.Txs) == 0 {
		return
	}
	if res.Txs[0].Err == nil {
		p.gaveTx()
	}
	for i, o := range []*orphan{parent, child} {
		if err := res.Txs[i].Err; err != nil && !errors.Is(err, consensus.ErrMissingInputs) {
			n.refuse(o, err)
		}
	}
}

// childOf finds the newest orphan that spends parent and that p has announced.
// Those of others could be a stranger's, made so that the right one is not found.
func (r *relay) childOf(parent *orphan, p *peer) *orphan {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*orphan
	for _, o := range r.orphans {
		if slices.Contains(o.from, p) && o.spends(parent.txid) && !r.cheap.has(pairHash(parent, o)) {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return slices.MaxFunc(list, func(a, b *orphan) int {
		return cmp.Or(a.expires.Compare(b.expires), slices.Compare(a.wtxid[:], b.wtxid[:]))
	})
}

// triedPair remembers what became of a pair. A child that could not be judged, as
// it misses another parent too or this one has a wrong witness, stays an orphan,
// and the pair may be tried again.
func (r *relay) triedPair(parent, child *orphan, res mempool.PackageResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := len(res.Txs) > 0 && errors.Is(res.Txs[1].Err, consensus.ErrMissingInputs)
	if !missing {
		delete(r.orphans, child.wtxid)
	}
	if !missing || !errors.Is(res.Err, mempool.ErrPackageTx) {
		r.cheap.add(pairHash(parent, child))
	}
}

// pairHash names a parent and a child among single transactions.
func pairHash(parent, child *orphan) consensus.Hash {
	return sha256.Sum256(slices.Concat(parent.wtxid[:], child.wtxid[:]))
}
