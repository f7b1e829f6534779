package chain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"lode/chain/blockfile"
	"lode/chain/headertree"
	"lode/consensus"
)

// Verified is what a verification has found, and what it has covered.
type Verified struct {
	Height   uint32 // of the best chain of blocks on disk
	Tip      consensus.Hash
	Inputs   int            // whose signatures were verified
	Undone   int            // blocks whose undo data was compared with what they spend
	Beside   int            // blocks of other branches, which were read and checked as far as they can be without coins
	Saved    uint32         // the height to which the coins in the database belong: a start connects the blocks above it
	SavedTip consensus.Hash // at that height, maybe of another branch
	Coins    uint64         // in the database
	Hash     consensus.Hash // of these coins, as Bitcoin Core's hash_serialized_3
	Replayed consensus.Hash // of the coins that the blocks up to SavedTip make
	Tail     int64          // bytes behind the last block that are none: a start cuts them off
}

// ErrDiffers is the kind of error for a ledger whose coins are not those that its
// blocks make.
var ErrDiffers = errors.New("the coins of the ledger are not those that its blocks make")

// Verify replays all blocks of the ledger in cfg.Dir from genesis, with every
// rule and signature, into a database beside it, and compares the coins: also
// those blocks that only a start would connect, as no flush came after them. It
// takes the ledger as it is on disk and writes nothing into it; no node may use
// it meanwhile. progress, if not nil, is told from time to time how far it is.
//
// The error is of kind ErrDiffers, or names the first block that is damaged,
// missing or invalid.
func Verify(ctx context.Context, cfg Config, progress func(height, tip uint32)) (v Verified, err error) {
	cfg = cfg.withDefaults()
	c, saved, err := openReadOnly(ctx, cfg)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, c.closeFiles()) }()
	dir := filepath.Join(cfg.Dir, "verify")
	beside, err := openBeside(cfg.disk, dir, cfg.limits.buffer)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, beside.close(), cfg.disk.RemoveAll(dir)) }()
	w := verification{c: c, beside: beside, progress: progress}
	err = w.run(ctx, saved)
	return w.found, err
}

// verification is the work of Verify on a ledger that was opened to read.
type verification struct {
	c        *Chain
	beside   *store
	progress func(height, tip uint32)
	found    Verified
	undo     error // the first damage of undo data
}

func (w *verification) run(ctx context.Context, saved *node) error {
	lost, err := w.readBehind(ctx)
	if err != nil {
		return err
	}
	best, _ := w.c.bestCandidate()
	v := &w.found
	v.Height, v.Tip, v.Saved, v.SavedTip = best.Height(), best.Hash(), saved.Height(), saved.Hash()
	r := w.replay(saved, best)
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.run(ctx, saved.Height()); err != nil {
		return err
	}
	if err := errors.Join(r.flush(), w.compare(ctx)); err != nil {
		return err
	}
	if headertree.Fork(saved, best) != saved { // a reorganization was not flushed
		r = w.replay(best, best)
		if err := r.begin(); err != nil {
			return err
		}
		v.Inputs, v.Undone = 0, 0
	}
	if err := r.run(ctx, best.Height()); err != nil {
		return err
	}
	if err := w.readBranches(ctx, best); err != nil {
		return err
	}
	return errors.Join(w.undo, lost)
}

// readBehind finds the blocks behind the ends of the files that are on record.
// lost says what lies there and is no good block, though good ones come after it.
func (w *verification) readBehind(ctx context.Context) (lost, err error) {
	c := w.c
	from, _, err := c.store.tails()
	if err != nil {
		return nil, err
	}
	f := finder{c: c, genesis: c.tree.Active()[0], waiting: make(map[consensus.Hash][]blockfile.Position), told: time.Now()}
	found, err := c.blocks.Blocks(ctx, from, c.rules.MaxBlockWeight, f.visit)
	if err != nil {
		return nil, err
	}
	orphans := f.orphans()
	w.found.Tail = found.Tail
	torn, err := c.blocks.Torn(found.End)
	if err != nil || f.bad == nil && found.Damaged == 0 && orphans == 0 && torn {
		return nil, err
	}
	lost = fmt.Errorf("what was written last is %w: behind byte %d of %s %d blocks are good, %d bytes between and %d behind them are no block, and %d blocks do not have their parents; a start loses these and fetches them again from peers",
		ErrDamaged, from.Offset, c.blocks.Name(from.File), f.found, found.Damaged, found.Tail, orphans)
	return errors.Join(f.bad, lost), nil
}

// replay is one of the chain that ends with the last of two blocks, or with the
// first, where that is of another branch.
func (w *verification) replay(saved, best *node) *replay {
	end := best
	if headertree.Fork(saved, best) != saved {
		end = saved
	}
	r := &replay{
		rules: w.c.rules, sigs: w.c.cfg.Sigs, limit: w.c.cacheLimit, chain: append([]*node{end.Ancestor(0)}, headertree.Path(end.Ancestor(0), end)...), store: w.beside,
		read: w.c.parseAgain, connected: w.connected,
	}
	if w.progress != nil {
		r.progress = func(height uint32) { w.progress(height, end.Height()) }
	}
	return r
}

// connected compares what a block has spent with its undo data.
func (w *verification) connected(n *node, spent []consensus.Coin) error {
	w.found.Inputs += len(spent)
	if !n.Own.has(statusUndo) {
		return nil
	}
	kept, err := w.c.spent(n)
	if err == nil && !slices.Equal(kept, spent) {
		err = damaged("undo data of block", n, errors.New("it has other coins than the block spends"))
	}
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if err != nil {
		w.undo = cmp.Or(w.undo, err)
		return nil
	}
	w.found.Undone++
	return nil
}

// readBranches reads all blocks that are not of the chain that ends with a block.
func (w *verification) readBranches(ctx context.Context, end *node) error {
	for n := range w.c.tree.All() {
		if !n.IsStored() || n.Height() <= end.Height() && end.Ancestor(n.Height()) == n {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := w.c.parseAgain(n); err != nil {
			return err
		}
		w.found.Beside++
	}
	return nil
}

// compare compares the coins of the ledger with those of the replay.
func (w *verification) compare(ctx context.Context) error {
	made, err := w.c.hashCoins(ctx, w.beside)
	if err != nil {
		return err
	}
	have, err := w.c.hashCoins(ctx, w.c.store)
	if err != nil {
		return err
	}
	v := &w.found
	v.Coins, v.Hash, v.Replayed = have.Coins, have.Hash, made.Hash
	if v.Hash != v.Replayed {
		return fmt.Errorf("%w: at height %d the UTXO hash is %s (%d coins), and after a replay %s (%d coins); start with --reindex",
			ErrDiffers, v.Saved, v.Hash, have.Coins, v.Replayed, made.Coins)
	}
	return nil
}

// hashCoins hashes all coins in a database.
func (c *Chain) hashCoins(ctx context.Context, s *store) (stats UTXOStats, err error) {
	snapshot, err := s.db.GetSnapshot()
	if err != nil {
		return stats, corrupt(err)
	}
	defer snapshot.Release()
	set := serialHash{sha256.New()}
	if err := c.addCoins(ctx, &stats, snapshot, set); err != nil {
		return stats, corrupt(err)
	}
	stats.Hash = set.sum()
	return stats, nil
}

// openBeside makes an empty database for a replay, in the place of one that an
// earlier one may have left.
func openBeside(d blockfile.Disk, dir string, buffer int) (*store, error) {
	lock, err := d.Lock(filepath.Join(dir, "LOCK"))
	if errors.Is(err, blockfile.ErrInUse) {
		return nil, fmt.Errorf("%s is in use by another process", dir)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(lock.Close(), d.RemoveAll(dir)); err != nil {
		return nil, err
	}
	return openStore(d, dir, buffer)
}
