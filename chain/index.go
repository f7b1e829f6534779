package chain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/util"
	"golang.org/x/sync/errgroup"

	"lode/consensus"
	"lode/internal/poke"
)

// The optional indexes follow the active chain from behind, each in a goroutine
// of its own. What a few blocks change, and the last of these blocks, are written
// in one batch, so that the two always belong together. The block files are
// synced before: after a power cut a start finds at least those blocks that an
// index has, though the coins may belong to a lower tip for a moment. An index
// whose last block is lost all the same, and so cannot be taken back, is built
// anew.

// The names of the indexes, as Bitcoin Core has them where it has them.
const (
	TxIndex        = "txindex"
	CoinStatsIndex = "coinstatsindex"
	AddrIndex      = "addrindex"
	FilterIndex    = "basic block filter index"
	// SilentIndex is of no node but Lode.
	SilentIndex = "silentindex"
)

// ErrNoIndex is the kind of error for a question to an index that is not kept.
var ErrNoIndex = errors.New("the index is not kept")

// index is one of them.
type index struct {
	c        *Chain
	name     string
	flag     string // that turns it on
	id       byte   // of its state in the database
	format   byte   // of its entries
	prefixes []byte // of its entries
	kept     bool   // or else removed
	change   func(b *indexBatch, block *indexedBlock, revert bool) error

	limit   int                  // blocks to take at a time; only run uses this and what follows
	waiting bool                 // for a block that is damaged on disk
	totals  map[[32]byte]*totals // by key, some of those that were written, see addrindex

	mu     sync.Mutex      // guards what follows
	point  consensus.State // after the last block it has
	synced bool            // it has been at the tip once
	moved  chan struct{}   // closed when one of the above changes
}

// indexedBlock is a block with what an index may want to know of it.
type indexedBlock struct {
	*consensus.Block
	ids    []consensus.Hash
	height uint32
	spent  []consensus.Coin
}

// indexBatch is the changes of a few blocks.
type indexBatch struct {
	batch
	c      *Chain
	totals map[[32]byte]*totals // by key, as they will be, see addrindex
	known  map[[32]byte]*totals // by key, as they were written last
	coins  *coinSet             // as it will be, see coinstatsindex
	last   *filterHead          // of the last block that was added, see filterindex
}

func (c *Chain) newIndexes() []*index {
	list := []*index{
		{c: c, name: TxIndex, flag: "--txindex", id: 'x', format: indexFormat, prefixes: []byte{keyTx}, kept: c.cfg.TxIndex, change: changeTxIndex},
		{c: c, name: AddrIndex, flag: "--addrindex", id: 'a', format: addrFormat, prefixes: []byte{keyAddr, keyAddrTotals}, kept: c.cfg.AddrIndex, change: changeAddrIndex},
		{c: c, name: CoinStatsIndex, flag: "--coinstatsindex", id: 'c', format: indexFormat, prefixes: []byte{keyCoinStats, keyCoinSet}, kept: c.cfg.CoinStatsIndex, change: changeCoinStatsIndex},
		{c: c, name: FilterIndex, flag: "--blockfilterindex", id: 'f', format: indexFormat, prefixes: []byte{keyFilter, keyFilterHead}, kept: c.cfg.FilterIndex, change: changeFilterIndex},
		{c: c, name: SilentIndex, flag: "--silentindex", id: 's', format: indexFormat, prefixes: []byte{keySilent}, kept: c.cfg.SilentIndex, change: changeSilentIndex},
	}
	for _, x := range list {
		x.limit, x.moved, x.point = 1, make(chan struct{}), c.rules.GenesisState()
	}
	return list
}

// RunIndexes builds the indexes that Config asks for, keeps them up to date
// until ctx ends, and removes those that it does not ask for. An error is one of
// the ledger.
func (c *Chain) RunIndexes(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, x := range c.indexes {
		group.Go(func() error {
			err := x.run(ctx)
			if ctx.Err() != nil || errors.Is(err, errClosed) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

// IndexInfo says how far an index is.
type IndexInfo struct {
	Name   string
	Synced bool // it has been built, and follows the tip
	Height uint32
}

// Indexes lists the indexes that are kept.
func (c *Chain) Indexes() []IndexInfo {
	var list []IndexInfo
	for _, x := range c.indexes {
		if x.kept {
			x.mu.Lock()
			list = append(list, IndexInfo{x.name, x.synced, x.point.Height})
			x.mu.Unlock()
		}
	}
	return list
}

// keptIndex finds an index. The error is of kind ErrNoIndex if it is not kept.
func (c *Chain) keptIndex(name string) (*index, error) {
	for _, x := range c.indexes {
		if x.name == name && x.kept {
			return x, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoIndex, name)
}

// IndexReady waits, if an index has been built, until it has the blocks of the
// tip that there is now. ready is false while it is being built, or if ctx ends
// before. The error is of kind ErrNoIndex if it is not kept.
func (c *Chain) IndexReady(ctx context.Context, name string) (ready bool, err error) {
	x, err := c.keptIndex(name)
	if err != nil {
		return false, err
	}
	tip := c.Tip()
	turned := make(chan struct{}, 1) // the tip, maybe back to where the index stands
	defer c.Subscribe(func() {
		select {
		case turned <- struct{}{}:
		default:
		}
	})()
	for {
		x.mu.Lock()
		synced, point, moved := x.synced, x.point, x.moved
		x.mu.Unlock()
		if !synced {
			return false, nil
		}
		// Work alone says nothing while blocks are taken back: the index may still be
		// where they are.
		if now := c.Tip(); point.Hash == now.Hash {
			return true, nil
		}
		if hash, ok := c.HashAt(point.Height); ok && hash == point.Hash && !point.Work.Lt(&tip.Work) {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-c.closing:
			return false, errClosed
		case <-moved:
		case <-turned:
		}
	}
}

// run keeps the index, or removes it.
func (x *index) run(ctx context.Context) error {
	if !x.kept {
		return x.remove(ctx)
	}
	if err := x.load(ctx); err != nil {
		return err
	}
	poked := poke.New()
	cancel := x.c.Subscribe(func() { poke.Send(poked) })
	defer cancel()
	const every = 10 * time.Second
	told := time.Now()
	for {
		more, err := x.step()
		if errors.Is(err, errStranded) {
			x.c.cfg.Log.Warn("an index is built anew, as its last block is lost", "index", x.name, "height", x.point.Height, "error", err)
			if err = x.remove(ctx); err == nil {
				err = x.load(ctx)
			}
			more = true
		}
		if err != nil {
			return err
		}
		if now := time.Now(); more && now.Sub(told) > every {
			x.c.cfg.Log.Info("building an index", "index", x.name, "height", x.point.Height, "of", x.c.Tip().Height)
			told = now
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-x.c.closing:
			return nil
		case <-poked:
		}
	}
}

// errStranded is the kind of error for an index that has a block that cannot be
// taken back.
var errStranded = errors.New("the index cannot follow")

// use calls f while the ledger is open. f must not take Chain.mu. An error is
// one of the ledger.
func (x *index) use(f func() error) error {
	err := x.c.Read(func(*Reader) error { x.c.scans.Add(1); return nil })
	if err != nil {
		return err
	}
	defer x.c.scans.Done()
	if err = f(); err != nil && !errors.Is(err, errClosed) {
		err = x.c.fail(corrupt(err))
	}
	return err
}

// step brings the index closer to the tip by a few blocks. more is false if it
// has got there, or must wait for a block that is damaged on disk.
func (x *index) step() (more bool, err error) {
	var u Updates
	var blocks []indexedBlock
	var point consensus.State
	err = x.c.Read(func(r *Reader) (err error) {
		if u, blocks, err = x.pull(r); err == nil {
			at, _ := x.c.tree.Find(u.Point)
			point = *at.State()
			x.c.scans.Add(1)
		}
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound) && !errors.Is(err, errStranded): // it comes again from a peer
		if !x.waiting {
			x.waiting = true
			x.c.cfg.Log.Warn("an index waits for a block that is damaged on disk", "index", x.name, "error", err)
		}
		return false, nil
	case err != nil:
		return false, err
	}
	defer x.c.scans.Done()
	x.waiting = false
	if len(blocks) > 0 {
		if err := x.write(blocks, len(u.Reverted), u.Point); err != nil {
			return false, x.c.fail(corrupt(err))
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !u.More && !x.synced {
		x.c.cfg.Log.Info("an index is up to date", "index", x.name, "height", point.Height)
	}
	x.point, x.synced = point, x.synced || !u.More
	close(x.moved)
	x.moved = make(chan struct{})
	return u.More, nil
}

// pull gives the next blocks: first those to take back, then those to add.
func (x *index) pull(r *Reader) (Updates, []indexedBlock, error) {
	c := r.c
	at, known := c.tree.Find(x.point.Hash)
	if !known {
		return Updates{}, nil, fmt.Errorf("%w: block %s is not known", errStranded, x.point.Hash)
	}
	u, err := r.UpdatesSince(x.point.Hash, x.limit)
	var blocks []indexedBlock
	for _, list := range [][]*consensus.Block{u.Reverted, u.Applied} {
		for _, block := range list {
			b := indexedBlock{Block: block, ids: block.TxIDs()}
			n, _ := c.tree.Find(block.Header.Hash())
			if b.height = n.Height(); err == nil {
				b.spent, err = c.spentAnyhow(n)
			}
			blocks = append(blocks, b)
		}
	}
	if errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if errors.Is(err, ErrNotFound) && !c.tree.IsActive(at) {
		err = fmt.Errorf("%w: %w", errStranded, err)
	}
	return u, blocks, err
}

// spentAnyhow is spent, also of a block whose undo data is lost. The caller
// holds mu, if only for reading.
func (c *Chain) spentAnyhow(n *node) ([]consensus.Coin, error) {
	spent, err := c.spent(n)
	if isUndoLost(err) {
		return c.remakeUndo(n, c.parse)
	}
	return spent, err
}

// write takes the first blocks back and adds the others.
func (x *index) write(blocks []indexedBlock, reverted int, point consensus.Hash) error {
	b := indexBatch{batch: newBatch(), c: x.c, totals: make(map[[32]byte]*totals), known: x.totals}
	for i := range blocks {
		if err := x.change(&b, &blocks[i], i < reverted); err != nil {
			return err
		}
	}
	b.putTotals()
	b.putCoinSet()
	b.Put(x.stateKey(), append([]byte{x.format}, point[:]...))
	const most = 256
	if size := len(b.Dump()); size > maxBatch {
		x.limit = max(1, x.limit/2)
	} else if size < maxBatch/4 && len(blocks) == x.limit {
		x.limit = min(most, x.limit*2)
	}
	if err := x.c.blocks.Sync(); err != nil {
		return err
	}
	if err := x.c.store.write(&b.batch, false); err != nil {
		return err
	}
	x.remember(b.totals)
	return nil
}

// The state of an index in the database: a byte for the format of its entries,
// or that they are being removed, and the last block that it has.
const (
	indexRemoving = 0
	indexFormat   = 1
)

func (x *index) stateKey() []byte { return []byte{keyIndex, x.id} }

// load finds where the index was, or begins it.
func (x *index) load(ctx context.Context) error {
	var state []byte
	err := x.use(func() (err error) {
		state, err = x.c.store.value(x.stateKey())
		return err
	})
	if err != nil {
		return err
	}
	if state != nil && (len(state) != 33 || state[0] != x.format) {
		if err := x.remove(ctx); err != nil {
			return err
		}
		state = nil
	}
	point := x.c.rules.GenesisState()
	if state == nil {
		x.c.cfg.Log.Info("building an index", "index", x.name, "of", x.c.Tip().Height)
	} else if n, err := x.c.lookup(consensus.Hash(state[1:])); err == nil {
		point = *n.State()
	} else {
		point = consensus.State{Hash: consensus.Hash(state[1:])} // and step will say so
	}
	x.totals = nil
	x.mu.Lock()
	defer x.mu.Unlock()
	x.point, x.synced = point, false
	return nil
}

// remove removes all entries, a batch at a time. It is on record that this is
// under way.
func (x *index) remove(ctx context.Context) error {
	err := x.use(func() error {
		state, err := x.c.store.value(x.stateKey())
		if err != nil || state == nil {
			return err
		}
		if state[0] != indexRemoving && !x.kept {
			x.c.cfg.Log.Info("removing an index, as "+x.flag+" is not given", "index", x.name)
		}
		var b batch
		b.Put(x.stateKey(), []byte{indexRemoving})
		return x.c.store.write(&b, false)
	})
	for more := true; more && err == nil; {
		if err := ctx.Err(); err != nil {
			return err // and the rest goes at the next start
		}
		err = x.use(func() (err error) {
			more, err = x.removeSome()
			return err
		})
	}
	return err
}

// removeSome removes one batch of entries, and the state after the last.
func (x *index) removeSome() (more bool, err error) {
	var b batch
	for _, prefix := range x.prefixes {
		it := x.c.store.db.NewIterator(util.BytesPrefix([]byte{prefix}), nil)
		for len(b.Dump()) < maxBatch && it.Next() {
			b.Delete(it.Key())
		}
		it.Release()
		if err := it.Error(); err != nil {
			return false, err
		}
	}
	if more = b.Len() > 0; !more {
		b.Delete(x.stateKey())
	}
	return more, x.c.store.write(&b, false)
}

// value reads what is kept under a key: nil if nothing is.
func (s *store) value(key []byte) ([]byte, error) {
	value, err := s.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil
	}
	return value, corrupt(err)
}
