package sigcheck

// lanes is how many elements a vector has.
const lanes = 8

// vector is some elements side by side, in limbs of 52 bits, least significant
// first. Between operations the last limb has at most 49.
type vector [5][lanes]uint64

const mask52 = 1<<52 - 1

func (v *vector) set(lane int, x *element) {
	v[0][lane] = x[0] & mask52
	v[1][lane] = (x[0]>>52 | x[1]<<12) & mask52
	v[2][lane] = (x[1]>>40 | x[2]<<24) & mask52
	v[3][lane] = (x[2]>>28 | x[3]<<36) & mask52
	v[4][lane] = x[3] >> 16
}

func (v *vector) get(lane int) element {
	x := element{
		v[0][lane] | v[1][lane]<<52,
		v[1][lane]>>12 | v[2][lane]<<40,
		v[2][lane]>>24 | v[3][lane]<<28,
		v[3][lane]>>36 | v[4][lane]<<16,
	}
	if v[4][lane]>>48 != 0 {
		x.add(&x, &element{fold})
	}
	return x
}

// roots sets each element of z to a square root of that of x. Where there is
// none the result means nothing.
func roots(z, x []element) {
	if !vectorized {
		for i := range x {
			z[i].raise(&x[i], rootChain)
		}
		return
	}
	for len(x) > 0 {
		var v vector
		n := min(lanes, len(x))
		for i := range n {
			v.set(i, &x[i])
		}
		v.raise(&v, rootChain)
		for i := range n {
			z[i] = v.get(i)
		}
		z, x = z[n:], x[n:]
	}
}
