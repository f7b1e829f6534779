package chain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lode/chain/blockfile"
	"lode/chain/headertree"
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
	err = c.connectStored()
	if err != nil && !errors.Is(err, c.ended()) {
		return err
	}
	if err != nil {
		err = fmt.Errorf("opening the ledger in %s was interrupted at height %d of %d, and what is done is saved: %w", c.cfg.Dir, c.tree.Tip().Height(), c.tree.Best().Height(), err)
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
			c.cfg.Log.Info("connecting stored blocks", "height", c.tree.Tip().Height(), "of", c.tree.Best().Height())
			told = now
		}
	}
}

// tellEvery is how often work that takes long says how far it is.
const tellEvery = 5 * time.Second

// begin writes a ledger that has nothing but the genesis block; blocks that are
// in the files already are found as after a crash. The caller holds mu.
func (c *Chain) begin() error {
	genesis, err := c.tree.Add(headertree.Saved{Header: c.rules.Genesis().Header, Seq: 1}, kept{status: statusUndo})
	if err != nil {
		return err
	}
	c.tree.Activate(genesis)
	c.saved = genesis
	var b batch
	b.Put([]byte{keyFormat}, []byte{format})
	b.putNode(genesis)
	b.putTails(blockfile.Position{}, blockfile.Position{})
	b.putHash(keyTip, genesis.Hash())
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
	if err := c.undos.Cut(undos); err != nil {
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
	c.tree.Activate(from)
	if err := c.loadPruned(); err != nil {
		return err
	}
	if c.began != nil {
		if c.began.node, err = c.known(c.began.base); err != nil {
			return err
		}
	}
	for _, n := range c.tree.Active() {
		for _, m := range c.tree.Complete(n) { // its block was fetched again, and then the process was killed
			c.changed(m)
		}
		if !n.IsStored() && !n.Own.has(statusPruned) && n.Parent() != nil && !c.excused(n) {
			c.lost[n] = struct{}{}
		}
	}
	c.saved = from
	return nil
}

// known is the node with a hash that the database names.
func (c *Chain) known(hash consensus.Hash) (*node, error) {
	n, ok := c.tree.Find(hash)
	if !ok {
		return nil, fmt.Errorf("%w: its tip %s is not in the index", errCorrupt, hash)
	}
	return n, nil
}

// loadNodes reads the records of headers. Those of blocks behind the ends of the
// files count as mere headers, and are written as such before the ends move on:
// something else may lie there then.
func (c *Chain) loadNodes(blocks, undos blockfile.Position) error {
	type saved struct {
		savedNode
		hash    consensus.Hash
		changed bool
	}
	var records []saved
	err := c.store.headers(func(n savedNode, hash consensus.Hash) error {
		r := saved{savedNode: n, hash: hash}
		if r.own.has(statusUndo) && r.own.undo.Compare(undos) >= 0 {
			r.own.status &^= statusUndo
			r.changed = true
		}
		if r.Place > 0 && r.own.body.Compare(blocks) >= 0 {
			if r.Place = 0; !r.own.has(statusAssumed) {
				r.Seq = 0
			}
			r.changed = true
		}
		records = append(records, r)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(records, func(a, b saved) int { // so that every start finds the same
		return cmp.Or(cmp.Compare(a.height, b.height), bytes.Compare(a.hash[:], b.hash[:]))
	})
	for i := range records {
		r := &records[i]
		if parent, ok := c.tree.Find(r.Header.Prev); ok && parent.Seq() == 0 && r.Seq > 0 {
			r.Seq, r.changed = 0, true
		}
		if r.Hash = r.Header.Hash(); r.Hash != r.hash {
			return fmt.Errorf("%w: header %s is kept under %s", errCorrupt, r.Hash, r.hash)
		}
		n, err := c.tree.Add(r.Saved, r.own)
		if err != nil {
			err = fmt.Errorf("%w: %w", errCorrupt, err)
		}
		if err = errors.Join(c.ended(), err); err != nil {
			return err
		}
		if r.changed {
			c.changed(n)
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
	genesis := c.tree.Active()[0]
	f := finder{c: c, genesis: genesis, waiting: make(map[consensus.Hash][]blockfile.Position), at: from, told: time.Now()}
	found, err := c.blocks.Blocks(ctx, from, c.rules.MaxBlockWeight, f.visit)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return errors.Join(fmt.Errorf("reading the block files in %s was interrupted, and what is done is saved: %w", c.cfg.Dir, err), f.save(undos))
	}
	if err != nil {
		return err
	}
	if f.found > 0 {
		c.cfg.Log.Info("found blocks in the block files", "blocks", f.found)
	}
	if waiting := f.orphans(); found.Damaged > 0 || waiting > 0 {
		c.cfg.Log.Warn("blocks on disk are lost, as what was written last is damaged or not whole; peers will send them again",
			"found", f.found, "damaged_bytes", found.Damaged, "cut_off_bytes", found.Tail, "blocks_without_their_parents", waiting)
	} else if found.Tail > 0 { // as any kill may leave it
		c.cfg.Log.Warn("the block that was written last is not whole, as after a crash; peers will send it again", "found", f.found, "cut_off_bytes", found.Tail)
	}
	if err := c.blocks.Cut(found.End); err != nil {
		return err
	}
	if c.blocks.Tail().Compare(from) < 0 { // a file has lost its end
		c.changed(genesis) // so that the end on record is put right before anything is written behind it
	}
	if genesis.IsStored() || genesis.Own.has(statusPruned) {
		return nil
	}
	if genesis.Own.body, err = c.blocks.Append(c.rules.Genesis().Bytes()); err != nil {
		return err
	}
	c.tree.Store(genesis, genesis.Own.body.Order())
	c.changed(genesis)
	return nil
}

// finder puts the blocks that it finds in the block files into the index. They
// come in the order in which they were stored, which may have been before their
// parents were; so each becomes complete in the same order as it did then.
type finder struct {
	c       *Chain
	genesis *node
	waiting map[consensus.Hash][]blockfile.Position // by the parent's hash
	found   int
	bad     error              // the first block that does not pass the checks
	at      blockfile.Position // where the last block ended that was visited
	told    time.Time
}

// save writes what has been found so far, and that the next start need not look
// at it again: only at the first block that waits for its parent, and what lies
// behind. The caller holds Chain.mu.
func (f *finder) save(undos blockfile.Position) error {
	from := f.at
	for _, list := range f.waiting {
		for _, p := range list {
			if p.Offset -= blockfile.FrameSize; p.Compare(from) < 0 {
				from = blockfile.Position{File: p.File, Offset: p.Offset}
			}
		}
	}
	if err := f.c.blocks.Sync(); err != nil {
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

func (f *finder) visit(block *consensus.Block, p blockfile.Position) (good bool, err error) {
	if now := time.Now(); now.Sub(f.told) > tellEvery {
		f.c.cfg.Log.Info("reading the block files", "file", blockfile.Name("blk", p.File), "found", f.found)
		f.told = now
	}
	good, err = f.look(block, p)
	if f.at = (blockfile.Position{File: p.File, Offset: p.Offset - blockfile.FrameSize + 1}); good {
		f.at.Offset = p.Offset + p.Size
	}
	return good, err
}

// look puts a block that may be good into the index.
func (f *finder) look(block *consensus.Block, p blockfile.Position) (good bool, err error) {
	hashed := block.Hashed()
	if hashed.Hash() == f.genesis.Hash() {
		if good = bytes.Equal(block.Bytes(), f.c.rules.Genesis().Bytes()); good {
			f.genesis.Own.body = p
			f.c.tree.Store(f.genesis, p.Order())
			f.c.changed(f.genesis)
		}
		return good, nil
	}
	if _, ok := f.c.tree.Find(block.Prev); !ok {
		f.waiting[block.Prev] = append(f.waiting[block.Prev], p)
		return f.c.rules.CheckWork(&block.Header) == nil, nil
	}
	good, err = f.attach(hashed, p)
	for queue := []consensus.Hash{hashed.Hash()}; err == nil && len(queue) > 0; queue = queue[1:] {
		if _, ok := f.c.tree.Find(queue[0]); !ok {
			continue
		}
		for _, p := range f.waiting[queue[0]] {
			block, err := f.read(p)
			if err != nil {
				return false, err
			}
			child := block.Hashed()
			if _, err := f.attach(child, p); err != nil {
				return false, err
			}
			queue = append(queue, child.Hash())
		}
		delete(f.waiting, queue[0])
	}
	return good, err
}

func (f *finder) read(p blockfile.Position) (*consensus.Block, error) {
	payload, err := f.c.blocks.Read(p)
	if err != nil {
		return nil, err
	}
	return consensus.DecodeBlock(payload)
}

// attach puts a block whose parent is in the index there too, after the same
// checks as when it came. good is false for a block that does not pass them. Of
// several copies the first good one counts.
func (f *finder) attach(hashed consensus.HashedBlock, p blockfile.Position) (good bool, err error) {
	c, block, hash := f.c, hashed.Block(), hashed.Hash()
	parent, _ := c.tree.Find(block.Prev)
	n, known := c.tree.Find(hash)
	if known && (n.IsStored() || n.Own.has(statusPruned)) {
		return true, nil
	}
	if err := f.check(hashed, parent.State()); err != nil {
		c.cfg.Log.Warn("passing over a bad block in the block files", "hash", hash, "error", err)
		f.bad = cmp.Or(f.bad, fmt.Errorf("block %s in %s at byte %d is %w: %w", hash, c.blocks.Name(p.File), p.Offset, ErrDamaged, err))
		return false, nil
	}
	if !known {
		if n, err = c.tree.Add(headertree.Saved{Header: block.Header, Hash: hash, Faults: parent.Faults()}, kept{}); err != nil {
			return false, err
		}
	}
	f.found++
	n.Own.setBody(p, block.Bytes())
	c.complete(n)
	if len(c.unsaved) < maxUnsaved {
		return true, nil
	}
	return true, c.flushIndex()
}

// check applies the rules that a block was checked by when it came.
func (f *finder) check(hashed consensus.HashedBlock, before *consensus.State) error {
	rules := f.c.rules
	checked, err := rules.CheckHashed(hashed)
	if err != nil {
		return err
	}
	if err := rules.CheckHeader(before, &hashed.Block().Header, consensus.NoTimeLimit); err != nil {
		return err
	}
	return rules.CheckBlockAfter(before, checked)
}
