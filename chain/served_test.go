package chain

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lode/chain/blockfile"
	"lode/chain/headertree"
	"lode/consensus"
	"lode/testnet/chaingen"
)

// damagedReads, in the environment, is how many random damages TestServedIsRight
// makes.
const damagedReads = "LODE_TEST_DAMAGES"

// damageClass is a kind of byte of a block or undo file.
type damageClass string

const (
	inFrame   damageClass = "frame"
	inHeader  damageClass = "header"
	inMerkle  damageClass = "covered by the merkle root"
	inWitness damageClass = "witness"
	inUndo    damageClass = "undo data"
)

// spot is a byte of a file, relative to the payload of a block or of undo data.
type spot struct {
	height uint32
	at     int
}

// spotsOf sorts every byte that a ledger keeps of blocks by its class.
func spotsOf(t *testing.T, blocks []*consensus.Block, undoSize func(height uint32) int) map[damageClass][]spot {
	spots := make(map[damageClass][]spot)
	for height, b := range blocks {
		if height == 0 {
			continue // the rules have it
		}
		add := func(class damageClass, at int) { spots[class] = append(spots[class], spot{uint32(height), at}) }
		for at := -blockfile.FrameSize; at < 0; at++ {
			add(inFrame, at)
		}
		raw, ids := b.Bytes(), b.TxIDs()
		for at := range raw {
			if at < consensus.HeaderSize {
				add(inHeader, at)
				continue
			}
			changed := bytes.Clone(raw)
			changed[at] ^= 1
			c, err := consensus.DecodeBlock(changed)
			if err == nil && slices.Equal(c.TxIDs(), ids) {
				add(inWitness, at)
			} else {
				add(inMerkle, at)
			}
		}
		for at := -blockfile.FrameSize; at < undoSize(uint32(height)); at++ {
			add(inUndo, at)
		}
	}
	for _, class := range []damageClass{inFrame, inHeader, inMerkle, inWitness, inUndo} {
		if len(spots[class]) == 0 {
			t.Fatalf("no byte is of the class %q", class)
		}
	}
	return spots
}

// reader is a ledger whose files are damaged under it, and what it must say.
type reader struct {
	*testing.T
	c      *Chain
	disk   *faultDisk
	log    *strings.Builder
	blocks []*consensus.Block
	spent  [][]consensus.Coin
}

// TestServedIsRight damages bytes of every class in the files of an open ledger.
// Whatever is asked for then is right or refused, said once in the log, listed to
// be fetched, and right when the block has come again; undo data is right at
// once. Half of the damages meet a ledger from before there were checksums.
func TestServedIsRight(t *testing.T) {
	damages := 60
	if s := os.Getenv(damagedReads); s != "" {
		var err error
		if damages, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	r := reader{T: t, disk: newFaultDisk(1), log: new(strings.Builder)}
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 3, Inputs: 2, Outputs: 2, Fee: 1000})
	g.Extend(8)
	r.blocks = g.Blocks
	c := openIndexed(t, faultDir, r.disk)
	defer c.Close()
	c.cfg.Log = textLog(r.log)
	r.c = c
	addBlocks(t, c, g.Blocks[1:])
	catchUp(t, c, 20)
	for _, b := range g.Blocks {
		spent, err := c.Spent(b.Header.Hash())
		if err != nil {
			t.Fatal(err)
		}
		r.spent = append(r.spent, spent)
	}
	spots := spotsOf(t, g.Blocks, func(height uint32) int { return int(c.tree.Active()[height].Own.undo.Size) })
	random := rand.New(rand.NewPCG(5, 6))
	classes := []damageClass{inFrame, inHeader, inMerkle, inWitness, inUndo}
	for i := range damages {
		class := classes[i%len(classes)]
		s := spots[class][random.IntN(len(spots[class]))]
		if i/len(classes)%2 == 0 {
			r.forgetSums()
		}
		width := 1
		if random.IntN(2) == 0 {
			width = 8
		}
		r.damage(class, s, width, random)
	}
}

// forgetSums makes the ledger one from before there were checksums.
func (r *reader) forgetSums() {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	for _, n := range r.c.tree.Active() {
		n.Own.status &^= statusSummed
	}
	clear(r.c.proven)
}

func (r *reader) damage(class damageClass, s spot, width int, random *rand.Rand) {
	n := r.c.tree.Active()[s.height]
	where, place := r.c.blocks, n.Own.body
	if class == inUndo {
		where, place = r.c.undos, n.Own.undo
	}
	r.disk.mu.Lock()
	data := r.disk.find(where.Name(place.File)).data
	from := int(place.Offset) + s.at
	before := bytes.Clone(data[from:min(from+width, int(place.Offset+place.Size))])
	for bytes.Equal(before, data[from:from+len(before)]) {
		for i := range before {
			data[from+i] = byte(random.Uint32())
		}
	}
	r.disk.mu.Unlock()
	clear(r.c.held)
	r.c.heldBytes = 0
	r.log.Reset()

	for range 2 {
		r.ask(class, s, false)
	}
	if said := strings.Count(r.log.String(), "level=WARN"); said != 1 {
		r.Fatalf("%s, %+v: the log says %d times\n%s", class, s, said, r.log)
	}
	want := []consensus.Hash{r.blocks[s.height].Header.Hash()}
	if class == inUndo {
		want = nil
	}
	if missing := r.c.MissingHistory(10); !slices.Equal(missing, want) {
		r.Fatalf("%s, %+v: to be fetched are %v, want %v", class, s, missing, want)
	}
	addBlocks(r.T, r.c, r.blocks[s.height:][:1])
	clear(r.c.held)
	r.c.heldBytes = 0
	r.ask(class, s, true)
	if missing := r.c.MissingHistory(10); len(missing) > 0 {
		r.Fatalf("%s, %+v: still to be fetched are %v", class, s, missing)
	}
}

// ask asks for everything that the ledger serves of a block. whole says that all
// of it must be there.
func (r *reader) ask(class damageClass, s spot, whole bool) {
	r.Helper()
	want := r.blocks[s.height]
	hash := want.Header.Hash()
	check := func(what string, err error, right bool) {
		r.Helper()
		switch {
		case err == nil && !right:
			r.Fatalf("%s, %+v: %s is not what was stored", class, s, what)
		case err != nil && (whole || class == inUndo):
			r.Fatalf("%s, %+v: %s: %v", class, s, what, err)
		case err != nil && !errors.Is(err, ErrDamaged):
			r.Fatalf("%s, %+v: %s: an error of another kind: %v", class, s, what, err)
		case err != nil && !strings.Contains(err.Error(), hash.String()):
			r.Fatalf("%s, %+v: %s: an error that does not name the block: %v", class, s, what, err)
		}
	}
	raw, err := r.c.BlockBytes(hash)
	check("the block", err, bytes.Equal(raw, want.Bytes()))
	if err == nil && !whole && class != inUndo {
		r.Fatalf("%s, %+v: the damage is not seen", class, s)
	}
	for _, tx := range want.Txs {
		got, in, err := r.c.FindTx(tx.TxID())
		check("a transaction", err, err == nil && in == hash && bytes.Equal(got.Bytes(), tx.Bytes()))
	}
	spent, err := r.c.Spent(hash)
	check("the coins that it spent", err, slices.Equal(spent, r.spent[s.height]))
	var u Updates
	err = r.c.Read(func(reader *Reader) (err error) {
		u, err = reader.UpdatesSince(want.Prev, 1)
		return err
	})
	check("an update", err, err == nil && len(u.Applied) == 1 && bytes.Equal(u.Applied[0].Bytes(), want.Bytes()))
}

// TestOldRecordsAreRead reads the record of a block from before there were
// checksums, which has none.
func TestOldRecordsAreRead(t *testing.T) {
	saved := headertree.Saved{Header: testSpec.Rules.Genesis().Header, Seq: 7, Place: blockfile.Position{File: 1, Offset: 2, Size: 3}.Order(), Faults: headertree.Invalidated}
	n, err := headertree.New[kept](&testSpec.Rules).Add(saved, kept{status: statusUndo, body: blockfile.Position{File: 1, Offset: 2, Size: 3}, undo: blockfile.Position{File: 4, Offset: 5, Size: 6}})
	if err != nil {
		t.Fatal(err)
	}
	n.State().Height = 9
	old := record(n)
	n.Own.setBody(n.Own.body, []byte("a block"))
	for _, record := range [][]byte{old, record(n)} {
		got, err := readRecord(record)
		if err != nil || got.height != 9 || got.own.body != n.Own.body || got.own.undo != n.Own.undo || got.Saved != saved || got.own.has(statusSummed) != (len(record) > len(old)) {
			t.Errorf("read %+v: %v", got, err)
		}
		if got.own.has(statusSummed) && got.own.sum != n.Own.sum {
			t.Errorf("checksum %x, want %x", got.own.sum, n.Own.sum)
		}
		if _, err := readRecord(record[:len(record)-1]); err == nil {
			t.Error("a record that is cut short is read")
		}
	}
}

// TestUndoIsMadeAgain damages undo data, and in the second case the block whose
// coins it is made from too, which must come again first. What was made is kept.
func TestUndoIsMadeAgain(t *testing.T) {
	d := newFaultDisk(1)
	var log strings.Builder
	c := onFaultDisk(t, d, &log)
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 2, Txs: 2, Outputs: 2, Fee: 1000})
	addBlocks(t, c, g.Extend(8))
	hash := g.Tip().Hash
	want, err := c.Spent(hash)
	if err != nil || len(want) == 0 {
		t.Fatal(want, err)
	}
	damageStored(c, c.undos, c.tree.Tip().Own.undo)
	for range 2 {
		if got, err := c.Spent(hash); err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v: %v", got, err)
		}
	}
	if said := strings.Count(log.String(), "undo data is damaged"); said != 1 {
		t.Errorf("it was made %d times: %s", said, log.String())
	}

	maker := c.tree.Active()[want[0].Height]
	damageStored(c, c.undos, c.tree.Tip().Own.undo)
	damageStored(c, c.blocks, maker.Own.body)
	if _, err := c.Spent(hash); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), maker.Hash().String()) {
		t.Errorf("without the block that made a coin: %v", err)
	}
	if missing := c.MissingHistory(10); !slices.Equal(missing, []consensus.Hash{maker.Hash()}) {
		t.Errorf("to be fetched are %v, want %v", missing, maker.Hash())
	}
	addBlocks(t, c, g.Blocks[maker.Height():][:1])
	if got, err := c.Spent(hash); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v: %v", got, err)
	}
	if err := c.InvalidateBlock(g.Blocks[7].Header.Hash()); err != nil || c.Tip().Height != 6 {
		t.Errorf("the tip is at %d: %v", c.Tip().Height, err)
	}
	expectSet(t, c, g.Blocks[:7])
}

// TestUndoOfPrunedCoins damages the undo data of a block that spent what a pruned
// one has made: it cannot be made again, and an invalidation that needs it says
// so and changes nothing.
func TestUndoOfPrunedCoins(t *testing.T) {
	c, g := openPruned(t, t.TempDir(), PruneByHand, nil), newGenerator()
	defer c.Close()
	addAll(t, c, g.Extend(450))
	if err := c.PruneTo(150); err != nil {
		t.Fatal(err)
	}
	pruned := c.Pruning().Height
	for height := pruned; ; height++ {
		if int(height) == len(c.tree.Active()) {
			t.Fatal("no block has spent what a pruned one made")
		}
		n := c.tree.Active()[height]
		if spent, err := c.Spent(n.Hash()); err != nil {
			t.Fatal(err)
		} else if !slices.ContainsFunc(spent, func(coin consensus.Coin) bool { return coin.Height < pruned }) {
			continue
		}
		damageFile(t, c.undos.Name(n.Own.undo.File), int64(n.Own.undo.Offset)+3)
		if _, err := c.Spent(n.Hash()); !errors.Is(err, ErrDamaged) || !errors.Is(err, ErrPruned) {
			t.Errorf("got %v", err)
		}
		before := c.Tip()
		if err := c.InvalidateBlock(n.Hash()); !errors.Is(err, ErrPruned) || !errors.Is(err, ErrDamaged) {
			t.Errorf("it is invalidated: %v", err)
		}
		if info, _ := c.Header(n.Hash()); info.Invalid || c.Tip().Hash != before.Hash {
			t.Errorf("invalid: %v, the tip is at %d, want %d", info.Invalid, c.Tip().Height, before.Height)
		}
		return
	}
}

// damageFile changes a byte of a file.
func damageFile(t *testing.T, name string, at int64) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
