package miner

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

// trueHash is the double SHA-256 of a header by the standard library.
func trueHash(h consensus.Header) consensus.Hash {
	once := sha256.Sum256(h.Append(nil))
	return sha256.Sum256(once[:])
}

// TestScan compares with a plain search, on random headers and targets, with
// ranges that wrap around, begin at a hit or end with one.
func TestScan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := consensus.Header{
			Version: int32(rapid.Uint32().Draw(t, "version")), Time: rapid.Uint32().Draw(t, "time"),
			Bits: rapid.Uint32().Draw(t, "bits"), Nonce: rapid.Uint32().Draw(t, "ignored"),
		}
		copy(h.Prev[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "prev"))
		copy(h.MerkleRoot[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))
		target, _ := consensus.TargetFromBits(rapid.SampledFrom([]uint32{0x207fffff, 0x2000ffff, 0x1f7fffff, 0x1f00ffff, 0x21000001}).Draw(t, "target"))
		first := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 3), rapid.Uint32Range(math.MaxUint32-300, math.MaxUint32)).Draw(t, "first")
		count := rapid.IntRange(0, 600).Draw(t, "count")
		want, hit := uint32(0), false
		for i := 0; i < count && !hit; i++ {
			h.Nonce = first + uint32(i)
			want, hit = h.Nonce, trueHash(h).MeetsTarget(&target)
		}
		nonce, found := scan(h, &target, first, count)
		if found != hit || found && nonce != want {
			t.Fatalf("found %v at %d, want %v at %d", found, nonce, hit, want)
		}
		if !hit {
			return
		}
		if nonce, found := scan(h, &target, want, 1); !found || nonce != want {
			t.Fatal("the first nonce of a range is left out")
		}
		if n := int(want - first); n > 0 {
			if _, found := scan(h, &target, first, n); found {
				t.Fatal("a nonce behind the range is tried")
			}
		}
	})
}

func TestScanLeavesHeader(t *testing.T) {
	h := consensus.Header{Nonce: 77}
	limit, _ := consensus.TargetFromBits(0x207fffff)
	scan(h, &limit, 5, 10)
	if h.Nonce != 77 {
		t.Error("the header was changed")
	}
	b := h.Append(nil)
	if binary.LittleEndian.Uint32(b[76:]) != 77 {
		t.Error("the nonce is not the last of a header")
	}
}
