package mempool

import (
	"maps"

	"lode/consensus"
)

// mostFee bounds a fee as it is prioritised, so that sums of them stay small: it
// is more than all the money that there is.
const mostFee = consensus.Amount(1) << 52

// modified is a fee as delta prioritises it.
func modified(fee, delta consensus.Amount) consensus.Amount {
	return max(min(fee+delta, mostFee), -mostFee)
}

// Prioritise has a transaction, in the pool or not, treated as if it paid delta
// sat more, or less where delta is negative, on top of what was said before. It
// holds until the transaction is confirmed. ok is false, and nothing done, for a
// transaction of the pool with dust: that must pay nothing.
func (p *Pool) Prioritise(id consensus.Hash, delta consensus.Amount) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, there := p.graph.Tx(id)
	if there && p.cfg.Policy.dustOutputs(n.Tx) > 0 {
		return false
	}
	// Each is bounded, so that no sum overflows.
	if p.deltas[id] = modified(p.deltas[id], modified(0, delta)); p.deltas[id] == 0 {
		delete(p.deltas, id)
	}
	if !there {
		p.change++ // it may be on its way in
		return true
	}
	n.Modified = modified(n.Fee, p.deltas[id])
	p.commit(p.graph.Reweigh(n))
	return true
}

// Priorities lists what Prioritise was told and still holds.
func (p *Pool) Priorities() map[consensus.Hash]consensus.Amount {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.deltas)
}
