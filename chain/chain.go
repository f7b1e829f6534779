package chain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lode/chain/blockfile"
	"lode/chain/headertree"
	"lode/consensus"
	"lode/consensus/sigcheck"
)

// Config says where a ledger is kept and what it needs from its surroundings.
type Config struct {
	Dir      string // of this network; made if it is not there
	Spec     *consensus.Spec
	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil means none
	Sigs     *sigcheck.Checker
	Cache    int64 // bytes of memory for coins; 0 means DefaultCache, less than MinCache means that
	Reindex  bool  // build the database anew from the block files
	Existing bool  // refuse a directory without a ledger, with ErrNoLedger, instead of making one
	Prune    int64 // the bytes that block and undo files are kept below, or one of PruneNever, PruneByHand, PruneAsFound

	FastPrune bool // keep blocks in files so small that tests can prune some; they fit no large block well

	TxIndex   bool // keep an index of transactions
	AddrIndex bool // keep an index of the transactions of each key

	SilentIndex    bool // keep an index of what receivers of silent payments need
	CoinStatsIndex bool // keep what the coins are after each block
	FilterIndex    bool // keep the filter of each block (BIP158)

	disk   blockfile.Disk // nil means the real one
	limits limits         // zero means those of normal
}

// limits are sizes that tests make small, so that little data goes all the ways
// that much does.
type limits struct {
	batch  int   // about how many bytes are written to the database at a time
	buffer int   // bytes of writes that the database keeps in memory; there may be two such buffers
	file   int64 // how large a block or undo file grows before the next is begun
	coins  int64 // bytes of coins in the cache below which there is no flush for them
}

var normal = limits{batch: maxBatch, buffer: databaseBuffer, file: blockfile.MaxFileSize, coins: MinCache}

const (
	// DefaultCache and MinCache are bytes of memory for coins, besides the 16
	// MiB that the database takes for itself.
	DefaultCache = 400 << 20
	MinCache     = 4 << 20
)

// Chain is an open ledger. It may be used from several goroutines.
type Chain struct {
	cfg        Config
	rules      *consensus.Rules
	cacheLimit int64
	store      *store
	blocks     *blockfile.Files
	undos      *blockfile.Files
	indexes    []*index
	submitting atomic.Int32 // calls that submit blocks, see Busy

	inboxMu sync.Mutex // guards what follows; may be taken with mu held
	inbox   []*submission

	mu        sync.RWMutex // guards what follows
	tree      *headertree.Tree[kept]
	route     []*node                           // the next nodes on the way to the best candidate, see nextGroup
	lost      map[*node]struct{}                // of the active chain, whose blocks on disk are damaged
	stuck     *node                             // the block that could not be disconnected; nil if none was tried, or what it needs may have come
	stuckBy   error                             // why
	waiting   map[*node][]*submission           // who waits for the verdict on a block
	held      map[*node]*consensus.CheckedBlock // blocks to be connected, and the last that was
	heldBytes int
	coins     *coinCache
	unsaved   map[*node]struct{} // whose records have changed since the last flush
	saved     *node              // the tip that the last flush wrote
	pruned    pruning
	began     *beginning       // nil if with the genesis block
	awaited   *awaitedSnapshot // with which the ledger is to begin; nil if with none
	replayed  uint32           // the height up to which the history has been verified
	missing   uint32           // no block of the history below this height is missing
	stalled   bool             // the verification of the history waits for a block
	avoided   *node            // the last candidate of which it was said that the snapshot is in its way
	opening   context.Context  // of Open, while that runs, or Verify; nil later
	readOnly  bool             // nothing is ever written
	timer     *time.Timer      // of the next flush; nil if nothing has changed

	unknown unknownRules // see Warnings
	txSums  sync.Map     // of transactions of chains, uint64 by the hash of their last block, see TxCount

	lossMu sync.Mutex                // guards what follows; may be taken with mu held
	losses map[consensus.Hash]loss   // damaged blocks that dropLost must look at
	proven map[consensus.Hash]uint32 // checksums of blocks that have passed prove and had none before

	mendMu sync.Mutex // held while undo data is made anew; before mu

	scans   sync.WaitGroup // reads of the whole set, added to with mu held
	closing chan struct{}  // closed, with mu held, when they must end

	failMu sync.Mutex // guards what follows, also where mu is only held for reading
	fatal  error

	subMu   sync.Mutex // guards what follows
	subs    map[int]func()
	nextSub int

	failed chan struct{} // closed after a fatal error
}

// The reasons, besides those of the rules, for which a block or header is
// refused. Their texts are Bitcoin Core's.
const (
	ErrUnknownParent consensus.ErrorKind = "prev-blk-not-found"
	ErrInvalidParent consensus.ErrorKind = "bad-prevblk"
	ErrKnownInvalid  consensus.ErrorKind = "duplicate-invalid"
)

var (
	// ErrNotFound is the kind of error for a block that is not there.
	ErrNotFound = errors.New("block not found")
	// ErrFatal is the kind of every error after which a ledger does nothing
	// any more: the database or a file failed.
	ErrFatal = errors.New("the ledger has failed")

	// ErrInvalidated is the kind of error, besides ErrKnownInvalid or
	// ErrInvalidParent, for what broke no rule but was named to InvalidateBlock, or
	// is built on that: it proves nothing about who sent it.
	ErrInvalidated = errors.New("invalidated by the operator")

	errClosed = fmt.Errorf("%w: it is closed", ErrFatal)
)

// Reason is the reject reason (BIP22) of an error of this package, if it has
// one.
func Reason(err error) (string, bool) {
	if reason, ok := consensus.BlockReason(err); ok {
		return reason, true
	}
	kind, ok := errors.AsType[consensus.ErrorKind](err)
	return string(kind), ok
}

// Open opens or makes the ledger in cfg.Dir. A damaged database is built anew
// from the block files. When ctx ends meanwhile, what is done is saved, so that
// the next start goes on from there, and the error is of kind ctx.Err(); later
// ctx means nothing.
func Open(ctx context.Context, cfg Config) (*Chain, error) {
	cfg = cfg.withDefaults()
	if cfg.Prune > PruneNever && (cfg.TxIndex || cfg.AddrIndex || cfg.SilentIndex || cfg.CoinStatsIndex || cfg.FilterIndex) {
		return nil, errors.New("pruning is incompatible with indexes, which point into the blocks")
	}
	if cfg.Existing {
		if err := mustExist(cfg.disk, cfg.Dir, "network", "blocks"); err != nil {
			return nil, err
		}
	}
	if err := claimDir(cfg.disk, cfg.Dir, cfg.Spec); err != nil {
		return nil, err
	}
	c, err := open(ctx, cfg)
	if errors.Is(err, errCorrupt) {
		cfg.Log.Warn("the ledger's database is built anew from the block files", "error", err)
		cfg.Reindex = true
		c, err = open(ctx, cfg)
	}
	return c, err
}

// withDefaults fills in what was left out.
func (cfg Config) withDefaults() Config {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Sigs == nil {
		cfg.Sigs = sigcheck.New(100_000)
	}
	if cfg.disk == nil {
		cfg.disk = blockfile.OS{}
	}
	if cfg.limits == (limits{}) {
		cfg.limits = normal
		if cfg.Prune >= PruneByHand {
			cfg.limits.file = blockfile.PrunedFileSize
		}
	}
	if cfg.FastPrune {
		cfg.limits.file = blockfile.FastPruneFileSize
	}
	if cfg.Cache == 0 {
		cfg.Cache = DefaultCache
	}
	return cfg
}

// claimDir makes dir and marks it as belonging to a network, or refuses it if it
// belongs to another.
func claimDir(d blockfile.Disk, dir string, spec *consensus.Spec) error {
	id := spec.Rules.ID()
	mark := fmt.Sprintf("%s %x\n", spec.Name, id[:])
	name := filepath.Join(dir, "network")
	have, err := blockfile.ReadFile(d, name)
	switch {
	case err == nil && string(have) == mark:
		return nil
	case err == nil:
		return fmt.Errorf("data directory %s belongs to a network with other rules: it is marked %.80q, and the rules of %s are %x; choose another --datadir", dir, bytes.TrimSpace(have), spec.Name, id[:])
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := errors.Join(d.Mkdir(dir), d.SyncDir(filepath.Dir(dir))); err != nil {
		return err
	}
	return blockfile.WriteFile(d, dir, name, []byte(mark))
}

// newChain is a ledger of which nothing has been opened yet.
func newChain(cfg Config) *Chain {
	c := &Chain{
		cfg: cfg, rules: &cfg.Spec.Rules, cacheLimit: max(cfg.Cache, cfg.limits.coins),
		tree: headertree.New[kept](&cfg.Spec.Rules), lost: make(map[*node]struct{}),
		waiting: make(map[*node][]*submission), held: make(map[*node]*consensus.CheckedBlock), unsaved: make(map[*node]struct{}), losses: make(map[consensus.Hash]loss), proven: make(map[consensus.Hash]uint32),
		subs: make(map[int]func()), failed: make(chan struct{}), closing: make(chan struct{}),
	}
	c.indexes = c.newIndexes()
	return c
}

func open(ctx context.Context, cfg Config) (*Chain, error) {
	c := newChain(cfg)
	if err := discard(cfg.disk, cfg.Dir, cfg.Reindex); err != nil {
		return nil, err
	}
	if err := c.openFiles(); err != nil {
		return nil, errors.Join(err, c.closeFiles())
	}
	if err := c.load(ctx); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.timer != nil {
			c.timer.Stop()
		}
		_ = c.fail(err)
		return nil, errors.Join(err, c.closeFiles())
	}
	return c, nil
}

func (c *Chain) openFiles() (err error) {
	dir := filepath.Join(c.cfg.Dir, "ledger")
	c.store, err = openStore(c.cfg.disk, dir, c.cfg.limits.buffer)
	switch {
	case errors.Is(err, blockfile.ErrInUse):
		return inUse(c.cfg.Dir)
	case err != nil:
		return fmt.Errorf("open ledger %s: %w", dir, err)
	}
	c.coins = newCoinCache(c.store)
	blocks, magic := filepath.Join(c.cfg.Dir, "blocks"), c.cfg.Spec.Defaults.Magic
	if c.blocks, err = blockfile.Open(c.cfg.disk, blocks, "blk", magic, c.cfg.limits.file); err != nil {
		return err
	}
	if c.undos, err = blockfile.Open(c.cfg.disk, blocks, "rev", magic, c.cfg.limits.file); err != nil {
		return err
	}
	return c.cfg.disk.SyncDir(c.cfg.Dir) // or a power cut may take the two directories and all in them
}

func inUse(dir string) error {
	return fmt.Errorf("data directory %s is in use by another process: stop that one, or choose another --datadir", dir)
}

// discard removes the database and the undo files under dir, which are written
// anew from the blocks, if it is told to, or finishes this where it was
// interrupted. It does not touch a database that another process holds.
func discard(d blockfile.Disk, dir string, begin bool) error {
	ledger, old := filepath.Join(dir, "ledger"), filepath.Join(dir, "ledger.removed")
	from := ledger
	if !begin {
		names, err := d.Names(dir)
		if err != nil || !slices.Contains(names, filepath.Base(old)) {
			return err
		}
		from = old
	}
	if begin {
		if err := checkWhole(d, dir); err != nil {
			return err
		}
	}
	lock, err := d.Lock(filepath.Join(from, "LOCK"))
	if errors.Is(err, blockfile.ErrInUse) {
		return inUse(dir)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if begin {
		if err := d.RemoveAll(old); err != nil {
			return err
		}
		// At one stroke: of a database from which only some files are gone,
		// LevelDB could believe that it is whole.
		if err := d.Rename(ledger, old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := d.SyncDir(dir); err != nil {
			return err
		}
	}
	blocks := filepath.Join(dir, "blocks")
	undos, err := blockfile.Numbers(d, blocks, "rev")
	for _, n := range undos {
		err = errors.Join(err, d.RemoveAll(filepath.Join(blocks, blockfile.Name("rev", n))))
	}
	if err != nil {
		return err
	}
	return errors.Join(d.RemoveAll(old), d.SyncDir(dir))
}

// Close writes everything out and releases the directory. What is called
// afterwards fails.
func (c *Chain) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closing:
		return nil
	default:
		close(c.closing)
	}
	c.scans.Wait() // LevelDB must not be closed under an iterator
	var err error
	if c.Err() == nil {
		err = c.flush()
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.failMu.Lock()
	c.fatal = cmp.Or(c.fatal, errClosed)
	c.failMu.Unlock()
	return errors.Join(err, c.closeFiles())
}

func (c *Chain) closeFiles() error {
	var err error
	for _, f := range []*blockfile.Files{c.blocks, c.undos} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if c.store != nil {
		err = errors.Join(err, c.store.close())
	}
	return err
}

// Failed is closed when the ledger has failed for good; Err says why. The node
// must stop then: going on could only make it worse.
func (c *Chain) Failed() <-chan struct{} { return c.failed }

// Err is the error, of kind ErrFatal, because of which Failed is closed, or that
// of a ledger that was closed.
func (c *Chain) Err() error {
	c.failMu.Lock()
	defer c.failMu.Unlock()
	return c.fatal
}

// fail records a fatal error.
func (c *Chain) fail(err error) error {
	c.failMu.Lock()
	defer c.failMu.Unlock()
	if c.fatal == nil {
		c.fatal = fmt.Errorf("%w: %w", ErrFatal, err)
		close(c.failed)
	}
	return c.fatal
}

// latest is the latest time that a header may have by this node's clock.
func (c *Chain) latest() uint32 {
	t := c.cfg.Now().Unix() + int64(c.cfg.Spec.Defaults.MaxDrift)
	return uint32(max(0, min(t, math.MaxUint32)))
}

// Subscribe has poke called after the tip or the best header has changed, with
// no lock held. It must not block; it is meant to wake whoever then asks for
// what has changed.
func (c *Chain) Subscribe(poke func()) (cancel func()) {
	c.subMu.Lock()
	defer c.subMu.Unlock()
	id := c.nextSub
	c.nextSub++
	c.subs[id] = poke
	return func() {
		c.subMu.Lock()
		defer c.subMu.Unlock()
		delete(c.subs, id)
	}
}

func (c *Chain) pokeAll() {
	c.subMu.Lock()
	pokes := make([]func(), 0, len(c.subs))
	for _, poke := range c.subs {
		pokes = append(pokes, poke)
	}
	c.subMu.Unlock()
	for _, poke := range pokes {
		poke()
	}
}
