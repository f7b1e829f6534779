package wallet

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"lode/consensus"
)

const coin = consensus.SatPerCoin

// TestMaturity: a coinbase counts from its 101st confirmation, one block later
// than the rules ask for.
func TestMaturity(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(99, stranger)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Immature: 50 * coin})
	if _, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 1000}); !errors.Is(err, ErrFunds) {
		t.Errorf("an immature coin was spent: %v", err)
	}
	n.mine(stranger)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
	h := w.History()
	if len(h) != 1 || h[0].Kind != "mined" || h[0].Confirmations != 101 || h[0].Amount != 50*coin || h[0].Fee != nil {
		t.Errorf("history %+v", h)
	}
}

// TestPayment follows a payment between two wallets through the mempool into a
// block.
func TestPayment(t *testing.T) {
	n, alice, bob := newSimNode(t), newTestWallet(t, words(t)), newTestWallet(t, words(t))
	n.mine(alice.testKey(t, KeyPath{0, 0}))
	n.mineMany(100, stranger)
	alice.testSync(t, n)
	a, err := bob.Receive(AddressOptions{Label: "rent"})
	if err != nil {
		t.Fatal(err)
	}
	to, err := consensus.ParseAddress("bcrt", a.Address)
	if err != nil {
		t.Fatal(err)
	}
	d, tx := alice.testPay(t, n, Payment{Payees: []Payee{{to, coin * 3 / 2}}})

	alice.testSync(t, n)
	bob.testSync(t, n)
	rest := 50*coin - coin*3/2 - d.Fee
	wantBalance(t, alice, Balance{Unconfirmed: rest, Spendable: rest}) // its own change
	wantBalance(t, bob, Balance{Unconfirmed: coin * 3 / 2})            // not to be trusted yet
	if b, _ := bob.Receive(AddressOptions{}); b.Address == a.Address {
		t.Error("an address that is paid to in the mempool is handed out again")
	}

	// Spends the change that is not in a block yet.
	d2, tx2 := alice.testPay(t, n, Payment{Payees: []Payee{{to, coin}}})
	if d2.Spends[0].TxID != tx.TxID() || d2.changeKey == d.changeKey {
		t.Errorf("second payment spends %v, change to %v after %v", d2.Spends, d2.changeKey, d.changeKey)
	}
	slices.Reverse(n.pool) // order in a mempool means nothing
	alice.testSync(t, n)
	rest -= coin + d2.Fee
	wantBalance(t, alice, Balance{Unconfirmed: rest, Spendable: rest})

	n.mine(stranger, tx, tx2)
	alice.testSync(t, n)
	bob.testSync(t, n)
	wantBalance(t, alice, Balance{Confirmed: rest, Spendable: rest})
	wantBalance(t, bob, Balance{Confirmed: coin * 5 / 2, Spendable: coin * 5 / 2})

	h := alice.History()
	if e := h[1]; len(h) != 3 || e.Kind != "sent" || e.Amount != -coin*3/2 || e.Fee == nil || *e.Fee != d.Fee || e.Height != 102 ||
		e.Address != a.Address {
		t.Errorf("sender's history %+v", h)
	}
	if h := bob.History(); len(h) != 2 || h[0].Kind != "received" || h[0].Label != "rent" || h[0].Amount != coin*3/2 || h[0].Fee != nil {
		t.Errorf("receiver's history %+v", h)
	}
}

// TestReorg: what only the abandoned branch held is gone, what both hold stays,
// and a payment of the wallet's own is sent again and keeps its coin.
//
//	... - 101 - 102 (payment) - 103
//	         \- 102' - 103' (another coinbase for the wallet) - 104'
func TestReorg(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(100, stranger)
	w.testSync(t, n)
	_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 20 * coin}}})
	n.mine(stranger, tx)
	n.mine(stranger)
	w.testSync(t, n)
	before := w.Balance().Confirmed
	if before >= 30*coin || len(w.History()) != 2 {
		t.Fatalf("payment not seen: %d", before)
	}

	n.cut(2)
	n.mine(stranger)
	n.mine(w.testKey(t, KeyPath{0, 1}))
	n.mine(stranger)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Unconfirmed: before, Immature: 50 * coin, Spendable: before})
	if len(n.pool) != 1 || n.pool[0].TxID() != tx.TxID() {
		t.Errorf("the payment was not sent again: %v", n.pool)
	}
	// A shorter chain with more work would look like this.
	n.cut(2)
	n.pool = nil
	w.testSync(t, n)
	wantBalance(t, w, Balance{Unconfirmed: before, Spendable: before})
	if _, tip := w.Scanned(); tip.Height != 102 || tip.Hash != n.tip().hash {
		t.Errorf("tip %v", tip)
	}
	if d, err := w.Draft(Payment{Payees: []Payee{{stranger, 20 * coin}}, Rate: 1000}); err != nil || d.changeKey.Index == 0 {
		t.Errorf("the change key of a payment that waits is used again: %v, %v", d, err)
	}
}

// TestDeepReorg rolls back below the points that are all kept.
func TestDeepReorg(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(699, stranger)
	w.testSync(t, n)
	if points := len(w.points); points > 300 {
		t.Errorf("%d points are kept of 700 blocks", points)
	}
	asked := n.asked["blocks"]
	n.cut(400)
	n.mineMany(401, stranger)
	w.testSync(t, n)
	if _, tip := w.Scanned(); tip.Hash != n.tip().hash {
		t.Errorf("tip %v", tip)
	}
	// 401 blocks, and at most about a sixteenth of them below the fork.
	if n := n.asked["blocks"] - asked; n > (401+2*401/pointDensity)/batchBlocks+2 {
		t.Errorf("%d batches were read after a reorg of 400 blocks", n)
	}
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
}

// TestBirthday: a wallet that was made at a tip does not look below it, until
// its block is gone.
func TestBirthday(t *testing.T) {
	n := newSimNode(t)
	n.mineMany(30, stranger)
	at := Point{30, n.tip().hash}
	files := FilesOf(t.TempDir() + "/w.age")
	w, err := Create(t.Context(), files, n.spec, CreateOptions{Mnemonic: words(t), Passphrase: "p", WorkFactor: testWorkFactor, Start: at})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	n.mine(w.testKey(t, KeyPath{0, 0}))
	w.testSync(t, n)
	wantBalance(t, w, Balance{Immature: 50 * coin})
	if first, _ := w.Scanned(); first != at || n.asked["blocks"] != 1 {
		t.Errorf("starts at %v, want %v; %d batches", first, at, n.asked["blocks"])
	}
	n.cut(5)
	n.mineMany(2, w.testKey(t, KeyPath{0, 0}))
	n.mineMany(10, stranger)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Immature: 100 * coin})
	if first, _ := w.Scanned(); first.Height != 0 {
		t.Errorf("starts at %v, want genesis", first)
	}
}

// TestGapLimit: keys are found up to twenty behind the last used one, also if
// one block holds several steps in the wrong order.
func TestGapLimit(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, testWords)
	for _, i := range []uint32{19, 39, 60} { // 60 is one too far
		n.mine(w.testKey(t, KeyPath{0, i}))
	}
	w.testSync(t, n)
	wantBalance(t, w, Balance{Immature: 100 * coin})

	// A restored wallet finds what another copy did, on both chains.
	n.mineMany(100, stranger)
	w.testSync(t, n)
	_, first := w.testPay(t, n, Payment{Payees: []Payee{{w.testKey(t, KeyPath{0, 59}), coin}}})
	w.testSync(t, n)
	_, second := w.testPay(t, n, Payment{Payees: []Payee{{w.testKey(t, KeyPath{0, 79}), coin}}})
	n.mine(stranger, first, second)
	w.testSync(t, n)

	again := newTestWallet(t, testWords)
	again.testSync(t, n)
	if got, want := again.Balance(), w.Balance(); got != want {
		t.Errorf("restored: %+v, want %+v", got, want)
	}
	if got, want := unseen(again.History()), unseen(w.History()); !reflect.DeepEqual(got, want) {
		t.Errorf("restored: %+v, want %+v", got, want)
	}
	next := func(w *Wallet) uint32 { return w.branch(ChangeChain).window.next() }
	if got := next(again); got != next(w) {
		t.Errorf("the next change key is %d, want %d", got, next(w))
	}
}

// unseen is a history without what depends on when a wallet has looked.
func unseen(list []Entry) []Entry {
	for i := range list {
		list[i].Seen = time.Time{}
	}
	return list
}

// TestMovingNode: blocks that come and go while the wallet reads.
func TestMovingNode(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(120, stranger)
	w.testSync(t, n)
	_, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	steps := 0
	n.before = func(call string) {
		steps++
		switch {
		case steps == 3:
			n.mine(stranger, tx) // just after the mempool was read
		case steps == 5:
			n.cut(3)
			n.mineMany(4, stranger)
			n.pool = append(n.pool, tx)
		case steps == 8 && call != "mempool":
			n.mine(stranger, tx)
		}
	}
	w.testSync(t, n)
	n.before = nil
	tip := n.tip()
	if _, at := w.Scanned(); at.Hash != tip.hash {
		t.Errorf("tip %v, want %s", at, tip.hash)
	}
	if b := w.Balance(); b.Confirmed+b.Unconfirmed >= 49*coin+coin || b.Spendable < 48*coin {
		t.Errorf("balance %+v", b)
	}
	if len(w.History()) != 2 {
		t.Errorf("history %+v", w.History())
	}
}

// TestForeignSpend: the mempool spends a coin of the wallet in a payment that
// the wallet did not make itself, and a block with a rival makes it void.
func TestForeignSpend(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, testWords)
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(100, stranger)
	twin := newTestWallet(t, testWords)
	twin.testSync(t, n)
	w.testSync(t, n)
	_, pending := twin.testPay(t, n, Payment{Payees: []Payee{{stranger, 10 * coin}}})
	w.testSync(t, n)
	if b := w.Balance(); b.Confirmed != 0 || b.Unconfirmed >= 40*coin {
		t.Errorf("a coin that is spent in the mempool counts: %+v", b)
	}
	n.pool = nil
	w.testSync(t, n)
	_, rival := w.testPay(t, n, Payment{Payees: []Payee{{stranger, 30 * coin}}})
	n.mine(stranger, rival)
	n.pool = []*consensus.Tx{pending} // an honest node would have dropped it
	w.testSync(t, n)
	if b := w.Balance(); b.Unconfirmed != 0 || b.Confirmed >= 20*coin {
		t.Errorf("a contradicted payment counts: %+v", b)
	}
}

func TestSmallAnswers(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.most = 1
	n.mineMany(12, w.testKey(t, KeyPath{0, 0}))
	var last uint32
	if err := w.Sync(t.Context(), n, func(height, tip uint32) {
		if height != last+1 || tip != 12 {
			t.Errorf("progress %d of %d after %d", height, tip, last)
		}
		last = height
	}); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, w, Balance{Immature: 600 * coin})
}

// liar answers like an honest node but for one thing.
type liar struct {
	*simNode
	blocks func([][]byte) [][]byte
}

func (l liar) Blocks(ctx context.Context, hashes []consensus.Hash) ([][]byte, error) {
	blocks, err := l.simNode.Blocks(ctx, hashes)
	return l.blocks(blocks), err
}

func TestLyingNode(t *testing.T) {
	for name, lie := range map[string]func([][]byte) [][]byte{
		"none":      func([][]byte) [][]byte { return nil },
		"too many":  func(b [][]byte) [][]byte { return append(b, b[0]) },
		"cut short": func(b [][]byte) [][]byte { b[0] = b[0][:90]; return b },
		"another":   func(b [][]byte) [][]byte { b[0], b[1] = b[1], b[0]; return b },
	} {
		n, w := newSimNode(t), newTestWallet(t, words(t))
		n.mineMany(3, w.testKey(t, KeyPath{0, 0}))
		if err := w.Sync(t.Context(), liar{n, lie}, nil); !errors.Is(err, ErrBadNode) {
			t.Errorf("%s: %v", name, err)
		}
		wantBalance(t, w, Balance{})
	}
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.chain[0].hash[0]++
	if err := w.Sync(t.Context(), n, nil); !errors.Is(err, ErrOtherChain) {
		t.Errorf("another genesis: %v", err)
	}
}

func TestReopen(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(100, stranger)
	w.testSync(t, n)
	w.testPay(t, n, Payment{Payees: []Payee{{stranger, coin}}})
	w.testSync(t, n)
	if _, err := w.Receive(AddressOptions{New: true, Label: "shop"}); err != nil {
		t.Fatal(err)
	}
	w.testSync(t, n)
	balance, history := w.Balance(), w.History()
	w.Close()
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantBalance(t, again, balance)
	if got := again.History(); !reflect.DeepEqual(got, history) {
		t.Errorf("history %+v, want %+v", got, history)
	}
	asked := n.asked["blocks"]
	again.testSync(t, n)
	if n.asked["blocks"] != asked {
		t.Error("known blocks were read again")
	}
	if list, err := again.Addresses(); err != nil || len(list) != 2 || list[1].Label != "shop" || !list[0].Used || list[1].Used {
		t.Errorf("addresses %+v, %v", list, err)
	}
}

// TestIndexReachesTheTip: with an index of addresses a wallet reads the blocks that
// concern it and no others, up to the tip, and still finds a reorganization there.
func TestIndexReachesTheTip(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.index = true
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(149, stranger)
	n.mine(w.testKey(t, KeyPath{0, 1}))
	n.mineMany(2, stranger)
	w.testSync(t, n)
	if got := n.asked["blocks"]; got > 2 {
		t.Errorf("blocks were read %d times", got)
	}
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin, Immature: 25 * coin}) // behind a halving
	if _, tip := w.Scanned(); tip.Height != 153 || len(w.points) < recentPoints {
		t.Errorf("at %d, with %d points", tip.Height, len(w.points))
	}
	n.cut(5)
	n.mineMany(7, stranger)
	w.testSync(t, n)
	wantBalance(t, w, Balance{Confirmed: 50 * coin, Spendable: 50 * coin})
}

// TestIndexInBatches: a wallet whose every block is its own does not have them all in
// memory at once: it takes them up as they are read, through a reorganization in between.
func TestIndexInBatches(t *testing.T) {
	seed := words(t)
	n, w := newSimNode(t), newTestWallet(t, seed)
	n.index, n.most = true, 20
	for range 140 {
		n.mine(w.testKey(t, KeyPath{0, 0}))
	}
	var heights []uint32 // of the wallet at each time that blocks were read
	n.before = func(name string) {
		if name != "blocks" {
			return
		}
		_, tip := w.Scanned()
		heights = append(heights, tip.Height)
		if len(heights) == 7 { // when 120 are taken up
			n.cut(40)
			n.mineMany(42, stranger)
		}
	}
	w.testSync(t, n)
	if len(heights) < 7 || heights[1] != 20 || heights[6] != 120 {
		t.Errorf("the wallet was at %d", heights)
	}
	again := newTestWallet(t, seed)
	n.index, n.before = false, nil
	again.testSync(t, n)
	wantBalance(t, w, again.Balance())
	if got, want := len(w.History()), len(again.History()); got < want {
		t.Errorf("%d entries, want %d", got, want)
	}
}
