package p2p

import (
	"context"
	"errors"
	"sync"
	"time"

	"lode/consensus"
	"lode/mempool"
)

const (
	// trickle is how long announcements are gathered before they go out.
	trickle = 100 * time.Millisecond
	// maxTxInv is how many transactions one inv of ours announces, and
	// maxTxOut how many may wait to be announced to one peer.
	maxTxInv = 1000
	maxTxOut = 10_000

	maxKnownTxs = 10_000 // remembered per peer as known to it
	maxRejected = 50_000 // remembered as refused
	maxReady    = 2 * maxOrphans
)

// relay passes transactions on: it knows what each peer has, what was asked of
// whom, what was refused and what waits for its parents.
type relay struct {
	wake chan struct{}

	mu       sync.Mutex // guards what follows, and peer.relay
	peers    map[*peer]struct{}
	requests map[consensus.Hash]*txRequest // by the announced hash
	rejected *recentSet                    // since the last new tip
	orphans  orphanPool
	ready    []*orphan // to be tried again
}

// peerRelay is guarded by relay.mu.
type peerRelay struct {
	known    *recentSet // hashes that the peer announced, sent, or was told
	queue    []consensus.Hash
	assigned int
	inFlight int
	out      []txNews
}

// txNews is a transaction that is to be announced.
type txNews struct {
	txid, wtxid consensus.Hash
	feeRate     int64 // sat per 1000 vB
}

func newRelay() *relay {
	return &relay{
		wake: make(chan struct{}, 1), peers: make(map[*peer]struct{}),
		requests: make(map[consensus.Hash]*txRequest), rejected: newRecentSet(maxRejected), orphans: make(orphanPool),
	}
}

func (r *relay) add(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[p] = struct{}{}
}

// remove asks others for what p was to send.
func (r *relay) remove(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, p)
	now := time.Now()
	for hash, req := range r.requests {
		if req.peer == p {
			r.next(hash, req, now)
		}
	}
}

// newTip forgets what was refused, because it may be good now, and has every
// orphan tried again.
func (r *relay) newTip() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected.clear()
	r.retry(r.orphans.takeAll())
}

// retry has orphans tried again. The caller holds mu.
func (r *relay) retry(list []*orphan) {
	r.ready = append(r.ready, list[:min(len(list), max(0, maxReady-len(r.ready)))]...)
	if len(r.ready) > 0 {
		poke(r.wake)
	}
}

// accepted announces a transaction that has come into the pool, from wherever,
// and has its orphaned children tried again. The pool calls it.
func (r *relay) accepted(_ *consensus.Tx, txid, wtxid consensus.Hash, feeRate int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.peers {
		if p.relayTxs && len(p.relay.out) < maxTxOut {
			p.relay.out = append(p.relay.out, txNews{txid, wtxid, feeRate})
		}
	}
	r.done(wtxid)
	r.done(txid)
	r.retry(r.orphans.takeChildren(txid))
	poke(r.wake)
}

// flush sends the announcements that wait; more is true if some still do.
func (r *relay) flush() (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.peers {
		if len(p.relay.out) == 0 {
			continue
		}
		batch := p.relay.out[:min(len(p.relay.out), maxTxInv)]
		if p.relay.out = p.relay.out[len(batch):]; len(p.relay.out) == 0 {
			p.relay.out = nil
		} else {
			more = true
		}
		p.mu.Lock()
		least := p.flags.feeFilter
		p.mu.Unlock()
		var items []invItem
		for _, tx := range batch {
			item := invItem{invTx, tx.txid}
			if p.wtxidRelay {
				item = invItem{invWTx, tx.wtxid}
			}
			if tx.feeRate >= least && !p.relay.known.has(item.hash) {
				p.relay.known.add(item.hash)
				items = append(items, item)
			}
		}
		if len(items) > 0 {
			p.send(&msgInv{cmdInv, items})
		}
	}
	return more
}

// relayLoop sends announcements, looks at time-outs and tries orphans again,
// until ctx ends.
func (n *Node) relayLoop(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var due <-chan time.Time // nil while nothing waits to be announced
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.relay.wake:
			n.retryOrphans()
			if due == nil {
				due = time.After(trickle)
			}
		case <-due:
			due = nil
			if n.relay.flush() {
				due = time.After(trickle)
			}
		case now := <-ticker.C:
			n.relay.expire(now)
		}
	}
}

// handleTxInv asks for the announced transactions that are not known here.
func (n *Node) handleTxInv(p *peer, items []invItem) {
	fresh := n.relay.fresh(p, items)
	if len(fresh) == 0 || n.farBehind() {
		return
	}
	wanted := fresh[:0]
	for _, hash := range fresh {
		have := false
		if p.wtxidRelay {
			_, have = n.pool.ByWTxID(hash)
		} else {
			_, have = n.pool.ByTxID(hash)
		}
		if !have {
			wanted = append(wanted, hash)
		}
	}
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	n.relay.want(p, wanted, false)
}

// fresh notes that p knows the announced transactions, and lists those that
// were not refused before. A peer announces by the one kind of hash that it
// agreed to (BIP339).
func (r *relay) fresh(p *peer, items []invItem) (list []consensus.Hash) {
	kind := uint32(invTx)
	if p.wtxidRelay {
		kind = invWTx
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, item := range items {
		if item.kind != kind {
			continue
		}
		p.relay.known.add(item.hash)
		if _, waits := r.orphans[item.hash]; !waits && !r.rejected.has(item.hash) {
			list = append(list, item.hash)
		}
	}
	return list
}

func (n *Node) handleTx(p *peer, tx *consensus.Tx) {
	txid, wtxid := tx.TxID(), tx.WTxID()
	defer func() {
		_, have := n.pool.ByTxID(txid)
		n.relay.judged(p, txid, have)
	}()
	if !n.relay.came(p, txid, wtxid) || n.farBehind() {
		return
	}
	if _, have := n.pool.ByWTxID(wtxid); have {
		return
	}
	defer n.overtaken(n.chain.Tip().Hash)
	err := n.pool.Add(tx)
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stats.lastTx = time.Now()
		return
	}
	o := &orphan{tx, txid, wtxid, time.Now().Add(orphanLife)}
	if errors.Is(err, consensus.ErrMissingInputs) {
		n.adopt(p, o)
		return
	}
	n.refuse(o, err)
}

// overtaken deals with a verdict that was begun when the tip was another: newTip
// may have come before the verdict was remembered.
func (n *Node) overtaken(begun consensus.Hash) {
	if n.chain.Tip().Hash != begun {
		n.relay.newTip()
	}
}

// came notes that p has sent a transaction, and reports whether it is worth a
// look.
func (r *relay) came(p *peer, txid, wtxid consensus.Hash) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.wtxidRelay {
		p.relay.known.add(wtxid)
	} else {
		p.relay.known.add(txid)
	}
	if wtxid != txid { // without a witness it could be anybody's mutilation
		r.done(wtxid)
	}
	_, waits := r.orphans[wtxid]
	return !waits && !r.rejected.has(wtxid)
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
	n.relay.rejected.add(o.wtxid)
}

// adopt keeps a transaction until its parents come, and asks for them.
func (n *Node) adopt(p *peer, o *orphan) {
	parents, ok := o.parents()
	if !ok || o.tx.Size() > maxOrphanSize || o.wtxid == o.txid {
		return // nothing is valid without a witness
	}
	missing := n.notInPool(parents)
	if n.relay.keepOrphan(p, o, missing); len(n.notInPool(missing)) < len(missing) {
		n.relay.parentCame(missing) // while it was being kept
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

func (r *relay) keepOrphan(p *peer, o *orphan, missing []consensus.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ask []consensus.Hash
	for _, id := range missing {
		if !r.orphans.has(id) {
			ask = append(ask, id)
		}
	}
	if len(missing) == 0 { // all have come by now, or what it spends is spent
		r.retry([]*orphan{o})
		return
	}
	r.orphans.add(o)
	r.want(p, ask, true)
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
			r.mu.Lock()
			r.orphans.add(o)
			r.mu.Unlock()
			if len(n.notInPool(missing)) < len(missing) {
				r.parentCame(missing) // before it was kept again
			}
		default:
			n.refuse(o, err)
		}
	}
}
