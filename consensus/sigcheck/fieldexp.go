package sigcheck

// step is one of an addition chain: register to becomes register from raised to
// 2ⁿ, times register by. In other words, what stands in the exponent of from in
// binary is followed by n more digits, which are those of by.
type step struct{ to, from, n, by int }

// Registers of the chains. x2 to x22 hold x raised to a number of so many ones
// in binary.
const (
	x1 = iota // x itself
	x2
	x3
	x22
	x44
	out // the result
	one // 1
	registers
)

// head is how both chains begin: 223 ones, a zero and 22 ones.
var head = []step{
	{x2, x1, 1, x1},
	{x3, x2, 1, x1},
	{out, x3, 3, x3},
	{out, out, 3, x3},
	{out, out, 2, x2}, // 11 ones
	{x22, out, 11, out},
	{x44, x22, 22, x22},
	{out, x44, 44, x44},
	{out, out, 88, out},
	{out, out, 44, x44},
	{out, out, 3, x3}, // 223 ones
	{out, out, 23, x22},
}

// rootChain raises to (p+1)/4, which as p is 3 modulo 4 makes a square root of
// what has one: after the head 0000 11 00.
var rootChain = append(head[:len(head):len(head)], step{out, out, 6, x2}, step{out, out, 2, one})

// inverseChain raises to p−2: after the head 0000 1 011 01.
var inverseChain = append(head[:len(head):len(head)], step{out, out, 5, x1}, step{out, out, 3, x2}, step{out, out, 2, x1})

// raise sets z to x raised to what chain makes.
func (z *element) raise(x *element, chain []step) {
	r := [registers]element{x1: *x, one: {1}}
	for _, s := range chain {
		t := r[s.from]
		for range s.n {
			t.square(&t)
		}
		r[s.to].mul(&t, &r[s.by])
	}
	*z = r[out]
}

// raise is that for every lane.
func (v *vector) raise(x *vector, chain []step) {
	r := [registers]vector{x1: *x}
	for lane := range lanes {
		r[one].set(lane, &element{1})
	}
	for _, s := range chain {
		var t vector
		vectorSquares(&t, &r[s.from], s.n)
		vectorMul(&r[s.to], &t, &r[s.by])
	}
	*v = r[out]
}
