package mempool

import (
	"slices"

	"lode/consensus"
	"lode/mempool/linearize"
)

// Info is a transaction of the pool and its relatives there.
type Info struct {
	Entry
	Modified    consensus.Amount // its fee as prioritised
	Depends     []consensus.Hash // direct parents
	SpentBy     []consensus.Hash // direct children
	Ancestors   Family           // with itself
	Descendants Family           // with itself
	Chunk       Family           // what it goes into a block with
	ChunkWeight int
	Signals     bool // that it may be replaced, by itself or by an ancestor (BIP125); any may be
}

// Family sums several transactions up.
type Family struct {
	Count, Size int              // size in virtual bytes
	Fees        consensus.Amount // as prioritised
}

// Info describes one transaction.
func (p *Pool) Info(id consensus.Hash) (Info, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.graph.Tx(id)
	if !ok {
		return Info{}, false
	}
	return n.info(), true
}

// All describes every transaction, parents before children.
func (p *Pool) All() []Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	infos := make([]Info, 0, p.graph.Len())
	for _, n := range p.graph.InOrder() {
		infos = append(infos, n.info())
	}
	return infos
}

func (n *Node) info() Info {
	c, ancestors := n.Chunk(), n.Relatives((*Node).Up)
	return Info{
		Entry: n.Entry, Modified: n.Modified, Depends: txids(n.Parents), SpentBy: txids(n.Children),
		Ancestors: sum(ancestors), Descendants: sum(n.Relatives((*Node).Down)), Chunk: sum(c.Txs()), ChunkWeight: c.Weight,
		Signals: slices.ContainsFunc(ancestors, (*Node).signals),
	}
}

// signals reports whether n says that it may be replaced (BIP125).
func (n *Node) signals() bool {
	return slices.ContainsFunc(n.Tx.In, func(in consensus.TxIn) bool { return in.Sequence <= 0xfffffffd })
}

// Ancestors describes all that a transaction needs, parents before children.
func (p *Pool) Ancestors(id consensus.Hash) ([]Info, bool) {
	return p.infos(id, func(n *Node) []*Node { return without(n.Relatives((*Node).Up), n) })
}

// Descendants describes all that needs a transaction, parents before children.
func (p *Pool) Descendants(id consensus.Hash) ([]Info, bool) {
	return p.infos(id, func(n *Node) []*Node { return without(n.Relatives((*Node).Down), n) })
}

// Cluster describes all that hangs together with a transaction, and itself, in
// the order in which a miner wants them.
func (p *Pool) Cluster(id consensus.Hash) ([]Info, bool) {
	return p.infos(id, func(n *Node) []*Node { return n.Cluster.Txs })
}

func (p *Pool) infos(id consensus.Hash, of func(*Node) []*Node) (infos []Info, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.graph.Tx(id)
	if !ok {
		return nil, false
	}
	for _, m := range of(n) {
		infos = append(infos, m.info())
	}
	return infos, true
}

// TxIDs lists all transactions in the order in which a miner wants them, parents
// before children, and the number of the next move, see Move.
func (p *Pool) TxIDs() (ids []consensus.Hash, next uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids = make([]consensus.Hash, 0, p.graph.Len())
	for c := range p.graph.Best {
		ids = append(ids, txids(c.Txs())...)
	}
	return ids, p.moves.count + 1
}

// Corner is a point of a fee rate diagram.
type Corner struct {
	Weight int              // weight units
	Fees   consensus.Amount // as prioritised, of the best transactions of this weight together
}

// Diagram is the fee rate diagram of the whole pool, from zero on.
func (p *Pool) Diagram() []Corner {
	p.mu.Lock()
	defer p.mu.Unlock()
	corners := []Corner{{}}
	var sum linearize.FeeWeight
	for c := range p.graph.Best {
		sum = sum.Plus(c.FeeWeight)
		corners = append(corners, Corner{sum.Weight, sum.Fee})
	}
	return corners
}

func txids(nodes []*Node) (ids []consensus.Hash) {
	for _, n := range nodes {
		ids = append(ids, n.TxID)
	}
	return ids
}

func sum(nodes []*Node) (f Family) {
	for _, n := range nodes {
		f.Count++
		f.Size += n.Size
		f.Fees += n.Modified
	}
	return f
}
