// Package signer says what descriptors know of the keys of a PSBT, and signs with
// their private keys.
package signer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/musig"
	"lode/wallet/psbt"
)

// place is a key: a descriptor and its index.
type place struct {
	d     *descriptor.Descriptor
	index uint32
}

// Ring finds keys by the output keys that they lead to. It is a psbt.Signer. It is
// for one goroutine.
type Ring struct {
	// HideOrigins leaves out where keys come from.
	HideOrigins bool

	keys map[[32]byte]place
}

// Add takes up the key of a descriptor at an index. Errors are those of
// Descriptor.OutputKey.
func (r *Ring) Add(d *descriptor.Descriptor, index uint32) error {
	key, err := d.OutputKey(index)
	if err != nil {
		return err
	}
	if r.keys == nil {
		r.keys = make(map[[32]byte]place)
	}
	if have, ok := r.keys[key]; !ok || !have.d.IsPrivate() {
		r.keys[key] = place{d, index}
	}
	return nil
}

// AddRange takes up the keys at all indexes from low to high, and the only one of
// a descriptor without a range, of each descriptor that d stands for.
func (r *Ring) AddRange(ctx context.Context, d *descriptor.Descriptor, low, high uint32) error {
	if !d.IsRange() {
		low, high = 0, 0
	}
	for _, one := range d.Expand() {
		for i := uint64(low); i <= uint64(high); i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.Add(one, uint32(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Has reports whether the ring has the key that a script pays.
func (r *Ring) Has(script []byte) bool {
	_, ok := r.find(script)
	return ok
}

// Origin gives where the key comes from that a script pays, false for one that the
// ring does not have or that has several owners.
func (r *Ring) Origin(script []byte) (psbt.KeyOrigin, bool) {
	p, ok := r.find(script)
	if !ok || !p.d.IsSolvable() {
		return psbt.KeyOrigin{}, false
	}
	list, err := p.d.Origins(p.index)
	if err != nil || len(list) != 1 {
		return psbt.KeyOrigin{}, false
	}
	return psbt.KeyOrigin{Fingerprint: list[0].Fingerprint, Path: list[0].Path}, true
}

func (r *Ring) find(script []byte) (place, bool) {
	key, ok := consensus.TaprootKey(script)
	if !ok {
		return place{}, false
	}
	p, ok := r.keys[key]
	return p, ok
}

// UpdateInput says where the key of an input comes from that spends a script.
func (r *Ring) UpdateInput(in *psbt.Input, script []byte) error { return r.update(in, script) }

// UpdateOutput says where the key of an output comes from that pays to a script.
func (r *Ring) UpdateOutput(out *psbt.Output, script []byte) error { return r.update(out, script) }

func (r *Ring) update(s musig.Section, script []byte) error {
	p, ok := r.find(script)
	if !ok || !p.d.IsSolvable() {
		return nil
	}
	if of, err := musig.Describe(s, p.d, p.index); of || err != nil {
		return err
	}
	internal, err := p.d.InternalKey(p.index)
	if err != nil {
		return err
	}
	if p.d.Kind() == "tr" {
		s.SetTapInternalKey(xOnly(internal))
	}
	if r.HideOrigins {
		return nil
	}
	origins, err := p.d.Origins(p.index)
	if err != nil {
		return err
	}
	for _, o := range origins {
		s.SetTapDerivation(psbt.TapDerivation{Key: xOnly(o.Key), Origin: psbt.KeyOrigin{Fingerprint: o.Fingerprint, Path: o.Path}})
	}
	return nil
}

func xOnly(key *btcec.PublicKey) [32]byte { return [32]byte(schnorr.SerializePubKey(key)) }

// Sign signs with a private key of the ring, with fresh randomness in the nonce
// (BIP340).
func (r *Ring) Sign(t *psbt.Task) (sig [64]byte, ok bool, err error) {
	p, ok := r.keys[t.OutputKey]
	if !ok || !p.d.IsPrivate() {
		return sig, false, nil
	}
	private, err := p.d.OutputPrivateKey(p.index)
	if errors.Is(err, descriptor.ErrNoPrivate) {
		return sig, false, nil
	}
	if err != nil {
		return sig, false, err
	}
	if p.d.Kind() == "tr" { // else it is the descriptor's own, and is needed again
		defer private.Zero()
	}
	var aux [32]byte
	if _, err := rand.Read(aux[:]); err != nil {
		return sig, false, fmt.Errorf("reading random bytes: %w", err)
	}
	s, err := schnorr.Sign(private, t.Message[:], schnorr.CustomNonce(aux))
	if err != nil {
		return sig, false, err
	}
	return [64]byte(s.Serialize()), true, nil
}
