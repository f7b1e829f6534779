package electrum

import (
	"slices"
	"sync"

	"lode/consensus"
)

// txIDCache keeps the transaction ids of the blocks that were asked for last: a wallet
// proves all its transactions of a block one after the other.
type txIDCache struct {
	ledger Ledger

	mu    sync.Mutex // guards what follows
	ids   map[consensus.Hash][]consensus.Hash
	order []consensus.Hash // of blocks, that asked for last at the end
	count int              // of ids
}

func newTxIDCache(ledger Ledger) txIDCache {
	return txIDCache{ledger: ledger, ids: make(map[consensus.Hash][]consensus.Hash)}
}

// get lists the transactions of a block. The list must not be changed.
func (c *txIDCache) get(block consensus.Hash) ([]consensus.Hash, error) {
	c.mu.Lock()
	ids, ok := c.ids[block]
	if ok {
		c.order = append(slices.DeleteFunc(c.order, func(h consensus.Hash) bool { return h == block }), block)
	}
	c.mu.Unlock()
	if ok {
		return ids, nil
	}
	b, err := c.ledger.Block(block)
	if err != nil {
		return nil, err
	}
	ids = b.TxIDs()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.ids[block]; there {
		return ids, nil
	}
	c.ids[block], c.order, c.count = ids, append(c.order, block), c.count+len(ids)
	for len(c.order) > cachedBlocks || c.count > cachedTxIDs && len(c.order) > 1 {
		oldest := c.order[0]
		c.count -= len(c.ids[oldest])
		delete(c.ids, oldest)
		c.order = c.order[1:]
	}
	return ids, nil
}
