package silent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
)

// ChangeLabel is what a wallet may pay its own change to. Nobody is ever given its address.
const ChangeLabel = 0

// Receiver is the keys with which payments are found. It cannot spend them.
type Receiver struct {
	scan    btcec.ModNScalar
	spend   btcec.JacobianPoint // affine
	address Address
}

// NewReceiver takes the private scan key and the public spend key.
func NewReceiver(scan [32]byte, spend PublicKey) (*Receiver, error) {
	r := &Receiver{}
	var ok bool
	if r.scan, ok = scalar(scan); !ok {
		return nil, errors.New("the scan key is no private key")
	}
	var err error
	if r.spend, err = spend.point(); err != nil {
		return nil, fmt.Errorf("the spend key is %w", err)
	}
	r.address = Address{publicKey(&r.scan), spend}
	return r, nil
}

// Address is the one without a label.
func (r *Receiver) Address() Address { return r.address }

// Labelled is the address of a label. All of them show the same scan key: who sees two of
// them knows that they belong together.
func (r *Receiver) Labelled(m uint32) (Address, error) {
	l, err := r.label(m)
	if err != nil {
		return Address{}, err
	}
	var p btcec.JacobianPoint
	btcec.AddNonConst(&r.spend, &l.point, &p)
	if isInfinity(&p) {
		return Address{}, fmt.Errorf("label %d has no address", m)
	}
	p.ToAffine()
	return Address{r.address.Scan, compress(&p)}, nil
}

// label is what a label adds to the spend key.
type label struct {
	m     uint32
	tweak btcec.ModNScalar
	point btcec.JacobianPoint // affine
}

func (r *Receiver) label(m uint32) (l label, err error) {
	scan := r.scan.Bytes()
	l.m = m
	var ok bool
	if l.tweak, ok = scalar(labelHash(scan, m)); !ok {
		return l, fmt.Errorf("label %d has no address", m)
	}
	btcec.ScalarBaseMultNonConst(&l.tweak, &l.point)
	l.point.ToAffine()
	return l, nil
}

// Scanner finds the outputs of transactions that pay a receiver. What it does for one that
// does not grows with its outputs at most, however many labels there are; for one that does,
// with that for each output that does: either the labels or the outputs, whichever are fewer.
type Scanner struct {
	*Receiver
	labels  []label
	byPoint map[PublicKey]int
	added   atomic.Int64 // points that were added in search of labels; for tests
}

// NewScanner looks for some labels; ChangeLabel is among them in any case.
func (r *Receiver) NewScanner(labels []uint32) (*Scanner, error) {
	s := &Scanner{Receiver: r, byPoint: make(map[PublicKey]int)}
	for _, m := range append([]uint32{ChangeLabel}, labels...) {
		l, err := r.label(m)
		if err != nil {
			return nil, err
		}
		key := compress(&l.point)
		if _, known := s.byPoint[key]; !known {
			s.byPoint[key] = len(s.labels)
			s.labels = append(s.labels, l)
		}
	}
	return s, nil
}

// Found is an output that pays the receiver.
type Found struct {
	Key      [32]byte // the output key (BIP341)
	Tweak    [32]byte // see SpendKey; that of the label is in it
	Label    uint32   // if Labelled
	Labelled bool
}

// Scan finds the outputs that pay the receiver, among the keys of all Taproot outputs of a
// transaction with this tweak: at most MaxOutputs.
func (s *Scanner) Scan(tweak PublicKey, outputs [][32]byte) (list []Found, err error) {
	secret, err := s.secret(tweak)
	if err != nil {
		return nil, err
	}
	left := newOutputs(outputs)
	for n := uint32(0); n < MaxOutputs && len(left.keys) > 0; n++ {
		t, err := sharedTweak(secret, n)
		if err != nil {
			return list, err
		}
		var add, p btcec.JacobianPoint
		btcec.ScalarBaseMultNonConst(&t, &add)
		btcec.AddNonConst(&s.spend, &add, &p)
		found, ok := Found{}, false
		if !isInfinity(&p) {
			p.ToAffine()
			found, ok = s.match(&p, left)
		}
		if !ok {
			break
		}
		if found.Labelled {
			t.Add(&s.labels[found.Label].tweak)
			found.Label = s.labels[found.Label].m
		}
		found.Tweak = t.Bytes()
		delete(left.keys, found.Key)
		list = append(list, found)
	}
	return list, nil
}

// secret is what the receiver shares with who made the transaction.
func (s *Scanner) secret(tweak PublicKey) (secret PublicKey, err error) {
	p, err := tweak.point()
	if err != nil {
		return secret, fmt.Errorf("the tweak is %w", err)
	}
	var product btcec.JacobianPoint
	btcec.ScalarMultNonConst(&s.scan, &p, &product)
	product.ToAffine()
	return compress(&product), nil
}

// match finds the output that is p, or p and a label, which is given by its place.
func (s *Scanner) match(p *btcec.JacobianPoint, left *outputs) (Found, bool) {
	var key [32]byte
	p.X.PutBytes(&key)
	if left.keys[key] {
		return Found{Key: key}, true
	}
	if len(s.labels) <= len(left.keys) {
		return s.addLabels(p, left)
	}
	return s.subtract(p, left)
}

// addLabels looks for the outputs that the labels make of p.
func (s *Scanner) addLabels(p *btcec.JacobianPoint, left *outputs) (Found, bool) {
	sums := make([]btcec.JacobianPoint, len(s.labels))
	for i := range s.labels {
		btcec.AddNonConst(p, &s.labels[i].point, &sums[i])
	}
	s.added.Add(int64(len(sums)))
	toAffine(sums)
	for i := range sums {
		var key [32]byte
		sums[i].X.PutBytes(&key)
		if !isInfinity(&sums[i]) && left.keys[key] {
			return Found{Key: key, Label: uint32(i), Labelled: true}, true
		}
	}
	return Found{}, false
}

// subtract looks for the labels that make outputs of p. As an output does not say which of
// two points it is, both are tried.
func (s *Scanner) subtract(p *btcec.JacobianPoint, left *outputs) (Found, bool) {
	var minus btcec.JacobianPoint
	minus.Set(p)
	minus.Y.Negate(1).Normalize()
	points := left.points()
	sums := make([]btcec.JacobianPoint, 2*len(points))
	for i := range points {
		btcec.AddNonConst(&points[i].even, &minus, &sums[2*i])
		odd := points[i].even
		odd.Y.Negate(1).Normalize()
		btcec.AddNonConst(&odd, &minus, &sums[2*i+1])
	}
	s.added.Add(int64(len(sums)))
	toAffine(sums)
	for i := range sums {
		if isInfinity(&sums[i]) || !left.keys[points[i/2].key] {
			continue
		}
		if at, ok := s.byPoint[compress(&sums[i])]; ok {
			return Found{Key: points[i/2].key, Label: uint32(at), Labelled: true}, true
		}
	}
	return Found{}, false
}

// outputs are those of a transaction that were not found yet.
type outputs struct {
	keys   map[[32]byte]bool
	lifted []lifted // of all of them, once somebody wants them
	order  [][32]byte
}

// lifted is an output with its point.
type lifted struct {
	key  [32]byte
	even btcec.JacobianPoint
}

func newOutputs(keys [][32]byte) *outputs {
	o := &outputs{keys: make(map[[32]byte]bool, len(keys))}
	for _, key := range keys {
		if !o.keys[key] {
			o.keys[key] = true
			o.order = append(o.order, key)
		}
	}
	return o
}

// points are those of the outputs that are on the curve.
func (o *outputs) points() []lifted {
	if o.lifted == nil {
		o.lifted = make([]lifted, 0, len(o.order))
		for _, key := range o.order {
			if p, err := EvenKey(key).point(); err == nil {
				o.lifted = append(o.lifted, lifted{key, p})
			}
		}
	}
	return o.lifted
}

// toAffine is ToAffine for many points, with one inversion for all (Montgomery).
func toAffine(points []btcec.JacobianPoint) {
	products := make([]btcec.FieldVal, len(points))
	var all btcec.FieldVal
	all.SetInt(1)
	for i := range points {
		products[i] = all
		if z := points[i].Z; !isInfinity(&points[i]) {
			all.Mul(z.Normalize())
		}
	}
	all.Inverse()
	for i := len(points) - 1; i >= 0; i-- {
		p := &points[i]
		if isInfinity(p) {
			continue
		}
		var z, z2, z3 btcec.FieldVal
		z.Mul2(&all, &products[i])
		all.Mul(&p.Z)
		z2.SquareVal(&z)
		z3.Mul2(&z2, &z)
		p.X.Mul(&z2).Normalize()
		p.Y.Mul(&z3).Normalize()
		p.Z.SetInt(1)
	}
}

// SpendKey is the private key of an output: the private spend key and the tweak of the
// output. Its public key has the x coordinate of the output key, and either y.
func SpendKey(spend *btcec.PrivateKey, tweak [32]byte) (*btcec.PrivateKey, error) {
	t, ok := scalar(tweak)
	if !ok {
		return nil, errors.New("the tweak of the output is no number")
	}
	if t.Add(&spend.Key).IsZero() {
		return nil, errors.New("the output has no private key")
	}
	return &btcec.PrivateKey{Key: t}, nil
}

// OutputKey is the output key that SpendKey is for.
func OutputKey(spend PublicKey, tweak [32]byte) (key [32]byte, err error) {
	base, err := spend.point()
	if err != nil {
		return key, err
	}
	t, ok := scalar(tweak)
	if !ok {
		return key, errors.New("the tweak of the output is no number")
	}
	var p, out btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(&t, &p)
	btcec.AddNonConst(&base, &p, &out)
	if isInfinity(&out) {
		return key, errors.New("the output has no key")
	}
	out.ToAffine()
	out.X.PutBytes(&key)
	return key, nil
}

func labelHash(scan [32]byte, m uint32) [32]byte {
	return consensus.TaggedHash("BIP0352/Label", scan[:], binary.BigEndian.AppendUint32(nil, m))
}
