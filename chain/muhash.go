package chain

import (
	"crypto/sha256"
	"math/big"
	"slices"

	"golang.org/x/crypto/chacha20"

	"lode/consensus"
)

// muHash is MuHash3072, a hash of a set that does not depend on its order
// (Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997;
// the parameters are Bitcoin Core's): the product of all elements, each hashed
// to a number, modulo a prime just below 2^3072. What is taken out again is
// multiplied up apart from that, and divided by once, in normalize.
type muHash struct {
	product big.Int
	divisor big.Int // 0 if nothing was taken out
}

const (
	muHashBits  = 3072
	muHashBytes = muHashBits / 8
	muHashPrime = 1103717 // the prime is 2^3072 minus this
)

var (
	muHashModulus = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), muHashBits), big.NewInt(muHashPrime))
	muHashFold    = big.NewInt(muHashPrime)
	muHashMask    = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), muHashBits), big.NewInt(1))
)

func newMuHash() *muHash {
	h := new(muHash)
	h.product.SetInt64(1)
	return h
}

// add puts an element into the set.
func (h *muHash) add(element []byte) { multiply(&h.product, numberOf(element)) }

// remove takes an element out of the set, which must be in it.
func (h *muHash) remove(element []byte) {
	if h.divisor.Sign() == 0 {
		h.divisor.SetInt64(1)
	}
	multiply(&h.divisor, numberOf(element))
}

// numberOf hashes an element to a number below 2^3072.
func numberOf(element []byte) *big.Int {
	key := sha256.Sum256(element)
	var nonce [chacha20.NonceSize]byte
	stream, err := chacha20.NewUnauthenticatedCipher(key[:], nonce[:])
	if err != nil {
		panic("a key of 32 bytes is refused: " + err.Error())
	}
	var number [muHashBytes]byte
	stream.XORKeyStream(number[:], number[:])
	return fromLittleEndian(number[:])
}

// multiply multiplies a product by a number, modulo the prime up to a few bits.
func multiply(product, by *big.Int) {
	product.Mul(product, by)
	// 2^3072 is muHashPrime modulo the prime: folding the upper half down
	// twice leaves at most a few bits too many.
	var upper big.Int
	for product.BitLen() > muHashBits {
		upper.Rsh(product, muHashBits)
		product.And(product, muHashMask)
		product.Add(product, upper.Mul(&upper, muHashFold))
	}
}

// normalize gives the one number, muHashBytes long, that stands for the set.
func (h *muHash) normalize() []byte {
	if h.divisor.Sign() != 0 {
		h.divisor.Mod(&h.divisor, muHashModulus)
		// An element of number 0 (one in 2^3072) has no inverse: it cannot be taken out.
		if h.divisor.ModInverse(&h.divisor, muHashModulus) != nil {
			multiply(&h.product, &h.divisor)
		}
		h.divisor.SetInt64(0)
	}
	h.product.Mod(&h.product, muHashModulus)
	number := h.product.FillBytes(make([]byte, muHashBytes))
	slices.Reverse(number)
	return number
}

// readMuHash is the set that a number of normalize stands for.
func readMuHash(number []byte) *muHash {
	return &muHash{product: *fromLittleEndian(slices.Clone(number))}
}

// sum is the hash of the set.
func (h *muHash) sum() consensus.Hash { return sha256.Sum256(h.normalize()) }

func fromLittleEndian(b []byte) *big.Int {
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}
