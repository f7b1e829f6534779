package stratum

import (
	"math"
	"math/big"
	"time"

	"lode/consensus"
)

// baseTarget is the target of difficulty 1: 00000000ffff0000…, as pools have it
// since the first of them, and not the 00000000ffffffff… of getwork.
var baseTarget = new(big.Int).Lsh(big.NewInt(0xffff), 208)

// targetOf is the target of a difficulty, rounded down, and at most 2^256-1. It
// reports false for what is no difficulty: zero, negative, infinite or NaN, or so
// high that no hash meets it.
func targetOf(difficulty float64) (consensus.Target, bool) {
	var t consensus.Target
	if !(difficulty > 0) || math.IsInf(difficulty, 0) {
		return t, false
	}
	// A float is a fraction of 53 bits times a power of two: the quotient is exact.
	fraction, exponent := math.Frexp(difficulty)
	numerator, denominator := new(big.Int).Set(baseTarget), big.NewInt(int64(math.Ldexp(fraction, 53)))
	if exponent -= 53; exponent < 0 {
		numerator.Lsh(numerator, uint(-exponent))
	} else {
		denominator.Lsh(denominator, uint(exponent))
	}
	q := numerator.Quo(numerator, denominator)
	if q.BitLen() > 256 {
		return *t.SetAllOne(), true
	}
	t.SetFromBig(q)
	return t, !t.IsZero()
}

// difficultyOf is about the difficulty of a target.
func difficultyOf(t consensus.Target) float64 {
	q, _ := new(big.Rat).SetFrac(baseTarget, t.ToBig()).Float64()
	return q
}

// hashesOf is how many hashes a share of a difficulty needs on average.
func hashesOf(difficulty float64) float64 { return difficulty * 0x1p48 / 0xffff }

// Bounds of a difficulty. The least is that of one hash.
const (
	minDifficulty = 0xffff / 0x1p48
	maxDifficulty = 1e18
)

// The difficulty changes after a period, or when so many more shares have come than
// were wanted in it that chance does not explain them.
const (
	retargetAfter = 30 * time.Second
	retargetLeast = 5 // shares that are wanted in a period
	retargetEarly = 2
	maxRise       = 256
	maxFall       = 8
	tolerance     = 1.5 // a factor up to this, up or down, changes nothing
)

// vardiff finds the difficulty at which a connection gives as many shares as are
// wanted. It counts only what was accepted, each for the difficulty that it was
// searched at: nobody is paid more for making it err.
type vardiff struct {
	perMinute float64 // shares that are wanted
	since     time.Time
	shares    int
	hashes    float64 // that these shares stand for
}

// accepted counts a share.
func (v *vardiff) accepted(hashes float64) {
	v.shares++
	v.hashes += hashes
}

// next is the difficulty to go on with after the current one, and whether it is
// another. It must be asked with each share and every few seconds.
func (v *vardiff) next(current float64, now time.Time) (difficulty float64, changed bool) {
	elapsed := now.Sub(v.since)
	wanted := max(retargetLeast, v.perMinute*retargetAfter.Minutes())
	if elapsed.Minutes() < wanted/v.perMinute && float64(v.shares) < retargetEarly*wanted {
		return current, false
	}
	// The hash rate that was seen, and what share it makes once in its time. No
	// share at all is taken for one that was about to come.
	hashes := max(v.hashes, hashesOf(current)/2)
	rate := hashes / max(elapsed, 10*time.Millisecond).Minutes()
	ideal := rate / v.perMinute / hashesOf(1)
	v.since, v.shares, v.hashes = now, 0, 0
	factor := min(max(ideal/current, 1./maxFall), maxRise)
	if factor > 1/tolerance && factor < tolerance {
		return current, false
	}
	return current * factor, true
}
