package faucet

import (
	"context"
	"log/slog"
)

// AutoMiner mines a block as soon as a transaction has come, where that takes no time.
type AutoMiner struct {
	waits func() bool // whether a transaction waits to be mined
	mine  func(ctx context.Context) error
	log   *slog.Logger
	slot  chan struct{}
}

// NewAutoMiner prepares one.
func NewAutoMiner(waits func() bool, mine func(ctx context.Context) error, log *slog.Logger) *AutoMiner {
	return &AutoMiner{waits, mine, log, make(chan struct{}, 1)}
}

// Submitted mines what waits. Of many transactions that come at once the first block takes
// all that are there.
func (a *AutoMiner) Submitted(ctx context.Context) {
	select {
	case a.slot <- struct{}{}:
		defer func() { <-a.slot }()
	case <-ctx.Done():
		return
	}
	if !a.waits() {
		return
	}
	if err := a.mine(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("a transaction is not mined at once", "error", err)
	}
}
