package mempool_test

import (
	"testing"

	"lode/consensus"
	"lode/mempool"
)

// TestSinceGoesOnFromAPlace: a replacement comes behind what was there, and nothing comes twice.
func TestSinceGoesOnFromAPlace(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	want := func(place uint64, limit int, txs ...*consensus.Tx) (last uint64) {
		t.Helper()
		list := w.pool.Since(place, limit)
		if len(list) != len(txs) {
			t.Fatalf("%d since %d, want %d", len(list), place, len(txs))
		}
		for i, a := range list {
			if a.TxID != txs[i].TxID() || a.Tx.TxID() != a.TxID {
				t.Fatalf("%s at %d", a.TxID, i)
			}
			last = a.Place
		}
		return last
	}
	a := w.add(t, w.pay(t, 1000, 1, coins[0]))
	b := w.add(t, w.pay(t, 1000, 1, coins[1]))
	first := want(0, 1, a)
	last := want(first, 10, b)
	want(last, 10)
	c := w.add(t, w.pay(t, 9000, 1, coins[0])) // replaces a
	want(last, 10, c)
	want(0, 10, b, c)
}
