// Package fees estimates what has been enough, in the past, for a transaction to be
// confirmed within some blocks: of those that paid about as much, how many were, of
// those that were confirmed, went away or still wait. It is pure: no lock, no clock, no
// disk. Who owns an Estimator tells it of blocks, and of transactions that come, are
// confirmed or go.
//
// The method and its numbers are Bitcoin Core's (policy/fees/block_policy_estimator.h):
// three horizons, which count in periods of one, two and 24 blocks, and forget with
// half-lives of 18, 144 and 1,008 blocks.
package fees

import (
	"math"
	"slices"
)

// Horizon is one of the ways of counting.
type Horizon int

// The horizons. Each looks ahead, and forgets, further than the one before.
const (
	Short Horizon = iota
	Medium
	Long
	horizons
)

// shape is what a horizon is like.
type shape struct {
	name    string
	periods int     // that are told apart
	scale   int     // blocks of one period
	fade    float64 // of all counts, with each block
	enough  float64 // transactions a block, for a range of rates to say anything
}

var shapes = [horizons]shape{
	{"short", 12, 1, 0.962, 0.5},
	{"medium", 24, 2, 0.9952, 0.1},
	{"long", 42, 24, 0.99931, 0.1},
}

// String is the name that estimaterawfee has for a horizon.
func (h Horizon) String() string { return shapes[h].name }

// Most is how many blocks a horizon looks ahead.
func (h Horizon) Most() int { return shapes[h].periods * shapes[h].scale }

// Scale is how many blocks a period of the horizon has.
func (h Horizon) Scale() int { return shapes[h].scale }

// Fade is the factor by which counts fade with each block.
func (h Horizon) Fade() float64 { return shapes[h].fade }

// period is the number of the period that ends at blocks or later, from 0 on.
func (h Horizon) period(blocks int) int { return (blocks+shapes[h].scale-1)/shapes[h].scale - 1 }

// MaxTarget is how many blocks estimates look ahead at most.
const MaxTarget = 1008

// Horizons lists them all, the shortest first.
func Horizons() []Horizon { return []Horizon{Short, Medium, Long} }

// Buckets are ranges of fee rates, in sat per 1,000 virtual bytes, each ending 1.05
// times as high as the one before; the last has no end.
const (
	buckets     = 237
	leastBucket = 100
	mostBucket  = 1e7
	spacing     = 1.05
	noEnd       = 1e99
)

// ends is the highest rate of each bucket.
var ends = func() (list [buckets]float64) {
	i := 0
	for end := float64(leastBucket); end <= mostBucket; end *= spacing {
		list[i] = end
		i++
	}
	list[i] = noEnd
	return list
}()

func bucketOf(rate int64) int {
	i, _ := slices.BinarySearch(ends[:], float64(rate))
	return min(i, buckets-1)
}

// Mark is where a transaction is counted; the zero value is nowhere.
type Mark struct {
	height uint32 // of the tip when it came
	bucket uint8  // plus one
}

// counts is a number, faded, for each bucket.
type counts [buckets]float64

// history is what a horizon remembers.
type history struct {
	rates  counts   // sum over the confirmed ones
	total  counts   // confirmed ones
	within []counts // by periods: confirmed in that one or before
	failed []counts // by periods: gone unconfirmed in a later one
}

// Estimator counts transactions by fee rate.
type Estimator struct {
	height  uint32 // of the best block that it was told of
	span    int    // blocks since the first that confirmed something
	began   bool   // there was such a block
	counts  bool   // there is something that has to fade
	past    [horizons]history
	waiting *waiting // nil before the first
}

// waiting is how many transactions wait.
type waiting struct {
	came [MaxTarget][buckets]uint32 // by the height at which they came, modulo MaxTarget
	rows [MaxTarget]uint32          // of each height, in all: most are empty, and need no look
	old  [buckets]uint32            // longer
	all  [buckets]uint32
}

// New gives an estimator that knows nothing, at the height of the tip.
func New(height uint32) *Estimator {
	e := &Estimator{height: height}
	for h := range e.past {
		e.past[h].within, e.past[h].failed = make([]counts, shapes[h].periods), make([]counts, shapes[h].periods)
	}
	return e
}

// Clone is a copy without the transactions that wait.
func (e *Estimator) Clone() *Estimator {
	c := *e
	c.waiting = nil
	for h := range c.past {
		p := &c.past[h]
		p.within, p.failed = slices.Clone(p.within), slices.Clone(p.failed)
	}
	return &c
}

// Height is that of the best block that it was told of.
func (e *Estimator) Height() uint32 { return e.height }

// Span is how many blocks there were since the first that confirmed something.
func (e *Estimator) Span() int { return e.span }

// Enter counts a transaction that came, at the height of the tip. One that came at
// another height says nothing.
func (e *Estimator) Enter(height uint32, rate int64) Mark {
	if height != e.height {
		return Mark{}
	}
	if e.waiting == nil {
		e.waiting = new(waiting)
	}
	i := bucketOf(rate)
	e.waiting.came[height%MaxTarget][i]++
	e.waiting.rows[height%MaxTarget]++
	e.waiting.all[i]++
	return Mark{height, uint8(i + 1)}
}

// Block lets what was counted before a block fade. A height that is not above all
// others, after a reorganization, is not one more block to have waited for.
func (e *Estimator) Block(height uint32) {
	if height <= e.height {
		return
	}
	blocks := int(height - e.height)
	if w := e.waiting; w != nil {
		for i := range min(blocks, MaxTarget) {
			row := (height - uint32(i)) % MaxTarget
			if w.rows[row] == 0 {
				continue
			}
			for bucket, n := range w.came[row] {
				w.old[bucket] += n
			}
			w.came[row], w.rows[row] = [buckets]uint32{}, 0
		}
	}
	e.height = height
	if e.began {
		e.span += blocks
	}
	if e.counts {
		e.fade(blocks)
	}
}

// fade lets what was counted fade as some blocks do.
func (e *Estimator) fade(blocks int) {
	for h := range e.past {
		factor := math.Pow(shapes[h].fade, float64(blocks))
		e.past[h].each(func(c *counts) {
			for i := range c {
				c[i] *= factor
			}
		})
	}
}

// each calls f with all counts of a history, always in the same order.
func (p *history) each(f func(*counts)) {
	f(&p.rates)
	f(&p.total)
	for i := range p.within {
		f(&p.within[i])
		f(&p.failed[i])
	}
}

// stop has a transaction not wait any more, and gives its bucket and for how many
// blocks it has waited.
func (e *Estimator) stop(m Mark) (bucket, blocks int) {
	bucket, blocks = int(m.bucket)-1, int(e.height-m.height)
	if w := e.waiting; w != nil { // else this is a copy
		w.all[bucket]--
		if blocks >= MaxTarget {
			w.old[bucket]--
		} else {
			w.came[m.height%MaxTarget][bucket]--
			w.rows[m.height%MaxTarget]--
		}
	}
	return bucket, blocks
}

// Confirm counts a transaction that the last block has confirmed.
func (e *Estimator) Confirm(m Mark, rate int64) {
	if m.bucket == 0 {
		return
	}
	bucket, blocks := e.stop(m)
	if blocks < 1 { // the block came in the place of another
		return
	}
	e.began, e.counts = true, true
	for h := range horizons {
		p := &e.past[h]
		p.total[bucket]++
		p.rates[bucket] += float64(rate)
		for i := h.period(blocks); i < len(p.within); i++ {
			p.within[i][bucket]++
		}
	}
}

// Leave counts a transaction that has gone without being confirmed.
func (e *Estimator) Leave(m Mark) {
	if m.bucket == 0 {
		return
	}
	bucket, blocks := e.stop(m)
	for h := range horizons {
		p := &e.past[h]
		for i := range min(blocks/shapes[h].scale, len(p.failed)) {
			p.failed[i][bucket]++
			e.counts = true
		}
	}
}

// waitingFor is how many transactions of each bucket wait for some blocks or longer.
func (e *Estimator) waitingFor(blocks int) (n counts) {
	w := e.waiting
	if w == nil {
		return n
	}
	for i := range n {
		n[i] = float64(w.all[i])
	}
	for age := range min(blocks, MaxTarget, int(e.height)+1) {
		row := (e.height - uint32(age)) % MaxTarget
		if w.rows[row] == 0 {
			continue
		}
		for i, came := range &w.came[row] {
			n[i] -= float64(came)
		}
	}
	return n
}
