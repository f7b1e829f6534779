package chain

import (
	"cmp"
	"encoding/binary"
	"slices"

	"lode/consensus"
)

// node is a header in the index and what is known of its block.
type node struct {
	parent   *node // nil for genesis
	children []*node
	header   consensus.Header
	state    consensus.State // after this block
	seq      uint64          // when its chain's bodies became complete; 0 while they are not
	status   status
	sum      uint32   // of the block's bytes, where statusSummed is set
	txs      uint32   // of the block, where statusCounted is set
	body     position // where statusBody is set
	undo     position // where statusUndo is set

	preferred uint64 // the highest of those with the same work is preferred, see Chain.PreciousBlock
}

type status byte

const (
	statusBody   status = 1 << iota // the block is stored
	statusUndo                      // it has been connected once: it is valid, and its undo data is stored
	statusFailed                    // it or an ancestor broke a rule
	statusPruned                    // the block was removed after it had become part of the active chain

	statusSummed status = 1 << 4 // the record has a checksum of the block

	// statusInvalidated is the operator's word, not that of the rules: it or an
	// ancestor was named to InvalidateBlock.
	statusInvalidated status = 1 << 5

	statusAssumed status = 1 << 6 // the ledger began with a snapshot after it, so that its chain counts as complete without the block

	statusCounted status = 1 << 7 // the record says how many transactions the block has, also after it was pruned

	// statusInvalid is what cannot be part of the active chain, for whichever of
	// the two reasons.
	statusInvalid = statusFailed | statusInvalidated
)

// has reports whether n has any of the bits of s.
func (n *node) has(s status) bool { return n.status&s != 0 }

func (n *node) hash() consensus.Hash { return n.state.Hash }

func (n *node) height() uint32 { return n.state.Height }

// better orders the candidates for the tip: more work first, and at equal work
// the one that the operator prefers, or that was complete first.
func (n *node) better(than *node) bool {
	if c := n.state.Work.Cmp(&than.state.Work); c != 0 {
		return c > 0
	}
	if n.preferred != than.preferred {
		return n.preferred > than.preferred
	}
	return n.seq < than.seq
}

// waiting lists the children whose blocks are stored, in the order in which they
// came.
func (n *node) waiting() []*node {
	var nodes []*node
	for _, child := range n.children {
		if child.has(statusBody) {
			nodes = append(nodes, child)
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return a.body.compare(b.body) })
	return nodes
}

// ancestor walks back to a height that is not above n's.
func (n *node) ancestor(height uint32) *node {
	for n.height() > height {
		n = n.parent
	}
	return n
}

// fork is the last common ancestor of a and b.
func fork(a, b *node) *node {
	a, b = a.ancestor(min(a.height(), b.height())), b.ancestor(min(a.height(), b.height()))
	for a != b {
		a, b = a.parent, b.parent
	}
	return a
}

// path lists the nodes after from, an ancestor of to, up to to.
func path(from, to *node) []*node {
	nodes := make([]*node, 0, to.height()-from.height())
	for n := to; n != from; n = n.parent {
		nodes = append(nodes, n)
	}
	slices.Reverse(nodes)
	return nodes
}

// position is where a record's payload lies in the block or undo files.
type position struct {
	File, Offset, Size uint32
}

// compare orders positions by when they were written.
func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Offset, q.Offset))
}

// record is how a node is kept in the database, under its hash: header, height,
// sequence number, status, two positions, and the checksum of the block and the
// number of its transactions, where statusSummed and statusCounted say that they
// are there.
func (n *node) record() []byte {
	b := n.header.Append(make([]byte, 0, consensus.HeaderSize+40))
	b = binary.LittleEndian.AppendUint32(b, n.height())
	b = binary.LittleEndian.AppendUint64(b, n.seq)
	b = append(b, byte(n.status))
	for _, p := range []position{n.body, n.undo} {
		b = binary.LittleEndian.AppendUint32(b, p.File)
		b = binary.LittleEndian.AppendUint32(b, p.Offset)
		b = binary.LittleEndian.AppendUint32(b, p.Size)
	}
	if n.has(statusSummed) {
		b = binary.LittleEndian.AppendUint32(b, n.sum)
	}
	if n.has(statusCounted) {
		b = binary.LittleEndian.AppendUint32(b, n.txs)
	}
	return b
}

// readRecord is the inverse of record, but for the parent and the state, of
// which it only gives the height.
func readRecord(b []byte) (n *node, height uint32, err error) {
	d := consensus.NewDecoder(b)
	n = &node{header: d.Header()}
	height = d.Uint32()
	n.seq = d.Uint64()
	n.status = status(d.Uint8())
	for _, p := range []*position{&n.body, &n.undo} {
		*p = position{d.Uint32(), d.Uint32(), d.Uint32()}
	}
	if n.has(statusSummed) {
		n.sum = d.Uint32()
	}
	if n.has(statusCounted) {
		n.txs = d.Uint32()
	}
	return n, height, d.Finish()
}
