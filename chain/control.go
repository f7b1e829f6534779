package chain

import (
	"errors"
	"fmt"

	"lode/consensus"
)

// errGenesis refuses to do without the first block.
var errGenesis = errors.New("the genesis block cannot be invalidated")

// InvalidateBlock has a block, and what is built on it, count as invalid, and
// makes the best chain without them active. It is remembered until
// ReconsiderBlock. The error is of kind ErrNotFound if the block is not known, or
// if blocks cannot be disconnected: because of damage on disk, so that the tip
// stays until peers have sent what is needed, or because of what was pruned, and
// then nothing has changed.
func (c *Chain) InvalidateBlock(hash consensus.Hash) error {
	err := c.control(hash, func(n *node) error {
		if n.parent == nil {
			return errGenesis
		}
		switch {
		case c.isActive(n) && n.height() < c.pruned.height:
			return fmt.Errorf("block %s at height %d cannot be disconnected: %w", hash, n.height(), ErrPruned)
		case c.excused(n):
			return errExcused
		}
		return c.mark(n, statusInvalidated)
	})
	if err != nil {
		return err
	}
	if err = c.whyTipStays(hash); errors.Is(err, ErrPruned) {
		return errors.Join(err, c.control(hash, func(n *node) error { return c.unmark(descendants(n), statusInvalidated) }))
	}
	return err
}

// whyTipStays is why the tip is still one that was invalidated with a block; nil
// if it is not.
func (c *Chain) whyTipStays(hash consensus.Hash) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	tip := c.tip()
	switch {
	case !tip.has(statusInvalid):
		return nil
	case tip.height() < c.pruned.height:
		return fmt.Errorf("block %s cannot be disconnected: undo data of block %s at height %d is %w, and the blocks to make it from are gone: %w",
			hash, tip.hash(), tip.height(), ErrDamaged, ErrPruned)
	}
	return fmt.Errorf("block %s is marked invalid, but the tip stays at height %d until a peer has sent what is damaged on disk: %w: %w",
		hash, tip.height(), ErrNotFound, c.stuckBy)
}

// ReconsiderBlock takes back that a block, its ancestors and its descendants
// count as invalid, whyever they did, and makes the best chain active. The error
// is of kind ErrNotFound if the block is not known.
func (c *Chain) ReconsiderBlock(hash consensus.Hash) error {
	return c.control(hash, func(n *node) error {
		nodes := descendants(n)
		for m := n.parent; m != nil; m = m.parent {
			nodes = append(nodes, m)
		}
		return c.unmark(nodes, statusInvalid)
	})
}

// unmark takes back that nodes count as invalid for the reasons that a status
// stands for. The caller holds mu.
func (c *Chain) unmark(nodes []*node, why status) error {
	var cleared []*node
	for _, m := range nodes {
		if !m.has(why) {
			continue
		}
		m.status &^= why
		cleared = append(cleared, m)
		if !m.has(statusInvalid) && m.state.Work.Gt(&c.best.state.Work) {
			c.best = m
		}
	}
	c.findCandidates()
	return c.putNodes(cleared...)
}

// PreciousBlock has a block count as the first that was seen of all with the
// same work, until another is named or the node restarts. The error is of kind
// ErrNotFound if the block is not known.
func (c *Chain) PreciousBlock(hash consensus.Hash) error {
	return c.control(hash, func(n *node) error {
		if n.state.Work.Lt(&c.tip().state.Work) {
			return nil // as in Bitcoin Core: it could not become the tip
		}
		c.preferred++
		n.preferred = c.preferred
		if n.seq > 0 {
			c.compete(n)
		}
		return nil
	})
}

// control changes what is known of a block, and then makes the best chain
// active.
func (c *Chain) control(hash consensus.Hash, change func(n *node) error) error {
	err := func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := c.Err(); err != nil {
			return err
		}
		n, ok := c.index[hash]
		if !ok {
			return fmt.Errorf("%w: %s", ErrNotFound, hash)
		}
		return change(n)
	}()
	if err != nil {
		return err
	}
	err = c.settle()
	c.pokeAll()
	return err
}

// settle makes the best chain active, one step at a time.
func (c *Chain) settle() error {
	for more := true; more; {
		err := func() (err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if err := c.Err(); err != nil {
				return err
			}
			if more, err = c.step(); err != nil {
				return c.fail(err)
			}
			return nil
		}()
		if err != nil {
			return err
		}
	}
	return nil
}
