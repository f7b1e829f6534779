package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/psbt"
	psbtkeys "lode/wallet/psbt/signer"
	"lode/wallet/silent"
)

// TestSilentPayment is the way of one: paid with a label and without, seen in the mempool,
// confirmed, reorganized away and back, found again from the words, and spent.
func TestSilentPayment(t *testing.T) {
	n := newSilentSim(t)
	payer, w := newTestWallet(t, words(t)), newTestWallet(t, words(t))
	n.mineMany(105, payer.testKey(t, KeyPath{0, 0}))
	syncWith(t, payer, n)
	syncWith(t, w, n)
	if n.asked["silent"] > 0 {
		t.Error("silent payments were looked for before an address was handed out")
	}
	plain, shop := w.testSilent(t, ""), w.testSilent(t, "shop")
	if again := w.testSilent(t, "shop"); again != shop || w.testSilent(t, "") != plain || plain == shop {
		t.Fatal("an address was not handed out again")
	}
	d, tx := paySilently(t, payer, n, 5_000_000, plain, shop, plain)
	if a, ok := d.SilentTo(2); !ok || a != shop {
		t.Errorf("payee 2 is %v", a)
	}
	w = reopened(t, w)
	syncWith(t, w, n)
	if b := w.Balance(); b.Others != 15_000_000 || b.Spendable != 0 {
		t.Fatalf("pending: %+v", b)
	}
	n.mine(stranger, tx)
	syncWith(t, w, n)
	check := func(what string, w *Wallet, label string) {
		t.Helper()
		if b := w.Balance(); b.Confirmed != 15_000_000 || b.Spendable != 15_000_000 {
			t.Fatalf("%s: %+v", what, b)
		}
		labels := make(map[string]int)
		for _, e := range w.History() {
			labels[e.Label]++
			if e.Amount != 5_000_000 || e.Kind != KindReceived || !strings.HasPrefix(e.Silent, "sprt1q") {
				t.Errorf("%s: %+v", what, e)
			}
		}
		if labels[label] != 1 || labels[""] != 2 {
			t.Errorf("%s: labels %v", what, labels)
		}
	}
	check("confirmed", w, "shop")
	check("restored", restoreFrom(t, w, n), "silent label 1")
	n.cut(1)
	n.mineMany(2, stranger)
	n.pool = append(n.pool, tx)
	syncWith(t, w, n)
	if b := w.Balance(); b.Others != 15_000_000 || b.Confirmed != 0 {
		t.Fatalf("reorganized: %+v", b)
	}
	n.mine(stranger, tx)
	syncWith(t, w, n)
	check("confirmed again", w, "shop")
	n.index = true
	if err := w.Rescan(t.Context(), n, 0, nil); err != nil {
		t.Fatal(err)
	}
	check("scanned again", w, "shop")

	for _, c := range w.Coins() {
		one, err := w.newSigner(w.testSecret(t)).descriptor(c.Key)
		if err != nil {
			t.Fatal(err)
		}
		key, err := one.OutputKey(c.Key.Index)
		if want, err2 := w.outputKey(c.Key); err != nil || err2 != nil || key != want {
			t.Fatalf("key %s is %x by its descriptor, want %x (%v, %v)", c.Key, key, want, err, err2)
		}
		if name := KeyID.String(c.Key); !strings.HasPrefix(name, "silent/") || new(KeyID).UnmarshalText([]byte(name)) != nil {
			t.Errorf("key %s", name)
		}
	}
	d, spend := w.testPay(t, n.simNode, Payment{Payees: []Payee{{stranger, 0}}, All: true})
	if len(d.Spends) != 3 || !d.Spends[0].Key.IsSilent() {
		t.Fatalf("%d coins are spent", len(d.Spends))
	}
	n.mine(stranger, spend)
	syncWith(t, w, n)
	wantBalance(t, w, Balance{})
	sameCoins(t, "spent", restoreFrom(t, w, n), w)
	for _, e := range payer.History() { // what the payer sees
		if e.Kind == KindSent && e.Amount == -5_000_000 && !strings.HasPrefix(e.Silent, "sprt1q") {
			t.Errorf("paid: %+v", e)
		}
	}
}

// TestSilentPaymentIsDerivedAnew replaces a payment by one that needs one more coin: what was
// derived for the first would be lost.
func TestSilentPaymentIsDerivedAnew(t *testing.T) {
	n := newSilentSim(t)
	payer, w := newTestWallet(t, words(t)), newTestWallet(t, words(t))
	n.mineMany(3, payer.testKey(t, KeyPath{0, 0}))
	n.mineMany(101, stranger)
	syncWith(t, payer, n)
	syncWith(t, w, n)
	to := w.testSilent(t, "x")
	subsidy := 50 * consensus.SatPerCoin
	_, tx := paySilently(t, payer, n, subsidy-1_200, to)
	if len(tx.In) != 1 || len(tx.Out) != 2 {
		t.Fatalf("%d inputs and %d outputs: it is to have no change", len(tx.In), len(tx.Out))
	}
	payer = reopened(t, payer)
	syncWith(t, payer, n)
	d, err := payer.PlanBump(Bump{TxID: tx.TxID(), Kind: DraftBump, Rate: 50_000, Pool: PoolFacts{Increment: 1000, Least: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Spends) < 2 || !d.IsSilent() {
		t.Fatalf("%d coins, silent: %t", len(d.Spends), d.IsSilent())
	}
	more, err := payer.Sign(d, payer.testSecret(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range tx.Out {
		if key, _ := consensus.TaprootKey(tx.Out[i].Script); key != stranger && slices.ContainsFunc(more.Out, func(o consensus.TxOut) bool { return string(o.Script) == string(tx.Out[i].Script) }) {
			t.Errorf("output %d is what it was", i)
		}
	}
	n.mine(stranger, more)
	syncWith(t, w, n)
	if b := w.Balance(); b.Confirmed != subsidy-1_200 {
		t.Fatalf("found %+v", b)
	}
}

// TestSilentPaymentsAreMissedWithoutIndex: a node that tells nothing is named, and what was
// missed meanwhile, and spent elsewhere, is found later.
func TestSilentPaymentsAreMissedWithoutIndex(t *testing.T) {
	n := newSilentSim(t)
	payer, w := newTestWallet(t, words(t)), newTestWallet(t, words(t))
	n.mineMany(105, payer.testKey(t, KeyPath{0, 0}))
	syncWith(t, payer, n)
	syncWith(t, w, n)
	to := w.testSilent(t, "")
	twin := restoreFrom(t, w, n)
	_, first := paySilently(t, payer, n, 1_000_000, to)
	n.mine(stranger, first)
	syncWith(t, payer, n)
	_, second := paySilently(t, payer, n, 2_000_000, to)
	n.mine(stranger, second)
	syncWith(t, twin, n)
	_, spends := twin.testPay(t, n.simNode, Payment{Payees: []Payee{{stranger, 500_000}}, From: []consensus.OutPoint{coinOf(t, twin, 1_000_000)}})
	n.mine(stranger, spends)
	syncWith(t, twin, n)
	for _, node := range []Node{n.simNode, &silentSim{simNode: n.simNode, mute: true}} {
		syncWith(t, w, node)
		if advice, sure := w.SilentMissed(); !sure || !strings.Contains(advice, "--silentindex") || strings.Contains(advice, "\n") {
			t.Errorf("advice %q, %t", advice, sure)
		}
		if len(w.silent.list) > 0 {
			t.Error("a payment was found")
		}
	}
	w = reopened(t, w)
	syncWith(t, w, n)
	if advice, _ := w.SilentMissed(); advice != "" {
		t.Errorf("advice %q", advice)
	}
	sameCoins(t, "late", w, twin)
	if len(w.History()) != len(twin.History()) {
		t.Errorf("%d entries, want %d", len(w.History()), len(twin.History()))
	}
}

func coinOf(t *testing.T, w *Wallet, value consensus.Amount) consensus.OutPoint {
	t.Helper()
	for o, v := range spendables(w) {
		if v == value {
			return o
		}
	}
	t.Fatalf("no coin of %s", value)
	return consensus.OutPoint{}
}

// TestSilentHistories has two wallets pay each other silently, with labels, through
// reorganizations and restarts, and compares them at the end with the ledger and with what is
// restored from their words.
func TestSilentHistories(t *testing.T) {
	seeds := envInt(t, "LODE_TEST_WALLET_SEEDS", 2)
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(seed, 352))
		n := newSilentSim(t)
		n.index = seed%2 == 0
		people := []*Wallet{newTestWallet(t, words(t)), newTestWallet(t, words(t))}
		n.mineMany(3, people[0].testKey(t, KeyPath{0, 0}))
		n.mineMany(3, people[1].testKey(t, KeyPath{0, 0}))
		n.mineMany(101, stranger)
		for range 14 {
			who := rng.IntN(2)
			w, other := people[who], people[1-who]
			syncWith(t, w, n)
			switch rng.IntN(6) {
			case 0, 1:
				if w.Balance().Spendable < 100_000_000 {
					break
				}
				var to []silent.Address
				for range 1 + rng.IntN(3) {
					to = append(to, other.testSilent(t, []string{"", "a", "b"}[rng.IntN(3)]))
				}
				paySilently(t, w, n, 1_000_000*consensus.Amount(1+rng.IntN(9)), to...)
			case 2, 3:
				n.mine(stranger, slices.Clone(n.pool)...)
			case 4:
				people[who] = reopened(t, w)
			case 5:
				cut := min(1+rng.IntN(2), len(n.chain)-105)
				if cut > 0 {
					n.putBack(cut)
				}
				n.mineMany(cut+1, stranger)
			}
		}
		n.mine(stranger, slices.Clone(n.pool)...)
		for _, w := range people {
			syncWith(t, w, n)
			for _, c := range w.Coins() {
				if have, ok := n.coins[n.tip().hash].Coin(c.OutPoint); !ok || have.Value != c.Value {
					t.Fatalf("seed %d: coin %s is not in the ledger", seed, c.OutPoint)
				}
			}
			sameCoins(t, fmt.Sprintf("seed %d, restored", seed), restoreFrom(t, w, n), w)
		}
		all := people[0].Balance().Confirmed + people[1].Balance().Confirmed
		if fees := 6*50*consensus.SatPerCoin - all; fees < 0 || fees > 20*10_000 {
			t.Fatalf("seed %d: %s of both are missing", seed, fees)
		}
	}
}

// TestSilentAddressesOfOldWallets: a watch file without the keys gets them from the words, and a
// wallet without words has none.
func TestSilentAddressesOfOldWallets(t *testing.T) {
	n := newSilentSim(t)
	w := newTestWallet(t, words(t))
	want, err := w.SilentAddress("")
	if err != nil {
		t.Fatal(err)
	}
	w.doc.Silent, w.docDirty = nil, true
	w = reopened(t, w)
	if _, err := w.SilentAddress(""); err == nil || w.HasSilent() {
		t.Fatalf("without keys: %v", err)
	}
	n.mine(stranger)
	syncWith(t, w, n)
	if err := w.AddSilent(w.testSecret(t)); err != nil {
		t.Fatal(err)
	}
	if got, err := w.SilentAddress(""); err != nil || got != want {
		t.Fatalf("%v, %v, want %v", got, err, want)
	}
	syncWith(t, reopened(t, w), n)
	if n.asked["silent"] == 0 {
		t.Error("what was scanned was not looked at for silent payments")
	}
	scan, spend, err := (&Secret{Mnemonic: testWords, CoinType: 0}).silentKeys()
	if err != nil || fmt.Sprintf("%x", scan.PubKey().SerializeCompressed()) == fmt.Sprintf("%x", spend.PubKey().SerializeCompressed()) {
		t.Fatal("the keys are the same")
	}
}

// TestSilentLabelsAreLimited hands out all labels there are.
func TestSilentLabelsAreLimited(t *testing.T) {
	w := newTestWallet(t, words(t))
	w.doc.Silent.Labels = maxSilentLabels - 1
	if a, err := w.SilentAddress("last"); err != nil || *a.Number != maxSilentLabels {
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err := w.SilentAddress("last"); err != nil || *a.Number != maxSilentLabels {
		t.Fatalf("again: %+v, %v", a, err)
	}
	if _, err := w.SilentAddress("one more"); err == nil || !strings.Contains(err.Error(), "at most 1000") {
		t.Fatalf("%v", err)
	}
}

// TestSilentPaymentsNeedEveryKey: a coin whose private key is not here, as with several owners,
// cannot pay silently, and the error says so.
func TestSilentPaymentsNeedEveryKey(t *testing.T) {
	w := newTestWallet(t, words(t))
	missing := func(int) (*btcec.PrivateKey, error) { return nil, descriptor.ErrNoPrivate }
	if _, err := (SilentPayees{0: w.testSilent(t, "")}).OutputKeys([]Coin{{}}, missing); !errors.Is(err, descriptor.ErrNoPrivate) || !strings.Contains(err.Error(), "MuSig2") {
		t.Fatalf("%v", err)
	}
}

// TestSilentLabelsOfARestoredWallet: labels that were exported come back to their addresses, and a
// new one is none that was handed out or paid before.
func TestSilentLabelsOfARestoredWallet(t *testing.T) {
	n := newSilentSim(t)
	payer, w := newTestWallet(t, words(t)), newTestWallet(t, words(t))
	n.mineMany(105, payer.testKey(t, KeyPath{0, 0}))
	syncWith(t, payer, n)
	syncWith(t, w, n)
	first, _, third := w.testSilent(t, "one"), w.testSilent(t, "two"), w.testSilent(t, "three")
	_, tx := paySilently(t, payer, n, 1_000_000, third)
	n.mine(stranger, tx)
	var labels bytes.Buffer
	if err := w.ExportLabels(&labels); err != nil {
		t.Fatal(err)
	}
	r := restoreFrom(t, w, n)
	if !r.SilentUnknown() {
		t.Error("what was handed out is known")
	}
	if a, err := r.SilentAddress("new"); err != nil || *a.Number != 4 {
		t.Fatalf("%+v, %v", a, err)
	}
	r = restoreFrom(t, w, n)
	if _, err := r.ImportLabels(&labels); err != nil {
		t.Fatal(err)
	}
	if r.testSilent(t, "one") != first || r.testSilent(t, "three") != third {
		t.Error("a label has another address than before")
	}
	if h := r.History(); len(h) != 1 || h[0].Label != "three" {
		t.Errorf("%+v", h)
	}
}

// TestSilentOutputsAreNotGivenAwayHalfDone: a replacement of a silent payment is no PSBT, and does
// not take the outputs that followed from other coins by their names.
func TestSilentOutputsAreNotGivenAwayHalfDone(t *testing.T) {
	n := newSilentSim(t)
	payer, w := newTestWallet(t, words(t)), newTestWallet(t, words(t))
	n.mineMany(105, payer.testKey(t, KeyPath{0, 0}))
	syncWith(t, payer, n)
	_, tx := paySilently(t, payer, n, 50*consensus.SatPerCoin-1_200, w.testSilent(t, "")) // no change
	syncWith(t, payer, n)
	b := Bump{TxID: tx.TxID(), Kind: DraftBump, Rate: 50_000, Pool: PoolFacts{Increment: 1000, Least: 1000}}
	d, err := payer.PlanBump(b)
	if err != nil || !d.IsSilent() {
		t.Fatalf("silent: %t, %v", d != nil && d.IsSilent(), err)
	}
	b.Outputs = tx.Out
	if _, err := payer.PlanBump(b); !errors.Is(err, ErrBump) || !strings.Contains(err.Error(), "silent payment") {
		t.Errorf("with outputs by name: %v", err)
	}
	b.Outputs, b.Kind = nil, DraftCancel
	if d, err := payer.PlanBump(b); err != nil || d.IsSilent() {
		t.Errorf("cancelled: %v", err)
	}
	// A restored wallet cannot tell, and so changes no inputs.
	r := restoreFrom(t, payer, n)
	b.Kind = DraftBump
	if _, err := r.PlanBump(b); !errors.Is(err, ErrFunds) {
		t.Errorf("a restored wallet adds coins: %v", err)
	}
}

// TestSilentCoinsAreSpentByPSBT signs for a coin that came silently in a PSBT, and refuses to make
// one that pays silently.
func TestSilentCoinsAreSpentByPSBT(t *testing.T) {
	n := newSilentSim(t)
	payer, w := newTestWallet(t, words(t)), newTestWallet(t, words(t))
	n.mineMany(105, payer.testKey(t, KeyPath{0, 0}))
	syncWith(t, payer, n)
	syncWith(t, w, n)
	_, tx := paySilently(t, payer, n, 2_000_000, w.testSilent(t, "a"))
	n.mine(stranger, tx)
	syncWith(t, w, n)
	d, err := w.Draft(Payment{Payees: []Payee{{stranger, 500_000}}, Rate: DefaultFeeRate})
	if err != nil || !d.Spends[0].Key.IsSilent() {
		t.Fatal(err)
	}
	for _, version := range []uint32{0, 2} {
		p, err := w.PSBT(d, version)
		if err != nil {
			t.Fatal(err)
		}
		ring := new(psbtkeys.Ring)
		if err := w.AddPrivate(ring, p, w.testSecret(t)); err != nil {
			t.Fatal(err)
		}
		if signed, err := p.Sign(ring, psbt.SignOptions{}); err != nil || signed != 1 {
			t.Fatalf("version %d: %d signed, %v", version, signed, err)
		}
		if err := p.Finalize(); err != nil {
			t.Fatal(err)
		}
		spend, err := p.Extract(nil)
		if err != nil {
			t.Fatal(err)
		}
		if version == 2 {
			n.mine(stranger, spend)
		}
	}
	syncWith(t, w, n)
	if b := w.Balance(); b.Confirmed != 1_500_000-d.Fee {
		t.Errorf("%+v", b)
	}
	late, err := w.Draft(Payment{Payees: []Payee{{Amount: 10_000}}, Late: SilentPayees{0: w.testSilent(t, "")}, Rate: DefaultFeeRate})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.PSBT(late, 2); !errors.Is(err, ErrSilentPSBT) {
		t.Errorf("a PSBT that pays silently: %v", err)
	}
}
