package rpc

import (
	"context"
	"errors"
	"fmt"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
	"lode/rpc/code"
)

// Error is an error as JSON-RPC reports it, with Bitcoin Core's code.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Short names of the codes that are used here.
const (
	codeInvalidRequest = code.InvalidRequest
	codeNoMethod       = code.NoMethod
	codeInvalidParams  = code.InvalidParams
	codeInternal       = code.Internal
	codeParse          = code.Parse
	codeMisc           = code.Misc
	codeType           = code.Type
	codeAddress        = code.Address // an address or a key, and whatever is not found
	codeParameter      = code.Parameter
	codeDatabase       = code.Database // what is damaged on disk
	codeDecode         = code.Decode
	codeVerify         = code.Verify
	codeRejected       = code.Rejected
	codeInChain        = code.InChain
	codeNodeAdded      = code.NodeAdded
	codeNodeNotAdded   = code.NodeNotAdded
	codeNotConnected   = code.NotConnected
	codeSubnet         = code.Subnet
	codeNoPeers        = code.NoPeers
	codeStopping       = code.Stopping
	codeSyncing        = code.Syncing
	codeCapacity       = code.Capacity
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
