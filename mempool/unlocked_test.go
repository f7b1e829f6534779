package mempool_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
)

// asking is a verifier that asks the pool, from elsewhere, while it verifies.
type asking struct {
	*sigcheck.Checker
	t *testing.T

	mu    sync.Mutex // guards what follows
	pool  *mempool.Pool
	calls int
}

func (v *asking) Verify(checks []consensus.SpendCheck) error {
	v.mu.Lock()
	pool := v.pool
	v.calls++
	v.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pool.Stats()
		pool.Info(checks[0].TxID)
		pool.Spends(consensus.OutPoint{})
		if _, err := pool.Select(4_000_000, 80_000); err != nil {
			v.t.Error(err)
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute): // which only a pool that is locked takes
		v.t.Error("the pool does not answer while signatures are verified")
	}
	return v.Checker.Verify(checks)
}

// TestVerifiedUnlocked has the pool answer while it verifies what comes in by
// each of the ways that there are. What a reorganization returns is not verified
// again.
func TestVerifiedUnlocked(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	v := &asking{Checker: w.sigs, t: t}
	pool := mempool.New(mempool.Config{Ledger: w.ledger, Sigs: v, Policy: w.policy, Now: func() time.Time { return w.now }})
	w.pool, v.pool = pool, pool
	path := filepath.Join(t.TempDir(), "mempool.dat")
	pool.Load(t.Context(), path)
	coins := w.coins()
	verified := func(name string, least int, do func()) {
		t.Helper()
		before := v.calls
		if do(); v.calls < before+least || least == 0 && v.calls > before {
			t.Errorf("%s: verified %d times, want %d", name, v.calls-before, least)
		}
	}
	tx := w.pay(t, 1000, 1, coins[0])
	verified("Test", 1, func() {
		if _, err := pool.Test(tx); err != nil {
			t.Error(err)
		}
	})
	verified("Add", 1, func() { w.add(t, tx) })
	bad := w.pay(t, 1000, 1, coins[1])
	bad.In[0].Witness[0][7] ^= 1
	verified("AddAll", 3, func() { // together, and then one by one
		errs := pool.AddAll([]*consensus.Tx{w.pay(t, 1000, 1, coins[2]), bad})
		if errs[0] != nil || errs[1] == nil {
			t.Error(errs)
		}
	})
	parent, child := w.cheapParent(t, 1000, coins[3])
	verified("AddPackage", 1, func() { w.pack(t, nil, parent, child) })
	free, other := w.cheapParent(t, 1000, coins[4])
	verified("TestPackage", 1, func() {
		if res, err := pool.TestPackage([]*consensus.Tx{w.pay(t, 1000, 1, coins[5]), w.pay(t, 1000, 1, coins[6])}); err != nil || res[1].Err != nil {
			t.Error(res, err)
		}
	})
	if err := pool.Save(path); err != nil {
		t.Fatal(err)
	}
	verified("Load", 1, func() {
		v.pool = mempool.New(mempool.Config{Ledger: w.ledger, Sigs: v, Policy: w.policy, Now: func() time.Time { return w.now }})
		v.pool.Load(t.Context(), path)
		if n := v.pool.Stats().Count; n != pool.Stats().Count {
			t.Errorf("%d transactions are back", n)
		}
		v.pool = pool
	})
	verified("a block", 0, func() { w.confirm(t, tx, free, other) })
	verified("a reorganization", 0, func() {
		w.check(t)
		w.reorg(t, 1)
		w.check(t)
	})
	for _, tx := range []*consensus.Tx{tx, free, other} {
		if _, in := pool.ByTxID(tx.TxID()); !in {
			t.Error("what the reorganization returned is not there")
		}
	}
}

// during is a verifier that does something the first time.
type during struct {
	*sigcheck.Checker
	do func()
}

func (v *during) Verify(checks []consensus.SpendCheck) error {
	if do := v.do; do != nil {
		v.do = nil
		do()
	}
	return v.Checker.Verify(checks)
}

// TestPrioritisedMeanwhile prioritises what is being verified: it comes in as that.
func TestPrioritisedMeanwhile(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	v := &during{Checker: w.sigs}
	w.pool = mempool.New(mempool.Config{Ledger: w.ledger, Sigs: v, Policy: w.policy, Now: func() time.Time { return w.now }})
	coins := w.coins()
	tx := w.pay(t, 1000, 1, coins[0])
	v.do = func() { w.pool.Prioritise(tx.TxID(), 500) }
	w.add(t, tx)
	parent, child := w.cheapParent(t, 1000, coins[1])
	v.do = func() { w.pool.Prioritise(child.TxID(), 500) }
	w.pack(t, nil, parent, child)
	for _, id := range []consensus.Hash{tx.TxID(), child.TxID()} {
		if info, _ := w.pool.Info(id); info.Modified != 1500 {
			t.Errorf("%s has the fee %d, want 1500", id, info.Modified)
		}
	}
	w.check(t)

	// What would not come in any more does not.
	cheap := w.pay(t, 1000, 1, coins[2])
	v.do = func() { w.pool.Prioritise(cheap.TxID(), -1000) }
	if err := w.pool.Add(cheap); !mempool.IsTooCheap(err) && !errors.Is(err, mempool.ErrMinRelayFee) {
		t.Errorf("%v, want a fee that is too low", err)
	}
	w.check(t)
}
