package headertree

import (
	"errors"
	"fmt"
	"slices"

	"lode/consensus"
)

// Saved is what is known of a node before it is part of a tree: of one that was kept
// on disk, or, with nothing but the header, of a new one.
type Saved struct {
	Header consensus.Header
	Hash   consensus.Hash // of the header, if it is known
	Place  uint64         // orders stored blocks by when they came; 0 if it is not stored
	Seq    uint64         // when its chain became complete; 0 while it is not
	Faults Fault
}

// The reasons why a node cannot be added.
var (
	ErrNoParent = errors.New("header without its parent")
	ErrGenesis  = errors.New("it begins with another genesis block")
	ErrKnown    = errors.New("header is known")
)

// Add adds a node whose parent is there, or genesis. What broke no rule is checked by
// the caller. The error is of kind ErrNoParent, ErrGenesis or ErrKnown.
func (t *Tree[D]) Add(s Saved, own D) (*Node[D], error) {
	if s.Hash == (consensus.Hash{}) {
		s.Hash = s.Header.Hash()
	}
	n := &Node[D]{Own: own, header: s.Header, place: s.Place, seq: s.Seq, faults: s.Faults}
	if s.Header.Prev == (consensus.Hash{}) {
		n.state, n.skip = t.rules.GenesisState(), n
		if s.Hash != n.Hash() {
			return nil, ErrGenesis
		}
	} else {
		parent, ok := t.nodes[s.Header.Prev]
		if !ok {
			return nil, fmt.Errorf("%w %s", ErrNoParent, s.Header.Prev)
		}
		n.parent, n.skip, n.state = parent, parent.skipFrom(), t.rules.NextStateOf(parent.state, &s.Header, s.Hash)
	}
	if _, known := t.nodes[n.Hash()]; known {
		return nil, fmt.Errorf("%w: %s", ErrKnown, n.Hash())
	}
	t.nodes[n.Hash()], t.tips[n] = n, struct{}{}
	if n.parent != nil {
		n.parent.children = append(n.parent.children, n)
		delete(t.tips, n.parent)
	}
	t.seq = max(t.seq, n.seq)
	t.recount(n, false, false)
	t.improve(n)
	return n, nil
}

// change changes n, and what is counted because of it.
func (t *Tree[D]) change(n *Node[D], do func()) {
	sound, going := n.faults == 0, n.continues()
	do()
	t.recount(n, sound, going)
}

// recount has the heaps and the parent of n know what has changed; sound and going
// are what n counted as before.
func (t *Tree[D]) recount(n *Node[D], sound, going bool) {
	if p := n.parent; p != nil {
		p.sound += step(sound, n.faults == 0)
		p.going += step(going, n.continues())
		t.rank(p)
	}
	t.rank(n)
}

func step(before, after bool) int32 {
	switch {
	case after && !before:
		return 1
	case before && !after:
		return -1
	}
	return 0
}

// rank has n be in the heaps that it belongs to.
func (t *Tree[D]) rank(n *Node[D]) {
	t.heads.set(n, n.faults == 0 && n.sound == 0)
	t.ends.set(n, n.continues() && n.going == 0)
}

// improve makes n the best if it is better.
func (t *Tree[D]) improve(n *Node[D]) {
	if n.faults == 0 && (t.best == nil || n.HasMoreWork(t.best)) {
		t.best = n
	}
}

// findBest finds the best anew: the last of the active chain that has no fault, or
// one with more work.
func (t *Tree[D]) findBest() {
	t.best = nil
	for _, n := range slices.Backward(t.active) {
		if n.faults == 0 {
			t.best = n
			break
		}
	}
	if len(t.heads.nodes) > 0 {
		t.improve(t.heads.nodes[0])
	}
}

// Store notes that the block of n has been stored, at a place that orders blocks by
// when they came and is not 0. completed are the nodes whose chains are complete by
// that, parents first: n, and those that waited for it.
func (t *Tree[D]) Store(n *Node[D], place uint64) (completed []*Node[D]) {
	n.place = place
	if n.seq > 0 || n.parent == nil || n.parent.seq == 0 {
		return nil
	}
	return t.Complete(n)
}

// Complete has the chain up to n count as complete, and that of stored blocks that
// waited for it. It does nothing for one that is.
func (t *Tree[D]) Complete(n *Node[D]) (completed []*Node[D]) {
	for queue := []*Node[D]{n}; len(queue) > 0; queue = queue[1:] {
		if n := queue[0]; n.seq == 0 {
			t.seq++
			t.change(n, func() { n.seq = t.seq })
			completed = append(completed, n)
			queue = append(queue, n.waiting()...)
		}
	}
	return completed
}

// Lose notes that the block of n is not stored any more. The active chain stands as
// it is, for its blocks are valid. Elsewhere the chains of n and of all that is built
// on it are not complete any more: incomplete are these, parents first.
func (t *Tree[D]) Lose(n *Node[D]) (incomplete []*Node[D]) {
	n.place = 0
	if t.IsActive(n) {
		return nil
	}
	incomplete = n.Descendants()
	for _, m := range incomplete {
		t.change(m, func() { m.seq = 0 })
	}
	return incomplete
}

// AddFault has n, and what is built on it, be at fault. changed are all of them,
// parents first.
func (t *Tree[D]) AddFault(n *Node[D], why Fault) (changed []*Node[D]) {
	changed = n.Descendants()
	for _, m := range changed {
		t.change(m, func() { m.faults |= why })
	}
	if t.best.faults != 0 {
		t.findBest()
	}
	return changed
}

// ClearFault takes faults of nodes back. changed are those that had any of them.
func (t *Tree[D]) ClearFault(nodes []*Node[D], why Fault) (changed []*Node[D]) {
	for _, m := range nodes {
		if m.faults&why == 0 {
			continue
		}
		t.change(m, func() { m.faults &^= why })
		changed = append(changed, m)
		t.improve(m)
	}
	return changed
}

// Prefer has n count as the first of all with the same work, until it is another's
// turn. One with less work than the tip could not become it, and stays as it is.
func (t *Tree[D]) Prefer(n *Node[D]) {
	if t.Tip().HasMoreWork(n) {
		return
	}
	t.favour++
	n.favour = t.favour
	t.ends.moved(n)
}

// Activate makes the chain up to n the active one, and n the best header unless
// another has more work.
func (t *Tree[D]) Activate(n *Node[D]) {
	genesis := n.Ancestor(0)
	t.active = append([]*Node[D]{genesis}, Path(genesis, n)...)
	if n.faults == 0 && !t.best.HasMoreWork(n) {
		t.best = n
	}
}

// Connect makes n, a child of the tip, the tip.
func (t *Tree[D]) Connect(n *Node[D]) {
	if n.parent != t.Tip() {
		panic("headertree: block does not follow the tip")
	}
	t.active = append(t.active, n)
}

// Disconnect makes the parent of the tip the tip.
func (t *Tree[D]) Disconnect() { t.active = t.active[:len(t.active)-1] }

// Assume makes the chain up to base the active one, and has it count as complete
// although its blocks may be missing. changed are all of that chain, and those that
// are complete by that.
func (t *Tree[D]) Assume(base *Node[D]) (changed []*Node[D]) {
	t.active = append(t.active[:1:1], Path(t.active[0], base)...)
	queue := slices.Clone(t.active)
	assumed := make(map[*Node[D]]struct{}, len(queue))
	for _, n := range queue {
		assumed[n] = struct{}{}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		if n.seq == 0 {
			t.seq++
			t.change(n, func() { n.seq = t.seq })
		}
		changed = append(changed, n)
		for _, child := range n.waiting() {
			if _, is := assumed[child]; !is && child.seq == 0 {
				queue = append(queue, child)
			}
		}
	}
	return changed
}

// Forget drops nodes, and with each all that is built on it must be among them. best
// says whether the best header was.
func (t *Tree[D]) Forget(nodes []*Node[D]) (best bool) {
	doomed := make(map[*Node[D]]struct{}, len(nodes))
	for _, n := range nodes {
		doomed[n] = struct{}{}
	}
	isDoomed := func(n *Node[D]) bool { _, is := doomed[n]; return is }
	robbed := make(map[*Node[D]]struct{}) // parents that stay
	for _, n := range nodes {
		delete(t.nodes, n.Hash())
		delete(t.tips, n)
		t.heads.set(n, false)
		t.ends.set(n, false)
		best = best || n == t.best
		if p := n.parent; !isDoomed(p) {
			p.sound += step(n.faults == 0, false)
			p.going += step(n.continues(), false)
			robbed[p] = struct{}{}
		}
	}
	for p := range robbed {
		p.children = slices.DeleteFunc(p.children, isDoomed)
		if len(p.children) == 0 {
			t.tips[p] = struct{}{}
		}
		t.rank(p)
	}
	if best {
		t.findBest()
	}
	return best
}
