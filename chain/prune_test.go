package chain

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lode/chain/blockfile"
	"lode/consensus"
	"lode/testnet/chaingen"
)

// smallFile is a size of files at which some dozens of blocks fill one.
const smallFile = 16 << 10

func smallFiles() limits {
	l := normal
	l.file = smallFile
	return l
}

// failer is a test or one check of a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func openPruned(t failer, dir string, prune int64, log *strings.Builder) *Chain {
	t.Helper()
	cfg := Config{Dir: dir, Spec: testSpec, Prune: prune, limits: smallFiles()}
	if log != nil {
		cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	c, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return c
}

func newGenerator() *chaingen.Chain {
	return chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 4, Txs: 1, Outputs: 2, Fee: 1000})
}

func addAll(t failer, c *Chain, blocks []*consensus.Block) {
	t.Helper()
	for _, b := range blocks {
		if err := c.AddBlock(b); err != nil {
			t.Fatalf("block %s: %v", b.Header.Hash(), err)
		}
	}
}

func mustClose(t failer, c *Chain) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func setOf(t failer, c *Chain) consensus.Hash {
	t.Helper()
	s, err := c.UTXOStats(context.Background())
	if err != nil {
		t.Fatalf("UTXO set: %v", err)
	}
	return s.Hash
}

// checkPruned compares what a ledger has of its blocks with what it says.
func checkPruned(t failer, c *Chain) {
	t.Helper()
	p, tip := c.Pruning(), c.Tip()
	if p.Height > 0 && p.Height+KeptBlocks-1 > tip.Height {
		t.Fatalf("pruned below %d with the tip at %d", p.Height, tip.Height)
	}
	for height := uint32(0); height <= tip.Height; height += 1 + height/40 {
		hash, _ := c.HashAt(height)
		info, _ := c.Header(hash)
		block, err := c.Block(hash)
		_, failure := c.Spent(hash)
		switch {
		case height < p.Height && info.Pruned && !info.HaveBlock && errors.Is(err, ErrPruned):
		case err == nil && block.Header.Hash() == hash && info.HaveBlock && !info.Pruned && (failure == nil || height < p.Height):
		default:
			t.Fatalf("pruned below %d; block at height %d: %+v, block %v, undo data %v", p.Height, height, info, err, failure)
		}
	}
	if missing := c.MissingBlocks(c.BestHeader().Hash, 10); len(missing) > 0 {
		t.Fatalf("pruned blocks are to be fetched again: %v", missing)
	}
	names, err := c.cfg.disk.Names(filepath.Join(c.cfg.Dir, "blocks"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, name := range names {
		if name < blockfile.Name("blk", c.pruned.blocks) || name > "rev" && name < blockfile.Name("rev", c.pruned.undos) {
			t.Fatalf("%s is still there", name)
		}
	}
}

// TestPruneTarget keeps the files below a target, over restarts, and loses
// nothing but old blocks.
func TestPruneTarget(t *testing.T) {
	const target = 6 * smallFile
	dir := t.TempDir()
	c, g := openPruned(t, dir, target, nil), newGenerator()
	g.Params.Txs = 0
	largest := int64(0)
	for range 3 {
		for range 400 {
			addAll(t, c, g.Extend(1))
			largest = max(largest, c.DiskSize())
		}
		checkPruned(t, c)
		mustClose(t, c)
		c = openPruned(t, dir, target, nil)
		checkPruned(t, c)
	}
	defer c.Close()
	height := c.Pruning().Height
	if height == 0 || c.Tip().Hash != g.Tip().Hash {
		t.Fatalf("pruned below %d, tip at %d", height, c.Tip().Height)
	}
	if kept := int64(KeptBlocks * 400); largest > max(target, kept+2*smallFile) {
		t.Errorf("the files grew to %d bytes, with a target of %d", largest, target)
	}
	whole := reopen(t, t.TempDir(), false)
	addAll(t, whole, g.Blocks[1:])
	if a, b := setOf(t, c), setOf(t, whole); a != b {
		t.Errorf("UTXO set %s, and %s without pruning", a, b)
	}
	if err := c.AddBlock(g.Blocks[3]); err != nil {
		t.Errorf("a pruned block that comes again: %v", err)
	}
	if err := c.InvalidateBlock(g.Blocks[height-1].Header.Hash()); !errors.Is(err, ErrPruned) {
		t.Errorf("a pruned block is invalidated: %v", err)
	}
	checkPruned(t, c)
}

// TestFastPruneHasSmallFiles, so that tests can prune chains of a few blocks.
func TestFastPruneHasSmallFiles(t *testing.T) {
	for prune, want := range map[int64]int64{PruneNever: blockfile.MaxFileSize, PruneByHand: blockfile.PrunedFileSize} {
		for _, fast := range []bool{false, true} {
			if fast {
				want = blockfile.FastPruneFileSize
			}
			if got := (Config{Prune: prune, FastPrune: fast}).withDefaults().limits.file; got != want {
				t.Errorf("prune %d, fast %v: files of %d bytes, want %d", prune, fast, got, want)
			}
		}
	}
}

// TestPruneByHand removes what it is told to, and nothing before.
func TestPruneByHand(t *testing.T) {
	c, g := openPruned(t, t.TempDir(), PruneByHand, nil), newGenerator()
	defer c.Close()
	addAll(t, c, g.Extend(200))
	prune := func(to uint32) uint32 {
		t.Helper()
		if err := c.PruneTo(to); err != nil {
			t.Fatal(err)
		}
		checkPruned(t, c)
		return c.Pruning().Height
	}
	if height := prune(1000); height != 0 {
		t.Errorf("a chain of 200 blocks is pruned below %d", height)
	}
	addAll(t, c, g.Extend(400))
	if height := c.Pruning().Height; height != 0 {
		t.Errorf("pruned below %d without being told", height)
	}
	some := prune(150)
	if some == 0 || some > 151 {
		t.Errorf("pruned below %d, want up to 150", some)
	}
	if all := prune(600); all <= some || all > 600-KeptBlocks+1 {
		t.Errorf("pruned below %d, want up to %d", all, 600-KeptBlocks)
	}
	killed := filepath.Join(t.TempDir(), "killed") // right after: what was pruned was on record
	if err := copyAsKilled(c.cfg.Dir, killed); err != nil {
		t.Fatal(err)
	}
	after := openPruned(t, killed, PruneByHand, nil)
	defer after.Close()
	if checkPruned(t, after); after.Tip().Hash != g.Tip().Hash || after.Pruning() != c.Pruning() {
		t.Errorf("after a kill: tip at %d, %+v", after.Tip().Height, after.Pruning())
	}
}

// TestPrunedBranch gives a pruned ledger branches with more work that fork off
// as low as it can reach, and then one block lower.
//
//	genesis ... pruned | a ................ tip
//	                 \  \ reached
//	                  \ out of reach
func TestPrunedBranch(t *testing.T) {
	var log strings.Builder
	c, g := openPruned(t, t.TempDir(), PruneByHand, &log), newGenerator()
	defer c.Close()
	g.Params.Txs = 0
	addAll(t, c, g.Extend(500))
	if err := c.PruneTo(500); err != nil {
		t.Fatal(err)
	}
	pruned := c.Pruning().Height
	if pruned < 20 {
		t.Fatalf("only %d blocks are pruned", pruned)
	}
	reached := g.Fork(pruned-1, 7)
	addAll(t, c, reached.Extend(int(500-pruned+2)))
	if c.Tip().Hash != reached.Tip().Hash {
		t.Fatalf("the tip is at %d, of the old branch", c.Tip().Height)
	}
	if strings.Contains(log.String(), "out of reach") {
		t.Error(log.String())
	}
	low := g.Fork(pruned-2, 8)
	var headers []consensus.Header
	for _, b := range low.Extend(int(500 - pruned + 5)) {
		headers = append(headers, b.Header)
	}
	if err := c.AddHeaders(headers); err != nil {
		t.Fatal(err)
	}
	if missing := c.MissingBlocks(low.Tip().Hash, 10); len(missing) > 0 {
		t.Errorf("blocks of a branch out of reach are asked for: %d", len(missing))
	}
	addAll(t, c, low.Blocks[pruned-1:])
	addAll(t, c, reached.Extend(1))
	if c.Tip().Hash != reached.Tip().Hash {
		t.Errorf("the tip is %s at %d", c.Tip().Hash, c.Tip().Height)
	}
	if lines := strings.Count(log.String(), "out of reach"); lines != 1 {
		t.Errorf("%d lines say that a branch is out of reach:\n%s", lines, log.String())
	}
	if c.Err() != nil {
		t.Error(c.Err())
	}
}

// TestPrunedUndo damages undo data that cannot be made anew, as the blocks are
// gone: the ledger stays where it is.
func TestPrunedUndo(t *testing.T) {
	var log strings.Builder
	c, g := openPruned(t, t.TempDir(), PruneByHand, &log), newGenerator()
	defer c.Close()
	addAll(t, c, g.Extend(400))
	if err := c.PruneTo(400); err != nil {
		t.Fatal(err)
	}
	other := g.Fork(395, 7)
	var old []*consensus.Block // blocks above the fork that spend what a pruned block made
	made := make(map[consensus.Hash]uint32)
	for height, b := range g.Blocks {
		for i, id := range b.TxIDs() {
			made[id] = uint32(height)
			if i > 0 && height > 395 && made[b.Txs[i].In[0].PrevOut.TxID] < c.Pruning().Height {
				old = append(old, b)
			}
		}
	}
	if len(old) == 0 {
		t.Fatal("no block spends an old coin")
	}
	mustFind(c, old[0].Header.Hash()).Own.undo.Offset++ // not where it was written
	addAll(t, c, other.Extend(7))
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	if tip := c.Tip().Hash; tip != g.Tip().Hash {
		t.Errorf("the tip is %s at %d", tip, c.Tip().Height)
	}
	if !strings.Contains(log.String(), "cannot be disconnected") || !strings.Contains(log.String(), "out of reach") {
		t.Error(log.String())
	}
}

// TestPrunedModes opens a pruned ledger in every way.
func TestPrunedModes(t *testing.T) {
	dir := t.TempDir()
	c, g := openPruned(t, dir, PruneByHand, nil), newGenerator()
	addAll(t, c, g.Extend(400))
	mustClose(t, c)
	c = openPruned(t, dir, PruneNever, nil) // nothing was pruned yet
	mustClose(t, c)
	c = openPruned(t, dir, PruneByHand, nil)
	if err := c.PruneTo(400); err != nil {
		t.Fatal(err)
	}
	mustClose(t, c)
	before := files400(t, dir)
	for name, cfg := range map[string]Config{
		"without --prune":      {Prune: PruneNever},
		"--reindex":            {Prune: PruneByHand, Reindex: true},
		"--reindex, no prune":  {Reindex: true},
		"--reindex, as it was": {Prune: PruneAsFound, Reindex: true},
	} {
		cfg.Dir, cfg.Spec = dir, testSpec
		c, err := Open(context.Background(), cfg)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "is pruned") || !strings.Contains(err.Error(), "remove "+filepath.Join(dir, "blocks")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := files400(t, dir); after != before {
		t.Errorf("the refusals changed the directory from\n%s to\n%s", before, after)
	}
	c = openPruned(t, dir, PruneAsFound, nil)
	defer c.Close()
	checkPruned(t, c)
	if _, err := c.Export(t.Context(), new(strings.Builder), 0, nil); !errors.Is(err, ErrPruned) {
		t.Errorf("export: %v", err)
	}
	if c.Tip().Hash != g.Tip().Hash {
		t.Errorf("tip at %d", c.Tip().Height)
	}
}

func files400(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

// TestPruneInterrupted is killed at each step of pruning: before the record, and
// before and after each file is removed.
func TestPruneInterrupted(t *testing.T) {
	base := t.TempDir()
	whole := filepath.Join(base, "whole")
	c, g := openPruned(t, whole, PruneByHand, nil), newGenerator()
	addAll(t, c, g.Extend(450))
	set := setOf(t, c)
	mustClose(t, c)
	for step := 0; ; step++ {
		dir := filepath.Join(base, "step", string(rune('a'+step)))
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		d := &removals{Disk: blockfile.OS{}, left: step}
		c, err := Open(context.Background(), Config{Dir: dir, Spec: testSpec, Prune: PruneByHand, limits: smallFiles(), disk: d})
		if err != nil {
			t.Fatal(err)
		}
		err = c.PruneTo(450)
		done := err == nil
		if !done && !errors.Is(err, errUnplugged) {
			t.Fatal(err)
		}
		c.Close()
		c = openPruned(t, dir, PruneByHand, nil)
		checkPruned(t, c)
		if c.Pruning().Height == 0 || setOf(t, c) != set || c.Tip().Hash != g.Tip().Hash {
			t.Errorf("killed before removal %d: pruned below %d, tip at %d", step, c.Pruning().Height, c.Tip().Height)
		}
		addAll(t, c, g.Fork(440, 3).Extend(20))
		mustClose(t, c)
		if done {
			if step < 4 {
				t.Errorf("only %d files were removed", step)
			}
			return
		}
	}
}

var errUnplugged = errors.New("killed")

// removals is a disk that can remove so many more files.
type removals struct {
	blockfile.Disk
	left int
}

func (d *removals) RemoveAll(name string) error {
	if !strings.HasSuffix(name, ".dat") {
		return d.Disk.RemoveAll(name)
	}
	if d.left == 0 {
		return errUnplugged
	}
	d.left--
	return d.Disk.RemoveAll(name)
}

// TestPruneTree does everything in random order to a pruned ledger, and the same
// to one that is not.
func TestPruneTree(t *testing.T) {
	t.Parallel()
	begun, trunk := filepath.Join(t.TempDir(), "begun"), newGenerator()
	c := openPruned(t, begun, PruneNever, nil)
	trunk.Params.Txs = 0
	addAll(t, c, trunk.Extend(300))
	mustClose(t, c)
	rapid.Check(t, func(t *rapid.T) {
		base, err := os.MkdirTemp("", "prune")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.RemoveAll(base)
		target := rapid.SampledFrom([]int64{PruneByHand, 3 * smallFile, 8 * smallFile}).Draw(t, "target")
		dir := filepath.Join(base, "pruned")
		for _, to := range []string{dir, filepath.Join(base, "whole")} {
			if err := os.CopyFS(to, os.DirFS(begun)); err != nil {
				t.Fatalf("%v", err)
			}
		}
		c, whole := openPruned(t, dir, target, nil), openPruned(t, filepath.Join(base, "whole"), PruneNever, nil)
		defer func() { c.Close(); whole.Close() }()
		g := trunk.Fork(300, 1)
		g.Params.Txs = 1
		add := func(blocks []*consensus.Block) {
			addAll(t, c, blocks)
			addAll(t, whole, blocks)
		}
		for step := range rapid.IntRange(3, 12).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"grow", "grow", "reorg", "side", "prune", "restart", "crash"}).Draw(t, "step") {
			case "grow":
				add(g.Extend(rapid.IntRange(1, 60).Draw(t, "blocks")))
			case "reorg", "side":
				depth := rapid.IntRange(1, 30).Draw(t, "depth")
				branch := g.Fork(g.Tip().Height-uint32(depth), uint64(step))
				blocks := branch.Extend(depth + 1)
				if rapid.Bool().Draw(t, "only a part") {
					blocks = blocks[:depth/2]
					branch = g
				}
				add(blocks)
				g = branch
			case "prune":
				if err := c.PruneTo(uint32(rapid.IntRange(0, 600).Draw(t, "to"))); err != nil {
					t.Fatalf("%v", err)
				}
			case "restart":
				mustClose(t, c)
				c = openPruned(t, dir, target, nil)
			case "crash": // a copy is what a kill leaves
				dir = filepath.Join(base, "crashed"+string(rune('a'+step)))
				if err := copyAsKilled(c.cfg.Dir, dir); err != nil {
					t.Fatalf("%v", err)
				}
				_ = c.fail(errUnplugged)
				c.Close()
				c = openPruned(t, dir, target, nil)
			}
			if a, b := c.Tip().Hash, whole.Tip().Hash; a != b || a != g.Tip().Hash {
				t.Fatalf("tip %s, %s without pruning, want %s", a, b, g.Tip().Hash)
			}
			checkPruned(t, c)
		}
		if a, b := setOf(t, c), setOf(t, whole); a != b {
			t.Fatalf("UTXO set %s, and %s without pruning", a, b)
		}
	})
}

// TestPrunedBlockIsStoredAgain gives a pruned block to the ledger once more, as
// getblockfrompeer and submitblock do: it is there again, after a restart too, until its
// new file is pruned. An import does not bring back what was pruned.
func TestPrunedBlockIsStoredAgain(t *testing.T) {
	dir := t.TempDir()
	c, g := openPruned(t, dir, PruneByHand, nil), newGenerator()
	addAll(t, c, g.Extend(KeptBlocks+300))
	if err := c.PruneTo(200); err != nil {
		t.Fatal(err)
	}
	pruned, tip := c.Pruning().Height, c.Tip()
	if pruned < 10 {
		t.Fatalf("pruned below %d", pruned)
	}
	var file bytes.Buffer
	if err := chaingen.Write(&file, testSpec, g.Blocks[1:6]...); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Import(t.Context(), bytes.NewReader(file.Bytes()), int64(file.Len()), nil); err != nil || got.Known != 5 {
		t.Errorf("import: %+v, %v", got, err)
	}
	if info, _ := c.Header(g.Blocks[5].Header.Hash()); info.HaveBlock {
		t.Error("an import brings back what was pruned")
	}
	block := g.Blocks[2]
	hash := block.Header.Hash()
	if status, err := c.SubmitBlock(block); err != nil || status != Stored {
		t.Fatalf("status %v, %v; want it stored", status, err)
	}
	if status, err := c.SubmitBlock(block); err != nil || status != Duplicate {
		t.Errorf("again: status %v, %v", status, err)
	}
	for range 2 {
		info, _ := c.Header(hash)
		got, err := c.Block(hash)
		if err != nil || got.Header.Hash() != hash || !info.HaveBlock || info.Pruned {
			t.Errorf("%+v, %v", info, err)
		}
		if c.Pruning().Height != pruned || c.Tip().Hash != tip.Hash {
			t.Errorf("pruned below %d, before %d; the tip is at %d", c.Pruning().Height, pruned, c.Tip().Height)
		}
		if missing := c.MissingBlocks(c.BestHeader().Hash, 10); len(missing) > 0 {
			t.Errorf("to be fetched: %v", missing)
		}
		mustClose(t, c)
		c = openPruned(t, dir, PruneByHand, nil)
	}
	defer c.Close()
	addAll(t, c, g.Extend(2*KeptBlocks))
	if err := c.PruneTo(c.Tip().Height); err != nil {
		t.Fatal(err)
	}
	if info, _ := c.Header(hash); info.HaveBlock || !info.Pruned {
		t.Errorf("after its new file has gone: %+v", info)
	}
	checkPruned(t, c)
}
