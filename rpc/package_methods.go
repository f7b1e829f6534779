package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"lode/consensus"
	"lode/mempool"
)

// packageTxJSON is what became of one transaction of a package.
type packageTxJSON struct {
	TxID  consensus.Hash   `json:"txid"`
	Other *consensus.Hash  `json:"other-wtxid,omitempty"`
	VSize int              `json:"vsize,omitempty"`
	Fees  *packageFeesJSON `json:"fees,omitempty"`
	Error string           `json:"error,omitempty"`
}

type packageFeesJSON struct {
	Base     coins            `json:"base"`
	Rate     *coins           `json:"effective-feerate,omitempty"`
	Includes []consensus.Hash `json:"effective-includes,omitempty"`
}

func (s *Server) submitPackage(_ context.Context, p *params) (any, error) {
	raws, err := packageRaws(p)
	if err != nil {
		return nil, err
	}
	limit, burn := p.maxFeeRate(1), p.amount(2, 0, s.cfg.Spec.Rules.MaxMoney)
	if p.err != nil {
		return nil, p.err
	}
	txs := make([]*consensus.Tx, len(raws))
	for i := range raws {
		if txs[i], err = packageTx(raws[i]); err != nil {
			return nil, err
		}
		for _, out := range txs[i].Out {
			if out.Value > burn && neverSpent(out.Script) {
				return nil, fail(codeVerify, "Unspendable output exceeds maximum configured by user (maxburnamount)")
			}
		}
	}
	if !isTree(txs) {
		return nil, fail(codeVerify, "package topology disallowed. not child-with-parents or parents depend on each other.")
	}
	for _, tx := range txs {
		s.cfg.Network.Broadcast(tx.TxID())
	}
	return packageJSON(txs, s.cfg.Pool.AddPackage(txs, limit))
}

// packageRaws is the first parameter of a method for several transactions.
func packageRaws(p *params) (raws []json.RawMessage, err error) {
	if p.into(0, &raws, "array"); p.err != nil {
		return nil, p.err
	}
	if len(raws) == 0 || len(raws) > mempool.MaxPackage {
		return nil, fail(codeParameter, "Array must contain between 1 and %d transactions.", mempool.MaxPackage)
	}
	return raws, nil
}

// packageTx reads one transaction of several.
func packageTx(raw json.RawMessage) (*consensus.Tx, error) {
	if t := jsonType(raw); t != "string" {
		return nil, fail(codeType, "JSON value of type %s is not of expected type string", t)
	}
	one := single("rawtx", raw)
	text := one.text(0, "")
	return one.tx(0, "TX decode failed: "+text+" Make sure the tx has at least one input."), one.err
}

// isTree reports whether the last of txs is a child of all others, and none of
// those of another.
func isTree(txs []*consensus.Tx) bool {
	child := txs[len(txs)-1]
	spends := func(tx *consensus.Tx, id consensus.Hash) bool {
		return slices.ContainsFunc(tx.In, func(in consensus.TxIn) bool { return in.PrevOut.TxID == id })
	}
	for _, parent := range txs[:len(txs)-1] {
		id := parent.TxID()
		if !spends(child, id) || slices.ContainsFunc(txs[:len(txs)-1], func(tx *consensus.Tx) bool { return spends(tx, id) }) {
			return false
		}
	}
	return true
}

func packageJSON(txs []*consensus.Tx, res mempool.PackageResult) (any, error) {
	message := "success"
	if res.Err != nil {
		if !mempool.IsRefusal(res.Err) {
			return nil, res.Err
		}
		reason, _ := mempool.Reason(res.Err)
		message = details(nil, res.Err, reason)
	}
	results := make(map[string]packageTxJSON, len(txs))
	for i, tx := range txs {
		j := packageTxJSON{TxID: tx.TxID(), Error: "package-not-validated"}
		if len(res.Txs) > 0 {
			r := &res.Txs[i]
			if r.Err != nil && !mempool.IsRefusal(r.Err) {
				return nil, r.Err
			}
			j = packageTxResult(tx, r)
		}
		results[tx.WTxID().String()] = j
	}
	return struct {
		Message  string                   `json:"package_msg"`
		Results  map[string]packageTxJSON `json:"tx-results"`
		Replaced []consensus.Hash         `json:"replaced-transactions"`
	}{message, results, byBytes(res.Replaced)}, nil
}

// byBytes orders hashes as Bitcoin Core compares them; it gives an empty list for
// none.
func byBytes(hashes []consensus.Hash) []consensus.Hash {
	hashes = append([]consensus.Hash{}, hashes...)
	slices.SortFunc(hashes, func(a, b consensus.Hash) int { return bytes.Compare(a[:], b[:]) })
	return hashes
}

func packageTxResult(tx *consensus.Tx, r *mempool.PackageTxResult) packageTxJSON {
	j := packageTxJSON{TxID: tx.TxID()}
	switch {
	case errors.Is(r.Err, consensus.ErrMissingInputs):
		j.Error, _ = mempool.Reason(r.Err)
	case r.Err != nil:
		reason, _ := mempool.Reason(r.Err)
		j.Error = details(tx, r.Err, reason)
	case r.Same != nil:
		j.Other = r.Same
	default:
		j.VSize, j.Fees = r.Entry.Size, &packageFeesJSON{Base: coins(r.Entry.Fee)}
		if len(r.Includes) > 0 {
			rate := coins(r.Rate)
			j.Fees.Rate, j.Fees.Includes = &rate, r.Includes
		}
	}
	return j
}
