//go:build !amd64

package sigcheck

// vectorized says whether the processor has what vectors take.
var vectorized = false

func vectorMul(z, x, y *vector)                                 { panic("no vectors") }
func vectorSquares(z, x *vector, n int)                         { panic("no vectors") }
func vectorSub(z, x, y *vector)                                 { panic("no vectors") }
func vectorGather(x, y *vector, from *point, at *[lanes]uint32) { panic("no vectors") }
func vectorScatter(to *point, at *[lanes]uint32, x, y *vector)  { panic("no vectors") }
