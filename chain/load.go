package chain

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"lode/consensus"
)

// load reads the index, or begins it if there is none.
func (c *Chain) load() error {
	records := make(map[*node]uint32)
	hashes := make(map[*node]consensus.Hash)
	err := c.store.headers(func(n *node, height uint32, hash consensus.Hash) error {
		records[n], hashes[n] = height, hash
		return nil
	})
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return c.begin()
	}
	nodes := make([]*node, 0, len(records))
	for n := range records {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *node) int {
		x, y := hashes[a], hashes[b] // so that every start finds the same
		return cmp.Or(cmp.Compare(records[a], records[b]), bytes.Compare(x[:], y[:]))
	})
	for _, n := range nodes {
		if err := c.link(n); err != nil {
			return err
		}
		if n.hash() != hashes[n] {
			return fmt.Errorf("%w: header %s is kept under %s", errCorrupt, n.hash(), hashes[n])
		}
	}
	return c.loadTip()
}

// link hangs a node whose header and status are known into the index.
func (c *Chain) link(n *node) error {
	if n.header.Prev == (consensus.Hash{}) {
		n.state = c.rules.GenesisState()
		if n.header.Hash() != n.hash() {
			return fmt.Errorf("%w: it begins with another genesis block", errCorrupt)
		}
	} else {
		parent, ok := c.index[n.header.Prev]
		if !ok {
			return fmt.Errorf("%w: header without its parent %s", errCorrupt, n.header.Prev)
		}
		n.parent = parent
		n.state = c.rules.NextState(parent.state, &n.header)
		parent.children = append(parent.children, n)
	}
	c.index[n.hash()] = n
	c.seq = max(c.seq, n.seq)
	if !n.has(statusFailed) && (c.best == nil || n.state.Work.Gt(&c.best.state.Work)) {
		c.best = n
	}
	return nil
}

// loadTip finds the active chain and what competes with it.
func (c *Chain) loadTip() error {
	hash, ok, err := c.store.tip()
	if err != nil {
		return err
	}
	tip := c.index[hash]
	if !ok || tip == nil {
		return fmt.Errorf("%w: its tip %s is not in the index", errCorrupt, hash)
	}
	c.active = make([]*node, tip.height()+1)
	for n := tip; n != nil; n = n.parent {
		c.active[n.height()] = n
	}
	if !c.best.state.Work.Gt(&tip.state.Work) {
		c.best = tip
	}
	c.findCandidates()
	return c.settle()
}

// findCandidates lists what could become the tip. The caller holds mu.
func (c *Chain) findCandidates() {
	clear(c.candidates)
	for _, n := range c.index {
		if n.seq > 0 && !n.has(statusFailed) && !c.tip().better(n) {
			c.candidates[n] = struct{}{}
		}
	}
	c.candidates[c.tip()] = struct{}{}
}

// begin makes a new ledger: from the block files if there are any, else from
// the genesis block.
func (c *Chain) begin() error {
	genesis := &node{header: c.rules.Genesis().Header, status: statusBody | statusUndo, seq: 1}
	if err := c.link(genesis); err != nil {
		return err
	}
	f := finder{c: c, genesis: genesis, waiting: make(map[consensus.Hash][]position)}
	if err := c.blocks.scan(f.visit); err != nil {
		return err
	}
	if genesis.body == (position{}) {
		p, err := c.blocks.append(c.rules.Genesis().Bytes())
		if err != nil {
			return err
		}
		genesis.body = p
	}
	// The tip is written last: records without one are an interrupted begin.
	f.batch.putNode(genesis)
	f.batch.putTip(genesis.hash())
	if err := c.store.write(&f.batch); err != nil {
		return err
	}
	c.active = []*node{genesis}
	c.findCandidates()
	if len(c.index) > 1 {
		c.cfg.Log.Info("building the ledger from the block files", "blocks", len(c.index))
	}
	return c.settle()
}

// finder puts the blocks that it finds in the block files into the index. They
// come in the order in which they were stored, which may have been before their
// parents were; so each becomes complete in the same order as it did then.
type finder struct {
	c       *Chain
	genesis *node
	waiting map[consensus.Hash][]position // by the parent's hash
	batch   batch
}

func (f *finder) visit(p position, payload []byte) (good bool, err error) {
	block, err := consensus.DecodeBlock(payload)
	if err != nil {
		return false, nil
	}
	hash := block.Header.Hash()
	if hash == f.genesis.hash() {
		if good = bytes.Equal(payload, f.c.rules.Genesis().Bytes()); good {
			f.genesis.body = p
		}
		return good, nil
	}
	if _, ok := f.c.index[block.Prev]; !ok {
		f.waiting[block.Prev] = append(f.waiting[block.Prev], p)
		return f.c.rules.CheckWork(&block.Header) == nil, nil
	}
	good, err = f.attach(block, p)
	for queue := []consensus.Hash{hash}; err == nil && len(queue) > 0; queue = queue[1:] {
		if f.c.index[queue[0]] == nil {
			continue
		}
		for _, p := range f.waiting[queue[0]] {
			child, err := f.read(p)
			if err != nil {
				return false, err
			}
			if _, err := f.attach(child, p); err != nil {
				return false, err
			}
			queue = append(queue, child.Header.Hash())
		}
		delete(f.waiting, queue[0])
	}
	return good, err
}

func (f *finder) read(p position) (*consensus.Block, error) {
	payload, err := f.c.blocks.read(p)
	if err != nil {
		return nil, err
	}
	return consensus.DecodeBlock(payload)
}

// attach puts a block whose parent is in the index there too, after the same
// checks as when it came. good is false for a block that does not pass them. Of
// several copies the first good one counts.
func (f *finder) attach(block *consensus.Block, p position) (good bool, err error) {
	c, ids := f.c, block.TxIDs()
	parent, hash := c.index[block.Prev], block.Header.Hash()
	if _, ok := c.index[hash]; ok {
		return true, nil
	}
	for _, check := range []func() error{
		func() error { return c.rules.CheckBlock(block, ids) },
		func() error { return c.rules.CheckHeader(&parent.state, &block.Header, consensus.NoTimeLimit) },
		func() error { return c.rules.CheckBlockAfter(&parent.state, block, ids) },
	} {
		if err := check(); err != nil {
			c.cfg.Log.Warn("passing over a bad block in the block files", "hash", hash, "error", err)
			return false, nil
		}
	}
	c.seq++
	n := &node{header: block.Header, status: statusBody, body: p, seq: c.seq}
	if err := c.link(n); err != nil {
		return false, err
	}
	f.batch.putNode(n)
	const enough = 10_000 // records in memory
	if f.batch.Len() < enough {
		return true, nil
	}
	err = c.store.write(&f.batch)
	f.batch.Reset()
	return true, err
}
