package wallet

import (
	"maps"
	"path/filepath"
	"slices"

	"lode/consensus"
)

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
		for _, in := range p.w.journal.byID.of(e.TxID).tx.In {
			by, ok := spent[in.PrevOut]
			if ok && by != e.TxID && (e.State != StateConflicted || e.By == nil || *e.By != by && len(p.w.journal.byID.of(e.TxID).tx.In) == 1) {
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
