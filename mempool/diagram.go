package mempool

import (
	"cmp"
	"slices"
)

// sortedChunks lists the chunks of clusters from the best paying on: their fee
// rate diagram.
func sortedChunks(clusters []*cluster) (chunks []feeWeight) {
	for _, c := range clusters {
		for i := range c.chunks {
			chunks = append(chunks, c.chunks[i].feeWeight)
		}
	}
	slices.SortFunc(chunks, func(a, b feeWeight) int { return b.compare(a) })
	return chunks
}

// improves reports whether the fee rate diagram of chunks a, the fees of the
// best part of every size, is nowhere below that of b and somewhere above it.
// Where one ends its fees stay the same. Both are sorted.
func improves(a, b []feeWeight) bool {
	above := false
	var atA, atB feeWeight // the corners before
	for len(a) > 0 || len(b) > 0 {
		// The next corner in the direction of size, and the line of the other
		// diagram over it.
		fromA := len(b) == 0 || len(a) > 0 && atA.weight+a[0].weight <= atB.weight+b[0].weight
		var corner, line, slope feeWeight
		if fromA {
			corner, line = atA.plus(a[0]), atB
			atA, a = corner, a[1:]
			slope = next(b)
		} else {
			corner, line = atB.plus(b[0]), atA
			atB, b = corner, b[1:]
			slope = next(a)
		}
		c := corner.minus(line).compare(slope)
		if corner.weight == line.weight { // no line, only a height
			c = cmp.Compare(corner.fee, line.fee)
		}
		if !fromA {
			c = -c
		}
		if c < 0 {
			return false
		}
		above = above || c > 0
	}
	return above
}

// next is the slope of a diagram that goes on with chunks.
func next(chunks []feeWeight) feeWeight {
	if len(chunks) == 0 {
		return feeWeight{0, 1}
	}
	return chunks[0]
}
