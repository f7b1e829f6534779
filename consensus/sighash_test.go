package consensus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

// sigMsg is SigMsg of BIP341, written line by line after its text ("Common
// signature message") and apart from SigHasher.
func sigMsg(tx *Tx, spent []TxOut, input int, hashType byte, annex []byte) []byte {
	var m bytes.Buffer
	le := func(v any) []byte { b, _ := binary.Append(nil, binary.LittleEndian, v); return b }
	str := func(s []byte) []byte { return append([]byte{byte(len(s))}, s...) } // all are short here
	sum := func(n int, element func(i int) []byte) {
		h := sha256.New()
		for i := range n {
			h.Write(element(i))
		}
		m.Write(h.Sum(nil))
	}
	outpoint := func(i int) []byte { return append(tx.In[i].PrevOut.TxID[:], le(tx.In[i].PrevOut.Index)...) }
	txOut := func(o TxOut) []byte { return append(le(o.Value), str(o.Script)...) }
	anyone, outputs := hashType&0x80 != 0, hashType&3

	m.WriteByte(hashType)
	m.Write(le(tx.Version))
	m.Write(le(tx.LockTime))
	if !anyone {
		sum(len(tx.In), outpoint)
		sum(len(tx.In), func(i int) []byte { return le(spent[i].Value) })
		sum(len(tx.In), func(i int) []byte { return str(spent[i].Script) })
		sum(len(tx.In), func(i int) []byte { return le(tx.In[i].Sequence) })
	}
	if outputs != 2 && outputs != 3 {
		sum(len(tx.Out), func(i int) []byte { return txOut(tx.Out[i]) })
	}
	if annex == nil {
		m.WriteByte(0)
	} else {
		m.WriteByte(1)
	}
	if anyone {
		m.Write(outpoint(input))
		m.Write(txOut(spent[input]))
		m.Write(le(tx.In[input].Sequence))
	} else {
		m.Write(le(uint32(input)))
	}
	if annex != nil {
		sum(1, func(int) []byte { return str(annex) })
	}
	if outputs == 3 {
		sum(1, func(int) []byte { return txOut(tx.Out[input]) })
	}
	return m.Bytes()
}

// All hash types, with and without an annex: the published vectors have none.
func TestSigMsg(t *testing.T) {
	tx := &Tx{
		Version: 0xfedcba98, LockTime: 0x01020304,
		In:  []TxIn{{PrevOut: OutPoint{Hash{1}, 2}, Sequence: 3}, {PrevOut: OutPoint{Hash{4}, 5}, Sequence: 0xfffffffe}},
		Out: []TxOut{{Value: 6, Script: TaprootScript([32]byte{7})}, {Value: 8, Script: []byte{opReturn}}},
	}
	spent := []TxOut{{Value: 100, Script: TaprootScript([32]byte{9})}, {Value: 1 << 40, Script: TaprootScript([32]byte{10})}}
	h := NewSigHasher(tx, spent)
	for _, hashType := range []byte{0, 1, 2, 3, 0x81, 0x82, 0x83} {
		for _, annex := range [][]byte{nil, {0x50}, {0x50, 1, 2, 3}} {
			for input := range tx.In {
				message := append([]byte{0}, sigMsg(tx, spent, input, hashType, annex)...) // the epoch in front
				if got := h.appendMessage(nil, input, SigHashType(hashType), annex); !bytes.Equal(got, message) {
					t.Errorf("type %#x, annex %x, input %d: message %x, want %x", hashType, annex, input, got, message)
				}
				got, ok := h.SigHash(input, SigHashType(hashType), annex)
				if !ok || got != TaggedHash("TapSighash", message) {
					t.Errorf("type %#x, annex %x, input %d: hash %s", hashType, annex, input, got)
				}
			}
		}
	}
	for hashType := range 256 {
		_, ok := h.SigHash(0, SigHashType(hashType), nil)
		if want := hashType <= 3 || hashType >= 0x81 && hashType <= 0x83; ok != want {
			t.Errorf("type %#x is known: %v", hashType, ok)
		}
	}
}
