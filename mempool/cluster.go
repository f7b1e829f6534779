package mempool

import (
	"slices"

	"lode/mempool/linearize"
)

// Cluster is a connected group of transactions, linearized.
type Cluster struct {
	Txs     []*Node // parents before children
	Chunks  []Chunk // their fee rates fall
	Seq     uint64  // of its oldest transaction
	touched bool    // by the change that is being staged
}

// Change is a set of transactions that go and of others that come, with what
// becomes of their clusters. Nothing of it shows in the graph before it is
// committed.
type Change struct {
	Gone     []*Node // parents before children
	Came     []*Node // parents before children
	Old, New []*Cluster
}

// isGone is the staged index of a node that goes.
const isGone = -1

// Stage finds out what becomes of the clusters if gone goes and came comes. No
// child may stay without its parent, unless that was confirmed. It is false if a
// cluster would become too large.
func (g *Graph) Stage(gone, came []*Node) (*Change, bool) {
	c := &Change{Gone: gone, Came: came}
	for _, n := range gone {
		c.touch(n.Cluster)
	}
	for _, n := range came {
		for _, parent := range n.Parents {
			c.touch(parent.Cluster)
		}
	}
	for _, n := range gone {
		n.staged = isGone
	}
	var members []*Node // parents before children: those that come have no children before them
	for _, old := range c.Old {
		old.touched = false
		for _, n := range old.Txs {
			if n.staged != isGone {
				members = append(members, n)
			}
		}
	}
	groups := connected(append(members, came...))
	for _, group := range groups {
		count, weight := len(group), 0
		for _, n := range group {
			weight += n.Weight
		}
		if count > g.limits.Count || weight > g.limits.Weight {
			return nil, false
		}
	}
	for _, group := range groups {
		c.New = append(c.New, linearized(group))
	}
	return c, true
}

// Reweigh stages that a transaction is at another place in the order, as its fee has
// been modified.
func (g *Graph) Reweigh(n *Node) *Change {
	c := &Change{}
	c.touch(n.Cluster)
	c.Old[0].touched = false
	c.New = []*Cluster{linearized(c.Old[0].Txs)}
	return c
}

// touch notes that a cluster changes. A node that is not in the pool yet has
// none.
func (c *Change) touch(old *Cluster) {
	if old == nil || old.touched {
		return
	}
	old.touched = true
	c.Old = append(c.Old, old)
	for _, n := range old.Txs {
		n.staged = 0
	}
}

// connected parts nodes into connected groups; each keeps the order.
func connected(nodes []*Node) (groups [][]*Node) {
	if len(nodes) == 1 {
		return [][]*Node{nodes}
	}
	root := make([]int, len(nodes)) // union-find
	find := func(i int) int {
		for root[i] != i {
			root[i] = root[root[i]]
			i = root[i]
		}
		return i
	}
	for i, n := range nodes {
		n.staged, root[i] = i, i
		for _, parent := range n.Parents {
			if parent.staged != isGone {
				root[find(parent.staged)] = find(i)
			}
		}
	}
	group := make([]int, len(nodes)) // by root, plus one
	for i, n := range nodes {
		r := find(i)
		if group[r] == 0 {
			groups = append(groups, nil)
			group[r] = len(groups)
		}
		groups[group[r]-1] = append(groups[group[r]-1], n)
	}
	return groups
}

// linearized makes a cluster of a connected group, whose order so far is a
// start.
func linearized(group []*Node) *Cluster {
	g := linearize.New(len(group))
	hint := make([]int, len(group))
	c := &Cluster{Txs: make([]*Node, len(group)), Seq: group[0].Seq}
	for i, n := range group {
		n.staged, hint[i], g.Of[i] = i, i, linearize.FeeWeight{Fee: n.Modified, Weight: n.Weight}
		c.Seq = min(c.Seq, n.Seq)
		for _, parent := range n.Parents {
			if parent.staged != isGone {
				g.Depend(i, parent.staged)
			}
		}
	}
	order, sums := g.Linearize(hint, linearize.Cost)
	c.Chunks = make([]Chunk, len(sums))
	at := 0
	for i, sum := range sums {
		c.Chunks[i] = Chunk{FeeWeight: sum, Cluster: c, Begin: at}
		for weight := 0; weight < sum.Weight; at++ {
			c.Txs[at] = group[order[at]]
			weight += c.Txs[at].Weight
		}
		c.Chunks[i].End = at
	}
	return c
}

// Commit makes a change that was staged last.
func (g *Graph) Commit(c *Change) {
	for _, old := range c.Old {
		for i := range old.Chunks {
			g.order.remove(&old.Chunks[i])
		}
	}
	for _, n := range c.Gone {
		g.unlink(n)
	}
	for _, n := range c.Came {
		g.link(n)
	}
	for _, made := range c.New {
		for i := range made.Chunks {
			g.order.insert(&made.Chunks[i])
		}
		for i, n := range made.Txs {
			n.Cluster, n.At = made, i
		}
	}
}

// link puts n among the others, whose parents are known.
func (g *Graph) link(n *Node) {
	for _, parent := range n.Parents {
		parent.Children = append(parent.Children, n)
	}
	for i := range n.Tx.In {
		g.spends[n.Tx.In[i].PrevOut] = n
	}
	g.byTxID[n.TxID], g.byWTxID[n.WTxID] = n, n
	g.totals.Memory += n.Usage
	g.totals.VBytes += n.Size
	g.totals.Fees += n.Fee
}

// unlink takes n out from among the others.
func (g *Graph) unlink(n *Node) {
	for _, parent := range n.Parents {
		parent.Children = without(parent.Children, n)
	}
	for _, child := range n.Children {
		child.Parents = without(child.Parents, n)
	}
	for i := range n.Tx.In {
		delete(g.spends, n.Tx.In[i].PrevOut)
	}
	delete(g.byTxID, n.TxID)
	delete(g.byWTxID, n.WTxID)
	n.Cluster = nil
	g.totals.Memory -= n.Usage
	g.totals.VBytes -= n.Size
	g.totals.Fees -= n.Fee
}

// without is list with n taken out of it.
func without(list []*Node, n *Node) []*Node {
	i := slices.Index(list, n)
	return slices.Delete(list, i, i+1)
}

// Chunk is the one that n is in.
func (n *Node) Chunk() *Chunk {
	i, _ := slices.BinarySearchFunc(n.Cluster.Chunks, n.At, func(c Chunk, at int) int { return c.End - 1 - at })
	return &n.Cluster.Chunks[i]
}

// Relatives lists n and all that can be reached from it in one direction,
// parents before children.
func (n *Node) Relatives(direction func(*Node) []*Node) []*Node {
	return FamilyOf([]*Node{n}, direction)
}

func (n *Node) Up() []*Node   { return n.Parents }
func (n *Node) Down() []*Node { return n.Children }

// FamilyOf lists nodes and all that can be reached from them in one direction,
// parents before children.
func FamilyOf(nodes []*Node, direction func(*Node) []*Node) []*Node {
	seen := make(map[*Node]struct{}, len(nodes))
	var list []*Node
	add := func(nodes []*Node) {
		for _, n := range nodes {
			if _, ok := seen[n]; !ok {
				seen[n] = struct{}{}
				list = append(list, n)
			}
		}
	}
	add(nodes)
	for i := 0; i < len(list); i++ {
		add(direction(list[i]))
	}
	SortBySeq(list)
	return list
}
