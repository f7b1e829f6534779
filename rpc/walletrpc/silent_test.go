package walletrpc

import (
	"context"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
	"lode/testnet/chaingen"
	"lode/wallet/silent"
)

// TestSilentNode asks the node of the same process for what finds silent payments, with an index
// and without one.
func TestSilentNode(t *testing.T) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []bool{false, true} {
		c, err := chain.Open(t.Context(), chain.Config{Dir: t.TempDir(), Spec: spec, SilentIndex: kept})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		g := chaingen.New(&spec.Rules, chaingen.Params{Seed: 3, Txs: 3, Inputs: 2, Outputs: 2, Fee: 1000})
		for _, b := range g.Extend(104) {
			if err := c.AddBlock(b); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.RunIndexes(ctx) }()
		for ready := !kept; !ready; {
			if ready, err = c.IndexReady(ctx, chain.SilentIndex); err != nil {
				t.Fatal(err)
			}
		}
		n := &localNode{c, mempool.New(mempool.Config{Ledger: c}), nil}
		blocks, ok, err := n.SilentBlocks(ctx, 102, 10)
		if err != nil || ok != kept || kept && (len(blocks) != 3 || blocks[0].Prev != g.Blocks[101].Header.Hash() || blocks[2].Hash != c.Tip().Hash) {
			t.Fatalf("index %t: %d blocks, %t, %v", kept, len(blocks), ok, err)
		}
		total := 0
		for i, b := range blocks {
			total += len(b.Txs)
			spent, err := c.Spent(b.Hash)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for _, tx := range g.Blocks[102+i].Txs[1:] {
				tweak, can := silent.TweakOf(tx, spent[:len(tx.In)])
				if spent = spent[len(tx.In):]; !can {
					continue
				}
				if at >= len(b.Txs) || b.Txs[at].Tweak != tweak || len(b.Txs[at].Outputs) != len(silent.OutputKeys(tx)) {
					t.Fatalf("block %d: transaction %d", b.Height, at)
				}
				at++
			}
			if at != len(b.Txs) {
				t.Fatalf("block %d: %d transactions, want %d", b.Height, len(b.Txs), at)
			}
		}
		if kept && total == 0 {
			t.Fatal("no transactions")
		}
		if page, ok, err := n.SilentPool(ctx, "gibberish"); err != nil || ok != kept || len(page.Txs) > 0 {
			t.Fatalf("index %t: %+v, %t, %v", kept, page, ok, err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}
