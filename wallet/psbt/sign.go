package psbt

import (
	"fmt"

	"lode/consensus"
)

// Task is one signature that a Signer is asked for.
type Task struct {
	Input     int
	In        *Input          // for its key origins and internal key, which strangers wrote
	Spent     consensus.TxOut // what the input spends
	OutputKey [32]byte        // the key that the signature is for (BIP340)
	SigHash   consensus.SigHashType
	Message   consensus.Hash // what is signed
}

// Signer has private keys.
type Signer interface {
	// Sign gives the signature of a task, or false if it does not have the key.
	Sign(t *Task) (sig [64]byte, ok bool, err error)
}

// SignOptions are what a signer consents to.
type SignOptions struct {
	// SigHash is the type of the signatures; nil: over everything, which is
	// SigHashDefault, or SigHashAll where the PSBT says so.
	SigHash *consensus.SigHashType
	// Silent checks the scripts of outputs that are silent payments (BIP375). A
	// PSBT with such outputs is refused without it.
	Silent func(*Packet) error
}

// sigHash is the type to sign an input with. A type that the PSBT wants must be
// consented to.
func (o *SignOptions) sigHash(in *Input, silent bool) (consensus.SigHashType, error) {
	want, fixed := in.SigHash()
	t := consensus.SigHashDefault
	switch {
	case o.SigHash != nil:
		t = *o.SigHash
	case fixed && want == uint32(consensus.SigHashAll), silent:
		t = consensus.SigHashAll
	}
	if fixed && want != uint32(t) {
		return t, ErrSigHash
	}
	if silent && t != consensus.SigHashAll {
		return t, fmt.Errorf("a silent payment (BIP375) wants signatures of type ALL: %w", consensus.ErrSigHashType)
	}
	if sig, ok := in.TapKeySig(); ok {
		if have, ok := sigHashOf(sig); !ok || have != t {
			return t, ErrSigHash
		}
	}
	return t, nil
}

// Sign asks s for the signature of every input that has none yet, and counts
// those that it gave. Nothing is signed if anything is wrong with any input. What
// a signer may show before it is worked out by Hasher.
func (p *Packet) Sign(s Signer, o SignOptions) (signed int, err error) {
	if err := p.checkSilent(o.Silent); err != nil {
		return 0, err
	}
	h, err := p.Hasher()
	if err != nil {
		return 0, err
	}
	if _, err := h.Fee(); err != nil {
		return 0, err
	}
	work := p.Clone()
	for i := range work.Inputs {
		if _, err := h.Key(i); err != nil {
			return 0, err
		}
		ok, err := work.SignInput(h, i, s, o)
		if err != nil {
			return 0, err
		}
		if ok {
			signed++
		}
	}
	*p = *work
	return signed, nil
}

// checkSilent refuses silent payments that nobody has checked.
func (p *Packet) checkSilent(check func(*Packet) error) error {
	if !p.HasSilent() {
		return nil
	}
	if check == nil {
		return ErrSilent
	}
	return check(p)
}

// SignInput asks s for the signature of input i, and reports whether it gave one.
// An input that is final, or has a valid signature, is left as it is.
func (p *Packet) SignInput(h *Hasher, i int, s Signer, o SignOptions) (bool, error) {
	in := &p.Inputs[i]
	if in.IsFinal() {
		return false, nil
	}
	t, err := o.sigHash(in, h.silent)
	if err != nil {
		return false, fmt.Errorf("input %d: %w", i, err)
	}
	if sig, ok := in.TapKeySig(); ok && h.Verify(i, sig) == nil {
		return false, nil
	}
	key, err := h.Key(i)
	if err != nil {
		return false, err
	}
	message, err := h.Message(i, t)
	if err != nil {
		return false, err
	}
	raw, ok, err := s.Sign(&Task{i, in, h.spent[i], key, t, message})
	if err != nil || !ok {
		return false, err
	}
	sig := raw[:]
	if t != consensus.SigHashDefault {
		sig = append(sig, byte(t))
		in.SetSigHash(t)
	}
	if err := h.Verify(i, sig); err != nil {
		return false, err
	}
	in.SetTapKeySig(sig)
	p.signedWith(t)
	return true, nil
}

// signedWith notes what may still be changed beside a signature (BIP370).
func (p *Packet) signedWith(t consensus.SigHashType) {
	if p.version == 0 {
		return
	}
	flags := p.Modifiable()
	if t&consensus.SigHashAnyoneCanPay == 0 {
		flags &^= InputsModifiable
	}
	switch t &^ consensus.SigHashAnyoneCanPay {
	case consensus.SigHashNone:
	case consensus.SigHashSingle:
		flags = flags&^OutputsModifiable | HasSigHashSingle
	default:
		flags &^= OutputsModifiable
	}
	if flags != p.Modifiable() {
		p.Global.Set(GlobalTxModifiable, nil, []byte{flags})
	}
}
