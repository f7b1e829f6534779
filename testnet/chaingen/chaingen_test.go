package chaingen_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

func shortMaturity() *consensus.Spec {
	return chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 2 })
}

func TestSameSeedSameBytes(t *testing.T) {
	params := chaingen.Params{Seed: 7, Txs: 3, Inputs: 2, Outputs: 3, Fee: 500}
	a, b := chaingen.New(&shortMaturity().Rules, params), chaingen.New(&shortMaturity().Rules, params)
	a.Extend(20)
	b.Extend(20)
	forkA, forkB := a.Fork(10, 1), b.Fork(10, 1)
	forkA.Extend(5)
	forkB.Extend(5)
	txs := 0
	for _, pair := range [][2]*chaingen.Chain{{a, b}, {forkA, forkB}} {
		for h := range pair[0].Blocks {
			if !bytes.Equal(pair[0].Blocks[h].Bytes(), pair[1].Blocks[h].Bytes()) {
				t.Fatalf("blocks at height %d differ", h)
			}
			txs += len(pair[0].Blocks[h].Txs) - 1
		}
	}
	if txs < 40 {
		t.Errorf("only %d transactions", txs)
	}
	if a.Blocks[11].Header.Hash() == forkA.Blocks[11].Header.Hash() {
		t.Error("the fork goes no way of its own")
	}
}

// TestFlaws judges every flawed block by the rules: it breaks the one that it
// should, and a good block after it breaks none.
func TestFlaws(t *testing.T) {
	rules := &shortMaturity().Rules
	c := chaingen.New(rules, chaingen.Params{Seed: 1, Txs: 2, Outputs: 2, Fee: 1000})
	if _, ok := c.Flawed(chaingen.FlawSignature); ok {
		t.Error("a wrong signature where no coin can be spent")
	}
	c.Extend(5)
	for f := range chaingen.Flaws {
		b, ok := c.Flawed(f)
		if !ok {
			t.Fatalf("flaw %d cannot be made", f)
		}
		tip := c.Tip()
		median := func(h uint32) uint32 { return 0 }
		u, err := rules.ApplyBlock(tip, b, c.Coins, median, consensus.NoTimeLimit)
		if err == nil {
			err = sigcheck.New(0).Verify(u.Sigs)
		}
		if !errors.Is(err, f.Kind()) {
			t.Errorf("flaw %d: %v, want %s", f, err, f.Kind())
		}
		c.Extend(1)
	}
}

// TestLongChain makes the chain of a benchmark: numbers of inputs at random, what
// is old forgotten, all of it written in the framing of a bootstrap file.
func TestLongChain(t *testing.T) {
	spec := shortMaturity()
	c := chaingen.New(&spec.Rules, chaingen.Params{Seed: 3, Txs: 20, MaxInputs: 2, Outputs: 2, Fee: 1})
	var file bytes.Buffer
	var raw [][]byte
	inputs := make(map[int]int)
	for range 12 {
		for _, b := range c.Extend(1) {
			raw = append(raw, b.Bytes())
			if err := chaingen.Write(&file, spec, b); err != nil {
				t.Fatal(err)
			}
			for _, tx := range b.Txs[1:] {
				inputs[len(tx.In)]++
			}
		}
		c.Forget(c.Tip().Height)
	}
	if inputs[1] < 5 || inputs[2] < 5 || len(inputs) != 2 {
		t.Errorf("transactions by their inputs: %v", inputs)
	}
	for i, want := range raw {
		frame := file.Next(8)
		if size := binary.LittleEndian.Uint32(frame[4:]); !bytes.Equal(frame[:4], spec.Defaults.Magic) || int(size) != len(want) {
			t.Fatalf("block %d is framed %x, and has %d bytes", i+1, frame, len(want))
		}
		if got := file.Next(len(want)); !bytes.Equal(got, want) {
			t.Fatalf("block %d is written as %x", i+1, got)
		}
	}
	if file.Len() != 0 {
		t.Errorf("%d bytes behind the last block", file.Len())
	}
}
