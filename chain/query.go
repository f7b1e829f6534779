package chain

import (
	"errors"
	"fmt"
	"slices"

	"lode/chain/headertree"
	"lode/consensus"
)

// HeaderInfo is what the ledger knows of a header.
type HeaderInfo struct {
	Header      consensus.Header
	Hash        consensus.Hash
	Height      uint32
	Work        consensus.Work // of the chain up to it
	MedianTime  uint32         // Unix seconds (BIP113)
	Txs         uint32         // transactions of its block; 0 if that is not known
	HaveBlock   bool           // its block is stored
	Pruned      bool           // its block was stored
	Invalid     bool           // it counts as invalid, as it or an ancestor broke a rule, or because of InvalidateBlock
	Invalidated bool           // Invalid because of InvalidateBlock alone: whoever shows it is not at fault
	Active      bool           // it is part of the active chain
	Connected   bool           // its block has passed every rule: it is, or was, part of the active chain
}

func (c *Chain) info(n *node) HeaderInfo {
	return HeaderInfo{
		Header: *n.Header(), Hash: n.Hash(), Height: n.Height(), Work: n.State().Work, MedianTime: n.State().MedianTime(), Txs: n.Own.txs,
		HaveBlock: n.IsStored(), Pruned: n.Own.has(statusPruned), Active: c.tree.IsActive(n),
		Invalid: n.IsFaulty(), Invalidated: n.IsInvalidated() && !n.IsBroken(),
		Connected: c.tree.IsActive(n) || n.Own.has(statusUndo),
	}
}

// Rules are the rules of the network.
func (c *Chain) Rules() *consensus.Rules { return c.rules }

// Tip is the state after the active tip.
func (c *Chain) Tip() consensus.State {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return *c.tree.Tip().State()
}

// BestHeader is the header with the most work that is not known to be invalid.
func (c *Chain) BestHeader() HeaderInfo {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.info(c.tree.Best())
}

// Header finds a header by its hash.
func (c *Chain) Header(hash consensus.Hash) (HeaderInfo, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.tree.Find(hash)
	if !ok {
		return HeaderInfo{}, false
	}
	return c.info(n), true
}

// State is the state of the rules after a block whose header is known.
func (c *Chain) State(hash consensus.Hash) (consensus.State, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.tree.Find(hash)
	if !ok {
		return consensus.State{}, false
	}
	return *n.State(), true
}

// HashAt is the hash of the block at a height of the active chain.
func (c *Chain) HashAt(height uint32) (consensus.Hash, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if int(height) >= len(c.tree.Active()) {
		return consensus.Hash{}, false
	}
	return c.tree.Active()[height].Hash(), true
}

// Tips lists the headers that have no children, the active tip first.
func (c *Chain) Tips() []HeaderInfo {
	c.mu.RLock()
	defer c.mu.RUnlock()
	tips := []HeaderInfo{c.info(c.tree.Tip())}
	for n := range c.tree.Tips() {
		if n != c.tree.Tip() {
			tips = append(tips, c.info(n))
		}
	}
	slices.SortFunc(tips[1:], func(a, b HeaderInfo) int { return b.Work.Cmp(&a.Work) })
	return tips
}

// BlockBytes is the encoding of a stored block, as it was when its transactions
// and witnesses were checked against its header. The error is of kind ErrNotFound
// if there is none, and of kind ErrDamaged too if it was damaged on disk and will
// be fetched again.
func (c *Chain) BlockBytes(hash consensus.Hash) ([]byte, error) {
	n, err := c.lookup(hash)
	if err != nil {
		return nil, err
	}
	payload, err := c.bodyBytes(n)
	switch {
	case errors.Is(err, ErrDamaged):
		c.lose(n, err)
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, ErrNotFound) && c.isLost(hash):
		err = fmt.Errorf("%w: %w", ErrNotFound, damaged("block", n, errGone))
	}
	c.settleLosses()
	return payload, err
}

// Block is a stored block. The errors are those of BlockBytes.
func (c *Chain) Block(hash consensus.Hash) (*consensus.Block, error) {
	payload, err := c.BlockBytes(hash)
	if err != nil {
		return nil, err
	}
	return consensus.DecodeBlock(payload)
}

// Spent is the coins that a block spent, in the order of its inputs, the
// coinbase's left out. What is damaged is made anew from the blocks that made the
// coins. The error is of kind ErrNotFound if the block was never connected, or its
// undo data was pruned, and of kind ErrDamaged if it cannot be made anew: the
// blocks for that are damaged too, and will be fetched again, or were pruned.
func (c *Chain) Spent(hash consensus.Hash) ([]consensus.Coin, error) {
	n, err := c.lookup(hash)
	if err != nil {
		return nil, err
	}
	spent, err := c.spent(n)
	if errors.Is(err, ErrDamaged) {
		if now, failure := c.lookup(hash); failure == nil && !now.Own.has(statusUndo) { // meanwhile
			return nil, fmt.Errorf("%w: undo data of block %s", ErrPruned, hash)
		}
		spent, err = c.mendUndo(hash, n.Own.undo)
		c.settleLosses()
	}
	return spent, err
}

// lookup finds a node and copies it, so that it may be read without a lock.
func (c *Chain) lookup(hash consensus.Hash) (*node, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.tree.Find(hash)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, hash)
	}
	copied := *n
	return &copied, nil
}

// Locator lists hashes of the chain of the best header, dense near its end and
// ever sparser toward genesis, so that a peer can find where it forks off.
func (c *Chain) Locator() []consensus.Hash {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var hashes []consensus.Hash
	n, step := c.tree.Best(), uint32(1)
	for {
		hashes = append(hashes, n.Hash())
		if n.Parent() == nil {
			return hashes
		}
		if len(hashes) > 10 {
			step *= 2
		}
		target := n.Height() - min(step, n.Height())
		if base := c.tree.Active(); int(target) < len(base) && c.tree.IsActive(n) {
			n = base[target]
		} else {
			n = n.Ancestor(target)
		}
	}
}

// HeadersAfter lists up to limit headers of the active chain that follow the
// first hash of the locator that is part of it (genesis if none is), up to and
// including stop.
func (c *Chain) HeadersAfter(locator []consensus.Hash, stop consensus.Hash, limit int) []consensus.Header {
	c.mu.RLock()
	defer c.mu.RUnlock()
	from := uint32(0)
	for _, hash := range locator {
		if n, ok := c.tree.Find(hash); ok && c.tree.IsActive(n) {
			from = n.Height()
			break
		}
	}
	var headers []consensus.Header
	for _, n := range c.tree.Active()[from+1:] {
		if len(headers) == limit {
			break
		}
		headers = append(headers, *n.Header())
		if n.Hash() == stop {
			break
		}
	}
	return headers
}

// MissingBlocks lists up to limit blocks that are not stored: those of the
// active chain that are damaged on disk, and those on the way from it to a
// header, lowest first.
func (c *Chain) MissingBlocks(toward consensus.Hash, limit int) []consensus.Hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLost()
	n, ok := c.tree.Find(toward)
	if !ok || n.IsFaulty() || c.awaited != nil {
		return nil
	}
	missing := c.lostBlocks(limit)
	base := headertree.Fork(c.tree.Tip(), n)
	if c.severed(base) {
		if n.State().Work.Gt(&c.tree.Tip().State().Work) {
			c.tellSevered(base, n)
		}
		return missing
	}
	for _, n := range headertree.Path(base, n) {
		if len(missing) == limit {
			break
		}
		if !n.IsStored() {
			missing = append(missing, n.Hash())
		}
	}
	return missing
}

// MissingBlock is a block that is not stored.
type MissingBlock struct {
	Hash   consensus.Hash
	Height uint32
}

// StillMissing keeps those of blocks, in place and in their order, that are still
// not stored, and whose headers are known and do not count as invalid or are part
// of the active chain. It says their heights, and looks at the index once for all.
func (c *Chain) StillMissing(blocks []MissingBlock) []MissingBlock {
	c.mu.RLock()
	defer c.mu.RUnlock()
	kept := blocks[:0]
	for _, b := range blocks {
		if n, ok := c.tree.Find(b.Hash); ok && !n.IsStored() && (!n.IsFaulty() || c.tree.IsActive(n)) {
			kept = append(kept, MissingBlock{b.Hash, n.Height()})
		}
	}
	return kept
}
