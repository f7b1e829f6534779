package chain

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lode/chain/blockfile"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// killedLedger makes a ledger with blocks, the last of which no flush has seen,
// and copies it as it is on disk: as a kill would leave it. record is where a
// block lies in its file.
func killedLedger(t *testing.T, flushed int, blocks []*consensus.Block) (copyTo func(t *testing.T) string, record func(*consensus.Block) blockfile.Position) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "killed")
	c, err := Open(t.Context(), Config{Dir: dir, Spec: testSpec, Sigs: sigcheck.New(0)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	addBlocks(t, c, blocks[:flushed])
	c.flushDue()
	addBlocks(t, c, blocks[flushed:])
	copyTo = func(t *testing.T) string {
		at := filepath.Join(t.TempDir(), "copy")
		copyDir(t, dir, at)
		return at
	}
	return copyTo, func(b *consensus.Block) blockfile.Position { return mustFind(c, b.Header.Hash()).Own.body }
}

// TestVerifyCoversWhatIsNotFlushed verifies a ledger that was killed before a
// flush: all blocks on disk are covered, a damaged one is named, and a start that
// loses blocks says how many.
func TestVerifyCoversWhatIsNotFlushed(t *testing.T) {
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 1, Fee: 1000})
	blocks := g.Extend(50)
	copyTo, record := killedLedger(t, 0, blocks)
	verify := func(t *testing.T, dir string) (Verified, error) {
		t.Helper()
		return Verify(t.Context(), Config{Dir: dir, Spec: testSpec, Cache: MinCache}, nil)
	}
	start := func(t *testing.T, dir string) (height uint32, log string) {
		t.Helper()
		var b strings.Builder
		c, err := Open(t.Context(), Config{Dir: dir, Spec: testSpec, Log: textLog(&b)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Tip().Height, b.String()
	}
	last := record(blocks[49])
	damage := func(height int, from int) func(t *testing.T, dir string) {
		p := record(blocks[height-1])
		return func(t *testing.T, dir string) {
			flipByte(t, filepath.Join(dir, "blocks", blockfile.Name("blk", p.File)), int64(p.Offset)+int64(from))
		}
	}
	for name, test := range map[string]struct {
		change func(t *testing.T, dir string)
		says   string // of Verify; empty if all is well
		tail   int64
		height uint32 // of a start
		logs   []string
	}{
		"whole":            {func(*testing.T, string) {}, "", 0, 50, nil},
		"a byte":           {damage(18, 200), "32 blocks do not have their parents", 0, 17, []string{"found=17", "blocks_without_their_parents=32"}},
		"a frame":          {damage(18, -3), "32 blocks do not have their parents", 0, 17, []string{"blocks_without_their_parents=32"}},
		"the last's byte":  {damage(50, 200), "49 blocks are good", 0, 49, []string{"found=49"}},
		"the last's magic": {damage(50, -8), "49 blocks are good", 0, 49, []string{"found=49"}},
		"torn": {func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "blocks", blockfile.Name("blk", 0)), int64(last.Offset)+20); err != nil {
				t.Fatal(err)
			}
		}, "", blockfile.FrameSize + 20, 49, []string{"the block that was written last is not whole", "cut_off_bytes=28"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyTo(t)
			test.change(t, dir)
			before := contents(t, dir)
			got, err := verify(t, dir)
			switch {
			case test.says == "" && (err != nil || got.Height != test.height || got.Saved != 0 || got.Tail != test.tail):
				t.Errorf("verified %+v: %v", got, err)
			case test.says != "" && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.says)):
				t.Errorf("got %v, want an error that says %q", err, test.says)
			}
			if after := contents(t, dir); len(after) != len(before) {
				t.Errorf("%d files, before there were %d", len(after), len(before))
			}
			height, log := start(t, dir)
			if warned := strings.Contains(log, "peers will send"); height != test.height || warned != (test.logs != nil) {
				t.Errorf("a start leads to height %d, want %d: %s", height, test.height, log)
			}
			for _, part := range test.logs {
				if !strings.Contains(log, part) {
					t.Errorf("the log lacks %q: %s", part, log)
				}
			}
			if got, err = verify(t, dir); err != nil || got.Height != test.height || got.Saved != test.height || got.Undone != int(test.height) {
				t.Errorf("after a start: %+v, %v", got, err)
			}
		})
	}
}

// TestVerifyUnflushedReorganization verifies a ledger whose coins belong to a
// branch that it has left since, and one with damaged undo data.
func TestVerifyUnflushedReorganization(t *testing.T) {
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 1, Fee: 1000})
	g.Extend(12)
	other := g.Fork(8, 7)
	other.Extend(6)
	copyTo, _ := killedLedger(t, 12, append(g.Blocks[1:13:13], other.Blocks[9:]...))
	dir := copyTo(t)
	got, err := Verify(t.Context(), Config{Dir: dir, Spec: testSpec, Cache: MinCache}, nil)
	if err != nil || got.Height != 14 || got.Tip != other.Tip().Hash || got.SavedTip != g.Tip().Hash || got.Beside != 4 || got.Hash != got.Replayed {
		t.Errorf("got %+v: %v", got, err)
	}
	c, err := Open(t.Context(), Config{Dir: dir, Spec: testSpec})
	if err != nil {
		t.Fatal(err)
	}
	expectTip(t, c, other)
	n, beside := c.tree.Active()[11], mustFind(c, g.Tip().Hash)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for what, damage := range map[string]func(){
		"undo data of block " + n.Hash().String(): func() { damageFile(t, c.undos.Name(n.Own.undo.File), int64(n.Own.undo.Offset)+3) },
		"block " + beside.Hash().String():         func() { damageFile(t, c.blocks.Name(beside.Own.body.File), int64(beside.Own.body.Offset)+100) },
	} {
		damage()
		if _, err := Verify(t.Context(), Config{Dir: dir, Spec: testSpec, Cache: MinCache}, nil); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
		damage() // and back
	}
}
