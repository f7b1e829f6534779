package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// kernels is every kernel that this architecture has.
var kernels = append([]*Kernel{
	{Name: "stdlib", available: true, one: scanner{lanes: 1, scan: scanStdlib}},
	{Name: "portable", available: true, one: scanner{lanes: 1, scan: scanPortable}},
}, archKernels...)

// scanStdlib hashes the header with crypto/sha256, as anybody would: what the
// others are compared with.
func scanStdlib(w *work, nonce, batches uint32) (before, candidates uint32) {
	b := w.header
	for ; before < batches; before++ {
		binary.LittleEndian.PutUint32(b[76:], nonce+before)
		once := sha256.Sum256(b[:])
		hash := sha256.Sum256(once[:])
		if binary.LittleEndian.Uint32(hash[28:]) <= w.limit {
			return before, 1
		}
	}
	return before, 0
}

// scanPortable is the same in plain Go.
func scanPortable(w *work, nonce, batches uint32) (before, candidates uint32) {
	for ; before < batches; before++ {
		if bits.ReverseBytes32(lastWord(w, bits.ReverseBytes32(nonce+before))) <= w.limit {
			return before, 1
		}
	}
	return before, 0
}

// lastWord is the last word of the hash of the header with word 3 of its second
// chunk set.
func lastWord(w *work, word uint32) uint32 {
	var m [64]uint32
	m[3] = word
	for t := 18; t < 34; t++ {
		m[t] = w.s1[t] + m[t-16] + m[t-7] + sigma0(m[t-15]) + sigma1(m[t-2])
	}
	for t := 34; t < 64; t++ {
		m[t] = m[t-16] + m[t-7] + sigma0(m[t-15]) + sigma1(m[t-2])
	}
	v := &w.version[0]
	s := v.start1
	s[0] += word
	s[4] += word
	rounds(&s, &w.k1, &m, 4, 64)
	for i := range s {
		m[i] = s[i] + v.mid[i]
	}
	clear(m[8:16])
	for t := 16; t < 32; t++ {
		m[t] = w.s2[t] + m[t-16] + m[t-7] + sigma0(m[t-15]) + sigma1(m[t-2])
	}
	for t := 32; t < 61; t++ {
		m[t] = m[t-16] + m[t-7] + sigma0(m[t-15]) + sigma1(m[t-2])
	}
	s = w.start2
	s[0] += m[0]
	s[4] += m[0]
	rounds(&s, &w.k2, &m, 1, 61)
	return s[4] + initial[7]
}

// rounds computes rounds from up to to, a multiple of four of them. Where k has a
// word already, m has zero.
func rounds(s *[8]uint32, k, m *[64]uint32, from, to int) {
	a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	for t := from; t < to; t += 4 {
		x := temp1(e, f, g, h, k[t&63]+m[t&63])
		d, h = d+x, x+temp2(a, b, c)
		x = temp1(d, e, f, g, k[(t+1)&63]+m[(t+1)&63])
		c, g = c+x, x+temp2(h, a, b)
		x = temp1(c, d, e, f, k[(t+2)&63]+m[(t+2)&63])
		b, f = b+x, x+temp2(g, h, a)
		x = temp1(b, c, d, e, k[(t+3)&63]+m[(t+3)&63])
		a, e = a+x, x+temp2(f, g, h)
		a, b, c, d, e, f, g, h = e, f, g, h, a, b, c, d
	}
	*s = [8]uint32{a, b, c, d, e, f, g, h}
}
