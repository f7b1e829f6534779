package consensus

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// SigHashType says what a signature commits to (BIP341).
type SigHashType byte

// The hash types of BIP341. SigHashDefault commits to everything and is the
// one that is not written out.
const (
	SigHashDefault      SigHashType = 0x00
	SigHashAll          SigHashType = 0x01
	SigHashNone         SigHashType = 0x02
	SigHashSingle       SigHashType = 0x03
	SigHashAnyoneCanPay SigHashType = 0x80
)

// outputs is the part of t that says which outputs are signed.
func (t SigHashType) outputs() SigHashType { return t &^ SigHashAnyoneCanPay }

// valid reports whether t is one of the seven types of BIP341.
func (t SigHashType) valid() bool {
	return t == SigHashDefault || t.outputs() >= SigHashAll && t.outputs() <= SigHashSingle
}

// SigHasher computes the signature hashes of one transaction. What several
// inputs commit to alike is hashed once.
type SigHasher struct {
	tx    *Tx
	spent []TxOut

	trace *Trace // nil but for an explanation

	prevouts, amounts, scripts, sequences, outputs [32]byte
}

// NewSigHasher prepares the signature hashes of tx, which spends the given
// outputs, one for each input.
func NewSigHasher(tx *Tx, spent []TxOut) *SigHasher {
	s := &SigHasher{tx: tx, spent: spent}
	h, buf := sha256.New(), make([]byte, 0, 64)
	sum := func(into *[32]byte, n int, element func(b []byte, i int) []byte) {
		h.Reset()
		for i := range n {
			buf = element(buf[:0], i)
			h.Write(buf)
		}
		h.Sum(into[:0])
	}
	sum(&s.prevouts, len(tx.In), func(b []byte, i int) []byte { return appendOutPoint(b, tx.In[i].PrevOut) })
	sum(&s.amounts, len(tx.In), func(b []byte, i int) []byte {
		return binary.LittleEndian.AppendUint64(b, uint64(spent[i].Value))
	})
	sum(&s.scripts, len(tx.In), func(b []byte, i int) []byte { return AppendVarBytes(b, spent[i].Script) })
	sum(&s.sequences, len(tx.In), func(b []byte, i int) []byte {
		return binary.LittleEndian.AppendUint32(b, tx.In[i].Sequence)
	})
	sum(&s.outputs, len(tx.Out), func(b []byte, i int) []byte { return appendTxOut(b, &tx.Out[i]) })
	return s
}

func appendOutPoint(b []byte, o OutPoint) []byte {
	return binary.LittleEndian.AppendUint32(append(b, o.TxID[:]...), o.Index)
}

func appendTxOut(b []byte, out *TxOut) []byte {
	return AppendVarBytes(binary.LittleEndian.AppendUint64(b, uint64(out.Value)), out.Script)
}

var tapSighash = sha256.Sum256([]byte("TapSighash"))

// SigHash is the hash that the key-path signature of one input signs (BIP341,
// extension flag 0). annex is nil or what follows the signature in the witness,
// with its first byte 0x50. It reports false for an unknown type, and for
// SINGLE where the input has no output at its own index.
func (s *SigHasher) SigHash(input int, t SigHashType, annex []byte) (Hash, bool) {
	if !t.valid() || t.outputs() == SigHashSingle && input >= len(s.tx.Out) {
		return Hash{}, false
	}
	b := make([]byte, 0, 320)
	b = append(b, tapSighash[:]...)
	b = append(b, tapSighash[:]...)
	return sha256.Sum256(s.appendMessage(b, input, t, annex)), true
}

// appendMessage appends what SigHash hashes behind the tag: SigMsg of BIP341
// with the epoch in front.
func (s *SigHasher) appendMessage(b []byte, input int, t SigHashType, annex []byte) []byte {
	b = append(b, 0, byte(t)) // the epoch, and the type
	b = binary.LittleEndian.AppendUint32(b, s.tx.Version)
	b = binary.LittleEndian.AppendUint32(b, s.tx.LockTime)
	anyone := t&SigHashAnyoneCanPay != 0
	if !anyone {
		b = append(b, s.prevouts[:]...)
		b = append(b, s.amounts[:]...)
		b = append(b, s.scripts[:]...)
		b = append(b, s.sequences[:]...)
	}
	if o := t.outputs(); o != SigHashNone && o != SigHashSingle {
		b = append(b, s.outputs[:]...)
	}
	spendType := byte(0)
	if annex != nil {
		spendType = 1
	}
	b = append(b, spendType)
	if anyone {
		b = appendOutPoint(b, s.tx.In[input].PrevOut)
		b = appendTxOut(b, &s.spent[input])
		b = binary.LittleEndian.AppendUint32(b, s.tx.In[input].Sequence)
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(input))
	}
	if annex != nil {
		b = appendSHA256(b, func(h hash.Hash) { h.Write(AppendVarBytes(nil, annex)) })
	}
	if t.outputs() == SigHashSingle {
		b = appendSHA256(b, func(h hash.Hash) { h.Write(appendTxOut(nil, &s.tx.Out[input])) })
	}
	return b
}

func appendSHA256(b []byte, write func(hash.Hash)) []byte {
	h := sha256.New()
	write(h)
	return h.Sum(b)
}
