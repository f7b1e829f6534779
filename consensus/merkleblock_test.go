package consensus_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

const merkleLimit = 4_000_000

// merkleBlockOf is a block of n transactions that differ, which no rule would let
// pass.
func merkleBlockOf(n int) *consensus.Block {
	b := new(consensus.Block)
	for i := range n {
		b.Txs = append(b.Txs, &consensus.Tx{Version: uint32(i), In: []consensus.TxIn{{}}, Out: []consensus.TxOut{{}}})
	}
	b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs())
	return b
}

func TestMerkleBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := merkleBlockOf(rapid.IntRange(1, 40).Draw(t, "transactions"))
		var want []consensus.Hash
		for _, id := range b.TxIDs() {
			if rapid.Bool().Draw(t, "wanted") {
				want = append(want, id)
			}
		}
		m := consensus.NewMerkleBlock(b, func(id consensus.Hash) bool { return slices.Contains(want, id) })
		again, err := consensus.DecodeMerkleBlock(m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := again.Matches(merkleLimit)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("proved %v (%v), want %v", got, err, want)
		}
		// One changed hash, or one too many, is seen.
		i := rapid.IntRange(0, len(again.Hashes)-1).Draw(t, "damaged")
		again.Hashes[i][5] ^= 1
		if _, err := again.Matches(merkleLimit); !errors.Is(err, consensus.ErrMerkleProof) {
			t.Fatalf("a changed hash gives %v", err)
		}
		again.Hashes[i][5] ^= 1
		again.Hashes = append(again.Hashes, consensus.Hash{1})
		if _, err := again.Matches(merkleLimit); !errors.Is(err, consensus.ErrMerkleProof) {
			t.Fatalf("a hash too many gives %v", err)
		}
	})
}

func TestMerkleBlockThatCannotBe(t *testing.T) {
	good := consensus.NewMerkleBlock(merkleBlockOf(3), func(consensus.Hash) bool { return true })
	for name, change := range map[string]func(m *consensus.MerkleBlock){
		"no transactions":                  func(m *consensus.MerkleBlock) { m.Total = 0 },
		"more than any block can have":     func(m *consensus.MerkleBlock) { m.Total = merkleLimit/240 + 1 },
		"one more than the block has":      func(m *consensus.MerkleBlock) { m.Total++ },
		"more hashes than transactions":    func(m *consensus.MerkleBlock) { m.Hashes = make([]consensus.Hash, 4) },
		"no flags":                         func(m *consensus.MerkleBlock) { m.Flags = nil },
		"flags left over":                  func(m *consensus.MerkleBlock) { m.Flags = append(m.Flags, 0) },
		"another root":                     func(m *consensus.MerkleBlock) { m.Header.MerkleRoot[0] ^= 1 },
		"the same hash on both sides":      func(m *consensus.MerkleBlock) { m.Hashes[1] = m.Hashes[0] },
		"a flag that says nothing is here": func(m *consensus.MerkleBlock) { m.Flags[0] = 0 },
	} {
		m := *good
		m.Hashes, m.Flags = slices.Clone(m.Hashes), slices.Clone(m.Flags)
		change(&m)
		if _, err := m.Matches(merkleLimit); !errors.Is(err, consensus.ErrMerkleProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ids, err := good.Matches(merkleLimit); err != nil || len(ids) != 3 {
		t.Errorf("the good one: %v, %v", ids, err)
	}
}

func FuzzMerkleBlock(f *testing.F) {
	b := merkleBlockOf(7)
	ids := b.TxIDs()
	f.Add(consensus.NewMerkleBlock(b, func(id consensus.Hash) bool { return id == ids[3] }).Append(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := consensus.DecodeMerkleBlock(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Append(nil), raw) {
			t.Fatal("another encoding of the same")
		}
		_, _ = m.Matches(merkleLimit)
	})
}
