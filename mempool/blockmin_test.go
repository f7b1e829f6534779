package mempool_test

import (
	"slices"
	"testing"

	"lode/consensus"
	"lode/mempool"
)

// selected are the ids of what a block would have.
func (w *world) selected(t *testing.T, weight int) (ids []consensus.Hash) {
	t.Helper()
	s, err := w.pool.Select(weight, 80_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Txs {
		ids = append(ids, e.TxID)
	}
	return ids
}

// dustyParent adds a parent without a fee and with dust, whose child pays for both
// and spends another coin too.
func (w *world) dustyParent(t *testing.T, parentCoin, childCoin consensus.OutPoint) (parent, child *consensus.Tx) {
	t.Helper()
	coin, _ := w.coin(parentCoin)
	parent = w.pay(t, 0, 2, parentCoin)
	parent.Out[0].Value, parent.Out[1].Value = parent.OutputSum()-100, 100
	w.gen.Sign(parent, []consensus.Coin{coin})
	w.outputs(parent)
	child = w.pay(t, 2000, 1, first(parent), consensus.OutPoint{TxID: parent.TxID(), Index: 1}, childCoin)
	w.pack(t, nil, parent, child)
	return parent, child
}

// TestFreeParentOfReplacedChild replaces the child that paid for its dusty parent:
// the parent must not reach a block on its own.
func TestFreeParentOfReplacedChild(t *testing.T) {
	for _, test := range []struct {
		least mempool.FeeRate
		mined bool
	}{{mempool.DefaultPolicy().BlockMin, false}, {0, true}} {
		policy := mempool.DefaultPolicy()
		policy.BlockMin = test.least
		w := startWorld(t, policy)
		coins := w.coins()
		w.version = 3
		parent, child := w.dustyParent(t, coins[0], coins[1])
		if got := w.selected(t, 4_000_000); !slices.Equal(got, []consensus.Hash{parent.TxID(), child.TxID()}) {
			t.Fatalf("with its child: %v", got)
		}
		w.version = 2
		other := w.add(t, w.pay(t, 20_000, 1, coins[1]))
		if _, ok := w.pool.ByTxID(parent.TxID()); !ok {
			t.Fatal("the parent has left the pool")
		}
		got := w.selected(t, 4_000_000)
		if slices.Contains(got, parent.TxID()) != test.mined || !slices.Contains(got, other.TxID()) {
			t.Errorf("at least %d: selected %v, the parent is %s", test.least, got, parent.TxID())
		}
	}
}

// TestFreeParentOfChildThatMisses has room for the parent but not for the child
// that pays for it.
func TestFreeParentOfChildThatMisses(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	w.version = 3
	parent, child := w.dustyParent(t, coins[0], coins[1])
	room := parent.Weight() + child.Weight()
	if got := w.selected(t, room); len(got) != 2 {
		t.Fatalf("selected %v, want both", got)
	}
	if got := w.selected(t, room-4); len(got) != 0 {
		t.Errorf("selected %v, the parent is %s", got, parent.TxID())
	}
}

// TestBlockMinOfModifiedFees has a transaction count for what it is worth to the
// operator.
func TestBlockMinOfModifiedFees(t *testing.T) {
	for _, least := range []mempool.FeeRate{mempool.DefaultPolicy().BlockMin, 0} {
		policy := mempool.DefaultPolicy()
		policy.BlockMin = least
		w := startWorld(t, policy)
		tx := w.add(t, w.pay(t, 1000, 1, w.coins()[0]))
		for _, step := range []struct {
			delta consensus.Amount
			mined bool
		}{{0, true}, {-999, true}, {-1, least == 0}, {-1, false}, {2, true}} {
			w.pool.Prioritise(tx.TxID(), step.delta)
			if got := len(w.selected(t, 4_000_000)) == 1; got != step.mined {
				t.Errorf("at least %d, prioritised by %d more: selected %v", least, step.delta, got)
			}
		}
	}
}

// TestBlockMinExactly compares rates without rounding.
func TestBlockMinExactly(t *testing.T) {
	policy := mempool.DefaultPolicy()
	w := startWorld(t, policy)
	tx := w.add(t, w.pay(t, 1000, 1, w.coins()[0]))
	exact := mempool.FeeRate(1000 * 4000 / tx.Weight())
	for _, test := range []struct {
		least mempool.FeeRate
		mined bool
	}{{exact, true}, {exact + 1, false}} {
		w.policy.BlockMin = test.least
		w.pool = w.newPool()
		w.add(t, tx)
		if got := len(w.selected(t, 4_000_000)) == 1; got != test.mined {
			t.Errorf("at least %d of %d sat for %d weight units: selected %v", test.least, 1000, tx.Weight(), got)
		}
	}
}

// TestBlockMinCountsWholeVirtualBytes pays 422 sat for 168.5 vB: more than 2,500 sat for
// 1,000 by weight, and less for the 169 that it counts as everywhere else.
func TestBlockMinCountsWholeVirtualBytes(t *testing.T) {
	const least = 2500
	policy := mempool.DefaultPolicy()
	policy.BlockMin = least
	w := startWorld(t, policy)
	coins := w.coins()
	enough := w.pay(t, 0, 1, coins[0], coins[1])
	fee := consensus.Amount((enough.VSize()*2500 + 999) / 1000)
	enough, less := w.add(t, w.pay(t, fee, 1, coins[0], coins[1])), w.add(t, w.pay(t, fee-1, 1, coins[2], coins[3]))
	if by := (fee - 1) * 4000 / consensus.Amount(less.Weight()); by < least {
		t.Fatalf("by weight it pays %d: there is nothing to tell apart", by)
	}
	if got := w.selected(t, 4_000_000); !slices.Equal(got, []consensus.Hash{enough.TxID()}) {
		t.Errorf("selected %v, want only what pays %d sat for %d vB", got, fee, enough.VSize())
	}
}
