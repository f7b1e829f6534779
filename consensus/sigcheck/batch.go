package sigcheck

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"lode/consensus"
)

// item is a signature to verify.
type item struct {
	consensus.Signature
	id    consensus.Hash // commits to all of the signature
	index int            // of the check that it is for
	known bool           // to be valid
}

// verifyBatch reports whether all signatures are valid (BIP340, batch
// verification). A signature (R, s) by P is, with e the hash of R, P and the
// message, if s·G = R + e·P. Here these equations are added up, each times a
// random number a of 128 bits, so that wrong ones cancel each other with a
// probability of 2⁻¹²⁸:
//
//	Σ a·R + Σ (a·e)·P − (Σ a·s)·G = 0
//
// a·e becomes two short scalars, for P and for λ·P, so that none in the whole
// sum has more than 128 bits.
func verifyBatch(items []item) bool {
	const together = lanes / 2 // signatures, with two points each
	sum := multiExps.Get().(*multiExp)
	defer multiExps.Put(sum)
	sum.reset()
	e := equation{sum: sum, random: newCoefficients(items)}
	for ; len(items) > 0; items = items[min(together, len(items)):] {
		if !e.add(items[:min(together, len(items))]) {
			return false
		}
	}
	sum.addLong(&e.key, &e.times, false)
	sum.addLong(&generator, &e.base, true)
	return sum.isZero()
}

// multiExps keeps memory for the next batch: about 1 KB for each signature.
var multiExps = sync.Pool{New: func() any { return new(multiExp) }}

// equation is the sum over a batch as it grows.
type equation struct {
	sum    *multiExp
	random coefficients
	base   scalar // Σ a·s
	key    point  // of the latest signature
	times  scalar // Σ a·e over the latest signatures, which all are by key
}

// add adds the equations of a few signatures. It reports whether they are of a
// form that can be valid.
func (e *equation) add(items []item) bool {
	var lifted [lanes]point
	for i := range items {
		r, key := &lifted[2*i], &lifted[2*i+1]
		if !r.x.setBytes((*[32]byte)(items[i].Sig[:32])) || !key.x.setBytes(&items[i].Key) {
			return false
		}
	}
	if !lift(lifted[:2*len(items)]) {
		return false
	}
	for i := range items {
		var s scalar
		if !s.setBytes((*[32]byte)(items[i].Sig[32:])) {
			return false
		}
		a := e.random.next()
		s.mulShort(&s, &a)
		e.base.add(&e.base, &s)
		e.sum.add(&lifted[2*i], a)

		// The inputs of one transaction are often by one key, which then is
		// one point of the sum.
		if key := &lifted[2*i+1]; e.key.x != key.x {
			e.sum.addLong(&e.key, &e.times, false)
			e.key, e.times = *key, scalar{}
		}
		h := challenge(&items[i])
		h.mulShort(&h, &a)
		e.times.add(&e.times, &h)
	}
	return true
}

// addLong appends k·p, or −k·p, to the sum.
func (m *multiExp) addLong(p *point, k *scalar, minus bool) {
	if *k == (scalar{}) {
		return
	}
	u, v := k.split()
	u.negative, v.negative = u.negative != minus, v.negative != minus
	m.add(p, u)
	q := point{y: p.y}
	q.x.mul(&p.x, &beta)
	m.add(&q, v)
}

// challenge is e of BIP340. It may be n or more.
func challenge(it *item) (e scalar) {
	var b [160]byte
	copy(b[:], challengeTag[:])
	copy(b[32:], challengeTag[:])
	copy(b[64:], it.Sig[:32])
	copy(b[96:], it.Key[:])
	copy(b[128:], it.Message[:])
	h := sha256.Sum256(b[:])
	e.setBytes(&h)
	return e
}

var challengeTag = sha256.Sum256([]byte("BIP0340/challenge"))

// coefficients is a generator of random numbers: SHA-256 of a seed and a
// counter. The seed commits to the whole batch, so that nobody can choose a
// signature in knowledge of the numbers (BIP340, batch verification); and it is
// made from ids that begin with a secret of this process.
type coefficients struct {
	in    [40]byte // seed, counter
	out   [32]byte
	count uint64
}

func newCoefficients(items []item) (c coefficients) {
	h := sha256.New()
	for i := range items {
		h.Write(items[i].id[:])
	}
	h.Sum(c.in[:0])
	return c
}

// next is a random number of 128 bits.
func (c *coefficients) next() short {
	at := c.count % 2 * 16
	if at == 0 {
		binary.LittleEndian.PutUint64(c.in[32:], c.count)
		c.out = sha256.Sum256(c.in[:])
	}
	c.count++
	return short{lo: binary.LittleEndian.Uint64(c.out[at:]), hi: binary.LittleEndian.Uint64(c.out[at+8:])}
}
