package consensus_test

import (
	"slices"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

var txRules = []ruleCase{
	// What a transaction must have.
	{"no inputs", consensus.ErrNoInputs, "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.In = nil })},
	{"no outputs", consensus.ErrNoOutputs, "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Out = nil })},
	{"the same input twice", consensus.ErrDuplicateInputs, "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { // CVE-2018-17144
		tx.In = append(tx.In, tx.In[0])
	})},
	{"a null input beside another", consensus.ErrNullInput, "", tx(func(_ *testchain.Chain, tx *consensus.Tx) {
		tx.In = append(tx.In, consensus.TxIn{PrevOut: consensus.OutPoint{Index: 0xffffffff}})
	})},
	{"coinbase script of 100 bytes", "", "", coinbase(func(tx *consensus.Tx) { tx.In[0].ScriptSig = coinbaseScript(100) })},
	{"coinbase script of 101 bytes", consensus.ErrCoinbaseLength, "", coinbase(func(tx *consensus.Tx) { tx.In[0].ScriptSig = coinbaseScript(101) })},
	{"coinbase script of 2 bytes", "", "", coinbase(func(tx *consensus.Tx) { tx.In[0].ScriptSig = coinbaseScript(2) })},
	{"coinbase script of 1 byte", consensus.ErrCoinbaseLength, "", coinbase(func(tx *consensus.Tx) { tx.In[0].ScriptSig = coinbaseScript(1) })},

	// Outputs.
	{"an output of nothing", "", "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Out[0].Value = 0 })},
	{"an output below zero", consensus.ErrNegativeOutput, "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Out[0].Value = -1 })},
	{"all the money there is", consensus.ErrBelowOutputs, "", tx(func(c *testchain.Chain, tx *consensus.Tx) { tx.Out[0].Value = c.Rules.MaxMoney })},
	{"more than that", consensus.ErrOutputTooLarge, "", tx(func(c *testchain.Chain, tx *consensus.Tx) { tx.Out[0].Value = c.Rules.MaxMoney + 1 })},
	{"more than that in two outputs", consensus.ErrOutputsTooLarge, "", tx(func(c *testchain.Chain, tx *consensus.Tx) {
		tx.Out[0].Value = c.Rules.MaxMoney
		tx.Out = append(tx.Out, testchain.Key(501).Pay(1))
	})},
	{"a key that is not on the curve", "", "", output(consensus.TaprootScript([32]byte(slices.Repeat([]byte{0xff}, 32))))},
	{"OP_RETURN alone", "", "", output([]byte{0x6a})},
	{"OP_RETURN and a push that is cut short", "", "", output([]byte{0x6a, 0x4c})},
	{"an empty script", consensus.ErrOutputType, "", output(nil)},
	{"an old kind of output", consensus.ErrOutputType, "", output(slices.Concat([]byte{0, 20}, make([]byte, 20)))},
	{"a witness program of another version", consensus.ErrOutputType, "", output(slices.Concat([]byte{0x52, 32}, make([]byte, 32)))},
	{"a Taproot program of 33 bytes", consensus.ErrOutputType, "", output(slices.Concat([]byte{0x51, 33}, make([]byte, 33)))},
	{"a Taproot program pushed the long way", consensus.ErrOutputType, "", output(slices.Concat([]byte{0x51, 0x4c, 32}, make([]byte, 32)))},

	// Coins.
	{"a coin made in the same block", "", "", func(c *testchain.Chain) *consensus.Block {
		first := c.Spend(1, testchain.Key(500).Pay(coin))
		return c.Next(first, spendNew(first))
	}},
	{"a coin made later in the block", consensus.ErrMissingInputs, "", func(c *testchain.Chain) *consensus.Block {
		first := c.Spend(1, testchain.Key(500).Pay(coin))
		return c.Next(spendNew(first), first)
	}},
	{"a coin spent before in the block", consensus.ErrMissingInputs, "", func(c *testchain.Chain) *consensus.Block {
		return c.Next(c.Spend(1, testchain.Key(500).Pay(coin)), c.Spend(1, testchain.Key(501).Pay(coin)))
	}},
	{"a coin that never was", consensus.ErrMissingInputs, "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.In[0].PrevOut.Index = 9 })},
	{"an OP_RETURN output", consensus.ErrMissingInputs, "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.In[0].PrevOut.Index = 1 })},
	{"the coinbase of genesis", consensus.ErrMissingInputs, "", tx(func(c *testchain.Chain, tx *consensus.Tx) { tx.In[0].PrevOut = c.Coinbase(0) })},
	{"a coinbase 100 blocks old", "", "", func(c *testchain.Chain) *consensus.Block {
		return c.Next(c.Spend(11, testchain.Key(500).Pay(coin)))
	}},
	{"a coinbase 99 blocks old", consensus.ErrImmature, "", func(c *testchain.Chain) *consensus.Block {
		return c.Next(c.Spend(12, testchain.Key(500).Pay(coin)))
	}},
	{"all that comes in goes out", "", "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Out[0].Value = 50 * coin })},
	{"a sat more goes out", consensus.ErrBelowOutputs, "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Out[0].Value = 50*coin + 1 })},
	{"more comes in than there is", consensus.ErrInputRange, "", func(c *testchain.Chain) *consensus.Block {
		o := c.Coinbase(1) // no chain can have such a coin
		rich := c.Coins[o]
		rich.Value = c.Rules.MaxMoney
		c.Coins[o] = rich
		b := c.Next(c.Sign(testchain.Unsigned([]consensus.OutPoint{o, c.Coinbase(2)}, testchain.Key(500).Pay(coin)), 1, 2))
		b.Txs[0].Out[0].Value = coin
		return testchain.Seal(b)
	}},

	// Lock times (BIP113).
	{"locked up to the height before", "", "", locked(baseHeight)},
	{"locked at this height", consensus.ErrNonFinal, "", locked(baseHeight + 1)},
	{"locked up to just before the median", "", "", lockedAtMedian(-1)},
	{"locked at the median", consensus.ErrNonFinal, "", lockedAtMedian(0)},
	{"locked, but every input is final", "", "", tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.LockTime = baseHeight + 1 })},
	{"a locked coinbase", consensus.ErrNonFinal, "", coinbase(func(tx *consensus.Tx) {
		tx.LockTime, tx.In[0].Sequence = baseHeight+1, 0
	})},

	// Relative lock times (BIP68): coinbase 1 is 110 blocks old.
	{"110 blocks old", "", "", relative(2, 110)},
	{"111 blocks old", consensus.ErrNonFinal, "", relative(2, 111)},
	{"not in version 1", "", "", relative(1, 111)},
	{"but in version 0xffffffff", consensus.ErrNonFinal, "", relative(0xffffffff, 111)},
	{"not where it is turned off", "", "", relative(2, 1<<31|111)},
	{"the highest bit of 16 counts", consensus.ErrNonFinal, "", relative(2, 0x8000)},
	{"the bit above does not", "", "", relative(2, 0x10000|110)},
	{"as old as the median says", "", "", relativeTime(0)},
	{"512 seconds more", consensus.ErrNonFinal, "", relativeTime(1)},
}

func coinbaseScript(size int) []byte {
	return slices.Concat(testchain.HeightPush(baseHeight+1), make([]byte, 200))[:size]
}

func output(script []byte) func(*testchain.Chain) *consensus.Block {
	return tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Out[0].Script = script })
}

// spendNew spends the first output of a transaction in the same block.
func spendNew(parent *consensus.Tx) *consensus.Tx {
	tx := testchain.Unsigned([]consensus.OutPoint{{TxID: parent.TxID()}}, testchain.Key(501).Pay(coin/2))
	made := consensus.Coin{Value: coin, Key: testchain.Key(500).Public()}
	testchain.Key(500).SignInput(tx, []consensus.Coin{made}, 0, consensus.SigHashDefault, nil)
	return tx
}

func locked(height uint32) func(*testchain.Chain) *consensus.Block {
	return tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.LockTime, tx.In[0].Sequence = height, 0xfffffffe })
}

func lockedAtMedian(plus int) func(*testchain.Chain) *consensus.Block {
	return tx(func(c *testchain.Chain, tx *consensus.Tx) {
		tx.LockTime, tx.In[0].Sequence = uint32(int(c.State.MedianTime())+plus), 0xfffffffe
	})
}

func relative(version, sequence uint32) func(*testchain.Chain) *consensus.Block {
	return tx(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Version, tx.In[0].Sequence = version, sequence })
}

// relativeTime spends coinbase 11, at the age in units of 512 seconds that the
// median times give, and more.
func relativeTime(more uint32) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		age := (c.State.MedianTime() - c.Median(10)) / 512
		tx := testchain.Unsigned([]consensus.OutPoint{c.Coinbase(11)}, testchain.Key(500).Pay(coin))
		tx.In[0].Sequence = 1<<22 | (age + more)
		return c.Next(c.Sign(tx, 11))
	}
}
