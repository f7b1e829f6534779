package miner

import (
	"errors"
	"testing"
	"time"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/miner/kernel"
	"lode/testnet/chaingen"
)

func (n *node) assemble(t *testing.T) *Template {
	t.Helper()
	tmpl, err := Assemble(&n.spec.Rules, n.pool, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// unsolved is a block of a template without its proof of work.
func unsolved(t *testing.T, tmpl *Template) *consensus.Block {
	t.Helper()
	b, err := tmpl.Unsolved(payTo, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAssemble makes blocks that the rules accept, with all fees and with a
// commitment to the witnesses.
func TestAssemble(t *testing.T) {
	n := newNode(t, unchanged)
	fees := n.fill(t)
	tmpl := n.assemble(t)
	if len(tmpl.Entries) != 3 || tmpl.Height != 7 {
		t.Fatalf("%d transactions at height %d", len(tmpl.Entries), tmpl.Height)
	}
	b, other := unsolved(t, tmpl), unsolved(t, tmpl)
	if got, want := b.Txs[0].OutputSum(), n.spec.Rules.Subsidy(7)+fees; got != want || tmpl.Value != want {
		t.Errorf("coinbase pays %d of %d, want %d", got, tmpl.Value, want)
	}
	if in := b.Txs[0].In[0]; b.Txs[0].LockTime != 6 || in.Sequence != 0xfffffffe {
		t.Errorf("the coinbase of block 7 has lock time %d and sequence %x", b.Txs[0].LockTime, in.Sequence)
	}
	if _, ok := b.WitnessCommitmentIndex(); !ok {
		t.Error("no witness commitment")
	}
	if other.Txs[0].TxID() == b.Txs[0].TxID() || other.MerkleRoot == b.MerkleRoot {
		t.Error("two coinbases are the same")
	}
	for _, block := range []*consensus.Block{b, other} {
		chaingen.Mine(block)
		if err := n.ledger.AddBlock(block); err != nil {
			t.Errorf("block refused: %v", err)
		}
	}
	if tip := n.ledger.Tip(); tip.Hash != b.Header.Hash() {
		t.Errorf("tip %s is not the block", tip.Hash)
	}
}

// TestAssembleWeights leaves room for a coinbase, and makes no block larger than it may.
func TestAssembleWeights(t *testing.T) {
	n := newNode(t, unchanged)
	n.fill(t)
	one := n.assemble(t).Entries[0].Weight
	for _, c := range []struct{ weight, reserved, want int }{
		{0, 0, 3}, {DefaultReserved + 2*one + one/2, 0, 2}, {DefaultReserved, 0, 0}, {10_000, 10_000 - one - one/2, 1}, {1, 4_000_000, 0}, {1 << 30, 4_000_000, 0},
	} {
		tmpl, _, err := NewTemplates(TemplatesConfig{Ledger: n.ledger, Pool: n.pool, Weight: c.weight, Reserved: c.reserved}).Current()
		if err != nil || len(tmpl.Entries) != c.want {
			t.Errorf("%+v: %d transactions, %v", c, len(tmpl.Entries), err)
		}
	}
}

// TestAssembleVersion makes blocks of a version that the operator has named.
func TestAssembleVersion(t *testing.T) {
	n := newNode(t, unchanged)
	templates := NewTemplates(TemplatesConfig{Ledger: n.ledger, Pool: n.pool, Version: 1337})
	tmpl, _, err := templates.Current()
	if err != nil || tmpl.Version != 1337 {
		t.Fatalf("%v, %v; want version 1337", tmpl, err)
	}
	if _, err := templates.Generate(t.Context(), payTo, 1, 1<<32); err != nil || n.ledger.Tip().Height != tmpl.Height {
		t.Errorf("a block of it: %v", err)
	}
}

// TestAssembleUpgrades makes blocks under an upgrade that lowers the weight, and
// signals for another.
func TestAssembleUpgrades(t *testing.T) {
	n := newNode(t, func(s *consensus.Spec) {
		s.Defaults.Upgrades = []consensus.Upgrade{
			{Name: "small", Height: 7, MaxBlockWeight: 9500},
			{Name: "asked", MaxBlockWeight: 4_000_000, Signal: consensus.Signal{Bit: 14, Start: 0, Timeout: 1000, Window: 2, Threshold: 2}},
		}
	})
	for range 3 {
		n.fill(t)
		b := unsolved(t, n.assemble(t))
		if w := b.Weight(); w > 9500 || len(b.Txs) < 2 {
			t.Errorf("weight %d with %d transactions", w, len(b.Txs))
		}
		chaingen.Mine(b)
		if err := n.gen.Add(b); err != nil {
			t.Fatal(err)
		}
		if err := n.ledger.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	tip := n.ledger.Tip()
	if got := n.assemble(t).Rollable; got != kernel.VersionBits&^(1<<14) {
		t.Errorf("the bits %08x of the version may change", got)
	}
	if got, want := n.assemble(t).Version, n.spec.Rules.BlockVersion(&tip); got != want {
		t.Errorf("version %x, want %x", got, want)
	}
}

func TestAssembleClock(t *testing.T) {
	n := newNode(t, unchanged)
	past := time.Unix(1_000_000_000, 0)
	behind := mempool.New(mempool.Config{Ledger: n.ledger, Sigs: sigcheck.New(10), Policy: mempool.DefaultPolicy()})
	tmpl, err := Assemble(&n.spec.Rules, behind, past)
	if tip := n.ledger.Tip(); err != nil || tmpl.Time(past) != tip.MedianTime()+1 {
		t.Errorf("time of a block by a clock in the past: %v", err)
	}
	if _, err := Assemble(&n.spec.Rules, behind, time.Now().Add(24*time.Hour)); !errors.Is(err, ErrClock) {
		t.Errorf("a clock in the future: %v", err)
	}
}
