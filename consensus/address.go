package consensus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/address/v2/bech32"

	"lode/internal/mistype"
)

// ErrAddress is the kind of every error of ParseAddress.
var ErrAddress = errors.New("not a usable address")

// Address writes a Taproot output key in bech32m (BIP350) with the prefix of a
// network.
func Address(prefix string, key [32]byte) string { return encodeAddress(bech32.EncodeM, prefix, key) }

// MinerAddress is Address with the checksum of BIP173 in place of BIP350's. Mining
// programs that know no other read it as the place where a coinbase pays to. Nobody
// else is to see it, and ParseAddress refuses it.
func MinerAddress(prefix string, key [32]byte) string {
	return encodeAddress(bech32.Encode, prefix, key)
}

func encodeAddress(encode func(string, []byte) (string, error), prefix string, key [32]byte) string {
	data, err := bech32.ConvertBits(key[:], 8, 5, true)
	if err == nil {
		var s string
		if s, err = encode(prefix, append([]byte{1}, data...)); err == nil {
			return s
		}
	}
	panic("encoding 32 bytes cannot fail: " + err.Error())
}

// AddressError says what is wrong with an address, of kind ErrAddress.
type AddressError struct {
	At  []int // the characters that are wrong, from 0, where that can be said
	why string
}

// Error is for people; it never says what would make the address right.
func (e *AddressError) Error() string { return e.why }

// Unwrap is ErrAddress.
func (e *AddressError) Unwrap() error { return ErrAddress }

// ParseAddress reads an address of the network with this prefix: the output
// key of a version 1 witness program of 32 bytes (BIP341) in bech32m (BIP350).
// The error is an AddressError and says which of these is wrong, and where.
func ParseAddress(prefix, s string) (key [32]byte, err error) {
	var at []int
	fail := func(format string, args ...any) ([32]byte, error) {
		return [32]byte{}, &AddressError{at, fmt.Sprintf("%v: %.100q %s", ErrAddress, s, fmt.Sprintf(format, args...))}
	}
	prefix = strings.ToLower(prefix)
	hrp, data, checksum, err := bech32.DecodeGeneric(s)
	if err != nil {
		// The library's text has the checksum that would make it valid: whoever
		// pastes it pays to a key that nobody has.
		why, places := mistype.Locate(prefix, s)
		at = places
		if n := len(prefix) + addressLength; len(s) != n && len(places) == 0 && strings.HasPrefix(strings.ToLower(s), prefix+"1") {
			return fail("is not bech32m: it has %d characters, and addresses here have %d", len(s), n)
		}
		if why == "" {
			why = "it is too long"
		}
		return fail("is not bech32m: %s", why)
	}
	if hrp != prefix {
		return fail("belongs to another network: it begins with %q, want %q", hrp, prefix)
	}
	if len(data) == 0 || data[0] != 1 {
		return fail("is not for Taproot: want a witness program of version 1")
	}
	if checksum != bech32.VersionM {
		return fail("has the old bech32 checksum, want bech32m (BIP350)")
	}
	program, err := bech32.ConvertBits(data[1:], 5, 8, false)
	if err != nil || len(program) != 32 {
		return fail("is not for Taproot: want a program of 32 bytes")
	}
	return [32]byte(program), nil
}

// addressLength is what an address has behind its prefix: the separator, the
// version, a key and a checksum.
const addressLength = 1 + 1 + (32*8+4)/5 + 6

// Unspendable is an output key that nobody can spend: BIP341's point of which nobody knows
// the logarithm.
func Unspendable() [32]byte {
	return [32]byte{
		0x50, 0x92, 0x9b, 0x74, 0xc1, 0xa0, 0x49, 0x54, 0xb7, 0x8b, 0x4b, 0x60, 0x35, 0xe9, 0x7a, 0x5e,
		0x07, 0x8a, 0x5a, 0x0f, 0x28, 0xec, 0x96, 0xd5, 0x47, 0xbf, 0xee, 0x9a, 0xce, 0x80, 0x3a, 0xc0,
	}
}
