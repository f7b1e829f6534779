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
// to a number, modulo a prime just below 2^3072.
type muHash struct{ product big.Int }

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
func (h *muHash) add(element []byte) {
	key := sha256.Sum256(element)
	var nonce [chacha20.NonceSize]byte
	stream, err := chacha20.NewUnauthenticatedCipher(key[:], nonce[:])
	if err != nil {
		panic("a key of 32 bytes is refused: " + err.Error())
	}
	var number [muHashBytes]byte
	stream.XORKeyStream(number[:], number[:])
	h.product.Mul(&h.product, fromLittleEndian(number[:]))
	// 2^3072 is muHashPrime modulo the prime: folding the upper half down
	// twice leaves at most a few bits too many.
	var upper big.Int
	for h.product.BitLen() > muHashBits {
		upper.Rsh(&h.product, muHashBits)
		h.product.And(&h.product, muHashMask)
		h.product.Add(&h.product, upper.Mul(&upper, muHashFold))
	}
}

// sum is the hash of the set.
func (h *muHash) sum() consensus.Hash {
	var reduced big.Int
	reduced.Mod(&h.product, muHashModulus)
	var number [muHashBytes]byte
	reduced.FillBytes(number[:])
	slices.Reverse(number[:])
	return sha256.Sum256(number[:])
}

func fromLittleEndian(b []byte) *big.Int {
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}
