package chain

import (
	"context"
	"testing"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// wantTxCount compares the count of a chain with the sum over its blocks.
func wantTxCount(t *testing.T, c *Chain, hash consensus.Hash, want uint64) {
	t.Helper()
	got, ok, err := c.TxCount(context.Background(), hash)
	if err != nil || !ok || got != want {
		t.Fatalf("%d transactions (%v, %v), want %d", got, ok, err, want)
	}
}

func txsOf(blocks []*consensus.Block) uint64 {
	sum := uint64(1) // genesis
	for _, b := range blocks {
		sum += uint64(len(b.Txs))
	}
	return sum
}

// forgetCounts makes the records what they were before they had counts.
func forgetCounts(c *Chain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.tree.All() {
		n.Own.txs, n.Own.status = 0, n.Own.status&^statusCounted
		c.changed(n)
	}
	c.txSums.Clear()
}

// A ledger from before transactions were counted counts them once, and remembers.
func TestTxCountOfAnOlderLedger(t *testing.T) {
	dir := t.TempDir()
	blocks := newGenerator().Extend(130)
	tip := blocks[len(blocks)-1].Header.Hash()
	c := openPruned(t, dir, 0, nil)
	addAll(t, c, blocks)
	wantTxCount(t, c, tip, txsOf(blocks))
	wantTxCount(t, c, blocks[99].Header.Hash(), txsOf(blocks[:100]))
	forgetCounts(c)
	mustClose(t, c)

	c = openPruned(t, dir, 0, nil)
	if _, done, missing := c.sumTxs(tip); done || len(missing) != len(blocks) {
		t.Fatalf("the records of before: %v, %d missing", done, len(missing))
	}
	wantTxCount(t, c, tip, txsOf(blocks))
	mustClose(t, c)
	c = openPruned(t, dir, 0, nil)
	defer mustClose(t, c)
	if _, done, _ := c.sumTxs(tip); !done {
		t.Error("what was counted is not on record")
	}
	if _, ok, err := c.TxCount(context.Background(), consensus.Hash{1}); ok || err != nil {
		t.Errorf("a block that is not there: %v, %v", ok, err)
	}
}

// Blocks that were counted stay counted when they are pruned; of others nothing is
// known then.
func TestTxCountOfAPrunedLedger(t *testing.T) {
	dir := t.TempDir()
	blocks := newGenerator().Extend(600)
	tip := blocks[len(blocks)-1].Header.Hash()
	c := openPruned(t, dir, PruneByHand, nil)
	addAll(t, c, blocks)
	if err := c.PruneTo(200); err != nil {
		t.Fatal(err)
	}
	if c.Pruning().Height == 0 {
		t.Fatal("nothing was pruned")
	}
	wantTxCount(t, c, tip, txsOf(blocks))
	forgetCounts(c)
	if count, ok, err := c.TxCount(context.Background(), tip); ok || err != nil {
		t.Errorf("%d transactions, though blocks are gone (%v)", count, err)
	}
	mustClose(t, c)
}

// Branches share what was summed up below their fork, and nothing above it.
func TestTxCountOfBranches(t *testing.T) {
	blocks := newGenerator().Extend(130)
	fork := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 5, Txs: 3, Outputs: 2, Fee: 1000})
	branch := fork.Extend(140)
	c := openPruned(t, t.TempDir(), 0, nil)
	defer mustClose(t, c)
	addAll(t, c, blocks)
	addAll(t, c, branch)
	for range 2 {
		for _, list := range [][]*consensus.Block{blocks, branch, blocks[:1], blocks[:64], branch[:64]} {
			wantTxCount(t, c, list[len(list)-1].Header.Hash(), txsOf(list))
		}
	}
	if txsOf(blocks) == txsOf(branch[:130]) {
		t.Error("both branches have as many transactions, so that this shows nothing")
	}
}
