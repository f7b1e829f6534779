package wallet

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
	"lode/wallet/message"
)

// SignMessage signs a message with the key of an address of the wallet (BIP322 in
// its simple form).
func (w *Wallet) SignMessage(s *Secret, address string, text []byte) (string, error) {
	key, err := consensus.ParseAddress(w.spec.Defaults.AddressPrefix, address)
	if err != nil {
		return "", err
	}
	id, ok := w.keys.byKey.get(key)
	if !ok {
		return "", fmt.Errorf("address %s is not one of this wallet", address)
	}
	if w.doc.WatchOnly {
		return "", ErrWatchOnly
	}
	private, err := w.newSigner(s).outputPrivateKey(id)
	if err != nil {
		return "", err
	}
	defer private.Zero()
	if [32]byte(schnorr.SerializePubKey(private.PubKey())) != key {
		return "", fmt.Errorf("address %s is not one of this wallet", address)
	}
	return message.Sign(private, text)
}

// Owns reports whether the wallet looks for payments to a key.
func (w *Wallet) Owns(key [32]byte) bool {
	_, ok := w.keys.byKey.get(key)
	return ok
}
