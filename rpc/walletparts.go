package rpc

import (
	"encoding/json"

	"lode/consensus"
	"lode/mempool"
)

// What calls to wallets have in common with those to the node.

// DescribeTx shows a transaction as decoderawtransaction does, and says which
// outputs are change.
func DescribeTx(spec *consensus.Spec, tx *consensus.Tx, isChange func(output int) bool) any {
	s := &Server{cfg: Config{Spec: spec}}
	j := s.txJSON(tx, nil, false)
	for i := range j.Out {
		j.Out[i].IsChange = isChange(i)
	}
	return j
}

// DraftOutputs reads the outputs of createrawtransaction.
func DraftOutputs(spec *consensus.Spec, raw json.RawMessage) ([]consensus.TxOut, error) {
	s, p := &Server{cfg: Config{Spec: spec}}, new(params)
	outs := s.draftOutputs(p, raw)
	return outs, p.err
}

// DraftInput reads an input of createrawtransaction.
func DraftInput(raw json.RawMessage, sequence uint32) (consensus.TxIn, error) {
	p := new(params)
	in := p.draftInput(raw, sequence)
	return in, p.err
}

// ScanPool finds the transactions of a mempool that pay to keys or spend outputs,
// and those that spend what the former pay to the keys.
func ScanPool(pool *mempool.Pool, keys map[[32]byte]bool, outs []consensus.OutPoint) map[consensus.Hash]*consensus.Tx {
	return scanPool(pool, keys, outs)
}

// TxError is how sendrawtransaction reports why the mempool refused a transaction.
func TxError(tx *consensus.Tx, err error) error { return txError(tx, err) }
