package chain

import (
	"errors"
	"fmt"
	"maps"

	"lode/consensus"
)

// errDamaged is the kind of error for a record on disk that is not what was
// written.
var errDamaged = errors.New("damaged on disk")

// errGone is why a block that was damaged cannot be read any more.
var errGone = errors.New("it has not been fetched again yet")

func damaged(what string, n *node, err error) error {
	return fmt.Errorf("%s %s is %w: %w", what, n.hash(), errDamaged, err)
}

// lose notes that a block on disk is damaged. The index changes later, see
// dropLost, as the caller may hold mu for reading, or not at all.
func (c *Chain) lose(hash consensus.Hash, err error) {
	c.lossMu.Lock()
	defer c.lossMu.Unlock()
	c.losses[hash] = err
}

// dropLost has damaged blocks count as blocks that have not come yet, so that
// they are fetched again: MissingBlocks lists them. A side branch waits for
// them. The active chain stands as it is, for they were valid, but blocks below
// its tip cannot be disconnected while one above them is missing. The caller
// holds mu.
func (c *Chain) dropLost() {
	c.lossMu.Lock()
	losses := maps.Clone(c.losses)
	clear(c.losses)
	c.lossMu.Unlock()
	for hash, err := range losses {
		n := c.index[hash]
		if !n.has(statusBody) {
			continue
		}
		c.cfg.Log.Warn("a block on disk is damaged and will be fetched again from a peer; --reindex does without it",
			"height", n.height(), "hash", hash, "error", err)
		n.status &^= statusBody
		c.letGo(n)
		c.changed(n)
		if c.isActive(n) {
			c.lost[n] = struct{}{}
			c.missing = min(c.missing, n.height())
			continue
		}
		for _, m := range c.drop(n) {
			c.changed(m)
		}
		c.findCandidates()
	}
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

// remakeUndo finds the coins that a block spent in the blocks that made them.
func (c *Chain) remakeUndo(n *node, p parsedBlock) ([]consensus.Coin, error) {
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
			var err error
			if p, err = c.parse(m); err != nil {
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
