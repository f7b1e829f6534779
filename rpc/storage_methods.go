package rpc

import (
	"context"
	"errors"
	"math"
	"time"

	"lode/chain"
)

// storageMethods are about what a node keeps besides the chain itself.
func (s *Server) storageMethods() []method {
	const group = "Blockchain"
	return []method{
		{group, "pruneblockchain", []string{"height"}, 1, "Removes blocks up to a height, or older than a time, as far as whole files can go; gives the height of the last one that is gone, or -1.", s.pruneBlockchain},
		{group, "getindexinfo", []string{"index_name"}, 0, "The optional indexes that are kept: whether each is built, and up to which height.", s.getIndexInfo},
		{group, "getaddressbalance", []string{"addresses"}, 1, "What addresses have, and have ever received, in sat: of {\"addresses\": [...]} or of one address. Needs --addrindex.", s.getAddressBalance},
		{group, "getaddresstxids", []string{"addresses"}, 1, "The ids of the transactions that pay addresses or spend from them, in the order of the chain: of {\"addresses\": [...], \"start\": height, \"end\": height, \"skip\": n, \"count\": n}, all but the first optional, or of one address. Gives 1,000 if count does not say how many, at most 10,000. Needs --addrindex.", s.getAddressTxIDs},
		{group, "getaddressdeltas", []string{"addresses"}, 1, "What each transaction pays addresses and spends from them, in sat, with the arguments of getaddresstxids. Needs --addrindex.", s.getAddressDeltas},
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

// pruneBlockchain reads a number above a billion as a time, as Bitcoin Core does.
func (s *Server) pruneBlockchain(_ context.Context, p *params) (any, error) {
	const leastTime, window = 1_000_000_000, 2 * 60 * 60 // a block's time may be off by so much
	height := p.integer(0, 0, math.MinInt32, math.MaxInt32)
	if p.err != nil {
		return nil, p.err
	}
	if !s.cfg.Chain.Pruning().Enabled {
		return nil, fail(codeMisc, "Cannot prune blocks because node is not in prune mode.")
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
