package descriptor

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"

	"lode/consensus"
)

var errSeveralPaths = errors.New("it stands for several descriptors: expand it")

// prepare derives what does not depend on the index.
func (k *key) prepare() {
	if k.parent != nil || k.parentErr != nil || k.single != nil {
		return
	}
	for _, part := range k.parts {
		part.prepare()
	}
	if k.paths() > 1 {
		k.parentErr = errSeveralPaths
		return
	}
	switch {
	case k.raw != nil:
		k.single = k.raw
	case k.wif != nil:
		k.single = k.wif.PubKey()
	case k.ext != nil:
		k.walk(k.ext)
	case len(k.steps) == 0 && k.wildcard == noWildcard && k.any((*key).isRange):
		// Each index has an aggregate of its own.
	default:
		keys, err := k.participants(0)
		var sum *btcec.PublicKey
		if err == nil {
			sum, err = aggregate(keys)
		}
		switch {
		case err != nil:
			k.parentErr = err
		case len(k.steps) == 0 && k.wildcard == noWildcard:
			k.single = sum
		default:
			k.walk(synthetic(sum, k.net.Public))
		}
	}
}

// walk takes the steps from a key on.
func (k *key) walk(from *hdkeychain.ExtendedKey) {
	at := from
	for _, s := range k.steps {
		if k.parentErr == nil {
			at, k.parentErr = child(at, s[0])
		}
	}
	if k.parentErr != nil {
		return
	}
	if k.wildcard != anyHardened {
		at = neuter(at, k.net.Public)
	}
	if _, k.parentErr = at.ECPubKey(); k.parentErr != nil { // which it keeps, so that reading it is safe
		return
	}
	k.parent = at
	if k.wildcard == noWildcard {
		k.single, _ = at.ECPubKey()
	}
}

// child is one step of a path.
func child(from *hdkeychain.ExtendedKey, n uint32) (*hdkeychain.ExtendedKey, error) {
	if n >= hardened && !from.IsPrivate() {
		return nil, fmt.Errorf("%w: a hardened step wants it", ErrNoPrivate)
	}
	next, err := from.Derive(n)
	if err != nil {
		return nil, fmt.Errorf("deriving key %d: %w", n, err)
	}
	return next, nil
}

// participants are the keys of the parts of a musig.
func (k *key) participants(index uint32) (keys []*btcec.PublicKey, err error) {
	for _, part := range k.parts {
		public, err := part.public(index)
		if err != nil {
			return nil, err
		}
		keys = append(keys, public)
	}
	return keys, nil
}

// index is what the wildcard stands for.
func (k *key) index(index uint32) uint32 {
	if k.wildcard == anyHardened {
		return index | hardened
	}
	return index
}

// path is the steps behind the key at an index.
func (k *key) path(index uint32) (path []uint32) {
	for _, s := range k.steps {
		path = append(path, s[0])
	}
	if k.wildcard != noWildcard {
		path = append(path, k.index(index))
	}
	return path
}

// public is the public key at an index.
func (k *key) public(index uint32) (*btcec.PublicKey, error) {
	switch {
	case k.parentErr != nil:
		return nil, k.parentErr
	case index >= hardened:
		return nil, fmt.Errorf("%w: %d is not less than 2^31", ErrIndex, index)
	case k.single != nil:
		return k.single, nil
	case k.parent == nil: // musig of ranges
		keys, err := k.participants(index)
		if err != nil {
			return nil, err
		}
		return aggregate(keys)
	}
	at, err := child(k.parent, k.index(index))
	if err != nil {
		return nil, err
	}
	return at.ECPubKey()
}

// private is the private key at an index.
func (k *key) private(index uint32) (*btcec.PrivateKey, error) {
	switch {
	case k.wif != nil:
		return k.wif, nil
	case !k.isPrivate():
		return nil, ErrNoPrivate
	case k.paths() > 1:
		return nil, errSeveralPaths
	case index >= hardened:
		return nil, fmt.Errorf("%w: %d is not less than 2^31", ErrIndex, index)
	}
	at := k.ext
	for _, n := range k.path(index) {
		var err error
		if at, err = child(at, n); err != nil {
			return nil, err
		}
	}
	return at.ECPrivKey()
}

// hasKey reports whether it is a tr or rawtr.
func (d *Descriptor) hasKey() bool { return d.root.fn == "tr" || d.root.fn == "rawtr" }

// InternalKey is the public key that stands in tr() or rawtr() at an index.
func (d *Descriptor) InternalKey(index uint32) (*btcec.PublicKey, error) {
	if err := d.Usable(); err != nil {
		return nil, err
	}
	if !d.hasKey() {
		return nil, fmt.Errorf("%w: %s() has no key", ErrUnsupported, d.root.fn)
	}
	return d.root.args[0].key.public(index)
}

// OutputKey is the Taproot output key at an index (BIP341), which is without
// meaning if d has no range.
func (d *Descriptor) OutputKey(index uint32) (output [32]byte, err error) {
	if err := d.Usable(); err != nil {
		return output, err
	}
	if !d.hasKey() {
		return *d.root.args[0].output, nil
	}
	public, err := d.root.args[0].key.public(index)
	if err != nil {
		return output, err
	}
	output = [32]byte(schnorr.SerializePubKey(public))
	if d.root.fn == "tr" {
		output, _, err = consensus.TweakKey(output, nil)
	}
	return output, err
}

// Script is the output script at an index.
func (d *Descriptor) Script(index uint32) ([]byte, error) {
	key, err := d.OutputKey(index)
	return consensus.TaprootScript(key), err
}

// Address is the address at an index.
func (d *Descriptor) Address(index uint32) (string, error) {
	key, err := d.OutputKey(index)
	return consensus.Address(d.net.AddressPrefix, key), err
}

// PrivateKey is the private key of InternalKey, of kind ErrNoPrivate if d does not
// have it. It is the caller's, who may overwrite it.
func (d *Descriptor) PrivateKey(index uint32) (*btcec.PrivateKey, error) {
	if err := d.Usable(); err != nil {
		return nil, err
	}
	if !d.hasKey() || len(d.root.args[0].key.parts) > 0 {
		return nil, ErrNoPrivate
	}
	private, err := d.root.args[0].key.private(index)
	if err != nil {
		return nil, err
	}
	return &btcec.PrivateKey{Key: private.Key}, nil
}

// OutputPrivateKey is the private key of OutputKey: for tr() the one of
// InternalKey, negated if its point has an odd y coordinate, plus the tweak
// (BIP341).
func (d *Descriptor) OutputPrivateKey(index uint32) (*btcec.PrivateKey, error) {
	private, err := d.PrivateKey(index)
	if err != nil || d.root.fn == "rawtr" {
		return private, err
	}
	public := private.PubKey().SerializeCompressed()
	scalar := private.Key
	if public[0] == 3 { // odd
		scalar.Negate()
	}
	tweak := consensus.TaggedHash("TapTweak", public[1:])
	var t btcec.ModNScalar
	if overflow := t.SetByteSlice(tweak[:]); overflow {
		return nil, errors.New("the key has no Taproot tweak")
	}
	return &btcec.PrivateKey{Key: *scalar.Add(&t)}, nil
}

// KeyOrigin is a key and where it comes from, as PSBT says it (BIP371).
type KeyOrigin struct {
	Key         *btcec.PublicKey
	Fingerprint [4]byte  // of the master key; of the key itself if it has no origin
	Path        []uint32 // from the master key, hardened steps with 2^31
}

// Origins gives the keys at an index, of all participants if it is a musig.
func (d *Descriptor) Origins(index uint32) (list []KeyOrigin, err error) {
	if err := d.Usable(); err != nil || !d.hasKey() {
		return nil, err
	}
	keys := []*key{d.root.args[0].key}
	if parts := keys[0].parts; len(parts) > 0 {
		keys = parts
	}
	for _, k := range keys {
		o, err := k.keyOrigin(index)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// String is the path from the master key, "m/86'/1'/0'/0/5", behind the fingerprint
// where the key was not derived from anything known.
func (o KeyOrigin) String() string {
	if len(o.Path) == 0 {
		return hex.EncodeToString(o.Fingerprint[:])
	}
	text := "m"
	for _, n := range o.Path {
		if n >= hardened {
			text += fmt.Sprintf("/%d'", n-hardened)
		} else {
			text += fmt.Sprintf("/%d", n)
		}
	}
	return text
}

// RootKey is the public extended key that stands in tr() or rawtr(), nil if another
// key does.
func (d *Descriptor) RootKey() *hdkeychain.ExtendedKey {
	if !d.hasKey() || d.root.args[0].key.ext == nil {
		return nil
	}
	return neuter(d.root.args[0].key.ext, d.net.Public)
}

// PrivateRootKey is the private extended key that stands in tr() or rawtr(), nil if
// another key does.
func (d *Descriptor) PrivateRootKey() *hdkeychain.ExtendedKey {
	if !d.hasKey() || d.root.args[0].key.ext == nil || !d.root.args[0].key.ext.IsPrivate() {
		return nil
	}
	return d.root.args[0].key.ext
}

func (k *key) keyOrigin(index uint32) (o KeyOrigin, err error) {
	if o.Key, err = k.public(index); err != nil {
		return o, err
	}
	from := o.Key
	if k.ext != nil {
		if from, err = k.ext.ECPubKey(); err != nil {
			return o, err
		}
	}
	o.Fingerprint = [4]byte(address.Hash160(from.SerializeCompressed())[:4])
	if k.origin != nil {
		o.Fingerprint, o.Path = k.origin.fingerprint, append(o.Path, k.origin.path...)
	}
	o.Path = append(o.Path, k.path(index)...)
	return o, nil
}

// Normalized is the public form that derives all that the private one does: its
// hardened steps are taken, and stand in the origin (as Bitcoin Core lists
// descriptors). The error is of kind ErrNoPrivate if one of them wants a private
// key that d does not have, or if every index would.
func (d *Descriptor) Normalized() (*Descriptor, error) {
	var failed error
	n := &Descriptor{d.net, d.root.replace(func(k *key) *key {
		c, err := k.normalize()
		failed = errors.Join(failed, err)
		return c
	})}
	if failed != nil {
		return nil, failed
	}
	n.prepare()
	return n, nil
}

func (k *key) normalize() (*key, error) {
	var failed error
	c := k.with(func(part *key) *key {
		p, err := part.normalize()
		failed = errors.Join(failed, err)
		return p
	})
	last := -1
	for i, s := range k.steps {
		if s.isHardened() {
			last = i
		}
	}
	switch {
	case failed != nil:
		return k, failed
	case k.wildcard == anyHardened:
		return k, fmt.Errorf("%w: each index is hardened", ErrNoPrivate)
	case last >= 0 && k.paths() > 1 && len(k.steps[last]) > 1:
		return k, errSeveralPaths
	}
	c = c.neuter()
	c.apostrophe = false
	if last < 0 {
		return c, nil
	}
	at, from := k.ext, k.origin
	if from == nil {
		master, err := k.ext.ECPubKey()
		if err != nil {
			return k, err
		}
		from = &origin{fingerprint: [4]byte(address.Hash160(master.SerializeCompressed())[:4])}
	}
	c.origin = &origin{from.fingerprint, append([]uint32(nil), from.path...)}
	for _, s := range k.steps[:last+1] {
		if len(s) > 1 {
			return k, errSeveralPaths
		}
		var err error
		if at, err = child(at, s[0]); err != nil {
			return k, err
		}
		c.origin.path = append(c.origin.path, s[0])
	}
	c.ext, c.steps = neuter(at, k.net.Public), append([]step(nil), k.steps[last+1:]...)
	return c, nil
}
