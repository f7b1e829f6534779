package wallet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"lode/consensus"
)

// payOne is the outputs of a payment to one address.
var payOne = outputSizes{1, outputSize}

var mostInputs = consensus.Amount(want{outs: payOne}.maxInputs())

func testCoins(rng *rand.Rand, n int) []Coin {
	coins := make([]Coin, n)
	for i := range coins {
		// From dust to a coin, evenly in the number of digits; now and then equal ones.
		value := consensus.Amount(rng.Int64N(1<<(6+rng.IntN(22)))) + 1
		if i > 0 && rng.IntN(5) == 0 {
			value = coins[i-1].Value
		}
		coins[i] = Coin{OutPoint: consensus.OutPoint{Index: uint32(i)}, Value: value, Height: uint32(rng.IntN(4)), Mature: true, Trusted: true}
	}
	return coins
}

func total(coins []Coin) (sum consensus.Amount) {
	for i := range coins {
		sum += coins[i].Value
	}
	return sum
}

// TestSelectProperties draws many sets of coins and payments, and checks what
// must be true of every selection.
func TestSelectProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	found, changeless := 0, 0
	for range 3000 {
		coins := testCoins(rng, rng.IntN(40))
		q := want{amount: consensus.Amount(rng.Int64N(1<<(9+rng.IntN(20)))) + Dust, rate: FeeRate(1 + rng.Int64N(40_000)), subtract: rng.IntN(3) == 0, outs: payOne}
		if rng.IntN(10) == 0 && len(coins) > 0 { // all there is
			q.amount, q.subtract = max(total(coins), Dust), true
		}
		s, err := selectCoins(coins, q)
		if err != nil {
			if errors.Is(err, ErrFunds) && enough(coins, q) {
				t.Fatalf("%+v of %v: %v", q, coins, err)
			}
			if !errors.Is(err, ErrFunds) && !errors.Is(err, ErrDust) {
				t.Fatal(err)
			}
			continue
		}
		found++
		checkSelection(t, coins, q, s)
		if s.change == 0 {
			changeless++
		}
	}
	if found < 500 || changeless < 50 {
		t.Errorf("only %d selections, %d without change: the test tests little", found, changeless)
	}
}

// enough reports whether all coins that are worth their fee suffice.
func enough(coins []Coin, q want) bool {
	n, sum := 0, consensus.Amount(0)
	for _, c := range coins {
		if c.Value > q.rate.Fee(inputVSize) || q.subtract {
			n, sum = n+1, sum+c.Value
		}
	}
	if q.subtract {
		return n > 0 && sum >= q.amount
	}
	return n > 0 && sum >= q.amount+q.rate.Fee(payOne.vsize(n))
}

func checkSelection(t *testing.T, coins []Coin, q want, s selection) {
	t.Helper()
	size := payOne
	if s.change > 0 {
		size = payOne.withChange()
	}
	least := q.rate.Fee(size.vsize(len(s.coins)))
	switch {
	case total(s.coins) != s.amount+s.fee+s.change:
		t.Fatalf("%d in, %d + %d + %d out", total(s.coins), s.amount, s.fee, s.change)
	case s.fee < least:
		t.Fatalf("fee %d, want at least %d", s.fee, least)
	case s.change > 0 && (s.change < Dust || s.fee != least):
		t.Fatalf("change %d, fee %d instead of %d", s.change, s.fee, least)
	case s.fee > least+q.rate.Fee(outputSize+1)+q.minChange():
		t.Fatalf("fee %d where %d would do, and change was possible", s.fee, least)
	case !q.subtract && s.amount != q.amount:
		t.Fatalf("%d paid, want %d", s.amount, q.amount)
	case q.subtract && (s.amount > q.amount || s.amount < q.amount-least):
		t.Fatalf("%d paid, want %d less at most %d", s.amount, q.amount, least)
	case s.amount < Dust:
		t.Fatalf("%d paid: dust", s.amount)
	}
	seen := make(map[uint32]bool)
	pending := false
	for _, c := range s.coins {
		if seen[c.Index] || coins[c.Index] != c {
			t.Fatalf("coin %d twice, or made up", c.Index)
		}
		seen[c.Index] = true
		pending = pending || c.Height == 0
	}
	if confirmed := slices.DeleteFunc(slices.Clone(coins), func(c Coin) bool { return c.Height == 0 }); pending && enough(confirmed, q) {
		t.Fatalf("a pending coin is spent although confirmed ones suffice")
	}
}

// TestExact finds the one pair that needs no change.
func TestExact(t *testing.T) {
	fee := FeeRate(1000).Fee(payOne.vsize(2))
	var coins []Coin
	for i, v := range []consensus.Amount{1e8, 70_000, 5e6, 30_000 + fee, 9e9, 3e6} {
		coins = append(coins, Coin{OutPoint: consensus.OutPoint{Index: uint32(i)}, Value: v, Height: 1})
	}
	s, err := selectCoins(coins, want{amount: 100_000, rate: 1000, outs: payOne})
	if err != nil || s.change != 0 || s.fee != fee || len(s.coins) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestManyEqualCoins is a miner's wallet; the search must not take for ever.
func TestManyEqualCoins(t *testing.T) {
	coins := make([]Coin, 20_000)
	for i := range coins {
		coins[i] = Coin{OutPoint: consensus.OutPoint{Index: uint32(i)}, Value: 50 * coin, Height: 1}
	}
	if s, err := selectCoins(coins, want{amount: 2345 * coin, rate: 1000, outs: payOne}); err != nil || len(s.coins) != 47 {
		t.Errorf("%d coins, %v", len(s.coins), err)
	}
	if _, err := selectCoins(coins, want{amount: 50 * coin * (mostInputs + 1), rate: 1000, outs: payOne}); !errors.Is(err, ErrTooManyCoin) {
		t.Errorf("more than a transaction holds: %v", err)
	}
	s, err := selectCoins(coins, want{amount: 50 * coin * mostInputs, rate: 1000, subtract: true, outs: payOne})
	if err != nil || len(s.coins) != int(mostInputs) {
		t.Errorf("as many as a transaction holds: %d, %v", len(s.coins), err)
	}
}

// TestSizes compares the predicted size with real transactions, which are also
// judged by the rules when a block takes them.
func TestSizes(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mineMany(5, w.testKey(t, KeyPath{0, 0}))
	n.mineMany(5, w.testKey(t, KeyPath{1, 3})) // keys with both parities, most likely
	n.mineMany(10, w.testKey(t, KeyPath{0, 7}))
	n.mineMany(101, stranger)
	w.testSync(t, n)
	for _, p := range []Payment{
		{Payees: []Payee{{stranger, 1 * coin}}, Rate: 1000},
		{Payees: []Payee{{stranger, 120 * coin}}, Rate: 3700},
		{Payees: []Payee{{stranger, 100 * coin}}, Rate: 1000, SubtractFee: true},
		{Payees: []Payee{{stranger, 330}}, Rate: 1},
	} {
		d, tx := w.testPay(t, n, p)
		if tx.VSize() != d.VSize() || d.Fee < p.Rate.Fee(tx.VSize()) {
			t.Errorf("%+v: %d vB, want %d; fee %d", p, tx.VSize(), d.VSize(), d.Fee)
		}
		if tx.Version != 2 || tx.LockTime > n.tip().state.Height || tx.LockTime+100 < n.tip().state.Height || tx.In[0].Sequence != 0xfffffffd {
			t.Errorf("version %d, lock time %d, sequence %x", tx.Version, tx.LockTime, tx.In[0].Sequence)
		}
		n.mine(stranger, tx)
		w.testSync(t, n)
	}
	// Everything, down to the last sat.
	all := w.Balance().Spendable
	d, tx := w.testPay(t, n, Payment{Payees: []Payee{{stranger, all}}, SubtractFee: true})
	if d.Change != 0 || d.Amount+d.Fee != all {
		t.Errorf("sent %d with a fee of %d, change %d, of %d", d.Amount, d.Fee, d.Change, all)
	}
	n.mine(stranger, tx)
	w.testSync(t, n)
	wantBalance(t, w, Balance{})
}

// TestManyPayees pays three, one of them data, from the coins that are named; and
// all to one.
func TestManyPayees(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mineMany(4, w.testKey(t, KeyPath{0, 0}))
	n.mineMany(101, stranger)
	w.testSync(t, n)
	coins := w.Coins()
	payees := []Payee{{stranger, 30 * coin}, {w.testKey(t, KeyPath{0, 5}), 40 * coin}}
	p := Payment{Payees: payees, Data: [][]byte{[]byte("invoice 7")}, Rate: 2000, From: []consensus.OutPoint{coins[1].OutPoint, coins[3].OutPoint}}
	d, tx := w.testPay(t, n, p)
	if len(tx.In) != 2 || len(tx.Out) != 4 || d.Change != 30*coin-d.Fee || d.Fee != p.Rate.Fee(tx.VSize()) || d.Amount != 70*coin {
		t.Errorf("%+v", d)
	}
	for _, in := range tx.In {
		if !slices.Contains(p.From, in.PrevOut) {
			t.Errorf("it spends %s", in.PrevOut)
		}
	}
	n.mine(stranger, tx)
	w.testSync(t, n)
	var kinds []string
	for _, e := range w.History()[4:] {
		kinds = append(kinds, fmt.Sprintf("%s %s %s", e.Kind, e.Amount, e.Data))
	}
	slices.Sort(kinds)
	if want := []string{"sent -30.00000000 ", "sent 0.00000000 6a09696e766f6963652037"}; !slices.Equal(kinds, want) {
		t.Errorf("history %q, want %q", kinds, want)
	}
	if _, err := w.Draft(p); !errors.Is(err, ErrNoCoin) {
		t.Errorf("coins that are spent: %v", err)
	}
	// The fee comes out of both.
	p = Payment{Payees: []Payee{{stranger, 30 * coin}, {stranger, 40 * coin}}, Rate: 1000, SubtractFee: true}
	if d, err := w.Draft(p); err != nil || d.Payees[0].Amount+d.Payees[1].Amount+d.Fee != 70*coin || 30*coin-d.Payees[0].Amount-(40*coin-d.Payees[1].Amount) > 1 {
		t.Errorf("%+v, %v", d, err)
	}
	p.Payees[1].Amount = Dust + 1
	if _, err := w.Draft(p); !errors.Is(err, ErrDust) {
		t.Errorf("a payee with less than its part of the fee: %v", err)
	}
	d, tx = w.testPay(t, n, Payment{Payees: []Payee{{To: stranger}}, Rate: 1000, All: true})
	if d.Change != 0 || d.Amount != d.Payees[0].Amount || len(tx.Out) != 1 || d.Amount != tx.Out[0].Value {
		t.Errorf("all: %+v", d)
	}
	n.mine(stranger, tx)
	w.testSync(t, n)
	wantBalance(t, w, Balance{})
}

func TestRefusedPayments(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(100, stranger)
	w.testSync(t, n)
	for name, c := range map[string]struct {
		p    Payment
		want error
	}{
		"dust":              {Payment{Payees: []Payee{{stranger, Dust - 1}}, Rate: 1000}, ErrDust},
		"dust after fee":    {Payment{Payees: []Payee{{stranger, Dust}}, Rate: 1000, SubtractFee: true}, ErrDust},
		"more than all":     {Payment{Payees: []Payee{{stranger, 50*coin + 1}}, Rate: 1000}, ErrFunds},
		"all, and the fee":  {Payment{Payees: []Payee{{stranger, 50 * coin}}, Rate: 1000}, ErrFunds},
		"more than exists":  {Payment{Payees: []Payee{{stranger, 1 << 62}}, Rate: 1000}, ErrFunds},
		"no fee rate":       {Payment{Payees: []Payee{{stranger, coin}}}, nil},
		"absurd fee rate":   {Payment{Payees: []Payee{{stranger, coin}}, Rate: maxFeeRate + 1}, nil},
		"negative":          {Payment{Payees: []Payee{{stranger, -coin}}, Rate: 1000}, ErrDust},
		"fee over the rest": {Payment{Payees: []Payee{{stranger, 49 * coin}}, Rate: maxFeeRate}, ErrFunds},
	} {
		if d, err := w.Draft(c.p); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// TestVerify: a transaction that is not what the draft says does not leave the
// wallet.
func TestVerify(t *testing.T) {
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mine(w.testKey(t, KeyPath{0, 0}))
	n.mineMany(100, stranger)
	w.testSync(t, n)
	for name, spoil := range map[string]func(*Draft){
		"another coin value": func(d *Draft) { d.Spends[0].Value++ },
		"another fee":        func(d *Draft) { d.Fee++ },
		"too much":           func(d *Draft) { d.Tx.Out[0].Value = 51 * coin },
		"no output":          func(d *Draft) { d.Tx.Out = nil },
	} {
		d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 1000})
		if err != nil {
			t.Fatal(err)
		}
		spoil(d)
		if _, err := w.Sign(d, w.testSecret(t)); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	d, err := w.Draft(Payment{Payees: []Payee{{stranger, coin}}, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.Sign(d, w.testSecret(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.Sign(d, w.testSecret(t))
	if err != nil || a.TxID() != b.TxID() || a.WTxID() == b.WTxID() {
		t.Errorf("signatures are not randomized: %v", err)
	}
}
