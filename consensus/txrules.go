package consensus

import "fmt"

// CheckTx applies the rules of a transaction that need nothing but itself.
func (r *Rules) CheckTx(tx *Tx) error {
	if t := r.trace; t != nil {
		t.Rule(ruleInputs, "inputs", len(tx.In))
	}
	if len(tx.In) == 0 {
		return broken(ErrNoInputs, "a transaction spends at least one coin")
	}
	if t := r.trace; t != nil {
		t.Rule(ruleOutputs, "outputs", len(tx.Out))
	}
	if len(tx.Out) == 0 {
		return broken(ErrNoOutputs, "a transaction has at least one output")
	}
	if t := r.trace; t != nil {
		t.Rule(ruleTxSize, "stripped size", tx.StrippedSize(), "limit", r.MaxBlockWeight/WitnessScale)
	}
	if tx.StrippedSize()*WitnessScale > r.MaxBlockWeight {
		return broken(ErrTxOversize, "no block has room for it")
	}
	if err := r.checkOutputs(tx); err != nil {
		return err
	}
	if t := r.trace; t != nil {
		t.Rule(ruleInputsOnce, "inputs", len(tx.In))
	}
	if o, ok := repeatedInput(tx); ok {
		return broken(ErrDuplicateInputs, "%s is spent twice", o) // CVE-2018-17144
	}
	if tx.IsCoinbase() {
		n := len(tx.In[0].ScriptSig)
		if t := r.trace; t != nil {
			t.Rule(ruleCoinbaseLength, "bytes", n)
		}
		if n < 2 || n > 100 {
			return broken(ErrCoinbaseLength, "the script of a coinbase has 2 to 100 bytes, not %d", n)
		}
	} else {
		for i := range tx.In {
			if t := r.trace; t != nil {
				t.Rule(ruleNullInput, "input", i, "coin", tx.In[i].PrevOut)
			}
			if tx.In[i].PrevOut.IsNull() {
				return broken(ErrNullInput, "only a coinbase has a null input")
			}
		}
	}
	// Last, so that what Bitcoin refuses too is refused with its reason.
	for i := range tx.Out {
		if t := r.trace; t != nil {
			t.Rule(ruleOutputType, "output", i, "script", HexBytes(tx.Out[i].Script))
		}
		if _, ok := TaprootKey(tx.Out[i].Script); !ok && !IsDataScript(tx.Out[i].Script) {
			return broken(ErrOutputType, "output %d is neither Taproot (BIP341) nor OP_RETURN", i)
		}
	}
	return nil
}

// checkOutputs bounds every output and their sum (CVE-2010-5139).
func (r *Rules) checkOutputs(tx *Tx) error {
	var sum Amount
	for i := range tx.Out {
		v := tx.Out[i].Value
		if t := r.trace; t != nil {
			t.Rule(ruleNotNegative, "output", i, "value", v)
		}
		if v < 0 {
			return broken(ErrNegativeOutput, "output %d", i)
		}
		if t := r.trace; t != nil {
			t.Rule(ruleOutputMoney, "output", i, "value", v, "limit", r.MaxMoney)
		}
		if v > r.MaxMoney {
			return broken(ErrOutputTooLarge, "output %d", i)
		}
		sum += v // both are at most 2^53
		if t := r.trace; t != nil {
			t.Rule(ruleOutputsMoney, "outputs", i+1, "sum", sum, "limit", r.MaxMoney)
		}
		if sum > r.MaxMoney {
			return broken(ErrOutputsTooLarge, "the first %d outputs together", i+1)
		}
	}
	return nil
}

func repeatedInput(tx *Tx) (OutPoint, bool) {
	if len(tx.In) == 1 {
		return OutPoint{}, false
	}
	seen := make(map[OutPoint]struct{}, len(tx.In))
	for i := range tx.In {
		o := tx.In[i].PrevOut
		if _, ok := seen[o]; ok {
			return o, true
		}
		seen[o] = struct{}{}
	}
	return OutPoint{}, false
}

// OutputSum is the sum of the outputs of tx in sat; CheckTx has bounded it.
func (tx *Tx) OutputSum() (sum Amount) {
	for i := range tx.Out {
		sum += tx.Out[i].Value
	}
	return sum
}

const (
	lockTimeThreshold = 500_000_000 // below it a lock time is a height
	sequenceFinal     = 0xffffffff

	// BIP68
	sequenceDisable   = 1 << 31
	sequenceIsTime    = 1 << 22
	sequenceMask      = 0xffff
	sequenceTimeShift = 9 // units of 512 seconds
)

// IsFinal reports whether the lock time of tx allows it in a block of this
// height whose parent has this median time (BIP113).
func (tx *Tx) IsFinal(height, medianTime uint32) bool {
	limit := medianTime
	if tx.LockTime < lockTimeThreshold {
		limit = height
	}
	if tx.LockTime == 0 || tx.LockTime < limit {
		return true
	}
	for i := range tx.In {
		if tx.In[i].Sequence != sequenceFinal {
			return false
		}
	}
	return true
}

// MedianTimes gives the median time past of the block at a height in the chain
// that is being extended.
type MedianTimes func(height uint32) uint32

// SequenceLocksMet reports whether the relative lock times of tx (BIP68), which
// spends coins, allow it in a block of this height whose parent has this median
// time.
func SequenceLocksMet(tx *Tx, coins []Coin, height, medianTime uint32, times MedianTimes) bool {
	if tx.Version < 2 { // unsigned, as in Bitcoin Core since 28
		return true
	}
	for i := range tx.In {
		seq := tx.In[i].Sequence
		if seq&sequenceDisable != 0 {
			continue
		}
		value, made := int64(seq&sequenceMask), coins[i].Height
		if seq&sequenceIsTime == 0 {
			if int64(made)+value > int64(height) {
				return false
			}
			continue
		}
		// Reckoned from the earliest time that the block with the coin could
		// have had: the median time of its parent.
		since := int64(times(max(made, 1) - 1))
		if since+value<<sequenceTimeShift > int64(medianTime) {
			return false
		}
	}
	return true
}

// CheckInputs applies the rules about the coins that tx, not a coinbase, spends
// in a block of the given height. It gives the fee in sat.
func (r *Rules) CheckInputs(tx *Tx, coins []Coin, height uint32) (fee Amount, err error) {
	var sum Amount
	for i := range coins {
		c := &coins[i]
		depth := int64(height) - int64(c.Height)
		if t := r.trace; t != nil {
			t.Rule(ruleMature, "input", i, "coinbase", c.Coinbase, "depth", depth, "maturity", r.Maturity)
		}
		if c.Coinbase && depth < int64(r.Maturity) {
			return 0, broken(ErrImmature, "tried to spend coinbase at depth %d", depth)
		}
		sum += c.Value
		if t := r.trace; t != nil {
			t.Rule(ruleInputMoney, "inputs", i+1, "sum", sum, "limit", r.MaxMoney)
		}
		if c.Value < 0 || c.Value > r.MaxMoney || sum > r.MaxMoney {
			return 0, broken(ErrInputRange, "the first %d inputs together", i+1)
		}
	}
	out := tx.OutputSum()
	if t := r.trace; t != nil {
		t.Rule(ruleBelowOutputs, "in", sum, "out", out)
	}
	if sum < out {
		return 0, broken(ErrBelowOutputs, "value in (%s) < value out (%s)", FormatMoney(sum), FormatMoney(out))
	}
	return sum - out, nil
}

// FormatMoney writes coins as Bitcoin Core does in its messages: at least two
// decimal places, and no zeros behind those.
func FormatMoney(a Amount) string {
	s := a.String()
	for cut := 0; cut < 6 && s[len(s)-1] == '0'; cut++ {
		s = s[:len(s)-1]
	}
	return s
}

// missing is the error for a coin that is spent or never was.
func missing(o OutPoint) error {
	return &RuleError{Kind: ErrMissingInputs, Detail: fmt.Sprintf("coin %s", o)}
}
