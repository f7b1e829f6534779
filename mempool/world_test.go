package mempool_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"pgregory.net/rapid"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/testnet/chaingen"
)

var generated = chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })

// failer is a test or one check of a property.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a ledger, a pool on top of it, and a copy of the active chain whose
// coins it can spend.
type world struct {
	left   []consensus.Hash // what nobody had asked for, of the file that was loaded last
	ledger *chain.Chain
	sigs   *sigcheck.Checker
	pool   *mempool.Pool
	policy mempool.Policy
	gen    *chaingen.Chain
	now    time.Time
	forks  uint64

	version  uint32          // of what pay makes
	versions []uint32        // of random transactions
	made     consensus.Coins // by transactions that may be nowhere, see outputs
}

// newWorld begins with about a hundred coins. The caller calls done in the end.
func newWorld(t failer, policy mempool.Policy) (w *world, done func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pool")
	if err != nil {
		t.Fatalf("%v", err)
	}
	w = &world{sigs: sigcheck.New(10_000), policy: policy, version: 2, versions: []uint32{2}, made: make(consensus.Coins), now: time.Unix(1_700_000_000, 0)}
	w.ledger, err = chain.Open(context.Background(), chain.Config{Dir: dir, Spec: generated, Sigs: w.sigs})
	if err != nil {
		t.Fatalf("%v", err)
	}
	w.pool = w.newPool()
	w.gen = chaingen.New(&generated.Rules, chaingen.Params{Seed: 11, Txs: 4, Inputs: 1, Outputs: 5, Fee: 2000})
	for _, b := range w.gen.Extend(8) {
		w.submit(t, b)
	}
	return w, func() {
		w.ledger.Close()
		os.RemoveAll(dir)
	}
}

func (w *world) newPool() *mempool.Pool {
	return mempool.New(mempool.Config{Ledger: w.ledger, Sigs: w.sigs, Policy: w.policy, Now: func() time.Time { return w.now }})
}

func (w *world) submit(t failer, b *consensus.Block) {
	t.Helper()
	if err := w.ledger.AddBlock(b); err != nil {
		t.Fatalf("block: %v", err)
	}
}

// confirm mines a block with these transactions.
func (w *world) confirm(t failer, txs ...*consensus.Tx) {
	t.Helper()
	b := w.gen.With(txs...)
	if err := w.gen.Add(b); err != nil {
		t.Fatalf("block: %v", err)
	}
	w.submit(t, b)
}

// reorg replaces the last blocks by one empty block more.
func (w *world) reorg(t failer, depth uint32) {
	t.Helper()
	w.forks++
	w.gen = w.gen.Fork(w.gen.Tip().Height-depth, w.forks)
	for range depth + 1 {
		w.confirm(t)
	}
}

// coins lists the confirmed coins, oldest first.
func (w *world) coins() []consensus.OutPoint {
	return slices.SortedFunc(maps.Keys(w.gen.Coins), func(a, b consensus.OutPoint) int {
		return int(w.gen.Coins[a].Height)<<8 - int(w.gen.Coins[b].Height)<<8 + slices.Compare(a.TxID[:], b.TxID[:])*2 + min(max(int(a.Index)-int(b.Index), -1), 1)
	})
}

// pooled lists the coins that transactions of the pool make.
func (w *world) pooled() (made []consensus.OutPoint) {
	for _, info := range w.pool.All() {
		for i := range info.Tx.Out {
			made = append(made, consensus.OutPoint{TxID: info.TxID, Index: uint32(i)})
		}
	}
	return made
}

// coin finds a coin that is confirmed or made in the pool.
func (w *world) coin(o consensus.OutPoint) (consensus.Coin, bool) {
	if coin, ok := w.gen.Coins[o]; ok {
		return coin, true
	}
	if coin, ok := w.made[o]; ok {
		return coin, true
	}
	tx, ok := w.pool.ByTxID(o.TxID)
	if !ok || int(o.Index) >= len(tx.Out) {
		return consensus.Coin{}, false
	}
	key, ok := consensus.TaprootKey(tx.Out[o.Index].Script)
	return consensus.Coin{Value: tx.Out[o.Index].Value, Key: key}, ok
}

// pay is a signed transaction that spends coins, pays a fee, and shares the rest
// out evenly.
func (w *world) pay(t failer, fee consensus.Amount, outputs int, from ...consensus.OutPoint) *consensus.Tx {
	t.Helper()
	tx := &consensus.Tx{Version: w.version}
	coins := make([]consensus.Coin, len(from))
	left := -fee
	for i, o := range from {
		coin, ok := w.coin(o)
		if !ok {
			t.Fatalf("no coin %s", o)
		}
		coins[i], left = coin, left+coin.Value
		tx.In = append(tx.In, consensus.TxIn{PrevOut: o, Sequence: 0xffffffff})
	}
	for range outputs {
		tx.Out = append(tx.Out, consensus.TxOut{Value: left / consensus.Amount(outputs), Script: w.gen.Script()})
	}
	tx.Out[0].Value += left % consensus.Amount(outputs)
	w.gen.Sign(tx, coins)
	return tx
}

// outputs lets pay spend what tx makes, which may be nowhere.
func (w *world) outputs(tx *consensus.Tx) *consensus.Tx {
	id := tx.TxID()
	for i := range tx.Out {
		if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok {
			w.made[consensus.OutPoint{TxID: id, Index: uint32(i)}] = consensus.Coin{Value: tx.Out[i].Value, Key: key}
		}
	}
	return tx
}

// first is the first output of a transaction.
func first(tx *consensus.Tx) consensus.OutPoint { return consensus.OutPoint{TxID: tx.TxID()} }

// check holds the pool against a recount of everything.
func (w *world) check(t failer) {
	t.Helper()
	if err := w.pool.Sync(); err != nil {
		t.Fatalf("sync: %v", err)
	}
	var vbytes int
	var fees consensus.Amount
	seen := make(map[consensus.Hash]*consensus.Tx)
	spentBy := make(map[consensus.OutPoint]consensus.Hash)
	all := w.pool.All()
	for _, info := range all {
		var in consensus.Amount
		depends := make(map[consensus.Hash]bool)
		for i := range info.Tx.In {
			o := info.Tx.In[i].PrevOut
			if other, twice := spentBy[o]; twice {
				t.Fatalf("%s is spent by %s and %s", o, other, info.TxID)
			}
			spentBy[o] = info.TxID
			if !w.pool.Spends(o) {
				t.Fatalf("%s does not count as spent", o)
			}
			if parent, ok := seen[o.TxID]; ok {
				depends[o.TxID] = true
				in += parent.Out[o.Index].Value
			} else if coin, ok := w.gen.Coins[o]; ok {
				in += coin.Value
			} else {
				t.Fatalf("%s spends %s, which is not there", info.TxID, o)
			}
		}
		if len(depends) != len(info.Depends) || info.Fee != in-info.Tx.OutputSum() {
			t.Fatalf("%s: %d parents and fee %d, want %d and %d", info.TxID, len(info.Depends), info.Fee, len(depends), in-info.Tx.OutputSum())
		}
		seen[info.TxID] = info.Tx
		vbytes, fees = vbytes+info.Tx.VSize(), fees+info.Fee
	}
	if err := w.pool.Verify(); err != nil {
		t.Fatalf("%v", err)
	}
	if s := w.pool.Stats(); s.Count != len(all) || s.VBytes != vbytes || s.Fees != fees || s.Memory > w.policy.MaxMemory {
		t.Fatalf("pool says %+v, a recount %d transactions, %d vB, %d sat", s, len(all), vbytes, fees)
	}
}

// checkSelection selects within limits that are drawn, and checks order, limits
// and sums.
func (w *world) checkSelection(t *rapid.T) {
	weight, sigops := rapid.IntRange(0, 20_000).Draw(t, "weight"), rapid.IntRange(0, 1000).Draw(t, "sigops")
	s, err := w.pool.Select(weight, sigops)
	if err != nil {
		t.Fatalf("select: %v", err)
	}
	if s.Tip.Hash != w.gen.Tip().Hash {
		t.Fatalf("selected for %s, not for the tip", s.Tip.Hash)
	}
	view := consensus.NewView(w.gen.Coins)
	var fees consensus.Amount
	for _, e := range s.Txs {
		if _, missing, ok := view.Inputs(e.Tx); !ok {
			t.Fatalf("%s comes before what makes %s", e.TxID, missing)
		}
		view.ApplyTx(e.Tx, e.TxID, s.Tip.Height+1)
		weight, sigops, fees = weight-e.Tx.Weight(), sigops-e.Tx.SigopsCost(), fees+e.Fee
	}
	if weight < 0 || sigops < 0 || fees != s.Fees {
		t.Fatalf("%d weight and %d sigops are left, fees %d, said to be %d", weight, sigops, fees, s.Fees)
	}
}
