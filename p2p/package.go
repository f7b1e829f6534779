package p2p

import (
	"crypto/sha256"
	"errors"
	"slices"

	"lode/consensus"
	"lode/mempool"
	"lode/p2p/orphanage"
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
func (n *Node) tryWithChild(p *peer, parent arrival) {
	child, ok := n.relay.childOf(parent.Orphan, p)
	if !ok {
		return
	}
	res := n.pool.AddPackage([]*consensus.Tx{parent.Tx, child.Tx}, 0)
	if n.relay.triedPair(parent, child, res); len(res.Txs) == 0 {
		return
	}
	if res.Txs[0].Err == nil {
		p.gaveTx()
	}
	for i, a := range []arrival{parent, {child, parent.tips}} {
		if err := res.Txs[i].Err; err != nil && !errors.Is(err, consensus.ErrMissingInputs) {
			n.refuse(a, err)
		}
	}
}

// childOf finds the newest orphan that spends parent and that p has announced.
// Those of others could be a stranger's, made so that the right one is not found.
func (r *relay) childOf(parent orphanage.Orphan, p *peer) (child orphanage.Orphan, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, child := range r.orphans.Children(p, parent.TxID, len(parent.Tx.Out)) {
		if !r.cheap.has(pairHash(parent, child)) {
			return child, true
		}
	}
	return child, false
}

// triedPair remembers what became of a pair. A child that could not be judged, as
// it misses another parent too or this one has a wrong witness, stays an orphan,
// and the pair may be tried again.
func (r *relay) triedPair(parent arrival, child orphanage.Orphan, res mempool.PackageResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing := len(res.Txs) > 0 && errors.Is(res.Txs[1].Err, consensus.ErrMissingInputs)
	if !missing {
		r.orphans.Remove(child.WTxID)
	}
	if r.tips == parent.tips && (!missing || !errors.Is(res.Err, mempool.ErrPackageTx)) {
		r.cheap.add(pairHash(parent.Orphan, child))
	}
}

// pairHash names a parent and a child among single transactions.
func pairHash(parent, child orphanage.Orphan) consensus.Hash {
	return sha256.Sum256(slices.Concat(parent.WTxID[:], child.WTxID[:]))
}
