package kernel

import (
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

func testKernels(t *testing.T, test func(*testing.T, *Kernel)) {
	for _, k := range kernels {
		t.Run(k.Name, func(t *testing.T) {
			if !k.available {
				t.Skipf("this CPU cannot run %s", k.Name)
			}
			test(t, k)
		})
	}
}

func TestQuick(t *testing.T) {
	testKernels(t, func(t *testing.T, k *Kernel) {
		rapid.Check(t, func(t *rapid.T) {
			var h consensus.Header
			h.Version = int32(rapid.Uint32().Draw(t, "version"))
			copy(h.Prev[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "prev"))
			target, _ := consensus.TargetFromBits(0x2000ffff)
			s := k.NewSearch()
			s.Set(h, &target)
			var got, want []uint32
			for n := range s.Hits(77, 2000) {
				got = append(got, n)
			}
			for i := range uint32(2000) {
				h.Nonce = 77 + i
				if h.Hash().MeetsTarget(&target) {
					want = append(want, h.Nonce)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d hits, want %d", len(got), len(want))
			}
		})
	})
}

func BenchmarkScan(b *testing.B) {
	for _, k := range Available() {
		b.Run(k.Name, func(b *testing.B) {
			s := k.NewSearch()
			target, _ := consensus.TargetFromBits(0x0300ffff)
			s.Set(consensus.Header{}, &target)
			const count = 1 << 16
			for b.Loop() {
				for range s.Hits(0, count) {
				}
			}
			b.ReportMetric(count*float64(b.N)/b.Elapsed().Seconds()/1e6, "MH/s")
		})
	}
}
