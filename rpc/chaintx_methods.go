package rpc

import (
	"context"
	"errors"
	"math"

	"lode/chain"
	"lode/consensus"
)

// monthSeconds is how far getchaintxstats looks back where nothing is said.
const monthSeconds = 30 * 24 * 60 * 60

func (s *Server) getChainTxStats(ctx context.Context, p *params) (any, error) {
	count := p.integer(0, -1, math.MinInt32, math.MaxInt32)
	hash := s.cfg.Chain.Tip().Hash
	if !p.absent(1) {
		hash = p.hash(1, "blockhash")
	}
	if p.err != nil {
		return nil, p.err
	}
	last, err := s.header(hash)
	if err != nil {
		return nil, err
	}
	height := int64(last.Height)
	switch {
	case !p.absent(1) && !last.Active:
		return nil, fail(codeParameter, "Block is not in main chain")
	case p.absent(0):
		count = max(0, min(monthSeconds/int64(s.cfg.Spec.Rules.TargetSpacing), height-1))
	case count < 0 || count > 0 && count >= height:
		return nil, fail(codeParameter, "Invalid block count: should be between 0 and the block's height - 1")
	}
	first := last
	if count > 0 {
		if first, err = s.headerAt(height - count); err != nil {
			return nil, err
		}
	}
	j := struct {
		Time     uint32         `json:"time"`
		Txs      *uint64        `json:"txcount,omitempty"`
		Hash     consensus.Hash `json:"window_final_block_hash"`
		Height   uint32         `json:"window_final_block_height"`
		Blocks   int64          `json:"window_block_count"`
		Interval *int64         `json:"window_interval,omitempty"`
		Window   *uint64        `json:"window_tx_count,omitempty"`
		Rate     *float64       `json:"txrate,omitempty"`
	}{Time: last.Header.Time, Hash: last.Hash, Height: last.Height, Blocks: count}
	all, known, err := s.cfg.Chain.TxCount(ctx, last.Hash)
	if err != nil {
		return nil, err
	}
	if known {
		j.Txs = &all
	}
	if count == 0 {
		return j, nil
	}
	interval := int64(last.MedianTime) - int64(first.MedianTime)
	j.Interval = &interval
	before, alsoKnown, err := s.cfg.Chain.TxCount(ctx, first.Hash)
	if err != nil {
		return nil, err
	}
	if known && alsoKnown {
		j.Window = new(all - before)
		if interval > 0 {
			j.Rate = new(float64(all-before) / float64(interval))
		}
	}
	return j, nil
}

// What verifychain does where nothing is said, as in Bitcoin Core.
const (
	defaultVerifyLevel  = 3
	defaultVerifyBlocks = 6
)

func (s *Server) verifyChain(ctx context.Context, p *params) (any, error) {
	level := p.integer(0, defaultVerifyLevel, math.MinInt32, math.MaxInt32)
	count := p.integer(1, defaultVerifyBlocks, math.MinInt32, math.MaxInt32)
	if p.err != nil {
		return nil, p.err
	}
	level = min(max(level, chain.VerifyRead), chain.VerifyConnect)
	err := s.cfg.Chain.VerifyRecent(ctx, int(level), uint32(max(count, 0)))
	_, broken := chain.Reason(err)
	if broken || errors.Is(err, chain.ErrDamaged) || errors.Is(err, consensus.ErrUndo) {
		s.cfg.Log.Error("verifychain found what is wrong", "error", err)
		return false, nil
	}
	return err == nil, err
}
