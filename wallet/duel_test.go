package wallet

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"lode/consensus"
)

// duel is two wallets that pay each other on one node.
type duel struct {
	t       *testing.T
	rng     *rand.Rand
	n       *simNode
	wallets [2]*Wallet
	paid    int
	bumped  int
}

// TestTwoWalletsPayEachOther: random amounts, some of them hastened or taken back,
// under mining and reorganizations; after every step both wallets have what the
// ledger and the mempool say, to the satoshi.
func TestTwoWalletsPayEachOther(t *testing.T) {
	want := envInt(t, "LODE_TEST_WALLET_PAYMENTS", 25)
	n := newSimNode(t)
	d := &duel{t: t, rng: rand.New(rand.NewPCG(uint64(want), 1)), n: n}
	for i := range d.wallets {
		d.wallets[i] = newTestWallet(t, words(t))
		for range 3 {
			n.mine(d.wallets[i].testKey(t, KeyPath{0, 0}))
		}
	}
	n.mineMany(100, stranger)
	d.settled("at the beginning")
	reorgs := 0
	for d.paid < want {
		d.pay()
		switch d.rng.IntN(6) {
		case 0, 1:
			d.mine()
		case 2:
			d.hasten()
		case 3:
			if d.rng.IntN(3) == 0 {
				d.reorg()
				reorgs++
			}
		}
		d.settled("on the way")
	}
	for range 3 {
		d.mine()
		d.settled("at the end")
	}
	for _, w := range d.wallets {
		if b := w.Balance(); b.Unconfirmed != 0 || b.Confirmed != b.Spendable {
			t.Errorf("all is mined, and the balance is %+v", b)
		}
	}
	t.Logf("%d payments, %d of them hastened or taken back, %d reorganizations", d.paid, d.bumped, reorgs)
}

// pay lets one pay the other.
func (d *duel) pay() {
	from, to := d.wallets[d.paid%2], d.wallets[(d.paid+1)%2]
	most := from.Balance().Spendable / 2
	if most < coin/100 { // what the other has paid waits for a block
		d.n.mine(stranger, slices.Clone(d.n.pool)...)
		return
	}
	a, err := to.Receive(AddressOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	key, err := consensus.ParseAddress(d.n.spec.Defaults.AddressPrefix, a.Address)
	if err != nil {
		d.t.Fatal(err)
	}
	draft, err := from.Draft(Payment{Payees: []Payee{{key, Dust + consensus.Amount(d.rng.Int64N(int64(most)))}}, Rate: FeeRate(1000 + d.rng.IntN(5000))})
	if err != nil {
		d.t.Fatal(err)
	}
	from.testDeliver(d.t, d.n, draft)
	d.paid++
}

// hasten bumps or cancels a payment that waits, if that is possible.
func (d *duel) hasten() {
	w := d.wallets[d.rng.IntN(2)]
	w.testSync(d.t, d.n)
	for _, e := range w.History() {
		if e.Kind != KindSent || e.State != StatePending {
			continue
		}
		b := Bump{TxID: e.TxID, Kind: DraftBump}
		if d.rng.IntN(4) == 0 {
			b.Kind = DraftCancel
		}
		draft, err := w.testPlan(d.t, d.n, b)
		if errors.Is(err, ErrBump) || errors.Is(err, ErrDust) || errors.Is(err, ErrFunds) {
			continue
		}
		if err != nil {
			d.t.Fatal(err)
		}
		w.testDeliver(d.t, d.n, draft)
		d.bumped++
		return
	}
}

// mine puts some of the mempool into a block.
func (d *duel) mine() {
	d.n.mine(stranger, slices.Clone(d.n.pool[:len(d.n.pool)-d.rng.IntN(len(d.n.pool)/2+1)])...)
	d.n.settle()
}

// reorg replaces some blocks by more of them, with other transactions in them.
func (d *duel) reorg() {
	depth := 1 + d.rng.IntN(4)
	var back []*consensus.Tx
	for _, b := range d.n.chain[len(d.n.chain)-depth:] {
		block, err := consensus.DecodeBlock(d.n.bodies[b.hash])
		if err != nil {
			d.t.Fatal(err)
		}
		back = append(back, block.Txs[1:]...)
	}
	d.n.cut(depth)
	d.n.pool = append(back, d.n.pool...)
	d.n.settle()
	for range depth + 1 {
		d.mine()
	}
}

// settled syncs both, and compares what they have with the ledger.
func (d *duel) settled(when string) {
	d.t.Helper()
	for before := []*consensus.Tx{nil}; !slices.Equal(before, d.n.pool); { // what one sends again may concern the other
		before = slices.Clone(d.n.pool)
		for _, w := range d.wallets {
			w.testSync(d.t, d.n)
		}
	}
	next := d.n.tip().state.Height + 1
	after := make(consensus.Coins)
	for o, c := range d.n.coins[d.n.tip().hash] {
		after[o] = c
	}
	for _, tx := range d.n.pool {
		for i := range tx.In {
			delete(after, tx.In[i].PrevOut)
		}
		for i := range tx.Out {
			if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok {
				after[consensus.OutPoint{TxID: tx.TxID(), Index: uint32(i)}] = consensus.Coin{Value: tx.Out[i].Value, Key: key, Height: next}
			}
		}
	}
	for i, w := range d.wallets {
		var confirmed, pending consensus.Amount
		for _, c := range after {
			if _, own := w.keys.byKey.get(c.Key); !own {
				continue
			}
			if c.Height == next {
				pending += c.Value
			} else {
				confirmed += c.Value
			}
		}
		if b := w.Balance(); b.Confirmed+b.Immature != confirmed || b.Unconfirmed != pending {
			d.explain(w, after)
			d.t.Fatalf("%s, payment %d: wallet %d has %+v, the ledger %s confirmed and %s pending", when, d.paid, i, b, confirmed, pending)
		}
		var sum consensus.Amount
		for _, e := range w.History() {
			if e.State == StateConfirmed || e.State == StatePending {
				if sum += e.Amount; e.Fee != nil {
					sum -= *e.Fee
				}
			}
		}
		if sum != confirmed+pending {
			d.t.Fatalf("%s, payment %d: the history of wallet %d adds up to %s, the ledger has %s", when, d.paid, i, sum, confirmed+pending)
		}
	}
}

// explain says in which coins a wallet and the ledger differ.
func (d *duel) explain(w *Wallet, after consensus.Coins) {
	have := make(map[consensus.OutPoint]bool)
	for _, c := range w.Coins() {
		have[c.OutPoint] = true
		if _, ok := after[c.OutPoint]; !ok {
			d.t.Logf("the wallet has %s of %s, the ledger not", c.OutPoint, c.Value)
		}
	}
	for o, c := range after {
		if _, own := w.keys.byKey.get(c.Key); own && !have[o] {
			d.t.Logf("the ledger has %s of %s, the wallet not", o, c.Value)
			if r := w.journal.byID.of(o.TxID); r != nil {
				by, spent := w.liveSpender(o)
				d.t.Logf("its transaction: %+v, in the mempool %v, own %v; spent %v, by %+v", verdictOf(w.verdicts, r), r.pooled, r.own, spent, by)
			}
		}
	}
}
