package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lode/consensus"
)

// ErrChanged is the kind of the error of a draft that does not fit any more.
var ErrChanged = errors.New("the wallet has changed meanwhile")

// Commit puts the signed transaction of a draft into the journal, before it
// leaves the house: from then on its coins are not spent again, and it is sent
// until it is in a block. What became of it is told by Sent or Refused.
func (w *Wallet) Commit(d *Draft, tx *consensus.Tx) error {
	if err := w.stillFits(d); err != nil {
		return err
	}
	id := tx.TxID()
	if w.journal.byID.of(id) != nil {
		return fmt.Errorf("%w: it knows payment %s already", ErrChanged, id)
	}
	w.do(event{kind: evTx, n: uint64(w.now().Unix()), flags: flagOwn, raw: tx.Bytes()})
	w.noteSilent(d, id)
	if label := w.doc.label(labelTx, d.Replaces.String()); label != "" {
		w.docDirty = w.doc.setLabel(labelTx, id.String(), label) || w.docDirty
	}
	w.refresh()
	if err := w.widen(context.Background()); err != nil {
		return err
	}
	w.checkGap()
	if err := w.Save(); err != nil {
		w.forget(id)
		return err
	}
	return nil
}

// forget takes back a payment that could not be written down: the wallet would send
// it at the next Sync, and its owner, who was told of the error, would pay twice.
func (w *Wallet) forget(id consensus.Hash) {
	w.do(event{kind: evRemove, ref: id})
	_ = w.Save() // whoever saves next is told of the error
}

// stillFits makes sure that nothing has happened that a draft does not know of.
func (w *Wallet) stillFits(d *Draft) error {
	w.refresh()
	free := make(map[consensus.OutPoint]bool)
	for _, c := range w.Coins() {
		free[c.OutPoint] = c.Spendable() || c.TxID == d.Hastens
	}
	if old := w.journal.byID.of(d.Replaces); old != nil {
		coins, err := w.checkReplaceable(old)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrChanged, err)
		}
		for _, c := range coins {
			free[c.OutPoint] = true
		}
	}
	for _, c := range d.Spends {
		if !free[c.OutPoint] {
			return fmt.Errorf("%w: coin %s is not there any more; nothing was paid, try again", ErrChanged, c.OutPoint)
		}
	}
	if d.Change == 0 || d.elsewhere || w.paysKey(d.Replaces, d.changeKey) {
		return nil
	}
	if b := w.keys.of(d.changeKey); b.window.use[d.changeKey.Index]&useSeen != 0 {
		return fmt.Errorf("%w: another payment uses the key of its change; nothing was paid, try again", ErrChanged)
	}
	return nil
}

// paysKey reports whether a transaction of the journal pays a key of the wallet.
func (w *Wallet) paysKey(txid consensus.Hash, id KeyID) bool {
	r := w.journal.byID.of(txid)
	return r != nil && slices.ContainsFunc(r.tx.Out, func(out consensus.TxOut) bool {
		found, ok := w.keys.find(out.Script)
		return ok && found == id
	})
}

// Sent notes that a node has a transaction of the wallet, in its mempool, and so
// none that spends the same coins.
func (w *Wallet) Sent(id consensus.Hash) error {
	r := w.journal.byID.of(id)
	if r == nil {
		return w.Save()
	}
	w.do(event{kind: evSent, ref: id, n: uint64(w.now().Unix())})
	if r.confirmed() {
		return w.Save()
	}
	for i := range r.tx.In {
		for _, other := range w.journal.spenders(r.tx.In[i].PrevOut) {
			if is := other == r; other.pooled != is {
				other.pooled = is
				w.do(event{kind: evFlags, ref: other.id, flags: other.flags()})
			}
		}
	}
	return w.Save()
}

// Refused forgets a transaction that no node has taken: its coins are free, and
// its change key is as good as new. One that was sent before is kept.
func (w *Wallet) Refused(id consensus.Hash) error {
	if r := w.journal.byID.of(id); r != nil && r.own && r.sent == 0 && !r.pooled && !r.confirmed() && len(r.was) == 0 {
		w.do(event{kind: evRemove, ref: id})
	}
	return w.Save()
}

// Interrupted lists payments of which it is not known whether a node ever had
// them: a command ended between writing them down and hearing of it.
func (w *Wallet) Interrupted() (list []Entry) {
	for _, e := range w.History() {
		if e.Unsent && e.State == StatePending {
			list = append(list, e)
		}
	}
	return list
}
