package chain

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"lode/testnet/chaingen"
)

// TestOperatorsVerdictIsNoFault tells what the operator invalidated from what
// broke a rule, also after a restart, and keeps the headers that are built on it
// for the day when it is reconsidered.
func TestOperatorsVerdictIsNoFault(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 1, Fee: 1000})
	addBlocks(t, c, g.Extend(6))
	more := g.Extend(3)
	bad, ok := g.Fork(6, 3).Flawed(chaingen.FlawSignature)
	if !ok {
		t.Fatal("no flawed block")
	}
	if err := c.AddBlock(bad); err == nil {
		t.Fatal("a flawed block was taken")
	}
	if info, _ := c.Header(bad.Header.Hash()); !info.Invalid || info.Invalidated {
		t.Errorf("a block that breaks a rule: invalid %v, by the operator %v", info.Invalid, info.Invalidated)
	}

	if err := c.InvalidateBlock(g.Blocks[5].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if c.Tip().Height != 4 || c.BestHeader().Height != 4 {
			t.Errorf("the tip is at %d, the best header at %d", c.Tip().Height, c.BestHeader().Height)
		}
		for _, b := range append(g.Blocks[5:7:7], more[:1]...) {
			if err := c.AddBlock(b); !errors.Is(err, ErrInvalidated) {
				t.Errorf("block: %v", err)
			}
		}
		if err := c.AddHeaders(headersOf(more)); !errors.Is(err, ErrInvalidated) {
			t.Errorf("headers: %v", err)
		}
		for _, b := range append(g.Blocks[5:7:7], more...) {
			if info, ok := c.Header(b.Header.Hash()); !ok || !info.Invalid || !info.Invalidated {
				t.Errorf("height %d: known %v, invalid %v, by the operator %v", info.Height, ok, info.Invalid, info.Invalidated)
			}
		}
		if info, _ := c.Header(bad.Header.Hash()); !info.Invalid || info.Invalidated { // built on both
			t.Errorf("a block that breaks a rule: invalid %v, by the operator %v", info.Invalid, info.Invalidated)
		}
		if err := c.AddBlock(bad); errors.Is(err, ErrInvalidated) || !errors.Is(err, ErrKnownInvalid) {
			t.Errorf("a block that breaks a rule: %v", err)
		}
		if reason, _ := Reason(c.AddBlock(g.Blocks[5])); reason != "duplicate-invalid" {
			t.Errorf("the reason is %q, want that of Bitcoin Core", reason)
		}
		kill(d, c)
		c = onFaultDisk(t, d, nil)
	}

	if err := c.ReconsiderBlock(more[0].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	if best := c.BestHeader(); c.Tip().Height != 6 || best.Height != 9 || best.Invalid || best.Invalidated {
		t.Errorf("the tip is at %d, the best header at %d", c.Tip().Height, best.Height)
	}
	if missing := c.MissingBlocks(more[2].Header.Hash(), 10); len(missing) != 3 {
		t.Errorf("%d blocks are missing, want 3", len(missing))
	}
	addBlocks(t, c, more)
	expectSet(t, c, g.Blocks)
}

// TestInvalidateWithoutBlockFile has the file of the blocks gone: the tip cannot
// move, and who asked is told so.
func TestInvalidateWithoutBlockFile(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(context.Background(), Config{Dir: dir, Spec: testSpec})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { c.Close() }()
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 1, Fee: 1000})
	addBlocks(t, c, g.Extend(6))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(context.Background(), Config{Dir: dir, Spec: testSpec}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.blocks.Name(0)); err != nil {
		t.Fatal(err)
	}
	err = c.InvalidateBlock(g.Blocks[3].Header.Hash())
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "the tip stays at height 6") || !strings.Contains(err.Error(), "blk00000.dat") {
		t.Errorf("got %v", err)
	}
	if c.Tip().Height != 6 {
		t.Errorf("the tip is at %d", c.Tip().Height)
	}
	for range 4 { // blocks are disconnected
		for _, b := range g.Blocks[1:] { // as they come from peers
			if err := c.AddBlock(b); err != nil && !errors.Is(err, ErrInvalidated) {
				t.Fatal(err)
			}
		}
	}
	if c.Tip().Height != 2 {
		t.Errorf("the tip is at %d after the blocks have come", c.Tip().Height)
	}
	expectSet(t, c, g.Blocks[:3])
}
