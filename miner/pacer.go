package miner

import (
	"context"
	"sync"
	"time"

	"lode/internal/pause"
)

// pacer keeps blocks apart: where the difficulty is fixed that keeps the subsidy
// from being used up in seconds.
type pacer struct {
	every time.Duration

	mu    sync.Mutex // guards what follows
	until time.Time  // when to go on after a find
}

// rest waits until the next block may be found, and reports whether it had to.
func (p *pacer) rest(ctx context.Context) bool {
	p.mu.Lock()
	wait := time.Until(p.until)
	p.mu.Unlock()
	_ = pause.For(ctx, wait)
	return wait > 0
}

// found begins a pause; undo takes that back, as if nothing had been found.
func (p *pacer) found() (undo func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.until
	p.until = time.Now().Add(p.every)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.until = before
	}
}
