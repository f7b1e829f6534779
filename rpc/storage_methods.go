package rpc

import (
	"context"
	"errors"
	"math"
	"time"

	"lode/chain"
)

// storageMethods are about what a node keeps besides the chain itself.
func (s *Server) storageCalls() calls {
	return calls{
		"pruneblockchain":   s.pruneBlockchain,
		"getindexinfo":      s.getIndexInfo,
		"getaddressbalance": s.getAddressBalance,
		"getaddresstxids":   s.getAddressTxIDs,
		"getaddressdeltas":  s.getAddressDeltas,
	}
}

func (s *Server) getIndexInfo(_ context.Context, p *params) (any, error) {
	only := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	type state struct {
		Synced bool   `json:"synced"`
		Height uint32 `json:"best_block_height"`
	}
	list := make(map[string]state)
	for _, x := range s.cfg.Chain.Indexes() {
		if only == "" || only == x.Name {
			list[x.Name] = state{x.Synced, x.Height}
		}
	}
	return list, nil
}

// indexPatience bounds how long a call waits for an index to have the tip.
const indexPatience = 5 * time.Second

// indexReady reports whether an index is kept, and has the blocks of the tip.
func (s *Server) indexReady(ctx context.Context, name string) (kept, ready bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, indexPatience)
	defer cancel()
	ready, err = s.cfg.Chain.IndexReady(ctx, name)
	if errors.Is(err, chain.ErrNoIndex) {
		return false, false, nil
	}
	return true, ready, err
}

// indexInfo says how far an index is, if it is kept.
func (s *Server) indexInfo(name string) (info chain.IndexInfo, kept bool) {
	for _, x := range s.cfg.Chain.Indexes() {
		if x.Name == name {
			return x, true
		}
	}
	return chain.IndexInfo{}, false
}

// pruneBlockchain reads a number above a billion as a time, as Bitcoin Core does.
func (s *Server) pruneBlockchain(_ context.Context, p *params) (any, error) {
	const leastTime, window = 1_000_000_000, 2 * 60 * 60 // a block's time may be off by so much
	if !s.cfg.Chain.Pruning().Enabled {
		return nil, fail(codeMisc, "Cannot prune blocks because node is not in prune mode.")
	}
	height := p.integer(0, 0, math.MinInt32, math.MaxInt32)
	if p.err != nil {
		return nil, p.err
	}
	if height < 0 {
		return nil, fail(codeParameter, "Negative block height.")
	}
	if height > leastTime {
		first, ok := s.cfg.Chain.FirstSince(uint32(height - window))
		if !ok {
			return nil, fail(codeParameter, "Could not find block with at least the specified timestamp.")
		}
		height = int64(first)
	}
	switch tip := s.cfg.Chain.Tip().Height; {
	case tip < chain.KeptBlocks:
		return nil, fail(codeMisc, "Blockchain is too short for pruning.")
	case height > int64(tip):
		return nil, fail(codeParameter, "Blockchain is shorter than the attempted prune height.")
	}
	if err := s.cfg.Chain.PruneTo(uint32(height)); err != nil {
		return nil, err
	}
	return int64(s.cfg.Chain.Pruning().Height) - 1, nil
}
