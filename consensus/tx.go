package consensus

import (
	"encoding/binary"
	"fmt"
)

// Amount is a sum of money in sat. It is signed because the wire format is:
// a negative output is decoded, and then refused by a rule.
type Amount int64

// SatPerCoin is the number of sat in a coin, the unit that people see.
const SatPerCoin Amount = 100_000_000

// String gives coins with all eight decimal places: "1.50000000".
func (a Amount) String() string {
	sign, u := "", uint64(a)
	if a < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("%s%d.%08d", sign, u/uint64(SatPerCoin), u%uint64(SatPerCoin))
}

// OutPoint names one output of one transaction.
type OutPoint struct {
	TxID  Hash
	Index uint32
}

// nullIndex with a zero transaction id is what a coinbase "spends".
const nullIndex = 0xffffffff

// String gives txid:index.
func (o OutPoint) String() string { return fmt.Sprintf("%s:%d", o.TxID, o.Index) }

// IsNull reports whether o is the outpoint of a coinbase input.
func (o OutPoint) IsNull() bool { return o.Index == nullIndex && o.TxID == Hash{} }

// TxIn spends an output.
type TxIn struct {
	PrevOut   OutPoint
	ScriptSig []byte // empty in every valid input but a coinbase's
	Sequence  uint32
	Witness   [][]byte
}

// TxOut pays an amount to a script.
type TxOut struct {
	Value  Amount
	Script []byte
}

// Tx is a transaction. It is treated as immutable once it was decoded or
// signed; its byte strings may alias the buffer it was decoded from.
type Tx struct {
	Version  uint32
	In       []TxIn
	Out      []TxOut
	LockTime uint32
}

// The least number of bytes that an input, an output and a transaction take on
// the wire; they bound what a count may announce.
const (
	minTxInSize  = 32 + 4 + 1 + 4
	minTxOutSize = 8 + 1
	minTxSize    = 4 + 1 + 1 + 4
)

// DecodeTx reads one transaction (BIP144) that fills b. Errors are of kind
// ErrDecode.
func DecodeTx(b []byte) (*Tx, error) {
	d := NewDecoder(b)
	tx := d.Tx()
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return tx, nil
}

// DecodeStripped reads one transaction without witnesses that fills b, in the
// encoding before BIP144, where a transaction without inputs may have outputs.
// Errors are of kind ErrDecode.
func DecodeStripped(b []byte) (*Tx, error) {
	d := NewDecoder(b)
	tx := &Tx{Version: d.Uint32(), In: d.txIns(), Out: d.txOuts(), LockTime: d.Uint32()}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return tx, nil
}

// Tx reads one transaction (BIP144).
func (d *Decoder) Tx() *Tx {
	tx := d.newTx()
	tx.Version = d.Uint32()
	tx.In = d.txIns()
	var flags uint8
	if len(tx.In) == 0 {
		// An empty list of inputs is the marker of BIP144; flags of zero
		// then mean a transaction without inputs and outputs.
		if flags = d.Uint8(); flags != 0 {
			tx.In = d.txIns()
			tx.Out = d.txOuts()
		}
	} else {
		tx.Out = d.txOuts()
	}
	if flags&1 != 0 {
		for i := range tx.In {
			tx.In[i].Witness = d.witness()
		}
		if !tx.HasWitness() {
			d.Fail("superfluous witness record")
		}
	}
	if flags > 1 {
		d.Fail("unknown transaction flags %#x", flags)
	}
	tx.LockTime = d.Uint32()
	return tx
}

func (d *Decoder) txIns() []TxIn {
	ins := d.newIns(d.Count(minTxInSize))
	for i := range ins {
		ins[i].PrevOut.TxID = d.Hash()
		ins[i].PrevOut.Index = d.Uint32()
		ins[i].ScriptSig = d.VarBytes()
		ins[i].Sequence = d.Uint32()
	}
	return ins
}

func (d *Decoder) txOuts() []TxOut {
	outs := d.newOuts(d.Count(minTxOutSize))
	for i := range outs {
		outs[i].Value = Amount(d.Uint64())
		outs[i].Script = d.VarBytes()
	}
	return outs
}

func (d *Decoder) witness() [][]byte {
	n := d.Count(1)
	if n == 0 {
		return nil
	}
	stack := d.newItems(n)
	for i := range stack {
		stack[i] = d.VarBytes()
	}
	return stack
}

// HasWitness reports whether any input has a witness.
func (tx *Tx) HasWitness() bool {
	for i := range tx.In {
		if len(tx.In[i].Witness) > 0 {
			return true
		}
	}
	return false
}

// IsCoinbase reports whether tx has the one null input of a coinbase.
func (tx *Tx) IsCoinbase() bool { return len(tx.In) == 1 && tx.In[0].PrevOut.IsNull() }

// Append appends the encoding of tx, with its witness if it has one (BIP144).
func (tx *Tx) Append(b []byte) []byte { return tx.append(b, tx.HasWitness()) }

// AppendStripped appends the encoding of tx without its witness: what the
// transaction id commits to.
func (tx *Tx) AppendStripped(b []byte) []byte { return tx.append(b, false) }

func (tx *Tx) append(b []byte, witness bool) []byte {
	b = binary.LittleEndian.AppendUint32(b, tx.Version)
	if witness {
		b = append(b, 0, 1)
	}
	b = AppendCompactSize(b, uint64(len(tx.In)))
	for i := range tx.In {
		in := &tx.In[i]
		b = append(b, in.PrevOut.TxID[:]...)
		b = binary.LittleEndian.AppendUint32(b, in.PrevOut.Index)
		b = AppendVarBytes(b, in.ScriptSig)
		b = binary.LittleEndian.AppendUint32(b, in.Sequence)
	}
	b = AppendCompactSize(b, uint64(len(tx.Out)))
	for i := range tx.Out {
		b = binary.LittleEndian.AppendUint64(b, uint64(tx.Out[i].Value))
		b = AppendVarBytes(b, tx.Out[i].Script)
	}
	if witness {
		for i := range tx.In {
			b = AppendCompactSize(b, uint64(len(tx.In[i].Witness)))
			for _, item := range tx.In[i].Witness {
				b = AppendVarBytes(b, item)
			}
		}
	}
	return binary.LittleEndian.AppendUint32(b, tx.LockTime)
}

// Bytes is the encoding of tx.
func (tx *Tx) Bytes() []byte { return tx.Append(make([]byte, 0, tx.Size())) }

// StrippedSize is the length in bytes of the encoding without witness.
func (tx *Tx) StrippedSize() int {
	n := 4 + CompactSizeLen(uint64(len(tx.In))) + CompactSizeLen(uint64(len(tx.Out))) + 4
	for i := range tx.In {
		n += 40 + varBytesLen(tx.In[i].ScriptSig)
	}
	for i := range tx.Out {
		n += 8 + varBytesLen(tx.Out[i].Script)
	}
	return n
}

// Size is the length in bytes of the encoding.
func (tx *Tx) Size() int {
	n := tx.StrippedSize()
	if !tx.HasWitness() {
		return n
	}
	n += 2
	for i := range tx.In {
		n += CompactSizeLen(uint64(len(tx.In[i].Witness)))
		for _, item := range tx.In[i].Witness {
			n += varBytesLen(item)
		}
	}
	return n
}

func varBytesLen(b []byte) int { return CompactSizeLen(uint64(len(b))) + len(b) }

// WitnessScale is how much more a byte outside the witness weighs (BIP141).
const WitnessScale = 4

// Weight is the weight of tx in weight units (BIP141).
func (tx *Tx) Weight() int { return (WitnessScale-1)*tx.StrippedSize() + tx.Size() }

// VSize is the weight of tx in virtual bytes, rounded up.
func (tx *Tx) VSize() int { return (tx.Weight() + WitnessScale - 1) / WitnessScale }

// TxID is the hash of tx without its witness.
func (tx *Tx) TxID() Hash {
	return DoubleSHA256(tx.AppendStripped(make([]byte, 0, tx.StrippedSize())))
}

// WTxID is the hash of tx with its witness (BIP141).
func (tx *Tx) WTxID() Hash { return DoubleSHA256(tx.Bytes()) }

// Clone is a copy of tx whose inputs and outputs may be changed; the byte
// strings themselves are shared.
func (tx *Tx) Clone() *Tx {
	c := *tx
	c.In = append([]TxIn(nil), tx.In...)
	c.Out = append([]TxOut(nil), tx.Out...)
	return &c
}
