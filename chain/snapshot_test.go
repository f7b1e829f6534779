package chain

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lode/chain/blockfile"
	"lode/consensus"
	"lode/testnet/chaingen"
)

// TestCoreSnapshot imports blocks that Bitcoin Core has connected too, and
// writes the same file as its dumptxoutset.
func TestCoreSnapshot(t *testing.T) {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(context.Background(), Config{Dir: t.TempDir(), Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	blocks := unzip(t, "testdata/snapshot-blocks.dat.gz")
	if got, err := c.Import(t.Context(), bytes.NewReader(blocks), int64(len(blocks)), nil); err != nil || got.Blocks != 130 || !got.Clean() {
		t.Fatalf("%+v, %v", got, err)
	}
	name := filepath.Join(t.TempDir(), "snapshot")
	got, err := c.WriteSnapshot(t.Context(), name, nil)
	// What dumptxoutset of Core 30.99 said.
	if err != nil || got.Coins != 385 || got.Height != 130 || got.Base.String() != "2b899bd6298bd5c83762c20c8721d22d9e2fca0c43132ec7c3f1ca76635c049b" ||
		got.Hash.String() != "70bb0d67d4a26e6adc619756bb6552b28103a6e8c7e82c7a98d713fb5a0ece9b" {
		t.Errorf("%+v, %v", got, err)
	}
	if !bytes.Equal(readAll(t, name), unzip(t, "testdata/snapshot-core.dat.gz")) {
		t.Error("another file than Bitcoin Core's")
	}
	if _, err := c.WriteSnapshot(t.Context(), name, nil); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a second time: %v", err)
	}
	if names, err := os.ReadDir(filepath.Dir(name)); err != nil || len(names) != 1 {
		t.Errorf("files are left: %v, %v", names, err)
	}
}

func unzip(t *testing.T, name string) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(readAll(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readAll(t failer, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return data
}

// TestVarInt has the examples of Bitcoin Core's serialize.h and
// compress_tests.cpp, and the round trip.
func TestVarInt(t *testing.T) {
	for n, want := range map[uint64]string{0: "00", 1: "01", 127: "7f", 128: "8000", 255: "807f", 256: "8100", 16383: "fe7f", 16384: "ff00", 16511: "ff7f", 65535: "82fe7f", 1 << 32: "8efefeff00"} {
		if got := fmt.Sprintf("%x", appendVarInt(nil, n)); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
	for n, want := range map[uint64]uint64{0: 0, 1: 1, 1_000_000: 7, 100_000_000: 9, 50 * 100_000_000: 50, 21_000_000 * 100_000_000: 21_000_000} {
		if got := compressAmount(n); got != want {
			t.Errorf("amount %d is %d, want %d", n, got, want)
		}
	}
	const limit = 21_000_000 * 100_000_000
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, 1<<56).Draw(t, "number")
		r := snapshotReaderOf(appendVarInt(nil, n))
		if got, err := r.varInt(); err != nil || got != n {
			t.Fatalf("%d comes back as %d, %v", n, got, err)
		}
		amount := rapid.Uint64Range(0, limit).Draw(t, "amount")
		if got, ok := decompressAmount(compressAmount(amount), limit); !ok || got != amount {
			t.Fatalf("amount %d comes back as %d, %v", amount, got, ok)
		}
		x := rapid.Uint64().Draw(t, "compressed")
		if got, ok := decompressAmount(x, limit); ok && compressAmount(got) != x {
			t.Fatalf("%d has another encoding than %d", got, x)
		}
	})
	for _, bad := range [][]byte{nil, {0x80}, bytes.Repeat([]byte{0xff}, 20)} {
		if got, err := snapshotReaderOf(bad).varInt(); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%x is %d, %v", bad, got, err)
		}
	}
	if _, ok := decompressAmount(math.MaxUint64, limit); ok {
		t.Error("an amount that overflows is good")
	}
	if _, ok := decompressAmount(compressAmount(limit+1), limit); ok {
		t.Error("an amount above the limit is good")
	}
}

func snapshotReaderOf(b []byte) *snapshotReader {
	header := snapshotHeader{magic: [4]byte(testSpec.Defaults.Magic), coins: 1}
	r, err := newSnapshotReader(bytes.NewReader(append(header.bytes(), b...)), testSpec)
	if err != nil {
		panic(err)
	}
	return r
}

// snapshotFile writes coins to a file as WriteSnapshot does, and gives their
// hash.
func snapshotFile(t failer, c *Chain, dir string) (string, WrittenSnapshot) {
	t.Helper()
	name := filepath.Join(dir, "snapshot")
	got, err := c.WriteSnapshot(context.Background(), name, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return name, got
}

// TestSnapshotOrder writes and reads coins with indices that Bitcoin Core does
// not put in the order of their numbers.
func TestSnapshotOrder(t *testing.T) {
	var list []snapshotCoin
	for _, index := range []uint32{20000, 300, 0, 127, 128, 16511, 16512, 252, 253} {
		list = append(list, snapshotCoin{index, consensus.Coin{Value: consensus.Amount(index), Height: index, Coinbase: index%2 == 0}})
	}
	head := snapshotHeader{magic: [4]byte(testSpec.Defaults.Magic), coins: uint64(len(list))}
	file := appendSnapshotTx(head.bytes(), consensus.Hash{5}, slices.Clone(list))
	var order []uint32
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, byVarInt)
	for _, c := range sorted {
		order = append(order, c.index)
	}
	if want := []uint32{0, 127, 128, 252, 253, 16512, 20000, 300, 16511}; !slices.Equal(order, want) {
		t.Errorf("order %d, want %d", order, want)
	}
	r, err := newSnapshotReader(bytes.NewReader(file), testSpec)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b snapshotCoin) int { return int(a.index) - int(b.index) })
	if id, got, err := r.next(nil); err != nil || id != (consensus.Hash{5}) || !slices.Equal(got, list) {
		t.Errorf("read %v, %v", got, err)
	}
	if _, _, err := r.next(nil); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// TestBadSnapshots changes every byte and every field of a file, and cuts it
// everywhere: each is refused, and the ledger stays as it was.
func TestBadSnapshots(t *testing.T) {
	dir := t.TempDir()
	full, _ := grown(t, filepath.Join(dir, "full"), 4)
	name, made := snapshotFile(t, full, dir)
	good := readAll(t, name)
	c := reopen(t, filepath.Join(dir, "fresh"), false)
	try := func(file []byte, want consensus.Hash) error {
		t.Helper()
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, file, 0o600); err != nil {
			t.Fatal(err)
		}
		err := c.UseSnapshot(t.Context(), bad, want)
		if err != nil && (strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), bad)) {
			t.Errorf("not one line that names the file: %v", err)
		}
		if c.AwaitsSnapshot() || c.Tip().Height != 0 {
			t.Fatal("the ledger has changed")
		}
		return err
	}
	refused := func(what string, file []byte) {
		t.Helper()
		if err := try(file, made.Hash); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for at := range good {
		changed := slices.Clone(good)
		changed[at] ^= 1 << (at % 8)
		if at >= 11 && at < 43 {
			continue // the base, which the headers bind: see TestSnapshotBase
		}
		refused(fmt.Sprintf("byte %d changed", at), changed)
		refused(fmt.Sprintf("cut at %d", at), good[:at])
	}
	refused("a byte more", append(slices.Clone(good), 0))
	refused("twice", slices.Concat(good, good))
	if err := try(good, consensus.Hash{1}); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), "want 00000") {
		t.Errorf("wrong hash: %v", err)
	}
	if err := try(good, consensus.Hash{}); err == nil || !strings.Contains(err.Error(), "--snapshot-hash") {
		t.Errorf("no hash: %v", err)
	}
	if err := c.UseSnapshot(t.Context(), filepath.Join(dir, "nothing"), made.Hash); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := full.UseSnapshot(t.Context(), name, made.Hash); err == nil || !strings.Contains(err.Error(), "--datadir") {
		t.Errorf("a ledger with blocks: %v", err)
	}

	// Files that are wrong by the rules of the format, each with its own reason.
	id, coin := consensus.Hash{7}, snapshotCoin{0, consensus.Coin{Value: 1, Height: 1}}
	file := func(coins uint64, parts ...[]byte) []byte {
		head := snapshotHeader{magic: [4]byte(testSpec.Defaults.Magic), base: made.Base, coins: coins}
		return append(head.bytes(), slices.Concat(parts...)...)
	}
	tx := func(id consensus.Hash, list ...snapshotCoin) []byte { return appendSnapshotTx(nil, id, list) }
	raw := func(index, code, amount uint64, script []byte) []byte {
		b := consensus.AppendCompactSize(append(id[:len(id):len(id)], 1), index)
		return append(appendVarInt(appendVarInt(b, code), amount), script...)
	}
	script := append(snapshotScript[:3:3], make([]byte, 32)...)
	other := append([]byte{40, 0x52, 32}, make([]byte, 32)...)
	cases := map[string]struct {
		file []byte
		says string
	}{
		"no magic":                {append([]byte("utxo\xfe"), good[5:]...), "does not begin as one"},
		"version":                 {slices.Concat(good[:5], []byte{3, 0}, good[7:]), "version 3"},
		"network":                 {slices.Concat(good[:7], []byte{1, 2, 3, 4}, good[11:]), "magic 01020304"},
		"nothing":                 {nil, "cut short"},
		"no coins in it":          {file(0), "its UTXO hash"},
		"more coins than it says": {file(1, tx(id, coin), tx(consensus.Hash{8}, coin)), "behind the last coin"},
		"fewer":                   {file(2, tx(id, coin)), "cut short: 1 coins are missing"},
		"a transaction twice":     {file(2, tx(id, coin), tx(id, coin)), "out of order"},
		"transactions swapped":    {file(2, tx(consensus.Hash{8}, coin), tx(id, coin)), "out of order"},
		"a coin twice":            {file(2, tx(id, coin, coin)), "out of order"},
		"coins of none":           {file(1, id[:], []byte{0}), "has 0 coins"},
		"too many coins":          {file(1<<40, id[:], []byte{0xfe, 0, 0, 0, 0x10}), "coins"},
		"long count":              {file(1, id[:], []byte{0xfd, 1, 0}), "shortest form"},
		"index":                   {file(1, raw(1<<32, 2, 9, script)), "impossible index"},
		"height":                  {file(1, raw(0, 1<<33, 9, script)), "impossible index, height"},
		"amount":                  {file(1, raw(0, 2, compressAmount(uint64(testSpec.Rules.MaxMoney)+1), script)), "amount"},
		"script":                  {file(1, raw(0, 2, 9, other)), "no Taproot output"},
		"script of Core's own":    {file(1, raw(0, 2, 9, append([]byte{0}, make([]byte, 20)...))), "no Taproot output"},
	}
	for name, test := range cases {
		if err := try(test.file, made.Hash); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
	if err := c.UseSnapshot(t.Context(), name, made.Hash); err != nil || !c.AwaitsSnapshot() {
		t.Errorf("the good one: %v", err)
	}
}

// FuzzSnapshot reads any bytes as a snapshot: what is read to its end is written
// again in the same way.
func FuzzSnapshot(f *testing.F) {
	head := snapshotHeader{magic: [4]byte(testSpec.Defaults.Magic), coins: 2}
	list := []snapshotCoin{{0, consensus.Coin{Value: 5, Height: 1, Coinbase: true}}, {300, consensus.Coin{Value: 100_000, Height: 7}}}
	f.Add(appendSnapshotTx(head.bytes(), consensus.Hash{5}, list))
	f.Add(head.bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := newSnapshotReader(bytes.NewReader(file), testSpec)
		if err != nil {
			return
		}
		again := r.snapshotHeader.bytes()
		for {
			id, list, err := r.next(nil)
			if err == io.EOF {
				break
			}
			if err != nil {
				if !errors.Is(err, ErrSnapshot) {
					t.Errorf("%v", err)
				}
				return
			}
			again = appendSnapshotTx(again, id, list)
		}
		if !bytes.Equal(again, file) {
			t.Errorf("%x is written again as %x", file, again)
		}
	})
}

// started is a fresh ledger that is told the headers of a chain and begins with
// a snapshot. What it runs in the background ends with the test.
type started struct {
	*Chain
	stop  func() error  // ends the background, and gives its error
	ended chan struct{} // closed when it has ended
}

func start(t failer, dir, file string, hash consensus.Hash, headers []*consensus.Block) *started {
	t.Helper()
	c, err := Open(context.Background(), Config{Dir: dir, Spec: testSpec, Cache: MinCache})
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := c.UseSnapshot(context.Background(), file, hash); err != nil {
		t.Fatalf("%v", err)
	}
	if err := c.AddHeaders(headersOf(headers)); err != nil {
		t.Fatalf("%v", err)
	}
	s := &started{Chain: c}
	s.run()
	return s
}

func (s *started) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		err = s.RunSnapshot(ctx)
	}()
	s.stop = func() error {
		cancel()
		<-s.ended
		return err
	}
}

// until waits for something that the background does.
func (s *started) until(t failer, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: in vain", what)
		}
	}
}

func (s *started) state() SnapshotState {
	info, _ := s.Snapshot()
	return info.State
}

func headersOf(blocks []*consensus.Block) (headers []consensus.Header) {
	for _, b := range blocks[1:] {
		headers = append(headers, b.Header)
	}
	return headers
}

func hashOf(t failer, c *Chain) consensus.Hash {
	t.Helper()
	s, err := c.UTXOStats(context.Background())
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s.Hash
}

// TestSnapshotLife takes a ledger through all that begins with a snapshot.
func TestSnapshotLife(t *testing.T) {
	dir := t.TempDir()
	full, g := grown(t, filepath.Join(dir, "full"), 30)
	file, made := snapshotFile(t, full, dir)
	branch := g.Fork(20, 1).Extend(25) // a better chain that forks off before the base
	more := g.Extend(5)
	at := filepath.Join(dir, "a")

	s := start(t, at, file, made.Hash, g.Blocks[:21])
	if err := s.AddBlock(g.Blocks[1]); err != nil || s.Tip().Height != 0 {
		t.Errorf("a block is connected while the ledger waits (%v)", err)
	}
	if _, err := s.UTXOStats(t.Context()); !errors.Is(err, errAwaits) {
		t.Errorf("coins while it waits: %v", err)
	}
	if missing := s.MissingBlocks(g.Blocks[20].Header.Hash(), 5); len(missing) > 0 || s.HasHistory() {
		t.Errorf("it wants %v while it waits", missing)
	}
	if err := s.AddHeaders(headersOf(g.Blocks)[20:]); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the snapshot to be loaded", func() bool { return s.Tip().Height == 30 })
	if got := hashOf(t, s.Chain); got != made.Hash {
		t.Errorf("coins %s, want %s", got, made.Hash)
	}
	if got := s.MissingBlocks(g.Tip().Hash, 100); len(got) != 5 || got[0] != g.Blocks[31].Header.Hash() {
		t.Errorf("missing %v", got)
	}
	if got := s.MissingHistory(100); len(got) != 29 || got[0] != g.Blocks[2].Header.Hash() || s.HasHistory() {
		t.Errorf("missing history %v", got)
	}
	for _, b := range more {
		if err := s.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	if s.Tip().Hash != g.Tip().Hash {
		t.Errorf("tip at %d", s.Tip().Height)
	}
	if err := s.InvalidateBlock(g.Blocks[25].Header.Hash()); !errors.Is(err, errExcused) {
		t.Errorf("invalidate below the base: %v", err)
	}
	for _, b := range branch {
		if err := s.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	if s.Tip().Hash != g.Tip().Hash {
		t.Error("a reorganization below the base")
	}
	if err := s.InvalidateBlock(g.Blocks[32].Header.Hash()); err != nil || s.Tip().Height != 31 {
		t.Errorf("invalidate above the base: %v at %d", err, s.Tip().Height)
	}
	if err := s.ReconsiderBlock(g.Blocks[32].Header.Hash()); err != nil || s.Tip().Height != 35 {
		t.Errorf("reconsider: %v at %d", err, s.Tip().Height)
	}

	// Half of the history, a restart, and the rest.
	for _, b := range slices.Backward(g.Blocks[2:16]) {
		if err := s.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "half of the history", func() bool { info, _ := s.Snapshot(); return info.Verified == 15 })
	if err := errors.Join(s.stop(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), Config{Dir: at, Spec: testSpec}, nil); !errors.Is(err, errNoHistory) {
		t.Errorf("verify without the history: %v", err)
	}
	s = &started{Chain: reopen(t, at, false)}
	if err := s.UseSnapshot(t.Context(), "is not read", made.Hash); err != nil {
		t.Errorf("the same snapshot again: %v", err)
	}
	if err := s.UseSnapshot(t.Context(), file, consensus.Hash{1}); err == nil || !strings.Contains(err.Error(), "another snapshot") {
		t.Errorf("another snapshot: %v", err)
	}
	s.run()
	s.until(t, "it to go on", func() bool { info, _ := s.Snapshot(); return info.Verified == 15 })
	if got := s.MissingHistory(3); len(got) != 3 || got[0] != g.Blocks[16].Header.Hash() || s.state() != SnapshotAssumed || s.Tip().Height != 35 {
		t.Errorf("after a restart %v are missing", got)
	}
	for _, b := range g.Blocks[16:31] {
		if err := s.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "the history", func() bool { return s.state() == SnapshotVerified })
	// Now the better chain counts, and its blocks can be reverted: it is a
	// ledger like any other.
	s.until(t, "the reorganization", func() bool { return s.Tip().Hash == branch[24].Header.Hash() })
	for _, b := range append(more, branch...) {
		if err := full.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := hashOf(t, s.Chain), hashOf(t, full); a != b || !s.HasHistory() {
		t.Errorf("coins %s, and %s of a ledger with every block", a, b)
	}
	if err := errors.Join(s.stop(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(at, historyDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other coins are left: %v", err)
	}
	if _, err := Verify(t.Context(), Config{Dir: at, Spec: testSpec}, nil); err != nil {
		t.Errorf("verify: %v", err)
	}
	s = &started{Chain: reopen(t, at, false)}
	if s.state() != SnapshotVerified || s.Tip().Hash != branch[24].Header.Hash() || s.RunSnapshot(t.Context()) != nil {
		t.Error("it has forgotten that it was verified")
	}
	if err := s.InvalidateBlock(g.Blocks[10].Header.Hash()); err != nil || s.Tip().Height != 9 {
		t.Errorf("invalidate: %v at %d", err, s.Tip().Height)
	}
}

// TestFalseSnapshot begins with coins that the chain does not make: the ledger
// finds out, stops for good, and does not start again but anew.
func TestFalseSnapshot(t *testing.T) {
	dir := t.TempDir()
	full, g := grown(t, filepath.Join(dir, "full"), 12)
	file, _ := snapshotFile(t, full, dir)
	r, err := newSnapshotReader(bytes.NewReader(readAll(t, file)), testSpec)
	if err != nil {
		t.Fatal(err)
	}
	forged := r.snapshotHeader.bytes()
	for first := true; ; first = false {
		id, list, err := r.next(nil)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if first {
			list[0].coin.Value += 1_000_000
		}
		forged = appendSnapshotTx(forged, id, list)
	}
	name := filepath.Join(dir, "forged")
	if err := os.WriteFile(name, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err = newSnapshotReader(bytes.NewReader(forged), testSpec)
	for err == nil {
		_, _, err = r.next(nil)
	}
	hash := r.hash.sum()

	at := filepath.Join(dir, "a")
	s := start(t, at, name, hash, g.Blocks)
	s.until(t, "the snapshot to be loaded", func() bool { return s.Tip().Height == 12 })
	for _, b := range g.Blocks[1:] {
		if err := s.AddBlock(b); err != nil && !errors.Is(err, ErrRefuted) {
			t.Fatal(err)
		}
	}
	<-s.Failed()
	if err := s.stop(); !errors.Is(err, ErrRefuted) || !errors.Is(err, ErrFatal) || !strings.Contains(err.Error(), "--reindex") {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if c, err := Open(context.Background(), Config{Dir: at, Spec: testSpec}); !errors.Is(err, ErrRefuted) {
			t.Errorf("it starts again: %v, %v", c, err)
		}
	}
	c := reopen(t, at, true)
	if _, ok := c.Snapshot(); ok || c.Tip().Height != 12 || hashOf(t, c) != hashOf(t, full) {
		t.Errorf("built anew: height %d", c.Tip().Height)
	}
}

// TestInvalidHistory begins with a snapshot of a chain that breaks a rule: with a
// bad signature, and with one that is found as soon as the block comes.
func TestInvalidHistory(t *testing.T) {
	for _, flaw := range []chaingen.Flaw{chaingen.FlawSignature, chaingen.FlawHeight} {
		g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 9, Txs: 2, Outputs: 2, Fee: 1000})
		g.Extend(6)
		bad, ok := g.Flawed(flaw)
		if !ok {
			t.Fatal("no flawed block")
		}
		// A block on top, whose coinbase is the only coin: a false snapshot with
		// a good hash.
		state := testSpec.Rules.NextState(g.Tip(), &bad.Header)
		top := g.Empty(state)
		id := top.TxIDs()[0]
		key, _ := consensus.TaprootKey(top.Txs[0].Out[0].Script)
		head := snapshotHeader{magic: [4]byte(testSpec.Defaults.Magic), base: top.Header.Hash(), coins: 1}
		forged := appendSnapshotTx(head.bytes(), id, []snapshotCoin{{0, consensus.Coin{Value: top.Txs[0].Out[0].Value, Key: key, Height: 8, Coinbase: true}}})
		name := filepath.Join(t.TempDir(), "forged")
		if err := os.WriteFile(name, forged, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := newSnapshotReader(bytes.NewReader(forged), testSpec)
		if err == nil {
			_, _, err = r.next(nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		blocks := append(slices.Clone(g.Blocks), bad, top)
		at := filepath.Join(t.TempDir(), "a")
		s := start(t, at, name, r.hash.sum(), blocks)
		s.until(t, "the snapshot to be loaded", func() bool { return s.Tip().Height == 8 })
		for _, b := range blocks[1:] {
			if err := s.AddBlock(b); err != nil && !errors.Is(err, ErrRefuted) {
				t.Fatal(err)
			}
		}
		<-s.Failed()
		if err := s.Err(); !errors.Is(err, ErrRefuted) {
			t.Errorf("got %v", err)
		}
		if err := s.stop(); err != nil && !errors.Is(err, ErrRefuted) { // nil if it was stopped first
			t.Error(err)
		}
		s.Close()
		if _, err := Open(context.Background(), Config{Dir: at, Spec: testSpec}); !errors.Is(err, ErrRefuted) {
			t.Errorf("it starts again: %v", err)
		}
	}
}

// TestSnapshotBase changes the base that a file names, of which the UTXO hash
// says nothing.
func TestSnapshotBase(t *testing.T) {
	dir := t.TempDir()
	full, g := grown(t, filepath.Join(dir, "full"), 8)
	name, made := snapshotFile(t, full, dir)
	g.Extend(3)
	branch := g.Fork(7, 1)
	branch.Extend(2)
	file := readAll(t, name)
	for what, base := range map[string]struct {
		hash consensus.Hash
		says string
	}{
		"before":         {g.Blocks[7].Header.Hash(), "has height 7"},
		"after":          {g.Blocks[9].Header.Hash(), "has height 9"},
		"genesis":        {g.Blocks[0].Header.Hash(), "has height 0"},
		"another branch": {branch.Blocks[8].Header.Hash(), ""},
		"unknown":        {consensus.Hash{1}, ""},
	} {
		copy(file[11:], base.hash[:])
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, file, 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, filepath.Join(dir, what), bad, made.Hash, g.Blocks)
		if err := s.AddHeaders(headersOf(branch.Blocks)); err != nil && !errors.Is(err, ErrFatal) {
			t.Fatal(err)
		}
		if base.says == "" {
			if n, err := s.awaitedBase(); n != nil || err != nil || !s.AwaitsSnapshot() {
				t.Errorf("%s: %v, %v", what, n, err)
			}
			if err := s.stop(); err != nil {
				t.Error(err)
			}
		} else {
			<-s.Failed()
			if err := errors.Join(s.Err(), s.stop()); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), base.says) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if s.Tip().Height != 0 {
			t.Errorf("%s: tip at %d", what, s.Tip().Height)
		}
		s.Close()
		again := reopen(t, filepath.Join(dir, what), false)
		if again.Tip().Height != 0 || hashOf(t, again) != (serialHash{}).empty() {
			t.Errorf("%s: the ledger has changed", what)
		}
	}
}

func (serialHash) empty() consensus.Hash { return consensus.DoubleSHA256(nil) }

// TestCutLoading is killed while the coins are written: the ledger begins anew.
func TestCutLoading(t *testing.T) {
	dir := t.TempDir()
	full, g := grown(t, filepath.Join(dir, "full"), 8)
	name, made := snapshotFile(t, full, dir)
	at := filepath.Join(dir, "a")
	c := reopen(t, at, false)
	if err := c.AddHeaders(headersOf(g.Blocks)); err != nil {
		t.Fatal(err)
	}
	if err := c.AddBlock(g.Blocks[8]); err != nil { // is stored, and found again
		t.Fatal(err)
	}
	began := &beginning{state: snapshotLoading, base: made.Base, hash: made.Hash, coins: made.Coins}
	var b batch
	b.Put([]byte{keySnapshot}, began.record())
	b.putCoin(consensus.OutPoint{Index: 3}, &consensus.Coin{Value: 1})
	if err := errors.Join(c.store.write(&b, true), c.Close()); err != nil {
		t.Fatal(err)
	}
	c = reopen(t, at, false)
	if _, ok := c.Snapshot(); ok || c.Tip().Height != 0 || hashOf(t, c) != (serialHash{}).empty() {
		t.Fatal("something is left of the coins")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, at, name, made.Hash, g.Blocks)
	s.until(t, "the snapshot to be loaded", func() bool { return s.Tip().Height == 8 })
	if hashOf(t, s.Chain) != made.Hash {
		t.Error("other coins than before")
	}
	if err := errors.Join(s.stop(), s.Close()); err != nil {
		t.Error(err)
	}
}

// idle reports whether the background has done all that it can.
func (s *started) idle() bool {
	missing := s.MissingHistory(1)
	if len(missing) == 0 {
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	}
	lowest, _ := s.Header(missing[0])
	info, _ := s.Snapshot()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stalled && info.Verified == lowest.Height-1
}

// restart does something, closes the ledger, and opens one in a directory.
func (s *started) restart(t failer, dir string, before func()) *started {
	t.Helper()
	before()
	if err := errors.Join(s.stop(), s.Close()); err != nil {
		t.Fatalf("%v", err)
	}
	c, err := Open(context.Background(), Config{Dir: dir, Spec: testSpec})
	if err != nil {
		t.Fatalf("%v", err)
	}
	again := &started{Chain: c}
	again.run()
	return again
}

// TestDamagedHistory damages a block on disk before it is replayed: it is
// fetched again.
func TestDamagedHistory(t *testing.T) {
	dir := t.TempDir()
	full, g := grown(t, filepath.Join(dir, "full"), 10)
	name, made := snapshotFile(t, full, dir)
	at := filepath.Join(dir, "a")
	s := start(t, at, name, made.Hash, g.Blocks)
	s.until(t, "the snapshot to be loaded", func() bool { return s.Tip().Height == 10 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	for _, b := range g.Blocks[1:9] {
		if err := s.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.MissingHistory(5); len(got) != 2 || got[0] != g.Blocks[9].Header.Hash() {
		t.Errorf("missing %v", got)
	}
	flipByte(t, filepath.Join(at, "blocks", blockfile.Name("blk", 0)), int64(s.tree.Active()[4].Own.body.Offset)+90)
	s.run()
	s.until(t, "the damage to be found", func() bool {
		got := s.MissingHistory(5)
		return len(got) == 3 && got[0] == g.Blocks[4].Header.Hash()
	})
	for _, b := range g.Blocks[1:] {
		if err := s.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "the history", func() bool { return s.state() == SnapshotVerified })
	if err := errors.Join(s.stop(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := Verify(t.Context(), Config{Dir: at, Spec: testSpec}, nil); err != nil {
		t.Errorf("verify: %v", err)
	}
}

// TestDamagedReplay damages the coins of the verification: it begins anew.
func TestDamagedReplay(t *testing.T) {
	dir := t.TempDir()
	full, g := grown(t, filepath.Join(dir, "full"), 10)
	name, made := snapshotFile(t, full, dir)
	at := filepath.Join(dir, "a")
	s := start(t, at, name, made.Hash, g.Blocks)
	for _, b := range g.Blocks[1:9] {
		s.until(t, "the snapshot to be loaded", func() bool { return s.Tip().Height == 10 })
		if err := s.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "part of the history", s.idle)
	if err := errors.Join(s.stop(), s.Close()); err != nil {
		t.Fatal(err)
	}
	for what, damage := range map[string]func(b *batch){
		"record of a coin": func(b *batch) { b.Put(coinKey(full.firstCoin(t)), []byte{1}) },
		"tip":              func(b *batch) { b.Put([]byte{keyTip}, []byte{1}) },
	} {
		t.Run(what, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "b")
			copyDir(t, at, to)
			history, err := openStore(blockfile.OS{}, filepath.Join(to, historyDir), databaseBuffer)
			if err != nil {
				t.Fatal(err)
			}
			var b batch
			damage(&b)
			if err := errors.Join(history.write(&b, true), history.close()); err != nil {
				t.Fatal(err)
			}
			s := &started{Chain: reopen(t, to, false)}
			s.run()
			for _, b := range g.Blocks[9:11] {
				if err := s.AddBlock(b); err != nil {
					t.Fatal(err)
				}
			}
			s.until(t, "the history", func() bool { return s.state() == SnapshotVerified })
			if err := s.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSnapshotOfSpec begins with a snapshot that the chainspec names.
func TestSnapshotOfSpec(t *testing.T) {
	dir := t.TempDir()
	full, _ := grown(t, filepath.Join(dir, "full"), 3)
	name, made := snapshotFile(t, full, dir)
	spec := chaingen.Spec(func(s *consensus.Spec) {
		s.Rules.Maturity = 1
		s.Defaults.Snapshots = []consensus.Snapshot{{Height: 3, Base: made.Base, UTXOHash: made.Hash}}
	})
	c, err := Open(context.Background(), Config{Dir: filepath.Join(dir, "a"), Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.UseSnapshot(t.Context(), name, consensus.Hash{}); err != nil || !c.AwaitsSnapshot() {
		t.Errorf("%v", err)
	}
}

// TestSnapshotAnywhere has a ledger begin with a snapshot of a random height, be
// given blocks and branches in random order with restarts in between, and end
// like one that has seen every block from genesis on.
func TestSnapshotAnywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "snapshot")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.RemoveAll(dir)
		g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: rapid.Uint64().Draw(t, "seed"), Txs: 2, Inputs: 2, Outputs: 3, Fee: 1000})
		g.Extend(rapid.IntRange(1, 12).Draw(t, "base"))
		full, err := Open(context.Background(), Config{Dir: filepath.Join(dir, "full"), Spec: testSpec})
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer full.Close()
		for _, b := range g.Blocks[1:] {
			if err := full.AddBlock(b); err != nil {
				t.Fatalf("%v", err)
			}
		}
		base := len(g.Blocks)
		name, made := snapshotFile(t, full, dir)
		g.Extend(rapid.IntRange(0, 5).Draw(t, "after"))
		all := slices.Clone(g.Blocks[1:])
		for i := range rapid.IntRange(0, 2).Draw(t, "branches") {
			from := rapid.IntRange(base-1, len(g.Blocks)-1).Draw(t, "from")
			all = append(all, g.Fork(uint32(from), uint64(i+1)).Extend(rapid.IntRange(1, 6).Draw(t, "length"))...)
		}
		s := start(t, filepath.Join(dir, "a"), name, made.Hash, g.Blocks)
		defer func() {
			if err := errors.Join(s.stop(), s.Close()); err != nil {
				t.Fatalf("%v", err)
			}
		}()
		s.until(t, "the snapshot to be loaded", func() bool { return !s.AwaitsSnapshot() })
		order := rapid.Permutation(all).Draw(t, "order")
		for len(order) > 0 {
			var later []*consensus.Block // whose parents are not known
			for _, b := range order {
				if err := s.AddBlock(b); errors.Is(err, ErrUnknownParent) {
					later = append(later, b)
				} else if err != nil {
					t.Fatalf("%v", err)
				}
				switch rapid.IntRange(0, 12).Draw(t, "restart") {
				case 0:
					s = s.restart(t, s.cfg.Dir, func() {})
				case 1: // as if killed
					s.until(t, "the background to wait", s.idle)
					to := filepath.Join(dir, rapid.StringMatching(`[a-z]{12}`).Draw(t, "copy"))
					s = s.restart(t, to, func() {
						if err := copyAsKilled(s.cfg.Dir, to); err != nil {
							t.Fatalf("%v", err)
						}
					})
				}
			}
			order = later
		}
		s.until(t, "the history", func() bool { return s.state() == SnapshotVerified })
		for _, b := range all[base-1:] {
			if err := full.AddBlock(b); err != nil {
				t.Fatalf("%v", err)
			}
		}
		if a, b := s.Tip().Work, full.Tip().Work; a != b {
			t.Fatalf("work %v, and %v of a ledger with every block", a, b)
		}
		if s.Tip().Hash != full.Tip().Hash { // the first seen stays
			if err := full.PreciousBlock(s.Tip().Hash); err != nil {
				t.Fatalf("%v", err)
			}
		}
		if a, b := hashOf(t, s.Chain), hashOf(t, full); a != b {
			t.Fatalf("coins %s, and %s of a ledger with every block", a, b)
		}
		a, err := s.UTXOMuHash(context.Background())
		b, err2 := full.UTXOMuHash(context.Background())
		if err := errors.Join(err, err2); err != nil || a.Hash != b.Hash {
			t.Fatalf("muhash %s and %s, %v", a.Hash, b.Hash, err)
		}
	})
}
