#include "textflag.h"

// Eight elements at once with AVX-512 IFMA, whose instructions multiply numbers
// of 52 bits and add the lower or the upper half of the product to 64 bits.
//
// Z0..Z4    x, and the result: limbs of 52 bits, of which the last has at most 49
// Z5..Z9    y
// Z10..Z19  the limbs of a product, each a sum of less than 12 halves
// Z27..Z30  constants

// CONSTANTS are 2²⁵⁶ (Z28) and 2²⁶⁰ (Z29) modulo p, 52 ones (Z30), 48 ones (Z27).
#define CONSTANTS \
	MOVQ         $0x1000003d1, AX; \
	VPBROADCASTQ AX, Z28; \
	SHLQ         $4, AX; \
	VPBROADCASTQ AX, Z29; \
	MOVQ         $0x000fffffffffffff, AX; \
	VPBROADCASTQ AX, Z30; \
	SHRQ         $4, AX; \
	VPBROADCASTQ AX, Z27

#define LOAD(from, z0, z1, z2, z3, z4) \
	VMOVDQU64 (0*64)(from), z0; \
	VMOVDQU64 (1*64)(from), z1; \
	VMOVDQU64 (2*64)(from), z2; \
	VMOVDQU64 (3*64)(from), z3; \
	VMOVDQU64 (4*64)(from), z4

#define STORE(to) \
	VMOVDQU64 Z0, (0*64)(to); \
	VMOVDQU64 Z1, (1*64)(to); \
	VMOVDQU64 Z2, (2*64)(to); \
	VMOVDQU64 Z3, (3*64)(to); \
	VMOVDQU64 Z4, (4*64)(to)

#define ZERO \
	VPXORQ Z10, Z10, Z10; \
	VPXORQ Z11, Z11, Z11; \
	VPXORQ Z12, Z12, Z12; \
	VPXORQ Z13, Z13, Z13; \
	VPXORQ Z14, Z14, Z14; \
	VPXORQ Z15, Z15, Z15; \
	VPXORQ Z16, Z16, Z16; \
	VPXORQ Z17, Z17, Z17; \
	VPXORQ Z18, Z18, Z18; \
	VPXORQ Z19, Z19, Z19

// PRODUCT adds a·b to the limbs lo and hi.
#define PRODUCT(a, b, lo, hi) \
	VPMADD52LUQ a, b, lo; \
	VPMADD52HUQ a, b, hi

// CARRY moves what from has above 52 bits to to, and the rest to out.
#define CARRY(from, to, out) \
	VPSRLQ $52, from, Z20; \
	VPANDQ Z30, from, out; \
	VPADDQ Z20, to, to

// NORMALIZE folds what Z10..Z14 have from bit 256 on, lets the carry run
// through, and leaves the result in Z0..Z4.
#define NORMALIZE \
	VPSRLQ      $48, Z14, Z20; \
	VPANDQ      Z27, Z14, Z4; \
	VPMADD52LUQ Z20, Z28, Z10; \
	CARRY(Z10, Z11, Z0); \
	CARRY(Z11, Z12, Z1); \
	CARRY(Z12, Z13, Z2); \
	CARRY(Z13, Z4, Z3)

// REDUCE folds Z15..Z19 into Z10..Z14, times 2²⁶⁰. Multiplications see only the
// lower 52 bits of a limb, so that what is above them is multiplied apart.
#define REDUCE \
	VPSRLQ      $52, Z15, Z20; \
	VPSRLQ      $52, Z16, Z21; \
	VPSRLQ      $52, Z17, Z22; \
	VPSRLQ      $52, Z18, Z23; \
	VPXORQ      Z24, Z24, Z24; \
	VPMADD52HUQ Z19, Z29, Z24; \
	PRODUCT(Z15, Z29, Z10, Z11); \
	PRODUCT(Z16, Z29, Z11, Z12); \
	PRODUCT(Z17, Z29, Z12, Z13); \
	PRODUCT(Z18, Z29, Z13, Z14); \
	VPMADD52LUQ Z19, Z29, Z14; \
	VPMADD52LUQ Z20, Z29, Z11; \
	VPMADD52LUQ Z21, Z29, Z12; \
	VPMADD52LUQ Z22, Z29, Z13; \
	VPMADD52LUQ Z23, Z29, Z14; \
	PRODUCT(Z24, Z29, Z10, Z11); \
	NORMALIZE

// func vectorMul(z, x, y *vector)
TEXT ·vectorMul(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	CONSTANTS
	LOAD(SI, Z0, Z1, Z2, Z3, Z4)
	LOAD(DX, Z5, Z6, Z7, Z8, Z9)
	ZERO
	PRODUCT(Z0, Z5, Z10, Z11)
	PRODUCT(Z0, Z6, Z11, Z12)
	PRODUCT(Z0, Z7, Z12, Z13)
	PRODUCT(Z0, Z8, Z13, Z14)
	PRODUCT(Z0, Z9, Z14, Z15)
	PRODUCT(Z1, Z5, Z11, Z12)
	PRODUCT(Z1, Z6, Z12, Z13)
	PRODUCT(Z1, Z7, Z13, Z14)
	PRODUCT(Z1, Z8, Z14, Z15)
	PRODUCT(Z1, Z9, Z15, Z16)
	PRODUCT(Z2, Z5, Z12, Z13)
	PRODUCT(Z2, Z6, Z13, Z14)
	PRODUCT(Z2, Z7, Z14, Z15)
	PRODUCT(Z2, Z8, Z15, Z16)
	PRODUCT(Z2, Z9, Z16, Z17)
	PRODUCT(Z3, Z5, Z13, Z14)
	PRODUCT(Z3, Z6, Z14, Z15)
	PRODUCT(Z3, Z7, Z15, Z16)
	PRODUCT(Z3, Z8, Z16, Z17)
	PRODUCT(Z3, Z9, Z17, Z18)
	PRODUCT(Z4, Z5, Z14, Z15)
	PRODUCT(Z4, Z6, Z15, Z16)
	PRODUCT(Z4, Z7, Z16, Z17)
	PRODUCT(Z4, Z8, Z17, Z18)
	PRODUCT(Z4, Z9, Z18, Z19)
	REDUCE
	STORE(DI)
	VZEROUPPER
	RET

// func vectorSquares(z, x *vector, n int)
TEXT ·vectorSquares(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	CONSTANTS
	LOAD(SI, Z0, Z1, Z2, Z3, Z4)

loop:
	ZERO
	PRODUCT(Z0, Z1, Z11, Z12)
	PRODUCT(Z1, Z2, Z13, Z14)
	PRODUCT(Z2, Z3, Z15, Z16)
	PRODUCT(Z3, Z4, Z17, Z18)
	PRODUCT(Z0, Z2, Z12, Z13)
	PRODUCT(Z1, Z3, Z14, Z15)
	PRODUCT(Z2, Z4, Z16, Z17)
	PRODUCT(Z0, Z3, Z13, Z14)
	PRODUCT(Z1, Z4, Z15, Z16)
	PRODUCT(Z0, Z4, Z14, Z15)

	// Mixed products count twice.
	VPADDQ Z11, Z11, Z11
	VPADDQ Z12, Z12, Z12
	VPADDQ Z13, Z13, Z13
	VPADDQ Z14, Z14, Z14
	VPADDQ Z15, Z15, Z15
	VPADDQ Z16, Z16, Z16
	VPADDQ Z17, Z17, Z17
	VPADDQ Z18, Z18, Z18
	PRODUCT(Z0, Z0, Z10, Z11)
	PRODUCT(Z1, Z1, Z12, Z13)
	PRODUCT(Z2, Z2, Z14, Z15)
	PRODUCT(Z3, Z3, Z16, Z17)
	PRODUCT(Z4, Z4, Z18, Z19)
	REDUCE
	DECQ CX
	JNZ  loop

	STORE(DI)
	VZEROUPPER
	RET

// func vectorSub(z, x, y *vector)
TEXT ·vectorSub(SB), NOSPLIT, $0-24
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ y+16(FP), DX
	CONSTANTS
	LOAD(SI, Z10, Z11, Z12, Z13, Z14)
	LOAD(DX, Z5, Z6, Z7, Z8, Z9)

	// 4p, each of whose limbs is larger than those of y, makes sure that
	// nothing falls below zero.
	VPSLLQ $2, Z30, Z20
	VPSLLQ $2, Z27, Z21
	VPADDQ Z20, Z11, Z11
	VPADDQ Z20, Z12, Z12
	VPADDQ Z20, Z13, Z13
	VPADDQ Z21, Z14, Z14
	MOVQ   $0x3ffffbfffff0bc, AX // 4·(2⁵² − fold)
	VPBROADCASTQ AX, Z20
	VPADDQ Z20, Z10, Z10
	VPSUBQ Z5, Z10, Z10
	VPSUBQ Z6, Z11, Z11
	VPSUBQ Z7, Z12, Z12
	VPSUBQ Z8, Z13, Z13
	VPSUBQ Z9, Z14, Z14
	NORMALIZE
	STORE(DI)
	VZEROUPPER
	RET

// QUARTERS makes two vectors' 128-bit quarters 0, 2 (even) and 1, 3 (odd) one
// vector each.
#define QUARTERS(a, b, even, odd) \
	VSHUFI64X2 $0x88, b, a, even; \
	VSHUFI64X2 $0xdd, b, a, odd

// TRANSPOSE takes Z0..Z7 as rows and leaves the columns there.
#define TRANSPOSE \
	VPUNPCKLQDQ Z1, Z0, Z8; \
	VPUNPCKHQDQ Z1, Z0, Z9; \
	VPUNPCKLQDQ Z3, Z2, Z10; \
	VPUNPCKHQDQ Z3, Z2, Z11; \
	VPUNPCKLQDQ Z5, Z4, Z12; \
	VPUNPCKHQDQ Z5, Z4, Z13; \
	VPUNPCKLQDQ Z7, Z6, Z14; \
	VPUNPCKHQDQ Z7, Z6, Z15; \
	QUARTERS(Z8, Z10, Z16, Z17); \
	QUARTERS(Z12, Z14, Z18, Z19); \
	QUARTERS(Z9, Z11, Z20, Z21); \
	QUARTERS(Z13, Z15, Z22, Z23); \
	QUARTERS(Z16, Z18, Z0, Z4); \
	QUARTERS(Z17, Z19, Z2, Z6); \
	QUARTERS(Z20, Z22, Z1, Z5); \
	QUARTERS(Z21, Z23, Z3, Z7)

// SHIFTED is the 52 bits that begin at bit from of a and end in b.
#define SHIFTED(a, b, from, left, out) \
	VPSRLQ $from, a, out; \
	VPSLLQ $left, b, Z24; \
	VPORQ  Z24, out, out; \
	VPANDQ Z30, out, out

// EXPAND makes limbs of 52 bits in Z10..Z14 of four of 64.
#define EXPAND(a, b, c, d) \
	VPANDQ Z30, a, Z10; \
	SHIFTED(a, b, 52, 12, Z11); \
	SHIFTED(b, c, 40, 24, Z12); \
	SHIFTED(c, d, 28, 36, Z13); \
	VPSRLQ $16, d, Z14

#define STORE10(to) \
	VMOVDQU64 Z10, (0*64)(to); \
	VMOVDQU64 Z11, (1*64)(to); \
	VMOVDQU64 Z12, (2*64)(to); \
	VMOVDQU64 Z13, (3*64)(to); \
	VMOVDQU64 Z14, (4*64)(to)

// PLACE is the offset of a point, of 64 bytes, in R8.
#define PLACE(lane) \
	MOVL (4*lane)(CX), R8; \
	SHLQ $6, R8

#define FETCH(lane, z) \
	PLACE(lane); \
	VMOVDQU64 (SI)(R8*1), z

#define PUT(lane, z) \
	PLACE(lane); \
	VMOVDQU64 z, (DI)(R8*1)

// func vectorGather(x, y *vector, from *point, at *[lanes]uint32)
TEXT ·vectorGather(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), DI
	MOVQ y+8(FP), DX
	MOVQ from+16(FP), SI
	MOVQ at+24(FP), CX
	MOVQ $0x000fffffffffffff, AX
	VPBROADCASTQ AX, Z30
	FETCH(0, Z0)
	FETCH(1, Z1)
	FETCH(2, Z2)
	FETCH(3, Z3)
	FETCH(4, Z4)
	FETCH(5, Z5)
	FETCH(6, Z6)
	FETCH(7, Z7)
	TRANSPOSE
	EXPAND(Z0, Z1, Z2, Z3)
	STORE10(DI)
	EXPAND(Z4, Z5, Z6, Z7)
	STORE10(DX)
	VZEROUPPER
	RET

// JOINED is what a has from bit from on, followed by b.
#define JOINED(a, b, from, left, out) \
	VPSRLQ $from, a, out; \
	VPSLLQ $left, b, Z24; \
	VPORQ  Z24, out, out

// PACK makes four limbs of 64 bits of Z0..Z4.
#define PACK(a, b, c, d) \
	JOINED(Z0, Z1, 0, 52, a); \
	JOINED(Z1, Z2, 12, 40, b); \
	JOINED(Z2, Z3, 24, 28, c); \
	JOINED(Z3, Z4, 36, 16, d)

// func vectorScatter(to *point, at *[lanes]uint32, x, y *vector)
TEXT ·vectorScatter(SB), NOSPLIT, $0-32
	MOVQ to+0(FP), DI
	MOVQ at+8(FP), CX
	MOVQ x+16(FP), SI
	MOVQ y+24(FP), DX
	CONSTANTS
	LOAD(SI, Z10, Z11, Z12, Z13, Z14)
	NORMALIZE // the one bit above 256
	PACK(Z16, Z17, Z18, Z19)
	LOAD(DX, Z10, Z11, Z12, Z13, Z14)
	NORMALIZE
	PACK(Z8, Z5, Z6, Z7)
	VMOVDQA64 Z8, Z4
	VMOVDQA64 Z16, Z0
	VMOVDQA64 Z17, Z1
	VMOVDQA64 Z18, Z2
	VMOVDQA64 Z19, Z3
	TRANSPOSE
	PUT(0, Z0)
	PUT(1, Z1)
	PUT(2, Z2)
	PUT(3, Z3)
	PUT(4, Z4)
	PUT(5, Z5)
	PUT(6, Z6)
	PUT(7, Z7)
	VZEROUPPER
	RET
