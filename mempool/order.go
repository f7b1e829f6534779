package mempool

import (
	"cmp"

	"lode/mempool/linearize"
)

// Chunk is a run of transactions in the order of a cluster that goes into a
// block, or out of the pool, as a whole.
type Chunk struct {
	linearize.FeeWeight
	Cluster    *Cluster
	Begin, End int // in cluster.txs

	// Its place in the order of the pool.
	left, right *Chunk
	priority    uint64
}

func (c *Chunk) Txs() []*Node { return c.Cluster.Txs[c.Begin:c.End] }

// Before orders all chunks of the pool: the best paying first. Among equals the
// oldest cluster comes first, and the chunks of one in their order.
func (c *Chunk) Before(d *Chunk) bool {
	return cmp.Or(d.Compare(c.FeeWeight), cmp.Compare(c.Cluster.Seq, d.Cluster.Seq), cmp.Compare(c.Begin, d.Begin)) < 0
}

// order is the chunks of all clusters, from the one that a miner wants first to
// the one that is evicted first: a treap (Seidel and Aragon, 1996), whose links
// are in the chunks.
type order struct {
	root   *Chunk
	random uint64
}

func (o *order) insert(c *Chunk) {
	o.random += 0x9e3779b97f4a7c15 // splitmix64
	z := o.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	c.priority = z ^ z>>31
	at := &o.root
	for *at != nil && (*at).priority >= c.priority {
		if c.Before(*at) {
			at = &(*at).left
		} else {
			at = &(*at).right
		}
	}
	c.left, c.right = cutAt(*at, c)
	*at = c
}

// cutAt parts the chunks below t into those before and after c.
func cutAt(t, c *Chunk) (before, after *Chunk) {
	if t == nil {
		return nil, nil
	}
	if t.Before(c) {
		t.right, after = cutAt(t.right, c)
		return t, after
	}
	before, t.left = cutAt(t.left, c)
	return before, t
}

func (o *order) remove(c *Chunk) {
	at := &o.root
	for *at != c {
		if c.Before(*at) {
			at = &(*at).left
		} else {
			at = &(*at).right
		}
	}
	*at = merged(c.left, c.right)
	c.left, c.right = nil, nil
}

// merged joins two trees, all of one before all of the other.
func merged(before, after *Chunk) *Chunk {
	switch {
	case before == nil:
		return after
	case after == nil:
		return before
	case before.priority > after.priority:
		before.right = merged(before.right, after)
		return before
	}
	after.left = merged(before, after.left)
	return after
}

// worst is the last of all, or nil.
func (o *order) worst() (c *Chunk) {
	for at := o.root; at != nil; at = at.right {
		c = at
	}
	return c
}

// best yields all chunks from the best one on. Nothing may change meanwhile.
func (o *order) best(yield func(*Chunk) bool) {
	var stack []*Chunk
	for at := o.root; at != nil || len(stack) > 0; {
		for ; at != nil; at = at.left {
			stack = append(stack, at)
		}
		at, stack = stack[len(stack)-1], stack[:len(stack)-1]
		if !yield(at) {
			return
		}
		at = at.right
	}
}
