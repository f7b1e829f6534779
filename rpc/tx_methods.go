package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"math"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

func (s *Server) txCalls() calls {
	return calls{
		"getrawtransaction":     s.getRawTransaction,
		"decoderawtransaction":  s.decodeRawTransaction,
		"createrawtransaction":  s.createRawTransaction,
		"combinerawtransaction": s.combineRawTransaction,
		"sendrawtransaction":    s.sendRawTransaction,
		"testmempoolaccept":     s.testMempoolAccept,
		"explain":               s.explainCall,
	}
}

func (s *Server) getRawTransaction(ctx context.Context, p *params) (any, error) {
	id, verbosity := p.hash(0, "parameter 1"), p.verbosity(1, 0)
	if p.err != nil {
		return nil, p.err
	}
	if id == s.cfg.Spec.Rules.Genesis().Txs[0].TxID() {
		return nil, fail(codeAddress, "The genesis block coinbase is not considered an ordinary transaction and cannot be retrieved")
	}
	if !p.absent(2) {
		hash := p.hash(2, "parameter 3")
		if p.err != nil {
			return nil, p.err
		}
		return s.txInBlock(hash, id, verbosity)
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	if tx, ok := pool.ByTxID(id); ok {
		if verbosity <= 0 {
			return hex.EncodeToString(tx.Bytes()), nil
		}
		return s.txJSON(tx, nil, true), nil
	}
	return s.confirmedTx(ctx, id, verbosity)
}

// confirmedTx finds a transaction by the index, if there is one. The texts are
// Bitcoin Core's.
func (s *Server) confirmedTx(ctx context.Context, id consensus.Hash, verbosity int64) (any, error) {
	kept, ready, err := s.indexReady(ctx, chain.TxIndex)
	if err != nil {
		return nil, err
	}
	const advice = ". Use gettransaction for wallet transactions."
	if !kept {
		return nil, fail(codeAddress, "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction queries"+advice)
	}
	tx, hash, err := s.cfg.Chain.FindTx(id)
	switch {
	case errors.Is(err, chain.ErrNoTx) && !ready:
		return nil, fail(codeAddress, "No such mempool transaction. Blockchain transactions are still in the process of being indexed"+advice)
	case errors.Is(err, chain.ErrNoTx):
		return nil, fail(codeAddress, "No such mempool or blockchain transaction"+advice)
	case err != nil:
		return nil, err
	case verbosity <= 0:
		return hex.EncodeToString(tx.Bytes()), nil
	case verbosity == 1:
		info, err := s.header(hash)
		if err != nil {
			return nil, err
		}
		return s.txJSONIn(info, s.txJSON(tx, nil, true)), nil
	}
	found, err := s.txInBlock(hash, id, verbosity)
	if j, ok := found.(txJSON); ok {
		j.InActiveChain = nil // only where the caller has named the block
		return j, err
	}
	return found, err
}

// txJSONIn adds what is known of a transaction by its block.
func (s *Server) txJSONIn(info chain.HeaderInfo, j txJSON) txJSON {
	j.BlockHash, j.Confirmations = &info.Hash, new(int64)
	if info.Active {
		*j.Confirmations = int64(s.cfg.Chain.Tip().Height) - int64(info.Height) + 1
		j.Time, j.BlockTime = info.Header.Time, info.Header.Time
	}
	return j
}

func (s *Server) txInBlock(hash, id consensus.Hash, verbosity int64) (any, error) {
	info, ok := s.cfg.Chain.Header(hash)
	if !ok {
		return nil, fail(codeAddress, "Block hash not found")
	}
	block, err := s.cfg.Chain.Block(hash)
	if err != nil && !errors.Is(err, chain.ErrDamaged) {
		return nil, fail(codeMisc, "Block not available")
	}
	if err != nil {
		return nil, err
	}
	spent, err := s.cfg.Chain.Spent(hash)
	if errors.Is(err, chain.ErrDamaged) { // any other is of a block that was never connected
		return nil, err
	}
	for i, tx := range block.Txs {
		var own []consensus.Coin
		if i > 0 && len(spent) >= len(tx.In) {
			own, spent = spent[:len(tx.In)], spent[len(tx.In):]
		}
		if tx.TxID() != id {
			continue
		}
		if verbosity <= 0 {
			return hex.EncodeToString(tx.Bytes()), nil
		}
		if verbosity == 1 {
			own = nil
		}
		j := s.txJSONIn(info, s.txJSON(tx, own, true))
		j.InActiveChain = &info.Active
		return j, nil
	}
	return nil, fail(codeAddress, "No such transaction found in the provided block")
}

func (s *Server) decodeRawTransaction(_ context.Context, p *params) (any, error) {
	const malformed = "TX decode failed"
	tx, witness := p.tx(0, malformed), p.flag(1, true)
	if p.err != nil {
		return nil, p.err
	}
	if !witness && tx.HasWitness() {
		return nil, fail(codeDecode, malformed)
	}
	return s.txJSON(tx, nil, false), nil
}

// defaultMaxFeeRate is in sat per 1,000 virtual bytes: 0.10 coins.
const defaultMaxFeeRate = mempool.FeeRate(consensus.SatPerCoin / 10)

// mostFeeRate is what maxfeerate must stay below: whoever says more has most
// likely taken the unit for another one.
const mostFeeRate = consensus.SatPerCoin

func (p *params) maxFeeRate(i int) mempool.FeeRate {
	rate := mempool.FeeRate(p.amount(i, consensus.Amount(defaultMaxFeeRate), math.MaxInt64))
	if rate >= mempool.FeeRate(mostFeeRate) {
		p.fail(fail(codeParameter, "Fee rates larger than or equal to 1BTC/kvB are not accepted"))
	}
	return rate
}

func tooExpensive(e *mempool.Entry, limit mempool.FeeRate) bool {
	return limit > 0 && e.Fee > limit.Fee(e.Size)
}

// malformedTx is Bitcoin Core's text.
const malformedTx = "TX decode failed. Make sure the tx has at least one input."

func (s *Server) sendRawTransaction(_ context.Context, p *params) (any, error) {
	burn, tx, limit := p.amount(2, 0, s.cfg.Spec.Rules.MaxMoney), p.tx(0, malformedTx), p.maxFeeRate(1) // as Bitcoin Core looks at them
	if p.err != nil {
		return nil, p.err
	}
	for i := range tx.Out {
		if tx.Out[i].Value > burn && neverSpent(tx.Out[i].Script) {
			return nil, fail(codeVerify, "Unspendable output exceeds maximum configured by user (maxburnamount)")
		}
	}
	id := tx.TxID()
	if confirmed, err := s.confirmed(tx, id); confirmed || err != nil {
		return nil, first(err, fail(codeInChain, "Transaction outputs already in utxo set"))
	}
	if _, ok := s.cfg.Pool.ByTxID(id); ok {
		s.cfg.Network.Broadcast(id)
		return id, nil // that is all that was asked, whatever its witness
	}
	s.cfg.Network.Broadcast(id)
	switch err := s.cfg.Pool.AddWithin(tx, limit); {
	case err == nil, errors.Is(err, mempool.ErrKnown), errors.Is(err, mempool.ErrSameTxID):
		return id, nil
	case errors.Is(err, mempool.ErrMaxFee):
		return nil, fail(codeVerify, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)")
	default:
		return nil, txError(tx, err)
	}
}

// confirmed reports whether the active chain has a coin that tx made.
func (s *Server) confirmed(tx *consensus.Tx, id consensus.Hash) (bool, error) {
	for i := range tx.Out {
		if _, ok, err := s.cfg.Chain.Coin(consensus.OutPoint{TxID: id, Index: uint32(i)}); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

type testResultJSON struct {
	TxID    consensus.Hash `json:"txid"`
	WTxID   consensus.Hash `json:"wtxid"`
	Package string         `json:"package-error,omitempty"`
	Allowed *bool          `json:"allowed,omitempty"` // absent for one that was not looked at to its end
	VSize   int            `json:"vsize,omitempty"`
	Fees    *testFeesJSON  `json:"fees,omitempty"`
	Reason  string         `json:"reject-reason,omitempty"`
	Details string         `json:"reject-details,omitempty"`
}

type testFeesJSON struct {
	Base     coins            `json:"base"`
	Rate     coins            `json:"effective-feerate"`
	Includes []consensus.Hash `json:"effective-includes"`
}

func (s *Server) testMempoolAccept(_ context.Context, p *params) (any, error) {
	raws, err := packageRaws(p)
	if err != nil {
		return nil, err
	}
	limit := p.maxFeeRate(1)
	if p.err != nil {
		return nil, p.err
	}
	txs := make([]*consensus.Tx, len(raws))
	for i := range raws {
		if txs[i], err = packageTx(raws[i]); err != nil {
			return nil, err
		}
	}
	results, err := s.cfg.Pool.TestPackage(txs)
	if err != nil && !mempool.IsRefusal(err) {
		return nil, err
	}
	list := make([]testResultJSON, len(txs))
	tooMuch := false // and then nothing is said of those after it
	for i, tx := range txs {
		list[i] = testResultJSON{TxID: tx.TxID(), WTxID: tx.WTxID()}
		if err != nil {
			reason, _ := mempool.Reason(err)
			list[i].Package = details(nil, err, reason)
		}
		if tooMuch {
			continue
		}
		if r := &results[i]; r.Err != nil && !mempool.IsRefusal(r.Err) {
			return nil, r.Err
		}
		tooMuch = list[i].fill(tx, &results[i], limit)
	}
	return list, nil
}

// fill says what became of tx; tooMuch that only its fee is too high.
func (j *testResultJSON) fill(tx *consensus.Tx, r *mempool.PackageTxResult, limit mempool.FeeRate) (tooMuch bool) {
	if r.Err == nil && r.Entry == nil {
		return false
	}
	j.Allowed = new(bool)
	switch {
	case errors.Is(r.Err, consensus.ErrMissingInputs):
		j.Reason = "missing-inputs"
	case r.Err != nil:
		j.Reason, _ = mempool.Reason(r.Err)
		j.Details = details(tx, r.Err, j.Reason)
	case tooExpensive(r.Entry, limit):
		j.Reason = "max-fee-exceeded"
		return true
	default:
		*j.Allowed, j.VSize = true, r.Entry.Size
		j.Fees = &testFeesJSON{coins(r.Entry.Fee), coins(r.Rate), r.Includes}
	}
	return false
}
