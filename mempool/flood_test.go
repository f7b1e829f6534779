package mempool_test

import (
	"flag"
	"testing"
	"time"

	"lode/consensus"
	"lode/mempool"
)

var floodSize = flag.Int("flood.n", 2000, "transactions of a flood; make flood has 100,000")

// TestFlood has one peer send conflicting, dusty, orphaned and chained
// transactions: the pool stays within its limits, what pays well stays in, and
// blocks connect meanwhile. It logs how long they take, with and without.
func TestFlood(t *testing.T) {
	policy := mempool.DefaultPolicy()
	policy.MaxMemory = 500 * txMemory
	w := startWorld(t, policy)
	coins := w.coins()
	honest := w.add(t, w.pay(t, 1_000_000, 1, coins[0]))
	const count = 5 // blocks, each with a payment that the pool has not seen
	var blocks []*consensus.Block
	for _, coin := range coins[len(coins)-2*count:] { // all before the flood, which uses the generator too
		b := w.gen.With(w.pay(t, 1000, 1, coin))
		if err := w.gen.Add(b); err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	connect := func(when <-chan struct{}) (took time.Duration) {
		for _, b := range blocks[:count] {
			<-when
			start := time.Now()
			w.submit(t, b)
			took += time.Since(start)
			if err := w.pool.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		blocks = blocks[count:]
		return took / count
	}
	now, between := make(chan struct{}), make(chan struct{})
	close(now)
	quiet := connect(now)
	most := make(chan int)
	txs := w.flood(t, coins[1:len(coins)-2*count])
	go func() {
		memory := 0
		defer func() { most <- memory }()
		for i := range *floodSize {
			if i%(*floodSize/count) == 0 && i/(*floodSize/count) < count {
				between <- struct{}{} // and the flood goes on while that block comes
			}
			if err := w.pool.Add(txs(i)); err != nil && !mempool.IsRefusal(err) {
				t.Error(err)
			}
			memory = max(memory, w.pool.Stats().Memory)
		}
	}()
	busy := connect(between)
	memory := <-most
	t.Logf("a block takes %v, in the flood %v", quiet, busy)
	w.check(t)
	if memory > policy.MaxMemory {
		t.Errorf("the pool took %d bytes, of at most %d", memory, policy.MaxMemory)
	}
	if _, in := w.pool.ByTxID(honest.TxID()); !in {
		t.Error("the flood drove out what pays best")
	}
}

// flood gives the i-th transaction of a flood over coins: a quarter each
// conflicts, is dust, spends what nobody knows, or goes on a chain.
func (w *world) flood(t *testing.T, coins []consensus.OutPoint) func(i int) *consensus.Tx {
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
