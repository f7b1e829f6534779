package silent

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
)

// InputKey is the private key of an input that takes part.
type InputKey struct {
	Secret  *btcec.PrivateKey
	Taproot bool // of an output key, of which the y coordinate is even
}

// Outputs gives the output key (BIP341) for each address, in their order, of a transaction
// with these inputs: outpoints, and keys of those that take part. Other inputs mean other
// outputs: whoever changes them must call it again. All outputs must be there, as a receiver
// looks for the next one only if it has found one. The error is of kind ErrNoSecret if the
// keys cancel out.
func Outputs(inputs []consensus.OutPoint, keys []InputKey, to []Address) ([][32]byte, error) {
	var sum btcec.ModNScalar
	defer sum.Zero()
	for _, key := range keys {
		secret := key.Secret.Key
		if key.Taproot && key.Secret.PubKey().SerializeCompressed()[0] == 3 {
			secret.Negate()
		}
		sum.Add(&secret)
		secret.Zero()
	}
	if sum.IsZero() {
		return nil, fmt.Errorf("%w: their keys cancel out", ErrNoSecret)
	}
	hash, err := inputHash(inputs, publicKey(&sum))
	if err != nil {
		return nil, err
	}
	sum.Mul(&hash)
	groups := make(map[PublicKey]*group)
	outputs := make([][32]byte, len(to))
	for i, a := range to {
		g := groups[a.Scan]
		if g == nil {
			if g, err = newGroup(&sum, a.Scan); err != nil {
				return nil, fmt.Errorf("address %d: %w", i+1, err)
			}
			groups[a.Scan] = g
		}
		if outputs[i], err = g.next(a.Spend); err != nil {
			return nil, fmt.Errorf("address %d: %w", i+1, err)
		}
	}
	return outputs, nil
}

// group is the outputs to one scan key.
type group struct {
	secret PublicKey
	n      uint32
}

func newGroup(factor *btcec.ModNScalar, scan PublicKey) (*group, error) {
	p, err := scan.point()
	if err != nil {
		return nil, err
	}
	var secret btcec.JacobianPoint
	btcec.ScalarMultNonConst(factor, &p, &secret)
	secret.ToAffine()
	return &group{secret: compress(&secret)}, nil
}

func (g *group) next(spend PublicKey) (key [32]byte, err error) {
	if g.n == MaxOutputs {
		return key, fmt.Errorf("more than %d outputs to one receiver: it would not find them all", MaxOutputs)
	}
	base, err := spend.point()
	if err != nil {
		return key, err
	}
	t, err := sharedTweak(g.secret, g.n)
	if err != nil {
		return key, err
	}
	g.n++
	var p, out btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(&t, &p)
	btcec.AddNonConst(&base, &p, &out)
	if isInfinity(&out) {
		return key, fmt.Errorf("%w: the output's key is zero", ErrNoSecret)
	}
	out.ToAffine()
	out.X.PutBytes(&key)
	return key, nil
}
