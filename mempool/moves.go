package mempool

import "lode/consensus"

// Leaving is why a transaction has left the pool, in Bitcoin Core's words.
type Leaving string

// Why transactions leave.
const (
	LeftBlock    Leaving = "block"     // it is in a block
	LeftConflict Leaving = "conflict"  // it, or what it spends, conflicts with a block
	LeftReplaced Leaving = "replaced"  // another came in its place
	LeftExpired  Leaving = "expiry"    // it has waited too long, or what it spends has
	LeftEvicted  Leaving = "sizelimit" // the pool is full, and others pay more
	LeftReorg    Leaving = "reorg"     // it is not valid any more after a reorganization
)

// Move is a transaction that has come into the pool, or has left it.
type Move struct {
	Entry *Entry
	Left  Leaving        // empty for one that has come in
	By    consensus.Hash // the block, the transaction that replaces it, or the one in a block that spends its coins; zero if there is none
	Reorg bool           // a reorganization did it: a block that was disconnected held it, or something that it needs
	Seq   uint64         // moves are numbered from 1 on
	Point consensus.Hash // the tip that the pool had followed the ledger to; of what a block takes out, the tip before it, or before the reorganization that it is part of
}

// moves tells somebody of the changes of a pool. It is guarded by Pool.mu.
type moves struct {
	tell  func(Move)
	mute  bool   // takeBack tells what it comes to
	count uint64 // of the moves so far
}

// OnMove has tell called for each transaction that comes in or leaves, in order:
// whoever applies them all has what the pool has. The pool is locked meanwhile:
// tell must be quick, and call neither it nor the ledger. It is set before the pool
// is in use.
func (p *Pool) OnMove(tell func(Move)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moves.tell = tell
}

// moved numbers a move, and tells of it.
func (p *Pool) moved(m Move) {
	p.moves.count++
	if p.moves.tell != nil {
		m.Seq, m.Point = p.moves.count, p.point
		p.moves.tell(m)
	}
}

// came tells of transactions that came in, and of those that had to go for them.
func (p *Pool) came(c *Change) {
	if p.moves.mute {
		return
	}
	for _, n := range c.Gone {
		p.moved(Move{Entry: &n.Entry, Left: LeftReplaced, By: c.Came[len(c.Came)-1].TxID})
	}
	for _, n := range c.Came {
		p.moved(Move{Entry: &n.Entry})
	}
}

// left tells of transactions that left.
func (p *Pool) left(gone []*Node, why Leaving) {
	if p.moves.mute {
		return
	}
	for _, n := range gone {
		p.moved(Move{Entry: &n.Entry, Left: why})
	}
}

// tookBack tells what takeBack has come to: of was, which it removed, those that
// are not there again have left, and of list those that were not there have come.
func (p *Pool) tookBack(was []*Node, list []*candidate) {
	p.moves.mute = false
	before := make(map[consensus.Hash]struct{}, len(was))
	for _, n := range was {
		before[n.TxID] = struct{}{}
		if !p.graph.Has(n) {
			p.moved(Move{Entry: &n.Entry, Left: LeftReorg, Reorg: true})
			delete(before, n.TxID)
		}
	}
	for _, c := range list {
		if _, there := before[c.TxID]; there || !p.graph.Has(c.Node) {
			continue
		}
		before[c.TxID] = struct{}{}
		p.moved(Move{Entry: &c.Entry, Reorg: true})
	}
}
