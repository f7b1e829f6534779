package p2p

import (
	"maps"
	"math/rand/v2"
	"time"

	"lode/consensus"
)

// A transaction that was submitted here may be announced when there is nobody to
// hear it. It is announced again until a peer asks for it, at times that are drawn
// anew, so that nobody knows a node by them; so does Bitcoin Core.
const (
	leastRebroadcast = 10 * time.Minute
	mostRebroadcast  = 15 * time.Minute
	// submitTime is how long a submission may take.
	submitTime = time.Minute
)

func untilRebroadcast() time.Duration {
	return leastRebroadcast + rand.N(mostRebroadcast-leastRebroadcast)
}

// Broadcast notes that transactions are about to be submitted to the pool here.
// Those that are in the pool already are only announced to who may not know them.
func (n *Node) Broadcast(txids ...consensus.Hash) {
	now := n.wall.Now()
	for _, id := range txids {
		if !n.announceAgain(id, now) {
			n.relay.submitting(id, now)
		}
	}
}

// Resubmit has transactions of the pool announced until a peer asks for them: nobody had
// before the node was stopped.
func (n *Node) Resubmit(txids ...consensus.Hash) {
	now := n.wall.Now()
	for _, id := range txids {
		n.relay.submitting(id, now)
		n.announceAgain(id, now)
	}
}

// Unbroadcast lists the transactions in the pool that were submitted here and that
// no peer has asked for.
func (n *Node) Unbroadcast() map[consensus.Hash]bool {
	ids := make(map[consensus.Hash]bool)
	for id := range n.relay.submitted() {
		if _, have := n.pool.ByTxID(id); have {
			ids[id] = true
		}
	}
	return ids
}

// rebroadcast announces again what nobody has asked for, and forgets what has left
// the pool.
func (n *Node) rebroadcast(now time.Time) {
	for id, since := range n.relay.submitted() {
		if !n.announceAgain(id, now) && now.Sub(since) > submitTime {
			n.relay.unsubmit(id)
		}
	}
}

// announceAgain announces a transaction to all peers that may not know it; false
// if it is not in the pool.
func (n *Node) announceAgain(txid consensus.Hash, now time.Time) bool {
	info, have := n.pool.Info(txid)
	if have {
		n.relay.mu.Lock()
		defer n.relay.mu.Unlock()
		number := n.relay.arrivals.number(txid)
		if number == 0 {
			number = n.relay.arrivals.add(txid)
		}
		n.relay.announceSoon(txNews{txid, info.WTxID, int64(info.Rate()), number}, now)
		poke(n.relay.wake)
	}
	return have
}

func (r *relay) submitting(txid consensus.Hash, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unbroadcast[txid] = now
}

// submitted lists what was submitted and not asked for, and when.
func (r *relay) submitted() map[consensus.Hash]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.unbroadcast)
}

func (r *relay) unsubmit(txid consensus.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.unbroadcast, txid)
}

// wasSent notes that a peer has asked for a transaction and got it.
func (r *relay) wasSent(tx *consensus.Tx) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unbroadcast) > 0 {
		delete(r.unbroadcast, tx.TxID())
	}
}
