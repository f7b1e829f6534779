package mempool

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"lode/consensus"
	"lode/mempool/linearize"
)

// FeeRate is in sat per 1,000 virtual bytes.
type FeeRate int64

// Fee is what size virtual bytes cost at r, in sat, rounded up. It is never more
// than what no transaction can pay.
func (r FeeRate) Fee(size int) consensus.Amount {
	high, low := bits.Mul64(uint64(r), uint64(size))
	if high >= 500 { // the quotient would not fit
		return math.MaxInt64
	}
	fee, rest := bits.Div64(high, low, 1000)
	if rest > 0 {
		fee++
	}
	return consensus.Amount(min(fee, math.MaxInt64))
}

// RateOf is the fee rate of a transaction or several, rounded down.
func RateOf(fee consensus.Amount, size int) FeeRate { return FeeRate(int64(fee) * 1000 / int64(size)) }

// below reports whether what pays f is below a rate for its virtual bytes, which are
// whole ones, as in Bitcoin Core.
func below(f linearize.FeeWeight, rate FeeRate) bool {
	vsize := (f.Weight + consensus.WitnessScale - 1) / consensus.WitnessScale
	return linearize.CompareRates(f.Fee, vsize, consensus.Amount(rate), 1000) < 0
}

// Policy is what a node wants of unconfirmed transactions beyond the rules.
type Policy struct {
	MinRelay   FeeRate // below it nothing is accepted
	Increment  FeeRate // what a replacement pays on top, for its own relay
	Dust       FeeRate // an output that costs more than its value to spend at this rate is dust
	BlockMin   FeeRate // chunks that pay less are not put into blocks; 0 leaves out only what was prioritised below zero
	MaxWeight  int     // of one transaction, weight units
	MaxData    int     // of the scripts of its data outputs together, bytes; 0 refuses such outputs
	MaxCluster int     // transactions that hang together, at most linearize.MaxCount
	// MaxClusterSize bounds transactions that hang together, in virtual bytes.
	MaxClusterSize int
	MaxReplaced    int // clusters of which one transaction may replace some
	MaxMemory      int // of all transactions together, bytes
	Expiry         time.Duration
}

// DefaultPolicy has the values of Bitcoin Core 30.
func DefaultPolicy() Policy {
	return Policy{
		MinRelay:       100,
		Increment:      100,
		Dust:           3000,
		BlockMin:       1,
		MaxWeight:      400_000,
		MaxData:        100_000,
		MaxCluster:     64,
		MaxClusterSize: 101_000,
		MaxReplaced:    100,
		MaxMemory:      300_000_000,
		Expiry:         336 * time.Hour,
	}
}

const (
	minVersion, maxVersion = 1, 3 // 3 promises small families (BIP431)
	minStrippedSize        = 65   // shorter ones could pass for a merkle node (CVE-2017-12842)
	maxScriptSig           = 1650
	annexTag               = 0x50
	tapscriptLeaf          = 0xc0 // in the first byte of a control block (BIP342), but for its lowest bit
	maxTapscriptItem       = 80
)

// DustLimit is the least value in sat of an output with this script that is not
// dust: what spending it costs, reckoned as Bitcoin Core does for a witness
// program. Data outputs are never dust.
func (p *Policy) DustLimit(script []byte) consensus.Amount {
	if consensus.IsDataScript(script) {
		return 0
	}
	const spend = 32 + 4 + 1 + 107/consensus.WitnessScale + 4
	return p.Dust.Fee(8 + 1 + len(script) + spend)
}

func (p *Policy) isDust(out *consensus.TxOut) bool { return out.Value < p.DustLimit(out.Script) }

func (p *Policy) dustOutputs(tx *consensus.Tx) (n int) {
	for i := range tx.Out {
		if p.isDust(&tx.Out[i]) {
			n++
		}
	}
	return n
}

// checkStandard applies the policy that needs nothing but the transaction.
func (p *Policy) checkStandard(tx *consensus.Tx, t *consensus.Trace) error {
	if t != nil {
		t.Rule(ruleVersion, "version", tx.Version, "least", minVersion, "most", maxVersion)
	}
	if tx.Version < minVersion || tx.Version > maxVersion {
		return refuse(ErrVersion, "")
	}
	if t != nil {
		t.Rule(ruleTxSize, "weight", tx.Weight(), "limit", p.MaxWeight)
	}
	if tx.Weight() > p.MaxWeight {
		return refuse(ErrTxSize, "")
	}
	for i := range tx.In {
		if t != nil {
			t.Rule(ruleScriptSigSize, "input", i, "bytes", len(tx.In[i].ScriptSig), "limit", maxScriptSig)
		}
		if len(tx.In[i].ScriptSig) > maxScriptSig {
			return refuse(ErrScriptSigSize, "")
		}
		if t != nil {
			t.Rule(ruleScriptSigPush, "input", i, "scriptSig", consensus.HexBytes(tx.In[i].ScriptSig))
		}
		if !consensus.IsPushOnly(tx.In[i].ScriptSig) {
			return refuse(ErrScriptSigNotPush, "")
		}
	}
	if err := p.checkData(tx, t); err != nil {
		return err
	}
	if t != nil {
		t.Rule(ruleDust, "dust outputs", p.dustOutputs(tx))
	}
	if p.dustOutputs(tx) > 1 {
		return refuse(ErrDust, "")
	}
	if t != nil {
		t.Rule(ruleTxSmall, "stripped size", tx.StrippedSize(), "least", minStrippedSize)
	}
	if tx.StrippedSize() < minStrippedSize {
		return refuse(ErrTxSizeSmall, "")
	}
	return nil
}

// checkData refuses data outputs that are too large together or do more than push. What
// only pushes has no signature operations (bad-txns-too-many-sigops), nor has what pays
// to Taproot.
func (p *Policy) checkData(tx *consensus.Tx, t *consensus.Trace) error {
	room := p.MaxData
	for i := range tx.Out {
		script := tx.Out[i].Script
		if !consensus.IsDataScript(script) {
			continue
		}
		if t != nil {
			t.Rule(ruleDataPush, "output", i, "script", consensus.HexBytes(script))
		}
		if !consensus.IsPushOnly(script[1:]) {
			return refuse(ErrScriptPubKey, "")
		}
		room -= len(script)
		if t != nil {
			t.Rule(ruleData, "output", i, "bytes left", room, "limit", p.MaxData)
		}
		if room < 0 {
			return refuse(ErrDataCarrier, "")
		}
	}
	return nil
}

// checkWitness refuses witnesses that have no agreed meaning yet, and those of
// data, outputs that have none.
func checkWitness(tx *consensus.Tx, data []int) error {
	for i := range tx.In {
		stack := tx.In[i].Witness
		if len(stack) > 0 && slices.Contains(data, i) || !isStandardWitness(stack) {
			return refuse(ErrWitness, "")
		}
	}
	return nil
}

// isStandardWitness tells of the witness for a Taproot output. One for the script
// path is looked at as Bitcoin Core does, though it is invalid in any case, so
// that it is refused with the same reason.
func isStandardWitness(stack [][]byte) bool {
	if len(stack) < 2 {
		return true
	}
	control := stack[len(stack)-1]
	if len(control) == 0 || control[0] == annexTag {
		return false
	}
	return control[0]&0xfe != tapscriptLeaf ||
		!slices.ContainsFunc(stack[:len(stack)-2], func(item []byte) bool { return len(item) > maxTapscriptItem })
}
