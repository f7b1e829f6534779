package mempool

import (
	"errors"
	"slices"

	"lode/chain"
	"lode/consensus"
)

// updateLimit is how many blocks are taken from the ledger at a time.
const updateLimit = 16

// maxReturned bounds, in encoded bytes, what comes back into the pool after a
// reorganization. The oldest are kept, on which others may depend.
const maxReturned = 20_000_000

// Sync brings the pool up to date with the ledger. Everything else that needs
// it does so by itself; this is for whoever was told of a new tip.
func (p *Pool) Sync() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Ledger.Read(p.sync)
}

func (p *Pool) sync(r *chain.Reader) error {
	if tip := r.Tip(); !p.synced {
		p.point, p.synced = tip.Hash, true
	} else if tip.Hash == p.point {
		return nil
	}
	var reverted []*consensus.Tx // newest first
	returned, dropped := 0, 0    // bytes
	reorganized := false
	for {
		u, err := r.UpdatesSince(p.point, updateLimit)
		if errors.Is(err, chain.ErrPruned) { // so far behind that the way is gone: what is still valid stays
			p.point, reorganized = r.Tip().Hash, true
			break
		}
		if errors.Is(err, chain.ErrNotFound) && len(p.byTxID) == 0 { // the ledger has begun with a snapshot
			p.point = r.Tip().Hash
			return nil
		}
		if err != nil {
			return err
		}
		for _, block := range u.Reverted {
			reorganized = true
			for _, tx := range slices.Backward(block.Txs[1:]) {
				reverted = append(reverted, tx)
				for returned += tx.Size(); returned-dropped > p.maxReturned; reverted = reverted[1:] {
					dropped += reverted[0].Size()
				}
			}
		}
		for _, block := range u.Applied {
			p.confirm(block)
		}
		if p.point = u.Point; !u.More {
			break
		}
	}
	if dropped > 0 {
		p.cfg.Log.Warn("too many transactions come back after a reorganization: the newest ones are dropped", "bytes", returned, "dropped", dropped)
	}
	if reorganized {
		slices.Reverse(reverted)
		if err := p.rebuild(r, reverted); err != nil {
			return err
		}
	}
	p.expire()
	p.trim()
	return nil
}

// confirm removes what a block contains, and what conflicts with it.
func (p *Pool) confirm(block *consensus.Block) {
	for _, tx := range block.Txs[1:] {
		if n, ok := p.byTxID[tx.TxID()]; ok {
			p.remove(n)
			continue
		}
		for i := range tx.In {
			if n, ok := p.spends[tx.In[i].PrevOut]; ok {
				p.removeWithDescendants(n)
			}
		}
	}
	p.change++
	p.floor /= 2 // there is room again
	if p.floor < p.cfg.Policy.MinRelay/2 {
		p.floor = 0
	}
}

// rebuild empties the pool and takes back first what was in blocks that no
// longer count and then what was there, as far as it is valid now.
func (p *Pool) rebuild(r *chain.Reader, reverted []*consensus.Tx) error {
	old := p.inOrder()
	for _, n := range slices.Backward(old) {
		p.remove(n)
	}
	for _, tx := range reverted {
		if err := p.takeBack(r, tx, nil); err != nil {
			return err
		}
	}
	for _, n := range old {
		if err := p.takeBack(r, n.Tx, &n.Entry); err != nil {
			return err
		}
	}
	return nil
}

// takeBack inserts tx if it is valid now; was is what it was in the pool before,
// if it was there.
func (p *Pool) takeBack(r *chain.Reader, tx *consensus.Tx, was *Entry) error {
	if p.conflicts(tx) {
		return nil
	}
	c, err := p.consider(r, tx, true)
	switch {
	case err != nil && IsRefusal(err):
		return nil
	case err != nil:
		return err
	}
	if was != nil {
		c.entry.Time, c.entry.Height = was.Time, was.Height
	}
	p.insert(c.entry)
	return nil
}

func (p *Pool) conflicts(tx *consensus.Tx) bool {
	for i := range tx.In {
		if _, ok := p.spends[tx.In[i].PrevOut]; ok {
			return true
		}
	}
	return false
}

// expire removes what has waited too long.
func (p *Pool) expire() {
	oldest := p.cfg.Now().Add(-p.cfg.Policy.Expiry)
	for _, n := range p.inOrder() {
		if _, still := p.byTxID[n.TxID]; still && n.Time.Before(oldest) {
			p.removeWithDescendants(n)
		}
	}
}
