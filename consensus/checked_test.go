package consensus_test

import (
	"errors"
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// TestStoredBlocks: what comes back from where it was stored is the block that was
// checked, or is refused: with another header, other transactions, the same ones
// twice (CVE-2012-2459), other witnesses, or the inner nodes of its merkle tree in
// place of transactions. Its rules are not applied again, so work that is not there
// does not matter.
func TestStoredBlocks(t *testing.T) {
	c := baseChain().Clone()
	b := c.Next(c.Spend(1, testchain.Key(2).Pay(50*coin)), c.Spend(2, testchain.Key(3).Pay(50*coin)))
	checked, err := c.Rules.CheckBlock(b)
	if err != nil {
		t.Fatal(err)
	}
	if checked.Block() != b || checked.Hash() != b.Header.Hash() || len(checked.IDs()) != 3 || checked.IDs()[2] != b.Txs[2].TxID() {
		t.Errorf("checked: %+v", checked)
	}
	header, hash := b.Header, b.Header.Hash()
	again := func() *consensus.Block {
		block, err := consensus.DecodeBlock(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return block
	}
	for name, change := range map[string]struct {
		do   func(b *consensus.Block)
		kind error // of the refusal; nil for none
		seen bool  // also by who compares no witnesses
	}{
		"as it was":        {func(*consensus.Block) {}, nil, true},
		"another nonce":    {func(b *consensus.Block) { b.Nonce++ }, errors.ErrUnsupported, true},
		"another amount":   {func(b *consensus.Block) { b.Txs[1].Out[0].Value++ }, consensus.ErrMerkleRoot, true},
		"one less":         {func(b *consensus.Block) { b.Txs = b.Txs[:2] }, consensus.ErrMerkleRoot, true},
		"the last twice":   {func(b *consensus.Block) { b.Txs = append(b.Txs, b.Txs[2]) }, consensus.ErrDuplicateTx, true},
		"no transactions":  {func(b *consensus.Block) { b.Txs = nil }, consensus.ErrMerkleRoot, true},
		"another witness":  {func(b *consensus.Block) { b.Txs[1].In[0].Witness[0][5] ^= 1 }, consensus.ErrCommitment, false},
		"no witness":       {func(b *consensus.Block) { b.Txs[1].In[0].Witness = nil }, consensus.ErrCommitment, false},
		"another reserved": {func(b *consensus.Block) { b.Txs[0].In[0].Witness[0] = make([]byte, 31) }, consensus.ErrReservedValue, false},
	} {
		for _, whole := range []bool{false, true} {
			block := again()
			change.do(block)
			got, err := c.Rules.Stored(block, &header, hash, whole)
			refused := change.kind != nil && (change.seen || !whole)
			switch {
			case !refused && (err != nil || got.Hash() != hash || got.IDs()[1] != checked.IDs()[1]):
				t.Errorf("%s (whole: %v): %v", name, whole, err)
			case refused && (err == nil || change.kind != errors.ErrUnsupported && !errors.Is(err, change.kind)):
				t.Errorf("%s (whole: %v): %v, want %v", name, whole, err, change.kind)
			}
		}
	}
	// A header without work is no block, but one that was stored with it stays one.
	lazy := again()
	lazy.Bits = 0x1d00ffff
	if _, err := c.Rules.CheckBlock(lazy); !errors.Is(err, consensus.ErrHighHash) {
		t.Errorf("a block without work: %v", err)
	}
	if _, err := c.Rules.Stored(lazy, &lazy.Header, lazy.Header.Hash(), false); err != nil {
		t.Errorf("a stored block: %v", err)
	}
}

// TestStoredInnerNodes: two ids side by side are 64 bytes that may decode as a
// transaction, so a merkle root may be that of an honest block's inner nodes; the
// first of them is no coinbase.
func TestStoredInnerNodes(t *testing.T) {
	c := baseChain().Clone()
	b := c.Next()
	spend := c.Spend(1, testchain.Key(2).Pay(50*coin))
	b.Txs = []*consensus.Tx{spend}
	b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs())
	if _, err := c.Rules.Stored(b, &b.Header, b.Header.Hash(), false); !errors.Is(err, consensus.ErrCoinbaseMissing) {
		t.Errorf("%v", err)
	}
}
