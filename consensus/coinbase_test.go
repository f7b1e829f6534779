package consensus_test

import (
	"bytes"
	"testing"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

// A block that is put together by the product's own helpers is good.
func TestSealedBlockIsGood(t *testing.T) {
	c := baseChain().Clone()
	height := c.State.Height + 1
	script := consensus.CoinbaseScript(height, []byte("12345678"))
	if want := append(testchain.HeightPush(height), "\x0812345678"...); !bytes.Equal(script, want) {
		t.Errorf("script %x, want %x", script, want)
	}
	b := &consensus.Block{
		Header: consensus.Header{
			Version: c.Rules.BlockVersion(&c.State), Prev: c.State.Hash,
			Time: c.State.Time + 1, Bits: c.Rules.NextBits(&c.State),
		},
		Txs: []*consensus.Tx{
			consensus.NewCoinbase(script, []consensus.TxOut{testchain.Key(1).Pay(c.Rules.Subsidy(height))}),
			c.Spend(1, testchain.Key(2).Pay(50*coin)),
		},
	}
	b.Seal()
	testchain.Mine(b)
	if _, err := c.Check(b); err != nil {
		t.Error(err)
	}
	if at, ok := b.WitnessCommitmentIndex(); !ok || at != 1 {
		t.Errorf("commitment in output %d (%v)", at, ok)
	}
}
