package chain

import (
	"context"
	"errors"

	"lode/consensus"
)

// How many transactions a chain has is summed up from its blocks. The record of a
// block says how many it has from the moment it is stored, and keeps saying so when
// the block is pruned. Records from before that was written get it from their
// blocks, once, when somebody asks.

// count notes how many transactions a block has. The caller holds Chain.mu.
func (k *kept) count(payload []byte) {
	if len(payload) <= consensus.HeaderSize {
		return
	}
	d := consensus.NewDecoder(payload[consensus.HeaderSize:])
	if txs := d.CompactSize(); txs > 0 && txs < 1<<32 {
		k.txs = uint32(txs)
		k.status |= statusCounted
	}
}

const (
	countStep   = 1000  // blocks that are looked at under one lock, and between two whose sums are kept
	countAtOnce = 10000 // blocks that are read before the sum is tried again
)

// TxCount is how many transactions the chain up to a block has, with those of
// genesis. It is not known (ok is false) where blocks are missing that were never
// counted: before a snapshot, or where a ledger of an earlier version was pruned.
// The first call on such a ledger reads all blocks that are not counted.
func (c *Chain) TxCount(ctx context.Context, hash consensus.Hash) (count uint64, ok bool, err error) {
	for {
		sum, done, missing := c.sumTxs(hash)
		if done {
			return sum, true, nil
		}
		for _, hash := range missing {
			if err := ctx.Err(); err != nil {
				return 0, false, err
			}
			payload, err := c.BlockBytes(hash)
			if errors.Is(err, ErrNotFound) || errors.Is(err, ErrPruned) {
				return 0, false, nil
			}
			if err != nil {
				return 0, false, err
			}
			c.keepCount(hash, payload)
		}
	}
}

// keepCount writes how many transactions a block has into its record.
func (c *Chain) keepCount(hash consensus.Hash, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.tree.Find(hash); ok && !n.Own.has(statusCounted) {
		n.Own.count(payload)
		c.changed(n)
	}
}

// sumTxs sums up as far as blocks are counted. Where they are not, it names some of
// those, or nothing where the block itself is not known. Long chains are walked in
// steps, so that the ledger goes on meanwhile.
func (c *Chain) sumTxs(hash consensus.Hash) (sum uint64, done bool, missing []consensus.Hash) {
	type mark struct {
		hash consensus.Hash
		sum  uint64 // from there on to where the walk began, without the block itself
	}
	var marks []mark
	for at := hash; !done; {
		c.mu.RLock()
		n, ok := c.tree.Find(at)
		if !ok {
			c.mu.RUnlock()
			return 0, false, []consensus.Hash{at} // which is not found
		}
		for range countStep {
			if n.Height()%countStep == 0 {
				if known, ok := c.txSums.Load(n.Hash()); ok {
					sum, done = sum+known.(uint64), true
					break
				}
				marks = append(marks, mark{n.Hash(), sum})
			}
			switch {
			case n.Parent() == nil:
				sum++
				done = true
			case !n.Own.has(statusCounted):
				missing = append(missing, n.Hash())
			default:
				sum += uint64(n.Own.txs)
			}
			if done || len(missing) == countAtOnce {
				break
			}
			n = n.Parent()
		}
		at = n.Hash()
		c.mu.RUnlock()
		if len(missing) == countAtOnce {
			break
		}
	}
	if len(missing) > 0 {
		return 0, false, missing
	}
	for _, m := range marks {
		c.txSums.Store(m.hash, sum-m.sum)
	}
	return sum, true, nil
}
