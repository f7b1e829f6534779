package mempool

import (
	"cmp"
	"container/heap"

	"lode/chain"
	"lode/consensus"
)

// Selection is what to put into the next block.
type Selection struct {
	Tip    consensus.State // that the block comes after
	Latest uint32          // the latest time that it may have
	Txs    []*Entry        // parents before children
	Fees   consensus.Amount
	Change uint64 // see Pool.Changes
}

// Select chooses transactions for the block after the tip, the best paying
// packages (a transaction and the ancestors that it needs) first, within weight
// units and sigops cost. What weight leaves of the limit of the rules is kept
// free; it stays as much where an upgrade has lowered that limit.
func (p *Pool) Select(weight, sigops int) (s Selection, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err = p.cfg.Ledger.Read(func(r *chain.Reader) error {
		if err := p.sync(r); err != nil {
			return err
		}
		s = Selection{Tip: r.Tip(), Latest: r.Latest(), Change: p.change}
		return nil
	})
	if err == nil {
		rules := p.cfg.Ledger.Rules()
		p.pick(&s, weight-(rules.MaxBlockWeight-rules.BlockWeightLimit(&s.Tip)), sigops)
	}
	return s, err
}

// pick fills a selection. The caller holds mu.
func (p *Pool) pick(s *Selection, weight, sigops int) {
	packages := make(map[*node]*pkg, len(p.byTxID)) // of what is not picked yet
	best := make(pkgHeap, 0, len(p.byTxID))
	for _, n := range p.byTxID {
		g := newPackage(n)
		g.index = len(best)
		packages[n], best = g, append(best, g)
	}
	heap.Init(&best)
	// After so many packages in a row that do not fit, the block counts as full.
	const patience = 1000
	for misses := 0; len(best) > 0 && misses < patience; {
		g := heap.Pop(&best).(*pkg)
		if g.weight > weight || g.sigops > sigops {
			misses++
			continue
		}
		misses = 0
		weight -= g.weight
		sigops -= g.sigops
		s.Fees += g.fees
		for _, n := range relatives(g.n, (*node).up) {
			in, ok := packages[n]
			if !ok {
				continue
			}
			delete(packages, n)
			if in.index >= 0 {
				heap.Remove(&best, in.index)
			}
			s.Txs = append(s.Txs, &n.Entry)
			for _, d := range relatives(n, (*node).down) {
				if after, ok := packages[d]; ok {
					after.without(n)
					best.update(after)
				}
			}
		}
	}
}

// pkg is a transaction with the ancestors that are not picked yet.
type pkg struct {
	n              *node
	fees           consensus.Amount
	weight, sigops int
	index          int // in the heap, or -1
}

func newPackage(n *node) *pkg {
	g := &pkg{n: n, fees: n.Fee, weight: n.Weight, sigops: n.Sigops}
	if len(n.parents) == 0 {
		return g
	}
	for _, m := range relatives(n, (*node).up) {
		if m != n {
			g.fees += m.Fee
			g.weight += m.Weight
			g.sigops += m.Sigops
		}
	}
	return g
}

func (g *pkg) without(n *node) {
	g.fees -= n.Fee
	g.weight -= n.Weight
	g.sigops -= n.Sigops
}

// pkgHeap is a heap, the best fee rate on top and the oldest first among
// equals.
type pkgHeap []*pkg

// update puts g where it belongs now; one that did not fit gets another chance.
func (h *pkgHeap) update(g *pkg) {
	if g.index < 0 {
		heap.Push(h, g)
		return
	}
	heap.Fix(h, g.index)
}

func (h pkgHeap) Len() int { return len(h) }

func (h pkgHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(-compareRates(a.fees, a.weight, b.fees, b.weight), cmp.Compare(a.n.seq, b.n.seq)) < 0
}

func (h pkgHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *pkgHeap) Push(x any) {
	g := x.(*pkg)
	g.index = len(*h)
	*h = append(*h, g)
}

func (h *pkgHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	last.index = -1
	*h = old[:len(old)-1]
	return last
}
