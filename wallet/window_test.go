package wallet

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWindow: what counts, what is fresh, and what a restore needs.
func TestWindow(t *testing.T) {
	const s, c = useSeen, useSeen | useConfirmed
	for name, x := range map[string]struct {
		handed                 uint32
		use                    []keyUse
		end, next, fresh, need uint32
	}{
		"nothing":                     {0, make([]keyUse, 9), 3, 0, 0, 0},
		"handed out":                  {2, make([]keyUse, 9), 5, 2, 0, 2},
		"one in a block":              {0, []keyUse{c, 0, 0, 0, 0, 0}, 4, 1, 1, 1},
		"one that waits":              {0, []keyUse{0, s, 0, 0, 0, 0}, 5, 2, 0, 2},
		"the last within":             {0, []keyUse{0, 0, c, 0, 0, 0}, 6, 3, 0, 3},
		"one beyond":                  {0, []keyUse{0, 0, 0, c, 0, 0}, 3, 0, 0, 0},
		"one beyond, and what leads":  {0, []keyUse{0, c, 0, 0, c, 0, 0, 0, 0}, 8, 5, 0, 3},
		"all that are handed out":     {2, []keyUse{s, s, 0, 0, 0}, 5, 2, 2, 2},
		"confirmed between the other": {4, []keyUse{0, 0, c, 0, 0, 0, 0}, 7, 4, 0, 3},
	} {
		w := window{gap: 3, handed: x.handed, use: x.use}
		if w.end(0) != x.end || w.next() != x.next || w.fresh() != x.fresh || w.need() != x.need {
			t.Errorf("%s: end %d, next %d, fresh %d, need %d; want %d, %d, %d, %d", name, w.end(0), w.next(), w.fresh(), w.need(), x.end, x.next, x.fresh, x.need)
		}
	}
}

// TestWindowAnyOrder: in whatever order keys come into use, the window ends at the
// same key; and with the gap that it says it needs, a restore that knows what is
// confirmed alone finds any one key that was handed out.
func TestWindowAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		whole := window{gap: 1 + uint32(rng.IntN(5)), handed: uint32(rng.IntN(10)), use: make([]keyUse, 60)}
		used := rng.Perm(60)[:rng.IntN(12)]
		stepwise := whole
		stepwise.use = slices.Clone(whole.use)
		end := stepwise.end(0)
		for _, i := range used {
			whole.use[i], stepwise.use[i] = useSeen|useConfirmed, useSeen|useConfirmed
			end = stepwise.end(end)
		}
		if whole.end(0) != end {
			t.Fatalf("%+v ends at %d, step by step at %d", whole, whole.end(0), end)
		}
		if len(used) > 0 { // some of them are in no block yet
			for _, i := range used[:rng.IntN(len(used))] {
				whole.use[i] &^= useConfirmed
			}
		}
		for paid := range whole.next() {
			restore := window{gap: max(whole.need(), 1), use: make([]keyUse, 60)}
			for i, u := range whole.use {
				restore.use[i] = u & useConfirmed >> 1 // what is confirmed is seen
			}
			restore.use[paid] |= useSeen
			if restore.end(0) <= paid {
				t.Fatalf("%+v: with a gap of %d a restore ends at %d, before %d", whole, restore.gap, restore.end(0), paid)
			}
		}
	}
}
