package chaingen

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// walletSize is how many keys a chain's coins belong to.
const walletSize = 8

// wallet is private keys by their output keys (BIP341), which are not tweaked.
type wallet map[[32]byte]*btcec.PrivateKey

func newWallet(seed uint64) wallet {
	w := make(wallet, walletSize)
	for i := range walletSize {
		secret := sha256.Sum256(fmt.Appendf(nil, "chaingen key %d of %d", i, seed))
		private, _ := btcec.PrivKeyFromBytes(secret[:])
		w[[32]byte(schnorr.SerializePubKey(private.PubKey()))] = private
	}
	return w
}

// script pays to one of the keys.
func (w wallet) script(random *rand.Rand) []byte {
	keys := slices.SortedFunc(maps.Keys(w), func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	return consensus.TaprootScript(keys[random.IntN(len(keys))])
}

// Script pays to one of the chain's keys.
func (c *Chain) Script() []byte { return c.wallet.script(c.random) }

// Sign signs every input of tx, which spends coins of the chain's keys, one for
// each input.
func (c *Chain) Sign(tx *consensus.Tx, coins []consensus.Coin) {
	spent := make([]consensus.TxOut, len(coins))
	for i := range coins {
		spent[i] = coins[i].Output()
	}
	hasher := consensus.NewSigHasher(tx, spent)
	for i := range tx.In {
		message, _ := hasher.SigHash(i, consensus.SigHashDefault, nil)
		sig, err := schnorr.Sign(c.wallet[coins[i].Key], message[:], schnorr.FastSign())
		if err != nil {
			panic(err)
		}
		tx.In[i].Witness = [][]byte{sig.Serialize()}
	}
}

// spend is a signed transaction that shares coins out evenly, or nil if they are
// not worth it.
func (c *Chain) spend(view *consensus.View, from []consensus.OutPoint, outputs int) *consensus.Tx {
	tx := &consensus.Tx{Version: 2}
	for _, o := range from {
		tx.In = append(tx.In, consensus.TxIn{PrevOut: o, Sequence: 0xffffffff})
	}
	coins, _, ok := view.Inputs(tx)
	if !ok {
		panic("a coin was taken that is not there")
	}
	var sum consensus.Amount
	for i := range coins {
		sum += coins[i].Value
	}
	share := (sum - c.Params.Fee) / consensus.Amount(outputs)
	if share <= 0 {
		return nil
	}
	for range outputs {
		tx.Out = append(tx.Out, consensus.TxOut{Value: share, Script: c.Script()})
	}
	tx.Out[0].Value += sum - c.Params.Fee - share*consensus.Amount(outputs)
	c.Sign(tx, coins)
	return tx
}
