package p2p

import (
	"bytes"
	"crypto/sha3"
	"encoding/base32"
	"strings"
)

var hiddenBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// isHiddenName reports whether a name is an address of Tor (version 3: rend-spec-v3, 6)
// or of I2P (a base32 address).
func isHiddenName(s string) bool {
	if name, ok := strings.CutSuffix(s, ".b32.i2p"); ok {
		hash, err := hiddenBase32.DecodeString(name)
		return err == nil && len(hash) == 32
	}
	name, ok := strings.CutSuffix(s, ".onion")
	b, err := hiddenBase32.DecodeString(name)
	if !ok || err != nil || len(b) != 32+2+1 || b[34] != 3 {
		return false
	}
	sum := sha3.Sum256(append(append([]byte(".onion checksum"), b[:32]...), 3))
	return bytes.Equal(sum[:2], b[32:34])
}
