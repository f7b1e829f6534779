package mempool

import (
	"context"
	"errors"
	"slices"

	"lode/chain"
	"lode/consensus"
	"lode/internal/poke"
	"lode/mempool/fees"
)

// updateLimit is how many blocks are taken from the ledger at a time.
const updateLimit = 16

// maxReturned bounds, in bytes of memory, what comes back into the pool after a
// reorganization. The oldest are kept, on which others may depend.
const maxReturned = 20_000_000

// Run follows the ledger until ctx ends. The error is one of the ledger.
func (p *Pool) Run(ctx context.Context) error {
	poked := poke.New()
	defer p.cfg.Ledger.Subscribe(func() { poke.Send(poked) })()
	poke.Send(poked) // for what came before
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poked:
		}
		if err := p.Sync(); err != nil {
			return err
		}
	}
}

// Sync brings the pool up to date with the ledger. Everything else that needs
// it does so by itself.
func (p *Pool) Sync() error {
	return p.locked(func(*chain.Reader) error { return nil })
}

func (p *Pool) sync(r *chain.Reader) error {
	if tip := r.Tip(); !p.synced {
		p.point, p.height, p.synced = tip.Hash, tip.Height, true
		p.estimator.Block(tip.Height)
	} else if tip.Hash == p.point {
		p.expire()
		return nil
	}
	var reverted []*consensus.Tx // newest first
	returned, dropped := 0, 0    // bytes
	reorganized := false
	var dependent []*Node // spend what reverted transactions made
	for {
		u, err := r.UpdatesSince(p.point, updateLimit)
		if errors.Is(err, chain.ErrPruned) || errors.Is(err, chain.ErrNotFound) {
			// So far behind that the way is gone, or a block on it is damaged, or
			// the ledger has begun with a snapshot: what is still valid stays.
			p.point, p.height, reorganized = r.Tip().Hash, r.Tip().Height, true
			dependent = p.graph.InOrder()
			break
		}
		if err != nil {
			return err
		}
		for _, block := range u.Reverted {
			reorganized = true
			p.height--
			for _, tx := range slices.Backward(block.Txs[1:]) {
				reverted, dependent = append(reverted, tx), append(dependent, p.graph.Spenders(tx)...)
				for returned += Memory(tx); returned-dropped > p.maxReturned; reverted = reverted[1:] {
					dropped += Memory(reverted[0])
				}
			}
		}
		for _, block := range u.Applied {
			if p.confirm(block); !reorganized {
				p.point = block.Hash() // what the next one takes out was there after this one
			}
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
		if err := p.takeBack(r, reverted, dependent); err != nil {
			return err
		}
	}
	p.expire()
	p.trim()
	return nil
}

// confirm removes what a block contains, and what conflicts with it.
func (p *Pool) confirm(block *consensus.Block) {
	p.height++
	p.estimator.Block(p.height)
	var gone, conflicting []*Node
	var leaving []Move                      // in the order of the block, as Bitcoin Core tells of them
	rivals := make(map[*Node]*consensus.Tx) // what took the coins of those that conflict
	seen, hash := make(map[*Node]bool), block.Hash()
	for _, tx := range block.Txs[1:] {
		if n, ok := p.graph.Tx(tx.TxID()); ok {
			p.estimator.Confirm(n.Mark, int64(n.Rate()))
			n.Mark = fees.Mark{} // it is done
			gone = append(gone, n)
			leaving = append(leaving, Move{Entry: &n.Entry, Left: LeftBlock, By: hash})
			continue
		}
		direct := p.graph.Conflicts(tx)
		for _, n := range direct {
			rivals[n] = tx
		}
		for _, n := range FamilyOf(direct, (*Node).Down) {
			if seen[n] {
				continue
			}
			seen[n], conflicting = true, append(conflicting, n)
			m := Move{Entry: &n.Entry, Left: LeftConflict}
			if rivals[n] != nil {
				m.By = rivals[n].TxID()
			}
			leaving = append(leaving, m)
		}
	}
	for _, tx := range block.Txs[1:] {
		delete(p.deltas, tx.TxID())
	}
	p.removeAll(gone)
	SortBySeq(conflicting)
	p.removeAll(conflicting)
	for _, m := range leaving {
		p.moved(m)
	}
	p.change++
	p.floor.block(p.cfg.Now())
}

// takeBack brings in what was in blocks that no longer count, and then again
// what was there and may not be valid now, or hangs together with those. The
// result is what it would be if all came anew, in this order.
func (p *Pool) takeBack(r *chain.Reader, reverted []*consensus.Tx, dependent []*Node) error {
	var list []*candidate
	var was []*Node
	p.moves.mute = true
	defer func() { p.tookBack(was, list) }()
	for _, tx := range reverted {
		dependent = append(dependent, p.graph.Conflicts(tx)...)
		if c, err := p.prepare(ownCopy(tx)); err == nil {
			list = append(list, c)
		}
	}
	was = p.shaken(dependent)
	for _, n := range was {
		list = append(list, &candidate{Node: &Node{Entry: n.Entry, Usage: n.Usage, Mark: n.Mark}})
		n.Mark = fees.Mark{} // it goes on to wait
	}
	p.removeAll(was)
	for _, c := range list {
		err := p.comeBack(r, c)
		if err != nil {
			p.estimator.Leave(c.Mark)
		}
		if err != nil && !IsRefusal(err) {
			return err
		}
	}
	return nil
}

func (p *Pool) comeBack(r *chain.Reader, c *candidate) error {
	if rivals := p.graph.Conflicts(c.Tx); len(rivals) > 0 {
		return refuse(ErrSpendsConflict, "%s came first", rivals[0].TxID)
	}
	was := c.Entry
	if err := p.examine(r, c, returning); err != nil {
		return err
	}
	// Signatures were verified when it came into the pool, or by the ledger in a
	// block, and are as valid now: they commit to the coins by the ids of the
	// transactions that make them.
	if !was.Time.IsZero() {
		c.Time, c.Height = was.Time, was.Height
	}
	p.commit(c.change)
	if was.Time.IsZero() {
		p.returned = append(p.returned, &c.Entry)
	}
	return nil
}

// shaken lists, parents before children, the clusters of the given transactions
// and of those that may have become invalid by themselves.
func (p *Pool) shaken(nodes []*Node) (all []*Node) {
	seen := make(map[*Cluster]struct{})
	add := func(n *Node) {
		if _, ok := seen[n.Cluster]; ok || n.Cluster == nil { // it is gone
			return
		}
		seen[n.Cluster] = struct{}{}
		all = append(all, n.Cluster.Txs...)
	}
	for _, n := range nodes {
		add(n)
	}
	for n := range p.graph.All() {
		if n.Volatile {
			add(n)
		}
	}
	SortBySeq(all)
	return all
}
