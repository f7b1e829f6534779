package rpc

import (
	"context"
	"errors"
	"fmt"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

// Error is an error as JSON-RPC reports it, with Bitcoin Core's code.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// The codes of JSON-RPC 2.0 and of Bitcoin Core.
const (
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
	codeInternal       = -32603
	codeParse          = -32700
	codeMisc           = -1
	codeType           = -3
	codeAddress        = -5 // an address or a key, and whatever is not found
	codeParameter      = -8
	codeDatabase       = -20 // what is damaged on disk
	codeDecode         = -22
	codeVerify         = -25
	codeRejected       = -26
	codeInChain        = -27
	codeNodeAdded      = -23
	codeNodeNotAdded   = -24
	codeNotConnected   = -29
	codeSubnet         = -30
	codeNoPeers        = -9
	codeStopping       = -9
	codeSyncing        = -10
	codeCapacity       = -34
)

func fail(code int, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// asError gives every error a code.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if errors.Is(err, chain.ErrDamaged) {
		return &Error{codeDatabase, err.Error()}
	}
	if errors.Is(err, chain.ErrNotFound) {
		return &Error{codeAddress, "Block not found"}
	}
	if errors.Is(err, context.Canceled) {
		return &Error{codeStopping, "Shutting down"} // or the caller has gone and reads nothing
	}
	return &Error{codeMisc, err.Error()}
}

// txError is how sendrawtransaction reports a refused transaction.
func txError(tx *consensus.Tx, err error) error {
	if !mempool.IsRefusal(err) {
		return err
	}
	reason, _ := mempool.Reason(err)
	switch {
	case errors.Is(err, consensus.ErrMissingInputs):
		return fail(codeVerify, "%s", reason)
	case errors.Is(err, mempool.ErrConfirmed):
		return fail(codeInChain, "Transaction outputs already in utxo set")
	}
	return fail(codeRejected, "%s", details(tx, err, reason))
}

// details is the reason why tx was refused with what is known beyond it, as
// Bitcoin Core writes them together.
func details(tx *consensus.Tx, err error, reason string) string {
	e, ok := errors.AsType[*consensus.RuleError](err)
	if !ok {
		return reason
	}
	if e.About == consensus.AboutInput {
		return fmt.Sprintf("%s, input %d of %s (wtxid %s), spending %s", reason, e.Input, e.TxID, tx.WTxID(), tx.In[e.Input].PrevOut)
	}
	if e.Detail != "" {
		return reason + ", " + e.Detail
	}
	return reason
}
