package chain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"testing"
	"time"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// reorgDepth, in the environment, is how many blocks of 400 transactions
// TestDeepReorg disconnects; it takes minutes then, and looks at the memory.
const reorgDepth = "LODE_TEST_REORG"

// TestDeepReorg reorganizes many blocks and back again. The coins are right each
// time, and the memory does not grow with the depth.
func TestDeepReorg(t *testing.T) {
	if s := os.Getenv(reorgDepth); s != "" {
		depth, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		small, large := deepReorg(t, depth/4, 400), deepReorg(t, depth, 400)
		if large > small+small/4 {
			t.Errorf("%d MB of memory at a depth of %d, and %d MB at %d", small>>20, depth/4, large>>20, depth)
		}
		return
	}
	t.Parallel()
	deepReorg(t, 40, 10)
}

// deepReorg makes two branches of depth blocks each, and has a ledger with a
// small cache go from one to the other and back. It gives the most memory that
// was in use meanwhile.
func deepReorg(t *testing.T, depth, txs int) (peak uint64) {
	dir := t.TempDir()
	names, sets, tips := reorgFiles(t, dir, depth, txs)
	runtime.GC()
	debug.FreeOSMemory()
	c, err := Open(context.Background(), Config{Dir: filepath.Join(dir, "ledger"), Spec: testSpec, Sigs: sigcheck.New(0), Cache: databaseCache + 2*databaseBuffer + 8<<20})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() { done <- peakMemory(stop) }()
	for i, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got, err := c.Import(t.Context(), f, info.Size(), nil)
		if err != nil || !got.Clean() {
			t.Fatal(err, got)
		}
		f.Close()
		took := time.Since(began)
		if s, err := c.UTXOStats(t.Context()); err != nil || s.Hash != sets[i] || s.Tip != tips[i] {
			t.Fatalf("coins %s at %d, want %s: %v", s.Hash, s.Height, sets[i], err)
		}
		t.Logf("%d blocks with %d inputs in %v: height %d", got.Blocks, got.Inputs, took.Round(time.Millisecond), c.Tip().Height)
	}
	close(stop)
	peak = <-done
	t.Logf("depth %d: at most %d MB in use", depth, peak>>20)
	return peak
}

// peakMemory is the most memory that Go had from the operating system, and had
// not given back, until stop is closed.
func peakMemory(stop chan struct{}) (peak uint64) {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for {
		metrics.Read(s)
		peak = max(peak, s[0].Value.Uint64()-s[1].Value.Uint64())
		select {
		case <-stop:
			return peak
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// reorgFiles writes a branch, a better one, and what makes the first better
// again into files, each with the coins and the tip to which it leads.
func reorgFiles(t *testing.T, dir string, depth, txs int) (names []string, sets, tips []consensus.Hash) {
	a := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 6, Txs: 1, Outputs: txs * 2, Fee: 1000})
	a.Extend(2) // one coin becomes many
	a.Params.Txs, a.Params.Outputs, a.Params.Fee = txs, 1, 100
	base := a.Tip().Height
	a.Extend(depth)
	write := func(g *chaingen.Chain, blocks []*consensus.Block) {
		name := filepath.Join(dir, strconv.Itoa(len(names))+".dat")
		var file []byte
		for _, b := range blocks {
			raw := b.Bytes()
			file = binary.LittleEndian.AppendUint32(append(file, testSpec.Defaults.Magic...), uint32(len(raw)))
			file = append(file, raw...)
		}
		if err := os.WriteFile(name, file, 0o600); err != nil {
			t.Fatal(err)
		}
		names, sets, tips = append(names, name), append(sets, coinsHash(g.Coins)), append(tips, g.Tip().Hash)
	}
	write(a, a.Blocks[1:])
	b := a.Fork(base, 7)
	write(b, b.Extend(depth+1))
	write(a, a.Extend(2))
	return names, sets, tips
}

// coinsHash hashes a set as UTXOStats does, without a database.
func coinsHash(coins consensus.Coins) consensus.Hash {
	keys := make([][]byte, 0, len(coins))
	for o := range coins {
		keys = append(keys, coinKey(o))
	}
	slices.SortFunc(keys, bytes.Compare)
	h := serialHash{sha256.New()}
	for _, k := range keys {
		o, _ := readCoinKey(k)
		coin := coins[o]
		h.add(appendForHash(nil, o, &coin))
	}
	return h.sum()
}
