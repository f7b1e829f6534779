package mempool_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"lode/consensus"
	"lode/mempool"
)

func startWorld(t *testing.T, policy mempool.Policy) *world {
	t.Helper()
	w, done := newWorld(t, policy)
	t.Cleanup(done)
	return w
}

func (w *world) add(t *testing.T, tx *consensus.Tx) *consensus.Tx {
	t.Helper()
	if err := w.pool.Add(tx); err != nil {
		t.Fatal(err)
	}
	return tx
}

func (w *world) refused(t *testing.T, tx *consensus.Tx, kind consensus.ErrorKind) {
	t.Helper()
	if err := w.pool.Add(tx); !errors.Is(err, kind) {
		t.Fatalf("%v, want %s", err, kind)
	}
}

// TestDoubleSpend offers a second spend of a coin: at the same fee, at a higher
// one, and once the first is confirmed.
func TestDoubleSpend(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coin := w.coins()[0]
	a := w.add(t, w.pay(t, 1000, 1, coin))
	child := w.add(t, w.pay(t, 1000, 1, first(a)))
	w.refused(t, a, mempool.ErrKnown)
	w.refused(t, w.pay(t, 1000, 2, coin), mempool.ErrReplaceFee)
	w.refused(t, w.pay(t, 2000, 1, coin), mempool.ErrReplaceFee) // pays for both, not for its relay
	w.refused(t, w.pay(t, 9000, 1, coin, first(child)), mempool.ErrSpendsConflict)
	late := w.pay(t, 90_000, 1, coin)
	b := w.add(t, w.pay(t, 2100, 1, coin))
	if got := ids(w.pool); !slices.Equal(got, []string{b.TxID().String()}) {
		t.Errorf("pool has %v after the replacement", got)
	}
	w.check(t)
	w.confirm(t, a)
	w.check(t)
	if n := w.pool.Stats().Count; n != 0 {
		t.Errorf("%d transactions stay after a conflicting one was confirmed", n)
	}
	w.refused(t, late, consensus.ErrMissingInputs)
	w.refused(t, a, mempool.ErrConfirmed)
}

// TestEviction fills a small pool: the worst go, and what pays less than they did
// does not come in any more, until blocks make room.
func TestEviction(t *testing.T) {
	policy := mempool.DefaultPolicy()
	policy.MaxMemory = 25 * txMemory
	w := startWorld(t, policy)
	coins := w.coins()
	var txs []*consensus.Tx
	for i, coin := range coins[:40] {
		tx := w.pay(t, consensus.Amount(1000+100*i), 1, coin)
		w.add(t, tx)
		txs = append(txs, tx)
		w.check(t)
	}
	s := w.pool.Stats()
	if s.MinFeeRate <= policy.MinRelay || s.Count < 20 {
		t.Errorf("pool %+v", s)
	}
	for i, tx := range txs {
		if _, in := w.pool.ByTxID(tx.TxID()); in != (i >= len(txs)-s.Count) {
			t.Errorf("transaction %d of %d, of %d that stay: %v", i, len(txs), s.Count, in)
		}
	}
	w.refused(t, w.pay(t, 1000, 1, coins[41]), mempool.ErrMempoolFee)
	w.confirm(t, txs[len(txs)-5:]...)
	w.check(t)
	w.now = w.now.Add(10 * 12 * time.Hour / 4) // ten times the shortest half-life of the minimum fee
	w.add(t, w.pay(t, 1000, 1, coins[41]))

	// A cheap parent with a dear child stays; alone it would go.
	policy.MaxMemory = 5 * txMemory
	w = startWorld(t, policy)
	coins = w.coins()
	parent := w.add(t, w.pay(t, 100, 1, coins[0]))
	child := w.add(t, w.pay(t, 50_000, 1, first(parent)))
	for _, coin := range coins[1:8] {
		if err := w.pool.Add(w.pay(t, 3000, 1, coin)); err != nil && !errors.Is(err, mempool.ErrFull) && !errors.Is(err, mempool.ErrMempoolFee) {
			t.Fatal(err)
		}
		w.check(t)
	}
	for _, tx := range []*consensus.Tx{parent, child} {
		if _, in := w.pool.ByTxID(tx.TxID()); !in {
			t.Error("a package that pays best was evicted")
		}
	}
}

// TestLimitsAfterReorg has more come back than the pool may hold, and a chain of
// transactions that is longer than it would have taken.
func TestLimitsAfterReorg(t *testing.T) {
	policy := mempool.DefaultPolicy()
	policy.MaxMemory, policy.MaxCluster = 20*txMemory, 5
	w := startWorld(t, policy)
	coins := w.coins()
	long := []*consensus.Tx{w.pay(t, 1000, 1, coins[0])}
	view := consensus.NewView(w.gen.Coins)
	view.ApplyTx(long[0], long[0].TxID(), 0)
	for range 19 {
		long = append(long, w.payIn(t, view, 1000, first(long[len(long)-1])))
	}
	w.confirm(t, long...)
	var others []*consensus.Tx
	for _, coin := range coins[1:30] {
		others = append(others, w.pay(t, 2000, 1, coin))
	}
	w.confirm(t, others...)
	w.check(t)
	w.reorg(t, 2)
	w.check(t)
	for _, info := range w.pool.All() {
		if info.Ancestors.Count > policy.MaxCluster {
			t.Errorf("%d transactions hang together", info.Ancestors.Count)
		}
	}
	if n := w.pool.Stats().Count; n < 10 {
		t.Errorf("only %d transactions are back", n)
	}
}

// payIn is pay over coins of a view.
func (w *world) payIn(t *testing.T, view *consensus.View, fee consensus.Amount, o consensus.OutPoint) *consensus.Tx {
	t.Helper()
	coin, ok := view.Coin(o)
	if !ok {
		t.Fatalf("no coin %s", o)
	}
	tx := &consensus.Tx{Version: 2, In: []consensus.TxIn{{PrevOut: o, Sequence: 0xffffffff}}, Out: []consensus.TxOut{{Value: coin.Value - fee, Script: w.gen.Script()}}}
	w.gen.Sign(tx, []consensus.Coin{coin})
	view.ApplyTx(tx, tx.TxID(), 0)
	return tx
}

// TestNonstandardStaysOut mines a transaction that the pool would not have taken:
// a reorganization does not bring it in.
func TestNonstandardStaysOut(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coin, _ := w.coin(w.coins()[0])
	tx := w.pay(t, 1000, 1, w.coins()[0])
	tx.Version = 7
	w.gen.Sign(tx, []consensus.Coin{coin})
	w.refused(t, tx, mempool.ErrVersion)
	free := w.pay(t, 0, 1, w.coins()[1]) // too cheap to come in, and not to come back
	w.refused(t, free, mempool.ErrMinRelayFee)
	w.confirm(t, tx, free)
	w.check(t)
	w.reorg(t, 1)
	w.check(t)
	if got := ids(w.pool); !slices.Equal(got, []string{free.TxID().String()}) {
		t.Errorf("pool has %v after the reorganization", got)
	}
}

func TestExpiry(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	old := w.add(t, w.pay(t, 1000, 1, coins[0]))
	w.now = w.now.Add(w.policy.Expiry / 2)
	child := w.add(t, w.pay(t, 1000, 1, first(old)))
	young := w.add(t, w.pay(t, 1000, 1, coins[1]))
	w.reorg(t, 1) // which does not make anything younger
	w.now = w.now.Add(w.policy.Expiry/2 + time.Minute)
	if err := w.pool.Sync(); err != nil { // though no block comes
		t.Fatal(err)
	}
	for tx, want := range map[*consensus.Tx]bool{old: false, child: false, young: true} {
		if _, in := w.pool.ByTxID(tx.TxID()); in != want {
			t.Errorf("%s is there: %v", tx.TxID(), in)
		}
	}
}

// TestTogether adds, selects, asks and mines at the same time, with hooks that
// ask the pool again.
func TestTogether(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	coins := w.coins()
	var txs []*consensus.Tx
	for _, coin := range coins[:60] {
		txs = append(txs, w.pay(t, 1000, 1, coin), w.pay(t, 3000, 2, coin))
	}
	blocks := w.gen.Fork(w.gen.Tip().Height-1, 77).Extend(12)
	w.pool.OnAccept(func(_ *consensus.Tx, txid, _ consensus.Hash, _ int64) { w.pool.Info(txid) })
	defer w.ledger.Subscribe(func() {
		if err := w.pool.Sync(); err != nil {
			t.Error(err)
		}
	})()
	var work, ask sync.WaitGroup
	for i := range 3 {
		work.Go(func() {
			for j := i; j < len(txs); j += 3 {
				if err := w.pool.Add(txs[j]); err != nil && !mempool.IsRefusal(err) {
					t.Error(err)
				}
			}
		})
	}
	work.Go(func() {
		for _, b := range blocks {
			if err := w.ledger.AddBlock(b); err != nil {
				t.Error(err)
			}
		}
	})
	stop, stopAsking := context.WithCancel(ctx)
	for _, call := range []func(){
		func() { w.pool.All() },
		func() { w.pool.Stats() },
		func() {
			if _, err := w.pool.Select(100_000, 1000); err != nil {
				t.Error(err)
			}
		},
	} {
		ask.Go(func() {
			for stop.Err() == nil {
				call()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		work.Wait()
		stopAsking()
		ask.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("the pool and the ledger wait for each other")
	}
}

// TestLongChainsSelect selects from many clusters as large as they may be.
func TestLongChainsSelect(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	view := consensus.NewView(w.gen.Coins)
	for _, coin := range w.coins()[:20] {
		from := coin
		for range 64 {
			tx := w.payIn(t, view, 1000, from)
			w.add(t, tx)
			from = first(tx)
		}
	}
	s, err := w.pool.Select(4_000_000, 80_000)
	if err != nil || len(s.Txs) != 20*64 {
		t.Fatalf("%d transactions: %v", len(s.Txs), err)
	}
}

// TestFamily asks for the relatives of a transaction, in the order in which a miner
// wants them where that is what counts.
func TestFamily(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	cheap := w.add(t, w.pay(t, 100, 2, coins[0]))
	signals := w.vary(t, w.pay(t, 100, 1, coins[1]), func(tx *consensus.Tx) { tx.In[0].Sequence = 0xfffffffd })
	w.add(t, signals)
	child := w.add(t, w.pay(t, 9000, 1, first(cheap), first(signals)))
	last := w.add(t, w.pay(t, 50, 1, consensus.OutPoint{TxID: cheap.TxID(), Index: 1}))
	family := func(list []mempool.Info, ok bool) (ids []consensus.Hash) {
		if !ok {
			t.Fatal("it is not there")
		}
		for _, info := range list {
			ids = append(ids, info.TxID)
			if want := info.TxID == signals.TxID() || info.TxID == child.TxID(); info.Signals != want {
				t.Errorf("%s signals: %v", info.TxID, info.Signals)
			}
		}
		return ids
	}
	for name, c := range map[string]struct{ got, want []consensus.Hash }{
		"ancestors":   {family(w.pool.Ancestors(child.TxID())), []consensus.Hash{cheap.TxID(), signals.TxID()}},
		"descendants": {family(w.pool.Descendants(cheap.TxID())), []consensus.Hash{child.TxID(), last.TxID()}},
		"none":        {family(w.pool.Descendants(child.TxID())), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	order := family(w.pool.Cluster(last.TxID()))
	if ids, _ := w.pool.TxIDs(); !slices.Equal(ids, order) || len(order) != 4 || order[2] != child.TxID() || order[3] != last.TxID() {
		t.Errorf("a cluster of %v, a pool of %v", order, ids)
	}
	size := cheap.Weight() + signals.Weight() + child.Weight()
	if got, want := w.pool.Diagram(), []mempool.Corner{{}, {Weight: size, Fees: 9200}, {Weight: size + last.Weight(), Fees: 9250}}; !slices.Equal(got, want) {
		t.Errorf("diagram %v, want %v", got, want)
	}
	if _, ok := w.pool.Cluster(consensus.Hash{1}); ok {
		t.Error("a cluster of nothing")
	}
}

// TestSelectAgain selects twice: the second time nothing is done, until something
// changes.
func TestSelectAgain(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	coins := w.coins()
	selects := func(weight int) mempool.Selection {
		t.Helper()
		s, err := w.pool.Select(weight, 80_000)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.add(t, w.pay(t, 1000, 1, coins[0]))
	a, again := selects(4_000_000), selects(4_000_000)
	if len(a.Txs) != 1 || &a.Txs[0] != &again.Txs[0] || again.Fees != 1000 {
		t.Errorf("%d transactions, and then others", len(a.Txs))
	}
	if s := selects(400); len(s.Txs) != 0 {
		t.Error("another limit does not count")
	}
	tx := w.add(t, w.pay(t, 1000, 1, coins[1]))
	if s := selects(4_000_000); len(s.Txs) != 2 || s.Fees != 2000 {
		t.Errorf("%d transactions after another has come", len(s.Txs))
	}
	w.pool.Prioritise(tx.TxID(), 5)
	if s := selects(4_000_000); s.Txs[0].TxID != tx.TxID() {
		t.Error("a priority does not count")
	}
	w.confirm(t, tx)
	if s := selects(4_000_000); len(s.Txs) != 1 || s.Tip.Hash != w.gen.Tip().Hash {
		t.Errorf("%d transactions after a block", len(s.Txs))
	}
}
