package esplora

import (
	"encoding/hex"
	"fmt"
	"strings"

	"lode/consensus"
)

// opNames are rust-bitcoin's names from 0x61 on, without OP_: those that Esplora shows.
var opNames = strings.Fields(`NOP VER IF NOTIF VERIF VERNOTIF ELSE ENDIF VERIFY RETURN TOALTSTACK FROMALTSTACK 2DROP 2DUP 3DUP 2OVER 2ROT 2SWAP
	IFDUP DEPTH DROP DUP NIP OVER PICK ROLL ROT SWAP TUCK CAT SUBSTR LEFT RIGHT SIZE INVERT AND OR XOR EQUAL EQUALVERIFY RESERVED1 RESERVED2
	1ADD 1SUB 2MUL 2DIV NEGATE ABS NOT 0NOTEQUAL ADD SUB MUL DIV MOD LSHIFT RSHIFT BOOLAND BOOLOR NUMEQUAL NUMEQUALVERIFY NUMNOTEQUAL
	LESSTHAN GREATERTHAN LESSTHANOREQUAL GREATERTHANOREQUAL MIN MAX WITHIN RIPEMD160 SHA1 SHA256 HASH160 HASH256 CODESEPARATOR
	CHECKSIG CHECKSIGVERIFY CHECKMULTISIG CHECKMULTISIGVERIFY NOP1 CLTV CSV NOP4 NOP5 NOP6 NOP7 NOP8 NOP9 NOP10 CHECKSIGADD`)

// asm is a script as rust-bitcoin writes it: OP_PUSHNUM_1 OP_PUSHBYTES_32 ….
func asm(script []byte) string {
	var words []string
	for len(script) > 0 {
		op, data, rest, ok := consensus.CutOp(script)
		name := opName(op)
		if !ok {
			words = append(words, name, "<push past end>")
			break
		}
		if words = append(words, name); len(data) > 0 {
			words = append(words, hex.EncodeToString(data))
		}
		script = rest
	}
	return strings.Join(words, " ")
}

func opName(op byte) string {
	switch {
	case op == 0:
		return "OP_0"
	case op <= 75:
		return fmt.Sprintf("OP_PUSHBYTES_%d", op)
	case op <= 78:
		return fmt.Sprintf("OP_PUSHDATA%d", 1<<(op-76))
	case op == 0x4f:
		return "OP_PUSHNUM_NEG1"
	case op == 0x50:
		return "OP_RESERVED"
	case op <= 0x60:
		return fmt.Sprintf("OP_PUSHNUM_%d", op-0x50)
	case int(op)-0x61 < len(opNames):
		return "OP_" + opNames[op-0x61]
	case op == 0xff:
		return "OP_INVALIDOPCODE"
	}
	return fmt.Sprintf("OP_RETURN_%d", op)
}
