package mempool

import (
	"cmp"
	"maps"
	"slices"
)

func (n *node) up() map[*node]struct{}   { return n.parents }
func (n *node) down() map[*node]struct{} { return n.children }

// relatives lists n and everything that can be reached from it in the given
// directions, in the order of entry.
func relatives(n *node, directions ...func(*node) map[*node]struct{}) []*node {
	seen := map[*node]struct{}{n: {}}
	reach(seen, -1, directions...)
	return sorted(seen)
}

// descendants sums up n and all that depends on it.
func (n *node) descendants() Family {
	if len(n.children) == 0 {
		return Family{Count: 1, Size: n.Size, Fees: n.Fee}
	}
	return sum(relatives(n, (*node).down))
}

// reach adds to set what can be reached from it, and stops early once it has
// more than limit members, unless limit is negative.
func reach(set map[*node]struct{}, limit int, directions ...func(*node) map[*node]struct{}) {
	queue := slices.Collect(maps.Keys(set))
	for i := 0; i < len(queue); i++ {
		for _, direction := range directions {
			for next := range direction(queue[i]) {
				if _, ok := set[next]; ok {
					continue
				}
				set[next] = struct{}{}
				queue = append(queue, next)
				if limit >= 0 && len(set) > limit {
					return
				}
			}
		}
	}
}

func sorted(set map[*node]struct{}) []*node {
	return slices.SortedFunc(maps.Keys(set), func(a, b *node) int { return cmp.Compare(a.seq, b.seq) })
}

// inOrder lists all transactions, parents before children. The caller holds mu.
func (p *Pool) inOrder() []*node {
	return slices.SortedFunc(maps.Values(p.byTxID), func(a, b *node) int { return cmp.Compare(a.seq, b.seq) })
}

// insert puts an entry whose place is free among the others. The caller holds
// mu.
func (p *Pool) insert(e *Entry) *node {
	p.seq++
	n := &node{Entry: *e, seq: p.seq, bytes: e.Tx.Size(), parents: make(map[*node]struct{}), children: make(map[*node]struct{})}
	for i := range e.Tx.In {
		o := e.Tx.In[i].PrevOut
		if parent, ok := p.byTxID[o.TxID]; ok {
			n.parents[parent] = struct{}{}
			parent.children[n] = struct{}{}
		}
		p.spends[o] = n
	}
	p.byTxID[n.TxID], p.byWTxID[n.WTxID] = n, n
	p.bytes += n.bytes
	p.vbytes += n.Size
	p.fees += n.Fee
	p.change++
	return n
}

// remove takes one transaction out. Its children, if it has any, must follow,
// or it must have become part of the chain. The caller holds mu.
func (p *Pool) remove(n *node) {
	for parent := range n.parents {
		delete(parent.children, n)
	}
	for child := range n.children {
		delete(child.parents, n)
	}
	for i := range n.Tx.In {
		delete(p.spends, n.Tx.In[i].PrevOut)
	}
	delete(p.byTxID, n.TxID)
	delete(p.byWTxID, n.WTxID)
	p.bytes -= n.bytes
	p.vbytes -= n.Size
	p.fees -= n.Fee
	p.change++
}

// removeWithDescendants takes out n and everything that spends from it.
func (p *Pool) removeWithDescendants(n *node) {
	for _, d := range slices.Backward(relatives(n, (*node).down)) {
		p.remove(d)
	}
}
