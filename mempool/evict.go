package mempool

import (
	"math"
	"slices"
	"time"

	"lode/consensus"
)

// trim evicts the worst chunks if the pool is too large. Nothing depends on
// them: they are the last of their clusters. The caller holds mu.
func (p *Pool) trim() {
	for p.graph.Totals().Memory > p.cfg.Policy.MaxMemory {
		worst := p.graph.Worst()
		size := (worst.Weight + consensus.WitnessScale - 1) / consensus.WitnessScale
		if p.floor.raise(RateOf(worst.Fee, size) + p.cfg.Policy.Increment) {
			p.cfg.Log.Debug("rolling minimum fee bumped", "sat_per_kvb", int64(p.floor.rate))
		}
		gone := slices.Clone(worst.Txs())
		SortBySeq(gone)
		p.removeAll(gone)
		p.left(gone, LeftEvicted)
	}
}

// floorHalfLife is how long it takes after an eviction until half of the raised
// minimum fee is asked for, as in Bitcoin Core.
const floorHalfLife = 12 * time.Hour

// floor is the fee rate that was evicted last. While no block has come since, it
// stays; then it falls, the faster the emptier the pool is.
type floor struct {
	rate    float64 // sat per 1,000 virtual bytes
	falling bool
	at      time.Time // of rate
}

// raise makes it higher, and reports whether it has.
func (f *floor) raise(to FeeRate) bool {
	if float64(to) <= f.rate {
		return false
	}
	f.rate, f.falling = float64(to), false
	return true
}

// block notes that a block was found.
func (f *floor) block(now time.Time) { f.falling, f.at = true, now }

// minFee is the fee rate that evictions have raised the minimum to, or 0. The
// caller holds mu.
func (p *Pool) minFee() FeeRate {
	f, policy := &p.floor, &p.cfg.Policy
	if f.rate == 0 {
		return 0
	}
	// A little later is soon enough, and keeps calls cheap.
	if now := p.cfg.Now(); f.falling && now.Sub(f.at) > 10*time.Second {
		halfLife := floorHalfLife
		switch {
		case p.graph.Totals().Memory < policy.MaxMemory/4:
			halfLife /= 4
		case p.graph.Totals().Memory < policy.MaxMemory/2:
			halfLife /= 2
		}
		f.rate *= math.Exp2(-now.Sub(f.at).Seconds() / halfLife.Seconds())
		f.at = now
		if f.rate < float64(policy.Increment)/2 {
			f.rate = 0
			return 0
		}
	}
	return max(FeeRate(math.Round(f.rate)), policy.Increment)
}
