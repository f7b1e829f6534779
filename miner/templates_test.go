package miner

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lode/mempool"
)

// keeper is templates on a real ledger, in a time that is not real, and how often
// the pool was asked for one.
type keeper struct {
	*node
	*Templates
	pool    *hardPool
	syncing atomic.Bool
	now     time.Time
}

func newKeeper(t *testing.T) *keeper {
	k := &keeper{node: newNode(t, unchanged), now: time.Now()}
	k.pool = &hardPool{Pool: k.node.pool}
	return k
}

// during runs a test while the templates are kept up to date.
func (k *keeper) during(t *testing.T, test func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(k.now)) // this time begins in 2000
		k.Templates = NewTemplates(TemplatesConfig{Ledger: k.ledger, Pool: k.pool, Ready: func() error {
			if k.syncing.Load() {
				return ErrSyncing
			}
			return nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = k.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		synctest.Wait()
		test(t)
	})
}

// current asks for a template, which must be there.
func (k *keeper) current(t *testing.T) (*Template, <-chan struct{}) {
	t.Helper()
	tmpl, changed, err := k.Current()
	if err != nil {
		t.Fatal(err)
	}
	if tip := k.ledger.Tip(); tmpl.Tip != tip {
		t.Errorf("a template after %d, and the tip is %d", tmpl.Tip.Height, tip.Height)
	}
	return tmpl, changed
}

func closed(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wantMade checks how many templates were made since the last time.
func (k *keeper) wantMade(t *testing.T, want int64) {
	t.Helper()
	synctest.Wait()
	if got := k.pool.selected.Swap(0); got != want {
		t.Errorf("%d templates were made, want %d", got, want)
	}
}

// TestTemplatesAtTips makes one template at each tip, before anybody asks, and
// gives the same to all.
func TestTemplatesAtTips(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	k.during(t, func(t *testing.T) {
		k.wantMade(t, 0)
		if k.Last() != nil {
			t.Error("there is a template that nobody has asked for")
		}
		first, changed := k.current(t)
		k.wantMade(t, 1)
		for _, b := range k.gen.Extend(3) {
			if closed(changed) {
				t.Fatal("the template is out of date at once")
			}
			if err := k.ledger.AddBlock(b); err != nil {
				t.Fatal(err)
			}
			if !closed(changed) {
				t.Fatal("nobody is told of a new tip")
			}
			k.wantMade(t, 1)
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if again, _ := k.current(t); again == first || again != k.Last() {
						t.Error("not the template that was made last")
					}
				})
			}
			wg.Wait()
			first, changed = k.current(t)
			k.wantMade(t, 0)
		}
	})
}

// TestTemplatesOfPool takes in what came into the pool, but not at every
// transaction.
func TestTemplatesOfPool(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	k.during(t, func(t *testing.T) {
		old, changed := k.current(t)
		time.Sleep(time.Minute)
		k.wantMade(t, 1)
		k.fill(t)
		time.Sleep(refreshEvery + time.Second)
		if !closed(changed) {
			t.Fatal("nobody is told of transactions")
		}
		k.wantMade(t, 1)
		full, changed := k.current(t)
		if len(old.Entries) != 0 || len(full.Entries) != 3 || full.Value <= old.Value || full.Change == old.Change {
			t.Errorf("%d and then %d transactions", len(old.Entries), len(full.Entries))
		}
		// A change just after that waits its turn.
		k.pool.Pool.(*mempool.Pool).Prioritise(full.Entries[0].TxID, 5000)
		if again, _ := k.current(t); again != full {
			t.Error("another template within a moment")
		}
		time.Sleep(2 * refreshEvery)
		if !closed(changed) {
			t.Error("nobody is told of the change")
		}
		k.wantMade(t, 1)
	})
}

// The first template after a tip holds what is in the pool when it is asked for, though
// one was made in the background before that; the next ones wait their turn.
func TestFirstTemplateAtATipHoldsThePool(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	k.during(t, func(t *testing.T) {
		k.current(t)
		if err := k.ledger.AddBlock(k.gen.Extend(1)[0]); err != nil {
			t.Fatal(err)
		}
		k.wantMade(t, 2) // of which one at the new tip, without transactions
		k.fill(t)
		full, _ := k.current(t)
		if len(full.Entries) != 3 {
			t.Errorf("%d transactions, want 3", len(full.Entries))
		}
		for range 2 {
			k.pool.Pool.(*mempool.Pool).Prioritise(full.Entries[0].TxID, 5000)
			if again, _ := k.current(t); again != full {
				t.Error("another template within a moment")
			}
		}
		time.Sleep(refreshEvery + time.Second) // made again in the background
		k.pool.Pool.(*mempool.Pool).Prioritise(full.Entries[0].TxID, 5000)
		last := k.Last()
		if again, _ := k.current(t); again != last || again == full {
			t.Error("another template after the same tip within a moment")
		}
	})
}

// TestTemplatesUnused makes none when nobody has asked for some time; who waits
// for a better one is told to ask.
func TestTemplatesUnused(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	blocks := k.gen.Extend(3)
	add := func(i int) {
		t.Helper()
		if err := k.ledger.AddBlock(blocks[i]); err != nil {
			t.Fatal(err)
		}
	}
	k.during(t, func(t *testing.T) {
		add(0)
		k.wantMade(t, 0)
		_, changed := k.current(t)
		time.Sleep(unusedAfter + 2*refreshEvery)
		k.wantMade(t, 1)
		if !closed(changed) {
			t.Error("who waits is not told that the template is kept no longer")
		}
		add(1)
		time.Sleep(time.Hour)
		k.wantMade(t, 0)
		_, changed = k.current(t) // and then it is kept again
		k.wantMade(t, 1)
		add(2)
		if !closed(changed) {
			t.Error("nobody is told of a new tip")
		}
		k.wantMade(t, 1)
	})
}

// TestTemplatesErrors has no template, and then one.
func TestTemplatesErrors(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	now := k.now
	k.during(t, func(t *testing.T) {
		_, changed := k.current(t)
		k.syncing.Store(true)
		if _, _, err := k.Current(); !errors.Is(err, ErrSyncing) {
			t.Errorf("a node that is syncing: %v", err)
		}
		if err := k.ledger.AddBlock(k.gen.Extend(1)[0]); err != nil {
			t.Fatal(err)
		}
		if closed(changed) {
			t.Error("there is a template meanwhile")
		}
		k.syncing.Store(false)
		time.Sleep(2 * refreshEvery)
		if !closed(changed) {
			t.Error("nobody is told when there is a template again")
		}
		k.current(t)
	})
	// The chain is ahead of a clock by more than it may be.
	behind := NewTemplates(TemplatesConfig{Ledger: k.ledger, Pool: k.pool, Now: func() time.Time { return now.Add(100 * time.Hour) }})
	if _, _, err := behind.Current(); !errors.Is(err, ErrClock) {
		t.Errorf("a clock that is not the ledger's: %v", err)
	}
	if err := k.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := behind.Current(); err == nil {
		t.Error("a template of a closed ledger")
	}
}

// TestLocalAfterLongPause: a tip that comes when no template was asked for in a
// while still gives the miner new work.
func TestLocalAfterLongPause(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	k.during(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		var mu sync.Mutex
		var job *Job
		wg.Go(func() {
			_ = NewLocal(k.Templates, payTo, 0, nil).Run(ctx, func(j *Job) { mu.Lock(); defer mu.Unlock(); job = j })
		})
		given := func() *Job { synctest.Wait(); mu.Lock(); defer mu.Unlock(); return job }
		if given() == nil {
			t.Fatal("no work")
		}
		time.Sleep(2*unusedAfter + time.Second)
		if err := k.ledger.AddBlock(k.gen.Extend(1)[0]); err != nil {
			t.Fatal(err)
		}
		if j := given(); j == nil || j.Prev != k.ledger.Tip().Hash {
			t.Error("no work on the new tip")
		}
	})
}
