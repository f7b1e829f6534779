package attack

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"lode/consensus"
)

// bounds are what an honest peer and the operator may expect during an attack.
type bounds struct {
	slowest, median time.Duration // until an honest block is the tip
	call            time.Duration // until a call is answered
	memory          int64         // bytes
	rest            time.Duration // until goroutines and peers are back
}

// judged are the bounds: on a machine that does other things too they only tell a
// node that goes on from one that stands still.
func judged() bounds {
	return scale(
		bounds{time.Second, 100 * time.Millisecond, time.Second, 300 << 20, 10 * time.Second},
		bounds{20 * time.Second, 10 * time.Second, 20 * time.Second, 400 << 20, 30 * time.Second})
}

// headerBounds are those of a block that is only announced by its header.
func headerBounds() bounds {
	b := judged()
	b.slowest, b.median = scale(3*time.Second, 20*time.Second), scale(3*time.Second, 20*time.Second)
	return b
}

// stranger is one who attacks until ctx ends.
type stranger func(ctx context.Context, n int)

// under runs strangers while honest blocks come, and judges.
func (v *victim) under(b bounds, byHeader bool, strangers ...stranger) {
	v.t.Helper()
	goroutines, peers := v.goroutines(), v.connections()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	for i, attack := range strangers {
		running.Go(func() { attack(ctx, i) })
	}
	pauseFor(ctx, scale(4*time.Second, 700*time.Millisecond))
	var blocks, calls []time.Duration
	most := 0
	for range scale(12, 3) {
		blocks = append(blocks, v.block(byHeader))
		calls = append(calls, v.templates())
		most = max(most, v.goroutines())
		pauseFor(ctx, scale(time.Duration(300+rand.IntN(700))*time.Millisecond, 50*time.Millisecond))
	}
	memory := v.memory()
	cancel()
	running.Wait()
	slices.Sort(blocks)
	median, slowest, call := blocks[len(blocks)/2], blocks[len(blocks)-1], slices.Max(calls)
	rest := v.rested(goroutines, peers, b.rest)
	v.t.Logf("honest block: median %v, slowest %v; call %v; %d MB, %d goroutines; at rest after %v",
		median.Round(time.Millisecond), slowest.Round(time.Millisecond), call.Round(time.Millisecond), memory>>20, most, rest.Round(100*time.Millisecond))
	switch {
	case median > b.median || slowest > b.slowest:
		v.t.Errorf("an honest block took %v in the median and %v at most, want %v and %v", median, slowest, b.median, b.slowest)
	case call > b.call:
		v.t.Errorf("a call took %v, want %v", call, b.call)
	case memory > b.memory:
		v.t.Errorf("the node took %d MB, want %d", memory>>20, b.memory>>20)
	}
}

// block has the honest peer make and announce a block, and says how long it took
// until it was the tip.
func (v *victim) block(byHeader bool) time.Duration {
	v.t.Helper()
	block := v.honest.mine()
	if v.honest.before != nil {
		v.honest.before()
	}
	start := time.Now()
	if err := v.honest.announce(block, byHeader); err != nil {
		v.t.Fatalf("the node hung up on its honest peer: %v", err)
	}
	want := block.Header.Hash()
	for {
		var text string
		v.mustCall(&text, "getbestblockhash")
		best, err := consensus.ParseHash(text)
		if err != nil {
			v.t.Fatal(err)
		}
		if best == want {
			return time.Since(start)
		}
		if time.Since(start) > time.Minute {
			v.t.Fatalf("an honest block has not come after a minute; %d goroutines, %d peers", v.goroutines(), v.connections())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// templates asks for work, and says how long that took.
func (v *victim) templates() time.Duration {
	v.t.Helper()
	start := time.Now()
	v.mustCall(nil, "getblocktemplate", map[string]any{"rules": []string{"segwit"}})
	return time.Since(start)
}

// rested waits until the node has no more goroutines and peers than before, but
// for a few that come and go.
func (v *victim) rested(goroutines, peers int, limit time.Duration) time.Duration {
	v.t.Helper()
	const slack = 25
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		g, p := v.goroutines(), v.connections()
		if g <= goroutines+slack && p <= peers {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			v.t.Errorf("%v after the attack there are %d goroutines and %d peers, before it %d and %d", limit, g, p, goroutines, peers)
			return time.Since(start)
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// many are n strangers that do the same.
func many(n int, attack stranger) []stranger { return slices.Repeat([]stranger{attack}, n) }

// visitor is a stranger that connects from an address of its own, does something
// until it is hung up on, and comes back.
func (v *victim) visitor(t *testing.T, do func(ctx context.Context, w *wire) error) stranger {
	return func(ctx context.Context, n int) {
		for ctx.Err() == nil {
			w, err := dial(ctx, address(n), v.tcp, spec.Defaults.Magic)
			if err == nil {
				stop := context.AfterFunc(ctx, func() { _ = w.c.Close() })
				if w.greet(true, 0) == nil {
					go w.drain()
					_ = do(ctx, w)
				}
				stop()
				_ = w.c.Close()
			}
			pauseFor(ctx, 100*time.Millisecond)
		}
	}
}

// drain reads what comes, answers pings, and drops the rest.
func (w *wire) drain() {
	for {
		command, payload, err := w.read()
		if err != nil {
			return
		}
		if command == "ping" {
			_ = w.send("pong", payload)
		}
	}
}
