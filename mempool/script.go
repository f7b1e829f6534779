package mempool

import (
	"errors"
	"fmt"
	"slices"

	"lode/consensus"
)

// There are no scripts to run, so any scriptSig is wrong, and so is the spending
// of a data output. Bitcoin Core runs them before it notices that, and then has
// the first thing that goes wrong for a reason; these are its texts.
const (
	errOpcode   = "Opcode missing or not understood"
	errPushSize = "Push value size limit exceeded"
	errMinimal  = "Data push larger than necessary"
	errStack    = "Stack size limit exceeded"
	errReturn   = "OP_RETURN was encountered"
)

const (
	maxElement = 520  // bytes that a script may push at once
	maxStack   = 1000 // elements
)

// scriptError gives the error of a witness of c the reason that Bitcoin Core has.
func (c *candidate) scriptError(err error) error {
	e, ok := errors.AsType[*consensus.RuleError](err)
	if !ok || e.About != consensus.AboutInput || e.Kind != consensus.ErrScriptSigNotEmpty && e.Kind != consensus.ErrScriptFalse {
		return err
	}
	reason := pushError(c.Tx.In[e.Input].ScriptSig)
	if reason == "" && slices.Contains(c.data, e.Input) {
		reason = errReturn
	}
	if reason == "" {
		return err
	}
	own := *e
	own.Kind = consensus.ErrorKind(fmt.Sprintf("mempool-script-verify-flag-failed (%s)", reason))
	return &own
}

// pushError says what is wrong with a script that only pushes, in front of one
// that pushes twice; it is empty if nothing is.
func pushError(script []byte) string {
	count := 0
	for len(script) > 0 {
		op, data, rest, _ := consensus.CutOp(script)
		switch {
		case len(data) > maxElement:
			return errPushSize
		case op == opReserved:
			return errOpcode
		case op <= opPushData4 && !isShortest(op, data):
			return errMinimal
		}
		if count++; count > maxStack {
			return errStack
		}
		script = rest
	}
	if count > maxStack-2 {
		return errStack
	}
	return ""
}

const (
	opPushData1 = 0x4c
	opPushData2 = 0x4d
	opPushData4 = 0x4e
	opReserved  = 0x50
)

// isShortest reports whether no shorter opcode pushes the same data.
func isShortest(op byte, data []byte) bool {
	switch n := len(data); {
	case n == 1 && (data[0] >= 1 && data[0] <= 16 || data[0] == 0x81): // OP_1 to OP_16, OP_1NEGATE
		return false
	case n < opPushData1:
		return int(op) == n
	case n < 1<<8:
		return op == opPushData1
	default:
		return op == opPushData2
	}
}
