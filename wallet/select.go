package wallet

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"lode/consensus"
)

// Dust is the least value in sat that an output should have: Bitcoin Core does
// not relay a smaller Taproot output.
const Dust consensus.Amount = 330

// Weights (BIP141) of the parts of a transaction that spends Taproot coins by
// key and pays Taproot outputs.
const (
	inputWeight = 4*(32+4+1+4) + (1 + 1 + 64) // outpoint, empty script, sequence; one signature
	inputVSize  = (inputWeight + 3) / 4
	outputSize  = 8 + 1 + 34
	maxTxWeight = 400_000 // what nodes relay
)

// InputVSize is what an input of the wallet takes in a transaction, in virtual bytes.
const InputVSize = inputVSize

// selectTries bounds the search for a sum without change.
const selectTries = 100_000

// discardRate is the highest rate at which change is reckoned to be spent one
// day: a payment in a hurry says nothing about that day (Bitcoin Core's
// -discardfee, 10 sat/vB).
const discardRate FeeRate = 10_000

// outputSizes are the outputs of a transaction: how many, and their bytes.
type outputSizes struct{ count, bytes int }

func sizesOf(outs []consensus.TxOut) outputSizes {
	s := outputSizes{count: len(outs)}
	for i := range outs {
		n := len(outs[i].Script)
		s.bytes += 8 + consensus.CompactSizeLen(uint64(n)) + n
	}
	return s
}

// withChange adds a Taproot output.
func (s outputSizes) withChange() outputSizes { return outputSizes{s.count + 1, s.bytes + outputSize} }

// baseWeight is the weight of a transaction but for its inputs.
func (s outputSizes) baseWeight(inputs int) int {
	base := 4 + consensus.CompactSizeLen(uint64(inputs)) + consensus.CompactSizeLen(uint64(s.count)) + s.bytes + 4
	return consensus.WitnessScale*base + 2
}

// vsize is the size in virtual bytes of a transaction with so many inputs,
// signed.
func (s outputSizes) vsize(inputs int) int {
	return (s.baseWeight(inputs) + inputs*inputWeight + consensus.WitnessScale - 1) / consensus.WitnessScale
}

// Kinds of errors of a payment.
var (
	ErrFunds       = errors.New("not enough money")
	ErrDust        = errors.New("too small to be sent")
	ErrTooManyCoin = errors.New("needs more coins than one transaction can hold")
)

// want is what is to be paid.
type want struct {
	amount   consensus.Amount // sat, to all payees
	rate     FeeRate
	subtract bool                             // the fee comes out of the amount, not on top of it
	outs     outputSizes                      // without change
	fixed    []Coin                           // are spent in any case
	extra    consensus.Amount                 // fee for ancestors that pay too little
	floor    func(vsize int) consensus.Amount // the least fee of a replacement; nil: none
}

// fee is what so many inputs cost beside the fixed ones, with change or without.
func (q want) fee(inputs int, change bool) consensus.Amount {
	outs := q.outs
	if change {
		outs = outs.withChange()
	}
	vsize := outs.vsize(len(q.fixed) + inputs)
	fee := q.rate.Fee(vsize) + q.extra
	if q.floor != nil {
		fee = max(fee, q.floor(vsize))
	}
	return fee
}

// maxInputs is how many inputs a transaction can have with these outputs, that
// nodes relay, beside the fixed ones.
func (q want) maxInputs() int {
	const many = 1 << 16 // the number takes three bytes
	return (maxTxWeight-q.outs.withChange().baseWeight(many-1))/inputWeight - len(q.fixed)
}

// selection is a set of coins and what becomes of their sum.
type selection struct {
	coins  []Coin
	amount consensus.Amount // what the payee gets
	fee    consensus.Amount
	change consensus.Amount // 0: there is no change output
}

// minChange is the least change that is worth an output: not dust, and not less
// than it costs to spend.
func (q want) minChange() consensus.Amount {
	return max(Dust, min(q.rate, discardRate).Fee(inputVSize))
}

// sumOf adds up values.
func sumOf(coins []Coin) (sum consensus.Amount) {
	for i := range coins {
		sum += coins[i].Value
	}
	return sum
}

// settle says what becomes of the sum of coins and the fixed ones; false if it
// is not enough.
func (q want) settle(coins []Coin) (selection, bool) {
	sum := sumOf(q.fixed) + sumOf(coins)
	one, two := q.fee(len(coins), false), q.fee(len(coins), true)
	s := selection{coins: coins, amount: q.amount}
	if q.subtract {
		if s.change = sum - q.amount; s.change >= q.minChange() {
			s.fee, s.amount = two, q.amount-two
		} else {
			s.amount, s.change = min(q.amount, sum-one), 0
			s.fee = sum - s.amount
		}
		return s, sum >= q.amount
	}
	if s.change = sum - q.amount - two; s.change >= q.minChange() {
		s.fee = two
	} else {
		s.fee, s.change = sum-q.amount, 0
	}
	return s, sum >= q.amount+one
}

// selectCoins chooses what to spend, of coins that may be spent: confirmed ones
// if they suffice.
func selectCoins(coins []Coin, q want) (selection, error) {
	var confirmed []Coin
	for _, c := range coins {
		if c.Height > 0 {
			confirmed = append(confirmed, c)
		}
	}
	s, err := q.from(confirmed)
	if err != nil && len(confirmed) < len(coins) {
		s, err = q.from(coins)
	}
	if err == nil && s.amount < Dust {
		return s, fmt.Errorf("%w: %s remain after the fee of %s, want at least %s", ErrDust, s.amount, s.fee, Dust)
	}
	return s, err
}

// waste is what a selection costs beyond what must be paid: what its inputs cost
// now and not one day when rates are usual, and what change costs, or what is
// given away for want of it (Bitcoin Core's waste metric). The less the better.
func (q want) waste(s selection) consensus.Amount {
	n := consensus.Amount(len(s.coins))
	waste := n * (q.rate.Fee(inputVSize) - usualRate.Fee(inputVSize))
	if s.change > 0 {
		return waste + q.rate.Fee(outputSize) + min(q.rate, discardRate).Fee(inputVSize)
	}
	return waste + s.fee - q.fee(len(s.coins), false)
}

// usualRate is what coins cost to spend one day (Bitcoin Core's
// -consolidatefeerate).
const usualRate FeeRate = 10_000

// from chooses among coins the least wasteful of: a set that leaves no change, the
// smallest coin that suffices, the largest coins, coins at random.
func (q want) from(coins []Coin) (selection, error) {
	if s, ok := q.settle(nil); ok && len(q.fixed) > 0 {
		return s, nil
	}
	fee, most := q.rate.Fee(inputVSize), q.maxInputs()
	var worth []Coin // those that bring more than it costs to spend them
	for _, c := range coins {
		if c.Value > fee || q.subtract {
			worth = append(worth, c)
		}
	}
	slices.SortStableFunc(worth, func(a, b Coin) int { return cmp.Compare(b.Value, a.Value) })
	largest, enough := q.first(worth)
	if !enough {
		return selection{}, fmt.Errorf("%w: want %s and the fee, may spend %s", ErrFunds, q.amount, sumOf(q.fixed)+sumOf(coins))
	}
	if len(largest.coins) > most {
		return selection{}, fmt.Errorf("%w (%d): send less, or to yourself first", ErrTooManyCoin, most)
	}
	best := largest
	better := func(s selection, ok bool) {
		if ok && len(s.coins) <= most && q.waste(s) < q.waste(best) {
			best = s
		}
	}
	for i := len(worth) - 1; i >= 0; i-- {
		if s, ok := q.settle(worth[i : i+1]); ok && s.change > 0 {
			better(s, true)
			break
		}
	}
	shuffled := slices.Clone(worth)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	better(q.first(shuffled))
	better(q.exact(worth, most))
	return best, nil
}

// first takes coins in their order until they suffice.
func (q want) first(coins []Coin) (selection, bool) {
	sum := sumOf(q.fixed)
	for n := range coins {
		if sum += coins[n].Value; sum < q.amount {
			continue // settle sums them all up
		}
		if s, ok := q.settle(coins[:n+1]); ok {
			return s, true
		}
	}
	return selection{}, false
}

// exact looks for coins that need no change: branch and bound over what each
// brings beyond its own fee, as Murch describes it ("An Evaluation of Coin
// Selection Strategies", 2016). coins are sorted, the largest first.
func (q want) exact(coins []Coin, most int) (selection, bool) {
	b := bounded{values: make([]consensus.Amount, len(coins)), rest: make([]consensus.Amount, len(coins)+1), tries: selectTries, most: most}
	b.low = q.amount - sumOf(q.fixed)
	b.high = b.low + q.minChange() - 1
	if !q.subtract {
		b.low += q.fee(1, false) - q.rate.Fee(inputVSize)
		b.high = b.low + q.rate.Fee(outputSize) + q.minChange()
	}
	for i := len(coins) - 1; i >= 0; i-- {
		b.values[i] = coins[i].Value
		if !q.subtract {
			b.values[i] -= q.rate.Fee(inputVSize)
		}
		b.rest[i] = b.rest[i+1] + b.values[i]
	}
	b.accept = func(picked []int) bool {
		s, ok := q.settle(pick(coins, picked))
		return ok && s.change == 0
	}
	b.walk(0, 0)
	if b.best == nil {
		return selection{}, false
	}
	return q.settle(pick(coins, b.best))
}

func pick(coins []Coin, indexes []int) []Coin {
	picked := make([]Coin, len(indexes))
	for i, at := range indexes {
		picked[i] = coins[at]
	}
	return picked
}

// bounded searches a subset of values with a sum from low to high, as close to
// low as it finds in a bounded number of tries.
type bounded struct {
	values    []consensus.Amount // falling
	rest      []consensus.Amount // rest[i] is the sum of values[i:]
	low, high consensus.Amount
	accept    func(picked []int) bool
	tries     int
	most      int // values in the subset

	picked, best []int
}

func (b *bounded) walk(i int, sum consensus.Amount) {
	if b.tries--; b.tries < 0 || sum > b.high || len(b.picked) > b.most {
		return
	}
	if sum >= b.low {
		if b.accept(b.picked) {
			b.best, b.high = slices.Clone(b.picked), sum-1 // from now on only better ones
		}
		return // more coins only add to it
	}
	if i == len(b.values) || sum+b.rest[i] < b.low {
		return
	}
	b.picked = append(b.picked, i)
	b.walk(i+1, sum+b.values[i])
	b.picked = b.picked[:len(b.picked)-1]
	next := i + 1 // without i, one of the same value is no better
	for next < len(b.values) && b.values[next] == b.values[i] {
		next++
	}
	b.walk(next, sum)
}
