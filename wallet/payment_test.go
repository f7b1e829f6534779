package wallet

import (
	"errors"
	"testing"

	"lode/consensus"
)

// manyCoins gives a wallet coins that one transaction cannot spend at once.
func manyCoins(t *testing.T, count int) (*simNode, *Wallet) {
	t.Helper()
	n, w := funded(t, 2)
	key := w.testKey(t, KeyPath{0, 1})
	for count > 0 {
		some := min(count, MaxPayees*3/4)
		count -= some
		p := Payment{Rate: 1000}
		for range some {
			p.Payees = append(p.Payees, Payee{key, 2000})
		}
		_, tx := w.testPay(t, n, p)
		n.mine(stranger, tx)
		w.testSync(t, n)
	}
	return n, w
}

// TestAllInSeveralTransactions: all goes, whatever the number of coins, in as few
// transactions as nodes relay, of which none is in the way of another.
func TestAllInSeveralTransactions(t *testing.T) {
	_, w := manyCoins(t, 2000)
	p := Payment{Payees: []Payee{{To: stranger}}, All: true, Rate: 1000}
	if _, err := w.Draft(p); !errors.Is(err, ErrTooManyCoin) {
		t.Errorf("in one transaction: %v", err)
	}
	list, err := w.Drafts(p)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d drafts, %v", len(list), err)
	}
	var all, fees, amount consensus.Amount
	seen := make(map[consensus.OutPoint]bool)
	for _, c := range w.Coins() {
		all += c.Value
	}
	for i, d := range list {
		if d.VSize()*4 > maxTxWeight || d.Change != 0 || d.Payees[0].Amount != d.Amount || d.Fee != p.Rate.Fee(d.VSize()) {
			t.Errorf("draft %d: %d vB, %+v", i, d.VSize(), d.Payees)
		}
		fees, amount = fees+d.Fee, amount+d.Amount
		for _, c := range d.Spends {
			if seen[c.OutPoint] {
				t.Fatalf("coin %s is spent twice", c.OutPoint)
			}
			seen[c.OutPoint] = true
		}
	}
	if len(seen) != len(w.Coins()) || fees+amount != all {
		t.Errorf("%d coins of %d; %s paid and %s fees of %s", len(seen), len(w.Coins()), amount, fees, all)
	}
	if d := list[0].Amount - list[1].Amount; d < -50*coin || d > 50*coin {
		t.Errorf("they are of unlike worth: %s and %s", list[0].Amount, list[1].Amount)
	}
	if err := w.Commit(list[1], list[1].Tx); err != nil {
		t.Fatal(err)
	}
	if err := w.stillFits(list[0]); err != nil {
		t.Errorf("the other does not fit any more: %v", err)
	}
	// Few coins are paid in one.
	p.From = []consensus.OutPoint{list[0].Spends[0].OutPoint, list[0].Spends[1].OutPoint}
	if list, err := w.Drafts(p); err != nil || len(list) != 1 || len(list[0].Spends) != 2 {
		t.Errorf("of two coins: %d drafts, %v", len(list), err)
	}
}

// TestFeeIsBorneBySome: the fee comes out of the payees that are named, and none is
// left with dust.
func TestFeeIsBorneBySome(t *testing.T) {
	_, w := funded(t, 1)
	p := Payment{Payees: []Payee{{stranger, coin}, {stranger, 2 * coin}, {stranger, 400}}, Rate: 1000, SubtractFee: true}
	if _, err := w.Draft(p); !errors.Is(err, ErrDust) {
		t.Errorf("dust is left: %v", err)
	}
	p.SubtractFrom = []int{1, 0}
	d, err := w.Draft(p)
	if err != nil {
		t.Fatal(err)
	}
	half := d.Fee / 2
	if d.Payees[0].Amount != coin-half || d.Payees[1].Amount != 2*coin-half-d.Fee%2 || d.Payees[2].Amount != 400 || d.Amount != 3*coin+400-d.Fee {
		t.Errorf("a fee of %s is borne as %+v", d.Fee, d.Payees)
	}
	for i, at := range d.outputs {
		if d.Tx.Out[at].Value != d.Payees[i].Amount {
			t.Errorf("payee %d is said to get %s and gets %s", i, d.Payees[i].Amount, d.Tx.Out[at].Value)
		}
	}
	p.SubtractFrom = []int{3}
	if _, err := w.Draft(p); err == nil {
		t.Error("a payee that there is not bears the fee")
	}
}

// TestNamedCoinsAndOthers: coins that are named are spent, and others only if they
// may be added and are needed.
func TestNamedCoinsAndOthers(t *testing.T) {
	_, w := funded(t, 3)
	named := []consensus.OutPoint{w.Coins()[1].OutPoint}
	p := Payment{Payees: []Payee{{stranger, 70 * coin}}, Rate: 1000, From: named}
	if _, err := w.Draft(p); !errors.Is(err, ErrFunds) {
		t.Errorf("without others: %v", err)
	}
	p.AddCoins = true
	for amount, want := range map[consensus.Amount]int{10 * coin: 1, 70 * coin: 2, 120 * coin: 3} {
		p.Payees[0].Amount = amount
		d, err := w.Draft(p)
		if err != nil || len(d.Spends) != want || d.Change != consensus.Amount(want)*50*coin-amount-d.Fee {
			t.Fatalf("%s: %+v, %v", amount, d, err)
		}
		found := 0
		for _, c := range d.Spends {
			if c.OutPoint == named[0] {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s: the named coin is spent %d times", amount, found)
		}
	}
	p.Payees[0].Amount = 150 * coin
	if _, err := w.Draft(p); !errors.Is(err, ErrFunds) {
		t.Errorf("more than there is: %v", err)
	}
}
