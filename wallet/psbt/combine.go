package psbt

import (
	"errors"
	"fmt"
	"slices"

	"lode/consensus"
)

// ErrDifferent is the kind of errors about PSBTs that do not belong together.
var ErrDifferent = errors.New("not PSBTs of the same transaction")

// Combine puts together what several PSBTs say of one transaction. Where they
// contradict each other, the first counts.
func Combine(packets ...*Packet) (*Packet, error) {
	if len(packets) == 0 {
		return nil, errors.New("nothing to combine")
	}
	all := packets[0].Clone()
	id, err := all.ID()
	if err != nil {
		return nil, err
	}
	for _, p := range packets[1:] {
		if p.version != all.version {
			return nil, fmt.Errorf("%w: versions %d and %d, convert one of them", ErrVersion, all.version, p.version)
		}
		other, err := p.ID()
		if err != nil {
			return nil, err
		}
		if other != id {
			return nil, ErrDifferent
		}
		if err := all.merge(p); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (p *Packet) merge(other *Packet) error {
	flags := p.Modifiable()&other.Modifiable()&(InputsModifiable|OutputsModifiable) | (p.Modifiable()|other.Modifiable())&HasSigHashSingle
	known := p.Global.Has(GlobalTxModifiable) || other.Global.Has(GlobalTxModifiable)
	p.Global.merge(other.Global)
	if known {
		p.Global.Set(GlobalTxModifiable, nil, []byte{flags})
	}
	for i := range p.Inputs {
		in, from := &p.Inputs[i], &other.Inputs[i]
		if p.version == 2 && in.sequence() != from.sequence() {
			return fmt.Errorf("input %d: %w: sequence numbers %d and %d", i, ErrDifferent, in.sequence(), from.sequence())
		}
		in.merge(from.Map)
		if in.IsFinal() {
			in.keep(inputFields, inKept...)
		}
	}
	for i := range p.Outputs {
		p.Outputs[i].merge(other.Outputs[i].Map)
	}
	return nil
}

// signatures are the records of an input that another input makes worthless.
var signatures = []uint64{InPartialSig, InFinalScriptSig, InFinalWitness, InTapKeySig, InTapScriptSig, InMuSigPubNonce, InMuSigPartialSig}

// TwiceError is about an input that two PSBTs have.
type TwiceError struct{ PrevOut consensus.OutPoint }

// Error names the input.
func (e *TwiceError) Error() string { return fmt.Sprintf("input %s is in several PSBTs", e.PrevOut) }

// Join makes one transaction of several: their inputs and outputs, in the order
// that shuffle makes of them. Signatures, and the scripts of silent payments, were
// for something else and are dropped.
func Join(shuffle func(n int, swap func(i, j int)), packets ...*Packet) (*Packet, error) {
	var all Packet
	txVersion, lock := uint32(1), uint32(0xffffffff)
	seen := make(map[consensus.OutPoint]bool)
	joined := new(consensus.Tx)
	for n, p := range packets {
		if n == 0 {
			all.version = p.version
		}
		if p.version != all.version {
			return nil, fmt.Errorf("%w: versions %d and %d, convert one of them", ErrVersion, all.version, p.version)
		}
		tx, err := p.blank().Tx()
		if err != nil {
			return nil, err
		}
		own := p.Global.uint32(GlobalFallbackLockTime, 0)
		if p.version == 0 {
			own = tx.LockTime
		}
		txVersion, lock = max(txVersion, tx.Version), min(lock, own)
		for i := range tx.In {
			if o := tx.In[i].PrevOut; seen[o] {
				return nil, &TwiceError{o}
			}
			seen[tx.In[i].PrevOut] = true
		}
		joined.In, joined.Out = append(joined.In, tx.In...), append(joined.Out, tx.Out...)
		c := p.Clone()
		all.Inputs, all.Outputs = append(all.Inputs, c.Inputs...), append(all.Outputs, c.Outputs...)
		c.Global.Delete(GlobalSilentShare, GlobalSilentProof, GlobalTxModifiable, GlobalUnsignedTx)
		all.Global.merge(c.Global)
	}
	joined.Version, joined.LockTime = txVersion, lock
	shuffle(len(all.Inputs), func(i, j int) {
		all.Inputs[i], all.Inputs[j] = all.Inputs[j], all.Inputs[i]
		joined.In[i], joined.In[j] = joined.In[j], joined.In[i]
	})
	shuffle(len(all.Outputs), func(i, j int) {
		all.Outputs[i], all.Outputs[j] = all.Outputs[j], all.Outputs[i]
		joined.Out[i], joined.Out[j] = joined.Out[j], joined.Out[i]
	})
	return all.settle(joined)
}

// blank is p with some script for silent payments that have none.
func (p *Packet) blank() *Packet {
	c := p.Clone()
	for i := range c.Outputs {
		if !c.Outputs[i].Has(OutScript) {
			c.Outputs[i].Set(OutScript, nil, nil)
		}
	}
	return c
}

// settle gives a joined packet its transaction.
func (p *Packet) settle(tx *consensus.Tx) (*Packet, error) {
	for i := range p.Inputs {
		p.Inputs[i].Delete(signatures...)
	}
	if p.version == 0 {
		p.tx = tx
		p.Global.Set(GlobalUnsignedTx, nil, tx.AppendStripped(nil))
		return p, nil
	}
	p.setTx(tx)
	for i := range p.Outputs {
		if out := &p.Outputs[i]; out.Has(OutSilentInfo) {
			out.Delete(OutScript)
		}
	}
	_, err := p.lockTime()
	return p, err
}

// Convert gives the same PSBT in the other version, or a clone. What version 2
// says beyond the transaction is lost in version 0, which has no room for it; one
// with silent payments is refused.
func (p *Packet) Convert(version uint32) (*Packet, error) {
	if version == p.version {
		return p.Clone(), nil
	}
	if p.HasSilent() {
		return nil, fmt.Errorf("%w: version 0 has no fields for it (BIP375)", ErrSilent)
	}
	tx, err := p.Tx()
	if err != nil {
		return nil, err
	}
	c, err := New(version, tx)
	if err != nil {
		return nil, err
	}
	c.Global.mergeAllowed(p.Global, globalFields, version)
	for i := range c.Inputs {
		c.Inputs[i].mergeAllowed(p.Inputs[i].Map, inputFields, version)
	}
	for i := range c.Outputs {
		c.Outputs[i].mergeAllowed(p.Outputs[i].Map, outputFields, version)
	}
	return c, nil
}

// mergeAllowed is merge of what a version may have, but for its number.
func (m *Map) mergeAllowed(other Map, known map[uint64]field, version uint32) {
	m.merge(slices.DeleteFunc(slices.Clone(other), func(r Record) bool {
		f, ok := known[r.Type()]
		return ok && (f.in(version) == forbidden || f.name == "version")
	}))
}
