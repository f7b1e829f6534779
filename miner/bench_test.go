package miner

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/testnet/chaingen"
)

var benchSpec = chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })

// benchNode is an empty ledger, and a pool on it.
func benchNode(b *testing.B) (*chain.Chain, *mempool.Pool) {
	b.Helper()
	sigs := sigcheck.New(0)
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: b.TempDir(), Spec: benchSpec, Sigs: sigs})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ledger.Close() })
	return ledger, mempool.New(mempool.Config{Ledger: ledger, Sigs: sigs, Policy: mempool.DefaultPolicy()})
}

// watchedLedger measures how long those who are told of a new tip take until no
// thread works on the old one.
type watchedLedger struct {
	hardLedger
	workers *Workers

	mu   sync.Mutex // guards what follows
	took []time.Duration
}

func (l *watchedLedger) Subscribe(poke func()) (cancel func()) {
	return l.hardLedger.Subscribe(func() {
		began, old := time.Now(), l.workers.current.Load()
		poke()
		if old == nil || l.workers.current.Load() == old {
			return // it was not the miner that was told
		}
		for old.working.Load() > 0 {
			runtime.Gosched()
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.took = append(l.took, time.Since(began))
	})
}

// BenchmarkNewTip measures how long it takes from the moment when the ledger tells
// of a new tip until the last thread has left the job on the old one.
func BenchmarkNewTip(b *testing.B) {
	blocks := chaingen.New(&benchSpec.Rules, chaingen.Params{Seed: 1}).Extend(b.N)
	ledger, pool := benchNode(b)
	watched := &watchedLedger{hardLedger: hardLedger{ledger}, workers: NewWorkers(0, nil)}
	watched.workers.YieldTo(ledger.Busy)
	templates := NewTemplates(TemplatesConfig{Ledger: watched, Pool: pool})
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = templates.Run(ctx) })
	wg.Go(func() { _ = New(NewLocal(templates, payTo, 0, nil), watched.workers, nil).Run(ctx) })
	for b.ResetTimer(); len(blocks) > 0; blocks = blocks[1:] {
		for s := watched.workers.current.Load(); s == nil || int(s.working.Load()) < watched.workers.Threads(); s = watched.workers.current.Load() {
			time.Sleep(time.Millisecond)
		}
		if err := ledger.AddBlock(blocks[0]); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	watched.mu.Lock()
	defer watched.mu.Unlock()
	slices.Sort(watched.took)
	if n := len(watched.took); n > 0 {
		b.ReportMetric(float64(watched.took[n/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(watched.took[n*99/100].Microseconds()), "p99-µs")
	}
}

// BenchmarkValidationWhileMining connects the same blocks without a miner in the
// process and with one on all cores, in turns, and gives how many times as long
// the second takes.
func BenchmarkValidationWhileMining(b *testing.B) {
	const count = 40
	blocks := chaingen.New(&benchSpec.Rules, chaingen.Params{Seed: 2, Txs: 500, Inputs: 2, Outputs: 3, Fee: 1000}).Extend(count)
	connect := func(mining bool) (took time.Duration) {
		ledger, pool := benchNode(b)
		if mining {
			w := NewWorkers(0, nil)
			w.YieldTo(ledger.Busy)
			templates := NewTemplates(TemplatesConfig{Ledger: hardLedger{ledger}, Pool: pool})
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer cancel()
			wg.Go(func() { _ = templates.Run(ctx) })
			wg.Go(func() { _ = New(NewLocal(templates, payTo, 0, nil), w, nil).Run(ctx) })
			for s := w.current.Load(); s == nil || int(s.working.Load()) < w.Threads(); s = w.current.Load() {
				time.Sleep(time.Millisecond)
			}
		}
		began := time.Now()
		for _, block := range blocks {
			if err := ledger.AddBlock(block); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(began)
	}
	var alone, beside time.Duration
	for range b.N {
		alone += connect(false)
		beside += connect(true)
	}
	b.ReportMetric(beside.Seconds()/alone.Seconds(), "x-of-alone")
	b.ReportMetric(float64(alone.Microseconds())/float64(b.N*count), "alone-µs/block")
}
