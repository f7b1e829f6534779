package testchain

import (
	"crypto/sha256"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// Key is a private key by its number.
type Key int

func (k Key) private() *btcec.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "test key %d", int(k)))
	private, _ := btcec.PrivKeyFromBytes(seed[:])
	return private
}

// Public is the output key (BIP341), which is not tweaked.
func (k Key) Public() [32]byte {
	return [32]byte(schnorr.SerializePubKey(k.private().PubKey()))
}

// Script is the output script of k.
func (k Key) Script() []byte { return consensus.TaprootScript(k.Public()) }

// Pay is an output to k.
func (k Key) Pay(value consensus.Amount) consensus.TxOut {
	return consensus.TxOut{Value: value, Script: k.Script()}
}

// Sign signs a message without auxiliary randomness.
func (k Key) Sign(message consensus.Hash) []byte {
	sig, err := schnorr.Sign(k.private(), message[:], schnorr.FastSign())
	if err != nil {
		panic(err)
	}
	return sig.Serialize()
}

// SignInput signs one input of tx, which spends coins, and sets its witness. A
// nil annex is none.
func (k Key) SignInput(tx *consensus.Tx, coins []consensus.Coin, input int, t consensus.SigHashType, annex []byte) {
	spent := make([]consensus.TxOut, len(coins))
	for i := range coins {
		spent[i] = coins[i].Output()
	}
	message, ok := consensus.NewSigHasher(tx, spent).SigHash(input, t, annex)
	if !ok {
		panic("no signature hash for this type and input")
	}
	sig := k.Sign(message)
	if t != consensus.SigHashDefault {
		sig = append(sig, byte(t))
	}
	tx.In[input].Witness = [][]byte{sig}
	if annex != nil {
		tx.In[input].Witness = append(tx.In[input].Witness, annex)
	}
}

// Unsigned spends outpoints, with final sequences.
func Unsigned(from []consensus.OutPoint, outs ...consensus.TxOut) *consensus.Tx {
	tx := &consensus.Tx{Version: 2, Out: outs}
	for _, o := range from {
		tx.In = append(tx.In, consensus.TxIn{PrevOut: o, Sequence: 0xffffffff})
	}
	return tx
}

// Sign signs all inputs of tx, whose coins belong to keys, and gives it back.
func (c *Chain) Sign(tx *consensus.Tx, keys ...Key) *consensus.Tx {
	coins, missing, ok := consensus.NewView(c.Coins).Inputs(tx)
	if !ok {
		panic("no coin " + missing.String())
	}
	for i, k := range keys {
		k.SignInput(tx, coins, i, consensus.SigHashDefault, nil)
	}
	return tx
}

// Spend spends the coinbase of the block at a height, all in good form.
func (c *Chain) Spend(height uint32, outs ...consensus.TxOut) *consensus.Tx {
	return c.Sign(Unsigned([]consensus.OutPoint{c.Coinbase(height)}, outs...), Key(height))
}
