package sigcheck

// minVector is how many additions are worth a round of vectors, whose common
// inversion costs more.
const minVector = 32

// vectorSums is a round of sums with vectors: eight additions at once. It knows
// ordinary ones only.
type vectorSums struct {
	from   [][lanes]uint32 // where the first point of each addition is
	to     [][lanes]uint32 // where the result belongs
	slopes []vectorSlope
}

// vectorSlope is, of eight additions, what a slope is of one.
type vectorSlope struct{ below, after vector }

// round adds neighbours in points, of which there are n pairs, and puts the
// shorter lists into the memory of result. If points that meet are equal or
// opposite, which makes the product of all denominators zero, it leaves points
// and lengths as they are and reports false.
func (s *vectorSums) round(result, points []point, lengths []int32, n int) (left []point, ok bool) {
	result = result[:len(points)-n]
	s.plan(result, points, lengths, n)
	var ax, ay, bx, by vector
	var product, inverse vector
	for lane := range lanes {
		product.set(lane, &element{1})
	}
	s.slopes = grow(s.slopes, len(s.from))
	for i := range s.from {
		vectorGather(&ax, &ay, &points[0], &s.from[i])
		vectorGather(&bx, &by, &points[1], &s.from[i])
		t := &s.slopes[i]
		vectorSub(&t.below, &bx, &ax)
		t.after = product
		vectorMul(&product, &product, &t.below)
	}
	for lane := range lanes {
		if x := product.get(lane); x.isZero() {
			return nil, false
		}
	}
	inverse.raise(&product, inverseChain)
	for i := len(s.from) - 1; i >= 0; i-- {
		t := &s.slopes[i]
		vectorGather(&ax, &ay, &points[0], &s.from[i])
		vectorGather(&bx, &by, &points[1], &s.from[i])
		vectorMul(&t.after, &t.after, &inverse) // 1/below
		vectorMul(&inverse, &inverse, &t.below)
		vectorSub(&by, &by, &ay)
		vectorMul(&by, &by, &t.after) // the slope
		vectorSquares(&t.after, &by, 1)
		vectorSub(&t.after, &t.after, &ax)
		vectorSub(&bx, &t.after, &bx) // x
		vectorSub(&ax, &ax, &bx)
		vectorMul(&ax, &ax, &by)
		vectorSub(&ay, &ax, &ay) // y
		vectorScatter(&result[0], &s.to[i], &bx, &ay)
	}
	for i, l := range lengths {
		lengths[i] = (l + 1) / 2
	}
	return result, true
}

// plan finds the pairs, and moves the points that are left over. The last eight
// may have the last pair several times.
func (s *vectorSums) plan(result, points []point, lengths []int32, n int) {
	s.from = grow(s.from, (n+lanes-1)/lanes)
	s.to = grow(s.to, len(s.from))
	var in, out uint32
	next := 0
	for _, l := range lengths {
		for range l / 2 {
			s.from[next/lanes][next%lanes], s.to[next/lanes][next%lanes] = in, out
			next++
			in, out = in+2, out+1
		}
		if l%2 == 1 {
			result[out] = points[in]
			in, out = in+1, out+1
		}
	}
	for ; next%lanes != 0; next++ {
		last := &s.from[next/lanes]
		last[next%lanes], s.to[next/lanes][next%lanes] = last[next%lanes-1], s.to[next/lanes][next%lanes-1]
	}
}
