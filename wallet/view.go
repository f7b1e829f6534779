package wallet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"lode/consensus"
)

// TxView is a transaction that concerns a wallet, with all that is known of it:
// what the calls of Bitcoin Core's wallet tell, in the wallet's own words.
type TxView struct {
	ID        consensus.Hash
	Tx        *consensus.Tx  // not to be changed
	Order     uint64         // in which they were first seen, rising
	Seen      time.Time      // by the wallet for the first time
	Own       bool           // made by this wallet
	State     State          // what became of it
	By        consensus.Hash // of a rival, if State is replaced or conflicted
	Pooled    bool           // the node has it in its mempool, as far as is known
	Abandoned bool           // by its owner
	Trusted   bool           // confirmed, or pending and only the wallet can take it back
	Mature    bool           // false for a coinbase that is too young
	Height    uint32         // of the block that holds it; 0 for none
	BlockHash consensus.Hash
	BlockPos  uint32 // of the transaction in the block
	BlockTime time.Time
	// Depth counts the block that holds it and those on top of it. It is negative
	// if a block holds a rival: then it counts from that one.
	Depth    int
	Rivals   []consensus.Hash // that spend a coin of it, whatever became of them
	Replaces bool             // one of them had to give way to it
	Inputs   int              // of the wallet
	Debit    consensus.Amount // sat, of these
	Outputs  []OutputView     // one for each output
}

// OutputView is an output of a TxView.
type OutputView struct {
	Mine    bool
	Change  bool   // Mine, and its address was never handed out nor labelled
	Key     KeyID  // if Mine
	Address string // empty for data
}

// Credit sums the outputs that are the wallet's.
func (v *TxView) Credit() (sum consensus.Amount) {
	for i, o := range v.Outputs {
		if o.Mine {
			sum += v.Tx.Out[i].Value
		}
	}
	return sum
}

// Fee is what the wallet has paid, if all inputs are its own.
func (v *TxView) Fee() (consensus.Amount, bool) {
	return v.Debit - v.Tx.OutputSum(), v.Inputs > 0 && v.Inputs == len(v.Tx.In)
}

// Transactions describes all transactions that pay the wallet or spend from it,
// in the order in which they were first seen.
func (w *Wallet) Transactions() []TxView {
	w.refresh()
	trust, list := make(map[*record]bool), make([]TxView, 0, len(w.journal.list))
	for _, r := range w.journal.list {
		if v := w.view(r, trust); v.Inputs > 0 || v.paysWallet() {
			list = append(list, v)
		}
	}
	return list
}

// Transaction describes one of Transactions.
func (w *Wallet) Transaction(id consensus.Hash) (v TxView, ok bool) {
	w.refresh()
	r := w.journal.byID.of(id)
	if r == nil {
		return v, false
	}
	v = w.view(r, make(map[*record]bool))
	return v, v.Inputs > 0 || v.paysWallet()
}

func (v *TxView) paysWallet() bool {
	return slices.ContainsFunc(v.Outputs, func(o OutputView) bool { return o.Mine })
}

func (w *Wallet) view(r *record, trust map[*record]bool) TxView {
	verdict := verdictOf(w.verdicts, r)
	v := TxView{
		ID: r.id, Tx: r.tx, Order: r.seq, Seen: time.Unix(r.seen, 0), Own: r.own, State: verdict.state, By: verdict.by,
		Pooled: r.pooled, Abandoned: r.abandoned, Mature: w.mature(r), Depth: int(w.confirmations(r)),
	}
	v.Trusted = verdict.live() && w.trusted(r, trust) && (r.confirmed() || r.pooled || r.sent != 0)
	if r.confirmed() {
		v.Height, v.BlockHash, v.BlockPos = r.block.Height, r.block.Hash, r.block.pos
		v.BlockTime = time.Unix(int64(r.block.time), 0)
	}
	if rival := w.journal.byID.of(verdict.by); rival != nil && verdict.state == StateConflicted {
		v.Depth = -int(w.confirmations(rival))
	}
	for i := range r.tx.In {
		if _, value, ok := w.counted(r.tx.In[i].PrevOut); ok {
			v.Inputs, v.Debit = v.Inputs+1, v.Debit+value
		}
		for _, rival := range w.journal.spenders(r.tx.In[i].PrevOut) {
			if rival == r || r.tx.IsCoinbase() || slices.Contains(v.Rivals, rival.id) {
				continue
			}
			v.Rivals = append(v.Rivals, rival.id)
			v.Replaces = v.Replaces || verdict.live() && verdictOf(w.verdicts, rival).state == StateReplaced
		}
	}
	for i := range r.tx.Out {
		v.Outputs = append(v.Outputs, w.viewOutput(r.tx.Out[i].Script))
	}
	return v
}

func (w *Wallet) viewOutput(script []byte) (o OutputView) {
	key, ok := consensus.TaprootKey(script)
	if !ok {
		return o
	}
	o.Address = w.addressOf(key)
	if o.Key, o.Mine = w.mine(script); o.Mine {
		o.Change = !w.HandedOut(o.Key) && w.doc.label(labelAddress, o.Address) == ""
	}
	return o
}

// HandedOut reports whether the address of a key is one to be paid by others: it
// was handed out, or one behind it was seen to be paid.
func (w *Wallet) HandedOut(id KeyID) bool {
	b, ok := w.keys.branch(branchID{id.Source, id.Chain})
	return ok && id.IsSilent() || ok && id.Chain == ReceiveChain && id.Index < b.window.next()
}

// KeyOf gives the key that an output key belongs to, if it counts.
func (w *Wallet) KeyOf(key [32]byte) (KeyID, bool) {
	w.refresh()
	return w.mine(consensus.TaprootScript(key))
}

// Label is what the owner has said of an address, a transaction (TXID) or an output
// (TXID:N), by the types of BIP329; empty if nothing.
func (w *Wallet) Label(kind, ref string) string { return w.doc.label(kind, ref) }

// SetLabel notes what the owner says of it; empty for nothing.
func (w *Wallet) SetLabel(kind, ref, label string) error {
	if err := checkLabel(label); err != nil {
		return err
	}
	if w.doc.setLabel(kind, ref, label) {
		w.docDirty = true
	}
	return nil
}

// Labels lists all labels, by type and reference.
func (w *Wallet) Labels() []Label { return slices.Clone(w.doc.Labels) }

// Touched gives the transactions of which anything has changed since it was asked
// last, in the order in which that happened.
func (w *Wallet) Touched() []consensus.Hash {
	list := w.touched
	w.touched = nil
	return list
}

// maxTouched bounds what is remembered for Touched.
const maxTouched = 10_000

// touch notes that something of a transaction has changed.
func (w *Wallet) touch(e *event) {
	switch e.kind {
	case evTx:
		if n := len(w.journal.list); n > 0 {
			w.touchID(w.journal.list[n-1].id)
		}
	case evBlock:
		w.touchID(e.ref)
	}
}

func (w *Wallet) touchID(id consensus.Hash) {
	if n := len(w.touched); n < maxTouched && (n == 0 || w.touched[n-1] != id) {
		w.touched = append(w.touched, id)
	}
}

// BookEntry is an address that the wallet's owner has given out, or has labelled.
type BookEntry struct {
	Address string
	Label   string
	Mine    bool
	Key     [32]byte // the output key
}

// Book lists the addresses that were handed out, or that are labelled, sorted.
func (w *Wallet) Book() (list []BookEntry) {
	w.refresh()
	have := make(map[string]bool)
	for _, b := range w.keys.branches {
		if b.id.chain != ReceiveChain || !w.shown(b.id.source) {
			continue
		}
		for _, key := range b.keys[:min(int(b.window.next()), len(b.keys))] {
			address := w.addressOf(key)
			have[address] = true
			list = append(list, BookEntry{address, w.doc.label(labelAddress, address), true, key})
		}
	}
	for _, l := range w.doc.Labels {
		if l.Type != labelAddress || have[l.Ref] {
			continue
		}
		if key, err := consensus.ParseAddress(w.spec.Defaults.AddressPrefix, l.Ref); err == nil {
			_, mine := w.mine(consensus.TaprootScript(key))
			list = append(list, BookEntry{l.Ref, l.Label, mine, key})
		}
	}
	slices.SortFunc(list, func(a, b BookEntry) int { return cmp.Compare(a.Address, b.Address) })
	return list
}

// RawChange hands out a change address that no payment of the wallet will use.
func (w *Wallet) RawChange() (Address, error) {
	w.refresh()
	b, err := w.role(ChangeChain)
	if err != nil {
		return Address{}, err
	}
	id := KeyID{b.id.source, KeyPath{ChangeChain, b.window.next()}}
	a, err := w.Address(id)
	if err != nil {
		return a, err
	}
	if a.Gap > MaxGap {
		return a, fmt.Errorf("%w: %d change addresses in a row have no confirmed payment", ErrGap, a.Gap-1)
	}
	if a.Gap > w.doc.Gap && w.sourced[id.Source].Account != nil {
		w.setGap(a.Gap)
	}
	w.doc.Sources[id.Source].Next[ChangeChain] = id.Index + 1
	b.window.handed, w.docDirty, w.stale = id.Index+1, true, true
	w.refresh()
	return a, w.widen(context.Background()) // one more key
}
