package mempool

import (
	"container/heap"
	"time"

	"lode/consensus"
)

// waiting is a transaction that expires one day, unless it has left by then.
type waiting struct {
	since time.Time
	txid  consensus.Hash
}

// ageQueue holds the transactions of the pool with the oldest first, and some that have
// left: they are found out when their turn comes, or when there are more of them than
// of others.
type ageQueue []waiting

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (q ageQueue) Len() int           { return len(q) }
func (q ageQueue) Less(i, j int) bool { return q[i].since.Before(q[j].since) }
func (q ageQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push adds a waiting.
func (q *ageQueue) Push(x any) { *q = append(*q, x.(waiting)) }

// Pop takes the last off.
func (q *ageQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

// ages notes that a transaction has come in.
func (p *Pool) ages(n *Node) {
	const slack = 1000
	if len(p.aging) > 2*p.graph.Len()+slack {
		p.aging = p.aging[:0]
		for one := range p.graph.All() {
			if one != n {
				p.aging = append(p.aging, waiting{one.Time, one.TxID})
			}
		}
		heap.Init(&p.aging)
	}
	heap.Push(&p.aging, waiting{n.Time, n.TxID})
}

// expire removes what has waited too long, with all that depends on it. Seconds count,
// as in Bitcoin Core.
func (p *Pool) expire() {
	limit := p.cfg.Now().Add(-p.cfg.Policy.Expiry).Truncate(time.Second)
	var old []*Node
	for len(p.aging) > 0 && p.aging[0].since.Before(limit) {
		w := heap.Pop(&p.aging).(waiting)
		if n, ok := p.graph.Tx(w.txid); ok && n.Time.Equal(w.since) {
			old = append(old, n)
		}
	}
	if len(old) > 0 {
		gone := FamilyOf(old, (*Node).Down)
		p.removeAll(gone)
		p.left(gone, LeftExpired)
	}
}
