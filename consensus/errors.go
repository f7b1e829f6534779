package consensus

import (
	"errors"
	"fmt"
	"strings"
)

// ErrorKind is a rule that was broken. Its text is the reject reason of Bitcoin
// Core (BIP22), because tools match on it. Find it with errors.Is.
type ErrorKind string

// Error is the reject reason.
func (k ErrorKind) Error() string { return string(k) }

// Rules of headers.
const (
	ErrHighHash   ErrorKind = "high-hash"
	ErrDiffBits   ErrorKind = "bad-diffbits"
	ErrTimeTooOld ErrorKind = "time-too-old"
	ErrTimeTooNew ErrorKind = "time-too-new"
	ErrVersion    ErrorKind = "bad-version"
)

// Rules of blocks.
const (
	ErrMerkleRoot      ErrorKind = "bad-txnmrklroot"
	ErrDuplicateTx     ErrorKind = "bad-txns-duplicate"
	ErrBlockLength     ErrorKind = "bad-blk-length"
	ErrCoinbaseMissing ErrorKind = "bad-cb-missing"
	ErrCoinbaseMany    ErrorKind = "bad-cb-multiple"
	ErrCoinbaseHeight  ErrorKind = "bad-cb-height"
	ErrCoinbaseAmount  ErrorKind = "bad-cb-amount"
	ErrBlockSigops     ErrorKind = "bad-blk-sigops"
	ErrBlockWeight     ErrorKind = "bad-blk-weight"
	ErrReservedValue   ErrorKind = "bad-witness-nonce-size"
	ErrCommitment      ErrorKind = "bad-witness-merkle-match"
	ErrWitness         ErrorKind = "unexpected-witness"
	ErrOverwrite       ErrorKind = "bad-txns-BIP30"
	ErrFeeSum          ErrorKind = "bad-txns-accumulated-fee-outofrange"
)

// Rules of transactions.
const (
	ErrNoInputs        ErrorKind = "bad-txns-vin-empty"
	ErrNoOutputs       ErrorKind = "bad-txns-vout-empty"
	ErrTxOversize      ErrorKind = "bad-txns-oversize"
	ErrNegativeOutput  ErrorKind = "bad-txns-vout-negative"
	ErrOutputTooLarge  ErrorKind = "bad-txns-vout-toolarge"
	ErrOutputsTooLarge ErrorKind = "bad-txns-txouttotal-toolarge"
	ErrDuplicateInputs ErrorKind = "bad-txns-inputs-duplicate"
	ErrCoinbaseLength  ErrorKind = "bad-cb-length"
	ErrNullInput       ErrorKind = "bad-txns-prevout-null"
	ErrOutputType      ErrorKind = "bad-txns-output-type" // Lode's own: neither Taproot nor OP_RETURN
	ErrNonFinal        ErrorKind = "bad-txns-nonfinal"
	ErrMissingInputs   ErrorKind = "bad-txns-inputs-missingorspent"
	ErrImmature        ErrorKind = "bad-txns-premature-spend-of-coinbase"
	ErrInputRange      ErrorKind = "bad-txns-inputvalues-outofrange"
	ErrBelowOutputs    ErrorKind = "bad-txns-in-belowout"
)

// Rules of spending one input: what Bitcoin Core puts in brackets behind
// "block-script-verify-flag-failed".
const (
	ErrScriptFalse       ErrorKind = "Script evaluated without error but finished with a false/empty top stack element"
	ErrScriptSigNotEmpty ErrorKind = "Witness requires empty scriptSig"
	ErrWitnessEmpty      ErrorKind = "Witness program was passed an empty witness"
	ErrWitnessMismatch   ErrorKind = "Witness program hash mismatch"
	ErrControlSize       ErrorKind = "Invalid Taproot control block size"
	ErrScriptPath        ErrorKind = "Taproot script path is outside of the rules of Lode"
	ErrSigSize           ErrorKind = "Invalid Schnorr signature size"
	ErrSigHashType       ErrorKind = "Invalid Schnorr signature hash type"
	ErrSig               ErrorKind = "Invalid Schnorr signature"
)

// spendKinds are those of the last group.
var spendKinds = map[ErrorKind]bool{
	ErrScriptFalse: true, ErrScriptSigNotEmpty: true, ErrWitnessEmpty: true,
	ErrWitnessMismatch: true, ErrControlSize: true, ErrScriptPath: true,
	ErrSigSize: true, ErrSigHashType: true, ErrSig: true,
}

// What a RuleError is about.
const (
	AboutHeader = iota // the header or the block as a whole
	AboutTx
	AboutInput
)

// RuleError is a broken rule and where it was broken.
type RuleError struct {
	Kind   ErrorKind
	Suffix string // follows the kind in the reject reason
	Detail string // for people
	About  int    // AboutHeader, AboutTx or AboutInput
	TxID   Hash   // from AboutTx on
	Input  int    // for AboutInput
}

// Error says the reason, the detail, and which input of which transaction.
func (e *RuleError) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Kind) + e.Suffix)
	if e.Detail != "" {
		b.WriteString(", " + e.Detail)
	}
	switch e.About {
	case AboutInput:
		fmt.Fprintf(&b, ", input %d of %s", e.Input, e.TxID)
	case AboutTx:
		fmt.Fprintf(&b, " in transaction %s", e.TxID)
	}
	return b.String()
}

// Unwrap is the kind.
func (e *RuleError) Unwrap() error { return e.Kind }

func broken(kind ErrorKind, format string, args ...any) error {
	return &RuleError{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// inTx says which transaction broke a rule, if err does not say so yet.
func inTx(err error, id Hash) error {
	if e, ok := errors.AsType[*RuleError](err); ok && e.About == AboutHeader {
		e.About, e.TxID = AboutTx, id
	}
	return err
}

// BlockReason is the reject reason (BIP22) of a block that broke a rule.
func BlockReason(err error) (string, bool) { return reason(err, "block-script-verify-flag-failed") }

// TxReason is the reject reason of a single transaction that broke a rule.
func TxReason(err error) (string, bool) { return reason(err, "mempool-script-verify-flag-failed") }

func reason(err error, scriptPrefix string) (string, bool) {
	e, ok := errors.AsType[*RuleError](err)
	if !ok {
		return "", false
	}
	if spendKinds[e.Kind] {
		return fmt.Sprintf("%s (%s)", scriptPrefix, e.Kind), true
	}
	return string(e.Kind) + e.Suffix, true
}

// IsMutation reports whether err may be the fault of whoever handed the block
// on: its hash does not commit to what is wrong, so the honest block with the
// same hash must still be accepted.
//
// A missing coinbase is among them because a merkle root does not say how deep
// its tree is: two ids side by side are 64 bytes that may decode as a
// transaction, so that the inner nodes of an honest block can be handed on as
// its transactions. The first of them cannot pass for a coinbase, which would
// fix 37 of the 64 bytes.
func IsMutation(err error) bool {
	for _, kind := range []ErrorKind{
		ErrMerkleRoot, ErrDuplicateTx, ErrCoinbaseMissing,
		ErrReservedValue, ErrCommitment, ErrWitness, ErrTimeTooNew,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
