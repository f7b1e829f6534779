package mempool_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
	"lode/mempool"
)

// copyOf follows a pool.
type copyOf map[consensus.Hash]bool

// take brings the copy up to date, and checks that parents come before children.
func (c copyOf) take(t failer, f *mempool.Follower) (whole bool) {
	t.Helper()
	came, gone, whole := f.Changes()
	if whole {
		clear(c)
	}
	for _, id := range gone {
		delete(c, id)
	}
	ids := make(map[consensus.Hash]int)
	for i, e := range came {
		ids[e.TxID] = i
	}
	for i, e := range came {
		for _, in := range e.Tx.In {
			if at, ok := ids[in.PrevOut.TxID]; ok && at > i {
				t.Fatalf("%s comes before its parent", e.TxID)
			}
		}
		c[e.TxID] = true
	}
	return whole
}

// TestFollowerSeesEveryChange has a pool live through whatever happens to it: who
// takes all changes, at whatever times, has what the pool has.
func TestFollowerSeesEveryChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, done := newWorld(t, mempool.DefaultPolicy())
		defer done()
		f := w.pool.Follow()
		defer f.Close()
		have := make(copyOf)
		if !have.take(t, f) {
			t.Fatalf("the first time it is not given the whole pool")
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "child", "replace", "confirm", "reorg"}).Draw(t, "step") {
			case "add":
				_ = w.pool.Add(w.pay(t, 1000, 2, w.coins()[rapid.IntRange(0, 20).Draw(t, "coin")]))
			case "child":
				if made := w.pooled(); len(made) > 0 {
					_ = w.pool.Add(w.pay(t, 1000, 1, rapid.SampledFrom(made).Draw(t, "parent")))
				}
			case "replace":
				_ = w.pool.Add(w.pay(t, 9000, 1, w.coins()[rapid.IntRange(0, 20).Draw(t, "coin")]))
			case "confirm":
				for _, info := range w.pool.All()[:min(1, len(w.pool.All()))] {
					w.confirm(t, info.Tx)
				}
			case "reorg":
				w.reorg(t, uint32(rapid.IntRange(1, 3).Draw(t, "depth")))
			}
			if err := w.pool.Sync(); err != nil {
				t.Fatalf("%v", err)
			}
			if rapid.Bool().Draw(t, "take") {
				have.take(t, f)
			}
		}
		have.take(t, f)
		ids, _ := w.pool.TxIDs()
		got := slices.Collect(maps.Keys(have))
		for _, list := range [][]consensus.Hash{ids, got} {
			slices.SortFunc(list, func(a, b consensus.Hash) int { return slices.Compare(a[:], b[:]) })
		}
		if !slices.Equal(ids, got) {
			t.Fatalf("%d transactions, the pool has %d", len(got), len(ids))
		}
	})
}

// TestFollowerIsPoked: there is something to receive after a change and not before,
// and nothing is kept for who has left.
func TestFollowerIsPoked(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	f, left := w.pool.Follow(), w.pool.Follow()
	left.Close()
	f.Changes()
	poked := func(f *mempool.Follower) bool {
		select {
		case <-f.Poked():
			return true
		default:
			return false
		}
	}
	if poked(f) {
		t.Error("poked before anything has changed")
	}
	tx := w.add(t, w.pay(t, 1000, 1, w.coins()[0]))
	if !poked(f) || poked(left) {
		t.Error("not poked, or one that has left was")
	}
	came, gone, whole := f.Changes()
	if len(came) != 1 || came[0].TxID != tx.TxID() || len(gone) > 0 || whole {
		t.Errorf("%d came, %d gone, whole: %t", len(came), len(gone), whole)
	}
	w.confirm(t, tx)
	if err := w.pool.Sync(); err != nil {
		t.Fatal(err)
	}
	if came, gone, whole = f.Changes(); len(came) > 0 || len(gone) != 1 || gone[0] != tx.TxID() || whole {
		t.Errorf("%d came, %v gone, whole: %t", len(came), gone, whole)
	}
	f.Close()
}
