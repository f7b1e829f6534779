package p2p

import (
	"errors"
	"slices"
	"time"

	"lode/consensus"
	"lode/mempool"
)

// handleTx deals with a transaction that p has sent.
func (n *Node) handleTx(p *peer, tx *consensus.Tx) {
	o := &orphan{tx: tx, txid: tx.TxID(), wtxid: tx.WTxID(), expires: time.Now().Add(orphanLife)}
	defer func() {
		_, have := n.pool.ByTxID(o.txid)
		n.relay.judged(p, o.txid, have)
	}()
	worth := n.relay.came(p, o)
	if n.InitialBlockDownload() {
		return
	}
	defer n.overtaken(n.chain.Tip().Hash)
	switch worth {
	case worthLook:
		n.takeTx(p, o)
	case worthPair:
		n.tryWithChild(p, o)
	case worthParents:
		n.askParents(o, []*peer{p})
	}
}

// takeTx gives the pool a transaction that p has sent.
func (n *Node) takeTx(p *peer, o *orphan) {
	if _, have := n.pool.ByWTxID(o.wtxid); have {
		return
	}
	switch err := n.pool.Add(o.tx); {
	case err == nil:
		p.gaveTx()
	case errors.Is(err, consensus.ErrMissingInputs):
		n.adopt(o)
	default:
		n.refuse(o, err)
		if mempool.IsTooCheap(err) {
			n.tryWithChild(p, o)
		}
	}
}

// gaveTx notes that the peer has sent a transaction that was good.
func (p *peer) gaveTx() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.lastTx = time.Now()
}

// overtaken deals with a verdict that was begun when the tip was another: newTip
// may have come before the verdict was remembered.
func (n *Node) overtaken(begun consensus.Hash) {
	if n.chain.Tip().Hash != begun {
		n.relay.newTip()
	}
}

// worth says what is to be done with a transaction that has come.
type worth int

const (
	worthNothing worth = iota // it was refused before, or p has sent it before
	worthLook
	worthPair    // it pays too little: it may come in with a child
	worthParents // it is an orphan: p may have its parents
)

// came notes that p has sent a transaction, and in o.from who has announced it.
func (r *relay) came(p *peer, o *orphan) worth {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.wtxidRelay {
		p.relay.known.add(o.wtxid)
	} else {
		p.relay.known.add(o.txid)
	}
	o.from = []*peer{p}
	for _, hash := range []consensus.Hash{o.wtxid, o.txid} {
		if req := r.requests[hash]; req != nil {
			for _, other := range append(req.others, req.peer) {
				o.announcedBy(other)
			}
		}
	}
	if o.wtxid != o.txid { // without a witness it could be anybody's mutilation
		r.done(o.wtxid)
	}
	kept, waits := r.orphans[o.wtxid]
	switch {
	case waits && kept.announcedBy(p):
		return worthParents
	case waits || r.rejected.has(o.wtxid):
		return worthNothing
	case r.cheap.has(o.wtxid):
		return worthPair
	}
	return worthLook
}

// refuse remembers that a transaction is not wanted. Only the witness id can be
// remembered: another witness may make the same transaction valid. For the same
// reason nothing is remembered of one without a witness, whose two ids are one.
func (n *Node) refuse(o *orphan, err error) {
	if !mempool.IsRefusal(err) {
		n.fatal(err)
		return // the trouble is ours
	}
	if errors.Is(err, mempool.ErrKnown) || errors.Is(err, mempool.ErrSameTxID) {
		return // somebody else was faster
	}
	if o.wtxid == o.txid {
		return
	}
	n.log.Debug("transaction refused", "wtxid", o.wtxid, "error", err)
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	if mempool.IsTooCheap(err) {
		n.relay.cheap.add(o.wtxid)
	} else {
		n.relay.rejected.add(o.wtxid)
	}
}

// adopt keeps a transaction until its parents come, and asks for them.
func (n *Node) adopt(o *orphan) {
	parents, ok := o.parents()
	if !ok || o.tx.Size() > maxOrphanSize || o.wtxid == o.txid {
		return // nothing is valid without a witness
	}
	missing := n.notInPool(parents)
	if len(missing) == 0 { // all have come by now, or what it spends is spent
		n.relay.tryAgain(o)
		return
	}
	n.keepOrphan(o, missing)
}

// keepOrphan keeps a transaction that the pool has refused when these parents
// were missing, and asks for them.
func (n *Node) keepOrphan(o *orphan, missing []consensus.Hash) {
	r := n.relay
	r.mu.Lock()
	o.from = slices.DeleteFunc(o.from, func(p *peer) bool { _, here := r.peers[p]; return !here })
	r.orphans.add(o)
	r.wantParents(missing, o.from)
	r.mu.Unlock()
	if len(n.notInPool(missing)) < len(missing) {
		r.parentCame(missing) // while it was being kept
	}
}

func (n *Node) notInPool(txids []consensus.Hash) (list []consensus.Hash) {
	for _, id := range txids {
		if _, have := n.pool.ByTxID(id); !have {
			list = append(list, id)
		}
	}
	return list
}

// askParents asks peers that have announced an orphan for its parents.
func (n *Node) askParents(o *orphan, from []*peer) {
	parents, _ := o.parents()
	missing := n.notInPool(parents)
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	n.relay.wantParents(missing, from)
}

func (r *relay) tryAgain(o *orphan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retry([]*orphan{o})
}

// wantParents is want for the parents of an orphan, but for those that are
// orphans themselves. The caller holds mu.
func (r *relay) wantParents(txids []consensus.Hash, from []*peer) {
	var ask []consensus.Hash
	for _, id := range txids {
		if !r.orphans.has(id) {
			ask = append(ask, id)
		}
	}
	for _, p := range from[:min(len(from), 1+maxOtherPeers)] { // no more would be remembered
		r.want(p, ask, true)
	}
}

func (r *relay) parentCame(txids []consensus.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range txids {
		r.retry(r.orphans.takeChildren(id))
	}
}

// retryOrphans tries those again whose parents may be there now.
func (n *Node) retryOrphans() {
	r := n.relay
	r.mu.Lock()
	list := r.ready
	r.ready = nil
	r.mu.Unlock()
	defer n.overtaken(n.chain.Tip().Hash)
	for _, o := range list {
		parents, _ := o.parents()
		missing := n.notInPool(parents)
		switch err := n.pool.Add(o.tx); {
		case err == nil:
		case errors.Is(err, consensus.ErrMissingInputs):
			// Those that are missing still may have been refused for their fee,
			// or come with a wrong witness: they are asked for again. If none is,
			// it spends what is not there.
			n.keepOrphan(o, missing)
		default:
			n.refuse(o, err)
		}
	}
}
