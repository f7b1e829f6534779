package chain

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"lode/consensus"
)

// ErrDamaged is the kind of error for what lies on disk and is not what was
// written. A block is fetched again from peers then, and undo data is made again
// from blocks: whoever asks later finds it mended.
var ErrDamaged = errors.New("damaged on disk")

// errGone is why a block that was damaged cannot be read any more.
var errGone = errors.New("it is being fetched again from peers, ask again later")

func damaged(what string, n *node, err error) error {
	return fmt.Errorf("%s %s is %w: %w", what, n.hash(), ErrDamaged, err)
}

// loss is a damaged block: where it lay, and what is wrong with it.
type loss struct {
	body position
	err  error
}

// lose notes that the block of n, which may be a copy, is damaged on disk. The
// index changes later, see dropLost, as the caller may hold mu for reading, or
// not at all.
func (c *Chain) lose(n *node, err error) {
	c.lossMu.Lock()
	defer c.lossMu.Unlock()
	delete(c.proven, n.hash())
	c.losses[n.hash()] = loss{n.body, err}
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
		if n := c.index[hash]; n.has(statusBody) && !n.has(statusSummed) {
			n.sum, n.status = sum, n.status|statusSummed
			c.changed(n)
		}
	}
	short := make(map[uint32]bool) // files
	for hash, loss := range losses {
		n := c.index[hash]
		if !n.has(statusBody) || n.body != loss.body {
			continue
		}
		c.cfg.Log.Warn("a block on disk is damaged and will be fetched again from a peer; --reindex does without it",
			"height", n.height(), "hash", hash, "error", loss.err)
		c.dropBody(n)
		short[n.body.File] = short[n.body.File] || errors.Is(loss.err, errEnds)
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
	n.status &^= statusBody
	c.letGo(n)
	c.changed(n)
	if c.isActive(n) {
		c.lost[n] = struct{}{}
		c.missing = min(c.missing, n.height())
		return
	}
	for _, m := range c.drop(n) {
		c.changed(m)
	}
	c.findCandidates()
}

// dropBehindEnd drops all blocks that should lie where a block file has ended, or
// in one that is gone, so that they are not missed one by one. The caller holds
// mu.
func (c *Chain) dropBehindEnd(file uint32) {
	size, err := sizeIfThere(c.blocks, file)
	if err != nil {
		return // whoever reads it will say so
	}
	var gone []*node
	for _, n := range c.index {
		if n.has(statusBody) && n.parent != nil && n.body.File == file && int64(n.body.Offset)+int64(n.body.Size) > size {
			gone = append(gone, n)
		}
	}
	if len(gone) == 0 {
		return
	}
	slices.SortFunc(gone, func(a, b *node) int { return cmp.Compare(a.height(), b.height()) })
	c.cfg.Log.Warn("blocks are missing at the end of a block file, or with all of it, and will be fetched again from peers",
		"file", c.blocks.name(file), "bytes", size, "blocks", len(gone), "from", gone[0].height(), "to", gone[len(gone)-1].height())
	for _, n := range gone {
		c.dropBody(n)
	}
}

// dropShort drops the blocks of all files that are shorter than they were. The
// caller holds mu.
func (c *Chain) dropShort() error {
	ends := make(map[uint32]int64)
	for _, n := range c.index {
		if n.has(statusBody) && n.parent != nil {
			ends[n.body.File] = max(ends[n.body.File], int64(n.body.Offset)+int64(n.body.Size))
		}
	}
	for file, end := range ends {
		size, err := sizeIfThere(c.blocks, file)
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
	_, lost := c.lost[c.index[hash]]
	return lost
}

// lostBlocks lists up to limit damaged blocks of the active chain, lowest first.
// The caller holds mu.
func (c *Chain) lostBlocks(limit int) []consensus.Hash {
	var nodes []*node
	for n := range c.lost {
		if c.isActive(n) && !n.has(statusBody) {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.height(), b.height()) })
	hashes := make([]consensus.Hash, min(limit, len(nodes)))
	for i := range hashes {
		hashes[i] = nodes[i].hash()
	}
	return hashes
}

// drop has the chains of n and of what is built on it, which are not active,
// count as incomplete. The caller holds mu.
func (c *Chain) drop(n *node) []*node {
	list := descendants(n)
	for _, m := range list {
		m.seq = 0
		delete(c.candidates, m)
	}
	if n.parent.seq > 0 {
		c.compete(n.parent)
	}
	return list
}

// reachable reports whether the blocks above the fork with n can be
// disconnected, as far as it is known, and may be. The caller holds mu.
func (c *Chain) reachable(n *node) bool {
	if c.avoids(n) {
		return false
	}
	if c.onRoute(n) {
		return true
	}
	base := fork(c.tip(), n)
	if c.severed(base) {
		c.tellSevered(base, n)
		return false
	}
	return c.stuck == nil || !c.isActive(c.stuck) || base.height() >= c.stuck.height()
}

// isUndoLost reports whether an error of spent means that undo data must be made
// again.
func isUndoLost(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) }

// storeUndo writes the coins that the block of n spent. The caller holds mu.
func (c *Chain) storeUndo(n *node, spent []consensus.Coin) (err error) {
	if n.undo, err = c.undos.append(appendUndo(nil, n.hash(), spent)); err != nil {
		return err
	}
	n.status |= statusUndo
	c.changed(n)
	return nil
}

// mendUndo makes the undo data of a block anew, which was damaged at a place, and
// keeps it. It takes as long as reading the chain back to the oldest coin that
// the block has spent, and holds no lock meanwhile.
func (c *Chain) mendUndo(hash consensus.Hash, place position) ([]consensus.Coin, error) {
	c.mendMu.Lock() // once for all who ask for it
	defer c.mendMu.Unlock()
	n, err := c.lookup(hash)
	if err != nil {
		return nil, err
	}
	if n.undo != place {
		return c.spent(n)
	}
	c.cfg.Log.Warn("undo data is damaged and made anew from older blocks", "height", n.height(), "hash", hash)
	read := func(m *node) (parsedBlock, error) {
		now, err := c.lookup(m.hash())
		if err != nil {
			return parsedBlock{}, err
		}
		p, err := c.parseStored(now)
		if errors.Is(err, ErrDamaged) {
			c.lose(now, err)
		}
		return p, err
	}
	spent, err := c.remakeUndo(n, read)
	if err != nil {
		return nil, fmt.Errorf("undo data of block %s at height %d is %w, and to make it again: %w", hash, n.height(), ErrDamaged, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return nil, err
	}
	if now := c.index[hash]; now.has(statusUndo) && now.undo == place {
		if err := c.storeUndo(now, spent); err != nil {
			return nil, c.fail(err)
		}
	}
	return spent, nil
}

// remakeUndo finds the coins that the block of n spent in the blocks that made
// them.
func (c *Chain) remakeUndo(n *node, read func(*node) (parsedBlock, error)) ([]consensus.Coin, error) {
	p, err := read(n)
	if err != nil {
		return nil, err
	}
	var inputs []consensus.OutPoint
	made := make(map[consensus.Hash][]int) // inputs by the transaction that made what they spend
	for _, tx := range p.block.Txs[1:] {
		for _, in := range tx.In {
			made[in.PrevOut.TxID] = append(made[in.PrevOut.TxID], len(inputs))
			inputs = append(inputs, in.PrevOut)
		}
	}
	spent := make([]consensus.Coin, len(inputs))
	for m := n; m != nil && len(made) > 0; m = m.parent {
		if m != n {
			if p, err = read(m); err != nil {
				return nil, err
			}
		}
		for i, id := range p.ids {
			tx := p.block.Txs[i]
			for _, at := range made[id] {
				index := inputs[at].Index
				if index >= uint32(len(tx.Out)) {
					return nil, consensus.ErrUndo
				}
				key, ok := consensus.TaprootKey(tx.Out[index].Script)
				if !ok {
					return nil, consensus.ErrUndo
				}
				spent[at] = consensus.Coin{Value: tx.Out[index].Value, Key: key, Height: m.height(), Coinbase: tx.IsCoinbase()}
			}
			delete(made, id)
		}
	}
	if len(made) > 0 {
		return nil, consensus.ErrUndo
	}
	return spent, nil
}
