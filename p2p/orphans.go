package p2p

import (
	"errors"
	"slices"
	"time"

	"lode/consensus"
	"lode/p2p/orphanage"
)

// retriesAtOnce is how many orphans are tried again before the relay looks what
// else it has to do.
const retriesAtOnce = 50

// adopt keeps a transaction that p has sent, and whose parents are missing, until
// they come, and has all asked for them that have announced it.
func (n *Node) adopt(p *peer, a arrival) {
	if !mayBeValid(a.Tx) {
		return
	}
	missing := n.missingParents(a.Tx)
	now := n.wall.Now()
	r := n.relay
	r.mu.Lock()
	from := slices.Concat([]*peer{p}, r.requests.Announcers(a.WTxID), r.requests.Announcers(a.TxID))
	for _, q := range from {
		r.adopt(now, q, a.Orphan, missing)
	}
	overtaken := r.tips != a.tips
	r.mu.Unlock()
	// Where none is missing all have come by now, or what it spends is spent.
	if overtaken || len(missing) == 0 || len(n.notHere(missing)) < len(missing) {
		r.mu.Lock()
		r.orphans.Retry(a.WTxID)
		r.mu.Unlock()
		poke(r.wake)
	}
}

// mayBeValid reports whether there can be a chain in which tx is valid, as far as
// its witnesses tell: each is a signature, and perhaps an annex. What they hold more
// would take much more memory than it weighs.
func mayBeValid(tx *consensus.Tx) bool {
	return !slices.ContainsFunc(tx.In, func(in consensus.TxIn) bool { return len(in.Witness) < 1 || len(in.Witness) > 2 })
}

// adopt notes that p has announced an orphan, and has p asked for the parents. The
// caller holds mu.
func (r *relay) adopt(now time.Time, p *peer, o orphanage.Orphan, missing []consensus.Hash) {
	if r.requests.Room(p) >= max(1, len(missing)) && r.orphans.Add(p, o) {
		r.askParents(now, p, missing)
	}
}

// askParents has p asked for the parents of an orphan that it has announced. Other
// orphans may have the txid of one: nobody knows whether their witness is the right
// one. The caller holds mu.
func (r *relay) askParents(now time.Time, p *peer, missing []consensus.Hash) {
	for _, id := range missing {
		r.requests.Announce(now, p, id, true)
	}
}

// resolve has p, which has announced an orphan, asked for the parents that are
// missing now.
func (n *Node) resolve(p *peer, o orphanage.Orphan) {
	missing := n.missingParents(o.Tx)
	if len(missing) == 0 {
		return // it is about to be tried again
	}
	now := n.wall.Now()
	r := n.relay
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, waits := r.orphans.Get(o.WTxID); waits {
		r.adopt(now, p, o, missing)
	}
}

// missingParents lists the transactions that tx spends, each once, and that are
// neither in the pool nor confirmed lately.
func (n *Node) missingParents(tx *consensus.Tx) []consensus.Hash {
	var ids []consensus.Hash
	seen := make(map[consensus.Hash]struct{})
	for i := range tx.In {
		id := tx.In[i].PrevOut.TxID
		if _, twice := seen[id]; !twice {
			seen[id] = struct{}{}
			ids = append(ids, id)
		}
	}
	return n.notHere(ids)
}

func (n *Node) notHere(txids []consensus.Hash) (list []consensus.Hash) {
	n.relay.mu.Lock()
	for _, id := range txids {
		if !n.relay.confirmed.has(id) {
			list = append(list, id)
		}
	}
	n.relay.mu.Unlock()
	return slices.DeleteFunc(list, func(id consensus.Hash) bool { return n.inPool(id, true) })
}

// retryOrphans tries some of those again whose parents may be there now.
func (n *Node) retryOrphans() {
	for range retriesAtOnce {
		a, ok := n.relay.nextReady()
		if !ok {
			return
		}
		switch err := n.pool.Add(a.Tx); {
		case err == nil: // accepted removes it
		case errors.Is(err, consensus.ErrMissingInputs):
			n.askAgain(a.Orphan)
		default:
			n.refuse(a, err)
			n.relay.drop(a.WTxID)
		}
	}
	poke(n.relay.wake)
}

func (r *relay) nextReady() (a arrival, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.tips = r.tips
	a.Orphan, ok = r.orphans.NextReady()
	return a, ok
}

func (r *relay) drop(wtxid consensus.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orphans.Remove(wtxid)
}

// askAgain has the announcers of an orphan asked for the parents that are missing
// still: they may have been refused for their fee, or have come with a wrong
// witness. If none is missing, it spends what is not there.
func (n *Node) askAgain(o orphanage.Orphan) {
	missing := n.missingParents(o.Tx)
	now := n.wall.Now()
	r := n.relay
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.orphans.Announcers(o.WTxID) {
		r.askParents(now, p, missing)
	}
}

// eachOrphan calls f for every transaction that waits for its parents.
func (r *relay) eachOrphan(f func(wtxid consensus.Hash, tx *consensus.Tx)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orphans.All(func(o orphanage.Orphan) { f(o.WTxID, o.Tx) })
}
