package rpc

import (
	"context"
	"math"
	"time"

	"lode/consensus"
	"lode/internal/poke"
)

// waited is what the calls give that wait for a block: the tip.
type waited struct {
	Hash   consensus.Hash `json:"hash"`
	Height uint32         `json:"height"`
}

// waitForNewBlock waits until the tip is another one.
func (s *Server) waitForNewBlock(ctx context.Context, p *params) (any, error) {
	patience := p.patience(0)
	from := s.cfg.Chain.Tip().Hash
	if !p.absent(1) {
		from = p.hash(1, "current_tip")
	}
	return s.waitForTip(ctx, p, patience, func(tip *consensus.State) bool { return tip.Hash != from })
}

// waitForBlock waits until a block is the tip.
func (s *Server) waitForBlock(ctx context.Context, p *params) (any, error) {
	hash, patience := p.hash(0, "blockhash"), p.patience(1)
	return s.waitForTip(ctx, p, patience, func(tip *consensus.State) bool { return tip.Hash == hash })
}

// waitForBlockHeight waits until the tip is at a height at least.
func (s *Server) waitForBlockHeight(ctx context.Context, p *params) (any, error) {
	height, patience := p.integer(0, 0, math.MinInt32, math.MaxInt32), p.patience(1)
	return s.waitForTip(ctx, p, patience, func(tip *consensus.State) bool { return int64(tip.Height) >= height })
}

// patience reads milliseconds; 0 means that there is no end.
func (p *params) patience(i int) time.Duration {
	ms := p.integer(i, 0, math.MinInt32, math.MaxInt32)
	if ms < 0 {
		p.fail(fail(codeMisc, "Negative timeout"))
	}
	return time.Duration(ms) * time.Millisecond
}

// news is poked when the ledger has changed, until cancel is called.
func (s *Server) news() (poked <-chan struct{}, cancel func()) {
	c := poke.New()
	return c, s.cfg.Chain.Subscribe(func() { poke.Send(c) })
}

// waitForTip waits until the tip is as it should be, and gives it; or the tip
// there is when patience (0 for endless) ends or the node stops.
func (s *Server) waitForTip(ctx context.Context, p *params, patience time.Duration, done func(*consensus.State) bool) (any, error) {
	if p.err != nil {
		return nil, p.err
	}
	poked, cancel := s.news()
	defer cancel()
	tip := s.cfg.Chain.Tip()
	if !done(&tip) && !waits(ctx) {
		return nil, fail(codeMisc, "Too many calls wait for a block at once, want at most %d", s.waiting.most)
	}
	var late <-chan time.Time
	if patience > 0 {
		timer := s.cfg.Clock.Steady.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	for ; !done(&tip); tip = s.cfg.Chain.Tip() {
		select {
		case <-poked:
			continue
		case <-late:
		case <-ctx.Done():
		}
		tip = s.cfg.Chain.Tip()
		break
	}
	return waited{tip.Hash, tip.Height}, nil
}
