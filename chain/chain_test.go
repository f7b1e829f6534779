package chain_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
)

// builder makes empty regtest blocks that differ from each other.
type builder struct {
	t     *testing.T
	rules *consensus.Rules
	count uint64
}

func newBuilder(t *testing.T) *builder {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	return &builder{t: t, rules: &spec.Rules}
}

// next is a block that may follow s, changed by each of the functions before its
// work is done, and the state after it.
func (b *builder) next(s consensus.State, change ...func(*consensus.Block)) (*consensus.Block, consensus.State) {
	b.t.Helper()
	b.count++
	extra := binary.BigEndian.AppendUint64(nil, b.count)
	coinbase := consensus.NewCoinbase(consensus.CoinbaseScript(s.Height+1, extra), []consensus.TxOut{{Value: b.rules.Subsidy(s.Height + 1), Script: consensus.TaprootScript([32]byte{1})}})
	block := &consensus.Block{
		Header: consensus.Header{Version: 0x20000000, Prev: s.Hash, Time: s.MedianTime() + 1, Bits: b.rules.NextBits(&s)},
		Txs:    []*consensus.Tx{coinbase},
	}
	for _, f := range change {
		f(block)
	}
	block.Seal()
	b.work(block)
	return block, b.rules.NextState(s, &block.Header)
}

func (b *builder) work(block *consensus.Block) {
	target, _ := consensus.TargetFromBits(block.Bits)
	for !block.Header.Hash().MeetsTarget(&target) {
		block.Nonce++
	}
}

// grow adds count blocks on top of s and gives the state after them.
func (b *builder) grow(c *chain.Chain, s consensus.State, count int) consensus.State {
	b.t.Helper()
	for range count {
		block, after := b.next(s)
		if err := c.AddBlock(block); err != nil {
			b.t.Fatal(err)
		}
		s = after
	}
	return s
}

func expectTip(t *testing.T, c *chain.Chain, want consensus.State) {
	t.Helper()
	if tip := c.Tip(); tip.Hash != want.Hash {
		t.Fatalf("tip %s at %d, want %s at %d", tip.Hash, tip.Height, want.Hash, want.Height)
	}
}

func TestReorg(t *testing.T) {
	//  genesis - a1 - a2 - a3
	//          \ b1 - b2 - b3 - b4
	c, b := open(t, t.TempDir(), false), newBuilder(t)
	defer c.Close()
	genesis := b.rules.GenesisState()
	a3 := b.grow(c, genesis, 3)
	b3 := b.grow(c, genesis, 3)
	expectTip(t, c, a3) // first seen stays
	b4 := b.grow(c, b3, 1)
	expectTip(t, c, b4)
	b.grow(c, a3, 1)
	expectTip(t, c, b4)
}

// Blocks that are submitted together have their own verdicts, in their order.
func TestSubmitBlocks(t *testing.T) {
	//  genesis - a1 - a2 - greedy - after
	//                    \ mutated
	c, b := open(t, t.TempDir(), false), newBuilder(t)
	defer c.Close()
	a1, s1 := b.next(b.rules.GenesisState())
	a2, s2 := b.next(s1)
	greedy, s3 := b.next(s2, func(b *consensus.Block) { b.Txs[0].Out[0].Value++ })
	after, _ := b.next(s3)
	honest, s4 := b.next(s2)
	mutated := *honest
	mutated.Txs = append([]*consensus.Tx{honest.Txs[0]}, honest.Txs[0])
	hanging, _ := b.next(s4)
	got := c.SubmitBlocks(a1, a2, a1, greedy, after, &mutated, hanging)
	for i, want := range []chain.Verdict{
		{Status: chain.Connected}, {Status: chain.Connected}, {Status: chain.Duplicate}, {Err: consensus.ErrCoinbaseAmount},
		{Status: chain.Stored}, {Err: consensus.ErrMerkleRoot}, {Err: chain.ErrUnknownParent},
	} {
		if !errors.Is(got[i].Err, want.Err) || want.Err == nil && got[i].Status != want.Status {
			t.Errorf("block %d: %v, %v", i, got[i].Status, got[i].Err)
		}
	}
	expectTip(t, c, s2)
	if got := c.SubmitBlocks(honest, hanging); got[0].Err != nil || got[1].Err != nil {
		t.Errorf("the honest block: %v", got)
	}
}

func TestUpdatesSince(t *testing.T) {
	c, b := open(t, t.TempDir(), false), newBuilder(t)
	defer c.Close()
	genesis := b.rules.GenesisState()
	point := genesis
	pull := func(limit int) (reverted, applied int) {
		t.Helper()
		for more := true; more; {
			err := c.Read(func(r *chain.Reader) error {
				u, err := r.UpdatesSince(point.Hash, limit)
				reverted, applied, more = reverted+len(u.Reverted), applied+len(u.Applied), u.More
				point.Hash = u.Point
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		return reverted, applied
	}
	tip := b.grow(c, genesis, 5)
	if r, a := pull(2); r != 0 || a != 5 || point.Hash != tip.Hash {
		t.Errorf("%d reverted, %d applied, want 0 and 5", r, a)
	}
	tip = b.grow(c, genesis, 7)
	if r, a := pull(3); r != 5 || a != 7 || point.Hash != tip.Hash {
		t.Errorf("%d reverted, %d applied, want 5 and 7", r, a)
	}
	if r, a := pull(1); r != 0 || a != 0 {
		t.Errorf("%d reverted, %d applied at the tip", r, a)
	}
	point.Hash = consensus.Hash{1}
	err := c.Read(func(r *chain.Reader) error {
		_, err := r.UpdatesSince(point.Hash, 1)
		return err
	})
	if !errors.Is(err, chain.ErrNotFound) {
		t.Errorf("an unknown point: %v", err)
	}
}

// TestBlocksBeforeParents gives headers first and then the blocks backwards.
func TestBlocksBeforeParents(t *testing.T) {
	dir := t.TempDir()
	c, b := open(t, dir, false), newBuilder(t)
	var blocks []*consensus.Block
	var headers []consensus.Header
	s := b.rules.GenesisState()
	for range 20 {
		block, after := b.next(s)
		blocks, headers, s = append(blocks, block), append(headers, block.Header), after
	}
	if err := c.AddBlock(blocks[1]); !errors.Is(err, chain.ErrUnknownParent) {
		t.Errorf("a block without its parent: %v", err)
	}
	if err := c.AddHeaders(headers); err != nil {
		t.Fatal(err)
	}
	if got := c.MissingBlocks(s.Hash, 100); len(got) != 20 || got[0] != headers[0].Hash() {
		t.Errorf("missing %d blocks, want 20", len(got))
	}
	for i := 19; i >= 10; i-- {
		if status, err := c.SubmitBlock(blocks[i]); err != nil || status != chain.Stored {
			t.Fatalf("block %d: %v %v", i+1, status, err)
		}
	}
	if err := c.Close(); err != nil { // in the middle of it
		t.Fatal(err)
	}
	c = open(t, dir, false)
	defer c.Close()
	for i := 9; i >= 0; i-- {
		if err := c.AddBlock(blocks[i]); err != nil {
			t.Fatal(err)
		}
	}
	expectTip(t, c, s)
	if status, err := c.SubmitBlock(blocks[5]); err != nil || status != chain.Duplicate {
		t.Errorf("a block that is there: %v %v", status, err)
	}
}

// TestHonestAfterChanged refuses blocks that were changed on the way, or came
// too early, and then takes the honest ones with the same hashes.
func TestHonestAfterChanged(t *testing.T) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_300_000_000, 0)
	c, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: spec, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := newBuilder(t)
	s := b.grow(c, b.rules.GenesisState(), 2)

	changes := map[consensus.ErrorKind]func(*consensus.Block){
		consensus.ErrMerkleRoot:    func(b *consensus.Block) { b.Txs[0].LockTime++ },
		consensus.ErrReservedValue: func(b *consensus.Block) { b.Txs[0].In[0].Witness = nil },
		consensus.ErrCommitment:    func(b *consensus.Block) { b.Txs[0].In[0].Witness = [][]byte{append(make([]byte, 31), 1)} },
	}
	for kind, change := range changes {
		block, after := b.next(s)
		changed := &consensus.Block{Header: block.Header, Txs: []*consensus.Tx{block.Txs[0].Clone()}}
		change(changed)
		if err := c.AddBlock(changed); !errors.Is(err, kind) {
			t.Errorf("changed block: %v, want %s", err, kind)
		}
		if err := c.AddBlock(block); err != nil {
			t.Errorf("honest block after %s: %v", kind, err)
		}
		s = after
		expectTip(t, c, s)
	}

	early, after := b.next(s, func(b *consensus.Block) { b.Time = uint32(now.Unix()) + spec.Defaults.MaxDrift + 1 })
	if err := c.AddBlock(early); !errors.Is(err, consensus.ErrTimeTooNew) {
		t.Errorf("early block: %v", err)
	}
	now = now.Add(time.Second)
	if err := c.AddBlock(early); err != nil {
		t.Errorf("the same block a second later: %v", err)
	}
	expectTip(t, c, after)
}

// TestInvalidStaysInvalid remembers a block that broke a rule its hash commits
// to, also over a restart, and what is built on it.
func TestInvalidStaysInvalid(t *testing.T) {
	dir := t.TempDir()
	c, b := open(t, dir, false), newBuilder(t)
	genesis := b.rules.GenesisState()
	tip := b.grow(c, genesis, 1)
	bad, afterBad := b.next(genesis, func(b *consensus.Block) { b.Txs[0].Out[0].Value++ })
	child, _ := b.next(afterBad)
	if status, err := c.SubmitBlock(bad); err != nil || status != chain.Stored {
		t.Fatalf("bad block on a side branch: %v %v", status, err)
	}
	if err := c.AddBlock(child); err != nil {
		t.Fatalf("its child, whose own rules hold: %v", err)
	}
	expectTip(t, c, tip)
	for range 2 {
		if err := c.AddBlock(bad); !errors.Is(err, chain.ErrKnownInvalid) {
			t.Errorf("bad block again: %v", err)
		}
		grandchild, _ := b.next(b.rules.NextState(afterBad, &child.Header))
		if err := c.AddBlock(grandchild); !errors.Is(err, chain.ErrInvalidParent) {
			t.Errorf("block on top of a bad one: %v", err)
		}
		if best := c.BestHeader(); best.Hash != tip.Hash {
			t.Errorf("best header %s is on the bad branch", best.Hash)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = open(t, dir, false)
	}
	c.Close()
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, false)
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	for _, reindex := range []bool{false, true} {
		if _, err := chain.Open(context.Background(), chain.Config{Dir: dir, Spec: spec, Reindex: reindex}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
			t.Errorf("second opening, reindex %v: %v", reindex, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := consensus.EmbeddedSpec("testnet")
	if err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	if _, err := chain.Open(context.Background(), chain.Config{Dir: dir, Spec: other}); err == nil || !strings.Contains(err.Error(), "belongs to a network with other rules") {
		t.Errorf("opening for another network: %v", err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("the refusal changed the directory from\n%s to\n%s", before, after)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		b.WriteString(path + " " + info.ModTime().String() + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestDamagedDatabase damages LevelDB's files: the ledger is built anew from the
// block files, and is the same.
func TestDamagedDatabase(t *testing.T) {
	dir := t.TempDir()
	c, b := open(t, dir, false), newBuilder(t)
	b.grow(c, b.grow(c, b.rules.GenesisState(), 150), 150)
	before, err := c.UTXOStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "ledger", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no journal: %v", err)
	}
	for _, name := range logs {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := len(data) / 3; at < min(len(data)/3+100, len(data)); at++ {
			data[at] ^= 0x55
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c = open(t, dir, false)
	defer c.Close()
	after, err := c.UTXOStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if before.DiskBytes, after.DiskBytes = 0, 0; before != after {
		t.Errorf("ledger %+v after the damage, %+v before", after, before)
	}
}
