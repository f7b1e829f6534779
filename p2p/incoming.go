package p2p

import (
	"errors"

	"lode/consensus"
	"lode/mempool"
	"lode/p2p/orphanage"
)

// arrival is a transaction that is being judged.
type arrival struct {
	orphanage.Orphan
	tips uint64 // relay.tips when that began: what is refused may be good after another block
}

// handleTx deals with a transaction that p has sent.
func (n *Node) handleTx(p *peer, tx *consensus.Tx) {
	a := arrival{Orphan: orphanage.Orphan{Tx: tx, TxID: tx.TxID(), WTxID: tx.WTxID()}}
	worth := n.relay.came(p, &a)
	if known := n.inPool(a.WTxID, false); p.may.Has(MayForceRelay) && (known || worth == worthNothing) {
		n.forceRelay(p, &a, known)
	}
	if !n.InitialBlockDownload() {
		switch worth {
		case worthLook:
			n.takeTx(p, a)
		case worthPair:
			n.tryWithChild(p, a)
		case worthParents:
			n.resolve(p, a.Orphan)
		}
	}
	n.answered(p, a.Orphan)
}

// takeTx gives the pool a transaction that p has sent.
func (n *Node) takeTx(p *peer, a arrival) {
	if n.inPool(a.WTxID, false) {
		return
	}
	switch err := n.pool.Add(a.Tx); {
	case err == nil:
		p.gaveTx()
	case errors.Is(err, consensus.ErrMissingInputs):
		n.adopt(p, a)
	default:
		n.refuse(a, err)
		if mempool.IsTooCheap(err) {
			n.tryWithChild(p, a)
		}
	}
}

// gaveTx notes that the peer has sent a transaction that was good.
func (p *peer) gaveTx() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.lastTx = p.node.wall.Now()
}

// worth says what is to be done with a transaction that has come.
type worth int

const (
	worthNothing worth = iota // it was confirmed or refused before, or p has sent it before
	worthLook
	worthPair    // it pays too little: it may come in with a child
	worthParents // it is an orphan: p may have its parents
)

// came notes that p has sent a transaction.
func (r *relay) came(p *peer, a *arrival) worth {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.tips = r.tips
	if p.wtxidRelay {
		p.relay.known.add(a.WTxID)
	} else {
		p.relay.known.add(a.TxID)
	}
	_, waits := r.orphans.Get(a.WTxID)
	switch {
	case waits && !r.orphans.AnnouncedBy(p, a.WTxID):
		return worthParents
	case waits || r.rejected.has(a.WTxID) || r.confirmed.has(a.WTxID):
		return worthNothing
	case r.cheap.has(a.WTxID):
		return worthPair
	}
	return worthLook
}

// refuse remembers that a transaction is not wanted. Only the witness id can be
// remembered: another witness may make the same transaction valid. For the same
// reason nothing is remembered of one without a witness, whose two ids are one.
func (n *Node) refuse(a arrival, err error) {
	if !mempool.IsRefusal(err) {
		n.fatal(err)
		return // the trouble is ours
	}
	if errors.Is(err, mempool.ErrKnown) || errors.Is(err, mempool.ErrSameTxID) {
		return // somebody else was faster
	}
	if a.WTxID == a.TxID {
		return
	}
	n.log.Debug("transaction refused", "wtxid", a.WTxID, "error", err)
	r := n.relay
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.tips != a.tips: // a block came meanwhile, and may have made it good
	case mempool.IsTooCheap(err):
		r.cheap.add(a.WTxID)
	default:
		r.rejected.add(a.WTxID)
	}
}

// forceRelay announces again what a peer has sent that may have that done: others of
// its operator's nodes may lack it, though it is known here.
func (n *Node) forceRelay(p *peer, a *arrival, known bool) {
	if !known {
		n.log.Debug("Not relaying non-mempool transaction", "txid", a.TxID, "wtxid", a.WTxID, "from forcerelay peer", p.id)
		return
	}
	n.log.Debug("Force relaying tx", "txid", a.TxID, "wtxid", a.WTxID, "peer", p.id)
	n.announceAgain(a.TxID, n.wall.Now())
}
