package mempool

import (
	"cmp"
	"container/heap"
)

// trim evicts the worst if the pool is too large: those that pay least a byte
// together with what depends on them. It makes a little more room than it must,
// so that a flood does not have all of the pool looked at for each of its
// transactions. The caller holds mu.
func (p *Pool) trim() {
	if p.bytes <= p.cfg.Policy.MaxBytes {
		return
	}
	worst := make(families, 0, len(p.byTxID))
	for _, n := range p.byTxID {
		worst = append(worst, branch{n, n.descendants()})
	}
	heap.Init(&worst)
	enough := p.cfg.Policy.MaxBytes / 100 * 99
	for p.bytes > enough {
		b := &worst[0]
		if _, ok := p.byTxID[b.n.TxID]; !ok {
			heap.Pop(&worst)
			continue
		}
		if now := b.n.descendants(); now != b.sum { // some of it is gone
			b.sum = now
			heap.Fix(&worst, 0)
			continue
		}
		p.floor = max(p.floor, rateOf(b.sum.Fees, b.sum.Size)+p.cfg.Policy.Increment)
		p.removeWithDescendants(b.n)
	}
}

// branch is a transaction and the sum over it and its descendants.
type branch struct {
	n   *node
	sum Family
}

// families is a heap, the lowest fee rate on top and the newest first among
// equals.
type families []branch

func (h families) Len() int { return len(h) }

func (h families) Less(i, j int) bool {
	a, b := &h[i], &h[j]
	return cmp.Or(compareRates(a.sum.Fees, a.sum.Size, b.sum.Fees, b.sum.Size), cmp.Compare(b.n.seq, a.n.seq)) < 0
}

func (h families) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *families) Push(x any) { *h = append(*h, x.(branch)) }

func (h *families) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
