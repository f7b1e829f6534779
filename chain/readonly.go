package chain

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"lode/chain/blockfile"
	"lode/internal/filelock"
)

// ErrNoLedger is the kind of error for a directory that holds no ledger.
var ErrNoLedger = errors.New("there is no ledger")

// mustExist refuses a directory that lacks a part of a ledger.
func mustExist(d blockfile.Disk, dir string, parts ...string) error {
	names, err := d.Names(dir)
	if err != nil {
		return err
	}
	for _, name := range parts {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%w in %s, which has no %s: check --datadir and --network", ErrNoLedger, dir, name)
		}
	}
	return nil
}

// openReadOnly gives a ledger as it is on disk, and the tip on record: only its
// index, files and database, to read from.
func openReadOnly(ctx context.Context, cfg Config) (c *Chain, tip *node, err error) {
	if err := mustExist(cfg.disk, cfg.Dir, "network", "ledger", "blocks"); err != nil {
		return nil, nil, err
	}
	if err := claimDir(cfg.disk, cfg.Dir, cfg.Spec); err != nil {
		return nil, nil, err
	}
	c = newChain(cfg)
	c.readOnly, c.opening = true, ctx
	tip, err = c.openFilesReadOnly()
	if err != nil {
		return nil, nil, errors.Join(err, c.closeFiles())
	}
	return c, tip, nil
}

func (c *Chain) openFilesReadOnly() (tip *node, err error) {
	c.store, err = openStoreReadOnly(filepath.Join(c.cfg.Dir, "ledger"))
	if errors.Is(err, blockfile.ErrInUse) {
		return nil, inUse(c.cfg.Dir)
	}
	if err != nil {
		return nil, err
	}
	blocks, magic := filepath.Join(c.cfg.Dir, "blocks"), c.cfg.Spec.Defaults.Magic
	if c.blocks, err = blockfile.Open(c.cfg.disk, blocks, "blk", magic, 0); err != nil {
		return nil, err
	}
	if c.undos, err = blockfile.Open(c.cfg.disk, blocks, "rev", magic, 0); err != nil {
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
	tip, err := c.known(hash)
	if err != nil {
		return nil, err
	}
	c.tree.Activate(tip)
	return tip, nil
}

// errNotClosed is the kind of error for a ledger that only a start can repair.
var errNotClosed = errors.New("the ledger was not closed properly: start a node on it and stop it, then verify it")

// errNoHistory is the kind of error for a ledger that cannot be replayed yet.
var errNoHistory = errors.New("the ledger began with a snapshot and does not have the blocks before it")

// openStoreReadOnly opens a database without changing any of its files.
func openStoreReadOnly(dir string) (*store, error) {
	files, err := storage.OpenFile(dir, true)
	if filelock.Held(err) {
		return nil, blockfile.ErrInUse
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
