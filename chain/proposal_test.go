package chain

import (
	"context"
	"errors"
	"testing"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// TestTestBlock judges good blocks, and bad ones of every kind, before they are
// submitted: the verdict is the same, proof of work or not, and is forgotten.
func TestTestBlock(t *testing.T) {
	t.Parallel()
	c, err := Open(context.Background(), Config{Dir: t.TempDir(), Spec: testSpec, Sigs: sigcheck.New(100)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 7, Txs: 3, Inputs: 2, Outputs: 3, Fee: 1000})
	reasons := make(map[string]bool)
	for range 30 {
		for flaw := range chaingen.Flaws {
			b, ok := g.Flawed(flaw)
			if !ok {
				continue
			}
			before := c.Tip()
			tested := c.TestBlock(b)
			if _, known := c.Header(b.Header.Hash()); known || c.Tip() != before {
				t.Fatal("something is remembered of a block that was only tested")
			}
			want, _ := Reason(c.AddBlock(b))
			if got, _ := Reason(tested); got != want || want == "" {
				t.Fatalf("%v: %q, and submitted %q", flaw, got, want)
			}
			reasons[want] = true
		}
		b := g.Next()
		target, _ := consensus.TargetFromBits(b.Bits)
		for b.Header.Hash().MeetsTarget(&target) {
			b.Nonce++
		}
		if err := c.TestBlock(b); err != nil {
			t.Fatalf("a good block without a proof of work: %v", err)
		}
		good := g.Extend(1)[0]
		if err := c.TestBlock(good); err != nil {
			t.Fatal(err)
		}
		if err := c.AddBlock(good); err != nil {
			t.Fatal(err)
		}
		if err := c.TestBlock(good); !errors.Is(err, ErrNotOnTip) {
			t.Fatalf("the tip itself: %v", err)
		}
	}
	if len(reasons) < 7 {
		t.Errorf("only %v", reasons)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.TestBlock(g.Next()); !errors.Is(err, ErrFatal) {
		t.Errorf("on a closed ledger: %v", err)
	}
}
