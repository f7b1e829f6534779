package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"math"

	"lode/chain"
	"lode/consensus"
	"lode/miner"
)

func (s *Server) miningMethods() []method {
	const group = "Mining"
	return []method{
		{group, "generatetoaddress", []string{"nblocks", "address", "maxtries"}, 2, "Mines blocks at once, each paying to the address; maxtries (1000000 if absent) bounds the hashes tried.", s.generateToAddress},
		{group, "submitblock", []string{"hexdata", "dummy"}, 1, "Hands in a block. The answer is null, or why not (BIP22).", s.submitBlock},
		{group, "submitheader", []string{"hexdata"}, 1, "Hands in a header.", s.submitHeader},
		{group, "prioritisetransaction", []string{"txid", "dummy", "fee_delta"}, 3, "Has a transaction treated as if it paid fee_delta sat more, or less, until it is confirmed; dummy is 0 or null.", s.prioritiseTransaction},
		{group, "getprioritisedtransactions", nil, 0, "What prioritisetransaction was told and still holds.", s.getPrioritisedTransactions},
		{group, "getmininginfo", nil, 0, "What a miner wants to know.", s.getMiningInfo},
	}
}

func (s *Server) generateToAddress(ctx context.Context, p *params) (any, error) {
	count := p.integer(0, 0, math.MinInt32, math.MaxInt32)
	payTo := s.payTo(p, 1)
	tries := p.integer(2, 1_000_000, 0, math.MaxInt32)
	if p.err != nil {
		return nil, p.err
	}
	hashes, err := miner.Generate(ctx, s.cfg.Chain, s.cfg.Pool, payTo, int(max(count, 0)), uint64(tries), s.cfg.Clock.Now)
	if err != nil && !errors.Is(err, miner.ErrTries) && ctx.Err() == nil {
		return nil, err
	}
	return hashes, nil // fewer than asked for if the tries were used up or the node stops, as Bitcoin Core has it
}

func (s *Server) submitBlock(_ context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, fail(codeDecode, "Block decode failed")
	}
	d := consensus.NewDecoder(raw)
	block := d.Block()
	if d.Err() != nil { // what follows the block is ignored, as Bitcoin Core does
		return nil, fail(codeDecode, "Block decode failed")
	}
	if _, known := s.cfg.Chain.Header(block.Prev); known {
		block.FillReservedValue()
	}
	status, err := s.cfg.Chain.SubmitBlock(block)
	if errors.Is(err, chain.ErrFatal) {
		return nil, err
	}
	if err != nil {
		if reason, ok := chain.Reason(err); ok {
			return reason, nil
		}
		return nil, err
	}
	switch status {
	case chain.Duplicate:
		return "duplicate", nil
	case chain.Stored:
		return "inconclusive", nil
	}
	return nil, nil
}

func (s *Server) submitHeader(_ context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, fail(codeDecode, "Block header decode failed")
	}
	d := consensus.NewDecoder(raw)
	header := d.Header()
	if d.Err() != nil {
		return nil, fail(codeDecode, "Block header decode failed")
	}
	if _, known := s.cfg.Chain.Header(header.Prev); !known {
		return nil, fail(codeVerify, "Must submit previous header (%s) first", header.Prev)
	}
	if err := s.cfg.Chain.AddHeaders([]consensus.Header{header}); err != nil {
		if reason, ok := chain.Reason(err); ok {
			return nil, fail(codeVerify, "%s", reason)
		}
		return nil, err
	}
	return nil, nil
}

func (s *Server) getMiningInfo(context.Context, *params) (any, error) {
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	tip := s.cfg.Chain.Tip()
	bits := s.bitsOf(tip.Hash)
	next := s.cfg.Spec.Rules.NextBits(&tip)
	type nextJSON struct {
		Height     uint32  `json:"height"`
		Bits       string  `json:"bits"`
		Difficulty float64 `json:"difficulty"`
		Target     string  `json:"target"`
	}
	var local miner.Stats
	if s.cfg.Mining != nil {
		local = s.cfg.Mining.Stats()
	}
	return struct {
		Blocks     uint32   `json:"blocks"`
		Bits       string   `json:"bits"`
		Difficulty float64  `json:"difficulty"`
		Target     string   `json:"target"`
		PooledTx   int      `json:"pooledtx"`
		Chain      string   `json:"chain"`
		Next       nextJSON `json:"next"`
		HashRate   uint64   `json:"localhashps"` // of the miner in this node
		Found      uint64   `json:"localblocks"` // found by it since it started
		Warnings   []string `json:"warnings"`
	}{
		tip.Height, consensus.Bits(bits).String(), difficulty(bits), targetHex(bits), pool.Stats().Count, s.cfg.Spec.Name,
		nextJSON{tip.Height + 1, consensus.Bits(next).String(), difficulty(next), targetHex(next)}, uint64(local.HashRate), local.Accepted, []string{},
	}, nil
}

func (s *Server) prioritiseTransaction(_ context.Context, p *params) (any, error) {
	id, delta := p.hash(0, "txid"), p.integer(2, 0, math.MinInt64, math.MaxInt64)
	if p.err != nil {
		return nil, p.err
	}
	var dummy float64
	if !p.absent(1) && p.into(1, &dummy, "number") && dummy != 0 {
		return nil, fail(codeParameter, "Priority is no longer supported, dummy argument to prioritisetransaction must be 0.")
	}
	if p.err != nil {
		return nil, p.err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	if !pool.Prioritise(id, consensus.Amount(delta)) {
		return nil, fail(codeParameter, "Priority is not supported for transactions with dust outputs.")
	}
	return true, nil
}

func (s *Server) getPrioritisedTransactions(context.Context, *params) (any, error) {
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	type entry struct {
		Delta    consensus.Amount  `json:"fee_delta"`
		InPool   bool              `json:"in_mempool"`
		Modified *consensus.Amount `json:"modified_fee,omitempty"`
	}
	entries := make(map[string]entry)
	for id, delta := range pool.Priorities() {
		e := entry{Delta: delta}
		if info, ok := pool.Info(id); ok {
			e.InPool, e.Modified = true, &info.Modified
		}
		entries[id.String()] = e
	}
	return entries, nil
}
