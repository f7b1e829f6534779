package psbt

import (
	"fmt"

	"lode/consensus"
)

// Role is who a PSBT should go to next.
type Role int

// The roles in the order of their work.
const (
	Creator Role = iota
	Updater
	Signing
	Finalizer
	Extractor
)

// String is the role's name as Bitcoin Core writes it.
func (r Role) String() string {
	return [...]string{"creator", "updater", "signer", "finalizer", "extractor"}[r]
}

// Status is how far an input is.
type Status struct {
	HasUTXO bool // what it spends is known
	Final   bool // and its witness valid
	Next    Role
}

// Analysis is how far a PSBT is.
type Analysis struct {
	Inputs  []Status
	Next    Role
	HasFee  bool // Fee is known
	Fee     consensus.Amount
	VSize   int    // of the signed transaction; 0 if that cannot be said
	Invalid string // what is wrong with it, in Bitcoin Core's words; then nothing else is said
}

// keySpendWitness is the least that a Taproot input needs: one signature.
var keySpendWitness = [][]byte{make([]byte, 64)}

// Analyze says how far p is. No amount may be more than maxMoney.
func (p *Packet) Analyze(maxMoney consensus.Amount) (a Analysis) {
	invalid := func(reason string) Analysis { return Analysis{Next: Creator, Invalid: "PSBT is not valid. " + reason} }
	h, err := p.Hasher()
	if err != nil {
		return invalid(err.Error())
	}
	var sum consensus.Amount
	a.Next, a.HasFee = Extractor, true
	f := &finals{p: p, h: h}
	for i := range p.Inputs {
		s := Status{Next: Extractor}
		if out, ok := h.Spent(i); ok {
			if out.Value < 0 || out.Value > maxMoney || sum+out.Value > maxMoney {
				return invalid(fmt.Sprintf("Input %d has invalid value", i))
			}
			if unspendable(out.Script) {
				return invalid(fmt.Sprintf("Input %d spends unspendable output", i))
			}
			sum += out.Value
			s.HasUTXO = true
		} else {
			s.Next, a.HasFee = Updater, false
		}
		s.Final, s.Next = f.progress(i, s.Next)
		a.Inputs, a.Next = append(a.Inputs, s), min(a.Next, s.Next)
	}
	if !a.HasFee {
		return a
	}
	for i := range h.Tx.Out {
		v := h.Tx.Out[i].Value
		if v < 0 || v > maxMoney || a.Fee+v > maxMoney {
			return invalid("Output amount invalid")
		}
		a.Fee += v
	}
	a.Fee = sum - a.Fee
	a.VSize = p.vsize(h)
	return a
}

// progress says how far one input is.
func (f *finals) progress(i int, next Role) (final bool, role Role) {
	h, in := f.h, &f.p.Inputs[i]
	if _, known := h.Spent(i); !known {
		return false, next
	}
	if in.IsFinal() && f.verify(i) == nil {
		return true, next
	}
	if _, err := h.Key(i); err != nil {
		return false, Updater
	}
	if sig, ok := in.TapKeySig(); ok && h.Verify(i, sig) == nil {
		return false, Finalizer
	}
	return false, Signing
}

// vsize is that of the transaction with all signatures, 0 if an input is of
// another kind.
func (p *Packet) vsize(h *Hasher) int {
	tx := p.assemble(h.Tx)
	for i := range p.Inputs {
		if p.Inputs[i].IsFinal() {
			continue
		}
		if _, err := h.Key(i); err != nil {
			return 0
		}
		tx.In[i].Witness = keySpendWitness
		if sig, ok := p.Inputs[i].TapKeySig(); ok {
			tx.In[i].Witness = [][]byte{sig}
		} else if t, ok := p.Inputs[i].SigHash(); ok && t != 0 {
			tx.In[i].Witness = [][]byte{make([]byte, 65)}
		}
	}
	return tx.VSize()
}

// maxScriptSize is Bitcoin's: what is longer can never run.
const maxScriptSize = 10_000

func unspendable(script []byte) bool {
	return consensus.IsDataScript(script) || len(script) > maxScriptSize
}
