package psbt

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"lode/consensus"
)

// Bounds of what is parsed.
const (
	// MaxSize is of a PSBT in bytes: the transaction that nodes relay with the
	// most inputs, and 9 kB for each of them.
	MaxSize = 16 << 20
	// maxRecords is of all maps together.
	maxRecords = 100_000
)

// magic is what every PSBT begins with.
const magic = "psbt\xff"

// ErrFormat is the kind of all errors of Parse and Decode.
var ErrFormat = errors.New("not a usable PSBT")

// FormatError says what is wrong with a PSBT, and where.
type FormatError struct {
	Where  string // "global map", "input 3", "output 0", or nothing
	Reason string // where Bitcoin Core has a text, in its words
}

// Error is in one line.
func (e *FormatError) Error() string {
	if e.Where == "" {
		return fmt.Sprintf("%v: %s", ErrFormat, e.Reason)
	}
	return fmt.Sprintf("%v: %s: %s", ErrFormat, e.Where, e.Reason)
}

// Is makes every FormatError an ErrFormat.
func (e *FormatError) Is(target error) bool { return target == ErrFormat }

func malformed(where, format string, args ...any) error {
	return &FormatError{where, fmt.Sprintf(format, args...)}
}

// Decode reads a PSBT in base64, without spaces.
func Decode(text string) (*Packet, error) {
	if len(text) > base64.StdEncoding.EncodedLen(MaxSize) {
		return nil, malformed("", "more than %d bytes", MaxSize)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which Go's decoder passes over
		return nil, malformed("", "invalid base64")
	}
	return Parse(raw)
}

// Read is Parse or Decode, whichever b is: what a file holds.
func Read(b []byte) (*Packet, error) {
	if strings.HasPrefix(string(b[:min(len(b), len(magic))]), magic) {
		return Parse(b)
	}
	return Decode(strings.TrimSpace(string(b)))
}

// Parse reads a PSBT of version 0 or 2. It takes what Bitcoin Core takes, and no
// field that does not belong into the version.
func Parse(b []byte) (*Packet, error) {
	if len(b) > MaxSize {
		return nil, malformed("", "more than %d bytes", MaxSize)
	}
	switch { // with what Bitcoin Core's library adds to its words
	case len(b) < len(magic):
		return nil, malformed("", "DataStream::read(): end of data: iostream error")
	case string(b[:len(magic)]) != magic:
		return nil, malformed("", "Invalid PSBT magic bytes: iostream error")
	}
	r := &reader{d: consensus.NewDecoder([]byte(string(b[len(magic):]))), budget: maxRecords}
	p := new(Packet)
	var err error
	if p.Global, err = r.section("global map", globalFields); err != nil {
		return nil, err
	}
	ins, outs, err := p.begin()
	if err != nil {
		return nil, err
	}
	if err := r.inputs(p, ins); err != nil {
		return nil, err
	}
	if err := r.outputs(p, outs); err != nil {
		return nil, err
	}
	if len(r.d.Rest()) > 0 {
		return nil, malformed("", "extra data after PSBT")
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// reader reads the maps of a PSBT.
type reader struct {
	d      *consensus.Decoder
	budget int // of records
}

// begin works out the version and how many inputs and outputs follow.
func (p *Packet) begin() (ins, outs uint64, err error) {
	if value, ok := p.Global.Get(GlobalVersion, nil); ok {
		p.version = binary.LittleEndian.Uint32(value)
	}
	if p.version != 0 && p.version != 2 {
		return 0, 0, malformed("global map", "Unsupported version number")
	}
	if err := checkPresence("global map", p.version, p.Global, globalFields); err != nil {
		return 0, 0, err
	}
	if p.version == 2 {
		return p.count(GlobalInputCount), p.count(GlobalOutputCount), nil
	}
	value, _ := p.Global.Get(GlobalUnsignedTx, nil)
	if p.tx, err = consensus.DecodeStripped(value); err != nil {
		return 0, 0, malformed("global map", "unsigned tx: %v", err)
	}
	for i := range p.tx.In {
		if len(p.tx.In[i].ScriptSig) > 0 {
			return 0, 0, malformed("global map", "Unsigned tx does not have empty scriptSigs and scriptWitnesses.")
		}
	}
	return uint64(len(p.tx.In)), uint64(len(p.tx.Out)), nil
}

// section reads one map to its separator.
func (r *reader) section(where string, known map[uint64]field) (Map, error) {
	var m Map
	seen := make(map[string]bool)
	for {
		if r.d.Err() == nil && len(r.d.Rest()) == 0 {
			return nil, malformed(where, "Separator is missing at the end of %s map", article(where))
		}
		key := r.d.VarBytes()
		if r.d.Err() == nil && len(key) == 0 {
			return m, nil
		}
		value := r.d.VarBytes()
		if r.d.Err() != nil {
			return nil, malformed(where, "%v", r.d.Err())
		}
		if r.budget--; r.budget < 0 {
			return nil, malformed("", "more than %d records", maxRecords)
		}
		if reason := checkRecord(key, value, known, seen); reason != "" {
			return nil, malformed(where, "%s", reason)
		}
		m = append(m, Record{key, value})
	}
}

// article is how Bitcoin Core names a map.
func article(where string) string {
	switch {
	case strings.HasPrefix(where, "input"):
		return "an input"
	case strings.HasPrefix(where, "output"):
		return "an output"
	}
	return "the global"
}

// checkRecord gives the reason why a record is refused.
func checkRecord(key, value []byte, known map[uint64]field, seen map[string]bool) string {
	d := consensus.NewDecoder(key)
	t := d.CompactSize()
	if d.Err() != nil {
		return "type of a key: " + d.Err().Error()
	}
	f, ok := known[t]
	if !ok {
		f.name = "key for unknown value"
	}
	if seen[string(key)] {
		return "Duplicate Key, " + f.name + " already provided"
	}
	seen[string(key)] = true
	if !ok {
		return ""
	}
	data := d.Rest()
	if f.key == nil && len(data) > 0 || f.key != nil && !f.key(len(data)) {
		if f.keyReason == "" {
			return "Key of " + f.name + " is more than one byte type"
		}
		return f.keyReason
	}
	if f.check == nil {
		return ""
	}
	return f.check(data, value)
}

// checkPresence wants the fields that a version must have, and no others'.
func checkPresence(where string, version uint32, m Map, known map[uint64]field) error {
	have := make(map[uint64]bool)
	for i := range m {
		t := m[i].Type()
		have[t] = true
		if f, ok := known[t]; ok && f.in(version) == forbidden {
			return malformed(where, "%s does not belong into version %d", f.name, version)
		}
	}
	for t, f := range known {
		if f.in(version) == required && !have[t] {
			if t == GlobalUnsignedTx && where == "global map" {
				return malformed("", "No unsigned transaction was provided")
			}
			return malformed(where, "%s is missing", f.name)
		}
	}
	return nil
}

func (r *reader) inputs(p *Packet, n uint64) error {
	for i := uint64(0); i < n; i++ {
		if len(r.d.Rest()) == 0 {
			return malformed("", "Inputs provided does not match the number of inputs in transaction.")
		}
		where := fmt.Sprintf("input %d", i)
		m, err := r.section(where, inputFields)
		if err == nil {
			err = checkPresence(where, p.version, m, inputFields)
		}
		if err != nil {
			return err
		}
		p.Inputs = append(p.Inputs, Input{m})
		if tx, ok := p.Inputs[i].NonWitnessUTXO(); ok {
			switch prev := p.PrevOut(int(i)); {
			case tx.TxID() != prev.TxID:
				return malformed(where, "Non-witness UTXO does not match outpoint hash")
			case prev.Index >= uint32(len(tx.Out)):
				return malformed(where, "Input specifies output index that does not exist")
			}
		}
	}
	return nil
}

func (r *reader) outputs(p *Packet, n uint64) error {
	for i := uint64(0); i < n; i++ {
		if len(r.d.Rest()) == 0 {
			return malformed("", "Outputs provided does not match the number of outputs in transaction.")
		}
		where := fmt.Sprintf("output %d", i)
		m, err := r.section(where, outputFields)
		if err == nil {
			err = checkPresence(where, p.version, m, outputFields)
		}
		if err != nil {
			return err
		}
		p.Outputs = append(p.Outputs, Output{m})
	}
	return nil
}

// check is about fields that depend on each other.
func (p *Packet) check() error {
	for i := range p.Outputs {
		out := &p.Outputs[i]
		silent, script := out.Has(OutSilentInfo), out.Has(OutScript)
		where := fmt.Sprintf("output %d", i)
		switch {
		case p.version == 2 && !silent && !script:
			return malformed(where, "output script is missing")
		case out.Has(OutSilentLabel) && !silent:
			return malformed(where, "a silent payment label without silent payment data")
		case silent && script && p.Modifiable() != 0:
			return malformed(where, "the script of a silent payment is set while the transaction may be changed")
		}
	}
	return nil
}

// decodeTxOut reads an output that fills b.
func decodeTxOut(b []byte) (out consensus.TxOut, ok bool) {
	d := consensus.NewDecoder(b)
	out.Value = consensus.Amount(d.Uint64())
	out.Script = d.VarBytes()
	return out, d.Finish() == nil
}

func encodeTxOut(out consensus.TxOut) []byte {
	return consensus.AppendVarBytes(binary.LittleEndian.AppendUint64(nil, uint64(out.Value)), out.Script)
}

// decodeWitness reads a witness that fills b.
func decodeWitness(b []byte) (stack [][]byte, ok bool) {
	d := consensus.NewDecoder(b)
	stack = make([][]byte, d.Count(1))
	for i := range stack {
		stack[i] = d.VarBytes()
	}
	return stack, d.Finish() == nil
}

func encodeWitness(stack [][]byte) []byte {
	b := consensus.AppendCompactSize(nil, uint64(len(stack)))
	for _, item := range stack {
		b = consensus.AppendVarBytes(b, item)
	}
	return b
}
