package headertree

import (
	"cmp"
	"slices"

	"lode/consensus"
)

// Node is a header of a tree, and what is known of its block. What changes of it
// is changed by the methods of its tree alone. A copy shows what was known when it
// was made; its header, its state and its ancestors never change.
type Node[D any] struct {
	// Own is what the tree's owner keeps of the block. The tree does not look at it.
	Own D

	parent   *Node[D] // nil for genesis
	skip     *Node[D] // an ancestor, see skipFrom; genesis' own is itself
	children []*Node[D]
	header   consensus.Header
	state    consensus.State // after the block
	place    uint64          // orders stored blocks by when they came; 0 if it is not stored
	seq      uint64          // when its chain became complete; 0 while it is not
	favour   uint64          // the highest of those with the same work is preferred, see Tree.Prefer
	faults   Fault

	sound  int32 // children with no fault
	going  int32 // children that continue
	atHead int32 // its place in Tree.heads, plus one; 0 if it is not one of them
	atEnd  int32 // its place in Tree.ends, plus one; 0 if it is not one of them
}

// Fault is why a node cannot become part of the active chain: none, one or both of
// what follows. A node inherits the faults of its parent.
type Fault byte

const (
	Broken      Fault = 1 << iota // it or an ancestor broke a rule
	Invalidated                   // it or an ancestor was named by the operator

	// AnyFault is all of them.
	AnyFault = Broken | Invalidated
)

// Stage says how far a node has come.
//
//	stage       its block        those of its ancestors   may become active
//	HeaderOnly  has not come     any                      no
//	Waiting     is stored        not all have come        no
//	Complete    was stored, or need not be, and so were all of its ancestors   yes
//	Faulty      any              any                      no, see Fault
//
// A node begins as HeaderOnly. Store moves it to Waiting or Complete, and takes those
// that waited for it along; Lose moves it and what is built on it back. AddFault
// makes it Faulty, ClearFault brings it back to where it was.
type Stage byte

// The stages of a node.
const (
	HeaderOnly Stage = iota
	Waiting
	Complete
	Faulty
)

// Stage is how far n has come.
func (n *Node[D]) Stage() Stage {
	switch {
	case n.faults != 0:
		return Faulty
	case n.seq > 0:
		return Complete
	case n.place > 0:
		return Waiting
	}
	return HeaderOnly
}

// Hash is the hash of the header.
func (n *Node[D]) Hash() consensus.Hash { return n.state.Hash }

// Height is how many blocks are before it.
func (n *Node[D]) Height() uint32 { return n.state.Height }

// Parent is the node before n; nil for genesis.
func (n *Node[D]) Parent() *Node[D] { return n.parent }

// Header is the header. It must not be changed.
func (n *Node[D]) Header() *consensus.Header { return &n.header }

// State is the state after the block. It must not be changed.
func (n *Node[D]) State() *consensus.State { return &n.state }

// IsStored reports whether the block is stored.
func (n *Node[D]) IsStored() bool { return n.place > 0 }

// Seq orders nodes by when their chains became complete; it is 0 for one whose
// chain is not.
func (n *Node[D]) Seq() uint64 { return n.seq }

// Faults is why n cannot become part of the active chain.
func (n *Node[D]) Faults() Fault { return n.faults }

// IsFaulty reports whether n has any fault.
func (n *Node[D]) IsFaulty() bool { return n.faults != 0 }

// IsBroken reports whether n or an ancestor broke a rule.
func (n *Node[D]) IsBroken() bool { return n.faults&Broken != 0 }

// IsInvalidated reports whether n or an ancestor was named by the operator.
func (n *Node[D]) IsInvalidated() bool { return n.faults&Invalidated != 0 }

// Children is how many headers come after n.
func (n *Node[D]) Children() int { return len(n.children) }

// HasMoreWork reports whether n has more work than m.
func (n *Node[D]) HasMoreWork(m *Node[D]) bool { return n.state.Work.Gt(&m.state.Work) }

// continues reports whether n could be part of the active chain.
func (n *Node[D]) continues() bool { return n.seq > 0 && n.faults == 0 }

// Better reports whether n is a better tip than m: it has more work, or as much and
// the operator prefers it, or as much and it was complete first.
func (n *Node[D]) Better(m *Node[D]) bool {
	if c := n.state.Work.Cmp(&m.state.Work); c != 0 {
		return c > 0
	}
	if n.favour != m.favour {
		return n.favour > m.favour
	}
	return n.seq < m.seq
}

// waiting lists the children whose blocks are stored, in the order in which they
// came.
func (n *Node[D]) waiting() []*Node[D] {
	var nodes []*Node[D]
	for _, child := range n.children {
		if child.place > 0 {
			nodes = append(nodes, child)
		}
	}
	slices.SortFunc(nodes, func(a, b *Node[D]) int { return cmp.Compare(a.place, b.place) })
	return nodes
}

// Descendants lists n and all that is built on it.
func (n *Node[D]) Descendants() []*Node[D] {
	list := []*Node[D]{n}
	for i := 0; i < len(list); i++ {
		list = append(list, list[i].children...)
	}
	return list
}

// skipFrom is the skip pointer of a child of p: as far as two of those before it,
// where these are equally long, and else to p. How far it leads depends on the height
// alone, and any ancestor is reached in a number of steps that grows with the
// logarithm of the distance (Myers, "An applicative random-access stack", 1983).
func (p *Node[D]) skipFrom() *Node[D] {
	once := p.skip
	twice := once.skip
	if p.state.Height-once.state.Height == once.state.Height-twice.state.Height {
		return twice
	}
	return p
}

// Ancestor is the ancestor of n at a height, which is not above that of n.
func (n *Node[D]) Ancestor(height uint32) *Node[D] {
	for n.state.Height > height {
		if n.skip.state.Height >= height {
			n = n.skip
		} else {
			n = n.parent
		}
	}
	return n
}

// Fork is the last common ancestor of a and b.
func Fork[D any](a, b *Node[D]) *Node[D] {
	height := min(a.state.Height, b.state.Height)
	a, b = a.Ancestor(height), b.Ancestor(height)
	for a != b {
		if a.skip != b.skip { // from equal heights they lead to equal heights
			a, b = a.skip, b.skip
		} else {
			a, b = a.parent, b.parent
		}
	}
	return a
}

// Path lists the nodes after from, an ancestor of to, up to to.
func Path[D any](from, to *Node[D]) []*Node[D] {
	nodes := make([]*Node[D], 0, to.state.Height-from.state.Height)
	for n := to; n != from; n = n.parent {
		nodes = append(nodes, n)
	}
	slices.Reverse(nodes)
	return nodes
}
