package wallet

import (
	"errors"
	"testing"

	"lode/consensus"
)

// TestLockedCoinIsNotSpent, also by a wallet that was opened anew.
func TestLockedCoinIsNotSpent(t *testing.T) {
	n, w := funded(t, 2)
	coins := w.Coins()
	if err := w.Lock(coins[0].OutPoint); err != nil {
		t.Fatal(err)
	}
	if err := w.Lock(consensus.OutPoint{Index: 7}); !errors.Is(err, ErrNoCoin) {
		t.Errorf("a coin that is not there: %v", err)
	}
	if err := w.Release(); err != nil {
		t.Fatal(err)
	}
	if err := w.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := w.Balance(); b.Locked != 50*coin || b.Spendable != 50*coin || b.Confirmed != 100*coin {
		t.Errorf("balance %+v", b)
	}
	if _, err := w.Draft(Payment{Payees: []Payee{{stranger, 60 * coin}}, Rate: 1000}); !errors.Is(err, ErrFunds) {
		t.Errorf("a locked coin was spent: %v", err)
	}
	d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 1000})
	if err != nil || d.Spends[0].OutPoint != coins[1].OutPoint {
		t.Fatalf("%+v, %v", d, err)
	}
	if !w.Unlock(coins[0].OutPoint) || w.Unlock(coins[0].OutPoint) {
		t.Error("unlocking says the wrong thing")
	}
	w.testPay(t, n, Payment{Payees: []Payee{{stranger, 60 * coin}}})
}

// TestAbandon: a payment that the node does not have is given up, with what
// builds on it; one that it has, or that a block holds, is not.
func TestAbandon(t *testing.T) {
	n, w := funded(t, 1)
	_, first := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	w.testSync(t, n)
	_, second := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	w.testSync(t, n)
	if err := w.Abandon(first.TxID()); !errors.Is(err, ErrSettled) {
		t.Errorf("one that the node has: %v", err)
	}
	if err := w.Abandon(consensus.Hash{1}); !errors.Is(err, ErrNoPayment) {
		t.Errorf("one that never was: %v", err)
	}
	n.pool, n.deaf = nil, ErrRefused
	w.testSync(t, n)
	if err := w.Abandon(first.TxID()); err != nil {
		t.Fatal(err)
	}
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
	for _, e := range w.History()[1:] {
		if e.State != StateAbandoned {
			t.Errorf("%+v", e)
		}
	}
	n.deaf = nil
	w.testSync(t, n)
	if len(n.pool) != 0 {
		t.Errorf("it was sent again: %v", n.pool)
	}
	// Somebody has kept it, and it is in a block after all.
	n.mine(stranger, first)
	w.testSync(t, n)
	if h := w.History(); h[1].State != StateConfirmed || h[2].State != StatePending || h[2].TxID != second.TxID() {
		t.Errorf("history %+v", h)
	}
	if err := w.Abandon(first.TxID()); !errors.Is(err, ErrSettled) {
		t.Errorf("one in a block: %v", err)
	}
}
