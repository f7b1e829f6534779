package miner

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"lode/consensus"
	"lode/miner/kernel"
)

// SearchHeader is a consensus.HeaderSearch on all cores, with the fastest kernel.
// progress, if it is not nil, is told now and then how many hashes were tried.
func SearchHeader(ctx context.Context, h *consensus.Header, target *consensus.Target, progress func(hashes uint64)) error {
	const every = 250 * time.Millisecond
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		k      = kernel.Fastest()
		next   atomic.Uint64 // of all times, 2^32 nonces each
		found  = make(chan consensus.Header, 1)
		wg     sync.WaitGroup
		header = *h
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			search, chunk := k.NewSearch(), uint64(k.Chunk())
			for ctx.Err() == nil {
				first := next.Add(chunk) - chunk
				try := header
				try.Time += uint32(first >> 32)
				search.Set(try, target)
				for nonce := range search.Hits(uint32(first&math.MaxUint32), uint32(chunk)) {
					try.Nonce = nonce
					select {
					case found <- try:
					default: // another was faster
					}
					stop()
					break
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if progress != nil {
				progress(next.Load())
			}
		case <-done:
			select {
			case *h = <-found:
				return nil
			default:
				return ctx.Err()
			}
		}
	}
}
