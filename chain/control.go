package chain

import (
	"errors"
	"fmt"

	"lode/chain/headertree"
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
		if n.Parent() == nil {
			return errGenesis
		}
		switch {
		case c.tree.IsActive(n) && n.Height() < c.pruned.height:
			return fmt.Errorf("block %s at height %d cannot be disconnected: %w", hash, n.Height(), ErrPruned)
		case c.excused(n):
			return errExcused
		}
		return c.mark(n, headertree.Invalidated)
	})
	if err != nil {
		return err
	}
	if err = c.whyTipStays(hash); errors.Is(err, ErrPruned) {
		return errors.Join(err, c.control(hash, func(n *node) error { return c.unmark(n.Descendants(), headertree.Invalidated) }))
	}
	return err
}

// whyTipStays is why the tip is still one that was invalidated with a block; nil
// if it is not.
func (c *Chain) whyTipStays(hash consensus.Hash) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	tip := c.tree.Tip()
	switch {
	case !tip.IsFaulty():
		return nil
	case tip.Height() < c.pruned.height:
		return fmt.Errorf("block %s cannot be disconnected: undo data of block %s at height %d is %w, and the blocks to make it from are gone: %w",
			hash, tip.Hash(), tip.Height(), ErrDamaged, ErrPruned)
	}
	return fmt.Errorf("block %s is marked invalid, but the tip stays at height %d until a peer has sent what is damaged on disk: %w: %w",
		hash, tip.Height(), ErrNotFound, c.stuckBy)
}

// ReconsiderBlock takes back that a block, its ancestors and its descendants
// count as invalid, whyever they did, and makes the best chain active. The error
// is of kind ErrNotFound if the block is not known.
func (c *Chain) ReconsiderBlock(hash consensus.Hash) error {
	return c.control(hash, func(n *node) error {
		nodes := n.Descendants()
		for m := n.Parent(); m != nil; m = m.Parent() {
			nodes = append(nodes, m)
		}
		return c.unmark(nodes, headertree.AnyFault)
	})
}

// unmark takes back that nodes count as invalid. The caller holds mu.
func (c *Chain) unmark(nodes []*node, why headertree.Fault) error {
	return c.putNodes(c.tree.ClearFault(nodes, why)...)
}

// PreciousBlock has a block count as the first that was seen of all with the
// same work, until another is named or the node restarts. The error is of kind
// ErrNotFound if the block is not known.
func (c *Chain) PreciousBlock(hash consensus.Hash) error {
	return c.control(hash, func(n *node) error {
		c.tree.Prefer(n)
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
		n, ok := c.tree.Find(hash)
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
