package wallet

import (
	"slices"
	"testing"
)

// TestManyPaymentsAreLookedAtInParts: what is found by several goroutines, each in its part of a
// long journal, is what one finds alone, in the same order.
func TestManyPaymentsAreLookedAtInParts(t *testing.T) {
	const payments = 9_000 // more than are worth a second part
	files := benchWallet(t, payments)
	w, err := Open(t.Context(), files, spec(t, "regtest"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if n := len(slices.Collect(slices.Chunk(w.journal.list, 4096))); n < 2 || len(w.journal.list) != payments {
		t.Fatalf("%d records in %d parts", len(w.journal.list), n)
	}
	coins := w.Coins()
	if len(coins) != 1 || w.Balance().Confirmed != coins[0].Value {
		t.Fatalf("%d coins, balance %+v", len(coins), w.Balance())
	}
	// Every second payment is given up: the coins before it are free again, all over the list.
	for i, r := range w.journal.list {
		if i%2 == 1 {
			r.block, r.abandoned = blockRef{}, true
		}
	}
	w.stale = true
	w.refresh()
	alone := w.unspent(w.journal.list)
	if len(alone) < payments/4 {
		t.Fatalf("only %d coins", len(alone))
	}
	got := slices.Concat(inParts(w.journal.list, w.unspent)...)
	same := func(a, b unspentOutput) bool { return a.r == b.r && a.ownOutput == b.ownOutput }
	if !slices.EqualFunc(got, alone, same) {
		t.Errorf("%d coins in parts, %d alone, or in another order", len(got), len(alone))
	}
}
