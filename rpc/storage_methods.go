package rpc

import (
	"context"
	"math"

	"lode/chain"
)

// storageMethods are about what a node keeps besides the chain itself.
func (s *Server) storageMethods() []method {
	const group = "Blockchain"
	return []method{
		{group, "pruneblockchain", []string{"height"}, 1, "Removes blocks up to a height, or older than a time, as far as whole files can go; gives the height of the last one that is gone, or -1.", s.pruneBlockchain},
	}
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
