package mempool

import (
	"bytes"
	"cmp"
	"iter"
	"maps"
	"slices"

	"lode/consensus"
)

// Limits bound a cluster.
type Limits struct {
	Count  int // transactions, at most linearize.MaxCount
	Weight int // weight units
}

// Graph is a set of transactions that spend each other, in clusters that are kept in
// their best order. It changes by Commit alone. It has no lock.
type Graph struct {
	limits  Limits
	byTxID  map[consensus.Hash]*Node
	byWTxID map[consensus.Hash]*Node
	spends  map[consensus.OutPoint]*Node
	order   order
	seq     uint64
	totals  Totals
}

// Totals sum a graph up.
type Totals struct {
	Memory int              // bytes
	VBytes int              // virtual size
	Fees   consensus.Amount // that the transactions pay
}

// NewGraph gives an empty graph.
func NewGraph(l Limits) *Graph {
	return &Graph{limits: l, byTxID: make(map[consensus.Hash]*Node), byWTxID: make(map[consensus.Hash]*Node), spends: make(map[consensus.OutPoint]*Node)}
}

// Tx finds a transaction by its id.
func (g *Graph) Tx(txid consensus.Hash) (*Node, bool) {
	n, ok := g.byTxID[txid]
	return n, ok
}

// WTx finds a transaction by its witness id.
func (g *Graph) WTx(wtxid consensus.Hash) (*Node, bool) {
	n, ok := g.byWTxID[wtxid]
	return n, ok
}

// Has reports whether there is this very transaction, with the same witness.
func (g *Graph) Has(n *Node) bool {
	_, ok := g.byWTxID[n.WTxID]
	return ok
}

// Spender finds the transaction that spends a coin.
func (g *Graph) Spender(o consensus.OutPoint) (*Node, bool) {
	n, ok := g.spends[o]
	return n, ok
}

// Conflicts lists the transactions that spend what tx spends.
func (g *Graph) Conflicts(tx *consensus.Tx) (list []*Node) {
	for i := range tx.In {
		if n, ok := g.spends[tx.In[i].PrevOut]; ok && !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// Spenders lists the transactions that spend what tx makes, in the order of that; one
// may be there more than once.
func (g *Graph) Spenders(tx *consensus.Tx) (list []*Node) {
	id := tx.TxID()
	for i := range tx.Out {
		if n, ok := g.spends[consensus.OutPoint{TxID: id, Index: uint32(i)}]; ok {
			list = append(list, n)
		}
	}
	return list
}

// Len is how many transactions there are.
func (g *Graph) Len() int { return len(g.byTxID) }

// All yields all transactions, in no order.
func (g *Graph) All() iter.Seq[*Node] { return maps.Values(g.byTxID) }

// InOrder lists all transactions, parents before children.
func (g *Graph) InOrder() []*Node {
	list := slices.AppendSeq(make([]*Node, 0, len(g.byTxID)), g.All())
	SortBySeq(list)
	return list
}

// Best yields all chunks from the best one on. Nothing may change meanwhile.
func (g *Graph) Best(yield func(*Chunk) bool) { g.order.best(yield) }

// Worst is the last of all chunks, or nil. Nothing depends on it.
func (g *Graph) Worst() *Chunk { return g.order.worst() }

// Totals sum up all transactions.
func (g *Graph) Totals() Totals { return g.totals }

// Next gives the number in the order of entry for a transaction that comes.
func (g *Graph) Next() uint64 {
	g.seq++
	return g.seq
}

// SortBySeq sorts transactions by their entry: parents come before children.
func SortBySeq(list []*Node) {
	slices.SortFunc(list, func(a, b *Node) int { return cmp.Compare(a.Seq, b.Seq) })
}

// SortByTxID sorts transactions by their ids.
func SortByTxID(list []*Node) {
	slices.SortFunc(list, func(a, b *Node) int { return bytes.Compare(a.TxID[:], b.TxID[:]) })
}
