package chain

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"lode/chain/blockfile"
	"lode/consensus"
	"lode/testnet/chaingen"
)

var testSpec = chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })

// grown is an open ledger with n blocks and the generator that made them.
func grown(t *testing.T, dir string, n int) (*Chain, *chaingen.Chain) {
	t.Helper()
	c := reopen(t, dir, false)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 9, Txs: 2, Outputs: 2, Fee: 1000})
	for _, b := range g.Extend(n) {
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	return c, g
}

func reopen(t *testing.T, dir string, reindex bool) *Chain {
	t.Helper()
	c, err := Open(context.Background(), Config{Dir: dir, Spec: testSpec, Reindex: reindex})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestAfterClose calls everything after Close: nothing panics, and what needs
// the disk fails.
func TestAfterClose(t *testing.T) {
	c, g := grown(t, t.TempDir(), 3)
	tip := g.Tip().Hash
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	calls := map[string]func() error{
		"AddBlock":     func() error { return c.AddBlock(g.Next()) },
		"AddHeaders":   func() error { return c.AddHeaders([]consensus.Header{g.Next().Header}) },
		"Block":        func() error { _, err := c.Block(tip); return err },
		"BlockBytes":   func() error { _, err := c.BlockBytes(tip); return err },
		"Spent":        func() error { _, err := c.Spent(tip); return err },
		"Coin":         func() error { _, _, err := c.Coin(consensus.OutPoint{}); return err },
		"Read":         func() error { return c.Read(func(*Reader) error { return nil }) },
		"UTXOStats":    func() error { _, err := c.UTXOStats(t.Context()); return err },
		"UTXOMuHash":   func() error { _, err := c.UTXOMuHash(t.Context()); return err },
		"blocks.write": func() error { _, err := c.blocks.Append([]byte("x")); return err },
	}
	for name, call := range calls {
		if err := call(); err == nil {
			t.Errorf("%s succeeds", name)
		}
	}
	if c.Tip().Hash != tip || len(c.Tips()) != 1 || len(c.Locator()) == 0 || len(c.MissingBlocks(tip, 1)) != 0 {
		t.Error("what is in memory has changed")
	}
	c.HeadersAfter(nil, consensus.Hash{}, 10)
	c.BestHeader()
	c.DiskSize()
	select {
	case <-c.Failed():
		t.Error("a ledger that was closed counts as failed")
	default:
	}
}

// TestCloseInUse closes a ledger while others use it.
func TestCloseInUse(t *testing.T) {
	for range 5 {
		c, g := grown(t, t.TempDir(), 5)
		more := g.Extend(20)
		var wg sync.WaitGroup
		for _, use := range []func() error{
			func() error { _, err := c.UTXOStats(t.Context()); return err },
			func() error { _, err := c.UTXOMuHash(t.Context()); return err },
			func() error { _, err := c.Block(g.Blocks[1].Header.Hash()); return err },
			func() error { _, _, err := c.Coin(consensus.OutPoint{}); return err },
		} {
			wg.Go(func() {
				for use() == nil {
				}
			})
		}
		for i, b := range more {
			if i == len(more)/2 {
				wg.Go(func() {
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			if err := c.AddBlock(b); err != nil && !errors.Is(err, ErrFatal) {
				t.Error(err)
			}
		}
		wg.Wait()
	}
}

// TestDatabaseError has the database fail under a ledger, which then fails for
// good, whatever it was asked.
func TestDatabaseError(t *testing.T) {
	for name, call := range map[string]func(c *Chain, g *chaingen.Chain) error{
		"AddBlock": func(c *Chain, g *chaingen.Chain) error {
			if err := c.AddBlock(g.Next()); err != nil {
				return err
			}
			c.flushDue()
			return c.AddBlock(g.Next())
		},
		"AddHeaders": func(c *Chain, g *chaingen.Chain) error { return c.AddHeaders([]consensus.Header{g.Next().Header}) },
		"Coin": func(c *Chain, g *chaingen.Chain) error {
			_, _, err := c.Coin(consensus.OutPoint{TxID: consensus.Hash{1}})
			return err
		},
		"UTXOStats": func(c *Chain, g *chaingen.Chain) error { _, err := c.UTXOStats(t.Context()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			c, g := grown(t, t.TempDir(), 2)
			if err := c.store.db.Close(); err != nil {
				t.Fatal(err)
			}
			expectFatal(t, c, call(c, g))
			expectFatal(t, c, c.AddBlock(g.Next()))
		})
	}
}

func expectFatal(t *testing.T, c *Chain, err error) {
	t.Helper()
	if !errors.Is(err, ErrFatal) || !errors.Is(c.Err(), ErrFatal) {
		t.Fatalf("error %v, and the ledger's %v", err, c.Err())
	}
	select {
	case <-c.Failed():
	default:
		t.Fatal("the ledger goes on")
	}
}

// TestDamagedBlock damages the block that a subscriber must be given, and that a
// reorganization must disconnect: both wait until it has come again, and the
// ledger goes on with what it has.
func TestDamagedBlock(t *testing.T) {
	c, g := grown(t, t.TempDir(), 3)
	bad := g.Blocks[2]
	clear(c.held)
	at := mustFind(c, bad.Header.Hash()).Own.body
	flip(t, c.blocks.Name(at.File), int64(at.Offset)+100)
	err := c.Read(func(r *Reader) error {
		_, err := r.UpdatesSince(testSpec.Rules.GenesisHash(), 10)
		return err
	})
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("a subscriber gets %v", err)
	}
	other := g.Fork(1, 7)
	other.Extend(3)
	for _, b := range other.Blocks[2:] {
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	better := other.Tip().Hash
	if tip := c.Tip().Hash; tip != g.Tip().Hash {
		t.Errorf("the tip is %s, of a branch that cannot be reached", tip)
	}
	if missing := c.MissingBlocks(better, 10); !slices.Equal(missing, []consensus.Hash{bad.Header.Hash()}) {
		t.Errorf("missing are %v", missing)
	}
	if err := c.AddBlock(bad); err != nil {
		t.Fatal(err)
	}
	if tip := c.Tip().Hash; tip != better || len(c.MissingBlocks(better, 10)) > 0 {
		t.Errorf("the tip is %s although the block has come", tip)
	}
}

// TestDamagedUndo damages undo data before a reorganization: it is made anew from
// the blocks.
func TestDamagedUndo(t *testing.T) {
	c, g := grown(t, t.TempDir(), 12)
	other := g.Fork(4, 7)
	other.Extend(10)
	for _, b := range g.Blocks[5:] {
		n, _ := c.tree.Find(b.Header.Hash())
		flip(t, c.undos.Name(n.Own.undo.File), int64(n.Own.undo.Offset)+int64(n.Own.undo.Size)-1)
	}
	for _, b := range other.Blocks[5:] {
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	fresh := reopen(t, t.TempDir(), false)
	for _, b := range other.Blocks[1:] {
		if err := fresh.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	want, err := fresh.UTXOStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.UTXOStats(t.Context())
	if err != nil || got.Hash != want.Hash {
		t.Errorf("UTXO set %s at height %d, want %s: %v", got.Hash, got.Height, want.Hash, err)
	}
}

func flip(t *testing.T, name string, at int64) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOpenFails gives Open directories that it cannot use: an error, no panic,
// and the lock is free again.
func TestOpenFails(t *testing.T) {
	for _, name := range []string{"blocks", "ledger"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if c, err := Open(context.Background(), Config{Dir: dir, Spec: testSpec}); err == nil || c != nil {
				t.Fatalf("%s is a file, and Open gives %v and error %v", name, c, err)
			}
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		reopen(t, dir, false)
	}
}

// TestInterruptedReindex is killed after the old database was put aside: what is
// left of it goes, and the ledger is built anew.
func TestInterruptedReindex(t *testing.T) {
	dir := t.TempDir()
	c, g := grown(t, dir, 5)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	ledger, old := filepath.Join(dir, "ledger"), filepath.Join(dir, "ledger.removed")
	if err := os.Rename(ledger, old); err != nil {
		t.Fatal(err)
	}
	undo, err := os.ReadFile(c.undos.Name(0))
	if err != nil {
		t.Fatal(err)
	}
	c = reopen(t, dir, false)
	if c.Tip().Hash != g.Tip().Hash {
		t.Errorf("tip at %d", c.Tip().Height)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Error("the old database is still there")
	}
	if again, err := os.ReadFile(c.undos.Name(0)); err != nil || len(again) != len(undo) {
		t.Errorf("undo file of %d bytes, want %d: %v", len(again), len(undo), err)
	}
}

// TestBeginInterrupted is killed after some headers were written and before the
// tip was: they are not taken for the whole index.
func TestBeginInterrupted(t *testing.T) {
	dir := t.TempDir()
	c, g := grown(t, dir, 5)
	if err := c.store.db.Delete([]byte{keyTip}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.store.db.Delete(headerKey(g.Tip().Hash), nil); err != nil {
		t.Fatal(err)
	}
	c.fail(errors.New("killed")) // so that Close does not write
	c.Close()
	if c = reopen(t, dir, false); c.Tip().Hash != g.Tip().Hash {
		t.Errorf("tip at %d, want %d", c.Tip().Height, g.Tip().Height)
	}
}

// TestReindexBlockFiles builds the ledger anew from block files with every kind
// of damage: all blocks that are whole somewhere are found.
func TestReindexBlockFiles(t *testing.T) {
	frame := func(b *consensus.Block) []byte {
		payload := b.Bytes()
		f := append(slices.Clone([]byte(testSpec.Defaults.Magic)), 0, 0, 0, 0)
		binary.LittleEndian.PutUint32(f[4:], uint32(len(payload)))
		return append(f, payload...)
	}
	flipped := func(f []byte) []byte {
		f = slices.Clone(f)
		f[len(f)-40] ^= 1 // in the last transaction
		return f
	}
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 9, Txs: 2, Outputs: 2, Fee: 1000})
	g.Extend(4)
	genesis, b1, b2, b3, b4 := frame(g.Blocks[0]), frame(g.Blocks[1]), frame(g.Blocks[2]), frame(g.Blocks[3]), frame(g.Blocks[4])
	longer := slices.Clone(b2)
	binary.LittleEndian.PutUint32(longer[4:], uint32(len(longer)+50))
	for name, tc := range map[string]struct {
		parts  [][]byte
		height uint32
	}{
		"in order":                      {[][]byte{genesis, b1, b2, b3, b4}, 4},
		"backwards":                     {[][]byte{b4, b3, b2, b1, genesis}, 4},
		"no genesis":                    {[][]byte{b1, b2, b3, b4}, 4},
		"garbage between":               {[][]byte{genesis, []byte("garbage"), b1, make([]byte, 1000), b2, testSpec.Defaults.Magic, b3, b4}, 4},
		"cut in the middle":             {[][]byte{genesis, b1, b2[:len(b2)/2], b2, b3, b4}, 4},
		"cut inside of the frame":       {[][]byte{genesis, b1, b2[:6], b2, b3, b4}, 4},
		"cut at the end":                {[][]byte{genesis, b1, b2, b3, b4[:50]}, 3},
		"wrong length":                  {[][]byte{genesis, b1, longer, b2, b3, b4}, 4},
		"twice":                         {[][]byte{genesis, b1, b1, b2, b2, b3, b4, b3}, 4},
		"a damaged copy after it":       {[][]byte{genesis, b1, b2, flipped(b2), b3, b4}, 4},
		"a damaged copy before it":      {[][]byte{genesis, b1, flipped(b2), b2, b3, b4}, 4},
		"a damaged copy before parents": {[][]byte{genesis, flipped(b2), b2, b3, b4, b1}, 4},
		"missing":                       {[][]byte{genesis, b1, b3, b4}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "blocks"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "blocks", "blk00000.dat"), slices.Concat(tc.parts...), 0o600); err != nil {
				t.Fatal(err)
			}
			c := reopen(t, dir, false)
			if c.Tip().Height != tc.height {
				t.Fatalf("height %d, want %d", c.Tip().Height, tc.height)
			}
			for h := range tc.height {
				n := c.tree.Active()[h+1]
				clear(c.held)
				if _, err := c.parse(n); err != nil {
					t.Errorf("block at height %d: %v", h+1, err)
				}
			}
		})
	}
}

// TestMissingFile loses a block file in the middle: what is written from then on
// does not end up in those behind it.
func TestMissingFile(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []uint32{0, 2} {
		if err := os.WriteFile(filepath.Join(dir, blockfile.Name("blk", n)), []byte("12345"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := blockfile.Open(blockfile.OS{}, dir, "blk", testSpec.Defaults.Magic, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(blockfile.Position{File: 1, Offset: blockfile.FrameSize, Size: 10}); !errors.Is(err, blockfile.ErrRecord) {
		t.Errorf("reading from a lost file: %v", err)
	}
	if _, err := os.Stat(f.Name(1)); !errors.Is(err, os.ErrNotExist) {
		t.Error("reading has made the file")
	}
	if p, err := f.Append([]byte("x")); err != nil || p != (blockfile.Position{File: 2, Offset: 5 + blockfile.FrameSize, Size: 1}) {
		t.Errorf("appended at %v: %v", p, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestDamagedUndoOfLostBlocks damages the undo data of the tip and the block that
// made the coins which it spent: the tip stays until that block has come again.
func TestDamagedUndoOfLostBlocks(t *testing.T) {
	c, g := grown(t, t.TempDir(), 12)
	clear(c.held)
	tip := c.tree.Tip()
	flip(t, c.undos.Name(tip.Own.undo.File), int64(tip.Own.undo.Offset)+int64(tip.Own.undo.Size)-1)
	for _, b := range g.Blocks[1:12] {
		at := mustFind(c, b.Header.Hash()).Own.body
		flip(t, c.blocks.Name(at.File), int64(at.Offset)+100)
	}
	other := g.Fork(11, 7)
	other.Extend(2)
	for _, b := range other.Blocks[12:] {
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	if c.tree.Tip() != tip {
		t.Error("the tip was disconnected without undo data")
	}
	for again := 0; again < 12 && c.tree.Tip() == tip; again++ {
		for _, hash := range c.MissingBlocks(other.Tip().Hash, 20) {
			if err := c.AddBlock(g.Blocks[mustFind(c, hash).Height()]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if c.Tip().Hash != other.Tip().Hash {
		t.Error("the blocks have come, and the tip is what it was")
	}
}
