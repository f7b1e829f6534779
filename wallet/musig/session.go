package musig

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"

	"lode/consensus"
)

// Kinds of errors of signing.
var (
	ErrNonce    = errors.New("not a usable public nonce")
	ErrPartial  = errors.New("a wrong partial signature")
	ErrMissing  = errors.New("something is missing")
	ErrNotOurs  = errors.New("not one of the participants")
	ErrRepeated = errors.New("a participant is named twice, so that the two cannot be told apart")
)

// PubNonce is what a signer tells the others first: two compressed points.
type PubNonce [musig2.PubNonceSize]byte

// String gives hex.
func (n PubNonce) String() string { return hex.EncodeToString(n[:]) }

// check refuses what is not two points: an aggregate may hold the point at
// infinity, a signer's nonce may not.
func (n PubNonce) check() error {
	for _, half := range [][]byte{n[:33], n[33:]} {
		if _, err := ParsePubKey(half); err != nil {
			return fmt.Errorf("%w: %s", ErrNonce, n)
		}
	}
	return nil
}

// Partial is a partial signature: a number below the order of the curve.
type Partial [32]byte

// Session is one message that is signed with one set of nonces.
type Session struct {
	key      *Key
	message  [32]byte
	nonces   []PubNonce // by participant
	combined [musig2.PubNonceSize]byte
}

// NewSession begins when the nonces of all participants are known.
func NewSession(key *Key, message [32]byte, nonces map[PubKey]PubNonce) (*Session, error) {
	s := &Session{key: key, message: message}
	var all [][musig2.PubNonceSize]byte
	for i, p := range key.list {
		if key.index(p) != i {
			return nil, fmt.Errorf("%w: %s", ErrRepeated, p)
		}
		nonce, ok := nonces[p]
		if !ok {
			return nil, fmt.Errorf("%w: the public nonce of participant %s", ErrMissing, p)
		}
		if err := nonce.check(); err != nil {
			return nil, fmt.Errorf("participant %s: %w", p, err)
		}
		s.nonces = append(s.nonces, nonce)
		all = append(all, nonce)
	}
	var err error
	if s.combined, err = musig2.AggregateNonces(all); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNonce, err)
	}
	return s, nil
}

// secret is a secret nonce: two numbers, and the public key that it is for.
type secret [musig2.SecNonceSize]byte

// newNonce is NonceGen of BIP327. All that the nonce is for goes into it, so that
// even a random source that repeats itself gives another nonce for another message.
func newNonce(key *Key, private *btcec.PrivateKey, message [32]byte, extra []byte) (*secret, PubNonce, error) {
	return newNonceFrom(rand.Reader, key, private, message, extra)
}

func newNonceFrom(random io.Reader, key *Key, private *btcec.PrivateKey, message [32]byte, extra []byte) (*secret, PubNonce, error) {
	point, err := key.point.point()
	if err != nil {
		return nil, PubNonce{}, err
	}
	n, err := musig2.GenNonces(
		musig2.WithPublicKey(private.PubKey()),
		musig2.WithNonceSecretKeyAux(private),
		musig2.WithNonceCombinedKeyAux(point),
		musig2.WithNonceMessageAux(message),
		musig2.WithNonceAuxInput(extra),
		musig2.WithCustomRand(random),
	)
	if err != nil {
		return nil, PubNonce{}, fmt.Errorf("reading random bytes: %w", err)
	}
	s := secret(n.SecNonce)
	clear(n.SecNonce[:])
	return &s, n.PubNonce, nil
}

// sign uses up a secret nonce. The partial signature was verified.
func (s *Session) sign(private *btcec.PrivateKey, nonce *secret) (Partial, error) {
	defer clear(nonce[:])
	if s.key.index(pubKeyOf(private.PubKey())) < 0 {
		return Partial{}, ErrNotOurs
	}
	sig, err := musig2.Sign(*nonce, private, s.combined, s.key.participants, s.message, musig2.WithTweaks(s.key.tweaks...))
	if err != nil {
		return Partial{}, fmt.Errorf("signing: %w", err)
	}
	return Partial(sig.S.Bytes()), nil
}

// SignAtOnce is for the signer who knows the nonces of all others: its own never
// leaves the memory.
func SignAtOnce(key *Key, message [32]byte, others map[PubKey]PubNonce, private *btcec.PrivateKey) (PubNonce, Partial, error) {
	me := pubKeyOf(private.PubKey())
	if key.index(me) < 0 {
		return PubNonce{}, Partial{}, ErrNotOurs
	}
	nonce, public, err := newNonce(key, private, message, nil)
	if err != nil {
		return PubNonce{}, Partial{}, err
	}
	defer clear(nonce[:])
	nonces := map[PubKey]PubNonce{me: public}
	for p, n := range others {
		if p != me {
			nonces[p] = n
		}
	}
	s, err := NewSession(key, message, nonces)
	if err != nil {
		return PubNonce{}, Partial{}, err
	}
	sig, err := s.sign(private, nonce)
	return public, sig, err
}

// Verify checks the partial signature of one participant (PartialSigVerify of
// BIP327).
func (s *Session) Verify(p PubKey, sig Partial) error {
	i := s.key.index(p)
	if i < 0 {
		return fmt.Errorf("%w: %s", ErrNotOurs, p)
	}
	var scalar btcec.ModNScalar
	if overflow := scalar.SetBytes((*[32]byte)(&sig)); overflow != 0 {
		return fmt.Errorf("%w: that of participant %s is no number below the order of the curve", ErrPartial, p)
	}
	partial := musig2.NewPartialSignature(&scalar, nil)
	if !partial.Verify(s.nonces[i], s.combined, s.key.participants, s.key.participants[i], s.message, musig2.WithTweaks(s.key.tweaks...)) {
		return fmt.Errorf("%w: that of participant %s", ErrPartial, p)
	}
	return nil
}

// Combine makes the signature from the partial ones of all. A wrong one is named;
// the signature was verified.
func (s *Session) Combine(sigs map[PubKey]Partial) (signature [64]byte, err error) {
	var list []*musig2.PartialSignature
	for _, p := range s.key.list {
		sig, ok := sigs[p]
		if !ok {
			return signature, fmt.Errorf("%w: the partial signature of participant %s", ErrMissing, p)
		}
		if err := s.Verify(p, sig); err != nil {
			return signature, err
		}
		partial := musig2.NewPartialSignature(new(btcec.ModNScalar), nil)
		partial.S.SetBytes((*[32]byte)(&sig))
		list = append(list, &partial)
	}
	nonce, err := s.nonce()
	if err != nil {
		return signature, err
	}
	sig := musig2.CombineSigs(nonce, list, musig2.WithTweakedCombine(s.message, s.key.participants, slices.Clone(s.key.tweaks), false))
	point, err := s.key.point.point()
	if err != nil {
		return signature, err
	}
	if !sig.Verify(s.message[:], point) {
		return signature, fmt.Errorf("%w: the combined one is not valid for key %s", ErrPartial, s.key.point)
	}
	return [64]byte(sig.Serialize()), nil
}

// nonce is the one that the signature shows: R1 + b·R2, and the generator in place
// of the point at infinity (GetSessionValues of BIP327).
func (s *Session) nonce() (*btcec.PublicKey, error) {
	q := s.key.point.XOnly()
	hash := consensus.TaggedHash("MuSig/noncecoef", s.combined[:], q[:], s.message[:])
	var b btcec.ModNScalar
	b.SetByteSlice(hash[:])
	r1, err := btcec.ParseJacobian(s.combined[:33])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNonce, err)
	}
	r2, err := btcec.ParseJacobian(s.combined[33:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNonce, err)
	}
	var r btcec.JacobianPoint
	btcec.ScalarMultNonConst(&b, &r2, &r2)
	btcec.AddNonConst(&r1, &r2, &r)
	if r.Z.IsZero() {
		return btcec.Generator(), nil
	}
	r.ToAffine()
	return btcec.NewPublicKey(&r.X, &r.Y), nil
}
