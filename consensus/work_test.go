package consensus

import (
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTargetFromBits(t *testing.T) {
	for _, tc := range []struct {
		bits   uint32
		target string // hex; empty for none
		back   uint32
	}{
		// What no target can be.
		{0x00000000, "", 0}, {0x00123456, "", 0}, {0x01003456, "", 0}, {0x02000056, "", 0},
		{0x03000000, "", 0}, {0x04000000, "", 0}, {0xff000000, "", 0}, // zero
		{0x00923456, "", 0}, {0x01803456, "", 0}, {0x02800056, "", 0}, {0x04800001, "", 0}, // zero or negative
		{0x01fedcba, "", 0}, {0x04923456, "", 0}, {0x20ffffff, "", 0}, // negative
		{0xff123456, "", 0}, {0x23000001, "", 0}, {0x22000100, "", 0}, {0x21010000, "", 0}, // too wide

		{0x01123456, "12", 0x01120000},
		{0x01010000, "1", 0x01010000},
		{0x02123456, "1234", 0x02123400},
		{0x02008000, "80", 0x02008000},
		{0x03123456, "123456", 0x03123456},
		{0x04123456, "12345600", 0x04123456},
		{0x05009234, "92340000", 0x05009234},
		{0x20123456, "1234560000000000000000000000000000000000000000000000000000000000", 0x20123456},
		{0x1d00ffff, "ffff0000000000000000000000000000000000000000000000000000", 0x1d00ffff},
		{0x1e00ffff, "ffff000000000000000000000000000000000000000000000000000000", 0x1e00ffff},
		{0x207fffff, "7fffff0000000000000000000000000000000000000000000000000000000000", 0x207fffff},
		{0x2100ffff, "ffff000000000000000000000000000000000000000000000000000000000000", 0x2100ffff},
		{0x220000ff, "ff00000000000000000000000000000000000000000000000000000000000000", 0x2100ff00},
		{0x05000012, "120000", 0x03120000}, // not the shortest form
	} {
		target, ok := TargetFromBits(tc.bits)
		if ok != (tc.target != "") {
			t.Errorf("%08x: possible %v", tc.bits, ok)
			continue
		}
		if !ok {
			if w := WorkFromBits(tc.bits); !w.IsZero() || !target.IsZero() {
				t.Errorf("%08x: work %s, target %s, want none", tc.bits, w.Hex(), target.Hex())
			}
			continue
		}
		if got := target.Hex(); got != "0x"+tc.target {
			t.Errorf("%08x: target %s, want %s", tc.bits, got, tc.target)
		}
		if got := BitsFromTarget(target); got != tc.back {
			t.Errorf("%08x: back %08x, want %08x", tc.bits, got, tc.back)
		}
	}
	if got := BitsFromTarget(Target{}); got != 0 {
		t.Errorf("zero: %08x", got)
	}
}

// A target that went through its compact form keeps at least 15 leading bits,
// is never larger, and does not change again.
func TestBitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var target Target
		target.SetBytes(rapid.SliceOfN(rapid.Byte(), 1, 32).Draw(t, "target"))
		bits := BitsFromTarget(target)
		back, ok := TargetFromBits(bits)
		if target.IsZero() {
			if ok || bits != 0 {
				t.Fatalf("zero became %08x", bits)
			}
			return
		}
		if !ok || back.Gt(&target) || BitsFromTarget(back) != bits {
			t.Fatalf("%s became %08x, which is %s", target.Hex(), bits, back.Hex())
		}
		var lost, bound Target
		lost.Sub(&target, &back)
		if bound.Rsh(&target, 14); target.BitLen() > 15 && lost.Gt(&bound) {
			t.Fatalf("%s lost %s", target.Hex(), lost.Hex())
		}
	})
}

// The work is 2^256 / (target+1), here with integers of any size.
func TestWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.Uint32Range(0, 35).Draw(t, "size")<<24 | rapid.Uint32Range(0, 0x7fffff).Draw(t, "mantissa")
		target, ok := TargetFromBits(bits)
		if !ok {
			t.Skip("no target")
		}
		want := new(big.Int).Lsh(big.NewInt(1), 256)
		want.Div(want, new(big.Int).Add(target.ToBig(), big.NewInt(1)))
		if got := WorkFromBits(bits); got.ToBig().Cmp(want) != 0 {
			t.Fatalf("%08x: work %s, want %s", bits, got.Dec(), want)
		}
	})
	for bits, want := range map[uint32]uint64{0x207fffff: 2, 0x1d00ffff: 0x100010001, 0x1e00ffff: 0x1000100, 0x220000ff: 1} {
		if got := WorkFromBits(bits); got.Uint64() != want || !got.IsUint64() {
			t.Errorf("%08x: work %s, want %d", bits, got.Dec(), want)
		}
	}
}

func TestWorkAddsUp(t *testing.T) {
	r := regtestRules(t)
	s := r.GenesisState()
	for range 100 {
		s = r.NextState(s, &Header{Prev: s.Hash, Bits: 0x1d00ffff, Time: s.Time + 1})
	}
	if got, want := s.Work.Uint64(), uint64(2+100*0x100010001); got != want || s.Height != 100 {
		t.Errorf("work %d at height %d, want %d at 100", got, s.Height, want)
	}
}

func TestMeetsTarget(t *testing.T) {
	target, _ := TargetFromBits(0x03123456)
	for _, tc := range []struct {
		h    Hash
		want bool
	}{
		{Hash{}, true},
		{Hash{0x56, 0x34, 0x12}, true},
		{Hash{0x57, 0x34, 0x12}, false},
		{Hash{0, 0, 0, 1}, false},
		{Hash{31: 1}, false},
	} {
		if got := tc.h.MeetsTarget(&target); got != tc.want {
			t.Errorf("%s meets 123456: %v", tc.h, got)
		}
	}
}

func TestMedianTime(t *testing.T) {
	r := regtestRules(t)
	s := r.GenesisState()
	times := []uint32{s.Time}
	for _, time := range []uint32{10, 5, 20, 1, 2, 3, 4, 30, 31, 32, 33, 34, 35, 5, 5, 5} {
		s = r.NextState(s, &Header{Prev: s.Hash, Time: time, Bits: 0x207fffff})
		times = append(times, time)
		last := slices.Sorted(slices.Values(times[max(0, len(times)-11):]))
		if got, want := s.MedianTime(), last[len(last)/2]; got != want {
			t.Errorf("after %d blocks: median %d, want %d", s.Height, got, want)
		}
	}
}
