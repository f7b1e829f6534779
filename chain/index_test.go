package chain

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"lode/chain/blockfile"
	"lode/consensus"
	"lode/testnet/chaingen"
)

func openIndexed(t failer, dir string, d blockfile.Disk) *Chain {
	t.Helper()
	return openIndexedWith(t, Config{Dir: dir, Spec: testSpec, TxIndex: true, AddrIndex: true, disk: d})
}

func openIndexedWith(t failer, cfg Config) *Chain {
	t.Helper()
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	for _, x := range keptIndexes(c) {
		if err := x.load(context.Background()); err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
	}
	return c
}

func keptIndexes(c *Chain) []*index {
	return slices.DeleteFunc(slices.Clone(c.indexes), func(x *index) bool { return !x.kept })
}

// catchUp has the indexes take up to so many steps each.
func catchUp(t failer, c *Chain, steps int) {
	t.Helper()
	for _, x := range keptIndexes(c) {
		for i, more := 0, true; more && i < steps; i++ {
			var err error
			if more, err = x.step(); err != nil {
				t.Fatalf("%s: %v", x.name, err)
			}
		}
	}
}

// indexModel is what the indexes must say of a chain.
type indexModel struct {
	blocks map[consensus.Hash]consensus.Hash // by transaction
	addrs  map[[32]byte][]AddressTx
}

func modelOf(blocks []*consensus.Block) indexModel {
	m := indexModel{make(map[consensus.Hash]consensus.Hash), make(map[[32]byte][]AddressTx)}
	outs := make(map[consensus.OutPoint]consensus.TxOut)
	for height, b := range blocks {
		for i, id := range b.TxIDs() {
			if height == 0 {
				continue
			}
			m.blocks[id] = b.Header.Hash()
			touched := make(map[[32]byte]*AddressTx)
			at := func(script []byte) *AddressTx {
				key, ok := consensus.TaprootKey(script)
				if !ok {
					return new(AddressTx)
				}
				if touched[key] == nil {
					touched[key] = &AddressTx{Key: key, TxID: id, Height: uint32(height), Index: uint32(i)}
				}
				return touched[key]
			}
			for n, out := range b.Txs[i].Out {
				outs[consensus.OutPoint{TxID: id, Index: uint32(n)}] = out
				e := at(out.Script)
				e.Received, e.Outs = e.Received+out.Value, append(e.Outs, uint32(n))
			}
			for _, in := range b.Txs[i].In {
				if out, ok := outs[in.PrevOut]; ok {
					e := at(out.Script)
					e.Spent, e.spends = e.Spent+out.Value, append(e.spends, spendTag(in.PrevOut))
				}
			}
			for key, e := range touched {
				m.addrs[key] = append(m.addrs[key], *e)
			}
		}
	}
	return m
}

// sameEntries compares entries.
var sameEntries = cmp.Options{cmp.AllowUnexported(AddressTx{}), cmpopts.EquateEmpty()}

// checkIndexes compares all that the indexes say with a model.
func checkIndexes(t failer, c *Chain, blocks []*consensus.Block) {
	t.Helper()
	m := modelOf(blocks)
	for id, block := range m.blocks {
		if tx, at, err := c.FindTx(id); err != nil || tx.TxID() != id || at != block {
			t.Fatalf("transaction %s: in %s, want %s: %v", id, at, block, err)
		}
	}
	for key, want := range m.addrs {
		if diff := cmp.Diff(want, history(t, c, key), sameEntries); diff != "" {
			t.Fatalf("key %x: %s", key, diff)
		}
		var back []AddressTx
		err := c.AddressTxsBack(key, math.MaxUint32, func(e AddressTx) bool { back = append(back, e); return true })
		slices.Reverse(back)
		if diff := cmp.Diff(want, back, sameEntries); diff != "" || err != nil {
			t.Fatalf("key %x backwards: %v: %s", key, err, diff)
		}
		var sum AddressTotals
		for _, e := range want {
			sum.Received, sum.Spent, sum.Txs = sum.Received+e.Received, sum.Spent+e.Spent, sum.Txs+1
			sum.Outputs, sum.Inputs = sum.Outputs+uint64(len(e.Outs)), sum.Inputs+uint64(len(e.spends))
		}
		if got, err := c.AddressTotals(key); err != nil || got != sum {
			t.Fatalf("key %x: totals %+v, want %+v: %v", key, got, sum, err)
		}
		if named, got, err := c.ScriptTotals(scriptHash(key)); err != nil || got != sum || named != key {
			t.Fatalf("key %x: by its script %+v of %x, want %+v: %v", key, got, named, sum, err)
		}
	}
	entries := map[byte]int{keyTx: len(m.blocks), keyAddrTotals: len(m.addrs)}
	for _, list := range m.addrs {
		entries[keyAddr] += len(list)
	}
	for prefix, want := range entries {
		if got := countEntries(t, c, prefix); got != want {
			t.Fatalf("%d entries under %c, want %d", got, prefix, want)
		}
	}
}

func countEntries(t failer, c *Chain, prefixes ...byte) (count int) {
	t.Helper()
	it := c.store.db.NewIterator(nil, nil)
	defer it.Release()
	for it.Next() {
		if slices.Contains(prefixes, it.Key()[0]) {
			count++
		}
	}
	if err := it.Error(); err != nil {
		t.Fatalf("%v", err)
	}
	return count
}

func history(t failer, c *Chain, keys ...[32]byte) (list []AddressTx) {
	t.Helper()
	err := c.AddressTxs(keys, 0, math.MaxUint32, func(e AddressTx) bool { list = append(list, e); return true })
	if err != nil {
		t.Fatalf("%v", err)
	}
	return list
}

func newIndexed() *chaingen.Chain {
	return chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 6, Txs: 3, Inputs: 2, Outputs: 2, Fee: 1000})
}

// TestIndexTree grows random branches, with the indexes now and then behind,
// killed, and resumed.
func TestIndexTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base, err := os.MkdirTemp("", "index")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.RemoveAll(base)
		c, g := openIndexed(t, filepath.Join(base, "a"), nil), newIndexed()
		defer func() { c.Close() }()
		addAll(t, c, g.Extend(3))
		for step := range rapid.IntRange(3, 15).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"grow", "grow", "reorg", "restart", "kill", "reindex"}).Draw(t, "step") {
			case "grow":
				addAll(t, c, g.Extend(rapid.IntRange(1, 6).Draw(t, "blocks")))
			case "reorg":
				depth := rapid.IntRange(1, min(8, int(g.Tip().Height))).Draw(t, "depth")
				g = g.Fork(g.Tip().Height-uint32(depth), uint64(step))
				addAll(t, c, g.Extend(depth+1))
			case "restart":
				mustClose(t, c)
				c = openIndexed(t, c.cfg.Dir, nil)
			case "kill":
				dir := filepath.Join(base, "killed"+string(rune('a'+step)))
				if err := copyAsKilled(c.cfg.Dir, dir); err != nil {
					t.Fatalf("%v", err)
				}
				_ = c.fail(errKilled)
				c.Close()
				c = openIndexed(t, dir, nil)
			case "reindex":
				mustClose(t, c)
				cfg := Config{Dir: c.cfg.Dir, Spec: testSpec, Reindex: true}
				if c, err = Open(context.Background(), cfg); err != nil {
					t.Fatalf("%v", err)
				}
				mustClose(t, c)
				c = openIndexed(t, cfg.Dir, nil)
			}
			catchUp(t, c, rapid.SampledFrom([]int{0, 1, 3, 1000}).Draw(t, "index steps"))
		}
		if c.Tip().Hash != g.Tip().Hash {
			t.Fatalf("tip at %d", c.Tip().Height)
		}
		catchUp(t, c, 1000)
		checkIndexes(t, c, g.Blocks)
	})
}

// unsynced is a disk that knows how much of each block and undo file would
// survive a power cut.
type unsynced struct {
	blockfile.Disk
	sizes map[string]int64
}

type unsyncedFile struct {
	blockfile.File
	name string
	d    *unsynced
}

func (d *unsynced) Open(name string, create bool) (blockfile.File, error) {
	f, err := d.Disk.Open(name, create)
	return unsyncedFile{f, name, d}, err
}

func (f unsyncedFile) Sync() error {
	size, err := f.Size()
	f.d.sizes[f.name] = size
	return errors.Join(err, f.File.Sync())
}

// cutPower copies a ledger as a power cut may leave it: the worst is that all of
// the database was written, and of the files nothing but what was synced.
func (d *unsynced) cutPower(t *testing.T, from, to string) {
	t.Helper()
	if err := copyAsKilled(from, to); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(from, "blocks", "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Truncate(filepath.Join(to, "blocks", filepath.Base(name)), d.sizes[name]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIndexPowerCut cuts the power when the indexes are ahead of the tip on
// record, also on a branch that is not connected again and so has no undo data:
// they go on from where they were.
func TestIndexPowerCut(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a")
	d := &unsynced{Disk: blockfile.OS{}, sizes: make(map[string]int64)}
	c, g := openIndexed(t, dir, d), newIndexed()
	defer c.Close()
	addAll(t, c, g.Extend(5))
	setOf(t, c) // writes everything
	addAll(t, c, g.Extend(5))
	catchUp(t, c, 1000)
	other := g.Fork(7, 9)
	others := other.Extend(6)
	for i, cut := range []struct {
		more   []*consensus.Block // that come after the indexes were written
		synced bool               // to their file, though nothing is on record
		end    *chaingen.Chain
	}{{nil, false, g}, {others[:3], false, g}, {others[3:], false, g}, {nil, true, other}} {
		addAll(t, c, cut.more)
		if cut.synced {
			if err := c.blocks.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		to := filepath.Join(base, "cut"+string(rune('a'+i)))
		d.cutPower(t, dir, to)
		after := openIndexed(t, to, nil)
		for _, x := range keptIndexes(after) {
			if x.point.Height != 10 {
				t.Errorf("cut %d: %s is at %d", i, x.name, x.point.Height)
			}
		}
		catchUp(t, after, 1000)
		if after.Tip().Hash != cut.end.Tip().Hash {
			t.Errorf("cut %d: tip at %d", i, after.Tip().Height)
		}
		checkIndexes(t, after, cut.end.Blocks)
		addAll(t, after, others)
		catchUp(t, after, 1000)
		checkIndexes(t, after, other.Blocks)
		mustClose(t, after)
	}
}

// TestIndexStranded opens indexes whose last block is lost with its file: they
// are built anew.
func TestIndexStranded(t *testing.T) {
	base := t.TempDir()
	c, g := openIndexed(t, filepath.Join(base, "a"), nil), newIndexed()
	addAll(t, c, g.Extend(5))
	setOf(t, c)
	flushed := c.blocks.Tail().Offset
	addAll(t, c, g.Extend(5))
	catchUp(t, c, 1000)
	dir := filepath.Join(base, "b")
	if err := copyAsKilled(c.cfg.Dir, dir); err != nil {
		t.Fatal(err)
	}
	mustClose(t, c)
	if err := os.Truncate(filepath.Join(dir, "blocks", "blk00000.dat"), int64(flushed)); err != nil {
		t.Fatal(err)
	}
	var log lockedBuilder
	c, err := Open(context.Background(), Config{Dir: dir, Spec: testSpec, TxIndex: true, AddrIndex: true, Log: textLog(&log)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	runIndexes(t, c, g.Blocks[:6])
	if lines := strings.Count(log.String(), "built anew"); lines != 2 {
		t.Errorf("%d lines say that an index is built anew:\n%s", lines, log.String())
	}
}

// runIndexes runs the indexes until they are at the tip, and checks them.
func runIndexes(t *testing.T, c *Chain, blocks []*consensus.Block) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.RunIndexes(ctx) }()
	for _, x := range keptIndexes(c) {
		for x.kept {
			x.mu.Lock()
			at, moved := x.point.Hash, x.moved
			x.mu.Unlock()
			if at == blocks[len(blocks)-1].Header.Hash() {
				break
			}
			<-moved
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(c.Indexes()) > 0 {
		checkIndexes(t, c, blocks)
	}
}

// TestIndexSwitch turns indexes on for a ledger that is there already, off, and
// on again after the removal was interrupted.
func TestIndexSwitch(t *testing.T) {
	dir := t.TempDir()
	c, g := openIndexed(t, dir, nil), newIndexed()
	addAll(t, c, g.Extend(30))
	runIndexes(t, c, g.Blocks)
	if ready, err := c.IndexReady(t.Context(), TxIndex); err != nil || !ready {
		t.Errorf("ready %v, %v", ready, err)
	}
	mustClose(t, c)

	c = reopen(t, dir, false) // as another command does
	mustClose(t, c)
	c = openIndexed(t, dir, nil)
	checkIndexes(t, c, g.Blocks)
	for _, x := range keptIndexes(c) { // interrupted after the first batch
		if err := c.store.db.Put(x.stateKey(), []byte{indexRemoving}, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.store.db.Delete(txKey(g.Blocks[3].Txs[0].TxID()), nil); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, c)
	c, err := Open(context.Background(), Config{Dir: dir, Spec: testSpec, TxIndex: true, AddrIndex: true})
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop() // before the rest of it is gone: nothing is built upon that
	if err := c.RunIndexes(stopped); err != nil {
		t.Error(err)
	}
	for _, x := range keptIndexes(c) {
		if state, err := c.store.value(x.stateKey()); err != nil || !slices.Equal(state, []byte{indexRemoving}) {
			t.Errorf("%s: state %x, %v", x.name, state, err)
		}
	}
	mustClose(t, c)
	c = openIndexed(t, dir, nil)
	runIndexes(t, c, g.Blocks)
	mustClose(t, c)

	c = reopen(t, dir, false)
	if err := c.RunIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := countEntries(t, c, keyIndex, keyTx, keyAddr, keyAddrTotals); left > 0 {
		t.Errorf("%d entries are left", left)
	}
	for _, err := range []error{
		func() error { _, _, err := c.FindTx(consensus.Hash{}); return err }(),
		func() error { _, err := c.AddressTotals([32]byte{}); return err }(),
		c.AddressTxs(nil, 0, 1, nil),
		func() error { _, err := c.IndexReady(t.Context(), AddrIndex); return err }(),
	} {
		if !errors.Is(err, ErrNoIndex) {
			t.Errorf("without an index: %v", err)
		}
	}
	if c.Tip().Hash != g.Tip().Hash {
		t.Errorf("tip at %d", c.Tip().Height)
	}
	_, err = Open(context.Background(), Config{Dir: t.TempDir(), Spec: testSpec, Prune: PruneByHand, TxIndex: true})
	if err == nil || !strings.Contains(err.Error(), "incompatible") {
		t.Errorf("pruned and indexed: %v", err)
	}
}

// TestIndexAfterClose closes a ledger while its indexes are being built, and asks
// them afterwards.
func TestIndexAfterClose(t *testing.T) {
	c, g := openIndexed(t, t.TempDir(), nil), newIndexed()
	addAll(t, c, g.Extend(30))
	ended := make(chan error, 1)
	go func() { ended <- c.RunIndexes(t.Context()) }()
	mustClose(t, c)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		func() error { _, _, err := c.FindTx(g.Blocks[1].Txs[0].TxID()); return err }(),
		func() error { _, err := c.AddressTotals([32]byte{}); return err }(),
		c.AddressTxs(nil, 0, 1, nil),
		c.PruneTo(1),
	} {
		if !errors.Is(err, ErrFatal) {
			t.Errorf("after Close: %v", err)
		}
	}
	select {
	case <-c.Failed():
		t.Error("a ledger that was closed counts as failed")
	default:
	}
}

// TestIndexDatabaseError has the database fail under the indexes: the ledger
// fails with it.
func TestIndexDatabaseError(t *testing.T) {
	c, g := openIndexed(t, t.TempDir(), nil), newIndexed()
	defer c.Close()
	addAll(t, c, g.Extend(3))
	if err := c.store.db.Close(); err != nil {
		t.Fatal(err)
	}
	expectFatal(t, c, c.RunIndexes(t.Context()))
}

// TestIndexDamagedBlock damages a block that an index has yet to read: it waits
// until the block has come again.
func TestIndexDamagedBlock(t *testing.T) {
	c, g := openIndexed(t, t.TempDir(), nil), newIndexed()
	defer c.Close()
	addAll(t, c, g.Extend(10))
	bad := g.Blocks[4]
	at := mustFind(c, bad.Header.Hash()).Own.body
	flip(t, c.blocks.Name(at.File), int64(at.Offset)+100)
	catchUp(t, c, 1000)
	for _, x := range c.Indexes() {
		if x.Synced || x.Height >= 4 {
			t.Errorf("%+v", x)
		}
	}
	if ready, err := c.IndexReady(t.Context(), TxIndex); ready || err != nil {
		t.Errorf("ready %v, %v", ready, err)
	}
	if _, _, err := c.FindTx(g.Blocks[9].Txs[0].TxID()); !errors.Is(err, ErrNoTx) {
		t.Errorf("a transaction that is not indexed yet: %v", err)
	}
	addAll(t, c, []*consensus.Block{bad})
	catchUp(t, c, 1000)
	checkIndexes(t, c, g.Blocks)

	last := g.Blocks[10].Txs[1]
	at = mustFind(c, g.Tip().Hash).Own.body
	flip(t, c.blocks.Name(at.File), int64(at.Offset)+int64(at.Size)-1)
	clear(c.held)
	if _, _, err := c.FindTx(last.TxID()); err != nil && !errors.Is(err, ErrNotFound) {
		t.Errorf("a transaction of a damaged block: %v", err)
	}
	if c.Err() != nil {
		t.Error(c.Err())
	}
}

// TestAddressTxs asks for parts of a history of several keys.
func TestAddressTxs(t *testing.T) {
	c, g := openIndexed(t, t.TempDir(), nil), newIndexed()
	defer c.Close()
	addAll(t, c, g.Extend(20))
	catchUp(t, c, 1000)
	m := modelOf(g.Blocks)
	keys := slices.Collect(maps.Keys(m.addrs))
	var all []AddressTx
	for _, list := range m.addrs {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b AddressTx) int { return a.compare(&b) })
	if diff := cmp.Diff(all, history(t, c, keys...), sameEntries); diff != "" {
		t.Error(diff)
	}
	var some []AddressTx
	err := c.AddressTxs(keys, 5, 9, func(e AddressTx) bool { some = append(some, e); return len(some) < 7 })
	want := slices.DeleteFunc(slices.Clone(all), func(e AddressTx) bool { return e.Height < 5 || e.Height > 9 })[:7]
	if diff := cmp.Diff(want, some, sameEntries); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got := history(t, c, [32]byte{1}); len(got) > 0 {
		t.Errorf("a key that nobody used: %v", got)
	}
	if got, err := c.AddressTotals([32]byte{1}); err != nil || got != (AddressTotals{}) {
		t.Errorf("a key that nobody used: %+v, %v", got, err)
	}
}

// lockedBuilder is a strings.Builder for several goroutines.
type lockedBuilder struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// TestAddressIndexOfBeforeIsBuiltAnew: entries of format 1 say too little.
func TestAddressIndexOfBeforeIsBuiltAnew(t *testing.T) {
	dir := t.TempDir()
	c, g := openIndexed(t, dir, nil), newIndexed()
	addAll(t, c, g.Extend(4))
	catchUp(t, c, 1000)
	x, err := c.keptIndex(AddrIndex)
	if err != nil {
		t.Fatal(err)
	}
	point := x.point.Hash
	if err := c.store.db.Put(x.stateKey(), append([]byte{1}, point[:]...), nil); err != nil {
		t.Fatal(err)
	}
	if err := c.store.db.Put(addrKey([32]byte{1}, 2, 3), make([]byte, 34), nil); err != nil {
		t.Fatal(err)
	}
	mustClose(t, c)
	c = openIndexed(t, dir, nil)
	defer c.Close()
	catchUp(t, c, 1000)
	checkIndexes(t, c, g.Blocks)
}

// TestAddressKeysLie: keys are found by where they lie, each once, and an entry that
// spends a coin says so.
func TestAddressKeysLie(t *testing.T) {
	c, g := openIndexed(t, t.TempDir(), nil), newIndexed()
	defer c.Close()
	addAll(t, c, g.Extend(8))
	catchUp(t, c, 1000)
	m := modelOf(g.Blocks)
	want := slices.SortedFunc(maps.Keys(m.addrs), func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	all, err := c.AddressKeys([32]byte{}, [32]byte(slices.Repeat([]byte{0xff}, 32)), 1000)
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("%d keys, want %d: %v", len(all), len(want), err)
	}
	if len(want) < 3 {
		t.Fatalf("%d keys in all", len(want))
	}
	if some, err := c.AddressKeys(want[1], want[2], 10); err != nil || !slices.Equal(some, want[1:3]) {
		t.Errorf("keys %x: %v", some, err)
	}
	if one, err := c.AddressKeys(want[0], want[2], 1); err != nil || !slices.Equal(one, want[:1]) {
		t.Errorf("keys %x: %v", one, err)
	}
	for key, list := range m.addrs {
		for _, e := range list {
			tx, _, err := c.FindTx(e.TxID)
			if err != nil {
				t.Fatal(err)
			}
			if e.Spent > 0 && !slices.ContainsFunc(tx.In, func(in consensus.TxIn) bool { return e.MaySpend(in.PrevOut) }) {
				t.Errorf("key %x: %s spends nothing", key, e.TxID)
			}
			if e.MaySpend(consensus.OutPoint{TxID: consensus.Hash{1}, Index: 5}) {
				t.Errorf("key %x: %s spends a coin that is not there", key, e.TxID)
			}
		}
	}
	if key, sum, err := c.ScriptTotals([32]byte{1}); key != [32]byte{} || sum != (AddressTotals{}) || err != nil {
		t.Errorf("a script that nobody uses: %x %+v %v", key, sum, err)
	}
}

// killIndexed goes on in dir with what a kill of c at this moment leaves on disk.
func killIndexed(t *testing.T, c *Chain, cfg *Config, dir string) *Chain {
	t.Helper()
	if err := copyAsKilled(cfg.Dir, dir); err != nil {
		t.Fatal(err)
	}
	_ = c.fail(errKilled)
	c.Close()
	cfg.Dir = dir
	return openIndexedWith(t, *cfg)
}

// TestIndexIsReadyWhenTheTipComesBack has somebody wait for an index that is a block
// behind: the block is taken back, so that there is nothing left for the index to do.
func TestIndexIsReadyWhenTheTipComesBack(t *testing.T) {
	c, err := Open(t.Context(), Config{Dir: "/d", Spec: testSpec, TxIndex: true, disk: newFaultDisk(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2})
	addBlocks(t, c, g.Extend(2))
	x, _ := c.keptIndex(TxIndex)
	x.synced, x.point = true, c.Tip() // nobody runs it
	addBlocks(t, c, g.Extend(1))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan bool, 1)
	go func() {
		ready, err := c.IndexReady(ctx, TxIndex)
		done <- ready && err == nil
	}()
	waits := func() bool {
		c.subMu.Lock()
		defer c.subMu.Unlock()
		return len(c.subs) > 0
	}
	for !waits() && ctx.Err() == nil {
		runtime.Gosched()
	}
	if err := c.InvalidateBlock(g.Blocks[3].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	if !<-done {
		t.Error("it waits on for a block that is gone")
	}
}
