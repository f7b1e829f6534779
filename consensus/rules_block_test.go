package consensus_test

import (
	"slices"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

const maxWeight = 4_000_000

var blockRules = []ruleCase{
	// The merkle root.
	{"root of other transactions", consensus.ErrMerkleRoot, "", header(func(_ *testchain.Chain, h *consensus.Header) { h.MerkleRoot[7] ^= 1 })},
	{"same root by repetition", consensus.ErrDuplicateTx, "", func(c *testchain.Chain) *consensus.Block { // CVE-2012-2459
		b := c.Next(c.Spend(1, testchain.Key(500).Pay(coin)), c.Spend(2, testchain.Key(500).Pay(coin)))
		b.Txs = append(b.Txs, b.Txs[2])
		return b
	}},
	{"repetition of a pair", consensus.ErrDuplicateTx, "", func(c *testchain.Chain) *consensus.Block {
		var txs []*consensus.Tx
		for h := range uint32(5) {
			txs = append(txs, c.Spend(h+1, testchain.Key(500).Pay(coin)))
		}
		b := c.Next(txs...)
		b.Txs = append(b.Txs, b.Txs[4], b.Txs[5])
		return b
	}},

	// Size and weight.
	{"no transactions", consensus.ErrBlockLength, "", func(c *testchain.Chain) *consensus.Block {
		b := c.Next()
		b.Txs = nil
		return testchain.Seal(b)
	}},
	{"stripped size at the limit", "", "", strippedSize(maxWeight / 4)},
	{"stripped size above it", consensus.ErrBlockLength, "", strippedSize(maxWeight/4 + 1)},
	{"weight at the limit", "", "", weight(maxWeight)},
	{"weight above it", consensus.ErrBlockWeight, "", weight(maxWeight + 1)},

	// The coinbase.
	{"no coinbase", consensus.ErrCoinbaseMissing, "", func(c *testchain.Chain) *consensus.Block {
		b := c.Next(c.Spend(1, testchain.Key(500).Pay(coin)))
		b.Txs = b.Txs[1:]
		return testchain.Seal(b)
	}},
	{"two coinbases", consensus.ErrCoinbaseMany, "", func(c *testchain.Chain) *consensus.Block {
		b := c.Next()
		second := b.Txs[0].Clone()
		second.Version++
		b.Txs = append(b.Txs, second)
		return testchain.Seal(b)
	}},
	{"height of another block", consensus.ErrCoinbaseHeight, "", coinbase(func(tx *consensus.Tx) {
		tx.In[0].ScriptSig = append(testchain.HeightPush(baseHeight+2), 0, 0)
	})},
	{"height not in its shortest form", consensus.ErrCoinbaseHeight, "", coinbase(func(tx *consensus.Tx) {
		tx.In[0].ScriptSig = []byte{2, baseHeight + 1, 0}
	})},
	{"height cut short", consensus.ErrCoinbaseHeight, "", coinbase(func(tx *consensus.Tx) {
		tx.In[0].ScriptSig = []byte{2, baseHeight + 1}
	})},
	{"less than the subsidy", "", "", coinbase(func(tx *consensus.Tx) { tx.Out[0].Value-- })},
	{"more than the subsidy", consensus.ErrCoinbaseAmount, "", coinbase(func(tx *consensus.Tx) { tx.Out[0].Value++ })},
	{"fees are taken", "", "", tx(func(*testchain.Chain, *consensus.Tx) {})},
	{"more than the fees", consensus.ErrCoinbaseAmount, "", func(c *testchain.Chain) *consensus.Block {
		b := tx(func(*testchain.Chain, *consensus.Tx) {})(c)
		b.Txs[0].Out[0].Value++
		return testchain.Seal(b)
	}},
	{"fees of more money than there is", consensus.ErrFeeSum, "", func(c *testchain.Chain) *consensus.Block {
		for h := range uint32(2) { // no chain can have such coins
			o := c.Coinbase(h + 1)
			rich := c.Coins[o]
			rich.Value = c.Rules.MaxMoney
			c.Coins[o] = rich
		}
		b := c.Next(c.Spend(1, testchain.Key(500).Pay(0)), c.Spend(2, testchain.Key(500).Pay(0)))
		b.Txs[0].Out[0].Value = coin
		return testchain.Seal(b)
	}},

	// Signature operations, which count in scripts that never run as well.
	{"20,000 sigops in OP_RETURN outputs", "", "", sigops(dataOps(0xac, 20_000))},
	{"20,001 sigops in OP_RETURN outputs", consensus.ErrBlockSigops, "", sigops(dataOps(0xac, 20_001))},
	{"1,000 multisigs", "", "", sigops(dataOps(0xae, 1000))},
	{"1,000 multisigs and a signature", consensus.ErrBlockSigops, "", sigops(append(dataOps(0xaf, 1000), 0xad))},
	{"sigops in the script of the coinbase", consensus.ErrBlockSigops, "", func(c *testchain.Chain) *consensus.Block {
		b := sigops(dataOps(0xac, 20_000))(c)
		b.Txs[0].In[0].ScriptSig = append(testchain.HeightPush(baseHeight+1), 0xac)
		return testchain.Seal(b)
	}},

	// The witness commitment (BIP141).
	{"no commitment and no witness", "", "", coinbase(func(tx *consensus.Tx) {
		tx.Out, tx.In[0].Witness = tx.Out[:1], nil
	})},
	{"no commitment but a reserved value", consensus.ErrWitness, "", coinbase(func(tx *consensus.Tx) { tx.Out = tx.Out[:1] })},
	{"no commitment but a witness", consensus.ErrWitness, "", func(c *testchain.Chain) *consensus.Block {
		b := c.Next(c.Spend(1, testchain.Key(500).Pay(coin)))
		b.Txs[0].Out, b.Txs[0].In[0].Witness = b.Txs[0].Out[:1], nil
		return testchain.Seal(b)
	}},
	{"another reserved value", "", "", func(c *testchain.Chain) *consensus.Block {
		b := c.Next()
		b.Txs[0].In[0].Witness = [][]byte{slices.Repeat([]byte{7}, 32)}
		testchain.Commit(b)
		return testchain.Seal(b)
	}},
	{"no reserved value", consensus.ErrReservedValue, "", coinbase(func(tx *consensus.Tx) { tx.In[0].Witness = nil })},
	{"reserved value of 33 bytes", consensus.ErrReservedValue, "", coinbase(func(tx *consensus.Tx) { tx.In[0].Witness = [][]byte{make([]byte, 33)} })},
	{"two reserved values", consensus.ErrReservedValue, "", coinbase(func(tx *consensus.Tx) {
		tx.In[0].Witness = [][]byte{make([]byte, 32), make([]byte, 32)}
	})},
	{"commitment to another witness", consensus.ErrCommitment, "", func(c *testchain.Chain) *consensus.Block {
		b := c.Next(c.Spend(1, testchain.Key(500).Pay(coin)))
		b.Txs[1] = b.Txs[1].Clone()
		b.Txs[1].In[0].Witness = [][]byte{make([]byte, 64)} // the merkle root stays
		return b
	}},
	{"the last commitment counts", "", "", coinbase(func(tx *consensus.Tx) {
		good := tx.Out[1]
		tx.Out = append(tx.Out[:1:1], consensus.TxOut{Script: consensus.WitnessCommitment(consensus.Hash{1}, [32]byte{})}, good)
	})},
	{"the first commitment does not", consensus.ErrCommitment, "", coinbase(func(tx *consensus.Tx) {
		tx.Out = append(tx.Out[:2:2], consensus.TxOut{Script: consensus.WitnessCommitment(consensus.Hash{1}, [32]byte{})})
	})},
	{"a commitment cut short is none", "", "", coinbase(func(tx *consensus.Tx) {
		short := consensus.WitnessCommitment(consensus.Hash{1}, [32]byte{})[:37]
		tx.Out = append(tx.Out[:2:2], consensus.TxOut{Script: short})
	})},
	{"something behind the commitment", "", "", coinbase(func(tx *consensus.Tx) {
		tx.Out[1].Script = append(slices.Clone(tx.Out[1].Script), 1, 2, 3)
	})},

	// BIP30: its reason comes before that of the spent inputs.
	{"a confirmed transaction again", consensus.ErrOverwrite, "", func(c *testchain.Chain) *consensus.Block {
		tx := c.Spend(1, testchain.Key(500).Pay(coin))
		if err := c.Add(c.Next(tx)); err != nil {
			panic(err)
		}
		return c.Next(tx)
	}},
	{"before the amount of the coinbase", consensus.ErrOverwrite, "", func(c *testchain.Chain) *consensus.Block {
		b := c.Next()
		b.Txs[0].Out[0].Value++
		testchain.Seal(b)
		c.Coins[consensus.OutPoint{TxID: b.Txs[0].TxID()}] = consensus.Coin{}
		return b
	}},
}

// strippedSize is a block of this many bytes without its witnesses.
func strippedSize(size int) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		build := func(n int) *consensus.Block {
			b := c.Next()
			b.Txs[0] = b.Txs[0].Clone()
			b.Txs[0].Out = slices.Insert(b.Txs[0].Out, 1, consensus.TxOut{Script: dataOps(0, n)})
			b.Txs[0].In[0].Witness = nil
			b.Txs[0].Out = b.Txs[0].Out[:2]
			return b
		}
		n := size - 1000
		return testchain.Seal(build(n + size - build(n).StrippedSize()))
	}
}

// weight is a block of this weight, most of which is an annex.
func weight(weight int) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		build := func(n int) *consensus.Block {
			o := []consensus.OutPoint{c.Coinbase(1)}
			tx := testchain.Unsigned(o, testchain.Key(500).Pay(coin))
			annex := slices.Concat([]byte{0x50}, make([]byte, n))
			testchain.Key(1).SignInput(tx, []consensus.Coin{c.Coins[o[0]]}, 0, consensus.SigHashDefault, annex)
			return c.Next(tx)
		}
		n := weight - 10_000
		return build(n + weight - build(n).Weight())
	}
}

// sigops is a block with this script in an output of a transaction.
func sigops(script []byte) func(*testchain.Chain) *consensus.Block {
	return tx(func(_ *testchain.Chain, tx *consensus.Tx) {
		tx.Out = append(tx.Out, consensus.TxOut{Script: script})
	})
}
