package mempool_test

import (
	"errors"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lode/consensus"
	"lode/mempool"
)

// txMemory is what a transaction of one input and one output takes in the pool,
// roughly.
const txMemory = 1000

// TestMain runs fewer checks of each property than rapid would by default:
// every one opens a database. -rapid.checks overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", mempool.FewChecks); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestRandomGraphs adds transactions that spend each other and compete, alone and
// in packages, mines some, reorganizes, lets time pass, and recounts everything
// after each step. In the end all goes, and nothing of it is left.
func TestRandomGraphs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := mempool.DefaultPolicy()
		policy.MaxCluster = rapid.SampledFrom([]int{3, 8, 64}).Draw(t, "cluster")
		policy.MaxMemory = rapid.SampledFrom([]int{15 * txMemory, 300_000_000}).Draw(t, "memory")
		w, done := newWorld(t, policy)
		defer done()
		w.versions = rapid.SampledFrom([][]uint32{{2}, {1, 2, 3, 3}}).Draw(t, "versions")
		moves := newMirror(w.pool)
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "add", "add", "add", "together", "package", "package", "prioritise", "block", "foreign", "reorg", "expire"}).Draw(t, "step") {
			case "add":
				w.addRandom(t)
			case "together":
				w.addTogether(t)
			case "package":
				w.addPackage(t)
			case "prioritise":
				if all := w.pool.All(); len(all) > 0 {
					w.pool.Prioritise(rapid.SampledFrom(all).Draw(t, "of").TxID, consensus.Amount(rapid.IntRange(1, 5000).Draw(t, "delta")))
				}
			case "block":
				w.confirmRandom(t)
			case "foreign": // transactions that were never in the pool
				for _, b := range w.gen.Extend(1) {
					w.submit(t, b)
				}
			case "reorg":
				w.reorgAndCompare(t, uint32(rapid.IntRange(1, 3).Draw(t, "depth")))
			case "expire":
				w.now = w.now.Add(100 * time.Hour)
			}
			w.check(t)
			moves.check(t, w)
			w.checkFamilies(t)
			w.checkSelection(t)
			if n, ok := w.pool.BestDiagrams(12); !ok {
				t.Fatalf("one of %d clusters is not in the best order", n)
			}
		}
		w.now = w.now.Add(2 * policy.Expiry)
		w.check(t)
		if s := w.pool.Stats(); s.Count != 0 || s.Memory != 0 || s.VBytes != 0 || s.Fees != 0 {
			t.Fatalf("of an empty pool %+v is left", s)
		}
	})
}

// addPackage offers a parent, which may pay nothing and have dust, and a child.
func (w *world) addPackage(t *rapid.T) {
	choice := w.coins()[:12]
	if pooled := w.pooled(); len(pooled) > 0 && rapid.IntRange(0, 3).Draw(t, "pooled") == 0 {
		choice = append(slices.Clone(choice), pooled...)
	}
	w.version = rapid.SampledFrom(w.versions).Draw(t, "version")
	coin := rapid.SampledFrom(choice).Draw(t, "of")
	parent := w.pay(t, consensus.Amount(rapid.SampledFrom([]int{0, 0, 5, 20, 1000}).Draw(t, "fee")), 2, coin)
	if rapid.Bool().Draw(t, "dusty") {
		parent = w.vary(t, parent, func(tx *consensus.Tx) { // the rest stays in the other output
			tx.Out[0].Value, tx.Out[1].Value = tx.OutputSum()-100, 100
		})
	}
	w.outputs(parent)
	from := []consensus.OutPoint{first(parent)}
	if rapid.Bool().Draw(t, "both") {
		from = append(from, consensus.OutPoint{TxID: parent.TxID(), Index: 1})
	}
	if more := rapid.SampledFrom(choice).Draw(t, "and"); more != coin && rapid.IntRange(0, 3).Draw(t, "more") == 0 {
		from = append(from, more)
	}
	child := w.pay(t, consensus.Amount(rapid.SampledFrom([]int{10, 30, 1000, 5000, 50_000}).Draw(t, "child")), 1, from...)
	txs := []*consensus.Tx{parent, child}
	before := w.pool.Stats()
	if _, err := w.pool.TestPackage(txs); err != nil && !mempool.IsRefusal(err) {
		t.Fatalf("test: %v", err)
	}
	if now := w.pool.Stats(); now.Count != before.Count || now.Memory != before.Memory {
		t.Fatalf("a test has changed the pool from %+v to %+v", before, now)
	}
	res := w.pool.AddPackage(txs, 0)
	if res.Err != nil && !mempool.IsRefusal(res.Err) {
		t.Fatalf("package: %v", res.Err)
	}
	for i, r := range res.Txs {
		if _, in := w.pool.ByTxID(txs[i].TxID()); in != (r.Err == nil) || r.Err == nil && r.Entry == nil {
			t.Fatalf("transaction %d: %+v, and it is there: %v", i, r, in)
		}
		if r.Err != nil && res.Err == nil {
			t.Fatalf("transaction %d: %v, and the package came in", i, r.Err)
		}
	}
	for _, id := range res.Replaced {
		if _, in := w.pool.ByTxID(id); in {
			t.Fatalf("%s is there, though it was replaced", id)
		}
	}
}

// checkFamilies holds the pool to BIP431 and to the spending of dust, which only
// reorganizations may break.
func (w *world) checkFamilies(t *rapid.T) {
	if w.forks > 0 {
		return
	}
	const dust = 330
	for _, info := range w.pool.All() {
		if info.Tx.Version == 3 && (info.Ancestors.Count > 2 || info.Descendants.Count > 2 || len(info.Depends) > 0 && info.Size > 1000) {
			t.Fatalf("%s of version 3 has %d ancestors and %d descendants", info.TxID, info.Ancestors.Count, info.Descendants.Count)
		}
		spends := make(map[consensus.OutPoint]bool)
		for i := range info.Tx.In {
			spends[info.Tx.In[i].PrevOut] = true
		}
		for _, id := range info.Depends {
			parent, _ := w.pool.ByTxID(id)
			if (parent.Version == 3) != (info.Tx.Version == 3) {
				t.Fatalf("%s of version %d spends %s of version %d", info.TxID, info.Tx.Version, id, parent.Version)
			}
			for i := range parent.Out {
				if parent.Out[i].Value < dust && !spends[consensus.OutPoint{TxID: id, Index: uint32(i)}] {
					t.Fatalf("%s leaves dust of %s behind", info.TxID, id)
				}
			}
		}
		if slices.ContainsFunc(info.Tx.Out, func(o consensus.TxOut) bool { return o.Value < dust }) && (info.Fee != 0 || info.Modified != 0) {
			t.Fatalf("%s has dust and pays %d", info.TxID, info.Fee)
		}
	}
}

// drawTx is a transaction over coins that may be spent already.
func (w *world) drawTx(t *rapid.T) (tx *consensus.Tx, fee consensus.Amount) {
	choice := w.coins()[:12] // few, so that they meet
	if pooled := w.pooled(); len(pooled) > 0 {
		choice = append(slices.Clone(choice), pooled...)
	}
	from := rapid.SliceOfNDistinct(rapid.SampledFrom(choice), 1, 3, rapid.ID[consensus.OutPoint]).Draw(t, "from")
	fee = consensus.Amount(rapid.SampledFrom([]int{0, 50, 300, 1000, 1000, 5000, 20_000}).Draw(t, "fee"))
	w.version = rapid.SampledFrom(w.versions).Draw(t, "version")
	return w.pay(t, fee, rapid.IntRange(1, 3).Draw(t, "outputs"), from...), fee
}

// addTogether offers several at once that may conflict, the last of which spends
// the one before.
func (w *world) addTogether(t *rapid.T) {
	var txs []*consensus.Tx
	for range rapid.IntRange(1, 4).Draw(t, "together") {
		tx, _ := w.drawTx(t)
		txs = append(txs, tx)
	}
	last := w.outputs(txs[len(txs)-1])
	txs = append(txs, w.pay(t, 1000, 1, first(last)))
	errs := w.pool.AddAll(txs)
	for i, err := range errs {
		if err != nil && !mempool.IsRefusal(err) {
			t.Fatalf("add: %v", err)
		}
		if err == nil {
			continue
		}
		if _, in := w.pool.ByTxID(txs[i].TxID()); in && !errors.Is(err, mempool.ErrKnown) {
			t.Fatalf("add: %v, and it is there", err)
		}
	}
	if errs[len(txs)-2] == nil && errors.Is(errs[len(txs)-1], consensus.ErrMissingInputs) {
		if _, in := w.pool.ByTxID(last.TxID()); in {
			t.Fatalf("a child is refused whose parent came in with it: %v", errs)
		}
	}
}

// addRandom offers a transaction, first as a test.
func (w *world) addRandom(t *rapid.T) {
	tx, fee := w.drawTx(t)
	before := w.pool.Stats()
	tested, testErr := w.pool.Test(tx)
	w.checkExplanation(t, tx, testErr)
	if now := w.pool.Stats(); now.Count != before.Count || now.Memory != before.Memory {
		t.Fatalf("a test has changed the pool from %+v to %+v", before, now)
	}
	err := w.pool.Add(tx)
	if err != nil && !mempool.IsRefusal(err) {
		t.Fatalf("add: %v", err)
	}
	if reason, _ := mempool.Reason(err); (err == nil) != (testErr == nil) && reason != string(mempool.ErrFull) {
		t.Fatalf("add: %v, but test: %v", err, testErr)
	}
	if testErr == nil && tested.Fee != fee {
		t.Fatalf("fee %d, want %d", tested.Fee, fee)
	}
	if _, in := w.pool.ByTxID(tx.TxID()); in != (err == nil || errors.Is(err, mempool.ErrKnown)) {
		t.Fatalf("add: %v, and it is there: %v", err, in)
	}
}

// confirmRandom mines some of the pool's transactions, each with those that it
// needs.
func (w *world) confirmRandom(t *rapid.T) {
	var txs []*consensus.Tx
	mined := make(map[consensus.Hash]bool)
	for _, info := range w.pool.All() {
		take := rapid.Bool().Draw(t, "mined")
		for _, parent := range info.Depends {
			take = take && mined[parent]
		}
		if take {
			mined[info.TxID] = true
			txs = append(txs, info.Tx)
		}
	}
	w.confirm(t, txs...)
}

// reorgAndCompare reorganizes, and compares the pool with one that was offered
// the same transactions from scratch.
func (w *world) reorgAndCompare(t *rapid.T, depth uint32) {
	if err := w.pool.Sync(); err != nil {
		t.Fatalf("sync: %v", err)
	}
	var offered []*consensus.Tx
	for _, b := range w.gen.Blocks[len(w.gen.Blocks)-int(depth):] {
		offered = append(offered, b.Txs[1:]...)
	}
	for _, info := range w.pool.All() {
		if w.now.Sub(info.Time) <= w.policy.Expiry {
			offered = append(offered, info.Tx)
		}
	}
	w.reorg(t, depth)
	if w.policy.MaxMemory < 1_000_000 || len(w.versions) > 1 {
		return // what is evicted depends on the order, and BIP431 does not hold for what returns
	}
	scratch := w.newPool()
	if err := w.pool.Sync(); err != nil {
		t.Fatalf("sync: %v", err)
	}
	for id, delta := range w.pool.Priorities() {
		scratch.Prioritise(id, delta)
	}
	for _, tx := range offered {
		if err := scratch.Add(tx); err != nil && !mempool.IsRefusal(err) {
			t.Fatalf("add: %v", err)
		}
	}
	if err := w.pool.Sync(); err != nil {
		t.Fatalf("sync: %v", err)
	}
	if got, want := ids(w.pool), ids(scratch); !slices.Equal(got, want) {
		t.Fatalf("after the reorganization the pool has\n%v, from scratch\n%v", got, want)
	}
}

func ids(p *mempool.Pool) (ids []string) {
	for _, info := range p.All() {
		ids = append(ids, info.TxID.String())
	}
	slices.Sort(ids)
	return ids
}
