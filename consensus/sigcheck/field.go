package sigcheck

import (
	"encoding/binary"
	"math/bits"
)

// element is a number modulo p = 2²⁵⁶ − fold, the field of secp256k1, least
// significant limb first. Any 256-bit value may stand for its residue: what
// results from arithmetic may be p or more until normalize. Nothing here is
// secret, so nothing runs in constant time.
type element [4]uint64

// fold is 2²⁵⁶ modulo p: what overflows comes back in at the bottom, times this.
const fold = 1<<32 + 977

// prime is p.
var prime = element{-fold & (1<<64 - 1), 1<<64 - 1, 1<<64 - 1, 1<<64 - 1}

// setBytes reports whether b, big-endian, is below p, as BIP340 wants of every
// coordinate.
func (z *element) setBytes(b *[32]byte) bool {
	for i := range z {
		z[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	return !z.overflows()
}

// overflows reports whether the value is p or more.
func (z *element) overflows() bool {
	return z[3]&z[2]&z[1] == 1<<64-1 && z[0] >= prime[0]
}

// normalize makes z the least value of its residue.
func (z *element) normalize() {
	if z.overflows() {
		*z = element{z[0] - prime[0]}
	}
}

func (z *element) isZero() bool {
	return z[0]|z[1]|z[2]|z[3] == 0 || *z == prime
}

func (z *element) isOdd() bool {
	z.normalize()
	return z[0]&1 == 1
}

// equal reports whether z and x have the same residue.
func (z *element) equal(x *element) bool {
	var d element
	d.sub(z, x)
	return d.isZero()
}

// add sets z to x + y.
func (z *element) add(x, y *element) {
	var c uint64
	z[0], c = bits.Add64(x[0], y[0], 0)
	z[1], c = bits.Add64(x[1], y[1], c)
	z[2], c = bits.Add64(x[2], y[2], c)
	z[3], c = bits.Add64(x[3], y[3], c)
	z[0], c = bits.Add64(z[0], -c&fold, 0)
	z[1], c = bits.Add64(z[1], 0, c)
	z[2], c = bits.Add64(z[2], 0, c)
	z[3], c = bits.Add64(z[3], 0, c)
	z[0] += -c & fold // after a second overflow what is left is below fold
}

// sub sets z to x − y.
func (z *element) sub(x, y *element) {
	var c uint64
	z[0], c = bits.Sub64(x[0], y[0], 0)
	z[1], c = bits.Sub64(x[1], y[1], c)
	z[2], c = bits.Sub64(x[2], y[2], c)
	z[3], c = bits.Sub64(x[3], y[3], c)
	z[0], c = bits.Sub64(z[0], -c&fold, 0)
	z[1], c = bits.Sub64(z[1], 0, c)
	z[2], c = bits.Sub64(z[2], 0, c)
	z[3], c = bits.Sub64(z[3], 0, c)
	z[0] -= -c & fold // after a second borrow what is left is above 2²⁵⁶ − fold
}

// negate sets z to −x.
func (z *element) negate(x *element) { z.sub(&element{}, x) }

// row is a·y, five limbs.
func row(a uint64, y *[4]uint64) (r0, r1, r2, r3, r4 uint64) {
	var c uint64
	h0, l0 := bits.Mul64(a, y[0])
	h1, l1 := bits.Mul64(a, y[1])
	h2, l2 := bits.Mul64(a, y[2])
	h3, l3 := bits.Mul64(a, y[3])
	r1, c = bits.Add64(h0, l1, 0)
	r2, c = bits.Add64(h1, l2, c)
	r3, c = bits.Add64(h2, l3, c)
	return l0, r1, r2, r3, h3 + c
}

// mul sets z to x·y. It is written without loops or helpers because the
// compiler keeps limbs in registers only then.
func (z *element) mul(x, y *element) {
	y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
	var c, r0, r1, r2, r3, r4, r5, r6, r7 uint64

	h0, l0 := bits.Mul64(x[0], y0)
	h1, l1 := bits.Mul64(x[0], y1)
	h2, l2 := bits.Mul64(x[0], y2)
	h3, l3 := bits.Mul64(x[0], y3)
	r0 = l0
	r1, c = bits.Add64(h0, l1, 0)
	r2, c = bits.Add64(h1, l2, c)
	r3, c = bits.Add64(h2, l3, c)
	r4 = h3 + c

	h0, l0 = bits.Mul64(x[1], y0)
	h1, l1 = bits.Mul64(x[1], y1)
	h2, l2 = bits.Mul64(x[1], y2)
	h3, l3 = bits.Mul64(x[1], y3)
	l1, c = bits.Add64(h0, l1, 0)
	l2, c = bits.Add64(h1, l2, c)
	l3, c = bits.Add64(h2, l3, c)
	h3 += c
	r1, c = bits.Add64(r1, l0, 0)
	r2, c = bits.Add64(r2, l1, c)
	r3, c = bits.Add64(r3, l2, c)
	r4, c = bits.Add64(r4, l3, c)
	r5 = h3 + c

	h0, l0 = bits.Mul64(x[2], y0)
	h1, l1 = bits.Mul64(x[2], y1)
	h2, l2 = bits.Mul64(x[2], y2)
	h3, l3 = bits.Mul64(x[2], y3)
	l1, c = bits.Add64(h0, l1, 0)
	l2, c = bits.Add64(h1, l2, c)
	l3, c = bits.Add64(h2, l3, c)
	h3 += c
	r2, c = bits.Add64(r2, l0, 0)
	r3, c = bits.Add64(r3, l1, c)
	r4, c = bits.Add64(r4, l2, c)
	r5, c = bits.Add64(r5, l3, c)
	r6 = h3 + c

	h0, l0 = bits.Mul64(x[3], y0)
	h1, l1 = bits.Mul64(x[3], y1)
	h2, l2 = bits.Mul64(x[3], y2)
	h3, l3 = bits.Mul64(x[3], y3)
	l1, c = bits.Add64(h0, l1, 0)
	l2, c = bits.Add64(h1, l2, c)
	l3, c = bits.Add64(h2, l3, c)
	h3 += c
	r3, c = bits.Add64(r3, l0, 0)
	r4, c = bits.Add64(r4, l1, c)
	r5, c = bits.Add64(r5, l2, c)
	r6, c = bits.Add64(r6, l3, c)
	r7 = h3 + c

	z.reduce(r0, r1, r2, r3, r4, r5, r6, r7)
}

// square sets z to x².
func (z *element) square(x *element) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	h01, r1 := bits.Mul64(x0, x1)
	h02, l02 := bits.Mul64(x0, x2)
	h03, l03 := bits.Mul64(x0, x3)
	h12, l12 := bits.Mul64(x1, x2)
	h13, l13 := bits.Mul64(x1, x3)
	h23, l23 := bits.Mul64(x2, x3)
	r2, c := bits.Add64(h01, l02, 0)
	r3, c := bits.Add64(h02, l03, c)
	r4 := h03 + c
	l13, c = bits.Add64(l13, h12, 0)
	h13 += c
	r3, c = bits.Add64(r3, l12, 0)
	r4, c = bits.Add64(r4, l13, c)
	r5, c := bits.Add64(h13, l23, c)
	r6 := h23 + c

	// Mixed products count twice.
	r7 := r6 >> 63
	r6 = r6<<1 | r5>>63
	r5 = r5<<1 | r4>>63
	r4 = r4<<1 | r3>>63
	r3 = r3<<1 | r2>>63
	r2 = r2<<1 | r1>>63
	r1 <<= 1

	h0, r0 := bits.Mul64(x0, x0)
	h1, l1 := bits.Mul64(x1, x1)
	h2, l2 := bits.Mul64(x2, x2)
	h3, l3 := bits.Mul64(x3, x3)
	r1, c = bits.Add64(r1, h0, 0)
	r2, c = bits.Add64(r2, l1, c)
	r3, c = bits.Add64(r3, h1, c)
	r4, c = bits.Add64(r4, l2, c)
	r5, c = bits.Add64(r5, h2, c)
	r6, c = bits.Add64(r6, l3, c)
	z.reduce(r0, r1, r2, r3, r4, r5, r6, r7+h3+c)
}

// reduce sets z to a 512-bit number, whose upper half it folds in twice.
func (z *element) reduce(r0, r1, r2, r3, r4, r5, r6, r7 uint64) {
	h0, l0 := bits.Mul64(r4, fold)
	h1, l1 := bits.Mul64(r5, fold)
	h2, l2 := bits.Mul64(r6, fold)
	h3, l3 := bits.Mul64(r7, fold)
	l1, c := bits.Add64(h0, l1, 0)
	l2, c = bits.Add64(h1, l2, c)
	l3, c = bits.Add64(h2, l3, c)
	h3 += c
	r0, c = bits.Add64(r0, l0, 0)
	r1, c = bits.Add64(r1, l1, c)
	r2, c = bits.Add64(r2, l2, c)
	r3, c = bits.Add64(r3, l3, c)
	h0, l0 = bits.Mul64(h3+c, fold)
	r0, c = bits.Add64(r0, l0, 0)
	r1, c = bits.Add64(r1, h0, c)
	r2, c = bits.Add64(r2, 0, c)
	r3, c = bits.Add64(r3, 0, c)
	r0, c = bits.Add64(r0, -c&fold, 0)
	z[0], z[1], z[2], z[3] = r0, r1+c, r2, r3
}
