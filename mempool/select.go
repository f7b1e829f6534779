package mempool

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"

	"lode/chain"
	"lode/consensus"
	"lode/mempool/linearize"
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
// chunks first, within weight units and sigops cost, down to the rate that the
// policy has for blocks. What weight leaves of the
// limit of the rules is kept free; it stays as much where an upgrade has lowered
// that limit. While nothing has changed, it gives the same list again, which
// nobody may change.
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
	if err != nil {
		return s, err
	}
	if last := &p.selected; last.Tip.Hash == s.Tip.Hash && last.Change == s.Change && last.weight == weight && last.sigops == sigops {
		s.Txs, s.Fees = last.Txs, last.Fees
		return s, nil
	}
	rules := p.cfg.Ledger.Rules()
	p.fill(&s, weight-(rules.MaxBlockWeight-rules.BlockWeightLimit(&s.Tip)), sigops)
	p.selected = selected{s, weight, sigops}
	return s, nil
}

// selected is a selection and the room that it was made for.
type selected struct {
	Selection
	weight, sigops int
}

// filling is a block as it fills, and the room that is left in it.
type filling struct {
	txs            []*Entry
	fees           consensus.Amount
	worth          consensus.Amount // of it, as prioritised
	weight, sigops int
	least          FeeRate      // what pays less, as prioritised, stays out
	rest           []*remainder // of clusters with a chunk that did not fit, worst first
	missed         []*Chunk     // the first that did not fit, the best paying first
}

// attempts is for how many chunks that did not fit a block is filled once more.
const attempts = 8

// fill chooses what goes into a block. By fee rate alone a large chunk may miss it
// by a little, and what comes in its place pay less: so that is tried, too, with
// room kept for such a chunk, at the cost of the worst before it. The caller holds
// mu.
func (p *Pool) fill(s *Selection, weight, sigops int) {
	best := &filling{weight: weight, sigops: sigops, least: p.cfg.Policy.BlockMin}
	best.run(p.graph.Best, nil)
	for _, c := range best.missed {
		if c.Weight > weight {
			continue
		}
		other := &filling{weight: weight - c.Weight, sigops: sigops, least: p.cfg.Policy.BlockMin}
		if other.run(p.graph.Best, c); other.worth > best.worth {
			best = other
		}
	}
	s.Txs, s.Fees = best.txs, best.fees
}

// run takes chunk after chunk of all, the best paying first. Of a cluster with one
// that does not fit it takes the parts that do, when it is their turn. There is
// room besides for reserved, which may be nil, when that has its turn.
func (f *filling) run(all iter.Seq[*Chunk], reserved *Chunk) {
	// After so many in a row that do not fit, the block counts as full.
	const patience = 1000
	misses := 0
	opened := make(map[*Cluster]struct{})
	for c := range all {
		if c == reserved {
			f.weight += c.Weight
			reserved = nil
		}
		if _, ok := opened[c.Cluster]; ok {
			continue
		}
		if below(c.FeeWeight, f.least) { // and so are all that follow
			break
		}
		f.takeRest(c.FeeWeight)
		if full := misses >= patience || f.weight < minStrippedSize*consensus.WitnessScale; full && reserved == nil {
			break
		}
		if f.take(c.Txs()) {
			misses = 0
			continue
		}
		misses++
		if len(f.missed) < attempts {
			f.missed = append(f.missed, c)
		}
		opened[c.Cluster] = struct{}{}
		f.add(&remainder{Cluster: c.Cluster, taken: 1<<c.Begin - 1})
	}
	f.takeRest(linearize.FeeWeight{Fee: -consensus.Amount(1) << 60, Weight: 1})
}

// take puts transactions into the block if all of them fit.
func (f *filling) take(txs []*Node) bool {
	weight, sigops := 0, 0
	for _, n := range txs {
		weight += n.Weight
		sigops += n.Sigops
	}
	if weight > f.weight || sigops > f.sigops {
		return false
	}
	f.weight -= weight
	f.sigops -= sigops
	for _, n := range txs {
		f.txs = append(f.txs, &n.Entry)
		f.fees += n.Fee
		f.worth += n.Modified
	}
	return true
}

// takeRest takes what pays better than a chunk from the clusters that do not go
// in as they are.
func (f *filling) takeRest(than linearize.FeeWeight) {
	for len(f.rest) > 0 {
		last := len(f.rest) - 1
		r := f.rest[last]
		if r.best.Compare(than) < 0 {
			return
		}
		f.rest = f.rest[:last]
		txs := make([]*Node, 0, 8)
		for i, n := range r.Cluster.Txs {
			if r.set&(1<<i) != 0 {
				txs = append(txs, n)
			}
		}
		if f.take(txs) {
			r.taken |= r.set
		}
		f.add(r)
	}
}

// remainder is what is left of a cluster that does not fit as it is.
type remainder struct {
	*Cluster
	taken uint64              // of its transactions, by index
	set   uint64              // what to take next: a transaction and the ancestors that it needs
	best  linearize.FeeWeight // of set
}

// add finds the best part of r that still fits, and remembers r if there is one.
func (f *filling) add(r *remainder) {
	r.set = 0
	var ancestors [linearize.MaxCount]uint64
	for i, n := range r.Txs {
		if r.taken&(1<<i) != 0 {
			continue
		}
		ancestors[i] = 1 << i
		for _, parent := range n.Parents {
			ancestors[i] |= ancestors[parent.At]
		}
		var sum linearize.FeeWeight
		sigops := 0
		for set := ancestors[i]; set != 0; set &= set - 1 {
			m := r.Txs[bits.TrailingZeros64(set)]
			sum = sum.Plus(linearize.FeeWeight{Fee: m.Modified, Weight: m.Weight})
			sigops += m.Sigops
		}
		if sum.Weight <= f.weight && sigops <= f.sigops && !below(sum, f.least) && (r.set == 0 || sum.Compare(r.best) > 0) {
			r.set, r.best = ancestors[i], sum
		}
	}
	if r.set == 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(f.rest, r, func(a, b *remainder) int {
		return cmp.Or(a.best.Compare(b.best), cmp.Compare(b.Seq, a.Seq))
	})
	f.rest = slices.Insert(f.rest, at, r)
}
