package sigcheck

import "golang.org/x/sys/cpu"

// vectorized says whether the processor has what vectors take.
var vectorized = cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA

// vectorMul sets z to x·y.
//
//go:noescape
func vectorMul(z, x, y *vector)

// vectorSquares sets z to x raised to 2ⁿ, n ≥ 1.
//
//go:noescape
func vectorSquares(z, x *vector, n int)

// vectorSub sets z to x − y.
//
//go:noescape
func vectorSub(z, x, y *vector)

// vectorGather sets x and y to the coordinates of the points at the given
// places behind from.
//
//go:noescape
func vectorGather(x, y *vector, from *point, at *[lanes]uint32)

// vectorScatter is the opposite.
//
//go:noescape
func vectorScatter(to *point, at *[lanes]uint32, x, y *vector)
