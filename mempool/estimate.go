package mempool

import (
	"math"
	"slices"
)

// Fee estimates say what has been enough, in the past, to be confirmed within
// some blocks: of the transactions that paid about as much, how many were, of
// those that were confirmed, went away or still wait (after Bitcoin Core's
// estimator, with one horizon instead of three). Counts fade with a half-life of
// 346 blocks.
const (
	estimateBuckets = 64
	estimateSpacing = 1.2 // between the rates of two buckets; the first ends at leastEstimate
	leastEstimate   = 100 // sat per 1,000 virtual bytes
	estimateTarget  = 144 // blocks, the most that is looked ahead
	estimateFade    = 0.998
	estimateEnough  = 20 // transactions, for a bucket or several to say anything
)

// estimator counts transactions by fee rate. The pool's mu guards it.
type estimator struct {
	blocks  int  // since the first that confirmed something
	counts  bool // something, which has to fade
	buckets [estimateBuckets]estimateBucket
}

// estimateBucket counts transactions of similar fee rates, faded.
type estimateBucket struct {
	rates float64 // sum over the confirmed ones
	total float64 // confirmed ones
	// By blocks waited, at most estimateTarget: confirmed after no more, and gone
	// unconfirmed after no less.
	within, failed [estimateTarget + 1]float64
}

// bucketOf is the number of the bucket of a fee rate, from 1 on.
func bucketOf(rate FeeRate) uint8 {
	n := math.Ceil(math.Log(float64(max(rate, 1))/leastEstimate) / math.Log(estimateSpacing))
	return uint8(1 + min(max(n, 0), estimateBuckets-1))
}

// block fades what was counted before a block.
func (e *estimator) block() {
	if e.blocks > 0 {
		e.blocks++
	}
	if e.counts {
		e.fade(1)
	}
}

// fade lets what was counted fade as some blocks do.
func (e *estimator) fade(blocks int) {
	factor := math.Pow(estimateFade, float64(blocks))
	for i := range e.buckets {
		e.buckets[i].each(func(count *float64) { *count *= factor })
	}
}

// confirmed counts n, which a block at a height has confirmed.
func (e *estimator) confirmed(n *node, height uint32) {
	if n.bucket == 0 || height <= n.Height {
		return
	}
	e.blocks, e.counts = max(e.blocks, 1), true
	b := &e.buckets[n.bucket-1]
	b.total++
	b.rates += float64(n.Rate())
	for t := min(int(height-n.Height), estimateTarget+1); t <= estimateTarget; t++ {
		b.within[t]++
	}
	n.bucket = 0 // it is done
}

// left counts n, which has gone without being confirmed.
func (e *estimator) left(n *node, height uint32) {
	if n.bucket == 0 || height <= n.Height {
		return
	}
	b := &e.buckets[n.bucket-1]
	for t := 1; t <= min(int(height-n.Height), estimateTarget); t++ {
		b.failed[t]++
		e.counts = true
	}
}

// Estimate is the fee rate, in sat per 1,000 virtual bytes, that should have a
// transaction confirmed within target blocks, and the number of blocks that it
// stands for: no more than has been watched. likely is how many of a hundred
// such transactions were. ok is false if too little is known.
func (p *Pool) Estimate(target, likely int) (rate FeeRate, blocks int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &p.estimator
	blocks = min(max(target, 2), estimateTarget, e.blocks/2)
	if blocks < 2 {
		return 0, target, false
	}
	var waiting [estimateBuckets]float64 // as long already
	for _, n := range p.byTxID {
		if n.bucket > 0 && p.height >= n.Height+uint32(blocks) {
			waiting[n.bucket-1]++
		}
	}
	var rates, total, within, all float64 // of the buckets since the last that were enough
	for i, b := range slices.Backward(e.buckets[:]) {
		rates, total, within = rates+b.rates, total+b.total, within+b.within[blocks]
		all += b.total + b.failed[blocks] + waiting[i]
		if all < estimateEnough {
			continue
		}
		if within*100 < all*float64(likely) {
			break
		}
		rate, ok = FeeRate(rates/total), true
		rates, total, within, all = 0, 0, 0, 0
	}
	return max(rate, p.minFee(), p.cfg.Policy.MinRelay), blocks, ok
}

// track has an accepted transaction counted. One whose parents are not confirmed
// may be held back by them, and says nothing; nor does one that came at another
// time.
func (n *node) track(saved bool) {
	if len(n.parents) == 0 && !saved && n.Fee > 0 && n.fee == n.Fee {
		n.bucket = bucketOf(rateOf(n.Fee, n.Size))
	}
}
