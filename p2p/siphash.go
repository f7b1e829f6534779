package p2p

import (
	"encoding/binary"
	"math/bits"

	"lode/consensus"
)

// sipKey is a key of SipHash.
type sipKey struct{ k0, k1 uint64 }

// hash is SipHash-2-4 of 32 bytes (Aumasson and Bernstein, "SipHash: a fast
// short-input PRF", 2012).
func (k sipKey) hash(h *consensus.Hash) uint64 {
	s := sipState{k.k0 ^ 0x736f6d6570736575, k.k1 ^ 0x646f72616e646f6d, k.k0 ^ 0x6c7967656e657261, k.k1 ^ 0x7465646279746573}
	for i := 0; i < len(h); i += 8 {
		s.word(binary.LittleEndian.Uint64(h[i:]))
	}
	s.word(uint64(len(h)) << 56)
	s.v2 ^= 0xff
	for range 4 {
		s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

type sipState struct{ v0, v1, v2, v3 uint64 }

func (s *sipState) word(m uint64) {
	s.v3 ^= m
	s.round()
	s.round()
	s.v0 ^= m
}

func (s *sipState) round() {
	s.v0 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 += s.v3
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 += s.v1
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v2 = bits.RotateLeft64(s.v2, 32)
}
