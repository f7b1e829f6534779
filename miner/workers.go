package miner

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"lode/internal/pause"
	"lode/miner/kernel"
)

// Workers are the threads that search. All work on the job that was given last.
type Workers struct {
	threads int
	kernel  *kernel.Kernel // nil for the fastest, which is measured when work begins
	found   chan Found
	hashes  atomic.Uint64 // tried so far
	meter   meter
	busy    func() bool // see YieldTo
	slow    throttle

	current atomic.Pointer[space] // nil while there is nothing to do
	mu      sync.Mutex            // held to change current, and to wait for a change
	changed sync.Cond
}

// space is a job of which parts were handed out.
type space struct {
	*Job
	began   time.Time
	next    atomic.Uint64 // the extra nonce that nobody has yet
	working atomic.Int32  // threads that are at it
}

// NewWorkers prepares threads, 0 for one per core, that search with a kernel,
// nil for the fastest. Run starts them.
func NewWorkers(threads int, k *kernel.Kernel) *Workers {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	w := &Workers{threads: threads, kernel: k, found: make(chan Found, 64), busy: func() bool { return false }}
	w.changed.L = &w.mu
	return w
}

// YieldTo has all threads rest while busy says so. It must come before Run.
func (w *Workers) YieldTo(busy func() bool) { w.busy = busy }

// Limit has all threads together try at most so many hashes a second; 0 is no limit.
func (w *Workers) Limit(rate uint64) { w.slow.limit(rate) }

// Pause has all threads rest until it is called with false.
func (w *Workers) Pause(on bool) { w.slow.pause(on) }

// busyEvery is how often a thread that rests looks whether it must go on resting.
const busyEvery = 200 * time.Microsecond

// Threads is how many there are.
func (w *Workers) Threads() int { return w.threads }

// Found is where what was found comes out. Somebody must take it, or the threads
// wait.
func (w *Workers) Found() <-chan Found { return w.found }

// HashRate is how many hashes a second were tried lately.
func (w *Workers) HashRate() float64 { return w.meter.rate(w.hashes.Load(), time.Now()) }

// Work has all threads turn to another job, or rest if it is nil. They do within
// a millisecond.
func (w *Workers) Work(j *Job) {
	var s *space
	if j != nil {
		s = &space{Job: j, began: time.Now()}
	}
	w.mu.Lock()
	w.current.Store(s)
	w.mu.Unlock()
	w.changed.Broadcast()
}

// Run searches until ctx ends.
func (w *Workers) Run(ctx context.Context) {
	w.HashRate() // it counts from now
	defer context.AfterFunc(ctx, func() {
		w.mu.Lock() // so that nobody is between the look at ctx and the wait
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})()
	var wg sync.WaitGroup
	for range w.threads {
		wg.Go(func() {
			searches := make(map[*kernel.Kernel]*kernel.Search)
			for s := w.wait(ctx); s != nil; s = w.wait(ctx) {
				k := w.kernelFor(s.Job)
				if searches[k] == nil {
					searches[k] = k.NewSearch()
				}
				s.working.Add(1)
				w.grind(ctx, searches[k], s)
				s.working.Add(-1)
			}
		})
	}
	wg.Wait()
}

// kernelFor is the kernel for a job: which is the fastest is another matter where
// versions may be changed.
func (w *Workers) kernelFor(j *Job) *kernel.Kernel {
	switch {
	case w.kernel != nil:
		return w.kernel
	case j.VersionMask != 0:
		return kernel.FastestRolling()
	}
	return kernel.Fastest()
}

// wait gives what to work on, or nil when ctx has ended.
func (w *Workers) wait(ctx context.Context) *space {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ctx.Err() == nil {
		if s := w.current.Load(); s != nil {
			return s
		}
		w.changed.Wait()
	}
	return nil
}

// end has nobody work on s any more.
func (w *Workers) end(s *space) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current.CompareAndSwap(s, nil)
}

// grind searches the nonces of one extra nonce after another, each at the time
// of its beginning. Between two chunks, which take less than a millisecond, it
// looks whether there is another job, and whether somebody needs the core more;
// whatever else wants to run gets its turn then.
func (w *Workers) grind(ctx context.Context, search *kernel.Search, s *space) {
	search.Roll(s.VersionMask)
	chunk, versions := search.Chunk(), uint64(search.Versions())
	for {
		i := s.next.Add(1) - 1
		header := s.Header(s.extra(i % s.spaces()))
		// Each round over all extra nonces has another time, so that nothing is
		// searched twice.
		passed, round := uint64(time.Since(s.began)/time.Second), i/s.spaces()
		header.Time = s.Time + uint32(max(passed, round))
		if uint64(header.Time) > uint64(s.MaxTime)+passed {
			w.end(s)
			return
		}
		search.Set(header, &s.Target)
		for first, last := uint32(0), false; !last; first += chunk {
			w.yield(ctx, s)
			if w.current.Load() != s || ctx.Err() != nil {
				return
			}
			for hit := range search.Headers(first, chunk) {
				if s.Once {
					if !w.current.CompareAndSwap(s, nil) {
						return
					}
					w.hashes.Add((uint64(hit.Nonce-first) + 1) * versions)
				}
				select {
				case w.found <- Found{Job: s.Job, Extra: s.extra(i % s.spaces()), Header: hit}:
				case <-ctx.Done():
					return
				}
			}
			w.hashes.Add(uint64(chunk) * versions)
			w.slow.tried(uint64(chunk)*versions, time.Now())
			w.rest(ctx, s)
			last = first+chunk == 0
			runtime.Gosched()
		}
	}
}

// yield waits while somebody needs the core more, or there is a pause, and s is what to
// work on.
func (w *Workers) yield(ctx context.Context, s *space) {
	for w.busy() && w.current.Load() == s && ctx.Err() == nil {
		time.Sleep(busyEvery)
	}
	for d := w.slow.rest(); d > 0 && w.current.Load() == s && ctx.Err() == nil; d = w.slow.rest() {
		_ = pause.For(ctx, d)
	}
}

// rest waits until more hashes are due, or there is another job.
func (w *Workers) rest(ctx context.Context, s *space) {
	const look = 5 * time.Millisecond
	for d := w.slow.wait(time.Now()); d > 0 && w.current.Load() == s && ctx.Err() == nil; d = w.slow.wait(time.Now()) {
		_ = pause.For(ctx, min(d, look))
	}
}

// meter makes a rate of a count that grows.
type meter struct {
	mu     sync.Mutex // guards what follows
	counts []reading  // the oldest first
}

type reading struct {
	at    time.Time
	count uint64
}

// rateOver is the time that a rate is of.
const rateOver = 10 * time.Second

// rate is the growth in a second, of late. Somebody must ask now and then.
func (m *meter) rate(count uint64, now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.counts); n == 0 || now.Sub(m.counts[n-1].at) >= time.Second {
		m.counts = append(m.counts, reading{now, count})
	}
	for len(m.counts) > 1 && now.Sub(m.counts[1].at) >= rateOver {
		m.counts = m.counts[1:]
	}
	past := m.counts[0]
	if d := now.Sub(past.at); d > 0 {
		return float64(count-past.count) / d.Seconds()
	}
	return 0
}
