package wallet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/consensus"
)

// restored is the wallet as it comes back from its words.
func restored(t *testing.T, n *simNode, words string, gap uint32) *Wallet {
	t.Helper()
	w, err := Create(t.Context(), FilesOf(filepath.Join(t.TempDir(), "again.age")), n.spec,
		CreateOptions{Mnemonic: words, Passphrase: testPassphrase, WorkFactor: testWorkFactor, Gap: gap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	w.testSync(t, n)
	return w
}

// funded gives a node and a wallet with mature coins of 50 each.
func funded(t *testing.T, coins int) (*simNode, *Wallet) {
	t.Helper()
	n, w := newSimNode(t), newTestWallet(t, testWords)
	for range coins {
		n.mine(w.testKey(t, KeyPath{0, 0}))
	}
	n.mineMany(100, stranger)
	w.testSync(t, n)
	return n, w
}

// TestRefusedPaymentsUseNoKeys: 21 payments that the node does not take, and one
// that it does, whose change a restore finds.
func TestRefusedPaymentsUseNoKeys(t *testing.T) {
	n, w := funded(t, 1)
	n.least = 100
	for range DefaultGap + 1 {
		d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 10})
		if err != nil {
			t.Fatal(err)
		}
		tx, err := w.Sign(d, w.testSecret(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(d, tx); err != nil {
			t.Fatal(err)
		}
		if err := n.Send(t.Context(), tx); !errors.Is(err, ErrRefused) {
			t.Fatalf("the node took a fee of %s: %v", d.Fee, err)
		}
		if err := w.Refused(tx.TxID()); err != nil {
			t.Fatal(err)
		}
	}
	d, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	if d.changeKey.Index != 0 {
		t.Errorf("change key %s after refused payments", d.changeKey)
	}
	n.mine(stranger, tx)
	w.testSync(t, n)
	wantBalance(t, restored(t, n, testWords, 0), w.Balance())
}

// TestKeyPaidBeforeItWasWatched: key 38 is paid one block before 19, which alone
// brings it within the gap; with an index and without.
func TestKeyPaidBeforeItWasWatched(t *testing.T) {
	for _, index := range []bool{false, true} {
		n, w := newSimNode(t), newTestWallet(t, testWords)
		n.index = index
		n.mine(w.testKey(t, KeyPath{0, 38}))
		n.mine(w.testKey(t, KeyPath{0, 19}))
		n.mineMany(250, stranger)
		again := restored(t, n, testWords, 0)
		wantBalance(t, again, Balance{Confirmed: 100 * coin, Spendable: 100 * coin})
		if f := again.Found(); f.Coins != 2 || f.Transactions != 2 || f.LastKey != 38 {
			t.Errorf("found %+v", f)
		}
		if index && n.asked["blocks"] > 10 {
			t.Errorf("%d batches of blocks were read beside the index", n.asked["blocks"])
		}
		// Key 60 is beyond, and 59 is not. Both in one block, in the wrong order.
		n.mine(w.testKey(t, KeyPath{0, 59}))
		n.mine(w.testKey(t, KeyPath{0, 58}))
		again.testSync(t, n)
		if b := again.Balance(); b.Immature != 2*25*coin { // after the first halving
			t.Errorf("with keys 58 and 59: %+v", b)
		}
	}
}

// TestKeyPaidInTheSameBlock: the first block of all holds both, the far key first.
func TestKeyPaidInTheSameBlock(t *testing.T) {
	w := newTestWallet(t, testWords)
	n := newSimNode(t)
	pay := func(i uint32) *consensus.Tx {
		return &consensus.Tx{In: make([]consensus.TxIn, 1), Out: []consensus.TxOut{{Value: 1, Script: consensus.TaprootScript(w.testKey(t, KeyPath{0, i}))}}}
	}
	b := &consensus.Block{Header: consensus.Header{Prev: n.tip().hash}, Txs: []*consensus.Tx{pay(55), pay(36), pay(17)}}
	b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs())
	at := simBlock{b.Header.Hash(), consensus.State{Height: 1}}
	n.chain, n.bodies[at.hash] = append(n.chain, at), b.Bytes()
	w.testSync(t, n)
	if got := w.Balance().Confirmed; got != 3 {
		t.Errorf("%d of three payments were found", got)
	}
}

// TestMempoolBeforeItWasWatched: what waits for a block is looked at again too.
func TestMempoolBeforeItWasWatched(t *testing.T) {
	n, w := funded(t, 2)
	payer := newTestWallet(t, propertyWords)
	_, far := w.testPay(t, n, Payment{Payees: []Payee{{payer.testKey(t, KeyPath{0, 38}), coin}}})
	payer.testSync(t, n)
	wantBalance(t, payer, Balance{})
	n.mine(payer.testKey(t, KeyPath{0, 19}))
	payer.testSync(t, n)
	wantBalance(t, payer, Balance{Unconfirmed: coin, Immature: 50 * coin})
	if h := payer.History(); len(h) != 2 || h[1].TxID != far.TxID() {
		t.Errorf("history %+v", h)
	}
}

// TestPaymentOutlivesTheNode: the node forgets a payment that it had taken, and a
// new one has yet to read its mempool. The coins stay spent, the history has it,
// and it is sent again.
func TestPaymentOutlivesTheNode(t *testing.T) {
	n, w := funded(t, 1)
	_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	w.testSync(t, n)
	want := w.Balance()
	n.pool, n.loading, n.deaf = nil, true, ErrNotAsked
	w.testSync(t, n)
	wantBalance(t, w, want)
	if d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 1000}); err != nil || d.Spends[0].TxID != tx.TxID() {
		t.Errorf("beside its change, the payment's coin would be spent again: %+v, %v", d, err)
	}
	if h := w.History(); len(h) != 2 || h[1].TxID != tx.TxID() || h[1].State != StatePending {
		t.Errorf("history %+v", h)
	}
	n.deaf, n.loading = nil, false
	w.testSync(t, n)
	if len(n.pool) != 1 || n.pool[0].TxID() != tx.TxID() {
		t.Errorf("the payment was not sent again: %v", n.pool)
	}
	// A node that has it is reminded now and then: it may have lost its peers.
	sends := n.asked["send"]
	w.testSync(t, n)
	if n.asked["send"] != sends {
		t.Error("a payment that the node has was sent again at once")
	}
	w.now = func() time.Time { return time.Now().Add(sendEvery + time.Second) }
	w.testSync(t, n)
	if n.asked["send"] != sends+1 {
		t.Error("a payment that waits was never sent again")
	}
}

// TestInterruptedPayment: the command ended after it had written a payment down.
func TestInterruptedPayment(t *testing.T) {
	n, w := funded(t, 1)
	d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := w.Sign(d, w.testSecret(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(d, tx); err != nil {
		t.Fatal(err)
	}
	w.Close()
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if list := again.Interrupted(); len(list) != 1 || list[0].TxID != tx.TxID() {
		t.Fatalf("interrupted: %+v", list)
	}
	again.testSync(t, n)
	if len(n.pool) != 1 || len(again.Interrupted()) != 0 {
		t.Errorf("it was not sent: %v, %+v", n.pool, again.Interrupted())
	}
}

// TestTwoCustomersOneTransaction: each output is credited by itself.
func TestTwoCustomersOneTransaction(t *testing.T) {
	n, w := funded(t, 1)
	shop := newTestWallet(t, propertyWords)
	a, err := shop.Receive(AddressOptions{Label: "customer A"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := shop.Receive(AddressOptions{Label: "customer B"})
	if err != nil || a.Address == b.Address {
		t.Fatalf("%+v, %v", b, err)
	}
	d, err := w.Draft(Payment{Payees: []Payee{{shop.testKey(t, a.Key.KeyPath), 40 * coin}}, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Tx.Out {
		if d.Tx.Out[i].Value == d.Change { // B gets 2 of it
			d.Tx.Out[i].Value -= 2 * coin
		}
	}
	d.Tx.Out = append(d.Tx.Out, consensus.TxOut{Value: 2 * coin, Script: consensus.TaprootScript(shop.testKey(t, b.Key.KeyPath))})
	tx, err := w.Sign(d, w.testSecret(t))
	if err != nil {
		t.Fatal(err)
	}
	n.mine(stranger, tx)
	shop.testSync(t, n)
	got := make(map[string]consensus.Amount)
	for _, e := range shop.History() {
		got[e.Label+" "+e.Address] = e.Amount
	}
	if len(got) != 2 || got["customer A "+a.Address] != 40*coin || got["customer B "+b.Address] != 2*coin {
		t.Errorf("credited %v", got)
	}
}

// TestReversedDepositLeavesATrace: a deposit with two confirmations is undone by
// a double spend.
func TestReversedDepositLeavesATrace(t *testing.T) {
	n, w := funded(t, 1)
	twin := restored(t, n, testWords, 0)
	shop := newTestWallet(t, propertyWords)
	_, deposit := w.testPay(t, n, Payment{Payees: []Payee{{shop.testKey(t, KeyPath{0, 0}), 10 * coin}}})
	n.mine(stranger, deposit)
	n.mine(stranger)
	shop.testSync(t, n)
	wantBalance(t, shop, Balance{Confirmed: 10 * coin, Spendable: 10 * coin})
	before := n.tip().hash
	n.cut(2)
	n.pool = nil
	_, rival := twin.testPay(t, n, Payment{Payees: []Payee{{stranger, 20 * coin}}})
	n.mine(stranger, rival)
	n.mineMany(2, stranger)
	shop.testSync(t, n)
	wantBalance(t, shop, Balance{})
	warned := func(w *Wallet) bool {
		list := w.Warnings()
		return len(list) == 1 && list[0].TxID == deposit.TxID() && list[0].State == StateConflicted &&
			list[0].By != nil && *list[0].By == rival.TxID() && list[0].Reversed.Height == 102 && list[0].Amount == 10*coin
	}
	if !warned(shop) {
		t.Fatalf("warnings %+v", shop.Warnings())
	}
	if h := shop.History(); len(h) != 1 || h[0].State != StateConflicted {
		t.Errorf("history %+v", h)
	}
	if _, removed := shop.Since(Point{101, n.chain[101].hash}, []consensus.Hash{before, shop.journal.list[0].was[0].Hash}); len(removed) != 1 || removed[0].TxID != deposit.TxID() {
		t.Errorf("removed %+v", removed)
	}
	shop.Close()
	again, err := Open(t.Context(), shop.files, shop.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !warned(again) {
		t.Errorf("after a restart: %+v", again.Warnings())
	}
	if n := again.Acknowledge(consensus.Hash{}); n != 1 || len(again.Warnings()) != 0 {
		t.Errorf("%d acknowledged, %+v left", n, again.Warnings())
	}
	again.testSync(t, n)
	if len(again.Warnings()) != 0 {
		t.Error("the warning came back")
	}
	// And if it is in a block after all, and is reversed again, that is another.
	n.cut(3)
	n.mine(stranger, deposit)
	again.testSync(t, n)
	wantBalance(t, again, Balance{Confirmed: 10 * coin, Spendable: 10 * coin})
	n.cut(1)
	n.mine(stranger, rival)
	again.testSync(t, n)
	if !warned(again) {
		t.Errorf("reversed for the second time: %+v", again.Warnings())
	}
}

// TestWordsLostAndRestored: a watch file without its words keeps labels, history
// and the payment that waits, when they come back.
func TestWordsLostAndRestored(t *testing.T) {
	n, w := funded(t, 1)
	if _, err := w.Receive(AddressOptions{Label: "rent"}); err != nil {
		t.Fatal(err)
	}
	_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	n.pool = nil
	w.Close()
	if err := os.Remove(w.files.Secret); err != nil {
		t.Fatal(err)
	}
	o := CreateOptions{Mnemonic: propertyWords, Passphrase: "new", WorkFactor: testWorkFactor}
	if _, err := PrepareRestore(t.Context(), w.files, w.spec, o); !errors.Is(err, ErrExists) {
		t.Errorf("other words took the watch file over: %v", err)
	}
	o.Mnemonic = testWords
	p, err := PrepareRestore(t.Context(), w.files, w.spec, o)
	if err != nil || !p.Watched() {
		t.Fatal(err)
	}
	again, err := p.Keep()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.testSync(t, n)
	if list, err := again.Addresses(); err != nil || len(list) != 2 || list[1].Label != "rent" {
		t.Errorf("addresses %+v, %v", list, err)
	}
	if len(n.pool) != 1 || n.pool[0].TxID() != tx.TxID() {
		t.Errorf("the payment that waited is lost: %v", n.pool)
	}
	if _, err := again.files.OpenSecret(w.spec, "new"); err != nil {
		t.Error(err)
	}
}

// TestChangedWhileAsked: another command pays with the same coin while the owner
// of the first thinks about it, which holds no lock.
func TestChangedWhileAsked(t *testing.T) {
	n, w := funded(t, 1)
	d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Release(); err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	other.testPay(t, n, Payment{Payees: []Payee{{stranger, 2 * coin}}})
	other.Close()
	if err := w.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx, err := w.Sign(d, w.testSecret(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(d, tx); !errors.Is(err, ErrChanged) {
		t.Errorf("one coin for two payments: %v", err)
	}
	if len(w.History()) != 2 {
		t.Errorf("history %+v", w.History())
	}
}

// TestGapIsRaisedByPaymentsThatWait: more change keys than the gap wait for a
// block, of which any may be confirmed first.
func TestGapIsRaisedByPaymentsThatWait(t *testing.T) {
	n, w := funded(t, DefaultGap+2)
	var last *consensus.Tx
	for range DefaultGap + 2 {
		_, last = w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	}
	if w.Gap() != DefaultGap+2 {
		t.Errorf("a gap of %d was said", w.Gap())
	}
	if notes := w.Notices(); len(notes) == 0 || !strings.Contains(notes[0], "--gap 21 from now on") {
		t.Errorf("said: %q", notes)
	}
	n.pool = nil
	n.mine(stranger, last)
	wantBalance(t, restored(t, n, testWords, DefaultGap), Balance{Confirmed: 50 * coin * (DefaultGap + 1), Spendable: 50 * coin * (DefaultGap + 1)})
	w.testSync(t, n)
	again := restored(t, n, testWords, w.Gap()) // finds the 21 that wait in the mempool too
	wantBalance(t, again, w.Balance())
	if b := again.Balance(); b.Confirmed < 48*coin || b.Confirmed > 49*coin {
		t.Errorf("restored with the gap that was said: %+v", b)
	}
}

// TestAbandonedRescan: a rescan from a height finds the same, and one that is
// interrupted goes on.
func TestRescan(t *testing.T) {
	n, w := funded(t, 3)
	_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 70 * coin}}})
	n.mine(stranger, tx)
	w.testSync(t, n)
	balance, history := w.Balance(), len(w.History())
	for _, from := range []uint32{0, 1, 2, 50, 104, 1000} {
		if err := w.Rescan(t.Context(), n, from, nil); err != nil {
			t.Fatal(err)
		}
		wantBalance(t, w, balance)
		if len(w.History()) != history || len(w.Warnings()) != 0 {
			t.Errorf("from %d: %+v, warnings %+v", from, w.History(), w.Warnings())
		}
	}
	calls := 0
	n.before = func(string) {
		if calls++; calls > 4 {
			panic(errKilled)
		}
	}
	func() {
		defer func() { recover() }()
		w.Rescan(t.Context(), n, 0, nil)
	}()
	n.before = nil
	w.Close()
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.testSync(t, n)
	wantBalance(t, again, balance)
}
