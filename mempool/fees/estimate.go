package fees

import "math"

// Range is neighbouring fee rates, and what became of transactions that paid so much.
// Counts have faded.
type Range struct {
	From, To     float64 // sat per 1,000 virtual bytes
	WithinTarget float64 // confirmed within the target
	Confirmed    float64 // at any time
	InMempool    float64 // still waiting, for the target at least
	LeftMempool  float64 // gone without being confirmed, after the target at least
}

func (r *Range) all() float64 { return r.Confirmed + r.LeftMempool + r.InMempool }

// Raw is what an estimate of one horizon looks at.
type Raw struct {
	Rate  float64 // the median of what those paid that were enough; 0 if too little is known
	Pass  Range   // the lowest range that was enough
	Fail  Range   // the one below, that was not
	Fails bool    // whether there is one
}

// Raw is the lowest range of fee rates of which a part of all transactions (from 0 to
// 1) was confirmed within target blocks, at most h.Most(), and the range below it that
// was not.
func (e *Estimator) Raw(h Horizon, target int, part float64) (raw Raw) {
	target = min(max(target, 1), h.Most())
	p, waiting, period := &e.past[h], e.waitingFor(target), h.period(target)
	enough := shapes[h].enough / (1 - shapes[h].fade)
	first, last := -1, -1 // the buckets of Pass, first being the highest
	var r Range
	highest := buckets - 1 // bucket of r
	confirmed := 0.0       // since the range last had enough
	for i := buckets - 1; i >= 0; i-- {
		r.WithinTarget += p.within[period][i]
		r.Confirmed += p.total[i]
		r.LeftMempool += p.failed[period][i]
		r.InMempool += waiting[i]
		confirmed += p.total[i]
		r.From, r.To = bucketStart(i), ends[highest]
		if confirmed < enough {
			continue
		}
		confirmed = 0
		if r.WithinTarget < r.all()*part {
			if !raw.Fails {
				raw.Fail, raw.Fails = r, true
			}
			continue // with what is below, it may be enough again
		}
		raw.Pass, raw.Fails = r, false
		first, last = highest, i
		r, highest = Range{}, i-1
	}
	if !raw.Fails && highest >= 0 { // too few to say anything
		raw.Fail, raw.Fails = r, true
	}
	if first >= 0 {
		raw.Rate = p.median(last, first)
	}
	return raw
}

// median is the mean rate of that bucket of a range in which its median is.
func (p *history) median(low, high int) float64 {
	half := 0.0
	for i := low; i <= high; i++ {
		half += p.total[i] / 2
	}
	for i := low; i <= high; i++ {
		if p.total[i] < half {
			half -= p.total[i]
		} else if p.total[i] > 0 {
			return p.rates[i] / p.total[i]
		}
	}
	return 0
}

func bucketStart(i int) float64 {
	if i == 0 {
		return 0
	}
	return ends[i-1]
}

// Mode says how much weight what was long ago has.
type Mode int

// The modes of Bitcoin Core. Economical follows a market that has become cheaper at
// once; Conservative asks the longer horizons too.
const (
	Economical Mode = iota
	Conservative
)

// What part of transactions must have been confirmed: within half the target, the
// target, and twice the target.
const (
	partHalf   = 0.6
	partTarget = 0.85
	partDouble = 0.95
)

// Estimate is the fee rate, in sat per 1,000 virtual bytes, that should have a
// transaction confirmed within target blocks, and the number of blocks that it stands
// for: two at least, and no more than half of what has been watched. ok is false if too
// little is known.
func (e *Estimator) Estimate(target int, mode Mode) (rate int64, blocks int, ok bool) {
	blocks = min(max(target, 2), MaxTarget, e.span/2)
	if blocks < 2 {
		return 0, target, false
	}
	best := max(
		e.combined(blocks/2, partHalf, true),
		e.combined(blocks, partTarget, true),
		e.combined(2*blocks, partDouble, mode == Economical))
	if mode == Conservative || best == 0 {
		best = max(best, e.conservative(2*blocks))
	}
	return int64(math.Round(best)), blocks, best > 0
}

// combined asks the shortest horizon that looks far enough ahead, and, if shorter is
// set, those below for as far as they do: the answer for fewer blocks is enough too.
func (e *Estimator) combined(target int, part float64, shorter bool) (rate float64) {
	if target > MaxTarget {
		return 0
	}
	h := Short
	for h.Most() < target {
		h++
	}
	rate = e.Raw(h, target, part).Rate
	for h--; shorter && h >= Short; h-- {
		if less := e.Raw(h, h.Most(), part).Rate; less > 0 && (rate == 0 || less < rate) {
			rate = less
		}
	}
	return rate
}

// conservative asks the horizons that look further than they would need to.
func (e *Estimator) conservative(target int) (rate float64) {
	if target <= Short.Most() {
		rate = e.Raw(Medium, target, partDouble).Rate
	}
	if target <= Medium.Most() {
		rate = max(rate, e.Raw(Long, target, partDouble).Rate)
	}
	return rate
}
