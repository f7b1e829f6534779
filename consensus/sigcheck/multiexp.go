package sigcheck

// multiExp adds up points times short scalars, by Pippenger's bucket method
// with signed digits (Bernstein, Doumen, Lange, Oosterwijk: Faster Batch
// Forgery Identification, INDOCRYPT 2012, section 4). Its memory is kept for
// the next time.
type multiExp struct {
	points []point
	digits []digits

	width   uint // bits of a digit
	windows int  // digits of a scalar

	sums    sums
	scratch []point
	lengths []int32
	fill    []int32
	buckets []point // of each window those for 0 (unused) to 2^(width−1)
	odd     []point
	last    []int32
}

// digits is the magnitude of a scalar and its sign. bias adds 2^(width−1) to
// each digit, so that taking that off again makes digits from −2^(width−1) to
// 2^(width−1)−1.
type digits struct {
	limbs    [3]uint64
	negative bool
}

// gather bounds the points that are copied together at one time, for the sake
// of the processor's cache.
const gather = 16384

func (m *multiExp) reset() { m.points, m.digits = m.points[:0], m.digits[:0] }

// add appends k·p to the sum.
func (m *multiExp) add(p *point, k short) {
	m.points = append(m.points, *p)
	m.digits = append(m.digits, digits{[3]uint64{k.lo, k.hi, 0}, k.negative})
}

// isZero reports whether the sum is the point at infinity.
func (m *multiExp) isZero() bool {
	m.choose()
	m.bias()
	half := 1 << (m.width - 1)
	m.buckets = grow(m.buckets, m.windows*(half+1))
	group := max(1, gather/max(1, len(m.points)))
	for first := 0; first < m.windows; first += group {
		m.fillBuckets(first, min(first+group, m.windows))
	}
	return m.combine()
}

// choose finds the width with the fewest additions: in every window one for
// each point and two for each bucket. The windows have two bits more than a
// scalar, for the carry that negative digits make.
func (m *multiExp) choose() {
	best := -1
	for width := uint(3); width <= 12; width++ {
		windows := int(128+2+width-1) / int(width)
		cost := windows * (len(m.points) + 2<<(width-1))
		if best < 0 || cost < best {
			best, m.width, m.windows = cost, width, windows
		}
	}
}

// bias makes digits of the scalars.
func (m *multiExp) bias() {
	var halves [3]uint64
	for w := range m.windows {
		bit := uint(w)*m.width + m.width - 1
		halves[bit/64] |= 1 << (bit % 64)
	}
	for i := range m.digits {
		d := &m.digits[i]
		d.limbs = sub192(d.limbs, sub192([3]uint64{}, halves))
	}
}

// digit is the digit at the given window.
func (m *multiExp) digit(d *digits, window int) int {
	at := uint(window) * m.width
	limb, shift := at/64, at%64
	v := d.limbs[limb] >> shift
	if shift+m.width > 64 && limb < 2 {
		v |= d.limbs[limb+1] << (64 - shift)
	}
	digit := int(v&(1<<m.width-1)) - 1<<(m.width-1)
	if d.negative {
		return -digit
	}
	return digit
}

// fillBuckets adds, for the windows from first to end, each point to the bucket
// of its digit.
func (m *multiExp) fillBuckets(first, end int) {
	perWindow := 1<<(m.width-1) + 1
	m.lengths = grow(m.lengths, (end-first)*perWindow)
	m.fill = grow(m.fill, (end-first)*perWindow)
	clear(m.lengths)
	for i := range m.digits {
		for w := first; w < end; w++ {
			d := m.digit(&m.digits[i], w)
			m.lengths[(w-first)*perWindow+max(d, -d)]++
		}
	}
	total := int32(0)
	for i := range m.lengths {
		if i%perWindow == 0 {
			m.lengths[i] = 0 // a digit 0 adds nothing
		}
		m.fill[i] = total
		total += m.lengths[i]
	}
	m.scratch = grow(m.scratch, int(total))
	for i := range m.digits {
		for w := first; w < end; w++ {
			d := m.digit(&m.digits[i], w)
			if d == 0 {
				continue
			}
			at := &m.fill[(w-first)*perWindow+max(d, -d)]
			p := &m.scratch[*at]
			*at++
			*p = m.points[i]
			if d < 0 {
				p.y.negate(&p.y)
			}
		}
	}
	m.sums.run(m.scratch, m.lengths)
	spread(m.buckets[first*perWindow:end*perWindow], m.scratch, m.lengths)
}

// spread puts the sums of lists into one place each.
func spread(into, from []point, lengths []int32) {
	next := 0
	for i, l := range lengths {
		if l == 0 {
			into[i] = point{}
			continue
		}
		into[i] = from[next]
		next++
	}
}

// combine reports whether the sum of all buckets, each times the digit that it
// stands for, is zero. What stands for odd digits counts once; then neighbours
// are added, 2k to 2k+1, and the rest is twice what comes out for half as many
// digits. So for every bit there is a list of points to add up. All windows
// are done together, for the sake of the common inversions.
func (m *multiExp) combine() bool {
	half := 1 << (m.width - 1)
	perWindow := half + 1
	m.odd, m.last = m.odd[:0], m.last[:0]
	for size := half; size > 1; size /= 2 {
		m.scratch, m.lengths = m.scratch[:0], m.lengths[:0]
		for w := range m.windows {
			buckets := m.buckets[w*perWindow : w*perWindow+size]
			m.odd, m.last = collect(m.odd, m.last, buckets[1:], 2)
			for k := 2; k < size; k += 2 {
				m.scratch, m.lengths = collect(m.scratch, m.lengths, buckets[k:k+2], 1)
			}
		}
		m.sums.run(m.scratch, m.lengths)
		next, left := m.scratch, m.lengths
		for w := range m.windows {
			n := size/2 - 1
			if n < 1 {
				continue
			}
			used := 0
			for _, l := range left[:n] {
				used += int(l)
			}
			spread(m.buckets[w*perWindow+1:w*perWindow+1+n], next, left[:n])
			next, left = next[used:], left[n:]
		}
	}
	m.sums.run(m.odd, m.last)

	bits := m.scratch[:0]
	bits = grow(bits, len(m.last))
	spread(bits, m.odd, m.last)
	var total jacobian
	for w := m.windows - 1; w >= 0; w-- {
		total.double()
		total.add(&m.buckets[w*perWindow+half]) // the one digit with the highest bit
		for bit := int(m.width) - 2; bit >= 0; bit-- {
			total.double()
			total.add(&bits[bit*m.windows+w])
		}
	}
	return total.infinite()
}

// collect appends every step-th of from as one list.
func collect(points []point, lengths []int32, from []point, step int) ([]point, []int32) {
	n := int32(0)
	for i := 0; i < len(from); i += step {
		if !from[i].infinite() {
			points = append(points, from[i])
			n++
		}
	}
	return points, append(lengths, n)
}

// grow gives s the length n, and does not care what is in it.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}
