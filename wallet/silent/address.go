package silent

import (
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/address/v2/bech32"

	"lode/consensus"
	"lode/internal/mistype"
)

// Address is where silent payments go.
type Address struct {
	Scan  PublicKey // B_scan: of all addresses of a receiver
	Spend PublicKey // B_spend, or B_m with a label
}

const (
	// maxAddress is how long an address may be (BIP352): later versions add to it.
	maxAddress = 1023
	// keysSize is of the two keys, in bytes.
	keysSize = 66
	// reservedVersion is of a coming change that is not compatible.
	reservedVersion = 31
)

// Encode writes an address of version 0 in bech32m (BIP350) with the prefix of a network.
func (a Address) Encode(prefix string) string {
	data, err := bech32.ConvertBits(append(a.Scan[:], a.Spend[:]...), 8, 5, true)
	if err == nil {
		var s string
		if s, err = bech32.EncodeM(prefix, append([]byte{0}, data...)); err == nil {
			return s
		}
	}
	panic("encoding 66 bytes cannot fail: " + err.Error())
}

// Looks reports whether a text is meant to be a silent address of the network with this
// prefix, be it right or wrong.
func Looks(prefix, s string) bool {
	return prefix != "" && strings.HasPrefix(strings.ToLower(s), prefix+"1")
}

// ParseAddress reads an address of the network with this prefix. Versions 1 to 30 are paid
// like version 0, as BIP352 wants it. The error is of kind consensus.ErrAddress and says what
// is wrong, and where if it is one character.
func ParseAddress(prefix, s string) (a Address, err error) {
	fail := func(format string, args ...any) (Address, error) {
		return Address{}, fmt.Errorf("%w: %.140q %s", consensus.ErrAddress, s, fmt.Sprintf(format, args...))
	}
	if len(s) > maxAddress {
		return fail("is too long for a silent address: %d characters, want at most %d", len(s), maxAddress)
	}
	hrp, data, checksum, err := bech32.DecodeNoLimitWithVersion(s)
	switch {
	case err != nil: // whose text has the right checksum, see consensus.ParseAddress
		why, _ := mistype.Locate(prefix, s)
		return fail("is not bech32m: %s", why)
	case hrp != prefix:
		return fail("belongs to another network: it begins with %q, want %q", hrp, prefix)
	case checksum != bech32.VersionM:
		return fail("has the old bech32 checksum, want bech32m (BIP350)")
	case len(data) == 0 || data[0] == reservedVersion:
		return fail("is of a version that this program cannot pay")
	}
	payload, err := bech32.ConvertBits(data[1:], 5, 8, false)
	if err != nil || len(payload) < keysSize || data[0] == 0 && len(payload) != keysSize {
		return fail("is no silent address: want a payload of %d bytes", keysSize)
	}
	a = Address{PublicKey(payload[:33]), PublicKey(payload[33:keysSize])}
	for _, key := range []PublicKey{a.Scan, a.Spend} {
		if _, err := key.point(); err != nil {
			return fail("has %v", err)
		}
	}
	return a, nil
}
