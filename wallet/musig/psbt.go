package musig

import (
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
	"lode/wallet/psbt"
)

// Kinds of errors of PSBTs.
var (
	ErrNothing = errors.New("no input of this PSBT is signed by several owners together")
	ErrSilent  = errors.New("several owners cannot pay to a silent address: no one of them has the private key that BIP352 wants")
	ErrSigHash = errors.New("only signatures over everything (DEFAULT or ALL) are made by several owners")
)

// Bounds of what is looked at of one input or output, which strangers wrote.
const (
	maxGroups      = 16
	maxDerivations = 4 * MaxParticipants
)

// Owner has private keys.
type Owner interface {
	// Private gives the private key of a participant. origins is where a PSBT says
	// that it comes from: that need not be true. ok is false if the key is not the
	// owner's.
	Private(p PubKey, origins []psbt.KeyOrigin) (private *btcec.PrivateKey, ok bool, err error)
}

// State is how far an input is.
type State string

// The states, in the order in which they come.
const (
	NeedsNonces   State = "nonces missing"
	NeedsPartials State = "partial signatures missing"
	Complete      State = "complete"
)

// Participant is one of those who sign an input.
type Participant struct {
	Key    PubKey `json:"key"`
	Origin string `json:"origin,omitempty"` // [fingerprint/path], as the PSBT says
}

// String gives the origin and the beginning of the key.
func (p Participant) String() string { return fmt.Sprintf("%s%.8s…", p.Origin, p.Key) }

// Report is how far an input is, and what was done for it.
type Report struct {
	Input        int           `json:"input"`
	State        State         `json:"state"`
	Participants []Participant `json:"participants"`
	Missing      []Participant `json:"missing"`          // whose nonce or partial signature, by the state
	Own          []PubKey      `json:"own,omitempty"`    // participants that are the owner's
	Nonces       int           `json:"nonces_added"`     // by this call
	Partials     int           `json:"signatures_added"` // partial signatures, by this call
	Finished     bool          `json:"finished"`         // this call made the signature
}

// input is what a PSBT says of an input that several owners sign.
type input struct {
	at       int
	in       *psbt.Input
	key      *Key
	message  [32]byte
	sighash  consensus.SigHashType
	nonces   map[PubKey]PubNonce
	partials map[PubKey]Partial
	origins  map[[32]byte][]psbt.KeyOrigin
	done     bool // it has a valid signature
}

// place is what a PSBT says of the key of an input or output.
type place struct {
	groups      []psbt.MuSigGroup
	derivations []psbt.TapDerivation
	root        []byte // of scripts
	output      [32]byte
}

// key finds the aggregate that leads to the output key: as it is, or derived
// (BIP328), with the tweak of BIP341 or without. It is nil if there is none.
func (p *place) key() (*Key, error) {
	for _, g := range p.groups[:min(len(p.groups), maxGroups)] {
		list := make([]PubKey, len(g.Participants))
		for i := range list {
			list[i] = g.Participants[i]
		}
		k, err := AggregateOrdered(list)
		if err != nil {
			return nil, err
		}
		if k.aggregate != PubKey(g.Aggregate) {
			return nil, fmt.Errorf("%w: the PSBT says that %s is the key of its participants, but that is %s", ErrKeys, PubKey(g.Aggregate), k.aggregate)
		}
		if found := p.below(k); found != nil {
			return found, nil
		}
	}
	return nil, nil
}

// below looks at an aggregate and at what is said to be derived from it.
func (p *place) below(k *Key) *Key {
	if found := p.tweaked(k); found != nil {
		return found
	}
	fingerprint := [4]byte(address.Hash160(k.aggregate[:])[:4])
	for _, d := range p.derivations[:min(len(p.derivations), maxDerivations)] {
		if d.Origin.Fingerprint != fingerprint || len(d.Origin.Path) == 0 {
			continue
		}
		child, err := k.Derive(d.Origin.Path...)
		if err != nil || child.point.XOnly() != d.Key {
			continue
		}
		if found := p.tweaked(child); found != nil {
			return found
		}
	}
	return nil
}

func (p *place) tweaked(k *Key) *Key {
	if k.point.XOnly() == p.output {
		return k
	}
	if out, err := k.Taproot(p.root); err == nil && out.point.XOnly() == p.output {
		return out
	}
	return nil
}

// inputs finds the inputs that several owners sign. Nothing is said of others.
func inputs(p *psbt.Packet) (list []*input, err error) {
	h, err := p.Hasher()
	if err != nil {
		return nil, err
	}
	for i := range p.Inputs {
		in := &p.Inputs[i]
		groups := in.MuSigGroups()
		if len(groups) == 0 || in.IsFinal() {
			continue
		}
		output, err := h.Key(i)
		if err != nil {
			return nil, err
		}
		at := &place{groups: groups, derivations: in.TapDerivations(), output: output}
		if root, ok := in.TapMerkleRoot(); ok {
			at.root = root[:]
		}
		key, err := at.key()
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		if key == nil {
			continue
		}
		one := &input{at: i, in: in, key: key}
		if err := one.read(h, at.derivations); err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
		list = append(list, one)
	}
	return list, nil
}

// read takes the nonces and partial signatures for the key from the PSBT.
func (x *input) read(h *psbt.Hasher, derivations []psbt.TapDerivation) error {
	if t, ok := x.in.SigHash(); ok {
		if x.sighash = consensus.SigHashType(t); t > uint32(consensus.SigHashAll) {
			return ErrSigHash
		}
	}
	message, err := h.Message(x.at, x.sighash)
	if err != nil {
		return err
	}
	x.message = message
	if sig, ok := x.in.TapKeySig(); ok {
		x.done = h.Verify(x.at, sig) == nil
	}
	x.origins = make(map[[32]byte][]psbt.KeyOrigin)
	for _, d := range derivations {
		x.origins[d.Key] = append(x.origins[d.Key], d.Origin)
	}
	x.nonces, x.partials = make(map[PubKey]PubNonce), make(map[PubKey]Partial)
	for _, n := range x.in.MuSigNonces() {
		if n.Leaf == nil && PubKey(n.Aggregate) == x.key.point && x.key.index(n.Participant) >= 0 {
			x.nonces[n.Participant] = n.Nonce
		}
	}
	for _, s := range x.in.MuSigPartialSigs() {
		if s.Leaf == nil && PubKey(s.Aggregate) == x.key.point && x.key.index(s.Participant) >= 0 {
			x.partials[s.Participant] = s.Sig
		}
	}
	return nil
}

func (x *input) id(p PubKey) psbt.MuSigID {
	return psbt.MuSigID{Participant: p, Aggregate: x.key.point}
}

func (x *input) setNonce(p PubKey, n PubNonce) {
	x.nonces[p] = n
	x.in.SetMuSigNonce(psbt.MuSigNonce{MuSigID: x.id(p), Nonce: n})
}

func (x *input) setPartial(p PubKey, sig Partial) {
	x.partials[p] = sig
	x.in.SetMuSigPartialSig(psbt.MuSigPartialSig{MuSigID: x.id(p), Sig: sig})
}

// others reports whether the nonces of all participants but one are there.
func (x *input) others(p PubKey) bool {
	for _, q := range x.key.list {
		if _, ok := x.nonces[q]; !ok && q != p {
			return false
		}
	}
	return true
}

// session is that of the nonces, if all are there. The partial signatures were
// verified then.
func (x *input) session() (*Session, error) {
	s, err := NewSession(x.key, x.message, x.nonces)
	if errors.Is(err, ErrMissing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for p, sig := range x.partials {
		if err := s.Verify(p, sig); err != nil {
			return nil, fmt.Errorf("%w: it is not for this transaction with these nonces", err)
		}
	}
	return s, nil
}

// complete makes the signature if nothing is missing.
func (x *input) complete() (finished bool, err error) {
	if x.done {
		return false, nil
	}
	s, err := x.session()
	if err != nil || s == nil || len(x.missing()) > 0 {
		return false, err
	}
	sig, err := s.Combine(x.partials)
	if err != nil {
		return false, err
	}
	full := sig[:]
	if x.sighash != consensus.SigHashDefault {
		full = append(full, byte(x.sighash))
	}
	x.in.SetTapKeySig(full)
	x.done = true
	return true, nil
}

// missing lists whose nonce is missing, or if none is, whose partial signature.
func (x *input) missing() (list []PubKey) {
	if x.done {
		return nil
	}
	for _, p := range x.key.list {
		if _, ok := x.nonces[p]; !ok {
			list = append(list, p)
		}
	}
	if len(list) > 0 {
		return list
	}
	for _, p := range x.key.list {
		if _, ok := x.partials[p]; !ok {
			list = append(list, p)
		}
	}
	return list
}

// name says of keys where they come from.
func (x *input) name(keys []PubKey) []Participant {
	list := make([]Participant, len(keys))
	for i, p := range keys {
		list[i].Key = p
		for _, o := range x.origins[p.XOnly()] {
			list[i].Origin = fmt.Sprintf("[%x%s]", o.Fingerprint, strings.TrimPrefix(o.PathString(), "m"))
		}
	}
	return list
}

func (x *input) report() Report {
	r := Report{Input: x.at, State: NeedsNonces, Participants: x.name(x.key.list), Missing: x.name(x.missing())}
	switch {
	case x.done || len(r.Missing) == 0:
		r.State = Complete
	case len(x.nonces) == len(x.key.list):
		r.State = NeedsPartials
	}
	return r
}

// Status says how far the inputs are that several owners sign.
func Status(p *psbt.Packet) (list []Report, err error) {
	all, err := inputs(p)
	for _, x := range all {
		list = append(list, x.report())
	}
	return list, err
}

// Finish makes the signature of every input of which all partial signatures are
// there. A wrong one is named, and nothing is changed then.
func Finish(p *psbt.Packet) ([]Report, error) {
	work := p.Clone()
	all, err := inputs(work)
	if err != nil {
		return nil, err
	}
	var list []Report
	for _, x := range all {
		finished, err := x.complete()
		if err != nil {
			return nil, fmt.Errorf("input %d: %w", x.at, err)
		}
		r := x.report()
		r.Finished = finished
		list = append(list, r)
	}
	*p = *work
	return list, nil
}

// Change reports which outputs of p belong to the owners of an input together:
// their key was derived here from the same participants. Where participants derive
// a key of their own for every address, nobody can tell, and it is false.
func Change(p *psbt.Packet) ([]bool, error) {
	change := make([]bool, len(p.Outputs))
	tx, err := p.Tx()
	if err != nil {
		return nil, err
	}
	all, err := inputs(p)
	if err != nil {
		return nil, err
	}
	ours := make(map[string]bool)
	for _, x := range all {
		ours[fmt.Sprint(Sort(x.key.list))] = true
	}
	for i := range p.Outputs {
		out := &p.Outputs[i]
		output, ok := consensus.TaprootKey(tx.Out[i].Script)
		if !ok || out.Has(psbt.OutTapTree) {
			continue
		}
		at := &place{groups: out.MuSigGroups(), derivations: out.TapDerivations(), output: output}
		key, err := at.key()
		change[i] = err == nil && key != nil && ours[fmt.Sprint(Sort(key.list))]
	}
	return change, nil
}

// Finalize is Finish, and then Finalize of the PSBT itself: of all inputs that can
// be, whoever signs them. The error is the first reason why one is not final then.
func Finalize(p *psbt.Packet) error {
	_, err := Finish(p)
	if err2 := p.Finalize(); err == nil {
		err = err2
	}
	return err
}
