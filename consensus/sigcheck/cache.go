package sigcheck

import (
	"sync"

	"lode/consensus"
)

// cache holds hashes in two generations: when the younger one is full, the
// older one is forgotten.
type cache struct {
	size int

	mu         sync.RWMutex // guards what follows
	young, old map[consensus.Hash]struct{}
}

// look marks the items that it knows.
func (c *cache) look(items []item) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range items {
		_, young := c.young[items[i].id]
		_, old := c.old[items[i].id]
		items[i].known = young || old
	}
}

func (c *cache) add(items []item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range items {
		if c.young == nil || len(c.young) >= c.size/2 {
			c.old, c.young = c.young, make(map[consensus.Hash]struct{})
		}
		c.young[items[i].id] = struct{}{}
	}
}
