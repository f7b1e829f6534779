package p2p

import (
	"math/rand/v2"
	"time"
)

// The numbers of Bitcoin Core (net_processing.cpp, block_policy_estimator.cpp).
const (
	// filterInterval is the mean time between two fee filters to a peer, and
	// filterHurry how soon one goes if the rate has changed by a lot.
	filterInterval = 10 * time.Minute
	filterHurry    = 5 * time.Minute
	// maxFilterRate bounds the steps to which rates are rounded, in sat per 1000 vB,
	// each of which is filterSpacing times the one before.
	maxFilterRate = 1e7
	filterSpacing = 1.1
)

// feeFilter decides when a peer is told the least fee rate of transactions that it
// should announce (BIP133), and which:
//
//	state      next                      leaves by
//	new        zero                      step → told
//	told       when the next may go      its time → told; a rate that differs by a third →
//	                                     told within filterHurry; the end of the initial
//	                                     download → told at once
//
// Rates are rounded to a few steps, at random up or down, so that nobody learns from
// them what the pool holds or which nodes are one. Rates are in sat per 1000 vB. The zero
// value is new.
type feeFilter struct {
	sent int64
	next time.Time
}

// filterRates is what a filter depends on.
type filterRates struct {
	rate  int64 // what the pool asks for now, 0 if that is no more than floor
	floor int64 // what it always asks for
	step  int64 // the increment of replacements: half of it is the first step
	stop  int64 // not 0 in the initial download: more than anybody pays
}

// step gives the filter that is to be sent now, if one is.
func (f *feeFilter) step(r filterRates, now time.Time) (rate int64, send bool) {
	current := r.rate
	if r.stop != 0 {
		current = r.stop
	} else if f.sent > maxFilterRate*9/10 {
		f.next = time.Time{}
	}
	if now.Before(f.next) {
		if f.next.Sub(now) > filterHurry && (current < 3*f.sent/4 || current > 4*f.sent/3) {
			f.next = now.Add(rand.N(filterHurry))
		}
		return 0, false
	}
	first := f.next.IsZero() && f.sent == 0
	rate = max(roundFilter(current, r.step, rand.IntN(3) != 0), r.floor)
	f.next = now.Add(exponential(filterInterval))
	send = rate != f.sent || first && rate > 0
	f.sent = rate
	return rate, send
}

// roundFilter rounds a rate to a step, the one below it if down is true.
func roundFilter(rate, increment int64, down bool) int64 {
	below, at := 0.0, 0.0
	for next := max(1, float64(increment)/2); at < float64(rate); next *= filterSpacing {
		if below = at; next > maxFilterRate {
			return int64(below)
		}
		at = next
	}
	if down {
		return int64(below)
	}
	return int64(at)
}
