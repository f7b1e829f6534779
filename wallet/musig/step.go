package musig

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/wallet/psbt"
)

// Signer does an owner's part of both rounds.
type Signer struct {
	Owner Owner
	Store *Store
	// Restart forgets all nonces and partial signatures of the PSBT: signing
	// begins again.
	Restart bool
}

// part is one participant of one input that is the owner's.
type part struct {
	x       *input
	me      PubKey
	private *btcec.PrivateKey
	r       *Report
}

// Step does for every input what is due next (see the package's table), and makes
// the signatures that are complete then. If anything is wrong with any input,
// nothing is done, no secret nonce is used up, and p is as it was. The kind of the
// error is that of Store where signing has to begin again.
func (s *Signer) Step(p *psbt.Packet) ([]Report, error) {
	if p.HasSilent() {
		return nil, ErrSilent
	}
	work := p.Clone()
	all, parts, reports, err := s.begin(work)
	if err != nil {
		return nil, err
	}
	defer zero(parts)
	for _, act := range []func(*part) error{s.check, s.act} {
		for _, one := range parts {
			if err := act(one); err != nil {
				return nil, fmt.Errorf("input %d: %w", one.x.at, err)
			}
		}
	}
	for i, x := range all {
		finished, err := x.complete()
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", x.at, err)
		}
		did := reports[i]
		reports[i] = x.report()
		reports[i].Own, reports[i].Nonces, reports[i].Partials, reports[i].Finished = did.Own, did.Nonces, did.Partials, finished
	}
	fix(work)
	*p = *work
	return reports, nil
}

// WillSign reports whether Step would make a partial signature: whether the owner
// is about to agree to the payment.
func (s *Signer) WillSign(p *psbt.Packet) (bool, error) {
	_, parts, _, err := s.begin(p.Clone())
	if err != nil {
		return false, err
	}
	defer zero(parts)
	for _, one := range parts {
		x := one.x
		if _, signed := x.partials[one.me]; !x.done && !signed && x.others(one.me) {
			return true, nil
		}
	}
	return false, nil
}

// begin finds what there is to do.
func (s *Signer) begin(work *psbt.Packet) (all []*input, parts []*part, reports []Report, err error) {
	if s.Restart {
		forget(work)
	}
	if all, err = inputs(work); err != nil {
		return nil, nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, nil, ErrNothing
	}
	reports = make([]Report, len(all))
	for i, x := range all {
		mine, err := s.parts(x, &reports[i])
		parts = append(parts, mine...)
		if err != nil {
			zero(parts)
			return nil, nil, nil, fmt.Errorf("input %d: %w", x.at, err)
		}
	}
	if len(parts) == 0 {
		return nil, nil, nil, fmt.Errorf("%w: none of the keys that sign this PSBT together is of this wallet", ErrNotOurs)
	}
	return all, parts, reports, nil
}

func zero(parts []*part) {
	for _, one := range parts {
		one.private.Zero()
	}
}

// forget drops what the rounds have brought so far.
func forget(p *psbt.Packet) {
	for i := range p.Inputs {
		in := &p.Inputs[i]
		if len(in.MuSigGroups()) > 0 && !in.IsFinal() {
			in.Delete(psbt.InMuSigPubNonce, psbt.InMuSigPartialSig, psbt.InTapKeySig)
		}
	}
}

// fix says in version 2 that nothing may be changed any more: nonces and partial
// signatures are for everything as it is (BIP370).
func fix(p *psbt.Packet) {
	if flags := p.Modifiable(); flags&(psbt.InputsModifiable|psbt.OutputsModifiable) != 0 {
		p.Global.Set(psbt.GlobalTxModifiable, nil, []byte{flags &^ (psbt.InputsModifiable | psbt.OutputsModifiable)})
	}
}

// parts are the participants of an input that are the owner's.
func (s *Signer) parts(x *input, r *Report) (list []*part, err error) {
	for i, p := range x.key.list {
		if x.key.index(p) != i {
			return list, fmt.Errorf("%w: %s", ErrRepeated, p)
		}
		private, ok, err := s.Owner.Private(p, x.origins[p.XOnly()])
		if err != nil {
			return list, err
		}
		if !ok {
			continue
		}
		if pubKeyOf(private.PubKey()) != p {
			return list, fmt.Errorf("%w: %s, for which the wallet has another private key", ErrNotOurs, p)
		}
		r.Own = append(r.Own, p)
		list = append(list, &part{x, p, private, r})
	}
	return list, nil
}

// check finds out what is wrong before anything is done.
func (s *Signer) check(one *part) error {
	x := one.x
	if x.done {
		return nil
	}
	for p, n := range x.nonces {
		if err := n.check(); err != nil {
			return fmt.Errorf("participant %s: %w", p, err)
		}
	}
	if _, err := x.session(); err != nil {
		return err
	}
	own, known := x.nonces[one.me]
	_, signed := x.partials[one.me]
	if !known || signed {
		return nil
	}
	return s.Store.Check(x.key, x.message, own, one.private)
}

// act does what is due.
func (s *Signer) act(one *part) error {
	x := one.x
	_, known := x.nonces[one.me]
	_, signed := x.partials[one.me]
	switch {
	case x.done || signed:
		return nil
	case !known && x.others(one.me):
		return s.atOnce(one)
	case !known:
		if s.Restart {
			if err := s.Store.Drop(x.key, x.message, one.me); err != nil {
				return err
			}
		}
		n, err := s.Store.Begin(x.key, x.message, one.private)
		if err != nil {
			return err
		}
		x.setNonce(one.me, n)
		one.r.Nonces++
	}
	session, err := x.session()
	if err != nil || session == nil {
		return err
	}
	sig, err := s.Store.Sign(session, one.private)
	if err != nil {
		return err
	}
	x.setPartial(one.me, sig)
	one.r.Partials++
	return nil
}

// atOnce does both rounds of the last one to come. A nonce on the disk from an
// attempt before is not needed any more.
func (s *Signer) atOnce(one *part) error {
	x := one.x
	if err := s.Store.Drop(x.key, x.message, one.me); err != nil {
		return err
	}
	n, sig, err := SignAtOnce(x.key, x.message, x.nonces, one.private)
	if err != nil {
		return err
	}
	x.setNonce(one.me, n)
	x.setPartial(one.me, sig)
	one.r.Nonces++
	one.r.Partials++
	return nil
}
