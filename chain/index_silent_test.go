package chain

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"lode/consensus"
	"lode/testnet/chaingen"
	"lode/wallet/silent"
)

// tweaksOf works out anew what the index of silent payments must say of each block.
func tweaksOf(blocks []*consensus.Block) [][]SilentTweak {
	coins := make(map[consensus.OutPoint]consensus.Coin)
	lists := make([][]SilentTweak, len(blocks))
	for height, b := range blocks {
		for i, id := range b.TxIDs() {
			tx := b.Txs[i]
			var spent []consensus.Coin
			for n := range tx.In {
				spent = append(spent, coins[tx.In[n].PrevOut])
			}
			if tweak, ok := silent.TweakOf(tx, spent); ok {
				lists[height] = append(lists[height], SilentTweak{uint32(i), tweak})
			}
			for n := range tx.Out {
				key, _ := consensus.TaprootKey(tx.Out[n].Script)
				coins[consensus.OutPoint{TxID: id, Index: uint32(n)}] = consensus.Coin{Key: key}
			}
		}
	}
	return lists
}

func checkSilentIndex(t *testing.T, c *Chain, blocks []*consensus.Block) {
	t.Helper()
	entries := 0
	for height, want := range tweaksOf(blocks) {
		got, err := c.SilentTweaks(blocks[height])
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("block %d: %d tweaks, want %d: %v", height, len(got), len(want), err)
		}
		if len(blocks[height].Txs) > 1 {
			entries++
		}
	}
	if got := countEntries(t, c, keySilent); got != entries {
		t.Fatalf("%d entries, want %d", got, entries)
	}
}

// TestSilentIndexIsWhatTheBlocksSay grows random branches, with the index now and then behind,
// killed, and resumed: at the end it says what the blocks of the active chain say, and nothing
// of others.
func TestSilentIndexIsWhatTheBlocksSay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 352))
		base := t.TempDir()
		cfg := Config{Dir: filepath.Join(base, "a"), Spec: testSpec, SilentIndex: true}
		c := openIndexedWith(t, cfg)
		g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: seed, Txs: 3, Inputs: 2, Outputs: 2, Fee: 1000})
		addAll(t, c, g.Extend(3))
		for step := range 8 {
			switch random.IntN(5) {
			case 0, 1:
				addAll(t, c, g.Extend(1+random.IntN(4)))
			case 2:
				depth := 1 + random.IntN(min(5, int(g.Tip().Height)))
				g = g.Fork(g.Tip().Height-uint32(depth), uint64(step))
				addAll(t, c, g.Extend(depth+1))
			case 3:
				mustClose(t, c)
				c = openIndexedWith(t, cfg)
			case 4:
				c = killIndexed(t, c, &cfg, filepath.Join(base, "killed"+string(rune('a'+step))))
			}
			catchUp(t, c, []int{0, 1, 3, 1000}[random.IntN(4)])
		}
		catchUp(t, c, 1000)
		checkSilentIndex(t, c, g.Blocks)
		mustClose(t, c)
	}
}

// TestSilentIndexIsRemovedAndRefused: without its flag it goes, an index that is not there yet
// says so, and pruning is refused.
func TestSilentIndexIsRemovedAndRefused(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), Spec: testSpec, SilentIndex: true}
	c := openIndexedWith(t, cfg)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 1, Txs: 3, Inputs: 2, Outputs: 2, Fee: 1000})
	addAll(t, c, g.Extend(6))
	last := g.Blocks[6]
	if len(last.Txs) < 2 {
		t.Fatal("an empty block")
	}
	if _, err := c.SilentTweaks(last); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrFatal) {
		t.Errorf("before it is built: %v", err)
	}
	catchUp(t, c, 1000)
	checkSilentIndex(t, c, g.Blocks)
	if err := c.store.db.Put(silentKey(last.Header.Hash()), []byte{2, 3}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SilentTweaks(last); !errors.Is(err, ErrFatal) {
		t.Errorf("a damaged entry: %v", err)
	}
	c.Close()

	cfg.SilentIndex = false
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.RunIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := countEntries(t, c, keyIndex, keySilent); left > 0 {
		t.Errorf("%d entries are left", left)
	}
	if _, err := c.SilentTweaks(last); !errors.Is(err, ErrNoIndex) {
		t.Errorf("without an index: %v", err)
	}
	if _, err := Open(context.Background(), Config{Dir: t.TempDir(), Spec: testSpec, Prune: PruneByHand, SilentIndex: true}); err == nil {
		t.Error("pruned and indexed")
	}
}
