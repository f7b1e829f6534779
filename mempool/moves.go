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
}

// moves tells somebody of the changes of a pool. It is guarded by Pool.mu.
type moves struct {
	tell func(Move)
	mute bool // takeBack tells what it comes to
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

func (m *moves) wanted() bool { return m.tell != nil && !m.mute }

// came tells of transactions that came in, and of those that had to go for them.
func (p *Pool) came(c *change) {
	if !p.moves.wanted() {
		return
	}
	for _, n := range c.gone {
		p.moves.tell(Move{&n.Entry, LeftReplaced, c.came[len(c.came)-1].TxID})
	}
	for _, n := range c.came {
		p.moves.tell(Move{Entry: &n.Entry})
	}
}

// left tells of transactions that left; by may be nil.
func (p *Pool) left(gone []*node, why Leaving, by func(*node) consensus.Hash) {
	if !p.moves.wanted() {
		return
	}
	for _, n := range gone {
		m := Move{Entry: &n.Entry, Left: why}
		if by != nil {
			m.By = by(n)
		}
		p.moves.tell(m)
	}
}

// tookBack tells what takeBack has come to: of was, which it removed, those that
// are not there again have left, and of list those that were not there have come.
func (p *Pool) tookBack(was []*node, list []*candidate) {
	if p.moves.mute = false; p.moves.tell == nil {
		return
	}
	before := make(map[consensus.Hash]struct{}, len(was))
	for _, n := range was {
		before[n.TxID] = struct{}{}
		if now := p.byTxID[n.TxID]; now == nil || now.WTxID != n.WTxID {
			p.moves.tell(Move{Entry: &n.Entry, Left: LeftReorg})
			delete(before, n.TxID)
		}
	}
	for _, c := range list {
		if _, there := before[c.TxID]; there || p.byTxID[c.TxID] == nil || p.byTxID[c.TxID].WTxID != c.WTxID {
			continue
		}
		before[c.TxID] = struct{}{}
		p.moves.tell(Move{Entry: &c.Entry})
	}
}
