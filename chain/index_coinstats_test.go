package chain

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"lode/consensus"
	"lode/consensus/sigcheck"
)

// checkCoinStats compares the record of each block up to one with the coins that an
// undisturbed ledger has after it.
func checkCoinStats(t *testing.T, c *Chain, tip *piece) {
	t.Helper()
	replay, err := Open(context.Background(), Config{Dir: "/replay", Spec: testSpec, Sigs: sigcheck.New(0), disk: newFaultDisk(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer replay.Close()
	lost := testSpec.Rules.Subsidy(0)
	for _, p := range tip.path() {
		if err := replay.AddBlock(p.block); err != nil {
			t.Fatal(err)
		}
		want, err := replay.UTXOMuHash(context.Background())
		if err != nil || want.Tip != p.hash {
			t.Fatal(err, want)
		}
		got, err := c.CoinStats(p.hash)
		if err != nil {
			t.Fatalf("block %d: %v", want.Height, err)
		}
		a := got.Block
		if subsidy := testSpec.Rules.Subsidy(want.Height); a.Spent+subsidy != a.Coinbase+a.Outputs+a.Lost() {
			t.Fatalf("block %d does not add up: %+v", want.Height, a)
		}
		lost += a.Lost()
		if got.MuHash != want.Hash || got.Coins != want.Coins || got.BogoSize != want.BogoSize || got.Total != want.Total || got.Lost != lost {
			t.Fatalf("block %d: %+v, want %+v and %d lost", want.Height, got, want, lost)
		}
	}
}

// TestCoinStatsIndexIsWhatTheCoinsAre has branches outgrow each other, with the index now and
// then behind, killed, and resumed: it says of every block of the active chain what the coins
// were after it, and goes on to say so of blocks that it took back.
func TestCoinStatsIndexIsWhatTheCoinsAre(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 3072))
		base := t.TempDir()
		cfg := Config{Dir: filepath.Join(base, "a"), Spec: testSpec, CoinStatsIndex: true}
		c := openIndexedWith(t, cfg)
		w := newWorld(seed)
		seen := make(map[consensus.Hash]bool) // tips that the index has had
		for i, p := range w.pieces {
			if err := c.AddBlock(p.block); err != nil && p.valid {
				t.Fatal(err)
			}
			switch random.IntN(12) {
			case 0:
				mustClose(t, c)
				c = openIndexedWith(t, cfg)
			case 1:
				c = killIndexed(t, c, &cfg, filepath.Join(base, "killed"+string(rune('a'+i))))
			}
			steps := []int{0, 1, 1000}[random.IntN(3)]
			if catchUp(t, c, steps); steps == 1000 {
				seen[c.Tip().Hash] = true
			}
		}
		catchUp(t, c, 1000)
		seen[c.Tip().Hash] = true
		for hash := range seen {
			checkCoinStats(t, c, w.byHash[hash])
		}
		mustClose(t, c)
	}
}

// TestCoinStatsIndexIsRemovedAndRefused: a block that it has not had is not found, a damaged
// record and a set that belongs to other coins are fatal, pruning is refused, and without its
// flag nothing of it is left.
func TestCoinStatsIndexIsRemovedAndRefused(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), Spec: testSpec, CoinStatsIndex: true}
	c := openIndexedWith(t, cfg)
	w := newWorld(1)
	add := func(pieces []*piece) {
		for _, p := range pieces {
			if err := c.AddBlock(p.block); err != nil && p.valid {
				t.Fatal(err)
			}
		}
	}
	add(w.pieces[:3])
	tip := c.Tip().Hash
	if _, err := c.CoinStats(tip); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrFatal) {
		t.Errorf("before it is built: %v", err)
	}
	catchUp(t, c, 1000)
	checkCoinStats(t, c, w.byHash[tip])
	genesis := testSpec.Rules.GenesisState()
	if s, err := c.CoinStats(genesis.Hash); err != nil || s.Coins != 0 || s.Block.Lost() != testSpec.Rules.Subsidy(0) {
		t.Errorf("genesis: %+v, %v", s, err)
	}
	c.Close()

	refused, err := Open(context.Background(), Config{Dir: t.TempDir(), Spec: testSpec, Prune: PruneByHand, CoinStatsIndex: true})
	if err == nil {
		refused.Close()
		t.Error("pruned and indexed")
	}
	cfg.CoinStatsIndex = false
	if c, err = Open(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := c.RunIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := countEntries(t, c, keyIndex, keyCoinStats, keyCoinSet); left > 0 {
		t.Errorf("%d entries are left", left)
	}
	if _, err := c.CoinStats(tip); !errors.Is(err, ErrNoIndex) {
		t.Errorf("without an index: %v", err)
	}
	c.Close()

	for name, damage := range map[string]func(*Chain) error{
		"record": func(c *Chain) error { return c.store.db.Put(coinStatsKey(tip), []byte{2, 3}, nil) },
		"set":    func(c *Chain) error { return c.store.db.Put([]byte{keyCoinSet}, make([]byte, muHashBytes), nil) },
	} {
		cfg := Config{Dir: t.TempDir(), Spec: testSpec, CoinStatsIndex: true}
		c = openIndexedWith(t, cfg)
		add(w.pieces[:3])
		catchUp(t, c, 1000)
		if err := damage(c); err != nil {
			t.Fatal(err)
		}
		add(w.pieces[3:])
		if _, err := keptIndexes(c)[0].step(); !errors.Is(err, ErrFatal) {
			t.Errorf("a damaged %s: %v", name, err)
		}
		c.Close()
	}
}

// TestMuHashTakesOut: what was put in and taken out again leaves no trace, in whatever order,
// and a number that was saved goes on where it was.
func TestMuHashTakesOut(t *testing.T) {
	t.Parallel()
	h, want := newMuHash(), newMuHash()
	for i := range byte(20) {
		h.remove([]byte{i, 1}) // before it is put in
		h.add([]byte{i})
		want.add([]byte{i})
	}
	h = readMuHash(h.normalize())
	for i := range byte(20) {
		h.add([]byte{i, 1})
	}
	if number := h.normalize(); !bytes.Equal(number, want.normalize()) || len(number) != muHashBytes {
		t.Errorf("%x", number)
	}
	if slices.ContainsFunc([]*muHash{newMuHash(), readMuHash(make([]byte, muHashBytes))}, func(o *muHash) bool { return o.sum() == h.sum() }) {
		t.Error("other sets have the same hash")
	}
}
