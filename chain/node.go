package chain

import (
	"encoding/binary"

	"lode/chain/blockfile"
	"lode/chain/headertree"
	"lode/consensus"
)

// node is a header in the tree, with what the ledger keeps of its block.
type node = headertree.Node[kept]

// kept is what the ledger keeps of a block besides what the tree knows.
type kept struct {
	status status
	sum    uint32             // of the block's bytes, where statusSummed is set
	txs    uint32             // of the block, where statusCounted is set
	body   blockfile.Position // where the node is stored; stale else
	undo   blockfile.Position // where statusUndo is set
}

type status byte

const (
	statusUndo   status = 1 << 1 // it has been connected once: it is valid, and its undo data is stored
	statusPruned status = 1 << 3 // the block was removed after it had become part of the active chain
	statusSummed status = 1 << 4 // the record has a checksum of the block

	statusAssumed status = 1 << 6 // the ledger began with a snapshot after it, so that its chain counts as complete without the block

	statusCounted status = 1 << 7 // the record says how many transactions the block has, also after it was pruned

	// What the tree knows is kept in these bits of a record, and only there.
	recordStored      status = 1 << 0
	recordBroken      status = 1 << 2
	recordInvalidated status = 1 << 5
)

// has reports whether any of the bits of s is set.
func (k *kept) has(s status) bool { return k.status&s != 0 }

// record is how a node is kept in the database, under its hash: header, height,
// sequence number, status, two positions, and the checksum of the block and the
// number of its transactions, where statusSummed and statusCounted say that they
// are there.
func record(n *node) []byte {
	bits := n.Own.status
	if n.IsStored() {
		bits |= recordStored
	}
	if n.IsBroken() {
		bits |= recordBroken
	}
	if n.IsInvalidated() {
		bits |= recordInvalidated
	}
	b := n.Header().Append(make([]byte, 0, consensus.HeaderSize+48))
	b = binary.LittleEndian.AppendUint32(b, n.Height())
	b = binary.LittleEndian.AppendUint64(b, n.Seq())
	b = append(b, byte(bits))
	for _, p := range []blockfile.Position{n.Own.body, n.Own.undo} {
		b = binary.LittleEndian.AppendUint32(b, p.File)
		b = binary.LittleEndian.AppendUint32(b, p.Offset)
		b = binary.LittleEndian.AppendUint32(b, p.Size)
	}
	if n.Own.has(statusSummed) {
		b = binary.LittleEndian.AppendUint32(b, n.Own.sum)
	}
	if n.Own.has(statusCounted) {
		b = binary.LittleEndian.AppendUint32(b, n.Own.txs)
	}
	return b
}

// savedNode is a node as its record has it, which says nothing of its parent but the
// hash, and of its state only the height.
type savedNode struct {
	headertree.Saved
	own    kept
	height uint32
}

// readRecord is the inverse of record.
func readRecord(b []byte) (s savedNode, err error) {
	d := consensus.NewDecoder(b)
	s.Header = d.Header()
	s.height = d.Uint32()
	s.Seq = d.Uint64()
	bits := status(d.Uint8())
	s.own.status = bits &^ (recordStored | recordBroken | recordInvalidated)
	for _, p := range []*blockfile.Position{&s.own.body, &s.own.undo} {
		*p = blockfile.Position{File: d.Uint32(), Offset: d.Uint32(), Size: d.Uint32()}
	}
	if bits&recordStored != 0 {
		s.Place = s.own.body.Order()
	}
	if bits&recordBroken != 0 {
		s.Faults |= headertree.Broken
	}
	if bits&recordInvalidated != 0 {
		s.Faults |= headertree.Invalidated
	}
	if s.own.has(statusSummed) {
		s.own.sum = d.Uint32()
	}
	if s.own.has(statusCounted) {
		s.own.txs = d.Uint32()
	}
	return s, d.Finish()
}
