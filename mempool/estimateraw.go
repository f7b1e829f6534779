package mempool

import "math"

// RawEstimate is what Estimate looks at.
type RawEstimate struct {
	Rate  FeeRate // the mean of what those paid that were enough; 0 if too little is known
	Fade  float64 // by which counts fade with each block
	Pass  EstimateRange
	Fail  EstimateRange
	Fails bool // whether there is a range that was not enough
}

// EstimateRange is neighbouring fee rates, and what became of transactions that
// paid so much. Counts have faded.
type EstimateRange struct {
	From, To     float64 // sat per 1,000 virtual bytes
	WithinTarget float64 // confirmed within the target
	Confirmed    float64 // at any time
	InMempool    float64 // still waiting, for the target at least
	LeftMempool  float64 // gone without being confirmed, after the target at least
}

// HighestTarget is how many blocks fee estimates look ahead.
const HighestTarget = estimateTarget

// EstimateRaw is the lowest range of fee rates of which a part of all transactions
// (threshold, from 0 to 1) was confirmed within target blocks, at most
// HighestTarget, and the range below it that was not.
func (p *Pool) EstimateRaw(target int, threshold float64) RawEstimate {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &p.estimator
	target = min(max(target, 1), estimateTarget)
	var waiting [estimateBuckets]float64
	for _, n := range p.byTxID {
		if n.bucket > 0 && p.height >= n.Height+uint32(target) {
			waiting[n.bucket-1]++
		}
	}
	raw := RawEstimate{Fade: estimateFade}
	var r EstimateRange
	rates := 0.0
	begin := func() { r, rates = EstimateRange{}, 0 }
	for i := estimateBuckets - 1; i >= 0; i-- {
		b := &e.buckets[i]
		if r.To == 0 {
			r.To = bucketEnd(i)
		}
		r.From = bucketEnd(i - 1)
		r.WithinTarget += b.within[target]
		r.Confirmed += b.total
		r.LeftMempool += b.failed[target]
		r.InMempool += waiting[i]
		rates += b.rates
		all := r.Confirmed + r.LeftMempool + r.InMempool
		if all < estimateEnough {
			continue
		}
		if r.WithinTarget < all*threshold {
			raw.Fail, raw.Fails = r, true
			return raw
		}
		raw.Pass, raw.Rate = r, FeeRate(rates/r.Confirmed)
		begin()
	}
	if raw.Rate == 0 {
		raw.Fail, raw.Fails = r, true
	}
	return raw
}

// bucketEnd is the highest rate of a bucket, by its index; 0 before the first.
func bucketEnd(i int) float64 {
	if i < 0 {
		return 0
	}
	return leastEstimate * math.Pow(estimateSpacing, float64(i))
}
