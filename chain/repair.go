package chain

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"lode/chain/blockfile"
	"lode/chain/headertree"
	"lode/consensus"
)

// ErrDamaged is the kind of error for what lies on disk and is not what was
// written. A block is fetched again from peers then, and undo data is made again
// from blocks: whoever asks later finds it mended.
var ErrDamaged = errors.New("damaged on disk")

// errGone is why a block that was damaged cannot be read any more.
var errGone = errors.New("it is being fetched again from peers, ask again later")

func damaged(what string, n *node, err error) error {
	return fmt.Errorf("%s %s is %w: %w", what, n.Hash(), ErrDamaged, err)
}

// loss is a damaged block: where it lay, and what is wrong with it.
type loss struct {
	body blockfile.Position
	err  error
}

// lose notes that the block of n, which may be a copy, is damaged on disk. The
// index changes later, see dropLost, as the caller may hold mu for reading, or
// not at all.
func (c *Chain) lose(n *node, err error) {
	c.lossMu.Lock()
	defer c.lossMu.Unlock()
	delete(c.proven, n.Hash())
	c.losses[n.Hash()] = loss{n.Own.body, err}
}

// settleLosses has the index know of damage that a reader has met, and whoever
// fetches blocks. No lock is held.
func (c *Chain) settleLosses() {
	const manyProven = 10_000
	c.lossMu.Lock()
	lost, proven := len(c.losses) > 0, len(c.proven) > manyProven
	c.lossMu.Unlock()
	if !lost && !proven {
		return
	}
	c.mu.Lock()
	c.dropLost()
	c.mu.Unlock()
	if lost {
		c.pokeAll()
	}
}

// dropLost has damaged blocks count as blocks that have not come yet, so that
// they are fetched again: MissingBlocks lists them. A side branch waits for
// them. The active chain stands as it is, for they were valid, but blocks below
// its tip cannot be disconnected while one above them is missing. The caller
// holds mu.
func (c *Chain) dropLost() {
	c.lossMu.Lock()
	losses, proven := maps.Clone(c.losses), c.proven
	clear(c.losses)
	c.proven = make(map[consensus.Hash]uint32)
	c.lossMu.Unlock()
	for hash, sum := range proven {
		if n, _ := c.tree.Find(hash); n.IsStored() && !n.Own.has(statusSummed) {
			n.Own.sum, n.Own.status = sum, n.Own.status|statusSummed
			c.changed(n)
		}
	}
	short := make(map[uint32]bool) // files
	for hash, loss := range losses {
		n, _ := c.tree.Find(hash)
		if !n.IsStored() || n.Own.body != loss.body {
			continue
		}
		c.cfg.Log.Warn("a block on disk is damaged and will be fetched again from a peer; --reindex does without it",
			"height", n.Height(), "hash", hash, "error", loss.err)
		c.dropBody(n)
		short[n.Own.body.File] = short[n.Own.body.File] || errors.Is(loss.err, blockfile.ErrEnds)
	}
	for file, is := range short {
		if is {
			c.dropBehindEnd(file)
		}
	}
}

// dropBody has the block of n, which is damaged, count as one that has not come
// yet. The caller holds mu.
func (c *Chain) dropBody(n *node) {
	for _, m := range c.tree.Lose(n) {
		c.changed(m)
	}
	c.letGo(n)
	c.changed(n)
	if c.tree.IsActive(n) {
		c.lost[n] = struct{}{}
		c.missing = min(c.missing, n.Height())
	}
}

// dropBehindEnd drops all blocks that should lie where a block file has ended, or
// in one that is gone, so that they are not missed one by one. The caller holds
// mu.
func (c *Chain) dropBehindEnd(file uint32) {
	size, err := blockfile.SizeIfThere(c.blocks, file)
	if err != nil {
		return // whoever reads it will say so
	}
	var gone []*node
	for n := range c.tree.All() {
		if n.IsStored() && n.Parent() != nil && n.Own.body.File == file && int64(n.Own.body.Offset)+int64(n.Own.body.Size) > size {
			gone = append(gone, n)
		}
	}
	if len(gone) == 0 {
		return
	}
	slices.SortFunc(gone, func(a, b *node) int { return cmp.Compare(a.Height(), b.Height()) })
	c.cfg.Log.Warn("blocks are missing at the end of a block file, or with all of it, and will be fetched again from peers",
		"file", c.blocks.Name(file), "bytes", size, "blocks", len(gone), "from", gone[0].Height(), "to", gone[len(gone)-1].Height())
	for _, n := range gone {
		c.dropBody(n)
	}
}

// dropShort drops the blocks of all files that are shorter than they were. The
// caller holds mu.
func (c *Chain) dropShort() error {
	ends := make(map[uint32]int64)
	for n := range c.tree.All() {
		if n.IsStored() && n.Parent() != nil {
			ends[n.Own.body.File] = max(ends[n.Own.body.File], int64(n.Own.body.Offset)+int64(n.Own.body.Size))
		}
	}
	for file, end := range ends {
		size, err := blockfile.SizeIfThere(c.blocks, file)
		if err != nil {
			return err
		}
		if size < end {
			c.dropBehindEnd(file)
		}
	}
	return nil
}

// isLost reports whether a block of the active chain was damaged and has not come
// again.
func (c *Chain) isLost(hash consensus.Hash) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, _ := c.tree.Find(hash)
	_, lost := c.lost[n]
	return lost
}

// lostBlocks lists up to limit damaged blocks of the active chain, lowest first.
// The caller holds mu.
func (c *Chain) lostBlocks(limit int) []consensus.Hash {
	var nodes []*node
	for n := range c.lost {
		if c.tree.IsActive(n) && !n.IsStored() {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.Height(), b.Height()) })
	hashes := make([]consensus.Hash, min(limit, len(nodes)))
	for i := range hashes {
		hashes[i] = nodes[i].Hash()
	}
	return hashes
}

// reachable reports whether the blocks above the fork with n can be disconnected, as
// far as it is known, and may be. The caller holds mu, if only for reading.
func (c *Chain) reachable(n *node) bool {
	fork := headertree.Fork(c.tree.Tip(), n)
	return !c.avoids(fork) && !c.severed(fork) &&
		(c.stuck == nil || !c.tree.IsActive(c.stuck) || fork.Height() >= c.stuck.Height())
}

// tellPassed says once of each branch with more work why it is out of reach, unless
// that was said already. The caller holds mu.
func (c *Chain) tellPassed(passed []*node) {
	for _, n := range passed {
		switch fork := headertree.Fork(c.tree.Tip(), n); {
		case c.avoids(fork):
			c.tellAvoided(fork, n)
		case c.severed(fork):
			c.tellSevered(fork, n)
		}
	}
}

// isUndoLost reports whether an error of spent means that undo data must be made
// again.
func isUndoLost(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) }

// storeUndo writes the coins that the block of n spent. The caller holds mu.
func (c *Chain) storeUndo(n *node, spent []consensus.Coin) (err error) {
	if n.Own.undo, err = c.undos.Append(appendUndo(nil, n.Hash(), spent)); err != nil {
		return err
	}
	n.Own.status |= statusUndo
	c.changed(n)
	return nil
}

// mendUndo makes the undo data of a block anew, which was damaged at a place, and
// keeps it. It takes as long as reading the chain back to the oldest coin that
// the block has spent, and holds no lock meanwhile.
func (c *Chain) mendUndo(hash consensus.Hash, place blockfile.Position) ([]consensus.Coin, error) {
	c.mendMu.Lock() // once for all who ask for it
	defer c.mendMu.Unlock()
	n, err := c.lookup(hash)
	if err != nil {
		return nil, err
	}
	if n.Own.undo != place {
		return c.spent(n)
	}
	c.cfg.Log.Warn("undo data is damaged and made anew from older blocks", "height", n.Height(), "hash", hash)
	read := func(m *node) (*consensus.CheckedBlock, error) {
		now, err := c.lookup(m.Hash())
		if err != nil {
			return nil, err
		}
		p, err := c.parseStored(now)
		if errors.Is(err, ErrDamaged) {
			c.lose(now, err)
		}
		return p, err
	}
	spent, err := c.remakeUndo(n, read)
	if err != nil {
		return nil, fmt.Errorf("undo data of block %s at height %d is %w, and to make it again: %w", hash, n.Height(), ErrDamaged, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return nil, err
	}
	if now, _ := c.tree.Find(hash); now.Own.has(statusUndo) && now.Own.undo == place {
		if err := c.storeUndo(now, spent); err != nil {
			return nil, c.fail(err)
		}
	}
	return spent, nil
}

// remakeUndo finds the coins that the block of n spent in the blocks that made
// them.
func (c *Chain) remakeUndo(n *node, read func(*node) (*consensus.CheckedBlock, error)) ([]consensus.Coin, error) {
	p, err := read(n)
	if err != nil {
		return nil, err
	}
	var inputs []consensus.OutPoint
	made := make(map[consensus.Hash][]int) // inputs by the transaction that made what they spend
	for _, tx := range p.Block().Txs[1:] {
		for _, in := range tx.In {
			made[in.PrevOut.TxID] = append(made[in.PrevOut.TxID], len(inputs))
			inputs = append(inputs, in.PrevOut)
		}
	}
	spent := make([]consensus.Coin, len(inputs))
	for m := n; m != nil && len(made) > 0; m = m.Parent() {
		if m != n {
			if p, err = read(m); err != nil {
				return nil, err
			}
		}
		for i, id := range p.IDs() {
			tx := p.Block().Txs[i]
			for _, at := range made[id] {
				index := inputs[at].Index
				if index >= uint32(len(tx.Out)) {
					return nil, consensus.ErrUndo
				}
				key, ok := consensus.TaprootKey(tx.Out[index].Script)
				if !ok {
					return nil, consensus.ErrUndo
				}
				spent[at] = consensus.Coin{Value: tx.Out[index].Value, Key: key, Height: m.Height(), Coinbase: tx.IsCoinbase()}
			}
			delete(made, id)
		}
	}
	if len(made) > 0 {
		return nil, consensus.ErrUndo
	}
	return spent, nil
}
