package consensus

import "encoding/binary"

// HeaderSize is the length in bytes of an encoded header.
const HeaderSize = 80

// Header is the part of a block that its proof of work commits to directly.
type Header struct {
	Version    int32
	Prev       Hash
	MerkleRoot Hash
	Time       uint32 // Unix seconds
	Bits       uint32 // the target in compact form, see TargetFromBits
	Nonce      uint32
}

// DecodeHeader reads one header that fills b. Errors are of kind ErrDecode.
func DecodeHeader(b []byte) (Header, error) {
	d := NewDecoder(b)
	h := d.Header()
	if err := d.Finish(); err != nil {
		return Header{}, err
	}
	return h, nil
}

// Header reads one header.
func (d *Decoder) Header() Header {
	return Header{
		Version:    int32(d.Uint32()),
		Prev:       d.Hash(),
		MerkleRoot: d.Hash(),
		Time:       d.Uint32(),
		Bits:       d.Uint32(),
		Nonce:      d.Uint32(),
	}
}

// Append appends the encoding of h.
func (h *Header) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Version))
	b = append(b, h.Prev[:]...)
	b = append(b, h.MerkleRoot[:]...)
	b = binary.LittleEndian.AppendUint32(b, h.Time)
	b = binary.LittleEndian.AppendUint32(b, h.Bits)
	return binary.LittleEndian.AppendUint32(b, h.Nonce)
}

// Hash is the hash of the block: SHA-256d of its 80 bytes.
func (h *Header) Hash() Hash {
	countHash()
	var buf [HeaderSize]byte
	return DoubleSHA256(h.Append(buf[:0]))
}
