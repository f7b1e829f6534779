package musig

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"

	"lode/consensus"
)

// MaxParticipants bounds the keys of one aggregate: to verify all partial
// signatures takes work in proportion to the square of their number.
const MaxParticipants = 64

// maxDepth bounds the steps of a path below an aggregate.
const maxDepth = 16

// Kinds of errors of keys.
var (
	ErrKey      = errors.New("not a usable public key")
	ErrKeys     = errors.New("keys that cannot be aggregated")
	ErrHardened = errors.New("a hardened step needs a private key, and an aggregate has none")
)

// PubKey is a compressed public key: 02 or 03, and the x coordinate.
type PubKey [33]byte

// String gives hex.
func (p PubKey) String() string { return hex.EncodeToString(p[:]) }

// MarshalText is String.
func (p PubKey) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// XOnly is the x coordinate (BIP340).
func (p PubKey) XOnly() [32]byte { return [32]byte(p[1:]) }

// ParsePubKey checks that b is a compressed point of the curve.
func ParsePubKey(b []byte) (p PubKey, err error) {
	if len(b) != len(p) {
		return p, fmt.Errorf("%w: %d bytes, want %d", ErrKey, len(b), len(p))
	}
	copy(p[:], b)
	_, err = p.point()
	return p, err
}

func (p PubKey) point() (*btcec.PublicKey, error) {
	if p[0] != 2 && p[0] != 3 {
		return nil, fmt.Errorf("%w: %s begins with neither 02 nor 03", ErrKey, p)
	}
	point, err := btcec.ParsePubKey(p[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %s is no point of the curve", ErrKey, p)
	}
	return point, nil
}

func pubKeyOf(point *btcec.PublicKey) PubKey { return PubKey(point.SerializeCompressed()) }

// Key is the key of several participants together, or one that was derived from
// it: it knows the tweaks in between, which all signers must apply.
type Key struct {
	participants []*btcec.PublicKey // in the order of aggregation
	list         []PubKey           // the same
	aggregate    PubKey             // of the participants, without a tweak
	tweaks       []musig2.KeyTweakDesc
	point        PubKey   // with all tweaks
	chain        [32]byte // chain code of point, until a Taproot tweak ends derivation
	final        bool     // a Taproot tweak was applied
}

// Aggregate gives the key of participants in any order: they are sorted (KeySort
// of BIP327), as descriptors want it (BIP390).
func Aggregate(participants []PubKey) (*Key, error) { return AggregateOrdered(Sort(participants)) }

// Sort gives the keys in the order in which descriptors aggregate them.
func Sort(keys []PubKey) []PubKey {
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, func(a, b PubKey) int { return bytes.Compare(a[:], b[:]) })
	return sorted
}

// AggregateOrdered gives the key of participants in this order (KeyAgg of
// BIP327), which is the one that a PSBT has.
func AggregateOrdered(participants []PubKey) (*Key, error) {
	if n := len(participants); n < 1 || n > MaxParticipants {
		return nil, fmt.Errorf("%w: %d of them, want 1 to %d", ErrKeys, n, MaxParticipants)
	}
	k := &Key{list: slices.Clone(participants), chain: syntheticChainCode}
	for i, p := range participants {
		point, err := p.point()
		if err != nil {
			return nil, fmt.Errorf("participant %d: %w", i+1, err)
		}
		k.participants = append(k.participants, point)
	}
	agg, _, _, err := musig2.AggregateKeys(k.participants, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	k.aggregate = pubKeyOf(agg.FinalKey)
	k.point = k.aggregate
	if _, err := k.point.point(); err != nil { // the point at infinity
		return nil, fmt.Errorf("%w: they cancel each other out", ErrKeys)
	}
	return k, nil
}

// Participants are the keys that are aggregated, in that order.
func (k *Key) Participants() []PubKey { return slices.Clone(k.list) }

// Aggregated is the key of the participants before all derivation.
func (k *Key) Aggregated() PubKey { return k.aggregate }

// Public is the key that signatures are for.
func (k *Key) Public() PubKey { return k.point }

// syntheticChainCode is that of all aggregates: the SHA-256 of
// "MuSig2MuSig2MuSig2" (BIP328).
var syntheticChainCode = [32]byte{
	0x86, 0x80, 0x87, 0xca, 0x02, 0xa6, 0xf9, 0x74, 0xc4, 0x59, 0x89, 0x24, 0xc3, 0x6b, 0x57, 0x76,
	0x2d, 0x32, 0xcb, 0x45, 0x71, 0x71, 0x67, 0xe3, 0x00, 0x62, 0x2c, 0x71, 0x67, 0xe3, 0x89, 0x65,
}

// XPub is the synthetic extended public key of the aggregate (BIP328), for
// version bytes such as 04 88 b2 1e.
func (k *Key) XPub(version [4]byte) string {
	return hdkeychain.NewExtendedKey(version[:], k.aggregate[:], syntheticChainCode[:], make([]byte, 4), 0, 0, false).String()
}

// Derive goes down a path of unhardened steps below the aggregate (BIP328).
func (k *Key) Derive(path ...uint32) (*Key, error) {
	var err error
	for _, index := range path {
		if k, err = k.child(index); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// child is CKDpub of BIP32, whose tweak the signers have to apply.
func (k *Key) child(index uint32) (*Key, error) {
	switch {
	case index >= hdkeychain.HardenedKeyStart:
		return nil, ErrHardened
	case k.final:
		return nil, fmt.Errorf("%w: nothing is derived from a Taproot output key", ErrKeys)
	case len(k.tweaks) >= maxDepth:
		return nil, fmt.Errorf("%w: a path of more than %d steps", ErrKeys, maxDepth)
	}
	h := hmac.New(sha512.New, k.chain[:])
	h.Write(k.point[:])
	h.Write(binary.BigEndian.AppendUint32(nil, index))
	sum := h.Sum(nil)
	c := *k
	c.chain = [32]byte(sum[32:])
	return &c, c.tweak([32]byte(sum[:32]))
}

// tweak adds t·G to the key.
func (k *Key) tweak(t [32]byte) error {
	var scalar btcec.ModNScalar
	if overflow := scalar.SetBytes(&t); overflow != 0 {
		return fmt.Errorf("%w: a tweak that is not below the order of the curve", ErrKeys)
	}
	point, err := k.point.point()
	if err != nil {
		return err
	}
	var tG, old, sum btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(&scalar, &tG)
	point.AsJacobian(&old)
	btcec.AddNonConst(&tG, &old, &sum)
	if sum.Z.IsZero() {
		return fmt.Errorf("%w: the result of a tweak is the point at infinity", ErrKeys)
	}
	sum.ToAffine()
	k.point = pubKeyOf(btcec.NewPublicKey(&sum.X, &sum.Y))
	k.tweaks = append(slices.Clip(k.tweaks), musig2.KeyTweakDesc{Tweak: t})
	return nil
}

// Taproot gives the output key (BIP341) with k as internal key. root is that of
// its scripts, and empty where there are none (BIP86).
func (k *Key) Taproot(root []byte) (*Key, error) {
	if k.final {
		return nil, fmt.Errorf("%w: it is a Taproot output key already", ErrKeys)
	}
	if len(root) != 0 && len(root) != 32 {
		return nil, fmt.Errorf("%w: a root of scripts has 32 bytes, this one %d", ErrKeys, len(root))
	}
	internal := k.point.XOnly()
	output, odd, err := consensus.TweakKey(internal, root)
	if err != nil {
		return nil, fmt.Errorf("%w: no Taproot output key", ErrKeys)
	}
	c := *k
	c.final = true
	c.point = PubKey(append([]byte{2}, output[:]...))
	if odd {
		c.point[0] = 3
	}
	t := consensus.TaggedHash("TapTweak", internal[:], root)
	c.tweaks = append(slices.Clip(k.tweaks), musig2.KeyTweakDesc{Tweak: t, IsXOnly: true})
	return &c, nil
}

// index is the place of a participant, or -1.
func (k *Key) index(p PubKey) int { return slices.Index(k.list, p) }
