package chain

import (
	"errors"
	"fmt"

	"lode/consensus"
)

// settle is activate where the verdicts matter to nobody.
func (c *Chain) settle() error {
	_, err := c.activate()
	return err
}

// activate makes the best candidate the tip. It gives the verdict on every
// block that it connected or tried to; its own error is of kind ErrFatal. The
// caller holds mu.
func (c *Chain) activate() (map[*node]error, error) {
	verdicts := make(map[*node]error)
	for {
		best := c.tip()
		for n := range c.candidates {
			if n.better(best) {
				best = n
			}
		}
		if best == c.tip() {
			break
		}
		if err := c.switchTo(best, verdicts); err != nil {
			return nil, c.fail(err)
		}
	}
	for n := range c.candidates {
		if c.tip().better(n) {
			delete(c.candidates, n)
		}
	}
	return verdicts, nil
}

// switchTo disconnects blocks back to the fork with best and connects those up
// to it, or up to the first that breaks a rule, which it marks.
func (c *Chain) switchTo(best *node, verdicts map[*node]error) error {
	base := fork(c.tip(), best)
	if lost := c.tip().height() - base.height(); lost > 0 {
		c.cfg.Log.Info("reorganizing", "disconnect", lost, "connect", best.height()-base.height(), "fork", base.hash())
	}
	for c.tip() != base {
		if err := c.disconnect(); err != nil {
			return err
		}
	}
	for _, n := range path(base, best) {
		verdict, err := c.connect(n)
		if err != nil {
			return err
		}
		verdicts[n] = verdict
		if verdict != nil {
			c.cfg.Log.Warn("invalid block", "height", n.height(), "hash", n.hash(), "error", verdict)
			return c.markFailed(n)
		}
	}
	return nil
}

// connect makes n, a child of the tip, the tip. verdict is the rule that it
// breaks; err is a failure of the ledger itself.
func (c *Chain) connect(n *node) (verdict, err error) {
	block, ids, err := c.body(n)
	if err != nil {
		return nil, err
	}
	source := &coins{store: c.store}
	u, verdict := c.rules.ConnectBlock(n.parent.state, block, ids, source, c.medianTime)
	if source.err != nil {
		return nil, source.err // and the verdict is worth nothing
	}
	if verdict == nil {
		verdict = c.cfg.Sigs.Verify(u.Sigs)
	}
	if verdict != nil {
		return verdict, nil
	}
	if !n.has(statusUndo) {
		if n.undo, err = c.undos.append(appendUndo(nil, n.hash(), u.Spent)); err != nil {
			return nil, err
		}
		n.status |= statusUndo
	}
	var b batch
	b.putView(u.View)
	b.putNode(n)
	b.putTip(n.hash())
	if err := c.store.write(&b); err != nil {
		return nil, err
	}
	c.active = append(c.active, n)
	return nil, nil
}

// disconnect makes the parent of the tip the tip.
func (c *Chain) disconnect() error {
	n := c.tip()
	block, ids, err := c.body(n)
	if err != nil {
		return err
	}
	spent, err := c.spent(n)
	if err != nil {
		return err
	}
	view := consensus.NewView(consensus.Coins{}) // reverting never asks what is there
	if err := consensus.RevertBlock(view, block, ids, spent); err != nil {
		return fmt.Errorf("disconnect block %s: %w", n.hash(), err)
	}
	var b batch
	b.putView(view)
	b.putTip(n.parent.hash())
	if err := c.store.write(&b); err != nil {
		return err
	}
	c.active = c.active[:len(c.active)-1]
	return nil
}

// medianTime is the median time past of a block of the active chain. The caller
// holds mu.
func (c *Chain) medianTime(height uint32) uint32 { return c.active[height].state.MedianTime() }

// body reads the block of n, and makes sure that it is the one that was stored.
// ids are its transaction ids. The caller holds mu, if only for reading.
func (c *Chain) body(n *node) (block *consensus.Block, ids []consensus.Hash, err error) {
	if c.recent.block != nil && c.recent.hash == n.hash() {
		return c.recent.block, c.recent.ids, nil
	}
	payload, err := c.bodyBytes(n)
	if err != nil {
		return nil, nil, err
	}
	if block, err = consensus.DecodeBlock(payload); err == nil {
		ids = block.TxIDs()
		if n.parent != nil {
			err = errors.Join(c.rules.CheckBlock(block, ids), c.rules.CheckBlockAfter(&n.parent.state, block, ids))
		}
	}
	if err != nil {
		return nil, nil, damaged("block", n, err)
	}
	return block, ids, nil
}

func (c *Chain) bodyBytes(n *node) ([]byte, error) {
	if !n.has(statusBody) {
		return nil, fmt.Errorf("%w: only the header of %s is known", ErrNotFound, n.hash())
	}
	payload, err := c.blocks.read(n.body)
	if err == nil && (len(payload) < consensus.HeaderSize || consensus.DoubleSHA256(payload[:consensus.HeaderSize]) != n.hash()) {
		err = fmt.Errorf("%w: another header", errRecord)
	}
	if errors.Is(err, errRecord) {
		return nil, damaged("block", n, err)
	}
	if err != nil {
		return nil, err
	}
	return payload, nil
}

// spent reads the coins that the block of n spent.
func (c *Chain) spent(n *node) ([]consensus.Coin, error) {
	if n.parent == nil {
		return nil, nil
	}
	if !n.has(statusUndo) {
		return nil, fmt.Errorf("%w: %s was never connected", ErrNotFound, n.hash())
	}
	payload, err := c.undos.read(n.undo)
	if errors.Is(err, errRecord) {
		return nil, damaged("undo data of block", n, err)
	}
	if err != nil {
		return nil, err
	}
	spent, err := readUndo(payload, n.hash())
	if err != nil {
		return nil, damaged("undo data of block", n, err)
	}
	return spent, nil
}

func damaged(what string, n *node, err error) error {
	return fmt.Errorf("%s %s on disk is damaged, start with --reindex: %w", what, n.hash(), err)
}
