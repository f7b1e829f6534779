package rpc

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/wallet/descriptor"
)

type scriptJSON struct {
	Asm        string `json:"asm"`
	Descriptor string `json:"desc"`
	Hex        string `json:"hex"`
	Address    string `json:"address,omitempty"`
	Type       string `json:"type"`
}

func (s *Server) scriptJSON(script []byte) scriptJSON {
	if key, ok := consensus.TaprootKey(script); ok {
		return s.keyJSON(key, sigcheck.OnCurve([][32]byte{key})[0])
	}
	asm, pushes := disassemble(script)
	j := scriptJSON{
		Asm: asm, Descriptor: descriptor.Infer(script, s.descriptors), Hex: hex.EncodeToString(script), Type: scriptType(script),
	}
	if consensus.IsDataScript(script) && pushes {
		j.Type = "nulldata"
	}
	return j
}

// keyJSON is scriptJSON for the Taproot output of a key.
func (s *Server) keyJSON(key [32]byte, onCurve bool) scriptJSON {
	text := hex.EncodeToString(key[:])
	return scriptJSON{
		Asm: "1 " + text, Descriptor: descriptor.InferKey(key, onCurve, s.descriptors), Hex: "5120" + text,
		Address: consensus.Address(s.cfg.Spec.Defaults.AddressPrefix, key), Type: "witness_v1_taproot",
	}
}

// outputKeys are those of the Taproot outputs of transactions, with whether they are on
// the curve, which is found out for all together.
func outputKeys(txs ...*consensus.Tx) map[[32]byte]bool {
	var keys [][32]byte
	for _, tx := range txs {
		for i := range tx.Out {
			if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok {
				keys = append(keys, key)
			}
		}
	}
	known := make(map[[32]byte]bool, len(keys))
	for i, on := range sigcheck.OnCurve(keys) {
		known[keys[i]] = on
	}
	return known
}

// scriptType names a script as Bitcoin Core does, but for nulldata. Only Taproot
// outputs can be in a chain here; people decode others, too.
func scriptType(script []byte) string {
	n := len(script)
	switch {
	case n >= 4 && n <= 42 && (script[0] == 0 || script[0] >= op1 && script[0] <= op16) && int(script[1]) == n-2:
		return witnessType(script)
	case n == 25 && bytes.HasPrefix(script, []byte{0x76, 0xa9, 20}) && bytes.HasSuffix(script, []byte{0x88, 0xac}):
		return "pubkeyhash"
	case n == 23 && bytes.HasPrefix(script, []byte{0xa9, 20}) && script[22] == 0x87:
		return "scripthash"
	case (n == 35 || n == 67) && int(script[0]) == n-2 && script[n-1] == 0xac:
		return "pubkey"
	}
	return "nonstandard"
}

func witnessType(script []byte) string {
	switch n := len(script) - 2; {
	case script[0] == 0 && n == 20:
		return "witness_v0_keyhash"
	case script[0] == 0 && n == 32:
		return "witness_v0_scripthash"
	case script[0] == op1 && n == 32:
		return "witness_v1_taproot"
	case bytes.Equal(script, []byte{op1, 2, 0x4e, 0x73}):
		return "anchor"
	case script[0] == 0:
		return "nonstandard"
	}
	return "witness_unknown"
}

const (
	opPushData4 = 0x4e
	op1Negate   = 0x4f
	op1         = 0x51
	op16        = 0x60
)

// disassemble shows a script as Bitcoin Core does, and reports whether nothing
// but pushes follows its first opcode.
func disassemble(script []byte) (asm string, pushes bool) {
	var b strings.Builder
	pushes = true
	for first := true; len(script) > 0; first = false {
		if !first {
			b.WriteByte(' ')
		}
		op, data, rest, ok := consensus.CutOp(script)
		switch {
		case !ok:
			b.WriteString("[error]")
			return b.String(), false
		case op <= opPushData4 && len(data) <= 4: // short ones are taken for numbers
			b.WriteString(strconv.FormatInt(scriptNumber(data), 10))
		case op <= opPushData4:
			b.WriteString(hex.EncodeToString(data))
		case op == op1Negate:
			b.WriteString("-1")
		case op >= op1 && op <= op16:
			b.WriteString(strconv.Itoa(int(op) - op1 + 1))
		default:
			b.WriteString(opName(op))
		}
		pushes = pushes && (first || op <= op16)
		script = rest
	}
	return b.String(), pushes
}

// neverSpent reports whether Bitcoin Core takes coins under a script for burnt.
func neverSpent(script []byte) bool {
	const longest, longestPush, lastOp = 10_000, 520, 0xb9 // OP_NOP10
	if consensus.IsDataScript(script) || len(script) > longest {
		return true
	}
	for len(script) > 0 {
		op, data, rest, ok := consensus.CutOp(script)
		if !ok || len(data) > longestPush || op > lastOp {
			return true
		}
		script = rest
	}
	return false
}

// opNames are the opcodes from 0x61 on, of which Lode gives a meaning to
// OP_RETURN alone.
var opNames = strings.Fields(`NOP VER IF NOTIF VERIF VERNOTIF ELSE ENDIF VERIFY RETURN TOALTSTACK FROMALTSTACK 2DROP 2DUP 3DUP 2OVER
	2ROT 2SWAP IFDUP DEPTH DROP DUP NIP OVER PICK ROLL ROT SWAP TUCK CAT SUBSTR LEFT RIGHT SIZE INVERT AND OR XOR EQUAL EQUALVERIFY
	RESERVED1 RESERVED2 1ADD 1SUB 2MUL 2DIV NEGATE ABS NOT 0NOTEQUAL ADD SUB MUL DIV MOD LSHIFT RSHIFT BOOLAND BOOLOR NUMEQUAL
	NUMEQUALVERIFY NUMNOTEQUAL LESSTHAN GREATERTHAN LESSTHANOREQUAL GREATERTHANOREQUAL MIN MAX WITHIN RIPEMD160 SHA1 SHA256 HASH160
	HASH256 CODESEPARATOR CHECKSIG CHECKSIGVERIFY CHECKMULTISIG CHECKMULTISIGVERIFY NOP1 CHECKLOCKTIMEVERIFY CHECKSEQUENCEVERIFY NOP4
	NOP5 NOP6 NOP7 NOP8 NOP9 NOP10 CHECKSIGADD`)

func opName(op byte) string {
	switch i := int(op) - op16 - 1; {
	case op == op1-1:
		return "OP_RESERVED"
	case op == 0xff:
		return "OP_INVALIDOPCODE"
	case i < len(opNames):
		return "OP_" + opNames[i]
	}
	return "OP_UNKNOWN"
}

// scriptNumber reads a little-endian number of up to four bytes whose top bit is
// its sign.
func scriptNumber(data []byte) (n int64) {
	for i, b := range data {
		if i == len(data)-1 {
			n |= int64(b&0x7f) << (8 * i)
			if b&0x80 != 0 {
				n = -n
			}
			break
		}
		n |= int64(b) << (8 * i)
	}
	return n
}
