package consensus_test

import (
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// A block of 2,000 transactions with two inputs and two outputs each.
func benchBlock() *consensus.Block {
	b := &consensus.Block{Header: baseChain().Next().Header}
	for i := range 2000 {
		tx := testchain.Unsigned(
			[]consensus.OutPoint{{TxID: consensus.Hash{1}, Index: uint32(i)}, {TxID: consensus.Hash{2}, Index: uint32(i)}},
			testchain.Key(1).Pay(coin), testchain.Key(2).Pay(coin))
		for n := range tx.In {
			tx.In[n].Witness = [][]byte{make([]byte, 64)}
		}
		b.Txs = append(b.Txs, tx)
	}
	return b
}

func BenchmarkDecodeAndHashBlock(b *testing.B) {
	raw := benchBlock().Bytes()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		block, err := consensus.DecodeBlock(raw)
		if err != nil {
			b.Fatal(err)
		}
		root, _ := consensus.MerkleRoot(block.TxIDs())
		if witness := block.WitnessRoot(); root == witness {
			b.Fatal("the roots are equal")
		}
	}
}

func BenchmarkSigHashOfTwoInputs(b *testing.B) {
	tx := benchBlock().Txs[0]
	spent := []consensus.TxOut{testchain.Key(1).Pay(coin), testchain.Key(2).Pay(coin)}
	b.ReportAllocs()
	for b.Loop() {
		h := consensus.NewSigHasher(tx, spent)
		for i := range tx.In {
			if _, ok := h.SigHash(i, consensus.SigHashDefault, nil); !ok {
				b.Fatal("no hash")
			}
		}
	}
}

func BenchmarkCheckHeader(b *testing.B) {
	c := baseChain()
	h := c.Next().Header
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Rules.ApplyHeader(c.State, &h, consensus.NoTimeLimit); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkASERT(b *testing.B) {
	spec, err := consensus.EmbeddedSpec("main")
	if err != nil {
		b.Fatal(err)
	}
	s := spec.Rules.GenesisState()
	for range 100 {
		bits := spec.Rules.NextBits(&s)
		s = spec.Rules.NextState(s, &consensus.Header{Time: s.Time + 10, Bits: bits})
	}
	b.ReportAllocs()
	for b.Loop() {
		if spec.Rules.NextBits(&s) == uint32(spec.Rules.PowLimit) {
			b.Fatal("at the limit")
		}
	}
}

func BenchmarkVerifySignature(b *testing.B) {
	var m consensus.Hash
	sig := consensus.Signature{Key: testchain.Key(1).Public(), Message: m, Sig: [64]byte(testchain.Key(1).Sign(m))}
	b.ReportAllocs()
	for b.Loop() {
		if !sig.Verify() {
			b.Fatal("invalid")
		}
	}
}
