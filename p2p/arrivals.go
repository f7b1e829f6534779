package p2p

import "lode/consensus"

// maxArrivals is how many transactions arrivals remembers: more than may wait to be
// announced to one peer.
const maxArrivals = 2 * maxTxOut

// arrivals numbers transactions in the order in which they have come into the pool, and
// remembers the numbers of the last maxArrivals. A peer may be sent those before the
// first that waits to be announced to it, and none after: or it would learn, by asking
// for a transaction all the time, when it came here (Bitcoin Core's
// m_last_inv_sequence).
type arrivals struct {
	last    uint64
	numbers map[consensus.Hash]uint64 // by txid
	ring    []consensus.Hash          // number n is at (n-1) % maxArrivals
}

func newArrivals() arrivals { return arrivals{numbers: make(map[consensus.Hash]uint64)} }

// add gives a transaction the next number.
func (a *arrivals) add(txid consensus.Hash) uint64 {
	at := int(a.last % maxArrivals)
	a.last++
	if at < len(a.ring) {
		if old := a.ring[at]; a.numbers[old] == a.last-maxArrivals {
			delete(a.numbers, old)
		}
		a.ring[at] = txid
	} else {
		a.ring = append(a.ring, txid)
	}
	a.numbers[txid] = a.last
	return a.last
}

// forget has anybody have a transaction at once.
func (a *arrivals) forget(txid consensus.Hash) { delete(a.numbers, txid) }

// number is that of a transaction, the last if it came more than once; 0 for none that
// is remembered.
func (a *arrivals) number(txid consensus.Hash) uint64 { return a.numbers[txid] }

// mayHave reports whether p may be sent a transaction of the pool.
func (r *relay) mayHave(p *peer, txid consensus.Hash) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	number := r.arrivals.number(txid)
	if _, submitted := r.unbroadcast[txid]; submitted && number == 0 {
		return false // it is in the pool since just now
	}
	return len(p.relay.out) == 0 || number < p.relay.out[0].number
}
