package linearize

import "cmp"

// Improves reports whether the fee rate diagram of chunks a, the fees of the
// best part of every size, is nowhere below that of b and somewhere above it.
// Where one ends its fees stay the same. Both are sorted.
func Improves(a, b []FeeWeight) bool {
	above := false
	var atA, atB FeeWeight // the corners before
	for len(a) > 0 || len(b) > 0 {
		// The next corner in the direction of size, and the line of the other
		// diagram over it.
		fromA := len(b) == 0 || len(a) > 0 && atA.Weight+a[0].Weight <= atB.Weight+b[0].Weight
		var corner, line, slope FeeWeight
		if fromA {
			corner, line = atA.Plus(a[0]), atB
			atA, a = corner, a[1:]
			slope = next(b)
		} else {
			corner, line = atB.Plus(b[0]), atA
			atB, b = corner, b[1:]
			slope = next(a)
		}
		c := corner.Minus(line).Compare(slope)
		if corner.Weight == line.Weight { // no line, only a height
			c = cmp.Compare(corner.Fee, line.Fee)
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
func next(chunks []FeeWeight) FeeWeight {
	if len(chunks) == 0 {
		return FeeWeight{0, 1}
	}
	return chunks[0]
}
