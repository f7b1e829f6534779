package main

// hash is one of the two: from which round on it depends on the nonce,
// and what of its message is known. Where the tables of constants lie is part of
// it.
type hash struct {
	first, rounds int // rounds from first up to rounds are computed
	known         [64]bool
	terms         [64]bool // the word has known terms that are not zero
	offK, offS    int
}

// Rounds: the first hash is needed whole. Of the second only its last word is,
// which is e of round 60.
var (
	hash1 = newHash(4, 64, []int{0, 1, 2, 4, 15}, 5, 14, hash{offK: offK1, offS: offS1})
	hash2 = newHash(1, 61, []int{8, 15}, 9, 14, hash{offK: offK2, offS: offS2})
)

// newHash works out the schedule from the words that are known, and those that
// are known to be zero.
func newHash(first, rounds int, given []int, zeroFrom, zeroTo int, h hash) *hash {
	h.first, h.rounds = first, rounds
	var zero [64]bool
	for _, t := range given {
		h.known[t] = true
	}
	for t := zeroFrom; t <= zeroTo; t++ {
		h.known[t], zero[t] = true, true
	}
	for t := 16; t < 64; t++ {
		h.known[t] = true
		for _, source := range []int{t - 16, t - 15, t - 7, t - 2} {
			h.known[t] = h.known[t] && h.known[source]
			h.terms[t] = h.terms[t] || h.known[source] && !zero[source]
		}
	}
	return &h
}

// rotations are those of one of the functions of FIPS 180-4, 4.1.2. The last of
// a small one is a shift.
type rotations struct {
	by    [3]uint64
	shift bool
}

var (
	bigSigma0   = rotations{by: [3]uint64{2, 13, 22}}
	bigSigma1   = rotations{by: [3]uint64{6, 11, 25}}
	smallSigma0 = rotations{by: [3]uint64{7, 18, 3}, shift: true}
	smallSigma1 = rotations{by: [3]uint64{17, 19, 10}, shift: true}
)
