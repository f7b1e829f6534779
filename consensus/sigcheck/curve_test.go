package sigcheck

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

// TestOnCurve agrees with btcec about keys, and about numbers at the field's size.
func TestOnCurve(t *testing.T) {
	t.Parallel()
	var keys [][32]byte
	for i := range 1000 {
		keys = append(keys, sha256.Sum256(binary.BigEndian.AppendUint32(nil, uint32(i))))
	}
	for _, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000001",
		"fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2e",
		"fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
		"fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30", // 1 beyond the size
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		b, _ := hex.DecodeString(s)
		keys = append(keys, [32]byte(b))
	}
	points := 0
	for i, on := range OnCurve(keys) {
		if _, err := schnorr.ParsePubKey(keys[i][:]); on != (err == nil) {
			t.Errorf("%x: %v, want %v", keys[i], on, err == nil)
		}
		if on {
			points++
		}
	}
	if points < 400 || points > 600 {
		t.Errorf("%d of %d are points", points, len(keys))
	}
	if OnCurve(nil) == nil {
		t.Error("no keys give no list")
	}
}
