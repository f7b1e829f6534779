package consensus

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
)

// A hostile encoding costs no more memory than a small multiple of its length:
// counts are believed only as far as that many elements can follow. The worst
// that can be had is a witness of empty elements: one byte each on the wire, a
// slice of 24 bytes in memory.
func TestMemoryOfHostileEncodings(t *testing.T) {
	const most = 26 // bytes of memory for a byte of encoding
	const size = 1 << 20
	header := make([]byte, HeaderSize)
	version := []byte{2, 0, 0, 0}
	input := unhex(t, oneInputHex)
	output := unhex(t, oneOutputHex)
	count := func(n uint64) []byte { return AppendCompactSize(nil, n) }
	padded := func(parts ...[]byte) []byte {
		b := slices.Concat(parts...)
		return append(b, make([]byte, size-len(b))...)
	}
	decodeTx := func(b []byte) { DecodeTx(b) }
	decodeBlock := func(b []byte) { DecodeBlock(b) }
	for _, tc := range []struct {
		name   string
		decode func([]byte)
		raw    []byte
	}{
		{"2^64-1 inputs", decodeTx, padded(version, count(1<<64-1))},
		{"2^32 inputs", decodeTx, padded(version, count(1<<32))},
		{"as many inputs as fit", decodeTx, padded(version, count(size/minTxInSize-1))},
		{"as many outputs as fit", decodeTx, padded(version, []byte{1}, input, count(size/minTxOutSize-6))},
		{"2^40 outputs", decodeTx, padded(version, []byte{1}, input, count(1<<40))},
		{"a script of 2^63 bytes", decodeTx, padded(version, []byte{1}, input[:36], count(1<<63))},
		{"as many witness elements as fit", decodeTx, padded(version, []byte{0, 1, 1}, input, []byte{1}, output, count(size-100))},
		{"2^32 witness elements", decodeTx, padded(version, []byte{0, 1, 1}, input, []byte{1}, output, count(1<<32))},
		{"as many transactions as fit", decodeBlock, padded(header, count((size-100)/minTxSize))},
		{"2^64-1 transactions", decodeBlock, padded(header, count(1<<64-1))},
		{"empty transactions", decodeBlock, slices.Concat(header, count(size/10), bytes.Repeat(append(version, 0, 0, 0, 0, 0, 0), size/10))},
		{"zeros", decodeBlock, padded()},
		{"ones", decodeBlock, bytes.Repeat([]byte{0xff}, size)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tc.decode(tc.raw)
		runtime.ReadMemStats(&after)
		took := after.TotalAlloc - before.TotalAlloc
		if factor := float64(took) / float64(len(tc.raw)); factor > most {
			t.Errorf("%s: %.1f times its length", tc.name, factor)
		}
	}
}
