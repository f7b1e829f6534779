package consensus

import (
	"math/bits"

	"github.com/holiman/uint256"
)

// Work is an amount of proof of work in expected hashes, or the sum over a
// chain: a fixed 256-bit integer.
type Work = uint256.Int

// Target is the largest hash, read as a little-endian 256-bit integer, that
// satisfies a proof of work.
type Target = uint256.Int

// TargetFromBits expands the compact form of a target: one byte of size and
// three of mantissa, whose top bit is a sign. It reports false for what no
// target can be: zero, negative, or more than 256 bits.
func TargetFromBits(compact uint32) (Target, bool) {
	size, word := compact>>24, compact&0x7fffff
	if size <= 3 {
		word >>= 8 * (3 - size)
	}
	var t Target
	if word == 0 || compact&0x800000 != 0 {
		return t, false
	}
	t.SetUint64(uint64(word))
	if size > 3 {
		if uint32(bits.Len32(word))+8*(size-3) > 256 {
			return Target{}, false
		}
		t.Lsh(&t, uint(8*(size-3)))
	}
	return t, true
}

// BitsFromTarget is the compact form of t, rounded down to its 15 to 23
// leading bits.
func BitsFromTarget(t Target) uint32 {
	size := uint32(t.ByteLen())
	var word uint32
	if size <= 3 {
		word = uint32(t.Uint64()) << (8 * (3 - size))
	} else {
		var top Target
		word = uint32(top.Rsh(&t, uint(8*(size-3))).Uint64())
	}
	if word&0x800000 != 0 { // the sign bit: move a byte down
		word >>= 8
		size++
	}
	return size<<24 | word
}

// hashValue reads a hash as the little-endian number that is compared with a
// target.
func hashValue(h Hash) Target {
	var be [32]byte
	for i, b := range h {
		be[31-i] = b
	}
	var t Target
	return *t.SetBytes32(be[:])
}

// MeetsTarget reports whether h, read as a number, is at most t.
func (h Hash) MeetsTarget(t *Target) bool {
	v := hashValue(h)
	return !v.Gt(t)
}

// WorkFromBits is the number of hashes that a block with this compact target
// is expected to need: 2^256 / (target+1). It is zero for an impossible
// target.
func WorkFromBits(compact uint32) Work {
	t, ok := TargetFromBits(compact)
	if !ok {
		return Work{}
	}
	// 2^256 does not fit: the quotient equals (2^256-1-t)/(t+1) + 1 in integers.
	// No compact target is 2^256-1, so t+1 does fit.
	var w, next Work
	next.AddUint64(&t, 1)
	w.Div(w.Not(&t), &next)
	return *w.AddUint64(&w, 1)
}
