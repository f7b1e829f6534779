package wallet

import (
	"context"

	"lode/consensus"
)

// concerns reports whether a transaction pays the wallet, spends from it, or
// spends what a transaction of the journal spends.
func (w *Wallet) concerns(tx *consensus.Tx) bool {
	for i := range tx.Out {
		if _, ok := w.keys.find(tx.Out[i].Script); ok {
			return true
		}
	}
	for i := range tx.In {
		o := tx.In[i].PrevOut
		if w.journal.spender.of(o) != nil {
			return true
		}
		if _, ok := w.ours(o); ok {
			return true
		}
	}
	return false
}

// ours finds the output that was paid to the wallet, whatever became of it.
func (w *Wallet) ours(o consensus.OutPoint) (*consensus.TxOut, bool) {
	maker := w.journal.byID.of(o.TxID)
	if maker == nil || uint64(o.Index) >= uint64(len(maker.tx.Out)) {
		return nil, false
	}
	out := &maker.tx.Out[o.Index]
	_, ok := w.keys.find(out.Script)
	return out, ok
}

// see takes up a transaction that concerns the wallet.
func (w *Wallet) see(tx *consensus.Tx) *record {
	id := tx.TxID()
	if w.journal.byID.of(id) == nil {
		w.do(event{kind: evTx, n: uint64(w.now().Unix()), raw: tx.Bytes()})
	}
	return w.journal.byID.of(id)
}

// scanBlock takes up what concerns the wallet in a block of the chain.
func (w *Wallet) scanBlock(ctx context.Context, b *consensus.Block, at Point) error {
	found := false
	for i, tx := range b.Txs {
		if !w.concerns(tx) {
			continue
		}
		r := w.see(tx)
		if r.block.Point != at {
			w.do(event{kind: evBlock, ref: r.id, block: blockRef{at, uint32(i), b.Time}})
		}
		w.keys.mark(tx, useSeen|useConfirmed)
		found = true
	}
	if !found {
		return nil
	}
	return w.derive(ctx)
}

// setPool takes up what a mempool has. It reports whether that has widened a
// window, so that more is to be asked.
func (w *Wallet) setPool(ctx context.Context, a PoolAnswer) (widened bool, err error) {
	w.loaded = a.Loaded
	pooled := make(map[*record]bool)
	for again := true; again; { // a child may come before its parent
		again = false
		for _, tx := range a.Txs {
			if !w.concerns(tx) {
				continue
			}
			if r := w.see(tx); !r.confirmed() && !pooled[r] {
				pooled[r], again = true, true
			}
		}
	}
	for _, r := range w.journal.unconfirmed() {
		// A mempool that is still being read says nothing of what it lacks.
		if is := pooled[r] || r.pooled && !a.Loaded; is != r.pooled {
			r.pooled = is
			r.abandoned = r.abandoned && !is // the node has it after all
			w.do(event{kind: evFlags, ref: r.id, flags: r.flags()})
		}
	}
	w.refresh()
	before := w.keys.byKey.len()
	err = w.widen(ctx)
	return w.keys.byKey.len() > before, err
}

// poolQuery is what the wallet wants to know of a mempool.
func (w *Wallet) poolQuery() (q PoolQuery) {
	w.refresh()
	for _, b := range w.keys.all() {
		q.Keys = append(q.Keys, b.keys...)
	}
	for _, r := range w.journal.unconfirmed() {
		for i := range r.tx.In {
			if o := r.tx.In[i].PrevOut; !o.IsNull() {
				q.Coins = append(q.Coins, o)
			}
		}
	}
	for _, c := range w.allCoins() {
		q.Coins = append(q.Coins, c.OutPoint)
	}
	return q
}
