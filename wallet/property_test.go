package wallet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"lode/consensus"
)

// propertySeeds is how many histories TestAnyHistory draws, unless
// LODE_TEST_WALLET_SEEDS says another number. LODE_TEST_WALLET_SEED is the first.
const propertySeeds = 12

func envInt(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%s: want a number", name, text)
	}
	return n
}

// TestAnyHistory draws histories of sends, refusals, receipts in any order,
// reorgs, double spends, kills of node and wallet, restarts and restores, and
// holds the wallet to what the ledger says after each step: its coins, its
// balance, its history by output, and what an exchange would credit that goes by
// `history --since` alone.
func TestAnyHistory(t *testing.T) {
	base := newPropertyBase(t)
	first := envInt(t, "LODE_TEST_WALLET_SEED", 1)
	total := make(map[string]int)
	for seed := first; seed < first+envInt(t, "LODE_TEST_WALLET_SEEDS", propertySeeds); seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := base.start(t, uint64(seed))
			for range 60 {
				p.step()
			}
			p.check()
			p.restore()
			for name, n := range p.did {
				total[name] += n
			}
		}) {
			return
		}
	}
	t.Log(total)
	for _, name := range []string{"paid", "refused", "unknown", "killed", "received", "reversed", "reorg", "mempool lost", "restored"} {
		if total[name] == 0 {
			t.Errorf("no history had this in it: %s", name)
		}
	}
}

// The wallets of the test: the one that is tested, and one that pays it.
const propertyWords = "legal winner thank year wave sausage worth useful legal winner thank yellow"

// propertyBase is a chain that all histories begin with.
type propertyBase struct {
	node        *simNode
	payer       *signer
	payerOutKey [32]byte
}

func newPropertyBase(t *testing.T) *propertyBase {
	b := &propertyBase{node: newSimNode(t)}
	var err error
	if b.payer, err = newSigner(testWords, 1); err != nil {
		t.Fatal(err)
	}
	if b.payerOutKey, err = b.payer.public.OutputKey(KeyPath{}); err != nil {
		t.Fatal(err)
	}
	b.node.mineMany(30, b.payerOutKey)
	b.node.mineMany(101, stranger)
	return b
}

func (b *propertyBase) start(t *testing.T, seed uint64) *property {
	n := *b.node
	n.t, n.chain, n.bodies, n.coins = t, slices.Clone(n.chain), maps.Clone(n.bodies), maps.Clone(n.coins)
	n.asked, n.extra = make(map[string]int), uint32(seed)<<16
	rng := rand.New(rand.NewPCG(seed, 7))
	n.index = rng.IntN(2) == 0
	w := restored(t, &n, propertyWords, 2)
	p := &property{
		t: t, base: b, n: &n, w: w, rng: rng, did: make(map[string]int), secret: w.testSecret(t),
		since: n.chain[0].hash, credit: make(map[outputID]consensus.Amount),
	}
	t.Cleanup(func() { p.w.Close() })
	p.sync()
	return p
}

// outputID names an entry of a history.
type outputID struct {
	txid consensus.Hash
	vout uint32
}

type property struct {
	t      *testing.T
	base   *propertyBase
	n      *simNode
	w      *Wallet
	rng    *rand.Rand
	secret *Secret
	did    map[string]int

	given []Address       // that were handed out
	sent  []*consensus.Tx // by the wallet, and not refused at once
	since consensus.Hash  // where the exchange's books stand
	// credit is the books of an exchange: what was received in blocks.
	credit map[outputID]consensus.Amount
}

// killed is what a process panics with when it is killed.
var errKilled = errors.New("killed")

// dying runs something that may be killed, and opens the wallet again if it was.
func (p *property) dying(f func() error) error {
	died := false
	err := func() (err error) {
		defer func() {
			if r := recover(); r == errKilled {
				died = true
			} else if r != nil {
				panic(r)
			}
		}()
		return f()
	}()
	p.n.before, p.w.file.write = nil, (*os.File).Write
	if died {
		p.did["killed"]++
		p.reopen()
	}
	return err
}

func (p *property) reopen() {
	p.t.Helper()
	if err := p.w.Close(); err != nil {
		p.t.Fatal(err)
	}
	w, err := Open(p.t.Context(), p.w.files, p.w.spec)
	if err != nil {
		p.t.Fatal(err)
	}
	p.w = w
	if notes := w.Notices(); len(notes) > 0 {
		p.t.Fatalf("after a kill: %v", notes)
	}
}

// mayDie kills the wallet now and then, at a call of the node or half way
// through a write.
func (p *property) mayDie() {
	switch at := p.rng.IntN(8); p.rng.IntN(6) {
	case 0:
		p.n.before = func(string) {
			if at--; at < 0 {
				panic(errKilled)
			}
		}
	case 1:
		p.w.file.write = func(f *os.File, b []byte) (int, error) {
			if _, err := f.Write(b[:len(b)*at/8]); err != nil {
				p.t.Fatal(err)
			}
			panic(errKilled)
		}
	}
}

// sync syncs, through kills.
func (p *property) sync() {
	p.t.Helper()
	err := p.dying(func() error { p.mayDie(); return p.w.Sync(p.t.Context(), p.n, nil) })
	if err == nil {
		err = p.w.Sync(p.t.Context(), p.n, nil)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *property) step() {
	switch p.rng.IntN(12) {
	case 0, 1, 2:
		p.mine()
	case 3, 4:
		p.address()
		p.address()
	case 5, 6:
		p.receive()
	case 7, 8:
		p.pay()
	case 9:
		p.reorg()
	case 10:
		p.n.pool, p.did["mempool lost"] = nil, p.did["mempool lost"]+1
	case 11:
		p.n.loading = !p.n.loading
		p.reopen()
	}
	if p.rng.IntN(3) == 0 {
		p.check()
	}
	if p.rng.IntN(40) == 0 {
		p.check()
		p.restore()
	}
}

// mine adds a block with some of the mempool, that pays one of the wallet's
// addresses now and then.
func (p *property) mine() {
	to := stranger
	if len(p.given) > 0 && p.rng.IntN(4) == 0 {
		to = p.keyOf(p.given[p.rng.IntN(len(p.given))])
	}
	n := p.rng.IntN(len(p.n.pool) + 1)
	p.n.mine(to, slices.Clone(p.n.pool[:n])...)
	p.n.settle()
}

func (p *property) keyOf(a Address) [32]byte {
	key, err := consensus.ParseAddress("bcrt", a.Address)
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

// address hands out an address, which nobody may have been seen to pay to.
func (p *property) address() {
	err := p.dying(func() error {
		p.mayDie()
		a, err := p.w.Receive(AddressOptions{New: p.rng.IntN(3) > 0, BeyondGap: p.rng.IntN(20) == 0})
		if err == nil {
			err = p.w.Save()
		}
		if err != nil {
			return err
		}
		if p.w.keys.of(a.Key).window.use[a.Key.Index] != 0 {
			p.t.Fatalf("%s was handed out and is used", a.Key)
		}
		p.given = append(p.given, a)
		return nil
	})
	if err != nil && !errors.Is(err, ErrGap) {
		p.t.Fatal(err)
	}
}

// receive has somebody pay to one or two addresses, in any order.
func (p *property) receive() {
	if len(p.given) == 0 {
		return
	}
	coin, value, ok := p.payerCoin()
	if !ok {
		return
	}
	out := []consensus.TxOut{{Value: value / 4, Script: consensus.TaprootScript(p.keyOf(p.given[p.rng.IntN(len(p.given))]))}}
	if p.rng.IntN(2) == 0 {
		out = append(out, consensus.TxOut{Value: value / 8, Script: consensus.TaprootScript(p.keyOf(p.given[p.rng.IntN(len(p.given))]))})
	}
	out = append(out, consensus.TxOut{Value: value / 2, Script: consensus.TaprootScript(p.base.payerOutKey)})
	if err := p.n.Send(p.t.Context(), p.payerTx(coin, value, out)); err != nil {
		p.t.Fatal(err)
	}
	p.did["received"]++
}

// payerCoin is a coin of the payer that nothing in the mempool spends.
func (p *property) payerCoin() (o consensus.OutPoint, value consensus.Amount, ok bool) {
	spent := make(map[consensus.OutPoint]bool)
	for _, tx := range p.n.pool {
		for i := range tx.In {
			spent[tx.In[i].PrevOut] = true
		}
	}
	tip := p.n.tip()
	var list []consensus.OutPoint
	for o, c := range p.n.coins[tip.hash] {
		if c.Key == p.base.payerOutKey && !spent[o] && c.Value > 10_000 && (!c.Coinbase || tip.state.Height-c.Height > 110) {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return o, 0, false
	}
	slices.SortFunc(list, func(a, b consensus.OutPoint) int {
		return slices.Compare(append(a.TxID[:], byte(a.Index)), append(b.TxID[:], byte(b.Index)))
	})
	o = list[p.rng.IntN(len(list))]
	return o, p.n.coins[tip.hash][o].Value, true
}

func (p *property) payerTx(o consensus.OutPoint, value consensus.Amount, out []consensus.TxOut) *consensus.Tx {
	tx := &consensus.Tx{Version: 2, In: []consensus.TxIn{{PrevOut: o, Sequence: sequenceReplaceable}}, Out: out}
	spent := consensus.Coin{Value: value, Key: p.base.payerOutKey}
	sig, err := p.base.payer.sign(KeyPath{}, consensus.NewSigHasher(tx, []consensus.TxOut{spent.Output()}), 0)
	if err != nil {
		p.t.Fatal(err)
	}
	tx.In[0].Witness = [][]byte{sig}
	return tx
}

// pay has the wallet pay somebody: taken, refused, or of unknown outcome, and
// killed before or after the node has it.
func (p *property) pay() {
	p.sync()
	spendable := p.w.Balance().Spendable
	if spendable < 10*Dust {
		return
	}
	to := stranger
	if len(p.given) > 0 && p.rng.IntN(4) == 0 {
		to = p.keyOf(p.given[p.rng.IntN(len(p.given))])
	}
	amount := Dust + consensus.Amount(p.rng.Int64N(int64(spendable)))
	d, err := p.w.Draft(Payment{To: to, Amount: amount, Rate: 1000, SubtractFee: p.rng.IntN(2) == 0})
	if errors.Is(err, ErrFunds) || errors.Is(err, ErrDust) {
		return
	}
	if err != nil {
		p.t.Fatal(err)
	}
	tx, err := p.w.Sign(d, p.secret)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.rng.IntN(4) == 0 { // while the owner is asked
		if err := errors.Join(p.w.Release(), p.w.Acquire(p.t.Context())); err != nil {
			p.t.Fatal(err)
		}
	}
	err = p.dying(func() error {
		p.mayDie()
		if err := p.w.Commit(d, tx); err != nil {
			return err
		}
		p.sent = append(p.sent, tx)
		if p.rng.IntN(8) == 0 {
			panic(errKilled)
		}
		return p.send(tx)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if r := p.w.journal.byID[tx.TxID()]; r != nil && !slices.Contains(p.sent, tx) && p.rng != nil {
		p.sent = append(p.sent, tx) // killed in the write, which came to its end
	}
}

func (p *property) send(tx *consensus.Tx) error {
	defer func() { p.n.deaf = nil }()
	switch p.rng.IntN(6) {
	case 0:
		p.n.deaf = ErrRefused
	case 1:
		p.n.deaf = errors.New("lost on the way")
	}
	if err := p.n.Send(context.Background(), tx); errors.Is(err, ErrRefused) {
		p.did["refused"]++
		p.sent = slices.DeleteFunc(p.sent, func(x *consensus.Tx) bool { return x == tx })
		return p.w.Refused(tx.TxID())
	} else if err != nil {
		p.did["unknown"]++
		return nil
	}
	p.did["paid"]++
	if p.rng.IntN(8) == 0 {
		panic(errKilled)
	}
	return p.w.Sent(tx.TxID())
}

// reorg replaces some blocks. What they held goes back to the mempool, or is
// double-spent by the payer.
func (p *property) reorg() {
	depth := 1 + p.rng.IntN(5)
	var back []*consensus.Tx
	for _, b := range p.n.chain[len(p.n.chain)-depth:] {
		block, err := consensus.DecodeBlock(p.n.bodies[b.hash])
		if err != nil {
			p.t.Fatal(err)
		}
		back = append(back, block.Txs[1:]...)
	}
	p.n.cut(depth)
	p.n.pool = append(back, p.n.pool...)
	p.n.settle()
	p.did["reorg"]++
	for _, tx := range slices.Clone(p.n.pool) {
		coin, ok := p.n.coins[p.n.tip().hash][tx.In[0].PrevOut]
		if ok && coin.Key == p.base.payerOutKey && len(tx.In) == 1 && p.rng.IntN(2) == 0 {
			rival := p.payerTx(tx.In[0].PrevOut, coin.Value, []consensus.TxOut{{Value: coin.Value / 16, Script: consensus.TaprootScript(stranger)}})
			if p.n.Send(p.t.Context(), rival) == nil {
				p.did["reversed"]++
			}
		}
	}
	for range depth + 1 {
		p.mine()
	}
}

// check compares the wallet with the ledger.
func (p *property) check() {
	p.t.Helper()
	loading := p.n.loading
	p.n.loading = false
	p.sync()
	p.n.loading = loading
	keys := p.keys(p.w)
	p.checkSent()
	p.checkConflicts()
	p.checkHistory(p.w, keys)
	p.checkCoins(keys)
	p.checkBooks(keys)
}

// keys are the wallet's, as far as they were handed out or count.
func (p *property) keys(w *Wallet) map[[32]byte]bool {
	keys := make(map[[32]byte]bool)
	for chain := range uint32(2) {
		for i := range w.branch(chain).end {
			keys[w.testKey(p.t, KeyPath{chain, i})] = true
		}
	}
	for _, a := range p.given {
		if key := p.keyOf(a); !keys[key] {
			p.t.Fatalf("key %s was handed out and does not count", a.Key)
		}
	}
	return keys
}

// checkCoins compares the coins with those of the chain and the mempool, where
// what the wallet has sent belongs as long as it can.
func (p *property) checkCoins(keys map[[32]byte]bool) {
	p.t.Helper()
	view := consensus.NewView(p.n.coins[p.n.tip().hash])
	next := p.n.tip().state.Height + 1
	for _, tx := range append(slices.Clone(p.n.pool), p.sent...) {
		if _, _, ok := view.Inputs(tx); ok && !p.confirmed(tx) {
			view.ApplyTx(tx, tx.TxID(), next)
		}
	}
	want := make(map[consensus.OutPoint]consensus.Amount)
	removed, added := view.Changes()
	for o, c := range p.n.coins[p.n.tip().hash] {
		if _, gone := removed[o]; !gone && keys[c.Key] {
			want[o] = c.Value
		}
	}
	for o, c := range added {
		if keys[c.Key] {
			want[o] = c.Value
		}
	}
	got := make(map[consensus.OutPoint]consensus.Amount)
	for _, c := range p.w.Coins() {
		got[c.OutPoint] = c.Value
	}
	if !maps.Equal(got, want) {
		p.t.Fatalf("the wallet has %d coins %v\nthe ledger %d %v", len(got), got, len(want), want)
	}
}

func (p *property) confirmed(tx *consensus.Tx) bool {
	id := tx.TxID()
	for i := range tx.Out {
		if _, ok := p.n.coins[p.n.tip().hash][consensus.OutPoint{TxID: id, Index: uint32(i)}]; ok {
			return true
		}
	}
	return false // or all of it is spent, and then its inputs are too
}

// checkSent: what the wallet has sent and the node could take, the node has.
func (p *property) checkSent() {
	p.t.Helper()
	for _, tx := range p.sent {
		if _, err := p.n.fee(p.n.pool, tx); err == nil && !p.confirmed(tx) {
			p.t.Fatalf("payment %s was not sent again", tx.TxID())
		}
	}
}

// checkConflicts: what a block contradicts is known to be, and by what; and what
// is warned of was in a block and is in none.
func (p *property) checkConflicts() {
	p.t.Helper()
	spent := make(map[consensus.OutPoint]consensus.Hash)
	for _, b := range p.n.chain[1:] {
		block, err := consensus.DecodeBlock(p.n.bodies[b.hash])
		if err != nil {
			p.t.Fatal(err)
		}
		for _, tx := range block.Txs[1:] {
			for i := range tx.In {
				spent[tx.In[i].PrevOut] = tx.TxID()
			}
		}
	}
	for _, e := range p.w.History() {
		for _, in := range p.w.journal.byID[e.TxID].tx.In {
			by, ok := spent[in.PrevOut]
			if ok && by != e.TxID && (e.State != StateConflicted || e.By == nil || *e.By != by && len(p.w.journal.byID[e.TxID].tx.In) == 1) {
				p.t.Fatalf("%s has spent %s, and the wallet says %+v", by, in.PrevOut, e)
			}
		}
		if e.Warn && (e.Reversed == nil || e.State == StateConfirmed || e.State == StatePending) {
			p.t.Fatalf("a warning of a receipt that is there: %+v", e)
		}
	}
}

// ledgerEntry is an entry of the history as the ledger tells it.
type ledgerEntry struct {
	outputID
	kind   string
	amount consensus.Amount
	height uint32
}

// checkHistory compares what is confirmed with what the blocks say.
func (p *property) checkHistory(w *Wallet, keys map[[32]byte]bool) {
	p.t.Helper()
	var want, got []ledgerEntry
	for h := 1; h < len(p.n.chain); h++ {
		block, err := consensus.DecodeBlock(p.n.bodies[p.n.chain[h].hash])
		if err != nil {
			p.t.Fatal(err)
		}
		view := consensus.NewView(p.n.coins[p.n.chain[h-1].hash])
		for _, tx := range block.Txs {
			spent, _, _ := view.Inputs(tx)
			want = append(want, ledgerEntries(tx, spent, keys, uint32(h))...)
			view.ApplyTx(tx, tx.TxID(), uint32(h))
		}
	}
	var balance, ledger consensus.Amount
	for _, e := range w.History() {
		if e.State != StateConfirmed {
			continue
		}
		id := outputID{txid: e.TxID}
		if e.Vout != nil {
			id.vout = *e.Vout
		}
		got = append(got, ledgerEntry{id, e.Kind, e.Amount, e.Height})
		balance += e.Amount
		if e.Fee != nil {
			balance -= *e.Fee
		}
	}
	if !slices.Equal(got, want) {
		lacks := slices.DeleteFunc(slices.Clone(want), func(e ledgerEntry) bool { return slices.Contains(got, e) })
		extra := slices.DeleteFunc(got, func(e ledgerEntry) bool { return slices.Contains(want, e) })
		p.t.Fatalf("the history (gap %d) lacks %v\nof the ledger's, and has %v beyond", w.Gap(), lacks, extra)
	}
	for _, c := range p.n.coins[p.n.tip().hash] {
		if keys[c.Key] {
			ledger += c.Value
		}
	}
	if balance != ledger {
		p.t.Fatalf("the history sums up to %s, the ledger has %s", balance, ledger)
	}
}

func ledgerEntries(tx *consensus.Tx, spent []consensus.Coin, keys map[[32]byte]bool, height uint32) (list []ledgerEntry) {
	own, net := 0, consensus.Amount(0)
	for _, c := range spent {
		if keys[c.Key] {
			own, net = own+1, net-c.Value
		}
	}
	for i := range tx.Out {
		key, _ := consensus.TaprootKey(tx.Out[i].Script)
		e := ledgerEntry{outputID{tx.TxID(), uint32(i)}, KindReceived, tx.Out[i].Value, height}
		if keys[key] {
			net += tx.Out[i].Value
		}
		switch {
		case tx.IsCoinbase():
			e.kind = KindMined
		case own > 0:
			e.kind, e.amount = KindSent, -e.amount
		}
		if keys[key] == (own == 0) {
			list = append(list, e)
		}
	}
	if own > 0 && own < len(tx.In) { // only a part of the wallet's keys is looked at
		return []ledgerEntry{{outputID{txid: tx.TxID()}, KindJoint, net, height}}
	}
	if own > 0 && len(list) == 0 {
		list = append(list, ledgerEntry{outputID{txid: tx.TxID()}, KindSelf, 0, height})
	}
	return list
}

// checkBooks goes on with the books of an exchange, from where they stood.
func (p *property) checkBooks(keys map[[32]byte]bool) {
	p.t.Helper()
	fork, stale := p.fork(p.since)
	entries, removed := p.w.Since(fork, stale)
	for _, e := range removed {
		if e.Kind == KindReceived {
			delete(p.credit, outputID{e.TxID, *e.Vout})
		}
	}
	for _, e := range entries {
		if e.Kind == KindReceived && e.State == StateConfirmed {
			p.credit[outputID{e.TxID, *e.Vout}] = e.Amount
		}
	}
	_, tip := p.w.Scanned()
	p.since = tip.Hash
	want := make(map[outputID]consensus.Amount)
	for _, e := range p.w.History() {
		if e.Kind == KindReceived && e.State == StateConfirmed {
			want[outputID{e.TxID, *e.Vout}] = e.Amount
		}
	}
	if !maps.Equal(p.credit, want) {
		p.t.Fatalf("an exchange has credited %v, was paid %v", p.credit, want)
	}
}

// fork finds where a block leaves the chain.
func (p *property) fork(hash consensus.Hash) (fork Point, stale []consensus.Hash) {
	for {
		for h, b := range p.n.chain {
			if b.hash == hash {
				return Point{uint32(h), hash}, stale
			}
		}
		block, err := consensus.DecodeBlock(p.n.bodies[hash])
		if err != nil {
			p.t.Fatal(err)
		}
		stale, hash = append(stale, hash), block.Prev
	}
}

// restore makes the wallet anew from its words and the gap that was said, which
// finds all; or from a smaller one, which finds what that reaches.
func (p *property) restore() {
	p.t.Helper()
	p.n.index = !p.n.index
	pool := p.n.pool
	defer func() { p.n.pool = pool }()
	for _, gap := range []uint32{p.w.Gap(), 1 + p.rng.Uint32N(p.w.Gap())} {
		files := FilesOf(filepath.Join(p.t.TempDir(), "again.age"))
		again, err := Create(p.t.Context(), files, p.w.spec, CreateOptions{
			Mnemonic: propertyWords, Passphrase: testPassphrase, WorkFactor: testWorkFactor, Gap: gap,
		})
		if err != nil {
			p.t.Fatal(err)
		}
		defer again.Close()
		if err := again.Sync(p.t.Context(), p.n, nil); err != nil {
			p.t.Fatal(err)
		}
		keys := p.reached(gap)
		if gap == p.w.Gap() {
			keys = p.keys(p.w)
		}
		p.checkHistory(again, keys)
		p.n.pool = nil // or the second one would be told to widen its gap
	}
	p.did["restored"]++
}

// reached gives the keys that a gap reaches from the first one on, by what is in
// the chain.
func (p *property) reached(gap uint32) map[[32]byte]bool {
	paid, keys := make(map[[32]byte]bool), make(map[[32]byte]bool)
	for _, b := range p.n.chain {
		block, err := consensus.DecodeBlock(p.n.bodies[b.hash])
		if err != nil {
			p.t.Fatal(err)
		}
		for _, tx := range block.Txs {
			for i := range tx.Out {
				key, _ := consensus.TaprootKey(tx.Out[i].Script)
				paid[key] = true
			}
		}
	}
	for chain := range uint32(2) {
		for i, end := uint32(0), gap; i < end; i++ {
			key := p.w.testKey(p.t, KeyPath{chain, i})
			if keys[key] = true; paid[key] {
				end = i + 1 + gap
			}
		}
	}
	return keys
}
