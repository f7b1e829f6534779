package consensus_test

import (
	"slices"
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

var spendRules = []ruleCase{
	{"one signature each", "", "", witness()},

	// The form of the signature.
	{"no witness", consensus.ErrWitnessEmpty, script(consensus.ErrWitnessEmpty), spend(func(_ *testchain.Chain, tx *consensus.Tx) { tx.In[0].Witness = nil })},
	{"an empty signature", consensus.ErrSigSize, script(consensus.ErrSigSize), witness([]byte{})},
	{"63 bytes", consensus.ErrSigSize, script(consensus.ErrSigSize), witness(make([]byte, 63))},
	{"66 bytes", consensus.ErrSigSize, script(consensus.ErrSigSize), witness(make([]byte, 66))},
	{"64 zeros", consensus.ErrSig, script(consensus.ErrSig), witness(make([]byte, 64))},
	{"a script in the input", consensus.ErrScriptSigNotEmpty, script(consensus.ErrScriptSigNotEmpty), spend(func(_ *testchain.Chain, tx *consensus.Tx) {
		tx.In[0].ScriptSig = []byte{0x51}
	})},

	// Hash types.
	{"ALL", "", "", hashType(0x01)},
	{"NONE", "", "", hashType(0x02)},
	{"SINGLE", "", "", hashType(0x03)},
	{"ALL, anyone can pay", "", "", hashType(0x81)},
	{"NONE, anyone can pay", "", "", hashType(0x82)},
	{"SINGLE, anyone can pay", "", "", hashType(0x83)},
	{"the default type written out", consensus.ErrSigHashType, script(consensus.ErrSigHashType), unknownType(0x00)},
	{"type 4", consensus.ErrSigHashType, script(consensus.ErrSigHashType), unknownType(0x04)},
	{"anyone can pay alone", consensus.ErrSigHashType, script(consensus.ErrSigHashType), unknownType(0x80)},
	{"type 84", consensus.ErrSigHashType, script(consensus.ErrSigHashType), unknownType(0x84)},
	{"SINGLE without its output", consensus.ErrSigHashType, script(consensus.ErrSigHashType), spend(func(_ *testchain.Chain, tx *consensus.Tx) {
		tx.In[1].Witness = [][]byte{append(make([]byte, 64), 0x03)} // the transaction has one output
	})},
	{"ALL claimed for a default signature", consensus.ErrSig, script(consensus.ErrSig), spend(func(_ *testchain.Chain, tx *consensus.Tx) {
		tx.In[0].Witness = [][]byte{append(slices.Clone(tx.In[0].Witness[0]), 0x01)}
	})},

	// What is signed.
	{"an output changed", consensus.ErrSig, script(consensus.ErrSig), spend(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Out[0].Value-- })},
	{"the other input's sequence changed", consensus.ErrSig, script(consensus.ErrSig), spend(func(_ *testchain.Chain, tx *consensus.Tx) { tx.In[1].Sequence-- })},
	{"the version changed", consensus.ErrSig, script(consensus.ErrSig), spend(func(_ *testchain.Chain, tx *consensus.Tx) { tx.Version = 1 })},
	{"a coin's amount changed", consensus.ErrSig, script(consensus.ErrSig), spend(func(c *testchain.Chain, tx *consensus.Tx) {
		other := c.Coins[tx.In[1].PrevOut]
		other.Value--
		c.Coins[tx.In[1].PrevOut] = other
	})},
	{"another key's signature", consensus.ErrSig, script(consensus.ErrSig), spend(func(_ *testchain.Chain, tx *consensus.Tx) {
		tx.In[0].Witness = tx.In[1].Witness
	})},

	// Keys.
	{"a key that is not on the curve", consensus.ErrSig, script(consensus.ErrSig), key([32]byte(slices.Repeat([]byte{0xff}, 32)))},
	{"a key of zero", consensus.ErrScriptFalse, script(consensus.ErrScriptFalse), key([32]byte{})},
	{"a key of negative zero", consensus.ErrScriptFalse, script(consensus.ErrScriptFalse), key([32]byte{31: 0x80})},
	{"a key of almost negative zero", consensus.ErrSig, script(consensus.ErrSig), key([32]byte{30: 0x80})},

	// The annex.
	{"an annex", "", "", annex([]byte{0x50, 1, 2, 3})},
	{"an annex of one byte", "", "", annex([]byte{0x50})},
	{"an annex that was not signed", consensus.ErrSig, script(consensus.ErrSig), spend(func(_ *testchain.Chain, tx *consensus.Tx) {
		tx.In[0].Witness = append(tx.In[0].Witness[:1:1], []byte{0x50})
	})},
	{"a signed annex taken away", consensus.ErrSig, script(consensus.ErrSig), func(c *testchain.Chain) *consensus.Block {
		b := annex([]byte{0x50})(c)
		b.Txs[1].In[0].Witness = b.Txs[1].In[0].Witness[:1]
		testchain.Commit(b)
		return testchain.Seal(b)
	}},
	{"an annex alone is a signature", consensus.ErrSigSize, script(consensus.ErrSigSize), witness([]byte{0x50, 1, 2})},
	{"and one of 64 bytes a wrong one", consensus.ErrSig, script(consensus.ErrSig), witness(slices.Repeat([]byte{0x50}, 64))},

	// The script path.
	{"a second element that is no annex", consensus.ErrControlSize, script(consensus.ErrControlSize), witness(make([]byte, 64), []byte{0x51})},
	{"an empty second element", consensus.ErrControlSize, script(consensus.ErrControlSize), witness(make([]byte, 64), nil)},
	{"two annexes", consensus.ErrControlSize, script(consensus.ErrControlSize), witness(make([]byte, 64), []byte{0x50}, []byte{0x50})},
	{"a control block of 34 bytes", consensus.ErrControlSize, script(consensus.ErrControlSize), witness([]byte{0x51}, make([]byte, 34))},
	{"a control block with 129 nodes", consensus.ErrControlSize, script(consensus.ErrControlSize), witness([]byte{0x51}, make([]byte, 33+32*129))},
	{"a control block with 128 nodes", consensus.ErrWitnessMismatch, script(consensus.ErrWitnessMismatch), witness([]byte{0x51}, make([]byte, 33+32*128))},
	{"a script of another output", consensus.ErrWitnessMismatch, script(consensus.ErrWitnessMismatch), scriptPath(func(w [][]byte) { w[0] = []byte{0x52} })},
	{"another internal key", consensus.ErrWitnessMismatch, script(consensus.ErrWitnessMismatch), scriptPath(func(w [][]byte) { w[1][1] ^= 1 })},
	{"the wrong parity", consensus.ErrWitnessMismatch, script(consensus.ErrWitnessMismatch), scriptPath(func(w [][]byte) { w[1][0] ^= 1 })},
	{"another node", consensus.ErrWitnessMismatch, script(consensus.ErrWitnessMismatch), scriptPath(func(w [][]byte) { w[1][40] ^= 1 })},
	{"a script of the output", consensus.ErrScriptPath, script(consensus.ErrScriptPath), scriptPath(func([][]byte) {})},
}

func script(kind consensus.ErrorKind) string {
	return "block-script-verify-flag-failed (" + string(kind) + ")"
}

// witness is a block whose first input has this witness, or a good one.
func witness(stack ...[]byte) func(*testchain.Chain) *consensus.Block {
	return spend(func(_ *testchain.Chain, tx *consensus.Tx) {
		if stack != nil {
			tx.In[0].Witness = stack
		}
	})
}

func unknownType(t byte) func(*testchain.Chain) *consensus.Block {
	return witness(append(make([]byte, 64), t))
}

func hashType(t consensus.SigHashType) func(*testchain.Chain) *consensus.Block {
	return signed(t, nil)
}

func annex(annex []byte) func(*testchain.Chain) *consensus.Block {
	return signed(consensus.SigHashDefault, annex)
}

func signed(t consensus.SigHashType, annex []byte) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		tx := testchain.Unsigned([]consensus.OutPoint{c.Coinbase(1)}, testchain.Key(500).Pay(coin))
		testchain.Key(1).SignInput(tx, []consensus.Coin{c.Coins[tx.In[0].PrevOut]}, 0, t, annex)
		return c.Next(tx)
	}
}

// key is a block that spends a coin with this key.
func key(key [32]byte) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		o := c.Coinbase(1)
		changed := c.Coins[o]
		changed.Key = key
		c.Coins[o] = changed
		return spend(func(*testchain.Chain, *consensus.Tx) {})(c)
	}
}

// scriptPath is a block that spends an output by one of its two scripts, with a
// changed witness: the script and the control block (BIP341).
func scriptPath(change func(witness [][]byte)) func(*testchain.Chain) *consensus.Block {
	return func(c *testchain.Chain) *consensus.Block {
		leaf := consensus.TaggedHash("TapLeaf", []byte{0xc0, 1, 0x51})
		sibling := consensus.Hash(slices.Repeat([]byte{0x80}, 32))
		low, high := leaf, sibling
		if string(low[:]) > string(high[:]) {
			low, high = high, low
		}
		root := consensus.TaggedHash("TapBranch", low[:], high[:])
		internal := testchain.Key(9).Public()
		output, odd, err := consensus.TweakKey(internal, root[:])
		if err != nil {
			panic(err)
		}
		control := slices.Concat([]byte{0xc0}, internal[:], sibling[:])
		if odd {
			control[0] = 0xc1
		}
		stack := [][]byte{{0x51}, control}
		change(stack)

		o := c.Coinbase(1)
		changed := c.Coins[o]
		changed.Key = output
		c.Coins[o] = changed
		return witness(stack...)(c)
	}
}

func TestTxReasonOfASpend(t *testing.T) {
	c := baseChain().Clone()
	_, err := c.Check(witness(make([]byte, 64))(c))
	if got, ok := consensus.TxReason(err); !ok || got != "mempool-script-verify-flag-failed (Invalid Schnorr signature)" {
		t.Errorf("reason is %q", got)
	}
}
