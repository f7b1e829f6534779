package blockfile

import "cmp"

// Position is where a record's payload lies in the block or undo files.
type Position struct {
	File, Offset, Size uint32
}

// Compare orders positions by when they were written.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Offset, q.Offset))
}

// Order is a number that orders positions as compare does. It is not 0 for that of a
// block, which has a frame before it.
func (p Position) Order() uint64 { return uint64(p.File)<<32 | uint64(p.Offset) }
