package sigcheck

// sums adds up many lists of points at once. An addition in affine coordinates
// needs one inversion, and one inversion serves all that are independent of
// each other (Montgomery: Speeding the Pollard and Elliptic Curve Methods of
// Factorization, 1987, section 10.3.1): 6 multiplications each instead of the
// 11 to 16 of projective coordinates. So in every round each list adds its
// neighbours and gets half as long.
type sums struct {
	slopes []slope
	vector vectorSums
	spare  []point
}

// slope is one addition in progress.
type slope struct {
	below element // its denominator
	after element // the product of the denominators of all that follow
	kind  additionKind
}

type additionKind uint8

const (
	ordinary additionKind = iota
	takeFirst
	takeSecond
	doubling
	cancelling
)

// run replaces every list in points, one behind the other and of the given
// lengths, by its sum. Afterwards lengths are 0 or 1.
func (s *sums) run(points []point, lengths []int32) {
	plain := !vectorized
	s.spare = grow(s.spare, len(points))
	result, other := points, s.spare
	for {
		n := 0
		for _, l := range lengths {
			n += int(l / 2)
		}
		if n == 0 {
			break
		}
		if !plain && n >= minVector {
			if left, ok := s.vector.round(other, result, lengths, n); ok {
				result, other = left, result
				continue
			}
			plain = true // from here on there may be points at infinity
		}
		s.slopes = grow(s.slopes, n)
		result = s.round(result, lengths, s.slopes)
	}
	copy(points, result)
}

// round adds neighbours. It collects the denominators from the end, so that
// results can go to the front of the points while they are consumed.
func (s *sums) round(points []point, lengths []int32, slopes []slope) []point {
	product := element{1}
	end, next := len(points), len(slopes)
	for i := len(lengths) - 1; i >= 0; i-- {
		end -= int(lengths[i])
		for j := end + int(lengths[i]&^1) - 2; j >= end; j -= 2 {
			next--
			t := &slopes[next]
			t.prepare(&points[j], &points[j+1])
			t.after = product
			product.mul(&product, &t.below)
		}
	}
	product.raise(&product, inverseChain)
	in, out := 0, 0
	for i, l := range lengths {
		for range l / 2 {
			t := &slopes[next]
			next++
			t.after.mul(&t.after, &product) // 1/below
			product.mul(&product, &t.below)
			t.finish(&points[out], &points[in], &points[in+1])
			in, out = in+2, out+1
		}
		if l&1 == 1 {
			points[out] = points[in]
			in, out = in+1, out+1
		}
		lengths[i] = (l + 1) / 2
	}
	return points[:out]
}

// prepare finds the denominator of a + b.
func (t *slope) prepare(a, b *point) {
	t.kind = ordinary
	t.below.sub(&b.x, &a.x)
	switch {
	case a.infinite():
		t.kind, t.below = takeSecond, element{1}
	case b.infinite():
		t.kind, t.below = takeFirst, element{1}
	case !t.below.isZero():
	case a.y.equal(&b.y):
		t.kind = doubling
		t.below.add(&a.y, &a.y) // never 0: no point has order 2
	default:
		t.kind, t.below = cancelling, element{1}
	}
}

// finish sets z to a + b, where t.after is the inverse of the denominator.
func (t *slope) finish(z, a, b *point) {
	var m, x, y element
	switch t.kind {
	case takeFirst:
		*z = *a
		return
	case takeSecond:
		*z = *b
		return
	case cancelling:
		*z = point{}
		return
	case doubling:
		y.square(&a.x)
		m.add(&y, &y)
		m.add(&m, &y)
	default:
		m.sub(&b.y, &a.y)
	}
	m.mul(&m, &t.after)
	x.square(&m)
	x.sub(&x, &a.x)
	x.sub(&x, &b.x)
	y.sub(&a.x, &x)
	y.mul(&y, &m)
	y.sub(&y, &a.y)
	z.x, z.y = x, y
}
