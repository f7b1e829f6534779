package chain

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lode/chain/blockfile"
	"lode/chain/headertree"
	"lode/consensus"
	"lode/testnet/chaingen"
)

// contents is the hash of every file under a directory.
func contents(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	sums := make(map[string][32]byte)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		sums[path] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// TestVerify verifies a good ledger and damaged ones, and changes none of them.
func TestVerify(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	c, g := grown(t, good, 30)
	for _, b := range g.Fork(25, 1).Extend(8) { // blocks beside the active chain
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Verify(t.Context(), Config{Dir: good, Spec: testSpec}, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("while it is open: %v", err)
	}
	tip, seventh := c.tree.Tip(), c.tree.Active()[7]
	stats, err := c.UTXOStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	coin := c.firstCoin(t)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	changeBlock := func(offset uint32) func(string) {
		return func(dir string) {
			flipByte(t, filepath.Join(dir, "blocks", blockfile.Name("blk", 0)), int64(seventh.Own.body.Offset+offset))
		}
	}
	changeCoins := func(change func(*batch)) func(string) {
		return func(dir string) {
			s, err := openStore(blockfile.OS{}, filepath.Join(dir, "ledger"), databaseBuffer)
			if err != nil {
				t.Fatal(err)
			}
			var b batch
			change(&b)
			if err := errors.Join(s.write(&b, true), s.close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := map[string]struct {
		change func(dir string)
		kind   error
		says   string
	}{
		"good":            {func(string) {}, nil, ""},
		"leftovers":       {func(dir string) { copyDir(t, filepath.Join(good, "ledger"), filepath.Join(dir, "verify")) }, nil, ""},
		"block":           {changeBlock(seventh.Own.body.Size - 20), ErrDamaged, seventh.Hash().String()},
		"header":          {changeBlock(3), ErrDamaged, seventh.Hash().String()},
		"frame":           {changeBlock(^uint32(6)), ErrDamaged, seventh.Hash().String()},
		"a file is gone":  {func(dir string) { remove(t, filepath.Join(dir, "blocks", blockfile.Name("blk", 0))) }, ErrDamaged, "height 1:"},
		"coin removed":    {changeCoins(func(b *batch) { b.Delete(coinKey(coin)) }), ErrDiffers, "--reindex"},
		"coin added":      {changeCoins(func(b *batch) { b.putCoin(consensus.OutPoint{Index: 9}, &consensus.Coin{Value: 1}) }), ErrDiffers, "--reindex"},
		"coin changed":    {changeCoins(func(b *batch) { b.putCoin(coin, &consensus.Coin{Value: 1}) }), ErrDiffers, "--reindex"},
		"another tip":     {changeCoins(func(b *batch) { b.putHash(keyTip, tip.Parent().Hash()) }), ErrDiffers, "--reindex"},
		"unknown tip":     {changeCoins(func(b *batch) { b.putHash(keyTip, consensus.Hash{1}) }), errCorrupt, "not in the index"},
		"coins on a move": {changeCoins(func(b *batch) { b.putHash(keyMoving, tip.Hash()) }), errNotClosed, "start a node"},
		"no ledger":       {func(dir string) { remove(t, filepath.Join(dir, "ledger")) }, nil, "no ledger"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a")
			copyDir(t, good, dir)
			test.change(dir)
			before := contents(t, dir)
			for path := range before {
				if strings.Contains(path, "verify") {
					delete(before, path) // is in the way, and removed
				}
			}
			last := uint32(0)
			got, err := Verify(t.Context(), Config{Dir: dir, Spec: testSpec, Cache: MinCache}, func(height, _ uint32) { last = height })
			switch {
			case test.says == "" && (err != nil || got.Hash != stats.Hash || got.Replayed != stats.Hash || got.Coins != stats.Coins || got.Tip != stats.Tip || last != stats.Height):
				t.Errorf("got %+v at %d, %v; want %+v", got, last, err, stats)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || test.kind != nil && !errors.Is(err, test.kind)):
				t.Errorf("got %v, want one that says %q", err, test.says)
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("the directory has changed:\n%s", diff)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, Config{Dir: good, Spec: testSpec}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestReplaySmallCache replays with a cache that is flushed all the time, and
// goes on from each flush.
func TestReplaySmallCache(t *testing.T) {
	c, g := grown(t, t.TempDir(), 40)
	want, err := c.UTXOStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStore(blockfile.OS{}, t.TempDir(), databaseBuffer)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	begun := func() *replay {
		r := &replay{rules: c.rules, sigs: c.cfg.Sigs, chain: c.tree.Active(), store: s, read: c.parseStored}
		if err := r.begin(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for to := uint32(5); to <= 40; to += 5 {
		r := begun()
		if r.next != to-4 {
			t.Fatalf("goes on at %d, want %d", r.next, to-4)
		}
		if err := errors.Join(r.run(t.Context(), to), r.flush()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.hashCoins(t.Context(), s); err != nil || got.Hash != want.Hash {
		t.Errorf("hash %s, %v; want %s", got.Hash, err, want.Hash)
	}
	// A flush that was cut short is worth nothing.
	var b batch
	b.putHash(keyMoving, c.tree.Tip().Hash())
	if err := s.write(&b, true); err != nil {
		t.Fatal(err)
	}
	if r := begun(); r.next != 1 {
		t.Errorf("goes on at %d after half a flush", r.next)
	}
	if got, err := c.hashCoins(t.Context(), s); err != nil || got.Coins != 0 {
		t.Errorf("%d coins are left, %v", got.Coins, err)
	}
	// A block that breaks a rule is named, and one signature is enough.
	for _, flaw := range []chaingen.Flaw{chaingen.FlawSignature, chaingen.FlawAmount} {
		bad, ok := g.Flawed(flaw)
		if !ok {
			t.Fatal("no flawed block")
		}
		n, err := c.tree.Add(headertree.Saved{Header: bad.Header}, kept{})
		if err != nil {
			t.Fatal(err)
		}
		r := begun()
		r.chain = append(c.tree.Active()[:41:41], n)
		r.read = func(m *node) (*consensus.CheckedBlock, error) {
			if m == n {
				return c.rules.CheckBlock(bad)
			}
			return c.parseStored(m)
		}
		var invalid *invalidBlock
		if err := r.run(t.Context(), 41); !errors.As(err, &invalid) || invalid.n != n || !errors.Is(err, flaw.Kind()) {
			t.Errorf("flaw %v: %v", flaw, err)
		}
	}
}

func (c *Chain) firstCoin(t *testing.T) consensus.OutPoint {
	t.Helper()
	it := c.store.db.NewIterator(coinRange, nil)
	defer it.Release()
	if !it.Next() {
		t.Fatal("no coins")
	}
	o, _ := readCoinKey(it.Key())
	return o
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func flipByte(t *testing.T, name string, at int64) {
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
