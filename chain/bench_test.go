package chain

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/util"

	"lode/chain/blockfile"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// What the benchmarks work on: a chain whose last blocks are full of
// transactions, each with benchInputs inputs.
const (
	benchBlocks = 20
	benchTxs    = 200
	benchInputs = 2
)

var benchChain = sync.OnceValue(func() *chaingen.Chain {
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 8, Txs: 1, Outputs: 2 * benchTxs, Fee: 100_000})
	g.Extend(2) // one coin becomes many
	g.Params.Txs, g.Params.Inputs, g.Params.Outputs, g.Params.Fee = benchTxs, benchInputs, benchInputs, 100
	g.Extend(benchBlocks)
	return g
})

func openBench(b *testing.B, cache int64) *Chain {
	b.Helper()
	c, err := Open(context.Background(), Config{Dir: filepath.Join(b.TempDir(), "ledger"), Spec: testSpec, Sigs: sigcheck.New(0), Cache: cache})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func mustAdd(b *testing.B, c *Chain, blocks []*consensus.Block) {
	b.Helper()
	for _, block := range blocks {
		if err := c.AddBlock(block); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect connects full blocks one by one, as a node at the tip does,
// and many together from a file, as one that imports does.
func BenchmarkConnect(b *testing.B) {
	g := benchChain()
	base := len(g.Blocks) - benchBlocks
	for name, connect := range map[string]func(c *Chain){
		"one by one": func(c *Chain) { mustAdd(b, c, g.Blocks[base:]) },
		"together": func(c *Chain) {
			b.StopTimer()
			var file []byte
			for _, block := range g.Blocks[base:] {
				raw := block.Bytes()
				file = binary.LittleEndian.AppendUint32(append(file, testSpec.Defaults.Magic...), uint32(len(raw)))
				file = append(file, raw...)
			}
			b.StartTimer()
			if got, err := c.Import(b.Context(), bytes.NewReader(file), int64(len(file)), nil); err != nil || !got.Clean() {
				b.Fatal(err, got)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				c := openBench(b, DefaultCache)
				mustAdd(b, c, g.Blocks[1:base])
				b.StartTimer()
				connect(c)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBlocks), "ns/block")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBlocks*benchTxs*benchInputs), "ns/input")
		})
	}
}

// BenchmarkDisconnect disconnects full blocks.
func BenchmarkDisconnect(b *testing.B) {
	g := benchChain()
	for range b.N {
		b.StopTimer()
		c := openBench(b, DefaultCache)
		mustAdd(b, c, g.Blocks[1:])
		b.StartTimer()
		if err := c.InvalidateBlock(g.Blocks[len(g.Blocks)-benchBlocks].Header.Hash()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBlocks), "ns/block")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBlocks*benchTxs*benchInputs), "ns/input")
}

// benchCoin is one of many coins that are not in any chain.
func benchCoin(i int) (consensus.OutPoint, consensus.Coin) {
	o := consensus.OutPoint{Index: uint32(i % 3)}
	binary.LittleEndian.PutUint64(o.TxID[:], uint64(i)*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(o.TxID[8:], uint64(i)*0xbf58476d1ce4e5b9)
	return o, consensus.Coin{Value: consensus.Amount(i) * 1000, Key: o.TxID, Height: uint32(i)}
}

const benchCoins = 200_000

// fill makes many coins in the cache; flushed has them in the database and not
// in the cache.
func fill(b *testing.B, c *Chain, flushed bool) {
	b.Helper()
	for i := range benchCoins {
		c.coins.add(benchCoin(i))
	}
	if flushed {
		if err := c.flush(); err != nil {
			b.Fatal(err)
		}
		c.coins = newCoinCache(c.store)
	}
}

// BenchmarkCoin looks coins up that are there or not, in the cache and in the
// database.
func BenchmarkCoin(b *testing.B) {
	for _, where := range []string{"cache", "database"} {
		for _, what := range []string{"hit", "miss"} {
			if where == "cache" && what == "miss" {
				continue // only the database can tell
			}
			b.Run(where+" "+what, func(b *testing.B) {
				c := openBench(b, DefaultCache)
				fill(b, c, where == "database")
				first := 0
				if what == "miss" {
					first = benchCoins
				}
				b.ResetTimer()
				for i := range b.N {
					o, _ := benchCoin(first + i*7919%benchCoins)
					if _, ok, err := c.coins.coin(o); err != nil || ok != (what == "hit") {
						b.Fatal(ok, err)
					}
				}
			})
		}
	}
}

// BenchmarkFlush writes coins to the database, and measures what a coin takes
// there and in the cache.
func BenchmarkFlush(b *testing.B) {
	var cache, disk float64
	for range b.N {
		b.StopTimer()
		c := openBench(b, DefaultCache)
		before := heap()
		fill(b, c, false)
		cache = float64(heap()-before) / benchCoins
		b.StartTimer()
		if err := c.flush(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := c.store.db.CompactRange(*coinRange); err != nil {
			b.Fatal(err)
		}
		sizes, err := c.store.db.SizeOf([]util.Range{*coinRange})
		if err != nil {
			b.Fatal(err)
		}
		disk = float64(sizes.Sum()) / benchCoins
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchCoins), "ns/coin")
	b.ReportMetric(cache, "cache-B/coin")
	b.ReportMetric(float64(entrySize), "counted-B/coin")
	b.ReportMetric(disk, "disk-B/coin")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkOpen opens a ledger of many headers and a few coins.
func BenchmarkOpen(b *testing.B) {
	const headers = 20_000
	dir := filepath.Join(b.TempDir(), "ledger")
	cfg := Config{Dir: dir, Spec: testSpec}
	c, err := Open(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 8})
	mustAdd(b, c, g.Extend(headers))
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, err := Open(context.Background(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*(headers+1)), "ns/header")
}

// BenchmarkServe reads stored blocks as peers ask for them: as it was before what
// leaves the store was checked, with the checksum, and against the header, as a
// block is the first time that was stored before there were checksums.
func BenchmarkServe(b *testing.B) {
	c := openBench(b, DefaultCache)
	many := benchChain()
	mustAdd(b, c, many.Blocks[1:])
	for name, height := range map[string]uint32{"few large": 2, "many small": uint32(len(many.Blocks) - 1)} {
		n := c.tree.Active()[height]
		for way, serve := range map[string]func() ([]byte, error){
			"unchecked": func() ([]byte, error) {
				payload, err := c.blocks.Read(n.Own.body)
				if err == nil && consensus.DoubleSHA256(payload[:consensus.HeaderSize]) != n.Hash() {
					err = blockfile.ErrRecord
				}
				return payload, err
			},
			"checksum": func() ([]byte, error) { return c.BlockBytes(n.Hash()) },
			"header": func() ([]byte, error) {
				payload, _, err := c.readBody(n)
				if err == nil {
					_, err = c.prove(n, payload, false)
				}
				return payload, err
			},
		} {
			b.Run(fmt.Sprintf("%s/%s", name, way), func(b *testing.B) {
				b.SetBytes(int64(n.Own.body.Size))
				for range b.N {
					if _, err := serve(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
