package kernel

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"lode/consensus"
)

// each runs a test with every kernel of this architecture. What the CPU cannot
// run is named and skipped.
func each(t *testing.T, test func(*testing.T, *Kernel)) {
	for _, k := range kernels {
		t.Run(k.Name, func(t *testing.T) {
			if !k.available {
				t.Skipf("this CPU cannot run %s", k.Name)
			}
			test(t, k)
		})
	}
}

// rolls are masks of version bits with which the tests search: none, too few for
// some kernels, and more than any kernel uses.
var rolls = []uint32{0, 0x1000_0000, 0x0020_6000, VersionBits}

// plain finds the hits of a range, with each of some versions, with crypto/sha256
// alone.
func plain(h consensus.Header, versions []int32, target *consensus.Target, first, count uint32) (hits []consensus.Header) {
	for i := range count {
		for _, h.Version = range versions {
			h.Nonce = first + i
			if h.Hash().MeetsTarget(target) {
				hits = append(hits, h)
			}
		}
	}
	return hits
}

// search gives the hits of a kernel, and the versions that it has tried.
func search(k *Kernel, h consensus.Header, roll uint32, target *consensus.Target, first, count uint32) (hits []consensus.Header, versions []int32) {
	s := k.NewSearch()
	s.Roll(roll)
	s.Set(h, target)
	return slices.Collect(s.Headers(first, count)), s.versions
}

// same fails if a kernel does not find what a plain search finds.
func same(t interface{ Fatalf(string, ...any) }, k *Kernel, h consensus.Header, roll uint32, target *consensus.Target, first, count uint32) {
	got, versions := search(k, h, roll, target, first, count)
	if want := plain(h, versions, target, first, count); !slices.Equal(want, got) {
		t.Fatalf("%s, %d nonces from %d on, version bits %08x: %s", k.Name, count, first, roll, cmp.Diff(want, got))
	}
}

func anyHeader(t *rapid.T) (h consensus.Header) {
	h = consensus.Header{
		Version: int32(rapid.Uint32().Draw(t, "version")), Time: rapid.Uint32().Draw(t, "time"),
		Bits: rapid.Uint32().Draw(t, "bits"), Nonce: rapid.Uint32().Draw(t, "ignored"),
	}
	copy(h.Prev[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "prev"))
	copy(h.MerkleRoot[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))
	return h
}

func targetOf(t testing.TB, bits uint32) *consensus.Target {
	t.Helper()
	target, ok := consensus.TargetFromBits(bits)
	if !ok {
		t.Fatalf("%08x is no target", bits)
	}
	return &target
}

// TestHits compares with a plain search on random headers, targets from half of
// all hashes to one in 65536, and ranges that may be empty or wrap around.
func TestHits(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		rapid.Check(t, func(t *rapid.T) {
			h := anyHeader(t)
			target, _ := consensus.TargetFromBits(rapid.SampledFrom([]uint32{0x207fffff, 0x2000ffff, 0x1f7fffff, 0x1f00ffff, 0x21000001}).Draw(t, "target"))
			first := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 3), rapid.Uint32Range(math.MaxUint32-300, math.MaxUint32)).Draw(t, "first")
			roll := rapid.SampledFrom(rolls).Draw(t, "roll")
			count := rapid.Uint32Range(0, 600).Draw(t, "count")
			if roll != 0 {
				count /= 8
			}
			same(t, k, h, roll, &target, first, count)
		})
	})
}

// TestHitsBorders has every nonce hit, or every second, in ranges of each length
// around the number of lanes, up to the last nonce.
func TestHitsBorders(t *testing.T) {
	var all consensus.Target
	all.Not(&all)
	each(t, func(t *testing.T, k *Kernel) {
		for _, target := range []*consensus.Target{&all, targetOf(t, 0x207fffff)} {
			for _, roll := range []uint32{0, 0x6000} {
				lanes := k.one.lanes
				for count := range 3*lanes + 2 {
					for _, first := range []uint32{0, 1, lanes - 1, -count, 1 - count, -lanes} {
						same(t, k, consensus.Header{Version: 0x2000_0000, Time: count}, roll, target, first, count)
					}
				}
			}
		}
	})
}

// TestHitsExact has targets that one hash meets exactly, and misses by one.
func TestHitsExact(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		rapid.Check(t, func(t *rapid.T) {
			h := anyHeader(t)
			nonce := h.Nonce
			first := nonce - rapid.Uint32Range(0, 40).Draw(t, "before")
			s := k.NewSearch()
			s.Roll(rapid.SampledFrom(rolls).Draw(t, "roll"))
			var target consensus.Target
			s.Set(h, &target)
			h.Version = rapid.SampledFrom(s.versions).Draw(t, "rolled version")
			hash := h.Hash()
			slices.Reverse(hash[:])
			target.SetBytes32(hash[:])
			s.Set(h, &target)
			if !slices.Contains(slices.Collect(s.Headers(first, 41)), h) {
				t.Error("a hash that equals the target is no hit")
			}
			target.SubUint64(&target, 1)
			s.Set(h, &target)
			if slices.Contains(slices.Collect(s.Headers(first, 41)), h) {
				t.Error("a hash above the target is a hit")
			}
		})
	})
}

// TestHitsOfBitcoin finds the proof of work of known blocks of Bitcoin: 0, 1 and
// 125552.
func TestHitsOfBitcoin(t *testing.T) {
	header := func(prev, root string, time, bits, nonce uint32) consensus.Header {
		p, err1 := consensus.ParseHash(prev)
		r, err2 := consensus.ParseHash(root)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return consensus.Header{Version: 1, Prev: p, MerkleRoot: r, Time: time, Bits: bits, Nonce: nonce}
	}
	blocks := []struct {
		header consensus.Header
		hash   string
	}{
		{header("0000000000000000000000000000000000000000000000000000000000000000", "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",
			1231006505, 0x1d00ffff, 2083236893), "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"},
		{header("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f", "0e3e2357e806b6cdb1f70b54c3a3a17b6714ee1f0e68bebb44a74b1efd512098",
			1231469665, 0x1d00ffff, 2573394689), "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"},
		{header("00000000000008a3a41b85b8b29ad444def299fee21793cd8b9e567eab02cd81", "2b12fcf1b09288fcaff797d71e950e71ae42b91e8bdb2304758dfcffc2b620e3",
			1305998791, 0x1a44b9f2, 2504433986), "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"},
	}
	for _, b := range blocks {
		if got := b.header.Hash().String(); got != b.hash {
			t.Fatalf("the header of %s hashes to %s", b.hash, got)
		}
	}
	each(t, func(t *testing.T, k *Kernel) {
		s := k.NewSearch()
		for _, b := range blocks {
			s.Set(b.header, targetOf(t, b.header.Bits))
			want := []uint32{b.header.Nonce}
			if diff := cmp.Diff(want, slices.Collect(s.Hits(b.header.Nonce-10_000, 20_000))); diff != "" {
				t.Error(diff)
			}
		}
	})
}

// TestHitsStop leaves a search at its first hit.
func TestHitsStop(t *testing.T) {
	target := targetOf(t, 0x2000ffff)
	var want []uint32
	for _, h := range plain(consensus.Header{}, []int32{0}, target, 5, 5000) {
		want = append(want, h.Nonce)
	}
	each(t, func(t *testing.T, k *Kernel) {
		s := k.NewSearch()
		s.Set(consensus.Header{Nonce: 77}, target)
		var got []uint32
		for first := uint32(5); first < 5005; {
			hit := false
			for nonce := range s.Hits(first, 5005-first) {
				got, first, hit = append(got, nonce), nonce+1, true
				break
			}
			if !hit {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestRoll has as many versions as the mask and the kernel allow, the header's
// own first, all different, and none that differs in other bits.
func TestRoll(t *testing.T) {
	each(t, func(t *testing.T, k *Kernel) {
		for _, mask := range append(rolls, 0x2000, 0x0000_001f, math.MaxUint32) {
			s := k.NewSearch()
			s.Roll(mask)
			s.Set(consensus.Header{Version: 0x2040_2001}, new(consensus.Target))
			want := uint32(1)
			if r := k.rolling; r != nil {
				if n := uint32(1) << bits.OnesCount32(mask&VersionBits); n >= r.least {
					want = min(n, r.most)
				}
			}
			if s.Versions() != want || s.versions[0] != 0x2040_2001 {
				t.Errorf("mask %08x: %d versions, the first is %08x; want %d", mask, s.Versions(), s.versions[0], want)
			}
			seen := make(map[int32]bool)
			for _, v := range s.versions {
				if seen[v] || uint32(v^0x2040_2001)&^(mask&VersionBits) != 0 {
					t.Errorf("mask %08x: version %08x", mask, v)
				}
				seen[v] = true
			}
		}
	})
}

func FuzzHits(f *testing.F) {
	f.Add(make([]byte, consensus.HeaderSize), uint32(0x2000ffff), uint32(math.MaxUint32-20), uint16(100), uint32(0))
	f.Add(make([]byte, consensus.HeaderSize), uint32(0x2000ffff), uint32(math.MaxUint32-20), uint16(100), uint32(VersionBits))
	f.Fuzz(func(t *testing.T, header []byte, bits, first uint32, count uint16, roll uint32) {
		h, err := consensus.DecodeHeader(header)
		target, ok := consensus.TargetFromBits(bits)
		if err != nil || !ok {
			return
		}
		for _, k := range Available() {
			same(t, k, h, roll, &target, first, uint32(count%200))
		}
	})
}

func TestByName(t *testing.T) {
	for _, k := range kernels {
		got, err := ByName(k.Name)
		if k.available && (err != nil || got != k) {
			t.Errorf("%s: %v", k.Name, err)
		}
		if !k.available && !errors.Is(err, ErrKernel) {
			t.Errorf("%s, which this CPU cannot run: %v", k.Name, err)
		}
	}
	if _, err := ByName("abacus"); !errors.Is(err, ErrKernel) {
		t.Errorf("a kernel that does not exist: %v", err)
	}
}

// TestAvailable never offers what the CPU cannot run, and on the machines that
// judge changes it wants to have tested more than plain Go.
func TestAvailable(t *testing.T) {
	can := Available()
	if slices.ContainsFunc(can, func(k *Kernel) bool { return !k.available }) || !slices.Contains(can, Fastest()) || !slices.Contains(can, FastestRolling()) {
		t.Error("a kernel is offered that the CPU cannot run")
	}
	if os.Getenv("CI") != "" && slices.Contains([]string{"amd64", "arm64"}, runtime.GOARCH) && len(can) <= 2 {
		t.Error("none but the portable kernels ran: this says nothing about the others")
	}
}

func TestMeasure(t *testing.T) {
	for _, roll := range []uint32{0, VersionBits} {
		rates, err := Measure(t.Context(), Available(), roll, 2, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range Available() {
			if rates[i].Kernel != k || rates[i].HashesPerSecond <= 0 || rates[i].Versions > 1 != (roll != 0 && k.rolling != nil) {
				t.Errorf("%s: %v", k.Name, rates[i])
			}
		}
	}
}

// TestWork has words 0 to 17 of the second chunk, but for the nonce, among what is
// known.
func TestWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHeader(t)
		w := newWork()
		var none consensus.Target
		w.set(h, &none, []int32{h.Version})
		b := h.Append(nil)
		var m message
		for i := range 16 {
			if i < 4 {
				m.set(i, binary.BigEndian.Uint32(b[64+4*i:]))
			} else {
				m.set(i, 0)
			}
		}
		m.set(4, 0x80000000)
		m.set(15, 640)
		full, _ := m.expand()
		for i := range 18 {
			if i != 3 && w.k1[i] != full[i] {
				t.Errorf("word %d is not known", i)
			}
		}
	})
}

// BenchmarkScan compares each kernel with crypto/sha256, the two in short turns.
func BenchmarkScan(b *testing.B) {
	for _, k := range Available() {
		b.Run(k.Name, func(b *testing.B) {
			var sum [2]float64
			for b.Loop() {
				rates, err := Measure(b.Context(), []*Kernel{k, kernels[0]}, VersionBits, 1, 20*time.Millisecond)
				if err != nil {
					b.Fatal(err)
				}
				for i, r := range rates {
					sum[i] += r.HashesPerSecond
				}
			}
			b.ReportMetric(sum[0]/float64(b.N)/1e6, "MH/s")
			b.ReportMetric(sum[0]/sum[1], "x-stdlib")
			b.ReportMetric(0, "ns/op")
		})
	}
}
