package psbt

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"lode/consensus"
)

// Kinds of errors of packets.
var (
	ErrLockTime = errors.New("no lock time suits all inputs")
	ErrSilent   = errors.New("an output is a silent payment (BIP352) that is not worked out")
	ErrVersion  = errors.New("not possible in this version of PSBT")
)

// Packet is a partially signed transaction. It is made by Parse, Decode and New.
type Packet struct {
	Global  Map
	Inputs  []Input
	Outputs []Output

	version uint32
	tx      *consensus.Tx // of version 0
}

// Input is the map of one input.
type Input struct{ Map }

// Output is the map of one output.
type Output struct{ Map }

// New makes a PSBT of version 0 or 2 for a transaction without signatures. That
// of version 2 may not be changed by others (BIP370).
func New(version uint32, tx *consensus.Tx) (*Packet, error) {
	p := &Packet{version: version, Inputs: make([]Input, len(tx.In)), Outputs: make([]Output, len(tx.Out))}
	for i := range tx.In {
		if len(tx.In[i].ScriptSig) > 0 || len(tx.In[i].Witness) > 0 {
			return nil, fmt.Errorf("input %d is signed already: want a transaction without signatures", i)
		}
	}
	switch version {
	case 0:
		p.tx = tx.Clone()
		p.Global.Set(GlobalUnsignedTx, nil, tx.AppendStripped(nil))
	case 2:
		p.setTx(tx)
	default:
		return nil, fmt.Errorf("%w: %d, want 0 or 2", ErrVersion, version)
	}
	return p, nil
}

// setTx spreads a transaction over the fields of version 2.
func (p *Packet) setTx(tx *consensus.Tx) {
	p.Global.Set(GlobalTxVersion, nil, le32(tx.Version))
	p.Global.Set(GlobalFallbackLockTime, nil, le32(tx.LockTime))
	p.Global.Set(GlobalInputCount, nil, consensus.AppendCompactSize(nil, uint64(len(tx.In))))
	p.Global.Set(GlobalOutputCount, nil, consensus.AppendCompactSize(nil, uint64(len(tx.Out))))
	p.Global.Set(GlobalVersion, nil, le32(2))
	for i := range tx.In {
		p.Inputs[i].Set(InPrevTxID, nil, tx.In[i].PrevOut.TxID[:])
		p.Inputs[i].Set(InOutputIndex, nil, le32(tx.In[i].PrevOut.Index))
		p.Inputs[i].Set(InSequence, nil, le32(tx.In[i].Sequence))
	}
	for i := range tx.Out {
		p.Outputs[i].Set(OutAmount, nil, binary.LittleEndian.AppendUint64(nil, uint64(tx.Out[i].Value)))
		p.Outputs[i].Set(OutScript, nil, tx.Out[i].Script)
	}
}

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// uint32 is a field of four bytes, or otherwise.
func (m Map) uint32(t uint64, otherwise uint32) uint32 {
	if value, ok := m.Get(t, nil); ok {
		return binary.LittleEndian.Uint32(value)
	}
	return otherwise
}

// Version is that of the PSBT: 0 or 2.
func (p *Packet) Version() uint32 { return p.version }

// Bytes is the PSBT in the binary format.
func (p *Packet) Bytes() []byte {
	b := p.Global.append([]byte(magic))
	for i := range p.Inputs {
		b = p.Inputs[i].append(b)
	}
	for i := range p.Outputs {
		b = p.Outputs[i].append(b)
	}
	return b
}

// String is the PSBT in base64.
func (p *Packet) String() string { return base64.StdEncoding.EncodeToString(p.Bytes()) }

// Clone is a copy whose records may be changed; their bytes are shared.
func (p *Packet) Clone() *Packet {
	c := &Packet{Global: p.Global.clone(), version: p.version, tx: p.tx}
	for i := range p.Inputs {
		c.Inputs = append(c.Inputs, Input{p.Inputs[i].clone()})
	}
	for i := range p.Outputs {
		c.Outputs = append(c.Outputs, Output{p.Outputs[i].clone()})
	}
	return c
}

func (p *Packet) count(t uint64) uint64 {
	value, _ := p.Global.Get(t, nil)
	return consensus.NewDecoder(value).CompactSize()
}

// Flags of Modifiable (BIP370).
const (
	InputsModifiable  = 1
	OutputsModifiable = 2
	HasSigHashSingle  = 4
)

// Modifiable is what others may still add to a PSBT of version 2.
func (p *Packet) Modifiable() byte {
	if value, ok := p.Global.Get(GlobalTxModifiable, nil); ok {
		return value[0]
	}
	return 0
}

// PrevOut is what input i spends.
func (p *Packet) PrevOut(i int) (o consensus.OutPoint) {
	if p.version == 0 {
		return p.tx.In[i].PrevOut
	}
	id, _ := p.Inputs[i].Get(InPrevTxID, nil)
	copy(o.TxID[:], id)
	o.Index = p.Inputs[i].uint32(InOutputIndex, 0)
	return o
}

// sequence of an input of version 2.
func (in *Input) sequence() uint32 { return in.uint32(InSequence, 0xffffffff) }

// Tx is the transaction without signatures. Errors are of the kinds ErrLockTime
// and ErrSilent, and come with version 2 only. It is not to be changed.
func (p *Packet) Tx() (*consensus.Tx, error) {
	if p.version == 0 {
		return p.tx, nil
	}
	tx, err := p.skeleton()
	if err != nil {
		return nil, err
	}
	for i := range p.Inputs {
		tx.In[i].Sequence = p.Inputs[i].sequence()
	}
	for i := range p.Outputs {
		script, ok := p.Outputs[i].Get(OutScript, nil)
		if !ok {
			return nil, fmt.Errorf("output %d: %w", i, ErrSilent)
		}
		tx.Out[i].Script = script
	}
	return tx, nil
}

// skeleton is a transaction of version 2 without sequence numbers and scripts.
func (p *Packet) skeleton() (*consensus.Tx, error) {
	tx := &consensus.Tx{Version: p.Global.uint32(GlobalTxVersion, 0),
		In: make([]consensus.TxIn, len(p.Inputs)), Out: make([]consensus.TxOut, len(p.Outputs))}
	var err error
	if tx.LockTime, err = p.lockTime(); err != nil {
		return nil, err
	}
	for i := range p.Inputs {
		tx.In[i].PrevOut = p.PrevOut(i)
	}
	for i := range p.Outputs {
		value, _ := p.Outputs[i].Get(OutAmount, nil)
		tx.Out[i].Value = consensus.Amount(binary.LittleEndian.Uint64(value))
	}
	return tx, nil
}

// lockTime is the least that suits all inputs, a height before a time (BIP370).
func (p *Packet) lockTime() (uint32, error) {
	var height, time uint32
	heights, times, any := true, true, false
	for i := range p.Inputs {
		h, t := p.Inputs[i].uint32(InRequiredHeight, 0), p.Inputs[i].uint32(InRequiredTime, 0)
		if h == 0 && t == 0 {
			continue
		}
		any = true
		heights, times = heights && h > 0, times && t > 0
		height, time = max(height, h), max(time, t)
	}
	switch {
	case !any:
		return p.Global.uint32(GlobalFallbackLockTime, 0), nil
	case heights:
		return height, nil
	case times:
		return time, nil
	}
	return 0, fmt.Errorf("%w: some want a height, others a time", ErrLockTime)
}

// ID names the transaction, whatever was added to the PSBT: the id of version 0's
// transaction, and what BIP370 and BIP375 say for version 2.
func (p *Packet) ID() (consensus.Hash, error) {
	if p.version == 0 {
		return p.tx.TxID(), nil
	}
	tx, err := p.skeleton()
	if err != nil {
		return consensus.Hash{}, err
	}
	for i := range p.Outputs {
		if info, ok := p.Outputs[i].Get(OutSilentInfo, nil); ok {
			tx.Out[i].Script = append([]byte{0}, info...)
		} else {
			tx.Out[i].Script, _ = p.Outputs[i].Get(OutScript, nil)
		}
	}
	return tx.TxID(), nil
}
