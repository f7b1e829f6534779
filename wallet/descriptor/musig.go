package descriptor

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
)

// chainCode makes extended keys of aggregates (BIP328): the SHA-256 of
// "MuSig2MuSig2MuSig2".
var chainCode, _ = hex.DecodeString("868087ca02a6f974c4598924c36b57762d32cb45717167e300622c7167e38965")

// musig reads musig(KEY,...) and what is derived from it (BIP390).
func (p *parser) musig(k *key) error {
	p.take("musig(")
	for len(k.parts) == 0 || p.take(",") {
		part, err := p.keyExpression(keyRules{})
		if err != nil {
			return err
		}
		k.parts = append(k.parts, part)
	}
	if !p.take(")") {
		return fail(p.pos, "musig(): expected ',' or ')'")
	}
	if !strings.HasPrefix(p.text[p.pos:], "/") {
		return nil
	}
	at := p.pos
	if err := p.path(k, false); err != nil {
		return err
	}
	for _, part := range k.parts {
		switch {
		case part.ext == nil:
			return fail(at, "musig(): derivation requires all participants to be xpubs or xprvs")
		case part.isRange():
			return fail(at, "musig(): Cannot have ranged participant keys if musig() also has derivation")
		case part.paths() > 1 && k.paths() > 1:
			return fail(at, "musig(): Cannot have multipath participant keys if musig() is also multipath")
		}
	}
	return nil
}

// aggregate is the aggregate key of MuSig2 (BIP327), the keys being sorted.
func aggregate(keys []*btcec.PublicKey) (*btcec.PublicKey, error) {
	return aggregateInOrder(sortKeys(keys))
}

func aggregateInOrder(keys []*btcec.PublicKey) (*btcec.PublicKey, error) {
	sum, _, _, err := musig2.AggregateKeys(keys, false)
	if err != nil {
		return nil, err
	}
	return sum.FinalKey, nil
}

// sortKeys is KeySort of BIP327.
func sortKeys(keys []*btcec.PublicKey) []*btcec.PublicKey {
	return slices.SortedFunc(slices.Values(keys), func(a, b *btcec.PublicKey) int {
		return bytes.Compare(a.SerializeCompressed(), b.SerializeCompressed())
	})
}

// synthetic makes an aggregate an extended key (BIP328).
func synthetic(aggregate *btcec.PublicKey, version [4]byte) *hdkeychain.ExtendedKey {
	return hdkeychain.NewExtendedKey(version[:], aggregate.SerializeCompressed(), chainCode, make([]byte, 4), 0, 0, false)
}

// childTweak is what unhardened derivation adds to a key (I_L of BIP32).
func childTweak(parent *hdkeychain.ExtendedKey, index uint32) (tweak [32]byte, err error) {
	public, err := parent.ECPubKey()
	if err != nil {
		return tweak, err
	}
	mac := hmac.New(sha512.New, parent.ChainCode())
	mac.Write(public.SerializeCompressed())
	mac.Write(binary.BigEndian.AppendUint32(nil, index))
	return [32]byte(mac.Sum(nil)[:32]), nil
}

// MuSig is the aggregate of a descriptor tr(musig(...)) at one index.
type MuSig struct {
	// Participants are their public keys, sorted as they are aggregated (BIP327).
	Participants []*btcec.PublicKey
	// Private are the private keys of those that the descriptor has, by the same
	// index; nil for the others.
	Private []*btcec.PrivateKey
	// Aggregate is the sum of the participants, before Tweaks.
	Aggregate *btcec.PublicKey
	// Path is the steps from Aggregate to Internal (BIP328), none of them hardened.
	Path []uint32
	// Tweaks are those of Path, to be applied in this order, all plain (and not
	// x-only).
	Tweaks [][32]byte
	// Internal is the key that they lead to: what tr() tweaks.
	Internal *btcec.PublicKey
}

// MuSig gives the aggregate at an index. ok is false if d is no tr() or rawtr() of
// one.
func (d *Descriptor) MuSig(index uint32) (m MuSig, ok bool, err error) {
	if d.Usable() != nil || !d.hasKey() || len(d.root.args[0].key.parts) == 0 {
		return m, false, nil
	}
	k := d.root.args[0].key
	if m.Internal, err = k.public(index); err != nil {
		return m, true, err
	}
	private := map[string]*btcec.PrivateKey{}
	var keys []*btcec.PublicKey
	for _, part := range k.parts {
		public, err := part.public(index)
		if err != nil {
			return m, true, err
		}
		keys = append(keys, public)
		if part.isPrivate() {
			if private[string(public.SerializeCompressed())], err = part.private(index); err != nil {
				return m, true, err
			}
		}
	}
	m.Participants = sortKeys(keys)
	for _, public := range m.Participants {
		m.Private = append(m.Private, private[string(public.SerializeCompressed())])
	}
	if m.Aggregate, err = aggregate(keys); err != nil {
		return m, true, err
	}
	m.Path = k.path(index)
	m.Tweaks, err = k.tweaks(m.Aggregate, index)
	return m, true, err
}

// tweaks are those of the steps behind an aggregate.
func (k *key) tweaks(aggregate *btcec.PublicKey, index uint32) (list [][32]byte, err error) {
	at := synthetic(aggregate, k.net.Public)
	path := k.path(index)
	for _, n := range path {
		tweak, err := childTweak(at, n)
		if err != nil {
			return nil, err
		}
		if at, err = at.Derive(n); err != nil {
			return nil, err
		}
		list = append(list, tweak)
	}
	return list, nil
}
