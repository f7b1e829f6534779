package consensus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/address/v2/bech32"
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

// ParseAddress reads an address of the network with this prefix: the output
// key of a version 1 witness program of 32 bytes (BIP341) in bech32m (BIP350).
// The error says which of these is wrong.
func ParseAddress(prefix, s string) (key [32]byte, err error) {
	fail := func(format string, args ...any) ([32]byte, error) {
		return [32]byte{}, fmt.Errorf("%w: %.100q %s", ErrAddress, s, fmt.Sprintf(format, args...))
	}
	hrp, data, checksum, err := bech32.DecodeGeneric(s)
	if errors.As(err, new(bech32.ErrInvalidChecksum)) {
		// The library's text has the checksum that would make it valid: whoever
		// pastes it pays to a key that nobody has.
		if at, ok := typo(prefix, s); ok {
			return fail("is not bech32m: its checksum is wrong; look at character %d", at+1)
		}
		return fail("is not bech32m: its checksum is wrong, so it is mistyped or cut")
	}
	if err != nil {
		return fail("is not bech32m (%v)", err)
	}
	if hrp != strings.ToLower(prefix) {
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

// bech32Charset is the alphabet of bech32 (BIP173).
const bech32Charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// addressLength is what an address has behind its prefix: the separator, the
// version, a key and a checksum.
const addressLength = 1 + 1 + (32*8+4)/5 + 6

// typo finds the one character that, if it were another one, would make s an
// address of the network. BIP173 wants to be told where and never what, as
// nobody is to pay to a guess.
func typo(prefix, s string) (at int, ok bool) {
	s = strings.ToLower(s)
	if len(s) != len(prefix)+addressLength || !strings.HasPrefix(s, prefix+"1") {
		return 0, false
	}
	try := []byte(s)
	for at := len(prefix) + 1; at < len(s); at++ {
		for _, letter := range []byte(bech32Charset) {
			try[at] = letter
			if _, data, checksum, err := bech32.DecodeGeneric(string(try)); err == nil && checksum == bech32.VersionM && data[0] == 1 {
				return at, true
			}
		}
		try[at] = s[at]
	}
	return 0, false
}
