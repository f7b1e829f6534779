package sigcheck

import (
	"encoding/binary"
	"math/bits"
)

// scalar is a number modulo n, the order of secp256k1's group, least
// significant limb first. Like an element it may be n or more in between.
type scalar [4]uint64

// short is a number of 128 bits with its sign.
type short struct {
	lo, hi   uint64
	negative bool
}

var (
	order = scalar{0xbfd25e8cd0364141, 0xbaaedce6af48a03b, 0xfffffffffffffffe, 0xffffffffffffffff}
	// orderFold is 2²⁵⁶ modulo n.
	orderFold = [4]uint64{0x402da1732fc9bebf, 0x4551231950b75fc4, 1, 0}
)

// setBytes reports whether b, big-endian, is below n.
func (k *scalar) setBytes(b *[32]byte) bool {
	for i := range k {
		k[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	return !k.overflows()
}

func (k *scalar) overflows() bool {
	var c uint64
	for i := range k {
		_, c = bits.Sub64(k[i], order[i], c)
	}
	return c == 0
}

// add sets k to x + y.
func (k *scalar) add(x, y *scalar) {
	var c uint64
	for i := range k {
		k[i], c = bits.Add64(x[i], y[i], c)
	}
	k.foldIn(c, 0)
}

// foldIn adds (hi·2⁶⁴ + lo)·2²⁵⁶ to k.
func (k *scalar) foldIn(lo, hi uint64) {
	for lo|hi != 0 {
		m0, m1, m2, m3, m4 := row(lo, &orderFold)
		n0, n1, n2, n3, n4 := row(hi, &orderFold)
		var c, d uint64
		m1, c = bits.Add64(m1, n0, 0)
		m2, c = bits.Add64(m2, n1, c)
		m3, c = bits.Add64(m3, n2, c)
		m4 += n3 + c // of n4 nothing is left: orderFold has three limbs
		_ = n4
		k[0], d = bits.Add64(k[0], m0, 0)
		k[1], d = bits.Add64(k[1], m1, d)
		k[2], d = bits.Add64(k[2], m2, d)
		k[3], d = bits.Add64(k[3], m3, d)
		lo, hi = m4+d, 0
	}
}

// mulShort sets k to x·y; y's sign is not looked at.
func (k *scalar) mulShort(x *scalar, y *short) {
	m0, m1, m2, m3, m4 := row(y.lo, (*[4]uint64)(x))
	n0, n1, n2, n3, n4 := row(y.hi, (*[4]uint64)(x))
	var c uint64
	m1, c = bits.Add64(m1, n0, 0)
	m2, c = bits.Add64(m2, n1, c)
	m3, c = bits.Add64(m3, n2, c)
	m4, c = bits.Add64(m4, n3, c)
	*k = scalar{m0, m1, m2, m3}
	k.foldIn(m4, n4+c)
}

// The endomorphism of secp256k1: λ·(x, y) = (β·x, y), where λ³ = 1 modulo n and
// β³ = 1 modulo p. (a1, b1) and (a2, b2) with b1 < 0 and b2 = a1 are a short
// basis of the pairs (u, v) with u + v·λ = 0; g1 and g2 are b2/n and −b1/n,
// times 2³⁸⁴ (Gallant, Lambert, Vanstone: Faster Point Multiplication on
// Elliptic Curves with Efficient Endomorphisms, CRYPTO 2001; Guide to Elliptic
// Curve Cryptography, algorithm 3.74).
var (
	beta   = element{0xc1396c28719501ee, 0x9cf0497512f58995, 0x6e64479eac3434e9, 0x7ae96a2b657c0710}
	a1     = [3]uint64{0xe86c90e49284eb15, 0x3086d221a7d46bcd, 0}
	a2     = [3]uint64{0x57c1108d9d44cfd8, 0x14ca50f7a8e2f3f6, 1}
	minus1 = [3]uint64{0x6f547fa90abfe4c3, 0xe4437ed6010e8828, 0} // −b1
	g1     = [4]uint64{0xe893209a45dbb031, 0x3daa8a1471e8ca7f, 0xe86c90e49284eb15, 0x3086d221a7d46bcd}
	g2     = [4]uint64{0x1571b4ae8ac47f71, 0x221208ac9df506c6, 0x6f547fa90abfe4c4, 0xe4437ed6010e8828}
)

// split gives u and v with k = u + v·λ. Both are at most about 2¹²⁷·⁴: a
// combination of the basis near (k, 0) is taken off it. Where only 192 bits of
// the difference are left, 192 bits of its terms are enough.
func (k *scalar) split() (u, v short) {
	c1, c2 := mulShift384(k, &g1), mulShift384(k, &g2)
	low := [3]uint64{k[0], k[1], k[2]}
	low = sub192(low, mul192(c1, &a1))
	low = sub192(low, mul192(c2, &a2))
	return shortOf(low), shortOf(sub192(mul192(c1, &minus1), mul192(c2, &a1)))
}

// mulShift384 is x·g / 2³⁸⁴, rounded.
func mulShift384(x *scalar, g *[4]uint64) [2]uint64 {
	var r [8]uint64
	for i, limb := range x {
		m0, m1, m2, m3, m4 := row(limb, g)
		var c uint64
		r[i], c = bits.Add64(r[i], m0, 0)
		r[i+1], c = bits.Add64(r[i+1], m1, c)
		r[i+2], c = bits.Add64(r[i+2], m2, c)
		r[i+3], c = bits.Add64(r[i+3], m3, c)
		r[i+4] = m4 + c
	}
	lo, c := bits.Add64(r[6], r[5]>>63, 0)
	return [2]uint64{lo, r[7] + c}
}

// mul192 is x·y modulo 2¹⁹².
func mul192(x [2]uint64, y *[3]uint64) [3]uint64 {
	h00, r0 := bits.Mul64(x[0], y[0])
	h01, l01 := bits.Mul64(x[0], y[1])
	h10, l10 := bits.Mul64(x[1], y[0])
	r1, c := bits.Add64(h00, l01, 0)
	r2 := h01 + c
	r1, c = bits.Add64(r1, l10, 0)
	return [3]uint64{r0, r1, r2 + h10 + c + x[0]*y[2] + x[1]*y[1]}
}

func sub192(x, y [3]uint64) [3]uint64 {
	r0, c := bits.Sub64(x[0], y[0], 0)
	r1, c := bits.Sub64(x[1], y[1], c)
	return [3]uint64{r0, r1, x[2] - y[2] - c}
}

// shortOf is x, in two's complement, whose magnitude has 128 bits.
func shortOf(x [3]uint64) short {
	if x[2]>>63 == 1 {
		x = sub192([3]uint64{}, x)
		return short{x[0], x[1], true}
	}
	return short{x[0], x[1], false}
}
