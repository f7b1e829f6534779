package mempool_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	"lode/consensus"
	"lode/mempool"
)

var floodSize = flag.Int("flood.n", 2000, "transactions of a flood; make flood has 100,000")

const floodBlocks = 10

// flooded is what a flood has done.
type flooded struct {
	quiet, busy time.Duration // that a block took, the pool brought up to date, in the median
	perSecond   float64       // transactions of the flood
	most        int           // bytes of memory
}

// TestFlood has one peer send conflicting, dusty, orphaned and chained
// transactions: the pool stays within its limits, what pays well stays in, and
// blocks connect meanwhile. It logs how long they take, with and without.
func TestFlood(t *testing.T) {
	f := runFlood(t, *floodSize)
	t.Logf("a block takes %v, in the flood of %.0f transactions a second %v: %.2f times as long", f.quiet, f.perSecond, f.busy, float64(f.busy)/float64(f.quiet))
}

// BenchmarkFlood reports how much longer a block of 200 unknown transactions takes
// while a peer floods the pool as fast as it can take it, which is faster than any
// network.
func BenchmarkFlood(b *testing.B) {
	for b.Loop() {
		f := runFlood(b, 20_000)
		b.ReportMetric(float64(f.quiet)/1e6, "ms/block")
		b.ReportMetric(float64(f.busy)/1e6, "ms/block-flooded")
		b.ReportMetric(float64(f.busy)/float64(f.quiet), "x-quiet")
		b.ReportMetric(f.perSecond, "flood/s")
	}
}

// runFlood connects the same blocks to two nodes, of which one is flooded.
func runFlood(t testing.TB, size int) (f flooded) {
	perBlock := 200 // transactions, none of which the pool has seen
	if testing.Short() {
		perBlock = 20
	}
	policy := mempool.DefaultPolicy()
	policy.MaxMemory = 500 * txMemory
	quiet, doneQuiet := newWorld(t, policy)
	defer doneQuiet()
	busy, doneBusy := newWorld(t, policy)
	defer doneBusy()
	var blocks []*consensus.Block
	add := func(txs ...*consensus.Tx) *consensus.Block {
		b := busy.gen.With(txs...)
		if err := busy.gen.Add(b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	coins := busy.coins() // before the ones for the blocks
	wide := busy.pay(t, 1_000_000, floodBlocks*perBlock, coins[0])
	coins = coins[1:]
	funded := add(wide)
	quiet.submit(t, funded)
	busy.submit(t, funded)
	for i := range floodBlocks {
		var txs []*consensus.Tx
		for k := range perBlock {
			txs = append(txs, busy.pay(t, 1000, 1, consensus.OutPoint{TxID: wide.TxID(), Index: uint32(i*perBlock + k)}))
		}
		blocks = append(blocks, add(txs...))
	}
	honest := busy.pay(t, 1_000_000, 1, coins[0])
	next := busy.flood(t, coins[1:])
	txs := make([]*consensus.Tx, size) // whoever sends them signs them
	for i := range txs {
		txs[i] = next(i)
	}
	connect := func(w *world, when <-chan struct{}) time.Duration {
		took := make([]time.Duration, len(blocks))
		for i, b := range blocks {
			<-when
			start := time.Now()
			w.submit(t, b)
			if err := w.pool.Sync(); err != nil {
				t.Fatal(err)
			}
			took[i] = time.Since(start)
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	now, between := make(chan struct{}), make(chan struct{})
	close(now)
	f.quiet = connect(quiet, now)
	if err := busy.pool.Add(honest); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		start := time.Now()
		for i, tx := range txs {
			if i%(size/floodBlocks) == 0 && i/(size/floodBlocks) < floodBlocks {
				between <- struct{}{} // and the flood goes on while that block comes
			}
			if err := busy.pool.Add(tx); err != nil && !mempool.IsRefusal(err) {
				t.Error(err)
			}
			f.most = max(f.most, busy.pool.Stats().Memory)
		}
		f.perSecond = float64(size) / time.Since(start).Seconds()
	}()
	f.busy = connect(busy, between)
	<-done
	busy.check(t) // and with it the limits of clusters
	if f.most > policy.MaxMemory {
		t.Errorf("the pool took %d bytes, of at most %d", f.most, policy.MaxMemory)
	}
	if _, in := busy.pool.ByTxID(honest.TxID()); !in {
		t.Error("the flood drove out what pays best")
	}
	return f
}

// flood gives the i-th transaction of a flood over coins: a quarter each
// conflicts, is dust, spends what nobody knows, or goes on a chain.
func (w *world) flood(t failer, coins []consensus.OutPoint) func(i int) *consensus.Tx {
	end := coins[1]
	fee := consensus.Amount(0)
	return func(i int) *consensus.Tx {
		switch i % 4 {
		case 0:
			fee = (fee + 20) % 100_000
			return w.pay(t, fee, 1, coins[0])
		case 1:
			tx := w.pay(t, 1000, 1, coins[2+i%70])
			tx.Out[0].Value = 100
			return tx
		case 2:
			tx := w.pay(t, 1000, 1, coins[2+i%70])
			tx.In[0].PrevOut.Index += 1000 + uint32(i)
			return tx
		}
		if _, ok := w.coin(end); !ok || i%(4*70) == 3 {
			end = coins[2+i%70]
		}
		tx := w.outputs(w.pay(t, 1000, 1, end))
		end = first(tx)
		return tx
	}
}
