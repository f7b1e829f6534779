// Package silent is silent payments (BIP352, version 1.1.1): an address that may be
// published once and paid often, each time to another output that nobody can connect
// with it, without a word between payer and receiver.
//
// The payer's inputs and the receiver's scan key share a secret (Outputs, Scanner). What a
// receiver needs of a transaction beside its outputs is one point, its tweak (Tweak, TweakOf):
// a node can work it out without knowing who receives, and does (`lode node --silentindex`).
//
// All here is pure. Points that stand for secrets are multiplied in variable time, as
// btcec has no other way: it is for machines that nobody else measures.
//
// In Lode every input is a key path spend of a Taproot output, so all of them take part,
// each with the output's own key and an even y coordinate. What BIP352 says of other kinds
// of inputs, and of script path spends below the point H, has nothing to apply to. Functions
// that take keys work for any list of inputs, as the test vectors want it.
package silent

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
)

// MaxOutputs is how many outputs of one transaction may go to one scan key (BIP352: K_max).
const MaxOutputs = 2323

// ErrNoSecret is the kind of error for inputs that share no secret with anybody: there are
// none, or their keys cancel out.
var ErrNoSecret = errors.New("its inputs give no shared secret")

// PublicKey is a point, compressed (SEC1): 02 or 03, and x.
type PublicKey [33]byte

// EvenKey is the point of a Taproot output key: that with the even y coordinate (BIP340).
// The key need not be on the curve.
func EvenKey(key [32]byte) PublicKey { return PublicKey(append([]byte{2}, key[:]...)) }

// point decodes p, as an affine point.
func (p PublicKey) point() (point btcec.JacobianPoint, err error) {
	if p[0] != 2 && p[0] != 3 {
		return point, fmt.Errorf("a key that begins with %02x, want 02 or 03", p[0])
	}
	if overflow := point.X.SetByteSlice(p[1:]); overflow || !btcec.DecompressY(&point.X, p[0] == 3, &point.Y) {
		return point, fmt.Errorf("a key that is no point of the curve")
	}
	point.Y.Normalize()
	point.Z.SetInt(1)
	return point, nil
}

// compress encodes an affine point.
func compress(p *btcec.JacobianPoint) (b PublicKey) {
	b[0] = 2
	if p.Y.IsOdd() {
		b[0] = 3
	}
	p.X.PutBytesUnchecked(b[1:])
	return b
}

// isInfinity also holds for points that are not affine.
func isInfinity(p *btcec.JacobianPoint) bool {
	return p.Z.IsZero() || p.X.IsZero() && p.Y.IsZero()
}

// scalar reads a secret or a hash as a number: false if it is 0 or too large.
func scalar(b [32]byte) (s btcec.ModNScalar, ok bool) {
	overflow := s.SetBytes(&b)
	return s, overflow == 0 && !s.IsZero()
}

// publicKey is the point of a secret.
func publicKey(secret *btcec.ModNScalar) PublicKey {
	var p btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(secret, &p)
	p.ToAffine()
	return compress(&p)
}

// inputHash binds a shared secret to the inputs of one transaction: the least of the
// outpoints, as they are encoded, and the sum of the keys.
func inputHash(inputs []consensus.OutPoint, sum PublicKey) (btcec.ModNScalar, error) {
	if len(inputs) == 0 {
		return btcec.ModNScalar{}, fmt.Errorf("%w: there are none", ErrNoSecret)
	}
	least := encodeOutPoint(inputs[0])
	for _, o := range inputs[1:] {
		if b := encodeOutPoint(o); string(b[:]) < string(least[:]) {
			least = b
		}
	}
	hash, ok := scalar(consensus.TaggedHash("BIP0352/Inputs", least[:], sum[:]))
	if !ok {
		return hash, fmt.Errorf("%w: their hash is no number", ErrNoSecret)
	}
	return hash, nil
}

func encodeOutPoint(o consensus.OutPoint) (b [36]byte) {
	copy(b[:], o.TxID[:])
	binary.LittleEndian.PutUint32(b[32:], o.Index)
	return b
}

// Tweak is what a receiver needs to know of the inputs of a transaction: the sum of the keys
// that take part, times the input hash. inputs are all outpoints that it spends. The error is
// of kind ErrNoSecret for a transaction that cannot pay silently.
func Tweak(inputs []consensus.OutPoint, keys []PublicKey) (tweak PublicKey, err error) {
	var sum btcec.JacobianPoint
	for i, key := range keys {
		p, err := key.point()
		if err != nil {
			return tweak, fmt.Errorf("%w: input key %d is %w", ErrNoSecret, i, err)
		}
		var next btcec.JacobianPoint
		btcec.AddNonConst(&sum, &p, &next)
		sum = next
	}
	if isInfinity(&sum) {
		return tweak, fmt.Errorf("%w: the sum of their keys is zero", ErrNoSecret)
	}
	sum.ToAffine()
	hash, err := inputHash(inputs, compress(&sum))
	if err != nil {
		return tweak, err
	}
	var p btcec.JacobianPoint
	btcec.ScalarMultNonConst(&hash, &sum, &p)
	p.ToAffine()
	return compress(&p), nil
}

// TweakOf is the tweak of a transaction of the ledger, which spends these coins in the order
// of its inputs. ok is false for one that cannot pay silently: a coinbase, one without a
// Taproot output, or one whose input keys cancel out.
func TweakOf(tx *consensus.Tx, spent []consensus.Coin) (tweak PublicKey, ok bool) {
	if tx.IsCoinbase() || len(spent) != len(tx.In) || len(OutputKeys(tx)) == 0 {
		return tweak, false
	}
	inputs, keys := make([]consensus.OutPoint, len(tx.In)), make([]PublicKey, len(tx.In))
	for i := range tx.In {
		inputs[i], keys[i] = tx.In[i].PrevOut, EvenKey(spent[i].Key)
	}
	tweak, err := Tweak(inputs, keys)
	return tweak, err == nil
}

// OutputKeys are the keys of the Taproot outputs of a transaction.
func OutputKeys(tx *consensus.Tx) (keys [][32]byte) {
	for i := range tx.Out {
		if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// sharedTweak is what the n-th output to one scan key adds to the spend key (t_k).
func sharedTweak(secret PublicKey, n uint32) (btcec.ModNScalar, error) {
	t, ok := scalar(consensus.TaggedHash("BIP0352/SharedSecret", secret[:], binary.BigEndian.AppendUint32(nil, n)))
	if !ok {
		return t, fmt.Errorf("%w: the hash for output %d is no number", ErrNoSecret, n)
	}
	return t, nil
}
