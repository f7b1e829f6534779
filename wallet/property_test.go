package wallet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"lode/consensus"
	"lode/wallet/descriptor"
)

// propertySeeds is how many histories TestAnyHistory draws, unless
// LODE_TEST_WALLET_SEEDS says another number. LODE_TEST_WALLET_SEED is the first.
const propertySeeds = 6

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
	payer       *descriptor.Descriptor
	payerOutKey [32]byte
}

func newPropertyBase(t *testing.T) *propertyBase {
	b := &propertyBase{node: newSimNode(t)}
	var err error
	if b.payer, err = descriptorOfWords(testWords, 1); err != nil {
		t.Fatal(err)
	}
	if b.payerOutKey, err = b.payer.OutputKey(0); err != nil {
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
	private, err := p.base.payer.OutputPrivateKey(0)
	if err != nil {
		p.t.Fatal(err)
	}
	sig, err := sign(private, consensus.NewSigHasher(tx, []consensus.TxOut{spent.Output()}), 0)
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
	d, err := p.w.Draft(Payment{Payees: []Payee{{to, amount}}, Rate: 1000, SubtractFee: p.rng.IntN(2) == 0})
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
	if r := p.w.journal.byID.of(tx.TxID()); r != nil && !slices.Contains(p.sent, tx) && p.rng != nil {
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
