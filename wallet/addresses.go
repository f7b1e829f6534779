package wallet

import (
	"context"
	"fmt"

	"lode/consensus"
)

// Address is an address of the wallet.
type Address struct {
	Address string `json:"address"`
	Key     KeyID  `json:"-"`
	Label   string `json:"label"`
	Used    bool   `json:"used"` // somebody was seen to pay to it
	Gap     uint32 `json:"-"`    // that a restore needs to find what is paid to it
}

func (w *Wallet) addressOf(key [32]byte) string {
	return consensus.Address(w.spec.Defaults.AddressPrefix, key)
}

// outputKey gives a key. It is derived anew and not taken from the journal: nobody
// is to be paid by what a file says.
func (w *Wallet) outputKey(id KeyID) (key [32]byte, err error) {
	b, ok := w.keys.branch(branchID{id.Source, id.Chain})
	if !ok {
		return key, fmt.Errorf("key %s: the wallet has no such keys", id)
	}
	if key, err = b.source.OutputKey(id.KeyPath); err != nil {
		return key, err
	}
	if int(id.Index) < len(b.keys) && b.keys[id.Index] != key {
		return key, fmt.Errorf("%s is %w: key %s in it is not the wallet's: move it away, and the blocks are scanned anew", w.files.Journal, ErrDamaged, id)
	}
	return key, nil
}

// Address describes a key.
func (w *Wallet) Address(id KeyID) (Address, error) {
	w.refresh()
	key, err := w.outputKey(id)
	if err != nil {
		return Address{}, err
	}
	b := w.keys.of(id)
	text := w.addressOf(key)
	a := Address{Address: text, Key: id, Label: w.doc.label(labelAddress, text), Gap: b.window.unused(id.Index) + 1}
	if id.IsSilent() && a.Label == "" {
		_, a.Label = w.silentOf(id)
	}
	a.Used = int(id.Index) < len(b.window.use) && b.window.use[id.Index]&useSeen != 0
	return a, nil
}

// AddressOptions say which receive address is wanted.
type AddressOptions struct {
	New       bool   // one that was never handed out
	Label     string // to remember with it
	BeyondGap bool   // even if a restore needs a wider gap, which is then kept
}

// Receive hands out a receive address: the first that nobody has paid to, as far
// as the wallet has seen, and that has no label of somebody else. The error is
// of kind ErrGap if a restore from the words might not find what is paid to it.
func (w *Wallet) Receive(o AddressOptions) (Address, error) {
	if err := checkLabel(o.Label); err != nil {
		return Address{}, err
	}
	w.refresh()
	b, err := w.role(ReceiveChain)
	if err != nil {
		return Address{}, err
	}
	id := KeyID{b.id.source, KeyPath{ReceiveChain, b.window.fresh()}}
	if o.New {
		id.Index = b.window.next()
	}
	var a Address
	for ; ; id.Index++ {
		var err error
		if a, err = w.Address(id); err != nil {
			return a, err
		}
		if !a.Used && (a.Label == "" || a.Label == o.Label && !o.New) {
			break
		}
	}
	if a.Gap > w.doc.Gap && w.sourced[id.Source].Account != nil {
		if !o.BeyondGap || a.Gap > MaxGap {
			return a, fmt.Errorf("%w: %d addresses before it have no confirmed payment, and a restore looks at %d: use one of them, or say --beyond-gap and restore with --gap %d",
				ErrGap, a.Gap-1, w.doc.Gap, a.Gap)
		}
		w.setGap(a.Gap)
	}
	if o.Label != "" && w.doc.setLabel(labelAddress, a.Address, o.Label) {
		w.docDirty = true
	}
	a.Label = w.doc.label(labelAddress, a.Address)
	if next := &w.doc.Sources[id.Source].Next[ReceiveChain]; *next <= id.Index {
		*next = id.Index + 1
		b.window.handed, w.docDirty, w.stale = *next, true, true
	}
	w.refresh()
	return a, w.widen(context.Background()) // some more keys
}

// Addresses gives the receive addresses that were handed out or used.
func (w *Wallet) Addresses() ([]Address, error) {
	w.refresh()
	list := []Address{}
	for _, b := range w.keys.branches {
		if b.id.chain != ReceiveChain || !w.shown(b.id.source) {
			continue
		}
		last := b.window.next()
		if b.window.most > 0 || b.window.least > 0 { // one key, or what its owner has named
			last = max(last, min(b.end, max(b.window.most, b.window.least)))
		}
		for i := range last {
			a, err := w.Address(KeyID{b.id.source, KeyPath{ReceiveChain, i}})
			if err != nil {
				return nil, err
			}
			list = append(list, a)
		}
	}
	return list, nil
}

// checkGap raises the gap to what a restore needs now: a reorganization, or
// payments that are waiting, can leave many keys unused in a row.
func (w *Wallet) checkGap() {
	w.refresh()
	need := w.doc.Gap
	for _, b := range w.keys.branches {
		if w.sourced[b.id.source].Account != nil {
			need = max(need, b.window.need())
		}
	}
	if need > w.doc.Gap && need <= MaxGap {
		w.notice("a restore from the words needs --gap %d from now on: so many keys in a row have no confirmed payment", need)
		w.setGap(need)
	}
}

// WidenGap has more unused keys in a row looked at, or fails: a gap never
// becomes narrower, as keys may have been handed out by it. If ctx ends it is what it was.
func (w *Wallet) WidenGap(ctx context.Context, gap uint32) error {
	if gap > MaxGap {
		return fmt.Errorf("a gap of %d: want at most %d", gap, MaxGap)
	}
	before := w.doc.Gap
	if gap > before {
		w.setGap(gap)
	}
	w.refresh()
	err := w.widen(ctx)
	if err != nil { // the keys that are derived by now stay, and do not count
		w.setGap(before)
		w.refresh()
	}
	return err
}

// Found sums up what is known of the keys.
type Found struct {
	Coins        int    `json:"coins"`        // unspent
	Transactions int    `json:"transactions"` // in blocks
	LastKey      int64  `json:"last_key"`     // the last receive key that was paid to; -1 if none was
	Gap          uint32 `json:"gap"`
}

// String is a sentence for people.
func (f Found) String() string {
	key := "no key was used yet"
	if f.LastKey >= 0 {
		key = fmt.Sprintf("up to key %d", f.LastKey)
	}
	return fmt.Sprintf("Found %d coins in %d transactions, %s; %d unused keys in a row were looked at (--gap).", f.Coins, f.Transactions, key, f.Gap)
}

// Found sums up what is known of the keys.
func (w *Wallet) Found() Found {
	w.refresh()
	f := Found{Coins: len(w.Coins()), LastKey: -1, Gap: w.doc.Gap}
	for _, r := range w.journal.list {
		if r.confirmed() && len(w.entries(r)) > 0 {
			f.Transactions++
		}
	}
	b, err := w.role(ReceiveChain)
	if err != nil {
		return f
	}
	for i := range min(int(b.end), len(b.window.use)) {
		if b.window.use[i]&useSeen != 0 {
			f.LastKey = int64(i)
		}
	}
	return f
}
