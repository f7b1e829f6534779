package miner

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Source is where the work comes from and where what was found goes.
type Source interface {
	// Run hands out jobs until ctx ends, or until there can be no more: then it
	// says why. It calls work with each, with nil while there is none, and by
	// itself tries again what may succeed later.
	Run(ctx context.Context, work func(*Job)) error
	// Submit hands in a find. An error is of the transport.
	Submit(ctx context.Context, f *Found) (Verdict, error)
}

// Verdict is what a source says about a find.
type Verdict struct {
	Outcome Outcome
	Reason  string // why not, in the source's words
}

// Outcome is the short form of a verdict.
type Outcome int

// The outcomes.
const (
	Accepted Outcome = iota
	Rejected
	Stale // it would have been good before
)

// Stats is how a miner does.
type Stats struct {
	HashRate                  float64 // hashes a second, lately
	Accepted, Rejected, Stale uint64  // finds
	Limit                     uint64  // hashes a second at most; 0 for no limit
	Paused                    bool
}

// Miner has workers search what a source gives them.
type Miner struct {
	source                    Source
	workers                   *Workers
	log                       *slog.Logger
	show                      func(Stats)
	accepted, rejected, stale atomic.Uint64
}

// New prepares a miner; Run starts it.
func New(source Source, workers *Workers, log *slog.Logger) *Miner {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Miner{source: source, workers: workers, log: log}
}

// Show has f called every second with how the miner does, in place of a line in
// the log now and then. It must come before Run.
func (m *Miner) Show(f func(Stats)) { m.show = f }

// Stats is how the miner does.
func (m *Miner) Stats() Stats {
	s := Stats{HashRate: m.workers.HashRate(), Accepted: m.accepted.Load(), Rejected: m.rejected.Load(), Stale: m.stale.Load()}
	s.Limit, s.Paused = m.workers.slow.state()
	return s
}

// Pause has the miner rest until it is called with false.
func (m *Miner) Pause(on bool) { m.workers.Pause(on) }

// Limit bounds the hash rate, in hashes a second; 0 is no limit.
func (m *Miner) Limit(rate uint64) { m.workers.Limit(rate) }

// reportEvery is how often the hash rate is logged.
const reportEvery = 30 * time.Second

// Run mines until ctx ends, or until the source has no more work: then it gives
// the source's reason.
func (m *Miner) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { m.workers.Run(ctx) })
	wg.Go(func() { m.submit(ctx) })
	wg.Go(func() { m.report(ctx) })
	return m.source.Run(ctx, m.workers.Work)
}

func (m *Miner) submit(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-m.workers.Found():
			v, err := m.source.Submit(ctx, &f)
			if err != nil && ctx.Err() != nil {
				return
			}
			m.count(&f, v, err)
		}
	}
}

func (m *Miner) count(f *Found, v Verdict, err error) {
	hash := f.Header.Hash()
	switch {
	case err != nil:
		m.rejected.Add(1)
		m.log.Error("find was not handed in", "hash", hash, "error", err)
	case v.Outcome == Accepted:
		m.accepted.Add(1)
		m.log.Debug("find accepted", "hash", hash)
	case v.Outcome == Stale:
		m.stale.Add(1)
		m.log.Info("find came too late", "hash", hash, "reason", v.Reason)
	default:
		m.rejected.Add(1)
		m.log.Error("find was refused", "hash", hash, "reason", v.Reason)
	}
}

// report keeps the hash rate up to date, and logs it now and then.
func (m *Miner) report(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := m.Stats()
		if m.show != nil {
			m.show(s)
		} else if time.Since(last) >= reportEvery {
			last = time.Now()
			m.log.Info("mining", "hashes_per_second", uint64(s.HashRate), "accepted", s.Accepted, "rejected", s.Rejected, "stale", s.Stale)
		}
	}
}
