package mempool

import (
	"lode/mempool/fees"
)

// Estimate is the fee rate, in sat per 1,000 virtual bytes, that should have a
// transaction confirmed within target blocks, and the number of blocks that it stands
// for: no more than has been watched. ok is false if too little is known.
func (p *Pool) Estimate(target int, mode fees.Mode) (rate FeeRate, blocks int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	enough, blocks, ok := p.estimator.Estimate(target, mode)
	return max(FeeRate(enough), p.minFee(), p.cfg.Policy.MinRelay), blocks, ok
}

// EstimateRaw shows what Estimate looks at, see fees.Estimator.Raw.
func (p *Pool) EstimateRaw(h fees.Horizon, target int, part float64) fees.Raw {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.estimator.Raw(h, target, part)
}

// track has an accepted transaction counted. One whose parents are not confirmed
// may be held back by them, and says nothing; nor does one that came at another
// time.
func (p *Pool) track(n *Node, saved bool) {
	if len(n.Parents) == 0 && !saved && n.Fee > 0 && n.Modified == n.Fee {
		n.Mark = p.estimator.Enter(n.Height, int64(RateOf(n.Fee, n.Size)))
	}
}
