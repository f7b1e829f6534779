package electrum

import "time"

// budget bounds what a connection, or an address, may cost: a bucket of units that
// refills with time. It is not exceeded but waited for, so that who asks much is
// answered late, and nobody else notices. It has no clock and no lock.
//
//	event   what happens
//	take    the units are taken, also beyond what is there; the answer is how long to
//	        wait until the bucket is no longer empty
type budget struct {
	size, refill float64 // units, and units a second
	left         float64
	at           time.Time // of left
}

func newBudget(size, refill float64, now time.Time) budget {
	return budget{size: size, refill: refill, left: size, at: now}
}

// take takes units.
func (b *budget) take(units float64, now time.Time) (wait time.Duration) {
	if now.After(b.at) {
		b.left, b.at = min(b.size, b.left+now.Sub(b.at).Seconds()*b.refill), now
	}
	if b.left -= units; b.left >= 0 {
		return 0
	}
	return time.Duration(-b.left / b.refill * float64(time.Second))
}
