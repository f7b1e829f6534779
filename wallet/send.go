package wallet

import (
	"crypto/rand"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// Sign gives the signed transaction of a draft, after it has passed the rules
// that a block would apply to it.
func (w *Wallet) Sign(d *Draft, s *Secret) (*consensus.Tx, error) {
	if w.doc.WatchOnly {
		return nil, ErrWatchOnly
	}
	keys := w.newSigner(s)
	coins := make([]consensus.Coin, len(d.Spends))
	spent := make([]consensus.TxOut, len(d.Spends))
	for i, c := range d.Spends {
		key, err := w.outputKey(c.Key)
		if err != nil {
			return nil, err
		}
		coins[i] = consensus.Coin{Value: c.Value, Key: key, Height: c.Height, Coinbase: c.Coinbase}
		spent[i] = coins[i].Output()
	}
	tx := d.Tx.Clone()
	if err := d.deriveLate(tx, keys); err != nil {
		return nil, err
	}
	hasher := consensus.NewSigHasher(tx, spent)
	for i, c := range d.Spends {
		private, err := keys.outputPrivateKey(c.Key)
		if err != nil {
			return nil, fmt.Errorf("signing input %d: %w", i, err)
		}
		signature, err := sign(private, hasher, i)
		private.Zero()
		if err != nil {
			return nil, fmt.Errorf("signing input %d: %w", i, err)
		}
		tx.In[i].Witness = [][]byte{signature}
	}
	if err := w.verify(d, tx, coins); err != nil {
		return nil, fmt.Errorf("the transaction that was made is not valid, nothing was sent: %w", err)
	}
	return tx, nil
}

// deriveLate fills in the output keys that follow from the coins that are spent.
func (d *Draft) deriveLate(tx *consensus.Tx, keys *signer) error {
	if d.late == nil {
		return nil
	}
	found, err := d.late.OutputKeys(d.Spends, func(input int) (*btcec.PrivateKey, error) {
		return keys.outputPrivateKey(d.Spends[input].Key)
	})
	if err != nil {
		return fmt.Errorf("deriving the outputs of the payment: %w", err)
	}
	for i, key := range found {
		if i < 0 || i >= len(d.Payees) {
			return fmt.Errorf("deriving the outputs of the payment: there is no payee %d", i+1)
		}
		d.Payees[i].To = key
		tx.Out[d.outputs[i]].Script = consensus.TaprootScript(key)
	}
	return nil
}

// sign gives the signature of one input over everything (SIGHASH_DEFAULT), with
// fresh randomness in its nonce (BIP340).
func sign(private *btcec.PrivateKey, hasher *consensus.SigHasher, input int) ([]byte, error) {
	message, ok := hasher.SigHash(input, consensus.SigHashDefault, nil)
	if !ok {
		return nil, consensus.ErrSigHashType
	}
	var aux [32]byte
	if _, err := rand.Read(aux[:]); err != nil {
		return nil, fmt.Errorf("reading random bytes: %w", err)
	}
	signature, err := schnorr.Sign(private, message[:], schnorr.CustomNonce(aux))
	if err != nil {
		return nil, err
	}
	return signature.Serialize(), nil
}

// verify judges the wallet's own work as a node will.
func (w *Wallet) verify(d *Draft, tx *consensus.Tx, coins []consensus.Coin) error {
	rules, next := &w.spec.Rules, w.points.tip().Height+1
	if err := rules.CheckTx(tx); err != nil {
		return err
	}
	for i := range coins {
		if coins[i].Height == 0 { // pending: at best it is in the same block
			coins[i].Height = next
		}
	}
	fee, err := rules.CheckInputs(tx, coins, next)
	if err != nil {
		return err
	}
	if fee != d.Fee {
		return fmt.Errorf("it pays a fee of %s, want %s", fee, d.Fee)
	}
	for _, check := range consensus.SpendChecks(tx, tx.TxID(), coins) {
		signature, err := check.Signature()
		if err != nil {
			return err
		}
		if !signature.Verify() {
			return check.Invalid()
		}
	}
	return nil
}
