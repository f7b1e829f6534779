package chain

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"

	"lode/chain/blockfile"
	"lode/consensus"
)

// Pruning removes whole block and undo files, the oldest first. That they are
// gone is on record, and synced, before the first of them is removed; whatever a
// kill left of them goes at the next start. All blocks of these files lie at
// least KeptBlocks below a tip that is on record too, so no start asks for them.
// What they have made of the coins stays.

// What Config.Prune may be, besides a number of bytes.
const (
	PruneNever   = 0  // and refuse a ledger that is pruned
	PruneByHand  = 1  // only when PruneTo is called
	PruneAsFound = -1 // never, but take a ledger that is pruned
)

const (
	// KeptBlocks is how many blocks of the active chain are always kept (BIP159).
	KeptBlocks = 288
	// MinPruneTarget is the least that blocks and undo data may be limited to, in
	// bytes. It is Bitcoin Core's.
	MinPruneTarget = 550 << 20
)

// ErrPruned is the kind of error, besides ErrNotFound, for a block that was
// removed to save space.
var ErrPruned = fmt.Errorf("%w: it was pruned", ErrNotFound)

// pruning is what is gone. Chain.mu guards it.
type pruning struct {
	blocks, undos uint32 // the first block file and the first undo file that are kept
	height        uint32 // no block of the active chain below it can be disconnected
	retry         uint32 // the height below which the oldest file cannot go
	told          *node  // of the last branch that was out of reach: where it forks off
}

// Pruning says what a ledger keeps.
type Pruning struct {
	Enabled bool   // blocks may be pruned
	Target  int64  // bytes of block and undo files; 0 for none
	Height  uint32 // of the last block of the active chain that is gone, plus one
}

// Pruning says what of the blocks is kept.
func (c *Chain) Pruning() Pruning {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := Pruning{Enabled: c.cfg.Prune != PruneNever, Height: c.pruned.height}
	if c.cfg.Prune > PruneByHand {
		p.Target = c.cfg.Prune
	}
	return p
}

// PruneTo removes the files all of whose blocks lie at or below a height, and at
// least KeptBlocks below the tip. An error is of kind ErrFatal.
func (c *Chain) PruneTo(height uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	if err := c.prune(height, 0); err != nil {
		return c.fail(err)
	}
	return nil
}

// pruneFull prunes if there is more than the target. There is always room for
// one more file below it. The caller holds mu, and is not on the way from one
// branch to another.
func (c *Chain) pruneFull() error {
	if c.cfg.Prune <= PruneByHand || c.tree.Tip().Height() < c.pruned.retry {
		return nil
	}
	most := c.cfg.Prune - c.cfg.limits.file
	if c.blocks.Total()+c.undos.Total() <= most {
		return nil
	}
	return c.prune(c.tree.Tip().Height(), most)
}

// prune removes the oldest files whose blocks all lie at or below a height, as
// long as there are more than that many bytes. The caller holds mu.
func (c *Chain) prune(height uint32, most int64) error {
	tip := c.tree.Tip().Height()
	if tip < KeptBlocks {
		c.pruned.retry = KeptBlocks
		return nil
	}
	if c.assumed() != nil { // the verification of the history needs it
		return nil
	}
	height = min(height, tip-KeptBlocks)
	blocks, undos := c.fileTops()
	next := c.pruned
	total, removed := c.blocks.Total()+c.undos.Total(), uint32(0)
	end := c.blocks.Tail().File
	for ; total > most && next.blocks < end && blocks[next.blocks] <= height; next.blocks++ {
		size, err := blockfile.SizeIfThere(c.blocks, next.blocks)
		if err != nil {
			return err
		}
		total, removed = total-size, max(removed, blocks[next.blocks])
		for next.undos < c.undos.Tail().File && undos[next.undos] <= removed {
			if size, err = blockfile.SizeIfThere(c.undos, next.undos); err != nil {
				return err
			}
			total -= size
			next.undos++
		}
	}
	if c.pruned.retry = tip + KeptBlocks; next.blocks < end {
		c.pruned.retry = blocks[next.blocks] + KeptBlocks
	}
	if next.blocks == c.pruned.blocks {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	var b batch
	b.putPruned(next.blocks, next.undos)
	if err := c.store.write(&b, true); err != nil {
		return err
	}
	c.pruned.blocks, c.pruned.undos = next.blocks, next.undos
	c.forgetPruned()
	return c.removePruned()
}

// fileTops gives the greatest height of a block in each block and undo file.
// The caller holds mu.
func (c *Chain) fileTops() (blocks, undos map[uint32]uint32) {
	blocks, undos = make(map[uint32]uint32), make(map[uint32]uint32)
	for n := range c.tree.All() {
		if n.IsStored() || c.tree.IsActive(n) {
			blocks[n.Own.body.File] = max(blocks[n.Own.body.File], n.Height())
		}
		if n.Own.has(statusUndo) {
			undos[n.Own.undo.File] = max(undos[n.Own.undo.File], n.Height())
		}
	}
	return blocks, undos
}

// loadPruned reads what is gone, and removes what of it is still there. The
// caller holds mu.
func (c *Chain) loadPruned() error {
	value, err := c.store.get(keyPruned)
	if value == nil || err != nil {
		return err
	}
	d := consensus.NewDecoder(value)
	c.pruned.blocks, c.pruned.undos = d.Uint32(), d.Uint32()
	if err := d.Finish(); err != nil {
		return fmt.Errorf("%w: what is pruned: %w", errCorrupt, err)
	}
	if c.cfg.Prune == PruneNever {
		return fmt.Errorf("the ledger in %s is pruned: start with --prune (1 to prune no more), or %s", c.cfg.Dir, startOver(c.cfg.Dir))
	}
	c.forgetPruned()
	return c.removePruned()
}

// forgetPruned has blocks count as pruned whose files are gone, if they are part
// of the active chain, and else as not come yet. The caller holds mu.
func (c *Chain) forgetPruned() {
	for n := range c.tree.All() {
		if n.Own.has(statusUndo) && n.Own.undo.File < c.pruned.undos {
			n.Own.status &^= statusUndo
		}
		active := c.tree.IsActive(n)
		if n.Own.body.File >= c.pruned.blocks || !n.IsStored() && !active {
			continue
		}
		c.tree.Lose(n)
		delete(c.lost, n)
		if active {
			n.Own.status |= statusPruned
			c.pruned.height = max(c.pruned.height, n.Height()+1)
			continue
		}
		c.letGo(n)
	}
}

// removePruned removes the files that are on record as gone. The caller holds
// mu.
func (c *Chain) removePruned() error {
	blocks, err := c.blocks.RemoveBefore(c.pruned.blocks)
	if err != nil {
		return err
	}
	undos, err := c.undos.RemoveBefore(c.pruned.undos)
	if blocks+undos > 0 {
		c.cfg.Log.Info("pruned old blocks", "below", c.pruned.height, "files", blocks+undos)
	}
	return err
}

// severed reports whether the blocks above base, which is part of the active
// chain, cannot be disconnected because of what is pruned. The caller holds mu,
// if only for reading.
func (c *Chain) severed(base *node) bool { return base.Height()+1 < c.pruned.height }

// tellSevered says once that a branch is out of reach. The caller holds mu.
func (c *Chain) tellSevered(base, n *node) {
	if c.pruned.told != base {
		c.pruned.told = base
		c.cfg.Log.Error("a branch with more work forks off below pruned blocks and is out of reach; to follow it, "+startOver(c.cfg.Dir),
			"fork", base.Height(), "pruned_below", c.pruned.height, "branch", n.Hash(), "height", n.Height())
	}
}

// startOver says how to have all blocks again.
func startOver(dir string) string {
	return fmt.Sprintf("stop the node and remove %s and %s, so that all blocks are fetched again", filepath.Join(dir, "blocks"), filepath.Join(dir, "ledger"))
}

// checkWhole refuses to build a ledger anew without its oldest blocks.
func checkWhole(d blockfile.Disk, dir string) error {
	numbers, err := blockfile.Numbers(d, filepath.Join(dir, "blocks"), "blk")
	if err == nil && len(numbers) > 0 && numbers[0] > 0 {
		err = fmt.Errorf("the ledger in %s is pruned, its first block file is %s, and cannot be built anew from the rest: %s",
			dir, blockfile.Name("blk", numbers[0]), startOver(dir))
	}
	return err
}

func (b *batch) putPruned(blocks, undos uint32) {
	b.Put([]byte{keyPruned}, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, blocks), undos))
}

// FirstSince is the height of the first block of the active chain whose time is
// t, in Unix seconds, or later.
func (c *Chain) FirstSince(t uint32) (height uint32, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i := slices.IndexFunc(c.tree.Active(), func(n *node) bool { return n.Header().Time >= t })
	return uint32(max(i, 0)), i >= 0
}
