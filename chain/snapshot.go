package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"lode/consensus"
	"lode/internal/poke"
)

// A ledger may begin with a snapshot instead of with the genesis block. What is
// needed to trust it as much as one that has seen every block comes in this
// order:
//
//  1. The file is read to its end; its coins must be well formed and have the
//     hash that the operator, or the chainspec, names. Nothing is written.
//  2. Peers give the headers. The base must be part of the chain of headers with
//     the most work, and some coin must be of the base's own height. The hash
//     says nothing of the base, but this does: no other block of that chain has
//     this height, and a later one would have made a coin.
//  3. The coins are written. An interruption here leaves a mark, with which the
//     next start begins anew. From now on the base is the tip, and the node
//     follows the chain. Blocks up to the base are missing, not lost; no
//     reorganization may revert them.
//  4. The blocks up to the base are fetched and replayed from genesis into other
//     coins, with all signatures. If these have the same hash the snapshot is
//     verified, and the ledger is like any other. If not it is refuted, and the
//     ledger does nothing any more.

// SnapshotState says how far the snapshot of a ledger can be relied on.
type SnapshotState byte

const (
	snapshotLoading  SnapshotState = 1 + iota // its coins are being written
	SnapshotAssumed                           // nothing is known but that it has the right hash
	SnapshotVerified                          // the chain up to it makes the same coins
	SnapshotRefuted                           // it does not
)

// SnapshotInfo is what is known of the snapshot that a ledger began with.
type SnapshotInfo struct {
	State    SnapshotState
	Base     consensus.Hash
	Height   uint32 // of the base
	Coins    uint64
	Hash     consensus.Hash // hash_serialized_3
	Verified uint32         // the height up to which the history has been replayed
}

// beginning is the snapshot that a ledger began with, as the database keeps it
// under keySnapshot.
type beginning struct {
	state SnapshotState
	base  consensus.Hash
	hash  consensus.Hash
	coins uint64
	node  *node // of base; set when the index is known
}

func (b *beginning) record() []byte {
	r := append([]byte{byte(b.state)}, b.base[:]...)
	return consensus.AppendCompactSize(append(r, b.hash[:]...), b.coins)
}

// beginning reads the snapshot that the ledger began with: nil if there is none.
func (s *store) beginning() (*beginning, error) {
	value, err := s.get(keySnapshot)
	if value == nil || err != nil {
		return nil, err
	}
	d := consensus.NewDecoder(value)
	b := &beginning{state: SnapshotState(d.Uint8()), base: d.Hash(), hash: d.Hash(), coins: d.CompactSize()}
	if err := d.Finish(); err != nil || b.state < snapshotLoading || b.state > SnapshotRefuted {
		return nil, errors.Join(err, fmt.Errorf("%w: record of the snapshot %x", errCorrupt, value))
	}
	return b, nil
}

// loadBeginning reads how the ledger began. The caller holds mu.
func (c *Chain) loadBeginning() (err error) {
	c.began, err = c.store.beginning()
	switch {
	case err != nil || c.began == nil:
		return err
	case c.began.state == snapshotLoading:
		return fmt.Errorf("%w: a snapshot was not loaded to its end", errCorrupt)
	case c.began.state == SnapshotRefuted:
		return c.began.refuted()
	}
	return nil
}

// ErrRefuted is the kind of error for a ledger whose snapshot is not what the
// chain makes.
var ErrRefuted = errors.New("the snapshot that this ledger began with is false")

func (b *beginning) refuted() error {
	return fmt.Errorf("%w: the blocks up to %s do not make its coins, whose hash is %s; start with --reindex and without --snapshot", ErrRefuted, b.base, b.hash)
}

// assumed is the node of the base while the history up to it is not verified,
// else nil. The caller holds mu, if only for reading.
func (c *Chain) assumed() *node {
	if c.began == nil || c.began.state != SnapshotAssumed {
		return nil
	}
	return c.began.node
}

// excused reports whether the block of n may be missing, because nobody has
// fetched it yet. The caller holds mu, if only for reading.
func (c *Chain) excused(n *node) bool {
	return n.Own.has(statusAssumed) && c.began != nil && c.began.state == SnapshotAssumed
}

// Snapshot is what is known of the snapshot that the ledger began with; ok is
// false if it began with the genesis block.
func (c *Chain) Snapshot() (info SnapshotInfo, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	b := c.began
	if b == nil {
		return info, false
	}
	info = SnapshotInfo{b.state, b.base, b.node.Height(), b.coins, b.hash, c.replayed}
	if b.state == SnapshotVerified {
		info.Verified = info.Height
	}
	return info, true
}

// AwaitsSnapshot reports whether the ledger has yet to load the snapshot with
// which it is to begin: it connects no blocks until then.
func (c *Chain) AwaitsSnapshot() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.awaited != nil
}

// HasHistory reports whether the ledger has all blocks of its chain, as far as
// it knows.
func (c *Chain) HasHistory() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.awaited == nil && c.assumed() == nil
}

// errAwaits is the error for what a ledger cannot do before it has begun.
var errAwaits = errors.New("the ledger waits for its snapshot")

// awaitedSnapshot is a snapshot file that is good.
type awaitedSnapshot struct {
	name  string
	base  consensus.Hash
	hash  consensus.Hash
	coins uint64
	top   uint32 // the height of the highest coin
}

// UseSnapshot has the ledger begin with the snapshot in a file, whose UTXO hash
// (hash_serialized_3) must be want, or what the chainspec says if want is zero.
// It reads the whole file and writes nothing. The ledger must be fresh, or have
// begun with the same snapshot: then there is nothing to do. Else the error, of
// kind ErrSnapshot if it is because of the file, leaves the ledger as it was.
//
// RunSnapshot does the rest. Until it has, no block is connected.
func (c *Chain) UseSnapshot(ctx context.Context, name string, want consensus.Hash) error {
	began, known := c.Snapshot()
	if known && want == (consensus.Hash{}) {
		want, _ = c.cfg.Spec.SnapshotHash(began.Base)
	}
	if known && want == began.Hash {
		return nil
	}
	f, err := openRegular(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := newSnapshotReader(f, c.cfg.Spec)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if want == (consensus.Hash{}) {
		var ok bool
		if want, ok = c.cfg.Spec.SnapshotHash(r.base); !ok {
			return fmt.Errorf("%s: the chainspec of %s does not name a snapshot at block %s: give its UTXO hash with --snapshot-hash", name, c.cfg.Spec.Name, r.base)
		}
	}
	switch tip := c.Tip(); {
	case known:
		return fmt.Errorf("the ledger in %s began with another snapshot, at block %s with the UTXO hash %s: leave out --snapshot, or choose another --datadir", c.cfg.Dir, began.Base, began.Hash)
	case tip.Height > 0:
		return fmt.Errorf("the ledger in %s is at height %d already, and only a fresh one can begin with a snapshot: leave out --snapshot, or choose another --datadir", c.cfg.Dir, tip.Height)
	}
	c.cfg.Log.Info("checking a snapshot", "file", name, "base", r.base, "coins", r.coins)
	if err := c.readSnapshot(ctx, r, want, func(consensus.Hash, []snapshotCoin) error { return nil }); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tree.Tip().Parent() != nil {
		return fmt.Errorf("the ledger in %s is not fresh any more", c.cfg.Dir)
	}
	c.awaited = &awaitedSnapshot{name, r.base, want, r.coins, r.top}
	c.coins = newCoinCache(nil) // what the database has of coins from now on counts later
	return nil
}

// openRegular opens a file to read, and nothing else: opening a pipe would wait
// for somebody to write to it, whatever signals come.
func openRegular(name string) (*os.File, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return os.Open(name)
}

// readSnapshot reads all coins of a snapshot, and compares their hash.
func (c *Chain) readSnapshot(ctx context.Context, r *snapshotReader, want consensus.Hash, visit func(consensus.Hash, []snapshotCoin) error) error {
	told := time.Now()
	var list []snapshotCoin
	for {
		var id consensus.Hash
		var err error
		if id, list, err = r.next(list); errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = visit(id, list)
		}
		if err != nil {
			return err
		}
		if now := time.Now(); now.Sub(told) > 5*time.Second {
			c.cfg.Log.Info("reading the snapshot", "coins", r.coins-r.left, "of", r.coins)
			told = now
		}
	}
	if got := r.hash.sum(); got != want {
		return badSnapshot("its UTXO hash is %s, want %s", got, want)
	}
	return nil
}

// RunSnapshot loads the snapshot of UseSnapshot when its base has come, and then
// verifies the history before it, now or where an earlier run has stopped. It
// returns when there is nothing left to do or ctx ends. An error is of kind
// ErrFatal.
func (c *Chain) RunSnapshot(ctx context.Context) error {
	err := c.runSnapshot(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) || errors.Is(err, errClosed) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrFatal) {
		err = c.fail(err)
	}
	return err
}

func (c *Chain) runSnapshot(ctx context.Context) error {
	poked := poke.New()
	cancel := c.Subscribe(func() { poke.Send(poked) })
	defer cancel()
	if err := c.awaitBase(ctx, poked); err != nil {
		return err
	}
	return c.verifyHistory(ctx, poked)
}

// awaitBase loads the awaited snapshot as soon as the headers show its base.
func (c *Chain) awaitBase(ctx context.Context, poked <-chan struct{}) error {
	const tell = 30 * time.Second
	ticker := time.NewTicker(tell)
	defer ticker.Stop()
	for {
		base, err := c.awaitedBase()
		if err != nil {
			return err
		}
		if base != nil {
			return c.loadSnapshot(ctx, base)
		}
		if !c.AwaitsSnapshot() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poked:
		case <-ticker.C:
			c.cfg.Log.Info("waiting for peers to show the headers up to the snapshot's base", "height", c.BestHeader().Height)
		}
	}
}

// awaitedBase is the base of the awaited snapshot, if it is part of the best
// chain of headers.
func (c *Chain) awaitedBase() (*node, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.awaited == nil {
		return nil, nil
	}
	n, ok := c.tree.Find(c.awaited.base)
	if !ok || c.tree.Best().Height() < n.Height() || c.tree.Best().Ancestor(n.Height()) != n {
		return nil, nil
	}
	if n.Height() != c.awaited.top {
		return nil, fmt.Errorf("%s: %w", c.awaited.name, badSnapshot("its highest coin has height %d, and its base %s has height %d", c.awaited.top, n.Hash(), n.Height()))
	}
	return n, nil
}

// loadSnapshot writes the coins of the awaited snapshot and makes its base the
// tip.
func (c *Chain) loadSnapshot(ctx context.Context, base *node) error {
	a := c.awaited // nobody else changes it
	f, err := openRegular(a.name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := newSnapshotReader(f, c.cfg.Spec)
	if err != nil {
		return err
	}
	if r.base != a.base || r.coins != a.coins {
		return badSnapshot("%s is another file than before", a.name)
	}
	began := &beginning{state: snapshotLoading, base: a.base, hash: a.hash, coins: a.coins, node: base}
	var b batch
	b.Put([]byte{keySnapshot}, began.record())
	if err := c.store.write(&b, true); err != nil {
		return err
	}
	b.Reset()
	err = c.readSnapshot(ctx, r, a.hash, func(id consensus.Hash, list []snapshotCoin) error {
		for i := range list {
			b.putCoin(consensus.OutPoint{TxID: id, Index: list[i].index}, &list[i].coin)
		}
		return c.writeFull(&b, maxBatch)
	})
	if err == nil {
		err = c.writeFull(&b, 1)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.name, err)
	}
	if err := c.beginAt(began); err != nil {
		return err
	}
	c.cfg.Log.Info("the ledger begins with a snapshot; the history before it is verified in the background", "height", base.Height(), "base", base.Hash(), "coins", a.coins)
	if err := c.settle(); err != nil {
		return err
	}
	c.pokeAll()
	return nil
}

// writeFull writes a batch of at least so many bytes, without a sync.
func (c *Chain) writeFull(b *batch, size int) error {
	if len(b.Dump()) < size {
		return nil
	}
	err := c.store.write(b, false)
	b.Reset()
	return err
}

// beginAt makes the base of a snapshot, whose coins are in the database, the
// tip.
func (c *Chain) beginAt(began *beginning) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	base := began.node
	for _, n := range c.tree.Assume(base) {
		c.unsaved[n] = struct{}{}
	}
	for _, n := range c.tree.Active()[1:] {
		n.Own.status |= statusAssumed
	}
	var b batch
	if err := c.flushNodes(&b); err != nil {
		return err
	}
	began.state = SnapshotAssumed
	b.Put([]byte{keySnapshot}, began.record())
	b.putTails(c.blocks.Tail(), c.undos.Tail())
	b.putHash(keyTip, base.Hash())
	if err := errors.Join(c.blocks.Sync(), c.undos.Sync()); err != nil {
		return err
	}
	if err := c.store.write(&b, true); err != nil {
		return err
	}
	clear(c.unsaved)
	c.began, c.awaited, c.saved, c.coins = began, nil, base, newCoinCache(c.store)
	return nil
}
