package chain

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"lode/chain/blockfilter"
	"lode/consensus"
	"lode/testnet/chaingen"
)

// filtersOf works out anew what the index of filters must say of a chain's blocks.
func filtersOf(t *testing.T, blocks []*consensus.Block) (filters [][]byte, heads []filterHead) {
	t.Helper()
	scripts := make(map[consensus.OutPoint][]byte)
	var before consensus.Hash
	for _, b := range blocks {
		var spent [][]byte
		for i, id := range b.TxIDs() {
			for n := range b.Txs[i].In {
				if script, ok := scripts[b.Txs[i].In[n].PrevOut]; ok {
					spent = append(spent, script)
				}
			}
			for n := range b.Txs[i].Out {
				scripts[consensus.OutPoint{TxID: id, Index: uint32(n)}] = b.Txs[i].Out[n].Script
			}
		}
		hash := b.Header.Hash()
		filter, err := blockfilter.Build(hash, blockfilter.Scripts(b, spent))
		if err != nil {
			t.Fatal(err)
		}
		sum := blockfilter.HashOf(filter)
		before = blockfilter.HeaderOf(sum, before)
		filters, heads = append(filters, filter), append(heads, filterHead{hash, before, sum})
	}
	return filters, heads
}

// checkFilterIndex asks for every block of a chain, and for all of them at once.
func checkFilterIndex(t *testing.T, c *Chain, blocks []*consensus.Block) {
	t.Helper()
	filters, heads := filtersOf(t, blocks)
	for i := range blocks {
		filter, header, err := c.BlockFilter(heads[i].block)
		if err != nil || !slices.Equal(filter, filters[i]) || header != heads[i].header {
			t.Fatalf("block %d: filter %x, header %s: %v", i, filter, header, err)
		}
	}
	tip := heads[len(heads)-1]
	if header, err := c.FilterHeader(tip.block); err != nil || header != tip.header {
		t.Errorf("header %s: %v", header, err)
	}
	for count := 1; count <= len(blocks); count++ {
		before, hashes, err := c.FilterHashes(tip.block, count)
		want := consensus.Hash{}
		if count < len(blocks) {
			want = heads[len(heads)-count-1].header
		}
		if err != nil || before != want || len(hashes) != count {
			t.Fatalf("%d hashes of %d, before them %s: %v", len(hashes), count, before, err)
		}
		for i, hash := range hashes {
			if hash != heads[len(heads)-count+i].hash {
				t.Fatalf("hash %d of %d is wrong", i, count)
			}
		}
	}
	if _, _, err := c.FilterHashes(tip.block, len(blocks)+1); !errors.Is(err, ErrNotFound) {
		t.Errorf("more than there are: %v", err)
	}
}

// TestFilterIndexIsWhatTheBlocksSay grows random branches, with the index now and then behind,
// killed, and resumed: at the end it has the filters of the active chain, and still those of the
// branch that was left.
func TestFilterIndexIsWhatTheBlocksSay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 158))
		base := t.TempDir()
		cfg := Config{Dir: filepath.Join(base, "a"), Spec: testSpec, FilterIndex: true}
		c := openIndexedWith(t, cfg)
		g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: seed, Txs: 3, Inputs: 2, Outputs: 2, Fee: 1000})
		addAll(t, c, g.Extend(3))
		var left []*consensus.Block // a chain that was indexed and left
		for step := range 8 {
			switch random.IntN(5) {
			case 0, 1:
				addAll(t, c, g.Extend(1+random.IntN(4)))
			case 2:
				catchUp(t, c, 1000)
				left = slices.Clone(g.Blocks)
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
		checkFilterIndex(t, c, g.Blocks)
		if left != nil {
			checkFilterIndex(t, c, left)
		}
		mustClose(t, c)
	}
}

// TestFilterIndexIsRemovedAndRefused: what is not built yet is not there, damage is found, without
// its flag it goes, and pruning is refused.
func TestFilterIndexIsRemovedAndRefused(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), Spec: testSpec, FilterIndex: true}
	c := openIndexedWith(t, cfg)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 1, Txs: 3, Inputs: 2, Outputs: 2, Fee: 1000})
	addAll(t, c, g.Extend(6))
	last := g.Blocks[6].Header.Hash()
	missing := func(why string) {
		t.Helper()
		_, _, err := c.BlockFilter(last)
		_, _, listErr := c.FilterHashes(last, 3)
		_, headErr := c.FilterHeader(last)
		for _, err := range []error{err, listErr, headErr} {
			if !errors.Is(err, ErrNotFound) || errors.Is(err, ErrFatal) {
				t.Errorf("%s: %v", why, err)
			}
		}
	}
	missing("before it is built")
	catchUp(t, c, 1)
	missing("while it is being built")
	catchUp(t, c, 1000)
	checkFilterIndex(t, c, g.Blocks)
	if _, _, err := c.BlockFilter(consensus.Hash{1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown block: %v", err)
	}
	if headers, err := c.FilterCheckpoints(last); err != nil || len(headers) > 0 {
		t.Errorf("checkpoints of a short chain: %d: %v", len(headers), err)
	}
	if err := c.store.db.Put(filterKey(keyFilter, 6, last), []byte{1, 2, 3}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.BlockFilter(last); !errors.Is(err, ErrFatal) {
		t.Errorf("a damaged filter: %v", err)
	}
	c.Close()

	cfg.FilterIndex = false
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.RunIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if entries := countEntries(t, c, keyIndex, keyFilter, keyFilterHead); entries > 0 {
		t.Errorf("%d entries are left", entries)
	}
	if _, _, err := c.BlockFilter(last); !errors.Is(err, ErrNoIndex) {
		t.Errorf("without an index: %v", err)
	}
	if _, err := Open(context.Background(), Config{Dir: t.TempDir(), Spec: testSpec, Prune: PruneByHand, FilterIndex: true}); err == nil {
		t.Error("pruned and indexed")
	}
}
