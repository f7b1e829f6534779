package mempool_test

import (
	"errors"
	"slices"
	"testing"

	"lode/consensus"
	"lode/mempool"
)

// cheapParent is a parent of version 3 that pays nothing, and a child.
func (w *world) cheapParent(t *testing.T, fee consensus.Amount, from ...consensus.OutPoint) (parent, child *consensus.Tx) {
	w.version = 3
	defer func() { w.version = 2 }()
	parent = w.outputs(w.pay(t, 0, 1, from...))
	return parent, w.pay(t, fee, 1, first(parent))
}

func (w *world) pack(t *testing.T, want error, txs ...*consensus.Tx) mempool.PackageResult {
	t.Helper()
	res := w.pool.AddPackage(txs, 0)
	if !errors.Is(res.Err, want) {
		t.Fatalf("%v, want %v", res, want)
	}
	w.check(t)
	for i, tx := range txs {
		if _, in := w.pool.ByTxID(tx.TxID()); len(res.Txs) > 0 && in != (res.Txs[i].Err == nil) {
			t.Errorf("transaction %d: %v, and it is there: %v", i, res.Txs[i].Err, in)
		}
	}
	return res
}

// TestPackage has a child pay for its parent, too little for it, and for one that
// replaces another.
func TestPackage(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	var announced []consensus.Hash
	w.pool.OnAccept(func(_ *consensus.Tx, txid, _ consensus.Hash, _ int64) { announced = append(announced, txid) })

	parent, child := w.cheapParent(t, 1000, coins[0])
	w.refused(t, parent, mempool.ErrMinRelayFee)
	if err := w.pool.Add(parent); !mempool.IsTooCheap(err) {
		t.Errorf("a child cannot help: %v", err)
	}
	if err := w.pool.Add(w.pay(t, 1, 1, coins[5])); mempool.IsTooCheap(err) {
		t.Errorf("a child can help one that is below the minimum for all: %v", err)
	}
	w.refused(t, child, consensus.ErrMissingInputs)
	res := w.pack(t, nil, parent, child)
	if !slices.Equal(announced, []consensus.Hash{parent.TxID(), child.TxID()}) {
		t.Errorf("announced %v", announced)
	}
	if want := mempool.FeeRate(1000 * 1000 / (parent.VSize() + child.VSize())); res.Txs[0].Rate != want || len(res.Txs[1].Includes) != 2 {
		t.Errorf("judged as %+v, want a rate of %d", res.Txs, want)
	}
	if s, err := w.pool.Select(4_000_000, 80_000); err != nil || len(s.Txs) != 2 || s.Fees != 1000 {
		t.Errorf("template of %d transactions pays %d: %v", len(s.Txs), s.Fees, err)
	}
	if res := w.pack(t, nil, parent, child); res.Txs[0].Entry == nil || len(res.Txs[0].Includes) > 0 || len(announced) != 2 {
		t.Errorf("the same again: %+v", res)
	}

	// Together they pay less than the minimum.
	poorParent, poorChild := w.cheapParent(t, 20, coins[1])
	res = w.pack(t, mempool.ErrPackageTx, poorParent, poorChild)
	if !errors.Is(res.Txs[1].Err, mempool.ErrMinRelayFee) {
		t.Errorf("%+v", res.Txs)
	}

	// A bad signature of the child keeps the parent out.
	parent, child = w.cheapParent(t, 1000, coins[1])
	child.In[0].Witness[0][10] ^= 1
	res = w.pack(t, mempool.ErrPackageTx, parent, child)
	if !errors.Is(res.Txs[1].Err, consensus.ErrSig) {
		t.Errorf("%+v", res.Txs)
	}

	// A parent that pays for itself comes in whatever the child does.
	rich := w.outputs(w.pay(t, 1000, 1, coins[2]))
	res = w.pack(t, mempool.ErrPackageTx, rich, w.pay(t, 1, 1, first(rich)))
	if res.Txs[0].Err != nil || !errors.Is(res.Txs[1].Err, mempool.ErrMinRelayFee) {
		t.Errorf("%+v", res.Txs)
	}
}

// TestPackageReplaces has a package take the place of a transaction, which its
// parent conflicts with.
func TestPackageReplaces(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	old := w.add(t, w.pay(t, 1000, 1, coins[0]))
	parent, child := w.cheapParent(t, 1010, coins[0])
	w.pack(t, mempool.ErrPackageFee, parent, child) // pays for the other one, not for its relay
	parent, child = w.cheapParent(t, 1500, coins[0])
	w.pack(t, mempool.ErrPackageDiagram, parent, child) // a lower rate
	parent, child = w.cheapParent(t, 3000, coins[0])
	res := w.pack(t, nil, parent, child)
	if !slices.Equal(res.Replaced, []consensus.Hash{old.TxID()}) {
		t.Errorf("replaced %v", res.Replaced)
	}
}

// TestPackageShape refuses what is not a child with its parents.
func TestPackageShape(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	parent, child := w.cheapParent(t, 1000, coins[0])
	other := w.pay(t, 1000, 1, coins[1])
	rival := w.pay(t, 2000, 1, coins[0])
	var many []*consensus.Tx
	for range mempool.MaxPackage + 1 {
		many = append(many, other)
	}
	for _, c := range []struct {
		txs  []*consensus.Tx
		want error
	}{
		{nil, mempool.ErrPackageShape},
		{many, mempool.ErrPackageCount},
		{[]*consensus.Tx{other, other}, mempool.ErrPackageDuplicate},
		{[]*consensus.Tx{child, parent}, mempool.ErrPackageOrder},
		{[]*consensus.Tx{parent, rival}, mempool.ErrPackageConflict},
		{[]*consensus.Tx{other, parent, child}, mempool.ErrPackageShape},
	} {
		w.pack(t, c.want, c.txs...)
	}
	if res := w.pool.AddPackage([]*consensus.Tx{other}, 1); !errors.Is(res.Txs[0].Err, mempool.ErrMaxFeeRate) {
		t.Errorf("%+v", res)
	}
	w.pack(t, nil, other)
}

// TestDustSpent lets a child take the dust of a parent that pays nothing, and
// nobody leave it behind.
func TestDustSpent(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	w.version = 3
	coins := w.coins()
	coin, _ := w.coin(coins[0])
	parent := w.pay(t, 0, 2, coins[0])
	parent.Out[0].Value, parent.Out[1].Value = parent.OutputSum()-100, 100
	w.gen.Sign(parent, []consensus.Coin{coin})
	w.outputs(parent)
	dust := consensus.OutPoint{TxID: parent.TxID(), Index: 1}
	leaves := w.pay(t, 2000, 1, first(parent))
	res := w.pack(t, mempool.ErrPackageDust, parent, leaves)
	if !errors.Is(res.Txs[1].Err, mempool.ErrDustUnspent) {
		t.Errorf("%+v", res.Txs)
	}
	takes := w.pay(t, 2000, 1, first(parent), dust)
	w.pack(t, nil, parent, takes)
	w.refused(t, w.pay(t, 9000, 1, first(parent)), mempool.ErrDustUnspent)
}

// TestTRUC holds transactions of version 3 to small families (BIP431).
func TestTRUC(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	pay := func(version uint32, fee consensus.Amount, outputs int, from ...consensus.OutPoint) *consensus.Tx {
		w.version = version
		return w.pay(t, fee, outputs, from...)
	}
	parent := w.add(t, pay(3, 1000, 3, coins[0]))
	old := w.add(t, pay(2, 1000, 2, coins[1]))
	second := consensus.OutPoint{TxID: parent.TxID(), Index: 1}
	w.refused(t, pay(2, 1000, 1, first(parent)), mempool.ErrTRUC)
	w.refused(t, pay(3, 1000, 1, first(old)), mempool.ErrTRUC)
	w.refused(t, pay(3, 5000, 25, first(parent)), mempool.ErrTRUC) // more than 1,000 vB
	w.refused(t, pay(3, 20_000, 240, coins[2]), mempool.ErrTRUC)   // more than 10,000 vB
	other := w.add(t, pay(3, 1000, 1, coins[3]))
	w.refused(t, pay(3, 1000, 1, first(parent), first(other)), mempool.ErrTRUC)
	child := w.add(t, pay(3, 1000, 2, first(parent)))
	w.refused(t, pay(3, 1000, 1, first(child)), mempool.ErrTRUC)
	// A second child takes the place of the first if it pays for that.
	w.refused(t, pay(3, 1000, 1, second), mempool.ErrReplaceFeeSibling)
	w.add(t, pay(3, 3000, 1, second))
	if _, in := w.pool.ByTxID(child.TxID()); in {
		t.Error("two children of one transaction of version 3")
	}
	w.check(t)

	// In packages too.
	cheap, _ := w.cheapParent(t, 0, coins[4])
	w.pack(t, mempool.ErrTRUC, cheap, pay(2, 1000, 1, first(cheap)))
}

// TestPackageReasons has packages, and what they would replace, refused in the
// words of Bitcoin Core.
func TestPackageReasons(t *testing.T) {
	policy := mempool.DefaultPolicy()
	policy.MaxReplaced, policy.MaxCluster = 2, 3
	w := startWorld(t, policy)
	coins := w.coins()
	pay := func(version uint32, fee consensus.Amount, outputs int, from ...consensus.OutPoint) *consensus.Tx {
		w.version = version
		return w.outputs(w.pay(t, fee, outputs, from...))
	}
	named := func(tx *consensus.Tx) string {
		return "tx " + tx.TxID().String() + " (wtxid=" + tx.WTxID().String() + ")"
	}
	want := func(reason string, txs ...*consensus.Tx) mempool.PackageResult {
		t.Helper()
		res := w.pool.AddPackage(txs, 0)
		got := ""
		if res.Err != nil {
			got = answer(t, res.Err)
		}
		if got != reason {
			t.Errorf("%q, want %q", got, reason)
		}
		w.check(t)
		return res
	}
	var olds []*consensus.Tx
	for _, coin := range coins[:4] {
		olds = append(olds, w.add(t, pay(2, 1000, 1, coin)))
	}

	// Only a parent and its child replace others.
	a, b := pay(2, 500, 1, coins[0]), pay(2, 500, 1, coins[1])
	want("package RBF failed: package must be 1-parent-1-child", a, b, pay(2, 9000, 1, first(a), first(b)))
	want("package RBF failed: new transaction cannot have mempool ancestors", a, pay(2, 9000, 1, first(a), first(olds[1])))
	parent := pay(3, 0, 1, coins[:3]...)
	child := pay(3, 90_000, 1, first(parent))
	want("package RBF failed: too many potential replacements, rejecting replacement "+child.TxID().String()+"; too many conflicting clusters (3 > 2)", parent, child)
	parent = pay(3, 0, 1, coins[0])
	child = pay(3, 999, 1, first(parent))
	want("package RBF failed: insufficient anti-DoS fees, rejecting replacement "+child.TxID().String()+", less fees than conflicting txs; 0.00000999 < 0.00001", parent, child)
	child = pay(3, 1022, 1, first(parent))
	want("package RBF failed: insufficient anti-DoS fees, rejecting replacement "+child.TxID().String()+", not enough additional fees to relay; 0.00000022 < 0.00000023", parent, child)
	want("package RBF failed: insufficient feerate: does not improve feerate diagram", parent, pay(3, 1023, 1, first(parent)))
	// The child must not pay for the relay alone.
	parent = pay(3, 1005, 1, coins[0])
	res := want("package RBF failed: package feerate is less than or equal to parent feerate, package feerate 0.00001798 BTC/kvB <= parent feerate is 0.00009054 BTC/kvB",
		parent, pay(3, 90, 10, first(parent)))
	if len(res.Txs) != 2 || answer(t, res.Txs[0].Err)[:16] != "insufficient fee" {
		t.Errorf("%+v", res.Txs)
	}
	// What is there already takes no part in it.
	parent = pay(3, 0, 1, coins[0])
	w.pack(t, nil, parent, pay(3, 2300, 1, first(parent)))

	// BIP431 holds for each by itself first, and then for all.
	parent = pay(3, 0, 1, first(olds[1]))
	res = want("transaction failed", parent, pay(3, 5000, 1, first(parent)))
	if got := answer(t, res.Txs[0].Err); got != "TRUC-violation, version=3 "+named(parent)+" cannot spend from non-version=3 "+named(olds[1]) {
		t.Errorf("%q", got)
	}
	grand := w.add(t, pay(3, 1000, 2, coins[6]))
	parent = pay(3, 0, 1, coins[7])
	child = pay(3, 9000, 1, first(parent), first(grand))
	want("TRUC-violation, "+named(child)+" would have too many ancestors", parent, child)
	child = pay(2, 9000, 1, first(parent))
	want("TRUC-violation, non-version=3 "+named(child)+" cannot spend from version=3 "+named(parent), parent, child)
	child = pay(3, 20_000, 22, first(parent))
	want("TRUC-violation, version=3 child "+named(child)+" is too big: 1014 > 1000 virtual bytes", parent, child)
	middle := pay(3, 0, 1, first(grand))
	child = pay(3, 5000, 1, first(middle))
	want("TRUC-violation, "+named(child)+" would have too many ancestors", middle, child)
	// A sibling is not evicted for a package.
	w.add(t, pay(3, 1000, 1, first(grand)))
	second := pay(3, 0, 1, consensus.OutPoint{TxID: grand.TxID(), Index: 1})
	res = want("transaction failed", second, pay(3, 5000, 1, first(second)))
	if got := answer(t, res.Txs[0].Err); got != "TRUC-violation, "+named(grand)+" would exceed descendant count limit" {
		t.Errorf("%q", got)
	}

	if res := w.pool.AddPackage([]*consensus.Tx{pay(2, 90_000, 1, coins[7])}, 1000); answer(t, res.Txs[0].Err) != "max feerate exceeded" {
		t.Errorf("%+v", res)
	}
}
