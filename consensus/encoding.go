package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrDecode is the kind of every error of the decoders in this package.
var ErrDecode = errors.New("malformed encoding")

// Decoder reads Bitcoin's wire encoding from a byte slice. The first error
// sticks: every later read gives zero values, and Err or Finish reports it.
//
// Nothing is allocated for a count or length before it is known that as many
// elements can follow, so hostile input costs no more than a small multiple of
// its own length. Byte strings that are read alias the input.
type Decoder struct {
	buf   []byte
	err   error
	batch *TxBatch // that transactions are decoded into, or nil
}

// NewDecoder reads from b, which must not change while what was decoded from
// it is in use.
func NewDecoder(b []byte) *Decoder { return &Decoder{buf: b} }

// Fail records an error of kind ErrDecode unless there is one already.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrDecode, fmt.Sprintf(format, args...))
		d.buf = nil
	}
}

// Err is the first error, of kind ErrDecode.
func (d *Decoder) Err() error { return d.err }

// Rest is what has not been read yet.
func (d *Decoder) Rest() []byte { return d.buf }

// Finish is Err, or an error if bytes are left over.
func (d *Decoder) Finish() error {
	if len(d.buf) > 0 {
		d.Fail("%d bytes too many", len(d.buf))
	}
	return d.err
}

// Bytes reads n bytes; the result aliases the input.
func (d *Decoder) Bytes(n int) []byte {
	if n < 0 || n > len(d.buf) {
		d.Fail("cut short: want %d bytes, have %d", n, len(d.buf))
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

// Uint8 reads one byte.
func (d *Decoder) Uint8() uint8 {
	if b := d.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads two bytes, little endian.
func (d *Decoder) Uint16() uint16 {
	if b := d.Bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// Uint32 reads four bytes, little endian.
func (d *Decoder) Uint32() uint32 {
	if b := d.Bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads eight bytes, little endian.
func (d *Decoder) Uint64() uint64 {
	if b := d.Bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Hash reads 32 bytes.
func (d *Decoder) Hash() (h Hash) {
	copy(h[:], d.Bytes(len(h)))
	return h
}

// CompactSize reads a variable-length integer, which must be written in its
// shortest form.
func (d *Decoder) CompactSize() uint64 {
	var n, least uint64
	switch first := d.Uint8(); first {
	case 0xfd:
		n, least = uint64(d.Uint16()), 0xfd
	case 0xfe:
		n, least = uint64(d.Uint32()), 1<<16
	case 0xff:
		n, least = d.Uint64(), 1<<32
	default:
		return uint64(first)
	}
	if d.err == nil && n < least {
		d.Fail("compact size %d is not in its shortest form", n)
		return 0
	}
	return n
}

// Count reads how many elements follow, each of at least minSize bytes. More
// than can follow is an error.
func (d *Decoder) Count(minSize int) int {
	n := d.CompactSize()
	if n > uint64(len(d.buf)/minSize) {
		d.Fail("%d elements announced, at most %d can follow", n, len(d.buf)/minSize)
		return 0
	}
	return int(n)
}

// VarBytes reads a byte string with its length in front; the result aliases
// the input.
func (d *Decoder) VarBytes() []byte { return d.Bytes(d.Count(1)) }

// AppendCompactSize appends n in its shortest form.
func AppendCompactSize(b []byte, n uint64) []byte {
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	case n < 1<<32:
		return binary.LittleEndian.AppendUint32(append(b, 0xfe), uint32(n))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xff), n)
}

// CompactSizeLen is the number of bytes that AppendCompactSize appends.
func CompactSizeLen(n uint64) int {
	switch {
	case n < 0xfd:
		return 1
	case n < 1<<16:
		return 3
	case n < 1<<32:
		return 5
	}
	return 9
}

// AppendVarBytes appends s with its length in front.
func AppendVarBytes(b, s []byte) []byte {
	return append(AppendCompactSize(b, uint64(len(s))), s...)
}
