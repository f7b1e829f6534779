package consensus

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Hash is a 32-byte SHA-256d hash in the order in which it is computed and
// sent. Its text form is reversed, as everywhere in Bitcoin.
type Hash [32]byte

// String gives the 64 hex digits of h, last byte first.
func (h Hash) String() string {
	slices.Reverse(h[:])
	return hex.EncodeToString(h[:])
}

// MarshalText is String, so that hashes are readable in JSON.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText is the inverse of MarshalText; see ParseHash.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

// ParseHash reads the text form of a hash: exactly 64 hex digits, last byte
// first.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != 2*len(h) {
		return Hash{}, fmt.Errorf("hash of %d characters, want %d hex digits", len(s), 2*len(h))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, fmt.Errorf("hash %q is not hex", s)
	}
	slices.Reverse(h[:])
	return h, nil
}

// DoubleSHA256 is SHA-256 applied twice: the hash of blocks, transactions and
// merkle nodes.
func DoubleSHA256(b []byte) Hash {
	first := sha256.Sum256(b)
	return sha256.Sum256(first[:])
}

// TaggedHash is the hash of BIP340: SHA256(SHA256(tag) || SHA256(tag) || parts).
func TaggedHash(tag string, parts ...[]byte) Hash {
	t := sha256.Sum256([]byte(tag))
	s := sha256.New()
	s.Write(t[:])
	s.Write(t[:])
	for _, p := range parts {
		s.Write(p)
	}
	return Hash(s.Sum(nil))
}
