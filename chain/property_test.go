package chain_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"testing"

	"pgregory.net/rapid"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// TestMain runs fewer checks of each property than rapid would by default:
// every one opens several databases. -rapid.checks overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "15"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var generated = chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })

// failer is a test or one check of a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func openGenerated(t failer, dir string, reindex bool) *chain.Chain {
	t.Helper()
	c, err := chain.Open(context.Background(), chain.Config{Dir: dir, Spec: generated, Sigs: sigcheck.New(1000), Reindex: reindex})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return c
}

func closeChain(t failer, c *chain.Chain) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// setHash is the hash of the UTXO set.
func setHash(t failer, c *chain.Chain) consensus.Hash {
	t.Helper()
	s, err := c.UTXOStats(context.Background())
	if err != nil {
		t.Fatalf("UTXO set: %v", err)
	}
	return s.Hash
}

// replayHash is the hash of the UTXO set of a fresh ledger that was only ever
// given the blocks of the active chain of c.
func replayHash(t failer, dir string, c *chain.Chain) consensus.Hash {
	t.Helper()
	fresh := openGenerated(t, dir, false)
	defer closeChain(t, fresh)
	for height := uint32(1); height <= c.Tip().Height; height++ {
		hash, _ := c.HashAt(height)
		block, err := c.Block(hash)
		if err != nil {
			t.Fatalf("block at height %d: %v", height, err)
		}
		if err := fresh.AddBlock(block); err != nil {
			t.Fatalf("replay of the block at height %d: %v", height, err)
		}
	}
	if a, b := fresh.Tip().Hash, c.Tip().Hash; a != b {
		t.Fatalf("replay ends at %s, not at %s", a, b)
	}
	return setHash(t, fresh)
}

// TestTree gives a ledger the blocks of a random tree in random order, with
// restarts in between, and compares it with a model after each.
func TestTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "tree")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.RemoveAll(dir)
		d := delivery{dir: dir + "/a", tree: drawTree(t, &generated.Rules)}
		d.model, d.c = newModel(d.tree), openGenerated(t, d.dir, false)
		d.tips = []consensus.Hash{generated.Rules.GenesisHash()}
		defer func() { d.c.Close() }()
		for range 3 * len(d.tree) {
			d.step(t)
			d.check(t)
		}
		for i := range d.tree { // in the end all of it
			d.reconsider(t, i)
			d.check(t)
		}
		for i := range d.tree {
			d.block(t, i)
			d.check(t)
		}
		if a, b := setHash(t, d.c), replayHash(t, dir+"/b", d.c); a != b {
			t.Fatalf("UTXO set %s, and %s after a replay of the active chain alone", a, b)
		}
	})
}

// delivery is a ledger and what it should be like.
type delivery struct {
	dir   string
	tree  tree
	model *model
	c     *chain.Chain
	tips  []consensus.Hash // all there were
}

func (d *delivery) step(t *rapid.T) {
	i := rapid.IntRange(0, len(d.tree)-1).Draw(t, "piece")
	switch rapid.SampledFrom([]string{"block", "block", "block", "block", "block", "headers", "changed", "restart", "invalidate", "reconsider", "precious"}).Draw(t, "action") {
	case "block":
		d.block(t, i)
	case "headers":
		d.headers(t, i)
	case "changed":
		d.changed(t, i)
	case "restart":
		reindex := rapid.IntRange(0, 3).Draw(t, "reindex") == 0
		closeChain(t, d.c)
		d.c = openGenerated(t, d.dir, reindex)
		clear(d.model.prefer)
		if reindex {
			d.model.reindex()
		}
	case "invalidate":
		if err := d.c.InvalidateBlock(d.tree[i].hash); d.known(t, i, err) && d.tree[i].valid {
			d.model.invalidate(i)
		}
	case "reconsider":
		d.reconsider(t, i)
	case "precious":
		better := d.tree[i].state.Work
		if tip := d.c.Tip(); d.known(t, i, d.c.PreciousBlock(d.tree[i].hash)) && !better.Lt(&tip.Work) {
			d.model.prefer[i] = len(d.tips) // higher than all before
		}
	}
}

func (d *delivery) reconsider(t *rapid.T, i int) {
	if d.known(t, i, d.c.ReconsiderBlock(d.tree[i].hash)) {
		d.model.reconsider(i)
	}
}

// known looks at the error of a call about a piece, and says whether the ledger
// has that.
func (d *delivery) known(t *rapid.T, i int, err error) bool {
	if err != nil && !errors.Is(err, chain.ErrNotFound) || d.tree[i].valid && d.model.headers[i] != (err == nil) {
		t.Fatalf("piece %d, known: %v: %v", i, d.model.headers[i], err)
	}
	return err == nil
}

func (d *delivery) block(t *rapid.T, i int) {
	p := &d.tree[i]
	status, err := d.c.SubmitBlock(p.block)
	switch {
	case !p.valid:
		if err == nil && status != chain.Duplicate && !d.model.stored[i] {
			d.model.store(i)
		}
	case !d.model.knows(p.parent):
		if !errors.Is(err, chain.ErrUnknownParent) {
			t.Fatalf("block %d without its parent: %v %v", i, status, err)
		}
	case !d.model.takes(i):
		if !errors.Is(err, chain.ErrKnownInvalid) && !errors.Is(err, chain.ErrInvalidParent) {
			t.Fatalf("block %d, which counts as invalid: %v %v", i, status, err)
		}
		d.model.hear(i)
	case err != nil:
		t.Fatalf("block %d: %v", i, err)
	case (status == chain.Duplicate) != d.model.stored[i]:
		t.Fatalf("block %d: status %v, stored before: %v", i, status, d.model.stored[i])
	case !d.model.stored[i]:
		d.model.store(i)
	}
}

func (d *delivery) headers(t *rapid.T, to int) {
	var headers []consensus.Header
	good := d.tree[to].valid
	for _, i := range d.tree.path(to) {
		headers = append(headers, d.tree[i].block.Header)
		if good = good && d.model.takes(i); d.tree[i].valid {
			d.model.hear(i)
		}
	}
	if err := d.c.AddHeaders(headers); err != nil && good {
		t.Fatalf("headers to %d: %v", to, err)
	}
}

// changed delivers a block that was changed on the way.
func (d *delivery) changed(t *rapid.T, i int) {
	p := &d.tree[i]
	flaw := rapid.SampledFrom([]chaingen.Flaw{chaingen.FlawMerkle, chaingen.FlawWitness}).Draw(t, "change")
	status, err := d.c.SubmitBlock(chaingen.Changed(p.block, flaw))
	if !p.valid || err == nil && status == chain.Duplicate {
		return
	}
	if flaw == chaingen.FlawWitness && d.model.knows(p.parent) {
		d.model.hear(i)
	}
	if d.model.knows(p.parent) && !d.model.takes(i) && (errors.Is(err, chain.ErrKnownInvalid) || errors.Is(err, chain.ErrInvalidParent)) {
		return
	}
	if !errors.Is(err, flaw.Kind()) && !errors.Is(err, chain.ErrUnknownParent) {
		t.Fatalf("changed block %d: %v %v, want %s", i, status, err, flaw.Kind())
	}
}

// check compares the tip, and that what happened since any earlier tip leads to
// it.
func (d *delivery) check(t *rapid.T) {
	want := generated.Rules.GenesisHash()
	if i := d.model.tip(); i >= 0 {
		want = d.tree[i].hash
	}
	if got := d.c.Tip(); got.Hash != want {
		t.Fatalf("tip %s at %d, want %s", got.Hash, got.Height, want)
	}
	point := rapid.SampledFrom(d.tips).Draw(t, "since")
	limit := rapid.IntRange(1, 5).Draw(t, "limit")
	if end := follow(t, d.c, point, limit); end != want {
		t.Fatalf("updates since %s end at %s, not at the tip %s", point, end, want)
	}
	d.tips = append(d.tips, want)
}

// follow walks along all updates since point, each of which must begin where
// the one before ended.
func follow(t failer, c *chain.Chain, point consensus.Hash, limit int) consensus.Hash {
	t.Helper()
	for at, more := point, true; more; {
		err := c.Read(func(r *chain.Reader) error {
			u, err := r.UpdatesSince(at, limit)
			if err != nil {
				return err
			}
			for _, b := range u.Reverted {
				if b.Header.Hash() != at {
					t.Fatalf("%s is reverted at %s", b.Header.Hash(), at)
				}
				at = b.Prev
			}
			for _, b := range u.Applied {
				if b.Prev != at {
					t.Fatalf("%s is applied to %s", b.Header.Hash(), at)
				}
				at = b.Header.Hash()
			}
			if u.Point != at || len(u.Reverted)+len(u.Applied) > limit {
				t.Fatalf("point %s after %d updates, want %s after at most %d", u.Point, len(u.Reverted)+len(u.Applied), at, limit)
			}
			more = u.More
			return nil
		})
		if err != nil {
			t.Fatalf("updates since %s: %v", at, err)
		}
		point = at
	}
	return point
}
