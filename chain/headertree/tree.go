// Package headertree is the tree of all headers that a ledger knows, and the choice
// of the one that its active chain should end with. It is pure: no disk, no lock, no
// logger, no clock. Who owns a tree guards it, writes what changes, and connects
// blocks; the tree says which nodes have changed, and which is the best.
//
// Read it in this order: node.go (a header, the stages of its block, ancestors);
// tree.go (what can be asked); change.go (what can happen); heap.go (how the best is
// found without a look at all).
//
// What costs how much: a question about one node, a new header and a stored block,
// the logarithm of how many branches there are; adding or clearing a fault, and
// losing a block, in proportion to what is built on it. Nothing looks at all nodes
// but All and Check.
package headertree

import (
	"bytes"
	"fmt"
	"iter"

	"lode/consensus"
)

// Rules is what a tree needs of the rules: which state follows from a header.
type Rules interface {
	GenesisState() consensus.State
	NextStateOf(consensus.State, *consensus.Header, consensus.Hash) consensus.State
}

// Tree is headers that all descend from genesis. D is what its owner keeps of each
// block.
type Tree[D any] struct {
	rules  Rules
	nodes  map[consensus.Hash]*Node[D]
	active []*Node[D] // by height; the last is the tip
	best   *Node[D]   // of all without a fault the one with the most work; the first that was, of equals
	seq    uint64     // the highest that was given
	favour uint64     // likewise

	heads heap[D] // those without a fault that have no child without one, by work
	ends  heap[D] // those that continue and have no child that does, by Better: they compete for the tip
	tips  map[*Node[D]]struct{}
}

// New gives an empty tree: the first node that is added must be genesis.
func New[D any](rules Rules) *Tree[D] {
	t := &Tree[D]{rules: rules, nodes: make(map[consensus.Hash]*Node[D]), tips: make(map[*Node[D]]struct{})}
	t.heads = heap[D]{above: (*Node[D]).aboveInWork, place: func(n *Node[D]) *int32 { return &n.atHead }}
	t.ends = heap[D]{above: (*Node[D]).Better, place: func(n *Node[D]) *int32 { return &n.atEnd }}
	return t
}

// aboveInWork orders nodes by work, and equal ones somehow, but always the same.
func (n *Node[D]) aboveInWork(m *Node[D]) bool {
	if c := n.state.Work.Cmp(&m.state.Work); c != 0 {
		return c > 0
	}
	return bytes.Compare(n.state.Hash[:], m.state.Hash[:]) < 0
}

// Find finds a node by its hash.
func (t *Tree[D]) Find(hash consensus.Hash) (*Node[D], bool) {
	n, ok := t.nodes[hash]
	return n, ok
}

// Len is how many nodes there are.
func (t *Tree[D]) Len() int { return len(t.nodes) }

// All visits every node, in no order.
func (t *Tree[D]) All() iter.Seq[*Node[D]] {
	return func(yield func(*Node[D]) bool) {
		for _, n := range t.nodes {
			if !yield(n) {
				return
			}
		}
	}
}

// Tips visits the nodes that have no children, in no order.
func (t *Tree[D]) Tips() iter.Seq[*Node[D]] {
	return func(yield func(*Node[D]) bool) {
		for n := range t.tips {
			if !yield(n) {
				return
			}
		}
	}
}

// Tip is the last node of the active chain.
func (t *Tree[D]) Tip() *Node[D] { return t.active[len(t.active)-1] }

// Active is the active chain by height. It must not be changed, and shows it only
// until it changes.
func (t *Tree[D]) Active() []*Node[D] { return t.active }

// At is the node of the active chain at a height.
func (t *Tree[D]) At(height uint32) (*Node[D], bool) {
	if uint64(height) >= uint64(len(t.active)) {
		return nil, false
	}
	return t.active[height], true
}

// IsActive reports whether n is part of the active chain.
func (t *Tree[D]) IsActive(n *Node[D]) bool {
	return uint64(n.state.Height) < uint64(len(t.active)) && t.active[n.state.Height] == n
}

// Best is the header with the most work that has no fault. Of equals it is the one
// that was first.
func (t *Tree[D]) Best() *Node[D] { return t.best }

// Candidate is the best that the tip could be: that with the most work, or as much
// and preferred, or as much and complete first, of all that are complete, have no
// fault and are reachable. It is the tip itself if no other is better. passed are
// those that are better still, but not reachable.
func (t *Tree[D]) Candidate(reachable func(*Node[D]) bool) (best *Node[D], passed []*Node[D]) {
	best = t.Tip()
	var look func(i int)
	look = func(i int) {
		if i >= len(t.ends.nodes) || !t.ends.nodes[i].Better(best) {
			return // nor is any that hangs from it
		}
		if n := t.ends.nodes[i]; reachable(n) {
			best = n
			return
		}
		passed = append(passed, t.ends.nodes[i])
		look(2*i + 1)
		look(2*i + 2)
	}
	look(0)
	kept := passed[:0]
	for _, n := range passed {
		if n.Better(best) {
			kept = append(kept, n)
		}
	}
	return best, kept
}

// Check makes sure of what must hold of a tree at any time. It looks at all of it.
func (t *Tree[D]) Check() error {
	for hash, n := range t.nodes {
		if err := t.checkNode(n); err != nil {
			return fmt.Errorf("node %s at height %d: %w", hash, n.Height(), err)
		}
		if n.faults == 0 && n.state.Work.Gt(&t.best.state.Work) {
			return fmt.Errorf("node %s has more work than the best", hash)
		}
	}
	for height, n := range t.active {
		if int(n.Height()) != height || height > 0 && n.parent != t.active[height-1] {
			return fmt.Errorf("the active chain is broken at height %d", height)
		}
	}
	for _, h := range []*heap[D]{&t.heads, &t.ends} {
		for i, n := range h.nodes {
			if int(*h.place(n)) != i+1 || i > 0 && h.above(n, h.nodes[(i-1)/2]) || t.nodes[n.Hash()] != n {
				return fmt.Errorf("node %s is at a wrong place", n.Hash())
			}
		}
	}
	return nil
}

func (t *Tree[D]) checkNode(n *Node[D]) error {
	var sound, going int32
	for _, child := range n.children {
		if child.parent != n || t.nodes[child.Hash()] != child {
			return fmt.Errorf("%s is no child of it", child.Hash())
		}
		if child.faults == 0 {
			sound++
		}
		if child.continues() {
			going++
		}
	}
	_, tip := t.tips[n]
	switch {
	case sound != n.sound || going != n.going:
		return fmt.Errorf("%d and %d children are counted, and there are %d and %d", n.sound, n.going, sound, going)
	case (n.atHead > 0) != (n.faults == 0 && sound == 0):
		return fmt.Errorf("it is a head: %v", n.atHead > 0)
	case (n.atEnd > 0) != (n.continues() && going == 0):
		return fmt.Errorf("it competes for the tip: %v", n.atEnd > 0)
	case tip != (len(n.children) == 0):
		return fmt.Errorf("it is a tip: %v", tip)
	case n.seq > 0 && n.parent != nil && n.parent.seq == 0:
		return fmt.Errorf("it is complete, and its parent is not")
	case n.place > 0 && n.seq == 0 && n.parent.seq > 0:
		return fmt.Errorf("it is stored and its parent complete, and it is not")
	}
	return nil
}
