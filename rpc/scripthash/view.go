package scripthash

import (
	"bytes"
	"cmp"
	"slices"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

// PoolTx is an unconfirmed transaction of a script.
type PoolTx struct {
	*mempool.Entry
	Depends bool // on another unconfirmed transaction
}

// Height is what Electrum's protocol says for a height: 0, or -1 for a transaction
// that spends an unconfirmed output.
func (t *PoolTx) Height() int {
	if t.Depends {
		return -1
	}
	return 0
}

// pooled is a transaction of the mempool and what it does to scripts.
type pooled struct {
	*mempool.Entry
	does []effect
}

// effect is what a transaction does to one script.
type effect struct {
	script ID
	chain.AddressTotals
}

// view is the mempool by script. It has no lock of its own.
//
//	event          what changes                                  which scripts are touched
//	add            the transaction, and what it spends           its own, and those of its children
//	remove         likewise                                      its own, and those of its children,
//	                                                             whose coins may all be confirmed now
type view struct {
	txs      map[consensus.Hash]*pooled
	byScript map[ID][]*pooled
	spends   map[consensus.OutPoint]*pooled
	recent   []*mempool.Entry // the last that came, newest last; some may have left
	touched  map[ID]struct{}  // since it was asked last; nil while nobody asks
	changes  uint64           // counts those of the view
}

// Recent is how many transactions are kept as those that came last.
const Recent = 10

func newView() view {
	return view{
		txs: make(map[consensus.Hash]*pooled), byScript: make(map[ID][]*pooled), spends: make(map[consensus.OutPoint]*pooled),
	}
}

// add puts a transaction in, whose coins were found where ok is true.
func (v *view) add(e *mempool.Entry, coins []consensus.Coin, ok []bool) {
	if _, there := v.txs[e.TxID]; there {
		v.remove(e.TxID)
	}
	t := &pooled{Entry: e}
	at := func(script ID) *effect {
		for i := range t.does {
			if t.does[i].script == script {
				return &t.does[i]
			}
		}
		t.does = append(t.does, effect{script, chain.AddressTotals{Txs: 1}})
		return &t.does[len(t.does)-1]
	}
	for i := range e.Tx.In {
		v.spends[e.Tx.In[i].PrevOut] = t
		if ok[i] {
			f := at(OfKey(coins[i].Key))
			f.Spent, f.Inputs = f.Spent+coins[i].Value, f.Inputs+1
		}
	}
	for i := range e.Tx.Out {
		if _, pays := consensus.TaprootKey(e.Tx.Out[i].Script); pays {
			f := at(Of(e.Tx.Out[i].Script))
			f.Received, f.Outputs = f.Received+e.Tx.Out[i].Value, f.Outputs+1
		}
	}
	v.txs[e.TxID] = t
	for i := range t.does {
		v.byScript[t.does[i].script] = append(v.byScript[t.does[i].script], t)
	}
	if v.recent = append(v.recent, e); len(v.recent) > Recent {
		v.recent = v.recent[1:]
	}
	v.touch(t)
}

// remove takes a transaction out, if it is there.
func (v *view) remove(id consensus.Hash) {
	t, ok := v.txs[id]
	if !ok {
		return
	}
	v.touch(t)
	delete(v.txs, id)
	for i := range t.Tx.In {
		if v.spends[t.Tx.In[i].PrevOut] == t {
			delete(v.spends, t.Tx.In[i].PrevOut)
		}
	}
	for i := range t.does {
		script := t.does[i].script
		list := v.byScript[script]
		if at := slices.Index(list, t); at >= 0 {
			list = slices.Delete(list, at, at+1)
		}
		if v.byScript[script] = list; len(list) == 0 {
			delete(v.byScript, script)
		}
	}
}

// touch notes the scripts whose status changes with t.
func (v *view) touch(t *pooled) {
	v.changes++
	if v.touched == nil {
		return
	}
	for i := range t.does {
		v.touched[t.does[i].script] = struct{}{}
	}
	for i := range t.Tx.Out {
		child, ok := v.spends[consensus.OutPoint{TxID: t.TxID, Index: uint32(i)}]
		if !ok {
			continue
		}
		for k := range child.does {
			v.touched[child.does[k].script] = struct{}{}
		}
	}
}

// poolTx describes t as its script sees it.
func (v *view) poolTx(t *pooled) PoolTx {
	depends := slices.ContainsFunc(t.Tx.In, func(in consensus.TxIn) bool { return v.txs[in.PrevOut.TxID] != nil })
	return PoolTx{t.Entry, depends}
}

// less orders as protocol 1.6 does: by falling height, and by the text of the id.
func less(a, b PoolTx) int {
	if c := cmp.Compare(b.Height(), a.Height()); c != 0 {
		return c
	}
	x, y := a.TxID, b.TxID
	slices.Reverse(x[:])
	slices.Reverse(y[:])
	return bytes.Compare(x[:], y[:])
}

// Sort puts unconfirmed transactions in the order of protocol 1.6: those whose coins are
// all confirmed first, then by the text of their ids.
func Sort(txs []PoolTx) { slices.SortFunc(txs, less) }

// pull takes in what has changed in the pool.
func (x *Index) pull() error {
	x.pulling.Lock()
	defer x.pulling.Unlock()
	if err := x.pool.Sync(); err != nil {
		return err
	}
	came, gone, whole := x.from.Changes()
	if len(came) == 0 && len(gone) == 0 && !whole {
		return nil
	}
	coins, found, err := x.coinsOf(came)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if whole {
		gone = gone[:0]
		still := make(map[consensus.Hash]bool, len(came))
		for _, e := range came {
			still[e.TxID] = true
		}
		for id := range x.view.txs {
			if !still[id] {
				gone = append(gone, id)
			}
		}
	}
	for _, id := range gone {
		x.view.remove(id)
	}
	for i, e := range came {
		x.view.add(e, coins[i], found[i])
	}
	return nil
}

// coinsOf finds the coins that transactions spend: those that others of the pool make,
// and those of the ledger. A coin that is not there is spent by a block: then the
// transaction is about to leave, and the block touches the script.
func (x *Index) coinsOf(txs []*mempool.Entry) (coins [][]consensus.Coin, found [][]bool, err error) {
	made := make(map[consensus.Hash]*consensus.Tx, len(txs))
	for _, e := range txs {
		made[e.TxID] = e.Tx
	}
	for _, e := range txs {
		own, ok := make([]consensus.Coin, len(e.Tx.In)), make([]bool, len(e.Tx.In))
		for i := range e.Tx.In {
			o := e.Tx.In[i].PrevOut
			parent := made[o.TxID]
			if parent == nil {
				x.mu.RLock()
				if t := x.view.txs[o.TxID]; t != nil {
					parent = t.Tx
				}
				x.mu.RUnlock()
			}
			if parent != nil && int(o.Index) < len(parent.Out) {
				own[i].Value = parent.Out[o.Index].Value
				own[i].Key, ok[i] = consensus.TaprootKey(parent.Out[o.Index].Script)
				continue
			}
			if own[i], ok[i], err = x.ledger.Coin(o); err != nil {
				return nil, nil, err
			}
		}
		coins, found = append(coins, own), append(found, ok)
	}
	return coins, found, nil
}

// poolTxs lists the unconfirmed transactions of a script.
func (x *Index) poolTxs(id ID) []PoolTx {
	x.mu.RLock()
	defer x.mu.RUnlock()
	list := x.view.byScript[id]
	txs := make([]PoolTx, len(list))
	for i, t := range list {
		txs[i] = x.view.poolTx(t)
	}
	Sort(txs)
	return txs
}

// poolTotals sums up what unconfirmed transactions do to a script.
func (x *Index) poolTotals(id ID) (sum chain.AddressTotals) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, t := range x.view.byScript[id] {
		for i := range t.does {
			if f := &t.does[i]; f.script == id {
				sum.Received, sum.Spent = sum.Received+f.Received, sum.Spent+f.Spent
				sum.Txs, sum.Outputs, sum.Inputs = sum.Txs+1, sum.Outputs+f.Outputs, sum.Inputs+f.Inputs
			}
		}
	}
	return sum
}

// withPool takes out of the unspent outputs of a script those that are spent by
// unconfirmed transactions, and adds those that such make.
func (x *Index) withPool(id ID, outs []Output) []Output {
	x.mu.RLock()
	defer x.mu.RUnlock()
	spent := func(o Output) bool { return x.view.spends[o.OutPoint] != nil }
	outs = slices.DeleteFunc(outs, spent)
	for _, t := range x.view.byScript[id] {
		for i := range t.Tx.Out {
			if o := (Output{OutPoint: consensus.OutPoint{TxID: t.TxID, Index: uint32(i)}, Value: t.Tx.Out[i].Value}); Of(t.Tx.Out[i].Script) == id && !spent(o) {
				outs = append(outs, o)
			}
		}
	}
	return outs
}

// poolSpender finds the unconfirmed transaction that spends a coin.
func (x *Index) poolSpender(o consensus.OutPoint) (Spend, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := x.view.spends[o]
	if t == nil {
		return Spend{}, false
	}
	i := slices.IndexFunc(t.Tx.In, func(in consensus.TxIn) bool { return in.PrevOut == o })
	return Spend{TxID: t.TxID, Input: i}, true
}

// Pooled finds an unconfirmed transaction.
func (x *Index) Pooled(id consensus.Hash) (*mempool.Entry, bool) {
	if x.pull() != nil {
		return nil, false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := x.view.txs[id]
	if t == nil {
		return nil, false
	}
	return t.Entry, true
}

// RecentTxs lists the unconfirmed transactions that came last, the newest first.
func (x *Index) RecentTxs() ([]*mempool.Entry, error) {
	if err := x.pull(); err != nil {
		return nil, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	list := slices.Clone(x.view.recent)
	slices.Reverse(list)
	return list, nil
}
