package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
	"lode/wallet/silent"
)

// SilentPayees are the payees of a payment, by number, that are paid silently (BIP352): their
// output keys follow from the coins that are spent and from the keys of these.
type SilentPayees map[int]silent.Address

// OutputKeys derives the keys. Payees to one scan key get theirs in the order of their numbers.
func (p SilentPayees) OutputKeys(spends []Coin, private func(input int) (*btcec.PrivateKey, error)) (map[int][32]byte, error) {
	inputs, keys := make([]consensus.OutPoint, len(spends)), make([]silent.InputKey, len(spends))
	defer func() {
		for _, key := range keys {
			if key.Secret != nil {
				key.Secret.Zero()
			}
		}
	}()
	for i := range spends {
		key, err := private(i)
		if err != nil {
			return nil, fmt.Errorf("coin %s cannot pay silently: that takes its private key, which no one has alone if it belongs to several owners (MuSig2): %w", spends[i].OutPoint, err)
		}
		inputs[i], keys[i] = spends[i].OutPoint, silent.InputKey{Secret: key, Taproot: true}
	}
	numbers := slices.Sorted(maps.Keys(p))
	to := make([]silent.Address, len(numbers))
	for i, n := range numbers {
		to[i] = p[n]
	}
	outputs, err := silent.Outputs(inputs, keys, to)
	if err != nil {
		return nil, err
	}
	found := make(map[int][32]byte)
	for i, n := range numbers {
		found[n] = outputs[i]
	}
	return found, nil
}

// SilentTo is the silent address that a payee of a draft is paid through.
func (d *Draft) SilentTo(payee int) (a silent.Address, ok bool) {
	late, _ := d.late.(SilentPayees)
	a, ok = late[payee]
	return a, ok
}

// IsSilent reports whether outputs of a draft follow from its inputs, so that whoever changes
// these must derive those anew: what is given away half done cannot have any.
func (d *Draft) IsSilent() bool { return d.late != nil }

// ErrSilentPSBT is the kind of the error for a silent payment that is to be signed elsewhere.
var ErrSilentPSBT = errors.New("silent payments cannot be made by PSBT: the output follows from the private keys of all inputs, and this program does not write the fields of BIP375")

// noteSilent writes down which outputs of a payment are silent, and to whom: without that they
// could not be derived anew when it is replaced.
func (w *Wallet) noteSilent(d *Draft, id consensus.Hash) {
	late, _ := d.late.(SilentPayees)
	for _, n := range slices.Sorted(maps.Keys(late)) {
		a := late[n]
		w.do(event{kind: evSilentTo, ref: id, n: uint64(d.outputs[n]), raw: append(a.Scan[:], a.Spend[:]...)})
	}
}

// silentToSize is of what evSilentTo holds.
const silentToSize = 2 * 33

// lateKeys gives what is needed to derive outputs of a transaction anew when it is
// replaced by one with other coins, or nil: outs are the outputs of the payees.
func (w *Wallet) lateKeys(r *record, outs []int) LateKeys {
	late := make(SilentPayees)
	for payee, n := range outs {
		if a, ok := r.silent[uint32(n)]; ok {
			late[payee] = a
		}
	}
	if len(late) == 0 {
		return nil
	}
	return late
}

// checkSilent makes sure that outputs which are named for a replacement are not those that
// follow from the coins of what it replaces: with other coins nobody would find them.
func (b *Bump) checkSilent(r *record) error {
	for _, out := range b.Outputs {
		for n := range r.silent {
			if bytes.Equal(out.Script, r.tx.Out[n].Script) {
				return fmt.Errorf("transaction %s %w with the outputs that are named: output %d is a silent payment, which follows from its coins; do not name outputs", r.id, ErrBump, n)
			}
		}
	}
	return nil
}

// mayAddCoins reports whether a transaction may be replaced by one with more coins. One that the
// wallet knows from the chain alone, as after a restore, may pay silently, which nobody can tell.
func (w *Wallet) mayAddCoins(id consensus.Hash) bool {
	r := w.journal.byID.of(id)
	return r != nil && r.own
}
