package chain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"lode/chain/blockfile"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// onFaultDisk opens a ledger on a disk in memory; log, if not nil, gets what it
// logs.
func onFaultDisk(t *testing.T, d *faultDisk, log *strings.Builder) *Chain {
	t.Helper()
	cfg := Config{Dir: faultDir, Spec: testSpec, Sigs: sigcheck.New(0), disk: d}
	if log != nil {
		cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// kill ends the process of a ledger, and starts the disk again.
func kill(d *faultDisk, c *Chain) {
	d.mu.Lock()
	d.dead = true
	d.mu.Unlock()
	c.Close()
	d.restart(false, plan{})
}

func addBlocks(t *testing.T, c *Chain, blocks []*consensus.Block) {
	t.Helper()
	for _, b := range blocks {
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
}

func expectSet(t *testing.T, c *Chain, blocks []*consensus.Block) {
	t.Helper()
	fresh := onFaultDisk(t, newFaultDisk(0), nil)
	addBlocks(t, fresh, blocks[1:])
	want, err := fresh.UTXOStats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.UTXOStats(context.Background())
	if err != nil || got.Hash != want.Hash || got.Tip != want.Tip {
		t.Errorf("coins %s at %s, want %s at %s: %v", got.Hash, got.Tip, want.Hash, want.Tip, err)
	}
}

// TestHeaderOnUnsavedBlock is killed after a header was written whose parent was
// not: what has been written stays, and nothing is built anew.
func TestHeaderOnUnsavedBlock(t *testing.T) {
	for name, write := range map[string]func(c *Chain, g *chaingen.Chain) error{
		"header": func(c *Chain, g *chaingen.Chain) error {
			return c.AddHeaders([]consensus.Header{g.Next().Header})
		},
		"invalid block": func(c *Chain, g *chaingen.Chain) error {
			b, _ := g.Flawed(chaingen.FlawSignature)
			if err := c.AddBlock(b); !errors.Is(err, consensus.ErrSig) {
				return fmt.Errorf("a bad block: %w", err)
			}
			return nil
		},
		"flush that is cut short": func(c *Chain, g *chaingen.Chain) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.cfg.limits.batch = 1
			d := c.cfg.disk.(*faultDisk)
			d.plan = plan{strikeCrash, d.ops + 5}
			if err := c.flush(); !errors.Is(err, errKilled) {
				return fmt.Errorf("a flush while it is killed: %w", err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFaultDisk(1)
			var log strings.Builder
			c := onFaultDisk(t, d, &log)
			g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 1, Fee: 1000})
			addBlocks(t, c, g.Extend(5))
			if err := write(c, g); err != nil {
				t.Fatal(err)
			}
			kill(d, c)
			c = onFaultDisk(t, d, &log)
			if strings.Contains(log.String(), "anew") || c.Tip().Hash != g.Tip().Hash {
				t.Errorf("at height %d after a kill: %s", c.Tip().Height, log.String())
			}
		})
	}
}

// TestInvalidateThenKill is killed right after a block was marked invalid, the
// tip on record still being on it.
func TestInvalidateThenKill(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 1, Fee: 1000})
	addBlocks(t, c, g.Extend(5))
	c.flushDue()
	if err := c.InvalidateBlock(g.Blocks[4].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	kill(d, c)
	c = onFaultDisk(t, d, nil)
	want := g.Blocks[3].Header.Hash()
	if best := c.BestHeader(); c.Tip().Hash != want || best.Hash != want || best.Invalid {
		t.Errorf("tip at %d, best header at %d, invalid: %v", c.Tip().Height, best.Height, best.Invalid)
	}
	expectSet(t, c, g.Blocks[:4])
}

// damageStored makes what is stored of a block, or its undo data, unreadable.
func damageStored(c *Chain, where *blockfile.Files, p blockfile.Position) {
	d := c.cfg.disk.(*faultDisk)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.find(where.Name(p.File)).data[p.Offset+70] ^= 1
	clear(c.held)
	c.heldBytes = 0
}

// TestUndoAndBlockDamaged damages the undo data of a block and also the block to
// make it anew from: the reorganization waits until that has come again.
func TestUndoAndBlockDamaged(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 2, Outputs: 2, Fee: 1000})
	addBlocks(t, c, g.Extend(8))
	other := g.Fork(6, 7)
	other.Extend(3)
	// Some block below the fork made what the last block spends.
	var made *node
	for _, in := range g.Blocks[8].Txs[1].In {
		coins, err := c.spent(c.tree.Tip())
		if err != nil || len(coins) == 0 {
			t.Fatal(err, in)
		}
		made = c.tree.Active()[slices.MinFunc(coins, func(a, b consensus.Coin) int { return int(a.Height) - int(b.Height) }).Height]
	}
	if made.Height() > 6 {
		t.Fatalf("it spends what was made at %d", made.Height())
	}
	c.flushDue()
	damageStored(c, c.undos, c.tree.Tip().Own.undo)
	damageStored(c, c.blocks, made.Own.body)
	for range 2 {
		addBlocks(t, c, other.Blocks[7:])
		if c.Tip().Hash != g.Tip().Hash {
			t.Fatalf("the tip is at %d", c.Tip().Height)
		}
		if missing := c.MissingBlocks(other.Tip().Hash, 10); !slices.Equal(missing, []consensus.Hash{made.Hash()}) {
			t.Errorf("missing are %v, want %v", missing, made.Hash())
		}
		kill(d, c)
		c = onFaultDisk(t, d, nil)
	}
	addBlocks(t, c, g.Blocks[made.Height():][:1])
	if c.Tip().Hash != other.Tip().Hash {
		t.Errorf("the tip is at %d although the block has come", c.Tip().Height)
	}
	expectSet(t, c, other.Blocks)
}

// TestInvalidateDamaged invalidates a block below one that is damaged on disk:
// that is disconnected when it has come again.
func TestInvalidateDamaged(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 2, Outputs: 2, Fee: 1000})
	addBlocks(t, c, g.Extend(8))
	damageStored(c, c.blocks, c.tree.Active()[7].Own.body)
	for range 2 {
		if err := c.InvalidateBlock(g.Blocks[5].Header.Hash()); !errors.Is(err, ErrDamaged) || !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if c.Tip().Height != 7 {
			t.Errorf("the tip is at %d", c.Tip().Height)
		}
	}
	if err := c.ReconsiderBlock(g.Blocks[7].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	addBlocks(t, c, g.Blocks[7:8])
	if err := c.InvalidateBlock(g.Blocks[5].Header.Hash()); err != nil {
		t.Fatal(err)
	}
	if c.Tip().Height != 4 {
		t.Errorf("the tip is at %d", c.Tip().Height)
	}
	expectSet(t, c, g.Blocks[:5])
}

// TestGenesisDamaged damages the genesis block on disk: nobody needs it.
func TestGenesisDamaged(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2})
	addBlocks(t, c, g.Extend(2))
	damageStored(c, c.blocks, c.tree.Active()[0].Own.body)
	if b, err := c.Block(testSpec.Rules.GenesisHash()); err != nil || b.Header.Hash() != testSpec.Rules.GenesisHash() {
		t.Error(err)
	}
	if missing := c.MissingBlocks(g.Tip().Hash, 10); len(missing) > 0 {
		t.Errorf("missing are %v", missing)
	}
}

// TestDuplicateOfInvalid has many goroutines submit the same bad block: none is
// told that it is merely known.
func TestDuplicateOfInvalid(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 2, Outputs: 2, Fee: 1000})
	addBlocks(t, c, g.Extend(3))
	for range 20 {
		bad, _ := g.Flawed(chaingen.FlawSignature)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if status, err := c.SubmitBlock(bad); !errors.Is(err, consensus.ErrSig) && !errors.Is(err, ErrKnownInvalid) {
					t.Errorf("status %v, error %v", status, err)
				}
			})
		}
		wg.Wait()
		addBlocks(t, c, g.Extend(1))
	}
}

// TestNotAcknowledged has the flush fail that a block brings about: whoever
// submitted the block is told.
func TestNotAcknowledged(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	c.cacheLimit = 0
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2})
	addBlocks(t, c, g.Extend(3))
	d.mu.Lock()
	d.ops, d.plan = 0, plan{strikeFull, 2} // the block itself can be written
	d.mu.Unlock()
	if err := c.AddBlock(g.Next()); !errors.Is(err, ErrFatal) || !strings.Contains(err.Error(), faultDir) {
		t.Errorf("error %v", err)
	}
}

// TestConcurrentSubmit has several goroutines submit the blocks of a tree, most
// of them more than once, while others read, invalidate and reconsider: everyone
// gets an answer, the right one, and in the end the best block is the tip.
func TestConcurrentSubmit(t *testing.T) {
	t.Parallel()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		w := newWorld(uint64(100 + round))
		d := newFaultDisk(uint64(round))
		c := onFaultDisk(t, d, nil)
		c.cacheLimit = entrySize * 20
		var headers []consensus.Header
		for _, p := range w.pieces {
			headers = append(headers, p.block.Header)
			if err := c.AddHeaders(headers[len(headers)-1:]); err != nil && p.valid {
				t.Fatal(err)
			}
		}
		submitAtOnce(t, c, w, round%2 == 0)
		best := w.pieces[0]
		for _, p := range w.pieces {
			if p.valid && p.state.Work.Gt(&best.state.Work) {
				best = p
			}
		}
		if tip := c.Tip(); tip.Work != best.state.Work {
			t.Errorf("the tip is at %d, want %d", tip.Height, best.state.Height)
		}
		if s, err := c.UTXOStats(t.Context()); err != nil || s.Hash != w.set(t, s.Tip) {
			t.Errorf("coins at %d: %v", s.Height, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func submitAtOnce(t *testing.T, c *Chain, w *world, control bool) {
	var wg, others sync.WaitGroup
	const submitters = 6
	for i := range submitters {
		wg.Go(func() {
			for n := range w.pieces {
				p := w.pieces[(n*(2*i+1)+i)%len(w.pieces)]
				_, err := c.SubmitBlock(p.block)
				// Known invalid it may only be if it is, or was told to be.
				if _, ok := Reason(err); err != nil && (!ok || p.valid && !control) {
					t.Errorf("block at %d, valid %v: %v", p.state.Height, p.valid, err)
				}
			}
		})
	}
	done := make(chan struct{})
	if control {
		others.Go(func() {
			for n := 0; ; n++ {
				p := w.pieces[n*7%len(w.pieces)]
				for _, change := range []func(consensus.Hash) error{c.InvalidateBlock, c.PreciousBlock, c.ReconsiderBlock} {
					if err := change(p.hash); err != nil && !errors.Is(err, ErrNotFound) {
						t.Error(err)
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	others.Go(func() {
		for {
			if _, _, err := c.Coin(consensus.OutPoint{}); err != nil {
				t.Error(err)
			}
			c.MissingBlocks(w.pieces[len(w.pieces)-1].hash, 10)
			select {
			case <-done:
				return
			default:
			}
		}
	})
	wg.Wait()
	close(done)
	others.Wait()
	for _, p := range w.pieces { // what was refused while its parent counted as invalid
		if err := c.ReconsiderBlock(p.hash); err != nil && !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
	for _, p := range w.pieces {
		if err := c.AddBlock(p.block); err != nil && p.valid {
			t.Error(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) > 0 || len(c.inbox) > 0 {
		t.Errorf("%d submissions wait for ever", len(c.waiting)+len(c.inbox))
	}
}

// TestLostBlockFetchedThenKill is killed after a block of the active chain was
// fetched again: a side branch that forks off there can still become the best.
func TestLostBlockFetchedThenKill(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 2, Outputs: 2, Fee: 1000})
	addBlocks(t, c, g.Extend(5))
	side := g.Fork(3, 7)
	side.Extend(3)
	addBlocks(t, c, side.Blocks[4:5])
	c.flushDue()
	n := c.tree.Active()[3]
	damageStored(c, c.blocks, n.Own.body)
	if _, err := c.Block(n.Hash()); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	addBlocks(t, c, g.Blocks[3:4])
	c.mu.Lock()
	err := c.putNodes(n)
	c.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	kill(d, c)
	c = onFaultDisk(t, d, nil)
	addBlocks(t, c, side.Blocks[5:])
	if c.Tip().Hash != side.Tip().Hash {
		t.Errorf("the tip is at %d", c.Tip().Height)
	}
	expectSet(t, c, side.Blocks)
}

// TestCloseAfterLargeBatchFails has the disk fill up under a batch that is larger
// than LevelDB's buffer: it fails, and the database can be closed.
func TestCloseAfterLargeBatchFails(t *testing.T) {
	d := newFaultDisk(1)
	s, err := openStore(d, faultDir, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var small, large batch
	small.Put([]byte("small"), make([]byte, 10))
	large.Put([]byte("large"), make([]byte, 5000))
	if err := s.write(&small, false); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.ops, d.plan = 0, plan{strikeFull, 1}
	d.mu.Unlock()
	if err := s.write(&large, true); err == nil {
		t.Error("it was written to a full disk")
	}
	_ = s.close() // would wait for ever
}

// TestRecordOfLostBlock loses, in a power cut, a block whose record got to the
// database all the same: it is not taken for stored once other blocks lie where
// it was.
func TestRecordOfLostBlock(t *testing.T) {
	d := newFaultDisk(1)
	c := onFaultDisk(t, d, nil)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 2, Outputs: 2, Fee: 1000})
	addBlocks(t, c, g.Extend(3))
	c.flushDue()
	side := g.Fork(3, 7)
	addBlocks(t, c, side.Extend(1))
	if err := c.AddHeaders([]consensus.Header{side.Next().Header}); err != nil {
		t.Fatal(err)
	}
	at := mustFind(c, side.Tip().Hash).Own.body
	d.mu.Lock()
	n := d.find(c.blocks.Name(at.File))
	n.data = n.data[:at.Offset-blockfile.FrameSize]
	d.mu.Unlock()
	kill(d, c)
	c = onFaultDisk(t, d, nil)
	addBlocks(t, c, g.Extend(3))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = onFaultDisk(t, d, nil)
	if info, ok := c.Header(side.Tip().Hash); !ok || info.HaveBlock {
		t.Errorf("the lost block: known %v, stored %v", ok, info.HaveBlock)
	}
	if status, err := c.SubmitBlock(side.Blocks[4]); err != nil || status != Stored {
		t.Errorf("the lost block again: %v %v", status, err)
	}
}
