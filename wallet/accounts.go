package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrNoAccount is the kind of the error for an account that the wallet does not
// know yet: AddAccount adds it.
var ErrNoAccount = errors.New("the wallet does not know this account yet")

// maxAccount bounds the numbers of accounts: a restore tries them one by one.
const maxAccount = 999

// SelectAccount has the wallet show one account of the words alone: its addresses,
// coins, balance and history, and spend its coins alone. Without it the wallet is
// account 0 and all descriptors that were imported.
func (w *Wallet) SelectAccount(n uint32) error {
	if !slices.ContainsFunc(w.sourced, func(s *source) bool { return s.Account != nil && *s.Account == n }) {
		return fmt.Errorf("account %d: %w", n, ErrNoAccount)
	}
	w.selected = &n
	return nil
}

// AddAccount adds an account of the words (BIP86). What pays it is looked for by
// the next Sync.
func (w *Wallet) AddAccount(n uint32, s *Secret) error {
	if n > maxAccount {
		return fmt.Errorf("account %d: want at most %d", n, maxAccount)
	}
	if slices.ContainsFunc(w.sourced, func(s *source) bool { return s.Account != nil && *s.Account == n }) {
		return nil
	}
	if w.doc.WatchOnly {
		return ErrWatchOnly
	}
	account, err := s.account(w.spec, n)
	if err != nil {
		return err
	}
	doc := account.sourceDoc()
	if _, err := w.addSource(doc); err != nil {
		return err
	}
	w.doc.Sources = append(w.doc.Sources, doc)
	w.docDirty, w.stale = true, true
	w.refresh()
	return w.widen(context.Background())
}

// DropAccount forgets the account that was added last, if nobody has paid it: one
// that a restore has looked for in vain.
func (w *Wallet) DropAccount(n uint32) error {
	last := len(w.sourced) - 1
	if last < 1 || w.sourced[last].Account == nil || *w.sourced[last].Account != n || w.AccountUsed(n) {
		return fmt.Errorf("account %d cannot be forgotten", n)
	}
	w.sourced, w.doc.Sources = w.sourced[:last], w.doc.Sources[:last]
	w.keys.drop(uint32(last))
	w.docDirty, w.stale, w.rewrite = true, true, true
	w.refresh()
	return w.Save()
}

// AccountUsed reports whether anybody was seen to pay an account.
func (w *Wallet) AccountUsed(n uint32) bool {
	w.refresh()
	for _, b := range w.keys.branches {
		if a := w.sourced[b.id.source].Account; a == nil || *a != n {
			continue
		}
		if slices.ContainsFunc(b.window.use[:min(int(b.end), len(b.window.use))], func(u keyUse) bool { return u&useSeen != 0 }) {
			return true
		}
	}
	return false
}

// Accounts lists the accounts of the words that the wallet knows.
func (w *Wallet) Accounts() (list []uint32) {
	for _, s := range w.sourced {
		if s.Account != nil {
			list = append(list, *s.Account)
		}
	}
	slices.Sort(list)
	return list
}
