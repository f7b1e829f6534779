package consensus

// The opcodes that the rules look at. There is no interpreter: the first ones
// tell outputs and pushes apart, the last ones count (see sigops).
const (
	op0             = 0x00
	op1             = 0x51
	op16            = 0x60
	opReturn        = 0x6a
	opPushData1     = 0x4c
	opPushData2     = 0x4d
	opPushData4     = 0x4e
	opCheckSig      = 0xac
	opCheckSigV     = 0xad
	opCheckMultiSig = 0xae
	opCheckMultiSiV = 0xaf
)

// taprootScriptSize is the length of OP_1 <32 bytes>.
const taprootScriptSize = 34

// TaprootScript is the output script that pays to a Taproot output key
// (BIP341): OP_1 and a push of its 32 bytes.
func TaprootScript(key [32]byte) []byte {
	return append([]byte{op1, 32}, key[:]...)
}

// TaprootKey is the output key of a Taproot script (BIP341).
func TaprootKey(script []byte) (key [32]byte, ok bool) {
	if len(script) != taprootScriptSize || script[0] != op1 || script[1] != 32 {
		return key, false
	}
	return [32]byte(script[2:]), true
}

// IsDataScript reports whether a script starts with OP_RETURN: such an output
// can never be spent and never becomes a coin.
func IsDataScript(script []byte) bool { return len(script) > 0 && script[0] == opReturn }

// DataScript is OP_RETURN and one push of data, of at most 65,535 bytes.
func DataScript(data []byte) []byte {
	s := []byte{opReturn}
	switch n := len(data); {
	case n < opPushData1:
		s = append(s, byte(n))
	case n < 1<<8:
		s = append(s, opPushData1, byte(n))
	default:
		s = append(s, opPushData2, byte(n), byte(n>>8))
	}
	return append(s, data...)
}

// heightScript is how the script of a coinbase must begin (BIP34): a push of
// the height as a script number, or OP_1 to OP_16.
func heightScript(height uint32) []byte {
	if height == 0 {
		return []byte{op0}
	}
	if height <= 16 {
		return []byte{op1 + byte(height-1)}
	}
	s := []byte{0}
	for n := height; n > 0; n >>= 8 {
		s = append(s, byte(n))
	}
	if s[len(s)-1]&0x80 != 0 { // the top bit would be a sign
		s = append(s, 0)
	}
	s[0] = byte(len(s) - 1)
	return s
}

// CutOp takes the first opcode off a script that is not empty, and the data
// that it pushes, if any. ok is false if the data ends before its length is
// reached.
func CutOp(script []byte) (op byte, data, rest []byte, ok bool) {
	op, rest = script[0], script[1:]
	size := uint64(op) // not int: four bytes of length fit everywhere
	switch {
	case op > opPushData4:
		return op, nil, rest, true
	case op >= opPushData1: // the length follows, in 1, 2 or 4 bytes, little endian
		width := 1 << (op - opPushData1)
		if width > len(rest) {
			return op, nil, nil, false
		}
		size = 0
		for i, b := range rest[:width] {
			size |= uint64(b) << (8 * i)
		}
		rest = rest[width:]
	}
	if size > uint64(len(rest)) {
		return op, nil, nil, false
	}
	return op, rest[:size], rest[size:], true
}

// IsPushOnly reports whether a script does nothing but push.
func IsPushOnly(script []byte) bool {
	for len(script) > 0 {
		op, _, rest, ok := CutOp(script)
		if !ok || op > op16 {
			return false
		}
		script = rest
	}
	return true
}

// sigops counts the signature operations of a script as Bitcoin did before
// BIP16: one for CHECKSIG, twenty for CHECKMULTISIG, up to the first push that
// is cut short. Nothing is executed, and scripts that can never run count too.
func sigops(script []byte) int {
	n := 0
	for len(script) > 0 {
		op, _, rest, ok := CutOp(script)
		if !ok {
			break
		}
		switch op {
		case opCheckSig, opCheckSigV:
			n++
		case opCheckMultiSig, opCheckMultiSiV:
			n += 20
		}
		script = rest
	}
	return n
}

// legacySigops counts the signature operations of all scripts of tx.
func legacySigops(tx *Tx) int {
	n := 0
	for i := range tx.In {
		n += sigops(tx.In[i].ScriptSig)
	}
	for i := range tx.Out {
		n += sigops(tx.Out[i].Script)
	}
	return n
}

// SigopsCost is what tx counts toward the limit of a block (BIP141).
func (tx *Tx) SigopsCost() int { return WitnessScale * legacySigops(tx) }
