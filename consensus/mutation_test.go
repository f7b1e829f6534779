package consensus_test

import (
	"errors"
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// What was changed on the way without a change of the hash says nothing about
// the honest block, which is good under the same hash.
func TestHonestBlockAfterMutation(t *testing.T) {
	c := baseChain().Clone()
	honest := c.Next(c.Spend(1, testchain.Key(500).Pay(coin)), c.Spend(2, testchain.Key(500).Pay(coin)))
	for _, tc := range []struct {
		name   string
		kind   consensus.ErrorKind
		change func(c *testchain.Chain, b *consensus.Block)
	}{
		{"other transactions", consensus.ErrMerkleRoot, func(_ *testchain.Chain, b *consensus.Block) { b.Txs = b.Txs[:2] }},
		{"no transactions", consensus.ErrMerkleRoot, func(_ *testchain.Chain, b *consensus.Block) { b.Txs = nil }},
		{"a repeated transaction", consensus.ErrDuplicateTx, func(_ *testchain.Chain, b *consensus.Block) { b.Txs = append(b.Txs, b.Txs[2]) }},
		{"another signature", consensus.ErrCommitment, func(_ *testchain.Chain, b *consensus.Block) { b.Txs[1].In[0].Witness = [][]byte{make([]byte, 64)} }},
		{"a heavy witness", consensus.ErrCommitment, func(_ *testchain.Chain, b *consensus.Block) {
			b.Txs[1].In[0].Witness = [][]byte{make([]byte, maxWeight)}
		}},
		{"no witness", consensus.ErrCommitment, func(_ *testchain.Chain, b *consensus.Block) { b.Txs[1].In[0].Witness = nil }},
		{"no reserved value", consensus.ErrReservedValue, func(_ *testchain.Chain, b *consensus.Block) { b.Txs[0].In[0].Witness = nil }},
		{"another reserved value", consensus.ErrCommitment, func(_ *testchain.Chain, b *consensus.Block) { b.Txs[0].In[0].Witness = [][]byte{{31: 1}} }},
		{"a clock that is behind", consensus.ErrTimeTooNew, func(c *testchain.Chain, b *consensus.Block) { c.Latest = b.Time - 1 }},
	} {
		c := c.Clone()
		b := &consensus.Block{Header: honest.Header}
		for _, tx := range honest.Txs {
			b.Txs = append(b.Txs, tx.Clone())
		}
		tc.change(c, b)
		_, err := c.Check(b)
		if !errors.Is(err, tc.kind) || !consensus.IsMutation(err) || b.Header.Hash() != honest.Header.Hash() {
			t.Errorf("%s: %v, want %s, a mutation", tc.name, err, tc.kind)
		}
		c.Latest = honest.Time
		if err := c.Add(honest); err != nil {
			t.Errorf("the honest block after %s: %v", tc.name, err)
		}
	}
}
