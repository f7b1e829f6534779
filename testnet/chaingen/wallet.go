package chaingen

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// walletSize is how many keys a chain's coins belong to.
const walletSize = 8

// wallet is private keys by their output keys (BIP341), which are not tweaked.
type wallet struct {
	private map[[32]byte]*btcec.PrivateKey
	keys    [][32]byte // in order, so that a seed always chooses the same
}

func newWallet(seed uint64) wallet {
	w := wallet{private: make(map[[32]byte]*btcec.PrivateKey, walletSize)}
	for i := range walletSize {
		secret := sha256.Sum256(fmt.Appendf(nil, "chaingen key %d of %d", i, seed))
		private, _ := btcec.PrivKeyFromBytes(secret[:])
		w.private[[32]byte(schnorr.SerializePubKey(private.PubKey()))] = private
	}
	w.keys = slices.SortedFunc(maps.Keys(w.private), func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	return w
}

// script pays to one of the keys.
func (w wallet) script(random *rand.Rand) []byte {
	return consensus.TaprootScript(w.keys[random.IntN(len(w.keys))])
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
		sig, err := schnorr.Sign(c.wallet.private[coins[i].Key], message[:], schnorr.FastSign())
		if err != nil {
			panic(err)
		}
		tx.In[i].Witness = [][]byte{sig.Serialize()}
	}
}

// spend is a transaction, not signed yet, that shares coins out evenly, or nil
// if they are not worth it.
func (c *Chain) spend(view *consensus.View, from []consensus.OutPoint, outputs int) *unsigned {
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
	return &unsigned{tx, coins}
}

// unsigned is a transaction and the coins that it spends.
type unsigned struct {
	tx    *consensus.Tx
	coins []consensus.Coin
}

// signAll signs transactions on all cores: no id depends on a signature, so it
// can wait until a block is full.
func (c *Chain) signAll(txs []*unsigned) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(txs)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(txs); i = int(next.Add(1)) - 1 {
				c.Sign(txs[i].tx, txs[i].coins)
			}
		})
	}
	workers.Wait()
}
