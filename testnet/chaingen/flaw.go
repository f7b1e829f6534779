package chaingen

import "lode/consensus"

// Flaw is one rule that a block breaks.
type Flaw int

// The flaws. The hash of the block does not commit to the last two, so that the
// honest block has the same.
const (
	FlawAmount    Flaw = iota // the coinbase pays one sat too much
	FlawHeight                // the coinbase has another height
	FlawSignature             // a signature is wrong
	FlawMissing               // a coin that never was is spent
	FlawTwice                 // a coin is spent twice
	FlawInflation             // a transaction pays out more than it spends
	FlawMerkle                // a transaction was changed on the way
	FlawWitness               // a witness was changed on the way
	Flaws                     // how many there are
)

// Kind is the rule that f breaks.
func (f Flaw) Kind() consensus.ErrorKind {
	return [Flaws]consensus.ErrorKind{
		consensus.ErrCoinbaseAmount, consensus.ErrCoinbaseHeight, consensus.ErrSig, consensus.ErrMissingInputs,
		consensus.ErrMissingInputs, consensus.ErrBelowOutputs, consensus.ErrMerkleRoot, consensus.ErrCommitment,
	}[f]
}

// InCoins reports whether f only shows where the coins are known: a node stores
// such a block, and finds the flaw when it connects it.
func (f Flaw) InCoins() bool { return f == FlawAmount || f >= FlawSignature && f <= FlawInflation }

// Flawed is a block for the tip that breaks just one rule; ok is false where it
// would take a transaction and there are no coins for one. It is not added.
func (c *Chain) Flawed(f Flaw) (b *consensus.Block, ok bool) {
	defer c.keepCoins()()
	d := c.draft()
	if len(d.Txs) < 2 && f >= FlawSignature && f <= FlawInflation {
		return nil, false
	}
	last := len(d.Txs) - 1
	tx := d.Txs[last].Clone()
	switch f {
	case FlawAmount:
		d.Txs[0].Out[0].Value++
	case FlawHeight:
		d.Txs[0].In[0].ScriptSig = consensus.CoinbaseScript(c.Tip().Height+2, make([]byte, 8))
	case FlawSignature:
		sig := append([]byte(nil), tx.In[0].Witness[0]...)
		sig[40] ^= 1
		tx.In[0].Witness = [][]byte{sig}
		d.Txs[last] = tx
	case FlawMissing:
		tx.In[0].PrevOut.TxID[0] ^= 1
		d.Txs[last] = tx
	case FlawTwice:
		tx.LockTime++ // another transaction, and final
		d.Txs = append(d.Txs, tx)
	case FlawInflation: // found before the signature, which is wrong then too
		tx.Out[0].Value += c.Params.Fee + 1
		d.Txs[last] = tx
	}
	b = d.seal()
	if f == FlawMerkle || f == FlawWitness {
		b = Changed(b, f)
	}
	return b, true
}

// Changed is a copy of a block with one of the last two flaws, and so with the
// same hash.
func Changed(b *consensus.Block, f Flaw) *consensus.Block {
	last := len(b.Txs) - 1
	tx := b.Txs[last].Clone()
	if f == FlawMerkle {
		tx.LockTime ^= 1
	} else if last == 0 {
		tx.In[0].Witness = [][]byte{append(make([]byte, 31), 1)}
	} else {
		tx.In[0].Witness = [][]byte{make([]byte, 64)}
	}
	txs := append([]*consensus.Tx(nil), b.Txs...)
	txs[last] = tx
	return &consensus.Block{Header: b.Header, Txs: txs}
}
