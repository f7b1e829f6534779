package p2p

import (
	"testing"
	"time"
)

// Filters are sent when they are due and not at each change; after the initial
// download, at once.
func TestFeeFilterSteps(t *testing.T) {
	var f feeFilter
	now := time.Unix(1_700_000_000, 0)
	quiet := filterRates{floor: 100, step: 100}
	initial := quiet
	initial.stop = 21e14
	step := func(r filterRates, want int64) {
		t.Helper()
		if got, send := f.step(r, now); send != (want != 0) || send && got != want {
			t.Errorf("%d, %v, want %d", got, send, want)
		}
	}
	step(initial, 9_936_506)
	step(initial, 0)
	step(quiet, 100) // the download is over
	step(quiet, 0)
	f.next = now.Add(filterInterval)
	full := quiet
	full.rate = 5000
	step(full, 0)
	if f.next.Sub(now) > filterHurry {
		t.Errorf("a rate 50 times as high goes in %v", f.next.Sub(now))
	}
	now = now.Add(filterHurry)
	if got, send := f.step(full, now); !send || got < 4500 || got > 5500 {
		t.Errorf("%d, %v, want about 5000", got, send)
	}
}

// Rates are rounded down or up to steps of ten per cent, none of them above the
// greatest.
func TestFeeFilterRounding(t *testing.T) {
	for _, c := range []struct{ rate, down, up int64 }{{0, 0, 0}, {1, 0, 50}, {50, 0, 50}, {51, 50, 55}, {1000, 959, 1055}, {21e14, 9_936_506, 9_936_506}} {
		if got := roundFilter(c.rate, 100, true); got != c.down {
			t.Errorf("%d down is %d, want %d", c.rate, got, c.down)
		}
		if got := roundFilter(c.rate, 100, false); got != c.up {
			t.Errorf("%d up is %d, want %d", c.rate, got, c.up)
		}
	}
	if got := roundFilter(1, 0, false); got != 1 {
		t.Errorf("without an increment %d", got)
	}
}
