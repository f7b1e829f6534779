package chain

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lode/chain/headertree"
	"lode/consensus"
)

// What is written when. A block goes to its file at once: the operating system
// keeps it if the process is killed. Everything else that it changes (records of
// headers, coins, the tip) stays in memory until a flush. That syncs the files,
// and then writes to the database, with where the files ended. A start takes the
// database's word for all before these ends; the blocks behind them it reads
// from the files and connects again.

const (
	// flushInterval is how long anything stays unwritten: so much work is done
	// again after a kill, and so much may be lost to a power cut.
	flushInterval = time.Minute
	// maxBatch is about how many bytes are written to the database at a time.
	maxBatch = 2 << 20
	// maxUnsaved is how many records of headers wait in memory.
	maxUnsaved = 20_000
)

// changed notes that the record of a node must be written. The caller holds mu.
func (c *Chain) changed(n *node) {
	if !c.readOnly {
		c.unsaved[n] = struct{}{}
		c.flushLater()
	}
}

// flushLater has the changes written before long. The caller holds mu.
func (c *Chain) flushLater() {
	if c.timer == nil {
		c.timer = time.AfterFunc(flushInterval, c.flushDue)
	}
}

// flushDue is what the timer calls. A failure is one of the ledger, see Failed.
func (c *Chain) flushDue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Err() == nil {
		if err := c.flush(); err != nil {
			_ = c.fail(err)
		}
	}
}

// flushFull flushes if the changes take much memory. The caller holds mu.
func (c *Chain) flushFull() error {
	full := c.coins.size() > c.cacheLimit
	if !full && len(c.unsaved) < maxUnsaved {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	if full {
		c.coins = newCoinCache(c.store)
	}
	return nil
}

// flush writes all changes, so that they survive a power cut. The caller holds
// mu.
func (c *Chain) flush() error {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if len(c.unsaved) == 0 && c.coins.changed == 0 && c.saved == c.tree.Tip() {
		return nil
	}
	if err := errors.Join(c.blocks.Sync(), c.undos.Sync()); err != nil {
		return err
	}
	b := newBatch()
	if err := c.flushNodes(&b); err != nil {
		return err
	}
	b.putTails(c.blocks.Tail(), c.undos.Tail())
	if err := c.coins.write(&b, c.tree.Tip().Hash(), c.cfg.limits.batch); err != nil {
		return err
	}
	clear(c.unsaved)
	c.saved = c.tree.Tip()
	return nil
}

// flushNodes writes records of headers, parents first; the last of them are left
// in b. One whose block lies behind the ends of the files that are on record
// counts as a mere header, so it matters to nobody if only the first of them are
// written.
func (c *Chain) flushNodes(b *batch) error {
	for _, n := range slices.SortedFunc(maps.Keys(c.unsaved), func(a, b *node) int { return cmp.Compare(a.Height(), b.Height()) }) {
		b.putNode(n)
		if len(b.Dump()) < c.cfg.limits.batch {
			continue
		}
		if err := c.store.write(b, false); err != nil {
			return err
		}
		b.Reset()
	}
	return nil
}

// flushIndex writes the records of headers alone. The caller holds mu.
func (c *Chain) flushIndex() error {
	var b batch
	if err := c.flushNodes(&b); err != nil {
		return err
	}
	clear(c.unsaved)
	return c.store.write(&b, false)
}

// finishMove completes a flush of coins that was interrupted. Each of the coins
// is as it was at one tip or as at the other. The blocks between the two are
// reverted and applied without a look at what is there: the last change of a
// coin on the way decides, and one that no block on the way changes is the same
// at both ends.
func (c *Chain) finishMove(from, to *node) error {
	c.cfg.Log.Info("finishing an interrupted write of coins", "from", from.Height(), "to", to.Height())
	base := headertree.Fork(from, to)
	var b batch
	write := func(v *consensus.View) error {
		removed, added := v.Changes()
		for o := range removed {
			b.Delete(coinKey(o))
		}
		for o, coin := range added {
			b.putCoin(o, &coin)
		}
		if len(b.Dump()) < c.cfg.limits.batch {
			return nil
		}
		err := c.store.write(&b, false)
		b.Reset()
		return err
	}
	for n := from; n != base; n = n.Parent() {
		if err := errors.Join(c.ended(), c.revert(n, write)); err != nil {
			return err
		}
	}
	for _, n := range headertree.Path(base, to) {
		p, err := c.parse(n)
		err = errors.Join(c.ended(), err)
		if err != nil {
			return err
		}
		view := consensus.NewView(consensus.Coins{})
		for i, tx := range p.Block().Txs {
			view.ApplyTx(tx, p.IDs()[i], n.Height())
		}
		if err := write(view); err != nil {
			return err
		}
	}
	b.putHash(keyTip, to.Hash())
	b.Delete([]byte{keyMoving})
	return c.store.write(&b, true)
}

// revert gives the coins as they were before the block of n to apply.
func (c *Chain) revert(n *node, apply func(*consensus.View) error) error {
	p, err := c.parse(n)
	if err != nil {
		return err
	}
	spent, err := c.spent(n)
	if isUndoLost(err) {
		c.cfg.Log.Warn("undo data is damaged and made anew from older blocks", "height", n.Height(), "hash", n.Hash(), "error", err)
		if spent, err = c.remakeUndo(n, c.parse); err == nil {
			err = c.storeUndo(n, spent) // or it would be damaged again when n is connected again and disconnected
		}
	}
	if err != nil {
		return err
	}
	view := consensus.NewView(consensus.Coins{}) // reverting never asks what is there
	if err := consensus.RevertBlock(view, p.Block(), p.IDs(), spent); err != nil {
		return fmt.Errorf("disconnect block %s: %w", n.Hash(), err)
	}
	return apply(view)
}
