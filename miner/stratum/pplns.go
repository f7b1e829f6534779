package stratum

import (
	"cmp"
	"math/bits"
	"slices"

	"lode/consensus"
)

// The accounting of the pool: pure, so that it can be tested alone. It is
// "unit-PPLNS" of Meni Rosenfeld, "Analysis of Bitcoin Pooled Mining Reward
// Systems" (2011): a share scores its own difficulty over that of the block it
// was searched for, and a block pays the newest shares, as many as score
// together a fixed sum. Who waits for another difficulty, or comes and goes, gains
// nothing by it.

// scoreOne is the score of as many shares as a block needs on average.
const scoreOne = 1 << 48

// scoreOf is the score of a share with a target, for a block with another. It is
// at least 1, and at most that of a block.
func scoreOf(share, block consensus.Target) uint64 {
	one, s := new(consensus.Target).SetUint64(scoreOne), new(consensus.Target)
	if !block.Lt(&share) {
		return scoreOne
	}
	share.AddUint64(&share, 1) // the hashes that are expected are 2^256 over this
	block.AddUint64(&block, 1)
	if share.IsZero() { // 2^256: any hash is a share
		return max(1, s.Rsh(&block, 256-48).Uint64())
	}
	s.MulDivOverflow(&block, one, &share)
	return max(1, s.Uint64())
}

// windowSlices is in how many steps the window moves.
const windowSlices = 64

// window is the shares that the next block pays, by payee. Its oldest part falls
// out in slices: it holds as much score as it should, or up to one slice more.
type window struct {
	size   uint64  // score
	slices []slice // the oldest first
	total  uint64
	scores map[string]uint64 // of all slices, by payee
}

// slice is shares that came one after another.
type slice struct {
	total  uint64
	scores map[string]uint64 // by payee
}

func newWindow(size uint64) *window {
	return &window{size: size, scores: make(map[string]uint64)}
}

// add gives a payee the score of a share. It reports whether older ones have fallen
// out for it.
func (w *window) add(payee string, score uint64) (moved bool) {
	if n := len(w.slices); n == 0 || w.slices[n-1].total >= w.size/windowSlices {
		w.slices = append(w.slices, slice{scores: make(map[string]uint64)})
	}
	newest := &w.slices[len(w.slices)-1]
	newest.scores[payee] += score
	newest.total += score
	w.scores[payee] += score
	w.total += score
	for len(w.slices) > 1 && w.total-w.slices[0].total >= w.size {
		for payee, score := range w.slices[0].scores {
			if w.scores[payee] -= score; w.scores[payee] == 0 {
				delete(w.scores, payee)
			}
		}
		w.total -= w.slices[0].total
		w.slices = w.slices[1:]
		moved = true
	}
	return moved
}

// remove takes all shares of a payee out.
func (w *window) remove(payee string) {
	for i := range w.slices {
		score := w.slices[i].scores[payee]
		w.slices[i].total -= score
		w.total -= score
		delete(w.slices[i].scores, payee)
	}
	delete(w.scores, payee)
}

// apportion divides total in proportion to weights, of which one at least is not
// zero: each part is exact but for less than one, by the method of the largest
// remainders, and the parts sum up to total.
func apportion(total uint64, weights []uint64) []uint64 {
	var sum uint64
	for _, w := range weights {
		sum += w
	}
	parts, rests := make([]uint64, len(weights)), make([]uint64, len(weights))
	order := make([]int, len(weights))
	left := total
	for i, w := range weights {
		hi, lo := bits.Mul64(total, w)
		parts[i], rests[i] = bits.Div64(hi, lo, sum) // w is at most sum, so that the quotient fits
		left -= parts[i]
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rests[b], rests[a]) })
	for _, i := range order[:left] { // there are fewer than remainders that are not zero
		parts[i]++
	}
	return parts
}

// payment is what one payee gets of a block.
type payment struct {
	Payee  string // an address
	Amount consensus.Amount
}

// distribution is how a block is paid out.
type distribution struct {
	Pay []payment                   // the largest first; they sum up to the value of the block
	Due map[string]consensus.Amount // by how much what was carried over changes; the sum is zero
}

// distribute divides the value of a block. Each payee is owed a part in
// proportion to its score, and what was carried over from the blocks before.
// Those to whom most is owed are paid, in proportion to it, as many as get at
// least dust each, up to a number. What the others are owed is carried over. A
// block has nobody to keep that for them: so those who are paid get it in advance,
// and are owed less the next time. scores must not be empty, and carry must sum
// up to zero.
func distribute(value consensus.Amount, scores map[string]uint64, carry map[string]consensus.Amount, dust consensus.Amount, most int) distribution {
	owed := make([]payment, 0, len(scores)+len(carry))
	for payee := range scores {
		owed = append(owed, payment{Payee: payee})
	}
	// So that equal remainders are decided alike each time.
	slices.SortFunc(owed, func(a, b payment) int { return cmp.Compare(a.Payee, b.Payee) })
	weights := make([]uint64, len(owed))
	for i := range owed {
		weights[i] = scores[owed[i].Payee]
	}
	d := distribution{Due: make(map[string]consensus.Amount)}
	for i, part := range apportion(uint64(value), weights) {
		p := &owed[i]
		d.Due[p.Payee] = consensus.Amount(part)
		p.Amount = consensus.Amount(part) + carry[p.Payee]
	}
	for payee, amount := range carry {
		if _, ok := scores[payee]; !ok {
			owed = append(owed, payment{payee, amount})
		}
	}
	slices.SortFunc(owed, func(a, b payment) int {
		return cmp.Or(cmp.Compare(b.Amount, a.Amount), cmp.Compare(a.Payee, b.Payee))
	})
	d.Pay = pay(value, owed, dust, most)
	for _, p := range d.Pay {
		d.Due[p.Payee] -= p.Amount
	}
	for payee, amount := range d.Due {
		if amount == 0 {
			delete(d.Due, payee)
		}
	}
	return d
}

// pay divides value among the first of those to whom most is owed.
func pay(value consensus.Amount, owed []payment, dust consensus.Amount, most int) []payment {
	n := 0
	var weights []uint64
	var sum uint64
	for n < min(len(owed), most) && owed[n].Amount > 0 {
		weights = append(weights, uint64(owed[n].Amount))
		sum += weights[n]
		n++
	}
	if n == 0 { // nothing is owed, as there is no subsidy and no fee
		return []payment{{owed[0].Payee, value}}
	}
	for ; n > 1; n-- {
		hi, lo := bits.Mul64(uint64(value), weights[n-1])
		if least, _ := bits.Div64(hi, lo, sum); least >= uint64(dust) {
			break
		}
		sum -= weights[n-1]
	}
	paid := slices.Clone(owed[:n])
	for i, amount := range apportion(uint64(value), weights[:n]) {
		paid[i].Amount = consensus.Amount(amount)
	}
	return paid
}

// trim leaves the most important of what is carried over: those in scores, and the
// largest amounts. The largest of all takes over what the others had, so that the
// sum stays.
func trim(carry map[string]consensus.Amount, scores map[string]uint64, most int) {
	if len(carry) <= most {
		return
	}
	size := func(payee string) consensus.Amount { return max(carry[payee], -carry[payee]) }
	order := make([]string, 0, len(carry))
	for payee := range carry {
		order = append(order, payee)
	}
	slices.SortFunc(order, func(a, b string) int {
		return cmp.Or(cmp.Compare(size(b), size(a)), cmp.Compare(a, b))
	})
	for i := len(order) - 1; i > 0 && len(carry) > most; i-- {
		if _, active := scores[order[i]]; !active {
			carry[order[0]] += carry[order[i]]
			delete(carry, order[i])
		}
	}
}
