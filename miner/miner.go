package miner

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/miner/kernel"
)

// Config says what to mine and how.
type Config struct {
	Ledger  Ledger
	Pool    Pool
	PayTo   []byte         // output script of the coinbase
	Threads int            // 0 means one per core
	Kernel  *kernel.Kernel // nil means the fastest, which is measured when Run begins
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
	pokes  atomic.Uint64 // how often the ledger has changed
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
	if cfg.Threads <= 0 {
		cfg.Threads = runtime.GOMAXPROCS(0)
	}
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
	cancel := m.cfg.Ledger.Subscribe(func() { m.pokes.Add(1) })
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() { m.report(ctx) })

	if m.cfg.Kernel == nil {
		m.cfg.Kernel = kernel.Fastest()
	}
	m.cfg.Log.Info("mining", "threads", m.cfg.Threads, "kernel", m.cfg.Kernel.Name)
	for ctx.Err() == nil {
		pokes := m.pokes.Load() // before the template: what changes after it is noticed
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
		found := m.search(ctx, t, pokes)
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
// solved block or nil. The ledger had changed pokes times before t was made.
func (m *Miner) search(ctx context.Context, t *Template, pokes uint64) *consensus.Block {
	ctx, cancel := context.WithTimeout(ctx, refreshEvery)
	defer cancel()
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	results := make(chan *consensus.Block, m.cfg.Threads)
	var wg sync.WaitGroup
	for range m.cfg.Threads {
		wg.Go(func() {
			if solved := m.grind(t, pokes, &stop); solved != nil {
				results <- solved
			}
			stop.Store(true) // also of the others, for the template is of no more use
		})
	}
	wg.Wait()
	select {
	case solved := <-results:
		return solved
	default:
		return nil
	}
}

// grind searches one space of nonces after another, each with its own random
// bytes in the coinbase and the time of its beginning, so that no two threads do
// the same work. Between two chunks, which take less than a millisecond, it looks
// whether the ledger has changed, and lets run whatever else wants to: whoever
// validates a block gets its core at once, and mining has what is left.
func (m *Miner) grind(t *Template, pokes uint64, stop *atomic.Bool) *consensus.Block {
	target, ok := consensus.TargetFromBits(t.Block.Bits)
	if !ok {
		return nil
	}
	search := m.cfg.Kernel.NewSearch()
	chunk := search.Chunk()
	for {
		mine, err := t.reroll()
		if err != nil {
			m.cfg.Log.Error("no random bytes for a coinbase", "error", err)
			return nil
		}
		if now := m.cfg.Now().Unix(); now > int64(mine.Time) {
			mine.Time = uint32(now)
		}
		search.Set(mine.Header, &target)
		for first, last := uint32(0), false; !last; first += chunk {
			if stop.Load() {
				return nil
			}
			if now := m.pokes.Load(); now != pokes {
				pokes = now
				if m.cfg.Ledger.Tip().Hash != t.Block.Prev {
					return nil
				}
			}
			for nonce := range search.Hits(first, chunk) {
				m.hashes.Add(uint64(nonce-first) + 1)
				mine.Nonce = nonce
				return mine
			}
			m.hashes.Add(uint64(chunk))
			last = first+chunk == 0
			runtime.Gosched()
		}
	}
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
