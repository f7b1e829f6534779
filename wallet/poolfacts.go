package wallet

import (
	"context"
	"maps"
	"math/bits"
	"slices"

	"lode/consensus"
)

// PoolEntry is a transaction in a node's mempool.
type PoolEntry struct {
	VSize       int
	Fee         consensus.Amount
	Parents     []consensus.Hash // of it, in the mempool
	Descendants int              // without itself
}

// PoolFacts is what a node's mempool asks of new transactions, and knows of some.
type PoolFacts struct {
	Least     FeeRate // it takes none that pays less
	Increment FeeRate // what a replacement pays more, for its own size
	// Entries has the transactions that were asked for and all their ancestors,
	// as far as they are in the mempool.
	Entries map[consensus.Hash]PoolEntry
}

// FeeNode is asked about a mempool before a payment is hastened.
type FeeNode interface {
	// PoolFacts tells of some transactions and their ancestors.
	PoolFacts(ctx context.Context, ids []consensus.Hash) (PoolFacts, error)
}

// shortfall is what somebody who builds on transactions of the mempool has to pay
// for them and their ancestors, so that none of it waits for lack of rate. What is
// worth that rate by itself is mined without help, and pays for nobody else.
func (f *PoolFacts) shortfall(ids []consensus.Hash, rate FeeRate) consensus.Amount {
	waiting := f.family(ids)
	for len(waiting) > 0 {
		best := f.best(waiting)
		if lack(best, rate) > 0 {
			return lack(waiting, rate)
		}
		for id := range best {
			delete(waiting, id)
		}
	}
	return 0
}

// best is the group of a transaction and its ancestors that pays the most for its
// size, and that miners take first.
func (f *PoolFacts) best(waiting map[consensus.Hash]PoolEntry) (best map[consensus.Hash]PoolEntry) {
	var bestSize int
	var bestFee consensus.Amount
	for id := range waiting {
		group := f.family([]consensus.Hash{id})
		maps.DeleteFunc(group, func(id consensus.Hash, _ PoolEntry) bool { _, waits := waiting[id]; return !waits })
		if size, fee := sizeAndFee(group); best == nil || paysMore(fee, size, bestFee, bestSize) {
			best, bestSize, bestFee = group, size, fee
		}
	}
	return best
}

// family is some transactions of the mempool and their ancestors.
func (f *PoolFacts) family(ids []consensus.Hash) map[consensus.Hash]PoolEntry {
	all := make(map[consensus.Hash]PoolEntry)
	for queue := slices.Clone(ids); len(queue) > 0; {
		id := queue[0]
		queue = queue[1:]
		if e, ok := f.Entries[id]; ok {
			if _, seen := all[id]; !seen {
				all[id] = e
				queue = append(queue, e.Parents...)
			}
		}
	}
	return all
}

// paysMore reports whether a fee for a size is a higher rate than another.
func paysMore(fee consensus.Amount, size int, thanFee consensus.Amount, thanSize int) bool {
	high, low := bits.Mul64(uint64(max(fee, 0)), uint64(max(thanSize, 0)))
	thanHigh, thanLow := bits.Mul64(uint64(max(thanFee, 0)), uint64(max(size, 0)))
	return high > thanHigh || high == thanHigh && low > thanLow
}

// lack is what a group of transactions pays less than a rate asks for.
func lack(group map[consensus.Hash]PoolEntry, rate FeeRate) consensus.Amount {
	size, fee := sizeAndFee(group)
	return max(rate.Fee(size)-fee, 0)
}

func sizeAndFee(group map[consensus.Hash]PoolEntry) (size int, fee consensus.Amount) {
	for _, e := range group {
		size, fee = size+e.VSize, fee+e.Fee
	}
	return size, fee
}
