package miner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lode/consensus"
	"lode/internal/poke"
)

// TemplatesConfig says where templates come from.
type TemplatesConfig struct {
	Ledger   Ledger
	Pool     Pool
	Reserved int              // weight units that the header and the coinbase may take; 0 means DefaultReserved
	Weight   int              // of a whole block at most, with Reserved; 0 means what the rules allow
	Version  int32            // of blocks; 0 means what the rules ask for
	Ready    func() error     // why the node cannot make blocks, nil if it can; nil means it always can
	Now      func() time.Time // nil means time.Now
	Log      *slog.Logger     // nil means none
}

// ErrSyncing is the reason of a node that lacks blocks which its peers have
// shown: what it could make would come too late.
var ErrSyncing = errors.New("the node is still fetching blocks that its peers have shown")

// Templates keeps a template of the next block: a new one at each new tip, and
// one with what came into the pool every few seconds, in the background as long
// as somebody has asked of late.
type Templates struct {
	cfg    TemplatesConfig
	used   atomic.Int64  // Unix seconds of when somebody asked last
	poked  chan struct{} // the ledger has changed
	wanted chan struct{} // somebody asks after a long time

	making  sync.Mutex    // held while a template is made, so that several who ask share it
	mu      sync.Mutex    // guards what follows
	current *Template     // nil if there is none
	given   bool          // one after this tip, to somebody who asked
	made    time.Time     // current
	last    *Template     // that was made, for this or for Generate
	changed chan struct{} // closed when current is out of date
}

const (
	refreshEvery = 5 * time.Second // how old a template gets when the pool has changed, as in Bitcoin Core
	unusedAfter  = 5 * time.Minute // nobody has asked for so long: nothing is done in the background
)

// NewTemplates prepares templates; Run keeps them up to date.
func NewTemplates(cfg TemplatesConfig) *Templates {
	if cfg.Reserved == 0 {
		cfg.Reserved = DefaultReserved
	}
	if most := cfg.Ledger.Rules().MaxBlockWeight; cfg.Weight == 0 || cfg.Weight > most {
		cfg.Weight = most
	}
	if cfg.Ready == nil {
		cfg.Ready = func() error { return nil }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Templates{cfg: cfg, poked: make(chan struct{}, 1), wanted: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Now is the node's time.
func (t *Templates) Now() time.Time { return t.cfg.Now() }

// Rules are those that the templates obey.
func (t *Templates) Rules() *consensus.Rules { return t.cfg.Ledger.Rules() }

// Ledger is what the templates come after.
func (t *Templates) Ledger() Ledger { return t.cfg.Ledger }

// Last is the template that was made last, nil if there was none yet.
func (t *Templates) Last() *Template {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// Current gives a template for the present tip, and a channel that is closed
// when it is worth while to ask again. The first after a new tip has all that is in
// the pool now. The error is Ready's, of kind ErrClock,
// or of the ledger.
func (t *Templates) Current() (*Template, <-chan struct{}, error) {
	if now := time.Now().Unix(); t.used.Swap(now) < now-int64(unusedAfter/time.Second) {
		poke.Send(t.wanted)
	}
	return t.get(true)
}

// get is Current; asked is false in the background.
func (t *Templates) get(asked bool) (*Template, <-chan struct{}, error) {
	if err := t.cfg.Ready(); err != nil {
		return nil, nil, err
	}
	t.making.Lock()
	defer t.making.Unlock()
	t.mu.Lock()
	current, made, changed, given := t.current, t.made, t.changed, t.given
	t.given = given || asked
	t.mu.Unlock()
	if current != nil && current.Tip.Hash == t.cfg.Ledger.Tip().Hash &&
		(current.Change == t.cfg.Pool.Changes() || (given || !asked) && time.Since(made) < refreshEvery) {
		return current, changed, nil
	}
	next, err := t.assemble(t.cfg.Pool)
	if err != nil {
		return nil, nil, err
	}
	given = asked || given && current != nil && current.Tip.Hash == next.Tip.Hash
	return next, t.replace(next, given), nil
}

// assemble makes a template for whatever purpose.
func (t *Templates) assemble(pool Pool) (*Template, error) {
	made, err := assemble(t.cfg.Ledger.Rules(), pool, t.cfg.Now(), t.cfg.Weight, t.cfg.Reserved)
	if err != nil {
		return nil, err
	}
	if t.cfg.Version != 0 {
		made.Version = t.cfg.Version
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = made
	return made, nil
}

// replace makes another template the current one, or none.
func (t *Templates) replace(current *Template, given bool) (changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if current != nil || t.current != nil {
		close(t.changed)
		t.current, t.made, t.changed, t.given = current, time.Now(), make(chan struct{}), given
	}
	return t.changed
}

// Run keeps the template up to date until ctx ends.
func (t *Templates) Run(ctx context.Context) error {
	cancel := t.cfg.Ledger.Subscribe(func() { poke.Send(t.poked) })
	defer cancel()
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.poked:
		case <-t.wanted:
		case <-tick.C:
		}
		if time.Now().Unix()-t.used.Load() > int64(unusedAfter/time.Second) {
			t.replace(nil, false) // whoever works on it all the while asks again
			continue
		}
		if _, _, err := t.get(false); err != nil {
			t.cfg.Log.Debug("no template", "error", err) // whoever asks is told
		}
	}
}
