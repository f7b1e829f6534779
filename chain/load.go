package chain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lode/consensus"
)

// load brings the ledger to where it was, or begins it if there is none.
func (c *Chain) load(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opening = ctx
	defer func() { c.opening = nil }()
	tip, ok, err := c.store.hash(keyTip)
	if err != nil {
		return err
	}
	if !ok {
		if err := c.begin(); err != nil {
			return err
		}
	} else if err := c.loadIndex(tip); err != nil {
		return err
	}
	if err := c.readFiles(ctx); err != nil {
		return err
	}
	if err := c.dropShort(); err != nil {
		return err
	}
	c.findCandidates()
	err = c.connectStored()
	if err != nil && !errors.Is(err, c.ended()) {
		return err
	}
	if err != nil {
		err = fmt.Errorf("opening the ledger in %s was interrupted at height %d of %d, and what is done is saved: %w", c.cfg.Dir, c.tip().height(), c.best.height(), err)
	}
	if err = errors.Join(err, c.flush()); err != nil {
		return err
	}
	return c.pruneFull()
}

// ended is the error of the context of Open, while that runs. The caller holds
// mu.
func (c *Chain) ended() error {
	if c.opening == nil {
		return nil
	}
	return c.opening.Err()
}

// connectStored makes the best chain of stored blocks active. The caller holds
// mu.
func (c *Chain) connectStored() error {
	told := time.Now()
	for {
		more, err := c.step()
		if err == nil && more {
			err = c.ended()
		}
		if err != nil || !more {
			return err
		}
		if now := time.Now(); now.Sub(told) > tellEvery {
			c.cfg.Log.Info("connecting stored blocks", "height", c.tip().height(), "of", c.best.height())
			told = now
		}
	}
}

// tellEvery is how often work that takes long says how far it is.
const tellEvery = 5 * time.Second

// begin writes a ledger that has nothing but the genesis block; blocks that are
// in the files already are found as after a crash. The caller holds mu.
func (c *Chain) begin() error {
	genesis := &node{header: c.rules.Genesis().Header, status: statusUndo, seq: 1}
	if err := c.link(genesis); err != nil {
		return err
	}
	c.active, c.saved = []*node{genesis}, genesis
	var b batch
	b.Put([]byte{keyFormat}, []byte{format})
	b.putNode(genesis)
	b.putTails(position{}, position{})
	b.putHash(keyTip, genesis.hash())
	return c.store.write(&b, true)
}

// loadIndex reads the records of headers, and finds the active chain that ends
// with tip. The caller holds mu.
func (c *Chain) loadIndex(tip consensus.Hash) error {
	if written, err := c.store.get(keyFormat); err != nil || !bytes.Equal(written, []byte{format}) {
		return errors.Join(err, fmt.Errorf("%w: it has another format, %x", errCorrupt, written))
	}
	if err := c.loadBeginning(); err != nil {
		return err
	}
	blocks, undos, err := c.store.tails()
	if err != nil {
		return err
	}
	if err := c.loadNodes(blocks, undos); err != nil {
		return err
	}
	from, err := c.known(tip)
	if err != nil {
		return err
	}
	// What was in the undo files behind their end belongs to blocks that will
	// be connected again.
	if err := c.undos.cut(undos); err != nil {
		return err
	}
	moving, ok, err := c.store.hash(keyMoving)
	if err != nil {
		return err
	}
	if ok {
		to, err := c.known(moving)
		if err == nil {
			err = c.finishMove(from, to)
		}
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotFound) || errors.Is(err, consensus.ErrUndo) {
			return fmt.Errorf("%w: an interrupted write of coins cannot be finished: %w", errCorrupt, err)
		}
		if err != nil {
			return err
		}
		from = to
	}
	c.active = append(path(from.ancestor(0), from), nil)
	copy(c.active[1:], c.active)
	c.active[0] = from.ancestor(0)
	if err := c.loadPruned(); err != nil {
		return err
	}
	if c.began != nil {
		if c.began.node, err = c.known(c.began.base); err != nil {
			return err
		}
	}
	for _, n := range c.active {
		if n.seq == 0 { // its block was fetched again, and then the process was killed
			c.completeFrom(n)
		}
		if !n.has(statusBody|statusPruned) && n.parent != nil && !c.excused(n) {
			c.lost[n] = struct{}{}
		}
	}
	// A tip may be invalid if the node was killed right after InvalidateBlock.
	if !from.has(statusInvalid) && !c.best.state.Work.Gt(&from.state.Work) {
		c.best = from
	}
	c.saved = from
	return nil
}

// known is the node with a hash that the database names.
func (c *Chain) known(hash consensus.Hash) (*node, error) {
	n, ok := c.index[hash]
	if !ok {
		return nil, fmt.Errorf("%w: its tip %s is not in the index", errCorrupt, hash)
	}
	return n, nil
}

// loadNodes reads the records of headers. Those of blocks behind the ends of the
// files count as mere headers, and are written as such before the ends move on:
// something else may lie there then.
func (c *Chain) loadNodes(blocks, undos position) error {
	type record struct {
		n      *node
		height uint32
		hash   consensus.Hash
	}
	var records []record
	err := c.store.headers(func(n *node, height uint32, hash consensus.Hash) error {
		if n.has(statusUndo) && n.undo.compare(undos) >= 0 {
			n.status &^= statusUndo
			c.changed(n)
		}
		if n.has(statusBody) && n.body.compare(blocks) >= 0 {
			if n.status &^= statusBody; !n.has(statusAssumed) {
				n.seq = 0
			}
			c.changed(n)
		}
		records = append(records, record{n, height, hash})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(records, func(a, b record) int { // so that every start finds the same
		return cmp.Or(cmp.Compare(a.height, b.height), bytes.Compare(a.hash[:], b.hash[:]))
	})
	for _, r := range records {
		if err := errors.Join(c.ended(), c.link(r.n)); err != nil {
			return err
		}
		if r.n.hash() != r.hash {
			return fmt.Errorf("%w: header %s is kept under %s", errCorrupt, r.n.hash(), r.hash)
		}
		if r.n.parent != nil && r.n.parent.seq == 0 && r.n.seq > 0 {
			r.n.seq = 0
			c.changed(r.n)
		}
	}
	return nil
}

// readFiles takes in the blocks that lie in the files behind the end that is on
// record, and cuts off what is no block behind the last of them. The caller
// holds mu.
func (c *Chain) readFiles(ctx context.Context) error {
	from, undos, err := c.store.tails()
	if err != nil {
		return err
	}
	genesis := c.active[0]
	f := finder{c: c, genesis: genesis, waiting: make(map[consensus.Hash][]position), at: from, told: time.Now()}
	found, err := c.blocks.blocks(ctx, from, c.rules.MaxBlockWeight, f.visit)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return errors.Join(fmt.Errorf("reading the block files in %s was interrupted, and what is done is saved: %w", c.cfg.Dir, err), f.save(undos))
	}
	if err != nil {
		return err
	}
	if f.found > 0 {
		c.cfg.Log.Info("found blocks in the block files", "blocks", f.found)
	}
	if waiting := f.orphans(); found.damaged > 0 || waiting > 0 {
		c.cfg.Log.Warn("blocks on disk are lost, as what was written last is damaged or not whole; peers will send them again",
			"found", f.found, "damaged_bytes", found.damaged, "cut_off_bytes", found.tail, "blocks_without_their_parents", waiting)
	} else if found.tail > 0 { // as any kill may leave it
		c.cfg.Log.Warn("the block that was written last is not whole, as after a crash; peers will send it again", "found", f.found, "cut_off_bytes", found.tail)
	}
	if err := c.blocks.cut(found.end); err != nil {
		return err
	}
	if c.blocks.tail().compare(from) < 0 { // a file has lost its end
		c.changed(genesis) // so that the end on record is put right before anything is written behind it
	}
	if genesis.has(statusBody | statusPruned) {
		return nil
	}
	if genesis.body, err = c.blocks.append(c.rules.Genesis().Bytes()); err != nil {
		return err
	}
	genesis.status |= statusBody
	c.changed(genesis)
	return nil
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
	if !n.has(statusInvalid) && (c.best == nil || n.state.Work.Gt(&c.best.state.Work)) {
		c.best = n
	}
	return nil
}

// findCandidates lists the ends of complete chains that could become the tip.
// The caller holds mu.
func (c *Chain) findCandidates() {
	clear(c.candidates)
	for _, n := range c.index {
		if n.seq > 0 && !n.has(statusInvalid) && !slices.ContainsFunc(n.children, (*node).continues) && !c.tip().better(n) {
			c.candidates[n] = struct{}{}
		}
	}
}

// continues reports whether n could be part of the active chain.
func (n *node) continues() bool { return n.seq > 0 && !n.has(statusInvalid) }

// finder puts the blocks that it finds in the block files into the index. They
// come in the order in which they were stored, which may have been before their
// parents were; so each becomes complete in the same order as it did then.
type finder struct {
	c       *Chain
	genesis *node
	waiting map[consensus.Hash][]position // by the parent's hash
	found   int
	bad     error    // the first block that does not pass the checks
	at      position // where the last block ended that was visited
	told    time.Time
}

// save writes what has been found so far, and that the next start need not look
// at it again: only at the first block that waits for its parent, and what lies
// behind. The caller holds Chain.mu.
func (f *finder) save(undos position) error {
	from := f.at
	for _, list := range f.waiting {
		for _, p := range list {
			if p.Offset -= frameSize; p.compare(from) < 0 {
				from = position{File: p.File, Offset: p.Offset}
			}
		}
	}
	if err := f.c.blocks.sync(); err != nil {
		return err
	}
	var b batch
	if err := f.c.flushNodes(&b); err != nil {
		return err
	}
	b.putTails(from, undos)
	if err := f.c.store.write(&b, true); err != nil {
		return err
	}
	clear(f.c.unsaved)
	return nil
}

// orphans is how many blocks wait for a parent that has not been found.
func (f *finder) orphans() (n int) {
	for _, list := range f.waiting {
		n += len(list)
	}
	return n
}

func (f *finder) visit(block *consensus.Block, p position) (good bool, err error) {
	if now := time.Now(); now.Sub(f.told) > tellEvery {
		f.c.cfg.Log.Info("reading the block files", "file", fileName("blk", p.File), "found", f.found)
		f.told = now
	}
	good, err = f.look(block, p)
	if f.at = (position{File: p.File, Offset: p.Offset - frameSize + 1}); good {
		f.at.Offset = p.Offset + p.Size
	}
	return good, err
}

// look puts a block that may be good into the index.
func (f *finder) look(block *consensus.Block, p position) (good bool, err error) {
	hash := block.Header.Hash()
	if hash == f.genesis.hash() {
		if good = bytes.Equal(block.Bytes(), f.c.rules.Genesis().Bytes()); good {
			f.genesis.body, f.genesis.status = p, f.genesis.status|statusBody
			f.c.changed(f.genesis)
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
	n, known := c.index[hash]
	if known && n.has(statusBody|statusPruned) {
		return true, nil
	}
	for _, check := range []func() error{
		func() error { return c.rules.CheckBlock(block, ids) },
		func() error { return c.rules.CheckHeader(&parent.state, &block.Header, consensus.NoTimeLimit) },
		func() error { return c.rules.CheckBlockAfter(&parent.state, block, ids) },
	} {
		if err := check(); err != nil {
			c.cfg.Log.Warn("passing over a bad block in the block files", "hash", hash, "error", err)
			f.bad = cmp.Or(f.bad, fmt.Errorf("block %s in %s at byte %d is %w: %w", hash, c.blocks.name(p.File), p.Offset, ErrDamaged, err))
			return false, nil
		}
	}
	if !known {
		n = &node{header: block.Header, status: parent.status & statusInvalid}
		if err := c.link(n); err != nil {
			return false, err
		}
	}
	f.found++
	n.setBody(p, block.Bytes())
	c.complete(n)
	if len(c.unsaved) < maxUnsaved {
		return true, nil
	}
	return true, c.flushIndex()
}
