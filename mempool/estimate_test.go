package mempool_test

import (
	"context"
	"path/filepath"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
	"lode/mempool/fees"
)

// TestEstimate confirms dear transactions in the next block, and cheap ones after
// five: estimates are between, and there are none before anything was seen.
func TestEstimate(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	w.check(t)
	coins := w.coins()
	unknown := func(target int) {
		t.Helper()
		if rate, blocks, ok := w.pool.Estimate(target, fees.Economical); ok {
			t.Errorf("%d for %d blocks, from nothing", rate, blocks)
		}
	}
	unknown(2)
	const dear, cheap = 5000, 500 // sat, for 111 vB
	var waiting [][]*consensus.Tx
	for i := range 26 {
		var fast, slow []*consensus.Tx
		for k := range 2 {
			fast = append(fast, w.add(t, w.pay(t, dear, 1, coins[4*i+2*k])))
			slow = append(slow, w.add(t, w.pay(t, cheap, 1, coins[4*i+2*k+1])))
		}
		waiting = append(waiting, slow)
		if i >= 5 {
			fast, waiting = append(fast, waiting[0]...), waiting[1:]
		}
		w.confirm(t, fast...)
		w.check(t)
		if i < 3 {
			unknown(2)
		}
	}
	rate := func(fee, size int) mempool.FeeRate { return mempool.FeeRate(fee * 1000 / size) }
	size := 111
	for _, c := range []struct {
		target, blocks int
		want           mempool.FeeRate
	}{{1, 2, rate(dear, size)}, {2, 2, rate(dear, size)}, {12, 12, rate(cheap, size)}, {100, 12, rate(cheap, size)}} {
		got, blocks, ok := w.pool.Estimate(c.target, fees.Economical)
		if !ok || blocks != c.blocks || got < c.want-1 || got > c.want+1 {
			t.Errorf("target %d: %d for %d blocks (%v), want %d for %d", c.target, got, blocks, ok, c.want, c.blocks)
		}
	}
	raw := w.pool.EstimateRaw(fees.Medium, 2, 0.95)
	if d := mempool.FeeRate(raw.Rate) - rate(dear, size); d < -1 || d > 1 || !raw.Fails || raw.Fail.To > raw.Pass.From || raw.Pass.WithinTarget != raw.Pass.Confirmed || raw.Fail.WithinTarget > 0 {
		t.Errorf("what an estimate for 2 blocks looks at: %+v", raw)
	}
	if raw := w.pool.EstimateRaw(fees.Medium, 48, 0); raw.Rate == 0 || raw.Fail.Confirmed > 0 {
		t.Errorf("what an estimate without a threshold looks at: %+v", raw)
	}
}

// TestEstimateAfterSnapshot has a pool that is in use when its ledger begins with
// a snapshot: what confirms after that counts.
func TestEstimateAfterSnapshot(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	name := filepath.Join(t.TempDir(), "snapshot")
	made, err := w.ledger.WriteSnapshot(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: generated, Sigs: w.sigs})
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	if err := ledger.UseSnapshot(t.Context(), name, made.Hash); err != nil {
		t.Fatal(err)
	}
	w.ledger = ledger
	w.pool = w.newPool()
	w.sync(t)
	var headers []consensus.Header
	for _, b := range w.gen.Blocks[1:] {
		headers = append(headers, b.Header)
	}
	tips := make(chan struct{}, 100)
	defer ledger.Subscribe(func() { tips <- struct{}{} })()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- ledger.RunSnapshot(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if err := ledger.AddHeaders(headers); err != nil {
		t.Fatal(err)
	}
	for ledger.Tip().Height < w.gen.Tip().Height {
		<-tips
	}
	w.sync(t)
	w.learn(t, 12)
	if _, _, ok := w.pool.Estimate(2, fees.Economical); !ok {
		t.Error("what was confirmed after the snapshot does not count")
	}
}

func (w *world) sync(t *testing.T) {
	t.Helper()
	if err := w.pool.Sync(); err != nil {
		t.Fatal(err)
	}
}
