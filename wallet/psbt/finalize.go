package psbt

import (
	"errors"
	"fmt"

	"lode/consensus"
)

// ErrIncomplete is the kind of errors of a PSBT that lacks a signature.
var ErrIncomplete = errors.New("a signature is missing")

// inKept is what remains of a final input, beside what nobody here knows.
var inKept = []uint64{InNonWitnessUTXO, InWitnessUTXO, InFinalScriptSig, InFinalWitness,
	InPrevTxID, InOutputIndex, InSequence, InRequiredTime, InRequiredHeight, InSilentShare, InSilentProof}

// Finalize makes the witness of every input that has a valid signature for the
// key path. The error is the first reason why an input is not final then.
func (p *Packet) Finalize() error {
	h, err := p.Hasher()
	if err != nil {
		return err
	}
	var first error
	before := &finals{p: p.Clone(), h: h}
	for i := range p.Inputs {
		if err := p.finalizeInput(before, i); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (p *Packet) finalizeInput(before *finals, i int) error {
	h, in := before.h, &p.Inputs[i]
	if in.IsFinal() {
		return before.verify(i)
	}
	sig, ok := in.TapKeySig()
	if !ok {
		if _, err := h.Key(i); err != nil {
			return err
		}
		return fmt.Errorf("input %d: %w", i, ErrIncomplete)
	}
	if want, fixed := in.SigHash(); fixed {
		if t, ok := sigHashOf(sig); !ok || uint32(t) != want {
			return fmt.Errorf("input %d: %w", i, ErrSigHash)
		}
	}
	if err := h.Verify(i, sig); err != nil {
		return err
	}
	in.Set(InFinalWitness, nil, encodeWitness([][]byte{sig}))
	in.keep(inputFields, inKept...)
	return nil
}

// finals checks the witnesses of final inputs by the rules.
type finals struct {
	p      *Packet
	h      *Hasher
	checks []consensus.SpendCheck // once they were asked for
}

func (f *finals) verify(i int) error {
	if f.checks == nil {
		coins := make([]consensus.Coin, len(f.h.spent))
		for j := range coins {
			key, err := f.h.Key(j)
			if err != nil {
				return err
			}
			coins[j] = consensus.Coin{Value: f.h.spent[j].Value, Key: key}
		}
		tx := f.p.assemble(f.h.Tx)
		f.checks = consensus.SpendChecks(tx, tx.TxID(), coins)
	}
	signature, err := f.checks[i].Signature()
	if err != nil {
		return fmt.Errorf("input %d: %w: %w", i, ErrSignature, err)
	}
	if !signature.Verify() {
		return fmt.Errorf("input %d: %w", i, ErrSignature)
	}
	return nil
}

// assemble puts final scripts and witnesses into the transaction.
func (p *Packet) assemble(unsigned *consensus.Tx) *consensus.Tx {
	tx := unsigned.Clone()
	for i := range p.Inputs {
		tx.In[i].ScriptSig, _ = p.Inputs[i].Get(InFinalScriptSig, nil)
		tx.In[i].Witness, _ = p.Inputs[i].FinalWitness()
	}
	return tx
}

// Assemble is the transaction of a PSBT of which all inputs are final, unchecked:
// scripts of all kinds are taken for what they are.
func (p *Packet) Assemble() (*consensus.Tx, error) {
	tx, err := p.Tx()
	if err != nil {
		return nil, err
	}
	for i := range p.Inputs {
		if !p.Inputs[i].IsFinal() {
			return nil, fmt.Errorf("input %d: %w", i, ErrIncomplete)
		}
	}
	return p.assemble(tx), nil
}

// Extract is the transaction of a PSBT of which all inputs are final and have
// valid signatures. silent is that of SignOptions.
func (p *Packet) Extract(silent func(*Packet) error) (*consensus.Tx, error) {
	if err := p.checkSilent(silent); err != nil {
		return nil, err
	}
	tx, err := p.Assemble()
	if err != nil {
		return nil, err
	}
	h, err := p.Hasher()
	if err != nil {
		return nil, err
	}
	f := &finals{p: p, h: h}
	for i := range p.Inputs {
		if err := f.verify(i); err != nil {
			return nil, err
		}
	}
	return tx, nil
}
