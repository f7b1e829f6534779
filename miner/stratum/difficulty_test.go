package stratum

import (
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTargetOf has known values.
func TestTargetOf(t *testing.T) {
	for _, c := range []struct {
		difficulty float64
		want       string // hex
	}{
		{1, "ffff" + zeros(52)},
		{2, "7fff8" + zeros(51)},
		{0.5, "1fffe" + zeros(52)},
		{0x1p-32, "ffff" + zeros(60)},
		{65535, "1" + zeros(52)},
		{0x1p-34, ones},
		{math.SmallestNonzeroFloat64, ones},
		{0x1p223, "1"},
	} {
		target, ok := targetOf(c.difficulty)
		if got := fmt.Sprintf("%x", target.ToBig()); !ok || got != c.want {
			t.Errorf("difficulty %v: %s, want %s", c.difficulty, got, c.want)
		}
	}
	for _, d := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 0x1p224, math.MaxFloat64} {
		if target, ok := targetOf(d); ok {
			t.Errorf("difficulty %v has the target %x", d, target.ToBig())
		}
	}
}

const ones = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

func zeros(n int) string { return fmt.Sprintf("%0*d", n, 0) }

// TestTargetOfIsExact compares with rational numbers.
func TestTargetOfIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.Float64Range(0x1p-30, 0x1p200).Draw(t, "difficulty")
		target, ok := targetOf(d)
		r := new(big.Rat).Quo(new(big.Rat).SetInt(baseTarget), new(big.Rat).SetFloat64(d))
		want := new(big.Int).Quo(r.Num(), r.Denom())
		if want.BitLen() > 256 {
			want.Lsh(big.NewInt(1), 256).Sub(want, big.NewInt(1))
		}
		if !ok || target.ToBig().Cmp(want) != 0 {
			t.Fatalf("%v: %x, want %x", d, target.ToBig(), want)
		}
		if back := difficultyOf(target); d < 0x1p150 && math.Abs(back/d-1) > 1e-9 && want.BitLen() < 256 {
			t.Fatalf("%v becomes %v", d, back)
		}
	})
}

// TestVardiff finds the difficulty for any hash rate, from any beginning, and
// stays near it.
func TestVardiff(t *testing.T) {
	for _, perMinute := range []float64{2, 20, 600} {
		for _, rate := range []float64{1e3, 5e6, 1e14} {
			for _, begin := range []float64{1e-6, 0.001, 1000} {
				now := time.Unix(1e9, 0)
				v, d := vardiff{perMinute: perMinute, since: now}, begin
				ideal := rate * 60 / perMinute / hashesOf(1)
				changes := 0
				var reached time.Duration
				for elapsed := time.Duration(0); elapsed < 2*time.Hour; {
					// Shares come as regularly as they can, or nothing does for a while.
					wait := min(time.Duration(hashesOf(d)/rate*float64(time.Second)), 5*time.Second)
					elapsed += max(wait, time.Microsecond)
					now = time.Unix(1e9, 0).Add(elapsed)
					if wait < 5*time.Second {
						v.accepted(hashesOf(d))
					} else {
						v.hashes += rate * 5 // of a share that takes longer
					}
					next, changed := v.next(d, now)
					if changed {
						changes++
						d = next
					}
					if f := d / ideal; f < tolerance && f > 1/tolerance {
						if reached == 0 {
							reached = elapsed
						}
						continue
					}
					if reached != 0 {
						t.Fatalf("%v shares, %v H/s, from %v: difficulty %v after %v, want %v", perMinute, rate, begin, d, elapsed, ideal)
					}
				}
				if period := max(retargetAfter, time.Duration(retargetLeast/perMinute*float64(time.Minute))); reached == 0 || reached > 14*period || changes > 20 {
					t.Errorf("%v shares, %v H/s, from %v: reached after %v with %d changes", perMinute, rate, begin, reached, changes)
				}
			}
		}
	}
}

// TestVardiffRest takes the difficulty down while nothing comes.
func TestVardiffRest(t *testing.T) {
	now := time.Unix(1e9, 0)
	v, d := vardiff{perMinute: 20, since: now}, 1.0
	for range 10 * 60 / 5 {
		now = now.Add(5 * time.Second)
		d, _ = v.next(d, now)
	}
	if d > 1e-12 {
		t.Errorf("difficulty %v after ten minutes without a share", d)
	}
}
