package mempool

import (
	"errors"
	"fmt"

	"lode/consensus"
)

// The reasons, besides those of the rules, for which a transaction is refused.
// Their texts are Bitcoin Core's. Find them with errors.Is.
const (
	ErrKnown            consensus.ErrorKind = "txn-already-in-mempool"
	ErrSameTxID         consensus.ErrorKind = "txn-same-nonwitness-data-in-mempool"
	ErrConfirmed        consensus.ErrorKind = "txn-already-known"
	ErrCoinbase         consensus.ErrorKind = "coinbase"
	ErrVersion          consensus.ErrorKind = "version"
	ErrTxSize           consensus.ErrorKind = "tx-size"
	ErrTxSizeSmall      consensus.ErrorKind = "tx-size-small"
	ErrScriptSigSize    consensus.ErrorKind = "scriptsig-size"
	ErrScriptSigNotPush consensus.ErrorKind = "scriptsig-not-pushonly"
	ErrScriptPubKey     consensus.ErrorKind = "scriptpubkey"
	ErrDataCarrier      consensus.ErrorKind = "datacarrier"
	ErrDust             consensus.ErrorKind = "dust"
	ErrNonFinal         consensus.ErrorKind = "non-final"
	ErrNonBIP68Final    consensus.ErrorKind = "non-BIP68-final"
	ErrWitness          consensus.ErrorKind = "bad-witness-nonstandard"
	ErrMinRelayFee      consensus.ErrorKind = "min relay fee not met"
	ErrMempoolFee       consensus.ErrorKind = "mempool min fee not met"
	ErrFull             consensus.ErrorKind = "mempool full"
	ErrClusterSize      consensus.ErrorKind = "too-large-cluster"
	ErrSpendsConflict   consensus.ErrorKind = "bad-txns-spends-conflicting-tx"
	ErrNoReplacement    consensus.ErrorKind = "bip125-replacement-disallowed" // of several that are tested
	ErrManyReplaced     consensus.ErrorKind = "too many potential replacements"
	ErrReplaceFee       consensus.ErrorKind = "insufficient fee"
	ErrReplaceRate      consensus.ErrorKind = "replacement-failed"
	ErrTRUC             consensus.ErrorKind = "TRUC-violation"
	ErrDustUnspent      consensus.ErrorKind = "missing-ephemeral-spends"
	ErrMaxFee           consensus.ErrorKind = "max-fee-exceeded" // see AddWithin

	// What a replacement would also evict is another child of its parent (BIP431).
	ErrManyReplacedSibling consensus.ErrorKind = "too many potential replacements (including sibling eviction)"
	ErrReplaceFeeSibling   consensus.ErrorKind = "insufficient fee (including sibling eviction)"
)

func refuse(kind consensus.ErrorKind, format string, args ...any) error {
	return &consensus.RuleError{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// bare is an error of the rules without its detail, where Bitcoin Core has none.
func bare(err error) error {
	e, ok := errors.AsType[*consensus.RuleError](err)
	if !ok || e.Kind == consensus.ErrOutputType { // Lode's own
		return err
	}
	return refuse(e.Kind, "")
}

// Reason is the reject reason of an error of this package, if it has one.
func Reason(err error) (string, bool) { return consensus.TxReason(err) }

// IsRefusal reports whether err is about the transaction, and not a failure of
// the node.
func IsRefusal(err error) bool {
	_, ok := errors.AsType[*consensus.RuleError](err)
	return ok
}

// cheapError is a refusal for a fee alone: a child may pay for the transaction.
type cheapError struct{ error }

func (e cheapError) Unwrap() error { return e.error }

// IsTooCheap reports whether err refuses a transaction for its fee alone, so that
// it may come in with a child, see AddPackage.
func IsTooCheap(err error) bool {
	_, ok := errors.AsType[cheapError](err)
	return ok
}

func tooCheap(err error) error { return cheapError{err} }
