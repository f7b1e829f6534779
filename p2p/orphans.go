package p2p

import (
	"slices"
	"time"

	"lode/consensus"
)

const (
	maxOrphans       = 100
	maxOrphanSize    = 100_000 // bytes
	maxOrphanParents = 100
	orphanLife       = 5 * time.Minute
)

// orphan is a transaction that spends what is not known here, because its
// parents are still on their way or do not exist.
type orphan struct {
	tx      *consensus.Tx
	txid    consensus.Hash
	wtxid   consensus.Hash
	expires time.Time
	from    []*peer // that have announced or sent it, guarded by relay.mu
}

// announcedBy notes that p has announced o, and reports whether that is new.
func (o *orphan) announcedBy(p *peer) bool {
	if slices.Contains(o.from, p) {
		return false
	}
	o.from = append(o.from, p)
	return true
}

// parents lists the transactions that o spends, each once; ok is false if they
// are too many.
func (o *orphan) parents() (ids []consensus.Hash, ok bool) {
	seen := make(map[consensus.Hash]struct{})
	for i := range o.tx.In {
		id := o.tx.In[i].PrevOut.TxID
		if _, twice := seen[id]; !twice {
			seen[id] = struct{}{}
			ids = append(ids, id)
		}
	}
	return ids, len(ids) <= maxOrphanParents
}

// spends reports whether o spends an output of a transaction.
func (o *orphan) spends(txid consensus.Hash) bool {
	return slices.ContainsFunc(o.tx.In, func(in consensus.TxIn) bool { return in.PrevOut.TxID == txid })
}

// orphanPool holds a few orphans by witness id. They are so few that it needs no
// index.
type orphanPool map[consensus.Hash]*orphan

// add makes room by forgetting any other one: whoever fills the pool cannot
// choose which.
func (pool orphanPool) add(o *orphan) {
	if _, ok := pool[o.wtxid]; !ok && len(pool) >= maxOrphans {
		for victim := range pool {
			delete(pool, victim)
			break
		}
	}
	pool[o.wtxid] = o
}

// eachOrphan calls f for every transaction that waits for its parents.
func (r *relay) eachOrphan(f func(wtxid consensus.Hash, tx *consensus.Tx)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for wtxid, o := range r.orphans {
		f(wtxid, o.tx)
	}
}

// has reports whether there is an orphan with this txid.
func (pool orphanPool) has(txid consensus.Hash) bool {
	for _, o := range pool {
		if o.txid == txid {
			return true
		}
	}
	return false
}

// takeChildren removes the orphans that spend an output of a transaction.
func (pool orphanPool) takeChildren(txid consensus.Hash) (list []*orphan) {
	for wtxid, o := range pool {
		if o.spends(txid) {
			list = append(list, o)
			delete(pool, wtxid)
		}
	}
	return list
}

// forget takes a peer off the lists of those that have announced orphans.
func (pool orphanPool) forget(p *peer) {
	for _, o := range pool {
		o.from = slices.DeleteFunc(o.from, func(q *peer) bool { return q == p })
	}
}

// takeAll removes all orphans.
func (pool orphanPool) takeAll() (list []*orphan) {
	for _, o := range pool {
		list = append(list, o)
	}
	clear(pool)
	return list
}

func (pool orphanPool) expire(now time.Time) {
	for wtxid, o := range pool {
		if now.After(o.expires) {
			delete(pool, wtxid)
		}
	}
}
