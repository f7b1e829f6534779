package mempool

import (
	"cmp"
	"slices"

	"lode/consensus"
)

// Arrival is a transaction of the pool and its place in the order of entry. Places only ever
// grow, so that whoever has seen the transactions up to one need not see them again; those of
// another pool, and so of another run of the program, mean nothing.
type Arrival struct {
	Tx    *consensus.Tx
	TxID  consensus.Hash
	Place uint64
}

// Since lists the first transactions, at most limit of them, that came in after a place and are
// still there, in the order of entry.
func (p *Pool) Since(place uint64, limit int) []Arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Arrival
	for id, n := range p.byTxID {
		if n.seq > place {
			list = append(list, Arrival{n.Tx, id, n.seq})
		}
	}
	slices.SortFunc(list, func(a, b Arrival) int { return cmp.Compare(a.Place, b.Place) })
	return list[:min(len(list), limit)]
}
