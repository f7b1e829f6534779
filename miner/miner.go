package miner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lode/chain"
	"lode/consensus"
)

// Config says what to mine and how.
type Config struct {
	Ledger  Ledger
	Pool    Pool
	PayTo   []byte // output script of the coinbase
	Threads int
	// Pace is how long this miner rests after a block that it has found. Where
	// the difficulty is fixed it keeps the subsidy from being used up in seconds.
	Pace  time.Duration
	Ready func() bool      // false while the node still catches up; nil means always ready
	Now   func() time.Time // nil means time.Now
	Log   *slog.Logger     // nil means none
}

// Miner searches for blocks until it is told to stop.
type Miner struct {
	cfg    Config
	hashes atomic.Uint64 // tried so far
	rate   atomic.Uint64 // hashes a second, lately
	found  atomic.Uint64
}

// New prepares a miner; Run starts it.
func New(cfg Config) *Miner {
	if cfg.Ready == nil {
		cfg.Ready = func() bool { return true }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Threads = max(1, cfg.Threads)
	return &Miner{cfg: cfg}
}

// HashRate is how many hashes a second were tried lately.
func (m *Miner) HashRate() uint64 { return m.rate.Load() }

// Found is how many blocks were found so far.
func (m *Miner) Found() uint64 { return m.found.Load() }

const (
	refreshEvery = 10 * time.Second // at the latest, a new template with new transactions and time
	reportEvery  = 30 * time.Second
	retryAfter   = time.Second
)

// Run mines until ctx ends, or the ledger fails for good: then it gives that
// error.
func (m *Miner) Run(ctx context.Context) error {
	poked := make(chan struct{}, 1)
	cancel := m.cfg.Ledger.Subscribe(func() {
		select {
		case poked <- struct{}{}:
		default:
		}
	})
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() { m.report(ctx) })

	m.cfg.Log.Info("mining", "threads", m.cfg.Threads)
	for ctx.Err() == nil {
		t, err := m.template()
		if errors.Is(err, chain.ErrFatal) {
			return err
		}
		if err != nil {
			m.cfg.Log.Warn("cannot mine", "error", err)
			wait(ctx, retryAfter)
			continue
		}
		if t == nil {
			wait(ctx, retryAfter)
			continue
		}
		found := m.search(ctx, t, poked)
		if found == nil {
			continue
		}
		err = m.cfg.Ledger.AddBlock(found)
		if errors.Is(err, chain.ErrFatal) {
			return err
		}
		if err != nil {
			m.cfg.Log.Error("mined block was refused", "hash", found.Header.Hash(), "error", err)
			wait(ctx, retryAfter)
			continue
		}
		m.found.Add(1)
		m.cfg.Log.Info("mined block", "hash", found.Header.Hash(), "transactions", len(found.Txs))
		wait(ctx, m.cfg.Pace)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// template is what to work on, or nil while the node is not ready.
func (m *Miner) template() (*Template, error) {
	if !m.cfg.Ready() {
		return nil, nil
	}
	return Assemble(m.cfg.Ledger.Rules(), m.cfg.Pool, m.cfg.PayTo, m.cfg.Now())
}

// search has every thread look for a proof of work for t, until one has
// found it, the chain has another tip, or the template is too old. It gives the
// solved block or nil.
func (m *Miner) search(ctx context.Context, t *Template, poked <-chan struct{}) *consensus.Block {
	var stop atomic.Bool
	results := make(chan *consensus.Block, m.cfg.Threads)
	var wg sync.WaitGroup
	for range m.cfg.Threads {
		wg.Go(func() {
			if solved := m.grind(t, &stop); solved != nil {
				stop.Store(true)
				results <- solved
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	refresh := time.NewTimer(refreshEvery)
	defer refresh.Stop()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-ctx.Done():
			waiting = false
		case <-refresh.C:
			waiting = false
		case <-poked:
			waiting = m.cfg.Ledger.Tip().Hash == t.Block.Prev
		}
	}
	stop.Store(true)
	<-done
	select {
	case solved := <-results:
		return solved
	default:
		return nil
	}
}

// grind searches one space of nonces after another, each with its own random
// bytes in the coinbase, so that no two threads do the same work.
func (m *Miner) grind(t *Template, stop *atomic.Bool) *consensus.Block {
	target, ok := consensus.TargetFromBits(t.Block.Bits)
	if !ok {
		return nil
	}
	for !stop.Load() {
		mine, err := t.reroll()
		if err != nil {
			m.cfg.Log.Error("no random bytes for a coinbase", "error", err)
			return nil
		}
		for first := uint64(0); first < 1<<32 && !stop.Load(); first += chunk {
			nonce, found := scan(mine.Header, &target, uint32(first), chunk)
			if found {
				m.hashes.Add(uint64(nonce-uint32(first)) + 1)
				mine.Nonce = nonce
				return mine
			}
			m.hashes.Add(chunk)
		}
	}
	return nil
}

// report keeps the hash rate, and logs it now and then.
func (m *Miner) report(ctx context.Context) {
	const every = 5 * time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	last, sinceLog := m.hashes.Load(), time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := m.hashes.Load()
		m.rate.Store(uint64(float64(now-last) / every.Seconds()))
		last = now
		if sinceLog += every; sinceLog >= reportEvery {
			sinceLog = 0
			m.cfg.Log.Info("hash rate", "hashes_per_second", m.rate.Load(), "blocks", m.found.Load())
		}
	}
}
