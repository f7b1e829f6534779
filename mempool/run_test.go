package mempool_test

import (
	"context"
	"errors"
	"testing"

	"lode/mempool"
)

// TestRunFollowsTheLedger: nobody else says that there is a block, and what it
// contains goes.
func TestRunFollowsTheLedger(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	tx := w.pay(t, 1000, 1, w.coins()[0])
	if err := w.pool.Add(tx); err != nil {
		t.Fatal(err)
	}
	follower := w.pool.Follow()
	defer follower.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.pool.Run(ctx) }()
	w.confirm(t, tx)
	for w.pool.Stats().Count > 0 {
		<-follower.Poked()
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run ended with %v", err)
	}
}

// TestAddWithinALimit: a fee that is more than the limit is refused at last, when
// nothing else is to be said, and leaves nothing in the pool.
func TestAddWithinALimit(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	tx := w.pay(t, 1000, 1, coins[0])
	rate := mempool.FeeRate(1000 * 1000 / tx.VSize())
	for _, least := range []mempool.FeeRate{1, rate - 10} {
		if err := w.pool.AddWithin(tx, least); !errors.Is(err, mempool.ErrMaxFee) || !mempool.IsRefusal(err) {
			t.Errorf("within %d: got %v, want %v", least, err, mempool.ErrMaxFee)
		}
	}
	if n := w.pool.Stats().Count; n != 0 {
		t.Fatalf("there are %d transactions in the pool", n)
	}
	cheap := w.pay(t, 0, 1, coins[1])
	if err := w.pool.AddWithin(cheap, 1); !errors.Is(err, mempool.ErrMinRelayFee) {
		t.Errorf("got %v, want %v", err, mempool.ErrMinRelayFee)
	}
	if err := w.pool.AddWithin(tx, rate+10); err != nil {
		t.Errorf("within %d: %v", rate+10, err)
	}
	if err := w.pool.AddWithin(tx, 1); !errors.Is(err, mempool.ErrKnown) {
		t.Errorf("got %v, want %v", err, mempool.ErrKnown)
	}
}
