package kernel

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"lode/consensus"
)

// work is a header prepared for a search: all that no nonce changes. The
// assembly reads it; the offsets in gen/layout.go are those of its fields.
//
// A header is two chunks of SHA-256, and the nonce is word 3 of the second.
// Nothing before round 3 of that chunk depends on it, and round 3 only adds it,
// to a and to e. Of the message schedule, words 0 to 2 and 4 to 17 do not
// depend on it. The second hash begins with the fixed initial state, so that
// its round 0 only adds too, and its words 8 to 15 are padding.
type work struct {
	k1, k2 [64]uint32 // round constants, plus the word of the schedule where that is known
	s1, s2 [64]uint32 // the known terms of each word from 16 on that is not known
	start2 [8]uint32  // state after round 0 of the second hash, less word 0
	iv     [8]uint32  // initial state
	early2 [3]uint32  // k2 of rounds 1 to 3 plus h
	last   uint32     // k2 of round 60 plus the word of iv that the digest's last word needs
	limit  uint32     // most significant word of the target
	bytes  uint32     // of the versions to search, which are the first of those below
	_      [10]uint32
	lane   [16]uint32 // 0, 1, 2, …
	swap   [64]byte   // a shuffle that reverses the bytes of each word
	sha    shaWork

	buf     [bufWords]uint32 // scratch of the kernels that keep words in memory
	version [maxVersions]versionWork
	header  [consensus.HeaderSize]byte
}

// versionWork is what differs between headers that differ in their version
// alone. The version is in the first chunk, so that they share the message
// schedule of the second.
type versionWork struct {
	mid    [8]uint32 // state after the first chunk
	start1 [8]uint32 // state after round 3 of the second chunk, less the nonce
	early1 [3]uint32 // k1 of rounds 4 to 6 plus h, which is known there
	found  uint32    // the candidates, which a kernel for several versions sets

	shaStart1, shaStart1h [4]uint32 // in the order of the SHA instructions
	shaMid, shaMidh       [4]uint32
}

// shaWork is more of the same, in the order of the SHA instructions: f, e, b, a
// and h, g, d, c.
type shaWork struct {
	iv, ivh       [4]uint32
	w16, w20, w28 [4]uint32 // known terms of four words of the first schedule
	pad8, pad12   [4]uint32 // words 8 to 15 of the second hash
	k16           [4]uint32 // round constants 16 to 19 alone
}

const (
	alignment   = 64
	maxVersions = 64
	bufWords    = 16 * 72
)

// newWork gives memory that is aligned as the widest instructions want it.
func newWork() *work {
	b := make([]byte, unsafe.Sizeof(work{})+alignment)
	w := (*work)(unsafe.Pointer(&b[-uintptr(unsafe.Pointer(&b[0]))&(alignment-1)]))
	for i := range w.lane {
		w.lane[i] = uint32(i)
		for j := range 4 {
			w.swap[4*i+j] = byte(4*i + 3 - j)
		}
	}
	var m message
	for t := 8; t < 16; t++ {
		m.set(t, 0)
	}
	m.set(8, 0x80000000)
	m.set(15, 256)
	w.iv = initial
	w.k2, w.s2 = m.expand()
	w.start2 = round(initial, k[0])
	for i := range w.early2 {
		w.early2[i] = k[1+i] + w.start2[7-i]
	}
	w.last = k[60] + initial[7]
	w.sha.iv, w.sha.ivh = shaOrder(initial)
	w.sha.pad8, w.sha.pad12 = [4]uint32(m.word[8:]), [4]uint32(m.word[12:])
	w.sha.k16 = [4]uint32(k[16:])
	return w
}

// set prepares the search for nonces with which h meets a target. versions are
// those to try in the place of its own.
func (w *work) set(h consensus.Header, target *consensus.Target, versions []int32) {
	w.limit = uint32(target[3] >> 32)
	w.bytes = uint32(len(versions)) * uint32(unsafe.Sizeof(w.version[0]))
	b := h.Append(w.header[:0])

	var m message
	for t := range 3 {
		m.set(t, binary.BigEndian.Uint32(b[64+4*t:]))
	}
	for t := 4; t < 16; t++ {
		m.set(t, 0)
	}
	m.set(4, 0x80000000)
	m.set(15, 8*consensus.HeaderSize)
	w.k1, w.s1 = m.expand()
	// The instructions add the σ terms of what is not known themselves.
	w.sha.w16 = [4]uint32{w.k1[16] - k[16], w.k1[17] - k[17], w.s1[18], w.s1[19]}
	w.sha.w20 = [4]uint32(w.s1[20:])
	w.sha.w28 = [4]uint32(w.s1[28:])

	var first message
	for t := range 16 {
		first.set(t, binary.BigEndian.Uint32(b[4*t:]))
	}
	for i, version := range versions {
		first.set(0, bits.ReverseBytes32(uint32(version)))
		w.version[i].set(&first, &w.k1)
	}
}

// set prepares one version: the first chunk, and the first rounds of the second.
func (v *versionWork) set(first *message, k1 *[64]uint32) {
	known, _ := first.expand()
	v.mid = initial
	for t := range 64 {
		v.mid = round(v.mid, known[t])
	}
	for i := range v.mid {
		v.mid[i] += initial[i]
	}
	v.start1 = v.mid
	for t := range 4 {
		v.start1 = round(v.start1, k1[t])
	}
	for i := range v.early1 {
		v.early1[i] = k1[4+i] + v.start1[7-i]
	}
	v.shaStart1, v.shaStart1h = shaOrder(v.start1)
	v.shaMid, v.shaMidh = shaOrder(v.mid)
}

// message is a message schedule of which some words are known.
type message struct {
	word  [64]uint32
	known [64]bool
}

func (m *message) set(t int, word uint32) { m.word[t], m.known[t] = word, true }

// expand finds which words follow from the known ones. It gives the round
// constants with the known words added, and the sum of the known terms of each
// word that is not.
func (m *message) expand() (sums, terms [64]uint32) {
	for t := range 64 {
		if t >= 16 {
			sum := m.word[t-16] + sigma0(m.word[t-15]) + m.word[t-7] + sigma1(m.word[t-2])
			if m.known[t-16] && m.known[t-15] && m.known[t-7] && m.known[t-2] {
				m.set(t, sum)
			}
			terms[t] = sum // an unknown word counts as zero here
		}
		sums[t] = k[t] + m.word[t]
	}
	return sums, terms
}

// round is one round of SHA-256 (FIPS 180-4, 6.2.2) with the round constant and
// the word already summed.
func round(s [8]uint32, kw uint32) [8]uint32 {
	x := temp1(s[4], s[5], s[6], s[7], kw)
	return [8]uint32{x + temp2(s[0], s[1], s[2]), s[0], s[1], s[2], s[3] + x, s[4], s[5], s[6]}
}

// temp1 and temp2 are T1 and T2 there.
func temp1(e, f, g, h, kw uint32) uint32 {
	return h + kw + (bits.RotateLeft32(e, -6) ^ bits.RotateLeft32(e, -11) ^ bits.RotateLeft32(e, -25)) + (g ^ e&(f^g))
}

func temp2(a, b, c uint32) uint32 {
	return (bits.RotateLeft32(a, -2) ^ bits.RotateLeft32(a, -13) ^ bits.RotateLeft32(a, -22)) + (a&b ^ c&(a^b))
}

func sigma0(x uint32) uint32 {
	return bits.RotateLeft32(x, -7) ^ bits.RotateLeft32(x, -18) ^ x>>3
}

func sigma1(x uint32) uint32 {
	return bits.RotateLeft32(x, -17) ^ bits.RotateLeft32(x, -19) ^ x>>10
}

func shaOrder(s [8]uint32) (abef, cdgh [4]uint32) {
	return [4]uint32{s[5], s[4], s[1], s[0]}, [4]uint32{s[7], s[6], s[3], s[2]}
}

var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

var k = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
