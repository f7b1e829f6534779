package mempool_test

import (
	"errors"
	"testing"

	"lode/consensus"
	"lode/mempool"
)

// TestSinceGoesOnFromAPlace: a replacement comes behind what was there, and nothing comes twice,
// unless another pool gave the place.
func TestSinceGoesOnFromAPlace(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	want := func(place string, limit int, txs ...*consensus.Tx) (next string) {
		t.Helper()
		list, next, _, err := w.pool.Since(place, limit)
		if err != nil || len(list) != len(txs) {
			t.Fatalf("%d since %s, want %d; %v", len(list), place, len(txs), err)
		}
		for i, a := range list {
			if a.TxID != txs[i].TxID() || a.Tx.TxID() != a.TxID {
				t.Fatalf("%s at %d", a.TxID, i)
			}
		}
		return next
	}
	a := w.add(t, w.pay(t, 1000, 1, coins[0]))
	b := w.add(t, w.pay(t, 1000, 1, coins[1]))
	if _, _, more, err := w.pool.Since("", 1); !more || err != nil {
		t.Errorf("more: %t, %v", more, err)
	}
	first := want("", 1, a)
	last := want(first, 10, b)
	if again := want(last, 10); again != last {
		t.Errorf("place %s without news, want %s", again, last)
	}
	c := w.add(t, w.pay(t, 9000, 1, coins[0])) // replaces a
	want(last, 10, c)
	want("", 10, b, c)
	want("another-5", 10, b, c)
	for _, place := range []string{"x", "-", "1-x", last + "0x", "another-"} {
		if _, _, _, err := w.pool.Since(place, 10); !errors.Is(err, mempool.ErrPlace) {
			t.Errorf("%q: %v", place, err)
		}
	}
}
