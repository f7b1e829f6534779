package sigcheck

import (
	"math/big"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"pgregory.net/rapid"
)

var (
	bigP = btcec.S256().P
	bigN = btcec.S256().N
)

func toBig(x [4]uint64) *big.Int {
	z := new(big.Int)
	for i := 3; i >= 0; i-- {
		z.Lsh(z, 64).Or(z, new(big.Int).SetUint64(x[i]))
	}
	return z
}

func fromBytes(b []byte) *big.Int       { return new(big.Int).SetBytes(b) }
func toBytes(x *big.Int) []byte         { return x.FillBytes(make([]byte, 32)) }
func modN(x *big.Int) *big.Int          { return new(big.Int).Mod(x, bigN) }
func neg(x *big.Int) *big.Int           { return new(big.Int).Neg(x) }
func plus(x *big.Int, n int64) *big.Int { return new(big.Int).Add(x, big.NewInt(n)) }
func signedShort(s short) *big.Int {
	z := toBig([4]uint64{s.lo, s.hi})
	if s.negative {
		z.Neg(z)
	}
	return z
}

// limbs draws 256-bit numbers, many of them at the edges where carries run
// through.
func limbs() *rapid.Generator[[4]uint64] {
	limb := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{
		0, 1, fold - 1, fold, fold + 1, 1 << 63, -fold & (1<<64 - 1), 1<<64 - fold - 1, 1<<64 - fold + 1, 1<<64 - 2, 1<<64 - 1, order[0], order[1], order[2],
	}))
	return rapid.Custom(func(t *rapid.T) [4]uint64 {
		return [4]uint64{limb.Draw(t, "0"), limb.Draw(t, "1"), limb.Draw(t, "2"), limb.Draw(t, "3")}
	})
}

// TestBatchField compares the field's arithmetic with math/big.
func TestBatchField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := element(limbs().Draw(t, "x")), element(limbs().Draw(t, "y"))
		bx, by := toBig(x), toBig(y)
		check := func(name string, got element, want *big.Int) {
			t.Helper()
			want = new(big.Int).Mod(want, bigP)
			if new(big.Int).Mod(toBig(got), bigP).Cmp(want) != 0 {
				t.Fatalf("%s: got %x, want %x", name, got, want)
			}
			if got.isZero() != (want.Sign() == 0) {
				t.Fatalf("%s: isZero is %t", name, got.isZero())
			}
			if got.normalize(); toBig(got).Cmp(want) != 0 {
				t.Fatalf("%s: not normal", name)
			}
		}
		var z element
		z.add(&x, &y)
		check("add", z, new(big.Int).Add(bx, by))
		z.sub(&x, &y)
		check("sub", z, new(big.Int).Sub(bx, by))
		z.mul(&x, &y)
		check("mul", z, new(big.Int).Mul(bx, by))
		z.square(&x)
		check("square", z, new(big.Int).Mul(bx, bx))
		z.negate(&x)
		check("negate", z, neg(bx))
		z = x
		z.mul(&z, &z)
		check("mul in place", z, new(big.Int).Mul(bx, bx))

		inverse := new(big.Int).ModInverse(bx, bigP)
		if inverse == nil {
			inverse = new(big.Int)
		}
		z.raise(&x, inverseChain)
		check("invert", z, inverse)
		if z.raise(&x, rootChain); big.Jacobi(bx, bigP) >= 0 {
			z.square(&z)
			check("root", z, bx)
		}
		if same := new(big.Int).Mod(new(big.Int).Sub(bx, by), bigP).Sign() == 0; x.equal(&y) != same {
			t.Fatalf("equal: %t", !same)
		}
	})
}

// vectorOperations are what vectors can do to v, given x and y, and the same for
// elements.
var vectorOperations = []struct {
	name     string
	vectors  func(v, x, y *vector)
	elements func(z, x, y *element)
}{
	{"mul", func(v, x, y *vector) { vectorMul(v, v, y) }, func(z, x, y *element) { z.mul(z, y) }},
	{"mul by itself", func(v, x, y *vector) { vectorMul(v, v, v) }, func(z, x, y *element) { z.square(z) }},
	{"square", func(v, x, y *vector) { vectorSquares(v, v, 1) }, func(z, x, y *element) { z.square(z) }},
	{"squares", func(v, x, y *vector) { vectorSquares(v, v, 2) }, func(z, x, y *element) { z.square(z); z.square(z) }},
	{"sub", func(v, x, y *vector) { vectorSub(v, v, y) }, func(z, x, y *element) { z.sub(z, y) }},
	{"sub from", func(v, x, y *vector) { vectorSub(v, x, v) }, func(z, x, y *element) { z.sub(x, z) }},
	{"sub of itself", func(v, x, y *vector) { vectorSub(v, v, v) }, func(z, x, y *element) { z.sub(z, z) }},
	{"root", func(v, x, y *vector) { v.raise(v, rootChain) }, func(z, x, y *element) { z.raise(z, rootChain) }},
}

// TestBatchVector compares the arithmetic of vectors with that of elements. Each
// operation takes the result of the one before, so that it meets what is not
// quite normal.
func TestBatchVector(t *testing.T) {
	if !vectorized {
		t.Skip("this processor has no AVX-512 IFMA")
	}
	rapid.Check(t, func(t *rapid.T) {
		var x, y [lanes]element
		var vx, vy vector
		for i := range lanes {
			x[i], y[i] = limbs().Draw(t, "x"), limbs().Draw(t, "y")
			vx.set(i, &x[i])
			vy.set(i, &y[i])
		}
		v, want := vx, x
		for i := range want { // what may come out of an operation, at its edges
			for limb := range v {
				v[limb][i] = rapid.OneOf(rapid.Uint64Range(0, mask52), rapid.SampledFrom([]uint64{0, 1, mask52 - 1, mask52})).Draw(t, "limb")
			}
			v[4][i] = min(v[4][i], 1<<48+rapid.Uint64Range(0, 16).Draw(t, "over"))
			want[i] = v.get(i)
		}
		for range rapid.IntRange(1, 12).Draw(t, "operations") {
			op := rapid.SampledFrom(vectorOperations).Draw(t, "operation")
			op.vectors(&v, &vx, &vy)
			for i := range want {
				op.elements(&want[i], &x[i], &y[i])
			}
			checkVector(t, op.name, &v, &want)
		}
		points := make([]point, 2*lanes)
		at := [lanes]uint32{3, 0, 15, 7, 8, 1, 12, 4}
		vectorScatter(&points[0], &at, &v, &vy)
		for i, place := range at {
			p := &points[place]
			if !p.x.equal(&want[i]) || !p.y.equal(&y[i]) {
				t.Fatalf("scatter, lane %d: got %x, want %x %x", i, *p, want[i], y[i])
			}
		}
		vectorGather(&v, &vx, &points[0], &at)
		checkVector(t, "gather", &v, &want)
		checkVector(t, "gather", &vx, &y)
	})
}

// checkVector makes sure of what v stands for, and that its limbs are as small
// as the next operation needs them.
func checkVector(t *rapid.T, name string, v *vector, want *[lanes]element) {
	for i := range lanes {
		if got := v.get(i); !got.equal(&want[i]) {
			t.Fatalf("%s, lane %d: got %x, want %x", name, i, got, want[i])
		}
		for limb := range v {
			if got := v[limb][i]; got > mask52 || limb == 4 && got > 1<<48+16 {
				t.Fatalf("%s, lane %d: limb %d is %x", name, i, limb, got)
			}
		}
	}
}

// bothWays runs a test with vectors, where the processor has them, and without.
func bothWays(t *testing.T, test func(t *testing.T)) {
	defer func(was bool) { vectorized = was }(vectorized)
	if vectorized {
		t.Run("vectors", test)
	}
	vectorized = false
	t.Run("elements", test)
}

// TestBatchScalar compares the arithmetic of scalars with math/big.
func TestBatchScalar(t *testing.T) {
	lambda, _ := new(big.Int).SetString("5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72", 16)
	rapid.Check(t, func(t *rapid.T) {
		x, y := scalar(limbs().Draw(t, "x")), scalar(limbs().Draw(t, "y"))
		a := short{lo: y[0], hi: y[1]}
		check := func(name string, got scalar, want *big.Int) {
			t.Helper()
			if modN(toBig(got)).Cmp(modN(want)) != 0 {
				t.Fatalf("%s: got %x, want %x", name, got, modN(want))
			}
		}
		var z scalar
		z.add(&x, &y)
		check("add", z, new(big.Int).Add(toBig(x), toBig(y)))
		z.mulShort(&x, &a)
		check("mulShort", z, new(big.Int).Mul(toBig(x), signedShort(a)))
		if x.overflows() != (toBig(x).Cmp(bigN) >= 0) {
			t.Fatalf("overflows: %t", x.overflows())
		}
		u, v := x.split()
		sum := new(big.Int).Mul(signedShort(v), lambda)
		check("split", x, sum.Add(sum, signedShort(u)))
	})
}

// TestBatchPoints adds up small multiples of the generator, of which many are
// equal or opposite, so that sums double and cancel.
func TestBatchPoints(t *testing.T) {
	var multiples [5]point
	for i := range multiples {
		var j btcec.JacobianPoint
		k := new(btcec.ModNScalar).SetInt(uint32(i + 1))
		btcec.ScalarBaseMultNonConst(k, &j)
		j.ToAffine()
		var x, y [32]byte
		j.X.PutBytes(&x)
		j.Y.PutBytes(&y)
		multiples[i].x.setBytes(&x)
		multiples[i].y.setBytes(&y)
	}
	if multiples[0] != generator {
		t.Fatal("generator")
	}
	bothWays(t, func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { addMultiples(t, multiples[:]) }) })
}

func addMultiples(t *rapid.T, multiples []point) {
	var m multiExp
	total := new(big.Int)
	for range rapid.IntRange(0, 300).Draw(t, "n") {
		i := rapid.IntRange(0, len(multiples)-1).Draw(t, "multiple")
		k := short{negative: rapid.Bool().Draw(t, "negative")}
		if rapid.Bool().Draw(t, "large") {
			k.lo, k.hi = rapid.Uint64().Draw(t, "lo"), rapid.Uint64().Draw(t, "hi")
		} else {
			k.lo = rapid.Uint64Range(0, 3).Draw(t, "k")
		}
		m.add(&multiples[i], k)
		total.Add(total, new(big.Int).Mul(signedShort(k), big.NewInt(int64(i+1))))
	}
	off := rapid.IntRange(0, 1).Draw(t, "off")
	rest := new(scalar)
	rest.setBytes((*[32]byte)(toBytes(modN(plus(total, int64(off))))))
	m.addLong(&generator, rest, true)
	if got := m.isZero(); got != (off == 0) {
		t.Fatalf("off by %d, and zero is %t", off, got)
	}
}
