package wallet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// PoolFacts tells of the mempool of a node in memory.
func (n *simNode) PoolFacts(_ context.Context, ids []consensus.Hash) (PoolFacts, error) {
	n.call("facts")
	f := PoolFacts{Least: 100, Increment: 100, Entries: make(map[consensus.Hash]PoolEntry)}
	byID := make(map[consensus.Hash]*consensus.Tx)
	for _, tx := range n.pool {
		byID[tx.TxID()] = tx
	}
	for queue := slices.Clone(ids); len(queue) > 0; queue = queue[1:] {
		tx := byID[queue[0]]
		if tx == nil {
			continue
		}
		fee, err := n.fee(n.pool[:slices.Index(n.pool, tx)], tx)
		if err != nil {
			return f, err
		}
		e := PoolEntry{VSize: tx.VSize(), Fee: fee}
		for i := range tx.In {
			if id := tx.In[i].PrevOut.TxID; byID[id] != nil {
				e.Parents = append(e.Parents, id)
				queue = append(queue, id)
			}
		}
		for _, other := range n.pool {
			if slices.ContainsFunc(other.In, func(in consensus.TxIn) bool { return in.PrevOut.TxID == queue[0] }) {
				e.Descendants++
			}
		}
		f.Entries[queue[0]] = e
	}
	return f, nil
}

// testPlan plans what b says, with what the node knows.
func (w *Wallet) testPlan(t *testing.T, n *simNode, b Bump) (*Draft, error) {
	t.Helper()
	var err error
	if b.Pool, err = n.PoolFacts(t.Context(), w.BumpQuery(b.TxID)); err != nil {
		t.Fatal(err)
	}
	return w.PlanBump(b)
}

// testBump plans, signs and sends it.
func (w *Wallet) testBump(t *testing.T, n *simNode, b Bump) (*Draft, *consensus.Tx) {
	t.Helper()
	d, err := w.testPlan(t, n, b)
	if err != nil {
		t.Fatal(err)
	}
	return d, w.testDeliver(t, n, d)
}

func (w *Wallet) testDeliver(t *testing.T, n *simNode, d *Draft) *consensus.Tx {
	t.Helper()
	tx, err := w.Sign(d, w.testSecret(t))
	if err == nil {
		err = w.Commit(d, tx)
	}
	if err == nil {
		err = n.Send(t.Context(), tx)
	}
	if err == nil {
		err = w.Sent(tx.TxID())
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// states gives the states of all payments that the wallet has made, in order.
func states(w *Wallet) (list []State) {
	for _, e := range w.History() {
		if e.Kind == KindSent || e.Kind == KindSelf {
			list = append(list, e.State)
		}
	}
	return list
}

// TestBumpIsConfirmedOnce hastens a payment twice, by the least that makes sense
// and by a rate; the payee gets the same, out of the change, and once.
func TestBumpIsConfirmedOnce(t *testing.T) {
	n, w := funded(t, 2)
	first, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 10 * coin}}, Data: [][]byte{{7}}})
	w.docDirty = w.doc.setLabel(labelTx, tx.TxID().String(), "rent")
	d, second := w.testBump(t, n, Bump{TxID: tx.TxID(), Kind: DraftBump})
	least := FeeRate(int64(first.Fee)*1000/int64(tx.VSize())) + 1 + stepRate
	if want := least.Fee(tx.VSize()); d.Fee != want || d.Change != first.Change-(d.Fee-first.Fee) || d.changeKey != first.changeKey {
		t.Errorf("fee %s, want %s; change %s after %s, to key %v after %v", d.Fee, want, d.Change, first.Change, d.changeKey, first.changeKey)
	}
	w.testSync(t, n)
	if got, want := states(w), []State{StateReplaced, StateReplaced, StatePending, StatePending}; !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want) // two outputs each
	}
	d, third := w.testBump(t, n, Bump{TxID: second.TxID(), Kind: DraftBump, Rate: 20_000})
	if want := FeeRate(20_000).Fee(third.VSize()); d.Fee != want || len(third.In) != 1 {
		t.Errorf("fee %s, want %s, with %d inputs", d.Fee, want, len(third.In))
	}
	w.testSync(t, n)
	if len(n.pool) != 1 {
		t.Fatalf("%d payments are in the mempool", len(n.pool))
	}
	n.mine(stranger, n.pool...)
	w.testSync(t, n)
	rest := 100*coin - 10*coin - d.Fee
	wantBalance(t, w, Balance{Confirmed: rest, Spendable: rest})
	var counted int
	for _, e := range w.History() {
		if e.Kind == KindSent && e.State == StateConfirmed && e.Address != "" {
			counted++
			if e.TxID != third.TxID() || e.Amount != -10*coin || e.Label != "rent" || len(e.Replaces) != 2 {
				t.Errorf("entry %+v", e)
			}
		} else if e.Kind == KindSent && e.Address != "" && (e.State != StateConflicted || *e.By != third.TxID()) {
			t.Errorf("entry of what was replaced: %+v", e)
		}
	}
	if counted != 1 {
		t.Errorf("the payment counts %d times", counted)
	}
}

// TestBumpAddsCoins: where the change does not suffice, more is spent, and where
// there is no more, the payee bears it or nothing happens.
func TestBumpAddsCoins(t *testing.T) {
	n, w := funded(t, 2)
	_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 50*coin - 1000}}})
	if len(tx.Out) != 2 && len(tx.Out) != 1 {
		t.Fatal(tx)
	}
	d, tx := w.testBump(t, n, Bump{TxID: tx.TxID(), Kind: DraftBump, Rate: 50_000})
	if len(tx.In) != 2 || d.Fee != FeeRate(50_000).Fee(tx.VSize()) || d.Change == 0 || d.Amount != 50*coin-1000 {
		t.Errorf("%d inputs, fee %s, change %s", len(tx.In), d.Fee, d.Change)
	}

	n, w = funded(t, 2)
	_, tx = w.testPay(t, n, Payment{Payees: []Payee{{To: stranger}}, All: true})
	b := Bump{TxID: tx.TxID(), Kind: DraftBump, Rate: 50_000}
	if _, err := w.testPlan(t, n, b); !errors.Is(err, ErrFunds) || !strings.Contains(err.Error(), "bear the fee") {
		t.Errorf("without more coins: %v", err)
	}
	b.SubtractFee = true
	d, tx = w.testBump(t, n, b)
	if len(tx.Out) != 1 || d.Amount != 100*coin-d.Fee || d.Payees[0].Amount != d.Amount || d.Fee != FeeRate(50_000).Fee(tx.VSize()) {
		t.Errorf("the payee bears it: %+v", d)
	}
}

// TestBumpRefused: what is no payment that waits, what would take something else
// away, and what nodes would not take.
func TestBumpRefused(t *testing.T) {
	n, w := funded(t, 3)
	_, done := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	n.mine(stranger, done)
	w.testSync(t, n)
	_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 120 * coin}}})
	id := tx.TxID()
	refuse := func(name string, b Bump, kind error, text string) {
		t.Helper()
		if b.Kind == 0 {
			b.Kind = DraftBump
		}
		if d, err := w.testPlan(t, n, b); !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %+v, %v; want %q", name, d, err, text)
		}
	}
	refuse("unknown", Bump{TxID: consensus.Hash{1}}, ErrNoPayment, "")
	refuse("confirmed", Bump{TxID: done.TxID()}, ErrBump, "block 104 holds it")
	refuse("a child of it", Bump{TxID: done.TxID(), Kind: DraftChild}, ErrBump, "block 104 holds it")
	refuse("below what the node takes", Bump{TxID: id, Rate: 99}, ErrBump, "nothing below 0.1 sat/vB")
	refuse("no more than before", Bump{TxID: id, Rate: 1000}, ErrBump, "ask for 1.1")
	if d, err := w.testPlan(t, n, Bump{TxID: id, Kind: DraftBump, Rate: 1101}); err != nil {
		t.Errorf("at the rate that was named: %+v, %v", d, err)
	}
	if d, err := w.testPlan(t, n, Bump{TxID: id, Kind: DraftBump, Rate: maxFeeRate + 1}); err == nil {
		t.Errorf("at an absurd rate: %+v", d)
	}

	// A payment from the change hangs on it.
	_, child := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	refuse("spent by the wallet", Bump{TxID: id}, ErrBump, "hasten that one")
	refuse("cancelled", Bump{TxID: id, Kind: DraftCancel}, ErrBump, "hasten that one")
	n.pool = slices.DeleteFunc(n.pool, func(tx *consensus.Tx) bool { return tx.TxID() == child.TxID() })
	w.testSync(t, n)
	n.pool = slices.DeleteFunc(n.pool, func(tx *consensus.Tx) bool { return tx.TxID() == child.TxID() })
	w.journal.byID.of(child.TxID()).pooled = false
	if err := w.Abandon(child.TxID()); err != nil {
		t.Fatal(err)
	}
	refuse("given up", Bump{TxID: child.TxID()}, ErrBump, "given up")
	b := Bump{TxID: id, Kind: DraftBump}
	b.Pool, _ = n.PoolFacts(t.Context(), w.BumpQuery(id))
	e := b.Pool.Entries[id]
	e.Descendants = 2
	b.Pool.Entries[id] = e
	if _, err := w.PlanBump(b); !errors.Is(err, ErrBump) || !strings.Contains(err.Error(), "others have spent") {
		t.Errorf("spent by others: %v", err)
	}
	_, better := w.testBump(t, n, Bump{TxID: id, Kind: DraftBump})
	refuse("replaced", Bump{TxID: id}, ErrBump, better.TxID().String()+" has replaced it")
}

// TestBumpOfAJointPayment: what others have paid for too is not to be replaced.
func TestBumpOfAJointPayment(t *testing.T) {
	n, alice := funded(t, 1)
	bob := newTestWallet(t, words(t))
	n.mine(bob.testKey(t, KeyPath{0, 0}))
	n.mineMany(100, stranger)
	bob.testSync(t, n)
	alice.testSync(t, n)
	a, b := alice.Coins()[0], bob.Coins()[0]
	joint := &consensus.Tx{Version: 2, In: []consensus.TxIn{{PrevOut: a.OutPoint, Witness: [][]byte{make([]byte, 64)}}, {PrevOut: b.OutPoint, Witness: [][]byte{make([]byte, 64)}}},
		Out: []consensus.TxOut{{Value: 99 * coin, Script: consensus.TaprootScript(stranger)}}}
	n.pool = append(n.pool, joint)
	alice.testSync(t, n)
	if _, err := alice.testPlan(t, n, Bump{TxID: joint.TxID(), Kind: DraftBump}); !errors.Is(err, ErrBump) || !strings.Contains(err.Error(), "others have paid for it too") {
		t.Errorf("%v", err)
	}
}

// TestCancel takes a payment back: nobody is paid, and it is said what replaced it.
func TestCancel(t *testing.T) {
	n, w := funded(t, 1)
	first, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 10 * coin}}})
	d, instead := w.testBump(t, n, Bump{TxID: tx.TxID(), Kind: DraftCancel})
	if len(instead.Out) != 1 || d.Change != 50*coin-d.Fee || d.Amount != d.Change || len(d.Payees) != 0 || d.Fee < first.Fee+FeeRate(100).Fee(instead.VSize()) {
		t.Errorf("%+v", d)
	}
	w.testSync(t, n)
	n.mine(stranger, n.pool...)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Confirmed: d.Change, Spendable: d.Change})
	if got := states(w); !slices.Equal(got, []State{StateConfirmed, StateConflicted}) {
		t.Errorf("states %v", got)
	}
	// At a rate that would pay less than before, it pays what nodes want.
	n, w = funded(t, 1)
	_, tx = w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}, {stranger, coin}, {stranger, coin}}})
	d, _ = w.testBump(t, n, Bump{TxID: tx.TxID(), Kind: DraftCancel, Rate: 1001})
	if want := FeeRate(1000).Fee(tx.VSize()) + FeeRate(100).Fee(d.VSize()); d.Fee != want {
		t.Errorf("fee %s, want %s", d.Fee, want)
	}
}

// TestChildPaysForParent: what a payment to the wallet, or its own change, makes is
// spent at a rate that makes up for all that it builds on.
func TestChildPaysForParent(t *testing.T) {
	for name, incoming := range map[string]bool{"own change": false, "paid by others": true} {
		n, alice := funded(t, 2)
		bob := newTestWallet(t, words(t))
		to, who := stranger, alice
		if incoming {
			to, who = bob.testKey(t, KeyPath{0, 0}), bob
		}
		_, first := alice.testPay(t, n, Payment{Payees: []Payee{{to, coin}}})
		tx := first
		if !incoming { // a chain of two
			_, tx = alice.testPay(t, n, Payment{Payees: []Payee{{to, coin}}, From: []consensus.OutPoint{changeOut(alice, first)}})
		}
		who.testSync(t, n)
		b := Bump{TxID: tx.TxID(), Kind: DraftChild, Rate: 10_000}
		d, child := who.testBump(t, n, b)
		size, fee := child.VSize(), d.Fee
		for i, before := range n.pool[:len(n.pool)-1] {
			f, err := n.fee(n.pool[:i], before)
			if err != nil {
				t.Fatal(err)
			}
			size, fee = size+before.VSize(), fee+f
		}
		if least := FeeRate(10_000).Fee(size); fee < least || fee > least+10 {
			t.Errorf("%s: the package pays %s, want %s", name, fee, least)
		}
		who.testSync(t, n)
		if _, err := who.testPlan(t, n, Bump{TxID: child.TxID(), Kind: DraftChild, Rate: 10_000}); !errors.Is(err, ErrBump) || !strings.Contains(err.Error(), "already") {
			t.Errorf("%s: once more: %v", name, err)
		}
		n.mine(stranger, n.pool...)
		who.testSync(t, n)
		if b := who.Balance(); b.Confirmed != b.Spendable || b.Unconfirmed != 0 || incoming && b.Confirmed != d.Change {
			t.Errorf("%s: balance %+v", name, b)
		}
	}
}

func changeOut(w *Wallet, tx *consensus.Tx) consensus.OutPoint {
	return consensus.OutPoint{TxID: tx.TxID(), Index: uint32(w.changeOf(tx.Out))}
}

// TestShortfall: what is worth its rate by itself pays for nobody else.
//
//	rich   poor   poorer
//	  \    /  \    /
//	  middle   child
func TestShortfall(t *testing.T) {
	rich, poor, poorer, middle, child := consensus.Hash{1}, consensus.Hash{2}, consensus.Hash{3}, consensus.Hash{4}, consensus.Hash{5}
	f := PoolFacts{Entries: map[consensus.Hash]PoolEntry{
		rich:   {VSize: 100, Fee: 100_000},
		poor:   {VSize: 100, Fee: 100},
		poorer: {VSize: 200, Fee: 0},
		middle: {VSize: 100, Fee: 100, Parents: []consensus.Hash{rich, poor}},
		child:  {VSize: 100, Fee: 2900, Parents: []consensus.Hash{poor, poorer}},
	}}
	for _, c := range []struct {
		of   []consensus.Hash
		rate FeeRate
		want consensus.Amount
	}{
		{[]consensus.Hash{rich}, 10_000, 0},
		{[]consensus.Hash{poor}, 10_000, 900},
		{[]consensus.Hash{poor}, 1000, 0},
		{[]consensus.Hash{poor, poor}, 10_000, 900},
		{[]consensus.Hash{middle}, 10_000, 1800},     // rich is mined alone
		{[]consensus.Hash{child}, 10_000, 1000},      // 400 vB pay 3000
		{[]consensus.Hash{child}, 7500, 0},           // together they are worth it
		{[]consensus.Hash{poor, poorer}, 7500, 2150}, // without the child
		{[]consensus.Hash{{9}}, 7500, 0},
		{nil, 7500, 0},
	} {
		if got := f.shortfall(c.of, c.rate); got != c.want {
			t.Errorf("of %v at %s: %d, want %d", c.of, c.rate, got, c.want)
		}
	}
}

// TestBumpIsInterrupted: killed before the replacement left, the payment stands
// and can be hastened again; when it has left, the wallet learns that.
func TestBumpIsInterrupted(t *testing.T) {
	for _, left := range []bool{false, true} {
		n, w := funded(t, 2)
		_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 10 * coin}}})
		w.testSync(t, n)
		d, err := w.testPlan(t, n, Bump{TxID: tx.TxID(), Kind: DraftBump})
		if err != nil {
			t.Fatal(err)
		}
		better, err := w.Sign(d, w.testSecret(t))
		if err == nil {
			err = w.Commit(d, better)
		}
		if err == nil && left {
			err = n.Send(t.Context(), better)
		}
		if err == nil {
			err = w.Close()
		}
		if err == nil {
			w, err = Open(t.Context(), w.files, w.spec)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		w.testSync(t, n)
		if list := w.Interrupted(); len(list) != 0 {
			t.Errorf("left: %v; a payment would be held up by %+v", left, list)
		}
		now, want := tx, StatePending
		if left {
			now, want = better, StateReplaced
		}
		if got := verdictOf(w.verdicts, w.journal.byID.of(tx.TxID())); got.state != want {
			t.Errorf("left: %v; the payment is %v, want %v", left, got, want)
		}
		w.testBump(t, n, Bump{TxID: now.TxID(), Kind: DraftBump, Rate: 30_000})
		w.testSync(t, n)
		n.mine(stranger, n.pool...)
		w.testSync(t, n)
		if b := w.Balance(); b.Confirmed <= 89*coin || b.Confirmed >= 90*coin || b.Unconfirmed != 0 {
			t.Errorf("left: %v; balance %+v", left, b)
		}
	}
}

// sumKeys pays the sum of the keys of all inputs: it stands for silent payments.
type sumKeys struct{ calls int }

func (s *sumKeys) OutputKeys(spends []Coin, private func(int) (*btcec.PrivateKey, error)) (map[int][32]byte, error) {
	s.calls++
	var sum btcec.ModNScalar
	for i := range spends {
		key, err := private(i)
		if err != nil {
			return nil, err
		}
		sum.Add(&key.Key)
	}
	return map[int][32]byte{1: [32]byte(schnorr.SerializePubKey((&btcec.PrivateKey{Key: sum}).PubKey()))}, nil
}

// TestLateKeys: an output key that follows from the coins is that of the coins
// that are spent in the end, wherever the change stands.
func TestLateKeys(t *testing.T) {
	n, w := funded(t, 3)
	late := new(sumKeys)
	d, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}, {stranger, 2 * coin}}, Late: late, MinConf: 1})
	keys := w.newSigner(w.testSecret(t))
	want, err := new(sumKeys).OutputKeys(d.Spends, func(i int) (*btcec.PrivateKey, error) { return keys.outputPrivateKey(d.Spends[i].Key) })
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(tx.Out, func(out consensus.TxOut) bool { return out.Value == 2*coin })
	if got, _ := consensus.TaprootKey(tx.Out[at].Script); late.calls != 1 || got != want[1] || d.Payees[1].To != want[1] {
		t.Errorf("%d calls, key %x, want %x", late.calls, got, want[1])
	}
}
