package wallet

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lode/consensus"
)

// Kinds of errors of what the owner says of coins and payments.
var (
	ErrNoCoin    = errors.New("the wallet has no such coin")
	ErrNoPayment = errors.New("the wallet has made no such payment")
	ErrSettled   = errors.New("cannot be given up")
)

// ParseOutPoint reads txid:index.
func ParseOutPoint(s string) (o consensus.OutPoint, err error) {
	txid, index, found := strings.Cut(s, ":")
	if o.TxID, err = consensus.ParseHash(txid); err == nil && found {
		var n uint64
		if n, err = strconv.ParseUint(index, 10, 32); err == nil {
			o.Index = uint32(n)
			return o, nil
		}
	}
	return o, fmt.Errorf("%.100q is no coin: want TXID:N", s)
}

// Lock keeps a coin from being spent until Unlock.
func (w *Wallet) Lock(o consensus.OutPoint) error {
	if !slices.ContainsFunc(w.Coins(), func(c Coin) bool { return c.OutPoint == o }) {
		return fmt.Errorf("%s: %w", o, ErrNoCoin)
	}
	if i, locked := slices.BinarySearch(w.doc.Locked, o.String()); !locked {
		w.doc.Locked, w.docDirty = slices.Insert(w.doc.Locked, i, o.String()), true
	}
	return nil
}

// Hold is Lock until the wallet is closed: it is not written down.
func (w *Wallet) Hold(o consensus.OutPoint) {
	if w.held == nil {
		w.held = make(map[consensus.OutPoint]bool)
	}
	w.held[o] = true
}

// Held lists the coins that are locked by Hold, sorted.
func (w *Wallet) Held() []string {
	var list []string
	for o := range w.held {
		list = append(list, o.String())
	}
	slices.Sort(list)
	return list
}

// Unlock lets a coin be spent again. It reports whether it was locked.
func (w *Wallet) Unlock(o consensus.OutPoint) bool {
	held := w.held[o]
	delete(w.held, o)
	i, locked := slices.BinarySearch(w.doc.Locked, o.String())
	if locked {
		w.doc.Locked, w.docDirty = slices.Delete(w.doc.Locked, i, i+1), true
	}
	return locked || held
}

// Locked lists the coins that are locked, whether they are still there or not.
func (w *Wallet) Locked() []string { return slices.Clone(w.doc.Locked) }

// Abandon gives up a payment of the wallet that is in no block and that the node
// does not have: its coins may be spent again, and it is not sent again. Should a
// node have it after all, it counts.
func (w *Wallet) Abandon(txid consensus.Hash) error {
	w.refresh()
	r := w.journal.byID.of(txid)
	switch {
	case r == nil || !r.own:
		return fmt.Errorf("%s: %w", txid, ErrNoPayment)
	case r.confirmed():
		return fmt.Errorf("payment %s %w: block %d holds it", txid, ErrSettled, r.block.Height)
	case r.pooled:
		return fmt.Errorf("payment %s %w: the node has it in its mempool and goes on with it", txid, ErrSettled)
	}
	if !r.abandoned {
		r.abandoned = true
		w.do(event{kind: evFlags, ref: r.id, flags: r.flags()})
	}
	w.refresh()
	return nil
}
