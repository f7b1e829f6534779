package miner

import (
	"errors"
	"testing"
	"time"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/testnet/chaingen"
)

func (n *node) assemble(t *testing.T) *Template {
	t.Helper()
	tmpl, err := Assemble(&n.spec.Rules, n.pool, payTo, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// TestAssemble makes blocks that the rules accept, with all fees and with a
// commitment to the witnesses.
func TestAssemble(t *testing.T) {
	n := newNode(t, unchanged)
	fees := n.fill(t)
	tmpl := n.assemble(t)
	b := tmpl.Block
	if len(b.Txs) != 4 || tmpl.Height != 7 {
		t.Fatalf("%d transactions at height %d", len(b.Txs), tmpl.Height)
	}
	if got, want := b.Txs[0].OutputSum(), n.spec.Rules.Subsidy(7)+fees; got != want {
		t.Errorf("coinbase pays %d, want %d", got, want)
	}
	if _, ok := b.WitnessCommitmentIndex(); !ok {
		t.Error("no witness commitment")
	}
	again := n.assemble(t)
	rerolled, err := tmpl.reroll()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []*consensus.Block{again.Block, rerolled} {
		if other.Txs[0].TxID() == b.Txs[0].TxID() || other.MerkleRoot == b.MerkleRoot {
			t.Error("two coinbases are the same")
		}
	}
	for _, block := range []*consensus.Block{b, rerolled} {
		chaingen.Mine(block)
		if err := n.ledger.AddBlock(block); err != nil {
			t.Errorf("block refused: %v", err)
		}
	}
	if tip := n.ledger.Tip(); tip.Hash != b.Header.Hash() {
		t.Errorf("tip %s is not the block", tip.Hash)
	}
}

// TestAssembleUpgrades makes blocks under an upgrade that lowers the weight, and
// signals for another.
func TestAssembleUpgrades(t *testing.T) {
	n := newNode(t, func(s *consensus.Spec) {
		s.Defaults.Upgrades = []consensus.Upgrade{
			{Name: "small", Height: 7, MaxBlockWeight: 9500},
			{Name: "asked", MaxBlockWeight: 4_000_000, Signal: consensus.Signal{Bit: 3, Start: 0, Timeout: 1000, Window: 2, Threshold: 2}},
		}
	})
	for range 3 {
		n.fill(t)
		tmpl := n.assemble(t)
		if w := tmpl.Block.Weight(); w > 9500 || len(tmpl.Block.Txs) < 2 {
			t.Errorf("weight %d with %d transactions", w, len(tmpl.Block.Txs))
		}
		chaingen.Mine(tmpl.Block)
		if err := n.gen.Add(tmpl.Block); err != nil {
			t.Fatal(err)
		}
		if err := n.ledger.AddBlock(tmpl.Block); err != nil {
			t.Fatal(err)
		}
	}
	tip := n.ledger.Tip()
	if got, want := n.assemble(t).Block.Version, n.spec.Rules.BlockVersion(&tip); got != want {
		t.Errorf("version %x, want %x", got, want)
	}
}

func TestAssembleClock(t *testing.T) {
	n := newNode(t, unchanged)
	past := time.Unix(1_000_000_000, 0)
	behind := mempool.New(mempool.Config{Ledger: n.ledger, Sigs: sigcheck.New(10), Policy: mempool.DefaultPolicy()})
	tmpl, err := Assemble(&n.spec.Rules, behind, payTo, past)
	if tip := n.ledger.Tip(); err != nil || tmpl.Block.Time != tip.MedianTime()+1 {
		t.Errorf("time of a block by a clock in the past: %v", err)
	}
	if _, err := Assemble(&n.spec.Rules, behind, payTo, time.Now().Add(24*time.Hour)); !errors.Is(err, ErrClock) {
		t.Errorf("a clock in the future: %v", err)
	}
}
