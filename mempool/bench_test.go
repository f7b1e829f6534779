package mempool_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	btcd "github.com/btcsuite/btcd/mempool"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/testnet/chaingen"
)

// independent is a ledger and transactions that each spend one of its coins.
type independent struct {
	ledger *chain.Chain
	txs    []*consensus.Tx
	made   map[consensus.Hash]*consensus.Tx // by which their coins were made
	world  *world
}

func newIndependent(b *testing.B, n int) *independent {
	b.Helper()
	in := &independent{made: make(map[consensus.Hash]*consensus.Tx)}
	var err error
	if in.ledger, err = chain.Open(context.Background(), chain.Config{Dir: b.TempDir(), Spec: generated}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.ledger.Close() })
	w := &world{ledger: in.ledger, gen: chaingen.New(&generated.Rules, chaingen.Params{Seed: 3}), version: 2}
	w.confirm(b)
	for len(in.txs) < n {
		w.confirm(b)
		coinbase := first(w.gen.Blocks[len(w.gen.Blocks)-2].Txs[0])
		tx := w.pay(b, 100_000, 1000, coinbase)
		w.confirm(b, tx)
		in.made[tx.TxID()] = tx
		for i := range tx.Out {
			in.txs = append(in.txs, w.pay(b, consensus.Amount(200+i), 1, consensus.OutPoint{TxID: tx.TxID(), Index: uint32(i)}))
		}
	}
	in.world = w
	return in
}

// dearer are transactions that replace those of in.
func (in *independent) dearer(b *testing.B) (txs []*consensus.Tx) {
	for i := range in.txs {
		txs = append(txs, in.world.pay(b, consensus.Amount(3000+i), 1, in.txs[i].In[0].PrevOut))
	}
	return txs
}

// pool is an empty one that has verified nothing yet.
func (in *independent) pool() *mempool.Pool {
	return mempool.New(mempool.Config{Ledger: in.ledger, Sigs: sigcheck.New(len(in.txs)), Policy: mempool.DefaultPolicy()})
}

// BenchmarkAccept takes in independent transactions of one input, signatures
// checked: all that have queued up together, from many goroutines, one by one,
// and with btcd's mempool. It reports the best run of each, and how often the
// time of one by one and of btcd is that of the batch.
func BenchmarkAccept(b *testing.B) {
	in := newIndependent(b, 5000)
	fastest := func(run func()) time.Duration {
		best := time.Duration(math.MaxInt64)
		for range 3 {
			start := time.Now()
			run()
			best = min(best, time.Since(start))
		}
		return best
	}
	check := func(errs ...error) {
		for _, err := range errs {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		together := fastest(func() {
			p := in.pool()
			for batch := range slices.Chunk(in.txs, 1000) {
				check(p.AddAll(batch)...)
			}
		})
		queued := fastest(func() {
			p := in.pool()
			var group sync.WaitGroup
			const peers = 100
			for i := range peers {
				group.Go(func() {
					for k := i; k < len(in.txs); k += peers {
						if err := p.Add(in.txs[k]); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
		})
		single := fastest(func() {
			p := in.pool()
			for _, tx := range in.txs {
				check(p.Add(tx))
			}
		})
		other := in.btcd(b)
		report := func(name string, d time.Duration) { b.ReportMetric(float64(len(in.txs))/d.Seconds(), name+"/s") }
		report("together", together)
		report("queued", queued)
		report("single", single)
		report("btcd", other)
		b.ReportMetric(float64(single)/float64(together), "x-single")
		b.ReportMetric(float64(other)/float64(together), "x-btcd")
	}
}

// btcd is the best time in which btcd's mempool takes the same transactions in.
func (in *independent) btcd(b *testing.B) time.Duration {
	convert := func(tx *consensus.Tx) *btcutil.Tx {
		var msg wire.MsgTx
		if err := msg.Deserialize(bytes.NewReader(tx.Bytes())); err != nil {
			b.Fatal(err)
		}
		return btcutil.NewTx(&msg)
	}
	made := make(map[consensus.Hash]*btcutil.Tx)
	for id, tx := range in.made {
		made[id] = convert(tx)
	}
	params := chaincfg.RegressionNetParams
	best := time.Duration(math.MaxInt64)
	for range 3 {
		pool := btcd.New(&btcd.Config{
			Policy:      btcd.Policy{MaxTxVersion: 2, MaxSigOpCostPerTx: 16_000, MinRelayTxFee: 100, DisableRelayPriority: true},
			ChainParams: &params,
			FetchUtxoView: func(tx *btcutil.Tx) (*blockchain.UtxoViewpoint, error) {
				view := blockchain.NewUtxoViewpoint()
				for _, in := range tx.MsgTx().TxIn {
					o := in.PreviousOutPoint
					view.AddTxOut(made[consensus.Hash(o.Hash)], o.Index, 1)
				}
				return view, nil
			},
			BestHeight:     func() int32 { return 200 },
			MedianTimePast: time.Now,
			CalcSequenceLock: func(*btcutil.Tx, *blockchain.UtxoViewpoint) (*blockchain.SequenceLock, error) {
				return &blockchain.SequenceLock{Seconds: -1, BlockHeight: -1}, nil
			},
			IsDeploymentActive: func(uint32) (bool, error) { return true, nil },
			SigCache:           txscript.NewSigCache(uint(len(in.txs))),
			HashCache:          txscript.NewHashCache(uint(len(in.txs))),
		})
		txs := make([]*btcutil.Tx, len(in.txs))
		for i, tx := range in.txs {
			txs[i] = convert(tx)
		}
		start := time.Now()
		for _, tx := range txs {
			if _, err := pool.ProcessTransaction(tx, false, false, 0); err != nil {
				b.Fatal(err)
			}
		}
		best = min(best, time.Since(start))
	}
	return best
}

// BenchmarkFullPool measures what a pool of 300 MB costs: a template of
// 4,000,000 weight units, the same again with nothing changed, and one after
// another transaction; and, at the 99th percentile, what evicts and what replaces,
// without signatures in clusters of any kind, and signed by themselves. The
// baseline is the template by ancestor score, of the same pool.
func BenchmarkFullPool(b *testing.B) {
	const count = 5000
	in := newIndependent(b, count)
	for b.Loop() {
		random := rand.New(rand.NewPCG(1, 8))
		pool, infos := mempool.SyntheticFull(random, mempool.Config{Ledger: in.ledger, Sigs: sigcheck.New(2 * count), Policy: mempool.DefaultPolicy()})
		template := func() time.Duration {
			start := time.Now()
			if s, err := pool.Select(4_000_000, 80_000); err != nil || len(s.Txs) < 1000 {
				b.Fatal(len(s.Txs), err)
			}
			return time.Since(start)
		}
		first := template()
		for range 4 {
			pool.AddSynthetic(random)
			first = min(first, template())
		}
		b.ReportMetric(float64(first)/1e6, "ms/template")
		b.ReportMetric(float64(template())/1e3, "µs/template-again")
		start := time.Now()
		reference := byAncestorScore(infos, 4_000_000)
		b.ReportMetric(float64(time.Since(start))/float64(first), "x-ancestors")
		b.ReportMetric(float64(pool.Fill(4_000_000).Fees)/float64(reference), "fees-ancestors")

		report := func(name string, run func(i int)) {
			p50, p99 := percentiles(count, run)
			b.ReportMetric(p50, "µs-"+name+"-p50")
			b.ReportMetric(p99, "µs-"+name+"-p99")
		}
		report("evict", func(int) { pool.AddSynthetic(random) })
		report("replace", func(int) { pool.ReplaceSynthetic(random) })
		add := func(txs []*consensus.Tx) func(int) {
			return func(i int) {
				if err := pool.Add(txs[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
		report("signed-evict", add(in.txs))
		report("signed-replace", add(in.dearer(b)))
		b.ReportMetric(float64(len(infos)), "txs")
	}
}

// percentiles are the median of n runs, and the 99th of the quietest of ten parts
// of them, in microseconds: over all it would be that of the machine's scheduler
// where others use it.
func percentiles(n int, run func(i int)) (p50, p99 float64) {
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		run(i)
		took[i] = time.Since(start)
	}
	p99 = math.Inf(1)
	for part := range slices.Chunk(slices.Clone(took), n/10) {
		slices.Sort(part)
		p99 = min(p99, float64(part[len(part)*99/100])/1000)
	}
	slices.Sort(took)
	return float64(took[n/2]) / 1000, p99
}
