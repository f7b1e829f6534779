package mempool_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

// TestLostWay has a pool fall behind when the blocks that it missed are pruned, or
// one is damaged: what they contain or conflict with goes, and the rest stays.
func TestLostWay(t *testing.T) {
	t.Run("pruned", func(t *testing.T) {
		testLostWay(t, func(ledger *chain.Chain, _ string, missed uint32) {
			if err := ledger.PruneTo(ledger.Tip().Height); err != nil {
				t.Fatal(err)
			}
			if at := ledger.Pruning().Height; at < missed {
				t.Fatalf("pruned up to %d only", at)
			}
		})
	})
	t.Run("damaged", func(t *testing.T) {
		testLostWay(t, func(_ *chain.Chain, dir string, _ uint32) {
			names, err := filepath.Glob(filepath.Join(dir, "blocks", "blk*.dat"))
			if err != nil || len(names) == 0 {
				t.Fatal(names, err)
			}
			f, err := os.OpenFile(names[0], os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(make([]byte, 10_000), 1<<20); err != nil {
				t.Fatal(err)
			}
		})
	})
}

func testLostWay(t *testing.T, lose func(ledger *chain.Chain, dir string, missed uint32)) {
	w := startWorld(t, mempool.DefaultPolicy())
	dir := t.TempDir()
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: dir, Spec: generated, Sigs: w.sigs, Prune: chain.PruneByHand})
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	w.ledger = ledger
	for _, b := range w.gen.Blocks[1:] {
		w.submit(t, b)
	}
	w.pool = w.newPool()
	coins := w.coins()
	confirmed, beaten, stays := w.pay(t, 1000, 1, coins[0]), w.pay(t, 1000, 1, coins[1]), w.pay(t, 1000, 1, coins[2])
	for _, tx := range []*consensus.Tx{confirmed, beaten, stays} {
		w.add(t, w.outputs(tx))
	}
	child := w.add(t, w.pay(t, 1000, 1, first(beaten)))
	w.confirm(t, confirmed, w.pay(t, 5000, 1, coins[1]))
	missed := w.gen.Tip().Height
	from := coins[3]
	for range 20 { // more than one file of blocks
		wide := &consensus.Tx{Version: 2, In: []consensus.TxIn{{PrevOut: from, Sequence: 0xffffffff}}, Out: []consensus.TxOut{{Value: w.gen.Coins[from].Value, Script: w.gen.Script()}}}
		for range 14 {
			wide.Out = append(wide.Out, consensus.TxOut{Script: consensus.DataScript(make([]byte, 65_000))})
		}
		w.gen.Sign(wide, []consensus.Coin{w.gen.Coins[from]})
		w.confirm(t, wide)
		from = first(wide)
	}
	for range chain.KeptBlocks {
		w.confirm(t)
	}
	lose(ledger, dir, missed)
	w.check(t)
	for _, tx := range []*consensus.Tx{confirmed, beaten, child} {
		if _, in := w.pool.ByTxID(tx.TxID()); in {
			t.Errorf("%s is there", tx.TxID())
		}
	}
	if _, in := w.pool.ByTxID(stays.TxID()); !in {
		t.Error("what is valid is gone")
	}
	w.add(t, w.pay(t, 1000, 1, coins[4]))
}
