package chain

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// countdown is a context that ends when it has been looked at so often.
type countdown struct {
	context.Context
	left atomic.Int32
}

func newCountdown(t *testing.T, looks int) *countdown {
	c := &countdown{Context: t.Context()}
	c.left.Store(int32(looks))
	return c
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestOpenInterrupted interrupts the opening of a ledger wherever it looks
// whether it should go on: while it reads headers and block files, connects
// what it has found and reorganizes. Each start goes on where the last has
// stopped, and nothing is built anew.
func TestOpenInterrupted(t *testing.T) {
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 2, Fee: 1000})
	g.Extend(30)
	other := g.Fork(12, 7)
	other.Extend(20)
	blocks := slices.Concat(g.Blocks[1:20], other.Blocks[13:], g.Blocks[20:]) // 18 heights are reverted
	blocks[3], blocks[8] = blocks[8], blocks[3]                               // some wait for their parents

	d := newFaultDisk(1)
	cfg := Config{Dir: faultDir, Spec: testSpec, Sigs: sigcheck.New(0), disk: d}
	cfg.limits = limits{batch: 2000, buffer: 100_000, file: 9000, coins: 1}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, branch := range [][]*consensus.Block{g.Blocks, other.Blocks} {
		if err := c.AddHeaders(headersOf(branch)); err != nil {
			t.Fatal(err)
		}
	}
	addBlocks(t, c, blocks)
	expectTip(t, c, other)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	const plenty = 1 << 20
	all := newCountdown(t, plenty)
	open := func(ctx context.Context, reindex bool) error {
		cfg.Reindex = reindex
		c, err := Open(ctx, cfg)
		if err != nil {
			return err
		}
		expectTip(t, c, other)
		return c.Close()
	}
	if err := open(all, true); err != nil {
		t.Fatal(err)
	}
	looks := plenty - int(all.left.Load())
	if looks < len(blocks) {
		t.Fatalf("a start looks %d times whether it should end", looks)
	}
	for n := 0; n < looks; n += 1 + n/4 {
		err := open(newCountdown(t, n), true)
		for more := n; err != nil; more += looks / 8 {
			if !errors.Is(err, context.Canceled) || errors.Is(err, ErrFatal) || more > 4*looks {
				t.Fatalf("after %d looks, and then %d: %v", n, more, err)
			}
			err = open(newCountdown(t, more), false)
		}
	}
}

func expectTip(t *testing.T, c *Chain, g *chaingen.Chain) {
	t.Helper()
	if c.Tip().Hash != g.Tip().Hash {
		t.Errorf("the tip is at %d, want %d", c.Tip().Height, g.Tip().Height)
	}
	expectSet(t, c, g.Blocks)
}
