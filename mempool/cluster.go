package mempool

import (
	"slices"

	"lode/consensus"
	"lode/mempool/linearize"
)

// cluster is a connected group of transactions, linearized.
type cluster struct {
	txs     []*node // parents before children
	chunks  []chunk // their fee rates fall
	seq     uint64  // of its oldest transaction
	touched bool    // by the change that is being staged
}

// change is a set of transactions that go and of others that come, with what
// becomes of their clusters. Nothing of it shows in the pool before it is
// committed.
type change struct {
	gone     []*node // parents before children
	came     []*node // parents before children
	old, new []*cluster
}

// isGone is the staged index of a node that goes.
const isGone = -1

// stage finds out what becomes of the clusters if gone goes and came comes. No
// child may stay without its parent, unless that was confirmed. The error is of
// kind ErrClusterSize. The caller holds mu.
func (p *Pool) stage(gone, came []*node) (*change, error) {
	c := &change{gone: gone, came: came}
	for _, n := range gone {
		c.touch(n.cluster)
	}
	for _, n := range came {
		for _, parent := range n.parents {
			c.touch(parent.cluster)
		}
	}
	for _, n := range gone {
		n.staged = isGone
	}
	var members []*node // parents before children: those that come have no children before them
	for _, old := range c.old {
		old.touched = false
		for _, n := range old.txs {
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
		if count > p.cfg.Policy.MaxCluster || weight > p.cfg.Policy.MaxClusterSize*consensus.WitnessScale {
			return nil, refuse(ErrClusterSize, "")
		}
	}
	for _, group := range groups {
		c.new = append(c.new, linearized(group))
	}
	return c, nil
}

// touch notes that a cluster changes. A node that is not in the pool yet has
// none.
func (c *change) touch(old *cluster) {
	if old == nil || old.touched {
		return
	}
	old.touched = true
	c.old = append(c.old, old)
	for _, n := range old.txs {
		n.staged = 0
	}
}

// connected parts nodes into connected groups; each keeps the order.
func connected(nodes []*node) (groups [][]*node) {
	if len(nodes) == 1 {
		return [][]*node{nodes}
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
		for _, parent := range n.parents {
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
func linearized(group []*node) *cluster {
	g := linearize.New(len(group))
	hint := make([]int, len(group))
	c := &cluster{txs: make([]*node, len(group)), seq: group[0].seq}
	for i, n := range group {
		n.staged, hint[i], g.Of[i] = i, i, linearize.FeeWeight{Fee: n.fee, Weight: n.Weight}
		c.seq = min(c.seq, n.seq)
		for _, parent := range n.parents {
			if parent.staged != isGone {
				g.Depend(i, parent.staged)
			}
		}
	}
	order, sums := g.Linearize(hint, linearize.Cost)
	c.chunks = make([]chunk, len(sums))
	at := 0
	for i, sum := range sums {
		c.chunks[i] = chunk{FeeWeight: sum, cluster: c, begin: at}
		for weight := 0; weight < sum.Weight; at++ {
			c.txs[at] = group[order[at]]
			weight += c.txs[at].Weight
		}
		c.chunks[i].end = at
	}
	return c
}

// commit makes a change that was staged last. The caller holds mu.
func (p *Pool) commit(c *change) {
	for _, old := range c.old {
		for i := range old.chunks {
			p.order.remove(&old.chunks[i])
		}
	}
	for _, n := range c.gone {
		p.estimator.Leave(n.mark)
		p.unlink(n)
	}
	for _, n := range c.came {
		p.link(n)
	}
	for _, made := range c.new {
		for i := range made.chunks {
			p.order.insert(&made.chunks[i])
		}
		for i, n := range made.txs {
			n.cluster, n.at = made, i
		}
	}
	p.change++
	p.journal.wake()
}

// link puts n among the others, whose parents are known.
func (p *Pool) link(n *node) {
	for _, parent := range n.parents {
		parent.children = append(parent.children, n)
	}
	for i := range n.Tx.In {
		p.spends[n.Tx.In[i].PrevOut] = n
	}
	p.byTxID[n.TxID], p.byWTxID[n.WTxID] = n, n
	p.journal.add(n.TxID)
	p.ages(n)
	p.usage += n.usage
	p.vbytes += n.Size
	p.fees += n.Fee
}

// unlink takes n out from among the others.
func (p *Pool) unlink(n *node) {
	for _, parent := range n.parents {
		parent.children = without(parent.children, n)
	}
	for _, child := range n.children {
		child.parents = without(child.parents, n)
	}
	for i := range n.Tx.In {
		delete(p.spends, n.Tx.In[i].PrevOut)
	}
	delete(p.byTxID, n.TxID)
	delete(p.byWTxID, n.WTxID)
	p.journal.add(n.TxID)
	n.cluster = nil
	p.usage -= n.usage
	p.vbytes -= n.Size
	p.fees -= n.Fee
}

// without is list with n taken out of it.
func without(list []*node, n *node) []*node {
	i := slices.Index(list, n)
	return slices.Delete(list, i, i+1)
}

// removeAll removes nodes, which must be complete, see stage. The caller holds
// mu.
func (p *Pool) removeAll(gone []*node) {
	if len(gone) == 0 {
		return
	}
	c, err := p.stage(gone, nil)
	if err != nil {
		panic(err) // taking something out makes no cluster larger
	}
	p.commit(c)
}

// chunk is the one that n is in.
func (n *node) chunk() *chunk {
	i, _ := slices.BinarySearchFunc(n.cluster.chunks, n.at, func(c chunk, at int) int { return c.end - 1 - at })
	return &n.cluster.chunks[i]
}

// relatives lists n and all that can be reached from it in one direction,
// parents before children.
func (n *node) relatives(direction func(*node) []*node) []*node {
	return family([]*node{n}, direction)
}

func (n *node) up() []*node   { return n.parents }
func (n *node) down() []*node { return n.children }

// family lists nodes and all that can be reached from them in one direction,
// parents before children.
func family(nodes []*node, direction func(*node) []*node) []*node {
	seen := make(map[*node]struct{}, len(nodes))
	var list []*node
	add := func(nodes []*node) {
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
	sortBySeq(list)
	return list
}
