package mempool_test

import (
	"bytes"
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
}

func newIndependent(b *testing.B, n int) *independent {
	b.Helper()
	in := &independent{made: make(map[consensus.Hash]*consensus.Tx)}
	var err error
	if in.ledger, err = chain.Open(chain.Config{Dir: b.TempDir(), Spec: generated}); err != nil {
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
	return in
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
// 4,000,000 weight units, and, at the 99th percentile, an acceptance that evicts
// and a replacement, without signatures. The baseline is the template by
// ancestor score, of the same pool.
func BenchmarkFullPool(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 8))
	pool, infos := mempool.SyntheticFull(random)
	for b.Loop() {
		template := time.Duration(math.MaxInt64)
		var fees consensus.Amount
		for range 5 {
			start := time.Now()
			fees = pool.Fill(4_000_000)
			template = min(template, time.Since(start))
		}
		start := time.Now()
		reference := byAncestorScore(infos, 4_000_000)
		b.ReportMetric(float64(time.Since(start))/float64(template), "x-ancestors")
		b.ReportMetric(float64(fees)/float64(reference), "fees-ancestors")
		b.ReportMetric(float64(template)/1e6, "ms/template")
		p50, p99 := percentiles(10_000, func() { pool.AddSynthetic(random) })
		b.ReportMetric(p50, "µs-evict-p50")
		b.ReportMetric(p99, "µs-evict-p99")
		p50, p99 = percentiles(10_000, func() { pool.ReplaceSynthetic(random) })
		b.ReportMetric(p50, "µs-replace-p50")
		b.ReportMetric(p99, "µs-replace-p99")
		b.ReportMetric(float64(len(infos)), "txs")
	}
}

// percentiles are the median and the 99th of n runs, in microseconds. The latter
// is that of the machine's scheduler where others use it.
func percentiles(n int, run func()) (p50, p99 float64) {
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		run()
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return float64(took[n/2]) / 1000, float64(took[n*99/100]) / 1000
}
