package mempool_test

import (
	"slices"
	"testing"

	"lode/consensus"
	"lode/mempool"
)

// What comes back from a block that does not count any more is announced once:
// the pools of those who never had that block lack it. What was in the pool
// before, and goes through the same, is not.
func TestReturnedIsAnnounced(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	parent := w.outputs(w.pay(t, 1000, 1, coins[0]))
	child := w.pay(t, 1000, 1, first(parent))
	w.add(t, parent)
	w.confirm(t, parent)
	w.add(t, child)
	var announced []consensus.Hash
	w.pool.OnAccept(func(_ *consensus.Tx, txid, _ consensus.Hash, _ int64) {
		w.pool.Info(txid) // no lock is held
		announced = append(announced, txid)
	})
	w.reorg(t, 1)
	for range 2 {
		if err := w.pool.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(announced, []consensus.Hash{parent.TxID()}) {
		t.Errorf("announced %v, want %v", announced, parent.TxID())
	}
	if n := w.pool.Stats().Count; n != 2 {
		t.Errorf("%d transactions", n)
	}
}
