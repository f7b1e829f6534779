package chain

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"lode/consensus"
)

// historyDir holds the coins of a replay that verifies the history.
const historyDir = "history"

// historyRound is how many blocks at most are replayed before the next look at
// which have come.
const historyRound = 10_000

// errExcused refuses what would need blocks that nobody has fetched yet.
var errExcused = errors.New("blocks up to the snapshot that the ledger began with cannot be invalidated before they have been verified")

// avoids reports whether what forks off at a block cannot become the tip because that
// would revert blocks up to the snapshot's base, which are not there yet. The caller
// holds mu.
func (c *Chain) avoids(fork *node) bool {
	base := c.assumed()
	return base != nil && fork.Height() < base.Height()
}

// tellAvoided says once that a branch waits for the history. The caller holds mu.
func (c *Chain) tellAvoided(fork, n *node) {
	if c.avoided != n {
		c.avoided = n
		c.cfg.Log.Warn("a chain with more work forks off before the snapshot's base; it waits until the history has been verified",
			"height", n.Height(), "hash", n.Hash(), "fork", fork.Height(), "base", c.assumed().Height())
	}
}

// refute records that the chain does not make the coins of the snapshot. The
// caller holds mu.
func (c *Chain) refute() error {
	c.began.state = SnapshotRefuted
	var b batch
	b.Put([]byte{keySnapshot}, c.began.record())
	return c.fail(errors.Join(c.began.refuted(), c.store.write(&b, true)))
}

// MissingHistory lists up to limit blocks that are not stored and are needed
// although they lead to no new tip: first those of the active chain that are
// damaged on disk, then those that are needed to verify the snapshot with which
// the ledger began, lowest first.
func (c *Chain) MissingHistory(limit int) []consensus.Hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLost()
	missing := c.lostBlocks(limit)
	base := c.assumed()
	if base == nil {
		return missing
	}
	c.missing = max(c.missing, c.replayed)
	lost := len(missing)
	for height := c.missing; height <= base.Height() && len(missing) < limit; height++ {
		n := c.tree.Active()[height]
		if _, known := c.lost[n]; !n.IsStored() && !known {
			missing = append(missing, n.Hash())
		} else if len(missing) == lost && n.IsStored() {
			c.missing = height
		}
	}
	return missing
}

// verifyHistory replays the blocks up to the snapshot's base as they come, and
// compares their coins with its hash.
func (c *Chain) verifyHistory(ctx context.Context, poked <-chan struct{}) (err error) {
	c.mu.RLock()
	base := c.assumed()
	c.mu.RUnlock()
	dir := filepath.Join(c.cfg.Dir, historyDir)
	if base == nil {
		return c.cfg.disk.RemoveAll(dir)
	}
	s, err := openStore(c.cfg.disk, dir, c.cfg.limits.buffer)
	verified := false
	if err == nil {
		verified, err = c.replayHistory(ctx, poked, base, s)
		err = errors.Join(err, s.close())
	}
	// Damage of the ledger's own database is of kind ErrFatal too.
	if errors.Is(err, errCorrupt) && !errors.Is(err, ErrFatal) {
		c.cfg.Log.Warn("the coins of the verification are damaged, and it begins anew", "error", err)
		if s, err = openBeside(c.cfg.disk, dir, c.cfg.limits.buffer); err != nil {
			return err
		}
		verified, err = c.replayHistory(ctx, poked, base, s)
		err = errors.Join(err, s.close())
	}
	if err != nil || !verified {
		return err
	}
	if err := c.settle(); err != nil { // a chain that was avoided may be the best
		return err
	}
	c.pokeAll()
	return c.cfg.disk.RemoveAll(dir)
}

func (c *Chain) replayHistory(ctx context.Context, poked <-chan struct{}, base *node, s *store) (verified bool, err error) {
	r := &replay{
		rules: c.rules, sigs: c.cfg.Sigs, limit: c.cacheLimit / 4, store: s, chain: c.copyChain(base),
		read: c.parseStored, connected: c.keepUndo, before: c.flushNow,
	}
	if err := r.begin(); err != nil {
		return false, err
	}
	flushed, told := time.Now(), time.Now()
	r.progress = func(height uint32) {
		c.mu.Lock()
		c.replayed = height
		c.mu.Unlock()
		if now := time.Now(); now.Sub(told) > 10*time.Second {
			c.cfg.Log.Info("verifying the history", "height", height, "of", base.Height())
			told = now
		}
	}
	r.progress(r.next - 1)
	defer func() {
		// So that the next start goes on from here; what is not written is
		// only done again.
		if !verified && (err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err())) && c.Err() == nil {
			err = errors.Join(err, r.flush())
		}
	}()
	for r.next <= base.Height() {
		to := c.storedHistory(r, base)
		if to < r.next {
			select {
			case <-ctx.Done():
				return false, ctx.Err()
			case <-c.failed:
				return false, c.Err()
			case <-poked:
			}
			continue
		}
		if err := c.replayRound(ctx, r, to); err != nil {
			return false, err
		}
		if time.Since(flushed) > flushInterval {
			if err := r.flush(); err != nil {
				return false, err
			}
			flushed = time.Now()
		}
	}
	if err := r.flush(); err != nil {
		return false, err
	}
	return true, c.judgeHistory(ctx, s)
}

// replayRound replays blocks up to one at a height. A damaged one is fetched
// again; one that breaks a rule refutes the snapshot.
func (c *Chain) replayRound(ctx context.Context, r *replay, to uint32) error {
	err := r.run(ctx, to)
	if err == nil {
		return nil
	}
	if broken, ok := errors.AsType[*brokenBlock](err); ok && errors.Is(err, ErrDamaged) {
		c.lose(broken.n, err)
		c.settleLosses() // whoever fetches blocks must ask for it
		return nil
	}
	if broken, ok := errors.AsType[*invalidBlock](err); ok {
		c.cfg.Log.Error("the history of the snapshot is invalid", "error", broken)
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.refute()
	}
	return err
}

// judgeHistory compares the coins that the history has made with the snapshot's
// hash.
func (c *Chain) judgeHistory(ctx context.Context, s *store) error {
	made, err := c.hashCoins(ctx, s)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	if made.Hash != c.began.hash {
		c.cfg.Log.Error("the history makes other coins than the snapshot", "height", c.began.node.Height(), "hash", made.Hash, "snapshot", c.began.hash)
		return c.refute()
	}
	c.began.state = SnapshotVerified
	for _, n := range c.tree.Active()[1 : c.began.node.Height()+1] {
		if !n.IsStored() { // it was damaged after it had been replayed
			c.lost[n] = struct{}{}
		}
	}
	if err := c.flush(); err != nil {
		return c.fail(err)
	}
	var b batch
	b.Put([]byte{keySnapshot}, c.began.record())
	if err := c.store.write(&b, true); err != nil {
		return c.fail(err)
	}
	c.cfg.Log.Info("the history has been verified, and makes the coins of the snapshot", "height", c.began.node.Height(), "hash", made.Hash)
	return nil
}

// copyChain gives copies of the nodes up to base, which do not change: what a
// replay needs besides the positions of blocks is the same for ever.
func (c *Chain) copyChain(base *node) []*node {
	c.mu.RLock()
	defer c.mu.RUnlock()
	chain := slices.Clone(c.tree.Active()[:base.Height()+1])
	for i, n := range chain {
		copied := *n
		chain[i] = &copied
	}
	return chain
}

// storedHistory is the height up to which there are blocks for a replay, which
// learns where they are.
func (c *Chain) storedHistory(r *replay, base *node) (to uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLost()
	height := r.next
	for ; height <= base.Height() && height < r.next+historyRound && c.tree.Active()[height].IsStored(); height++ {
		copied := *c.tree.Active()[height]
		r.chain[height] = &copied
	}
	c.stalled = height == r.next
	return height - 1
}

// keepUndo keeps what is needed to disconnect a block of the history.
func (c *Chain) keepUndo(copied *node, spent []consensus.Coin) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	n := c.tree.Active()[copied.Height()]
	if n.Own.has(statusUndo) {
		return nil
	}
	if err := c.storeUndo(n, spent); err != nil {
		return c.fail(err)
	}
	return nil
}

// flushNow is flush for who does not hold mu: the coins of the history must not
// be ahead of its undo data on disk.
func (c *Chain) flushNow() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return c.fail(err)
	}
	return nil
}
