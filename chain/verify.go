package chain

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"lode/consensus"
	"lode/internal/filelock"
)

// Verified is what a verification has found.
type Verified struct {
	Height   uint32
	Tip      consensus.Hash
	Inputs   int            // whose signatures were verified
	Coins    uint64         // in the ledger
	Hash     consensus.Hash // of the ledger's coins, as Bitcoin Core's hash_serialized_3
	Replayed consensus.Hash // of the coins that the blocks make
}

// ErrDiffers is the kind of error for a ledger whose coins are not those that its
// blocks make.
var ErrDiffers = errors.New("the coins of the ledger are not those that its blocks make")

// Verify replays all blocks of the ledger in cfg.Dir from genesis, with every
// rule and signature, into a database beside it, and compares the coins. It
// takes the ledger as it is on disk and writes nothing into it; no node may use
// it meanwhile. progress, if not nil, is told from time to time how far it is.
//
// The error is of kind ErrDiffers, or names the first block that is damaged,
// missing or invalid.
func Verify(ctx context.Context, cfg Config, progress func(height, tip uint32)) (v Verified, err error) {
	cfg = cfg.withDefaults()
	c, tip, err := openReadOnly(cfg)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, c.closeFiles()) }()
	dir := filepath.Join(cfg.Dir, "verify")
	beside, err := openBeside(cfg.disk, dir, cfg.limits.buffer)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, beside.close(), cfg.disk.removeAll(dir)) }()

	v.Height, v.Tip = tip.height(), tip.hash()
	r := &replay{
		rules: c.rules, sigs: cfg.Sigs, limit: c.cacheLimit, chain: append([]*node{tip.ancestor(0)}, path(tip.ancestor(0), tip)...), store: beside,
		read: c.parseStored, connected: func(n *node, spent []consensus.Coin) error { v.Inputs += len(spent); return nil },
	}
	if progress != nil {
		r.progress = func(height uint32) { progress(height, v.Height) }
	}
	if err := r.begin(); err != nil {
		return v, err
	}
	if err := r.run(ctx, v.Height); err != nil {
		return v, err
	}
	if err := r.flush(); err != nil {
		return v, err
	}
	made, err := c.hashCoins(ctx, beside)
	if err != nil {
		return v, err
	}
	have, err := c.hashCoins(ctx, c.store)
	if err != nil {
		return v, err
	}
	v.Coins, v.Hash, v.Replayed = have.Coins, have.Hash, made.Hash
	if v.Hash != v.Replayed {
		return v, fmt.Errorf("%w: at height %d the UTXO hash is %s (%d coins), and after a replay %s (%d coins); start with --reindex",
			ErrDiffers, v.Height, v.Hash, have.Coins, v.Replayed, made.Coins)
	}
	return v, nil
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
func openBeside(d disk, dir string, buffer int) (*store, error) {
	lock, err := d.lock(filepath.Join(dir, "LOCK"))
	if errors.Is(err, errInUse) {
		return nil, fmt.Errorf("%s is in use by another process", dir)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(lock.Close(), d.removeAll(dir)); err != nil {
		return nil, err
	}
	return openStore(d, dir, buffer)
}

// openReadOnly gives a ledger as it is on disk, and the tip on record: only its
// index, files and database, to read from.
func openReadOnly(cfg Config) (c *Chain, tip *node, err error) {
	names, err := cfg.disk.names(cfg.Dir)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range []string{"network", "ledger", "blocks"} {
		if !slices.Contains(names, name) {
			return nil, nil, fmt.Errorf("there is no ledger in %s: it has no %s", cfg.Dir, name)
		}
	}
	if err := claimDir(cfg.disk, cfg.Dir, cfg.Spec); err != nil {
		return nil, nil, err
	}
	c = newChain(cfg)
	tip, err = c.openFilesReadOnly()
	if err != nil {
		return nil, nil, errors.Join(err, c.closeFiles())
	}
	return c, tip, nil
}

func (c *Chain) openFilesReadOnly() (tip *node, err error) {
	c.store, err = openStoreReadOnly(filepath.Join(c.cfg.Dir, "ledger"))
	if errors.Is(err, errInUse) {
		return nil, inUse(c.cfg.Dir)
	}
	if err != nil {
		return nil, err
	}
	if c.blocks, err = openFiles(c.cfg.disk, filepath.Join(c.cfg.Dir, "blocks"), "blk", c.cfg.Spec.Defaults.Magic); err != nil {
		return nil, err
	}
	return c.readIndex()
}

// readIndex reads the headers, and gives the tip on record.
func (c *Chain) readIndex() (*node, error) {
	hash, ok, err := c.store.hash(keyTip)
	if err != nil {
		return nil, err
	}
	moving, err := c.store.get(keyMoving)
	if err != nil {
		return nil, err
	}
	if !ok || moving != nil {
		return nil, errNotClosed
	}
	if err := c.loadBeginning(); err != nil {
		return nil, err
	}
	if c.began != nil && c.began.state == SnapshotAssumed {
		return nil, fmt.Errorf("%w: let the node run until it has fetched and verified them", errNoHistory)
	}
	blocks, undos, err := c.store.tails()
	if err != nil {
		return nil, err
	}
	if err := c.loadNodes(blocks, undos); err != nil {
		return nil, err
	}
	return c.known(hash)
}

// errNotClosed is the kind of error for a ledger that only a start can repair.
var errNotClosed = errors.New("the ledger was not closed properly: start a node on it and stop it, then verify it")

// errNoHistory is the kind of error for a ledger that cannot be replayed yet.
var errNoHistory = errors.New("the ledger began with a snapshot and does not have the blocks before it")

// openStoreReadOnly opens a database without changing any of its files.
func openStoreReadOnly(dir string) (*store, error) {
	files, err := storage.OpenFile(dir, true)
	if filelock.Held(err) {
		return nil, errInUse
	}
	if err != nil {
		return nil, err
	}
	options := storeOptions()
	options.ReadOnly = true
	db, err := leveldb.Open(files, options)
	if err != nil {
		if err = corrupt(err); errors.Is(err, errCorrupt) {
			err = fmt.Errorf("%w (%w)", errNotClosed, err)
		}
		return nil, errors.Join(err, files.Close())
	}
	return &store{db, files}, nil
}
