package wallet

import "lode/consensus"

// scanBlock takes up the transactions of the block that comes after the tip.
func (w *Wallet) scanBlock(b *consensus.Block, p Point) error {
	records, err := w.match(b.Txs)
	if err != nil {
		return err
	}
	for _, r := range records {
		r.Height, r.Time = p.Height, b.Time
		w.index(r)
	}
	w.doc.Records = append(w.doc.Records, records...)
	w.doc.addPoint(p)
	w.dirty = true
	return nil
}

// match finds the transactions that pay the wallet or spend from it. If they
// use keys close to the end of those that are watched, more are watched and the
// search starts again: one transaction may use a key that only another one
// brings within reach.
func (w *Wallet) match(txs []*consensus.Tx) ([]*Record, error) {
	for {
		records := w.matchOnce(txs)
		if len(records) == 0 {
			return nil, nil
		}
		w.markUsed(records)
		widened, err := w.widen()
		if err != nil || !widened {
			return records, err
		}
	}
}

// matchOnce looks at what all transactions make before it looks at what any
// spends, so that their order does not matter: a mempool has none.
func (w *Wallet) matchOnce(txs []*consensus.Tx) []*Record {
	makes := make(map[int][]Make)
	made := make(map[consensus.OutPoint]consensus.Amount) // by these transactions
	ids := make(map[int]consensus.Hash)
	for i, tx := range txs {
		for n := range tx.Out {
			path, ok := w.owns(tx.Out[n].Script)
			if !ok {
				continue
			}
			if len(makes[i]) == 0 {
				ids[i] = tx.TxID()
			}
			makes[i] = append(makes[i], Make{uint32(n), tx.Out[n].Value, path})
			made[consensus.OutPoint{TxID: ids[i], Index: uint32(n)}] = tx.Out[n].Value
		}
	}
	var records []*Record
	for i, tx := range txs {
		var spends []Spend
		for n := range tx.In {
			o := tx.In[n].PrevOut
			value, ok := made[o]
			if m, known := w.made[o]; known {
				value, ok = m.Value, true
			}
			if ok {
				spends = append(spends, Spend{o.TxID, o.Index, value})
			}
		}
		if len(spends) == 0 && len(makes[i]) == 0 {
			continue
		}
		r := &Record{TxID: tx.TxID(), Coinbase: tx.IsCoinbase(), Inputs: len(tx.In), Total: tx.OutputSum(), Spends: spends, Makes: makes[i]}
		if len(spends) > 0 {
			r.Pays = w.payees(tx)
		}
		records = append(records, r)
	}
	return records
}

// owns finds the key of the wallet that a script pays.
func (w *Wallet) owns(script []byte) (KeyPath, bool) {
	key, ok := consensus.TaprootKey(script)
	if !ok {
		return KeyPath{}, false
	}
	path, ok := w.keys[key]
	return path, ok
}

// payees gives the outputs of tx that pay others.
func (w *Wallet) payees(tx *consensus.Tx) (list []Payee) {
	for i := range tx.Out {
		key, ok := consensus.TaprootKey(tx.Out[i].Script)
		if _, own := w.keys[key]; ok && !own {
			list = append(list, Payee{consensus.Address(w.spec.Defaults.AddressPrefix, key), tx.Out[i].Value})
		}
	}
	return list
}

// rollBack forgets what was found above a point, which becomes the tip.
func (w *Wallet) rollBack(to Point) {
	d := w.doc
	for len(d.Points) > 0 && d.tip().Height >= to.Height {
		d.Points = d.Points[:len(d.Points)-1]
	}
	if len(d.Points) == 0 {
		d.Start = to // the chain that the wallet began on is gone
	}
	d.Points = append(d.Points, to)
	for n := len(d.Records); n > 0 && d.Records[n-1].Height > to.Height; n-- {
		d.Records = d.Records[:n-1]
	}
	w.reindex()
	w.dirty = true
}

// setPending takes the transactions of a mempool that was read before the last
// block was scanned: those that the blocks contain or contradict are no longer
// pending.
func (w *Wallet) setPending(mempool []*consensus.Tx) error {
	records, err := w.match(mempool)
	if err != nil {
		return err
	}
	pending := []*Record{}
	for _, r := range records {
		gone := false
		for _, m := range r.Makes {
			_, confirmed := w.made[consensus.OutPoint{TxID: r.TxID, Index: m.Index}]
			gone = gone || confirmed
		}
		for _, s := range r.Spends {
			gone = gone || w.spent[s.outPoint()]
		}
		if !gone {
			pending = append(pending, r)
		}
	}
	if len(pending) > 0 || len(w.doc.Pending) > 0 {
		w.dirty = true
	}
	w.doc.Pending = pending
	w.reindex()
	return nil
}
