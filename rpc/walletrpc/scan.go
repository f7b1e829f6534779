package walletrpc

import (
	"context"
	"sync"
	"time"

	"lode/consensus"
	"lode/wallet"
)

// scan is a look at the blocks that may take long. Whoever does it has the wallet's
// turn, and gives it to others between batches.
type scan struct {
	cancel   func()
	done     chan struct{}
	asked    bool // by a call: others do not wait for it, as in Bitcoin Core
	started  time.Time
	from, to uint32 // heights
	progress float64
	aborted  bool
}

// scanning is the scan under way, with its progress so far, or nil.
func (o *open) scanning() *scan {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.scan == nil {
		return nil
	}
	s := *o.scan
	return &s
}

// abort ends a scan that was asked for. False if there is none.
func (o *open) abort() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.scan == nil || !o.scan.asked || o.scan.aborted {
		return false
	}
	o.scan.aborted = true
	o.scan.cancel()
	return true
}

// work does something that reads blocks. The caller has the turn, and has it again
// when work is done; between batches, when others may have it, it calls between.
func (o *open) work(ctx context.Context, asked bool, from uint32, between func(), do func(context.Context, wallet.Progress) error) (aborted bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &scan{cancel: cancel, done: make(chan struct{}), asked: asked, started: time.Now(), from: from}
	o.mu.Lock()
	o.scan = s
	o.mu.Unlock()
	whole := false // false if do panics, which ends the scan too
	defer func() {
		o.mu.Lock()
		o.scan, aborted = nil, s.aborted
		o.mu.Unlock()
		close(s.done)
		if err != nil || !whole {
			o.tip = consensus.Hash{} // it is not known how far the wallet is
		}
		if !whole { // what it knew before is in its files
			if err := o.w.Revert(); err != nil {
				o.m.cfg.Log.Error("wallet cannot be read again", "wallet", o.name, "error", err)
			}
		}
	}()
	err = do(ctx, func(height, tip uint32) {
		o.mu.Lock()
		if s.to = tip; tip > s.from && height >= s.from {
			s.progress = float64(height-s.from) / float64(tip-s.from)
		}
		o.mu.Unlock()
		o.unlock() // the blocks read so far are all taken up
		between()
		<-o.turn
	})
	whole = true
	o.tellTouched()
	return aborted, err
}

// fresh brings the wallet up to the ledger and the mempool. The caller has the
// turn, which others may have meanwhile.
func (o *open) fresh(ctx context.Context) error { return o.catchUp(ctx, func() {}) }

// catchUp is fresh that calls between while others have the turn.
func (o *open) catchUp(ctx context.Context, between func()) error {
	for {
		s := o.scanning()
		if s == nil {
			break
		}
		if s.asked {
			return nil
		}
		o.unlock()
		select {
		case <-s.done:
		case <-ctx.Done():
		}
		if err := o.lock(context.WithoutCancel(ctx)); err != nil {
			<-o.turn // closed meanwhile: the caller gives the turn back
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	tip, pool := o.m.cfg.Chain.Tip().Hash, o.m.cfg.Pool.Changes()
	if tip == o.tip && pool == o.pool && o.w.PoolLoaded() {
		return nil
	}
	_, at := o.w.Scanned()
	_, err := o.work(ctx, false, at.Height, between, func(ctx context.Context, progress wallet.Progress) error {
		return o.w.Sync(ctx, o.m.node, progress)
	})
	if err == nil {
		o.tip, o.pool = tip, pool
	}
	return err
}

// following is whether somebody follows a wallet. The zero value is nobody.
type following struct {
	mu            sync.Mutex // guards what follows
	active, poked bool
}

// claim reports whether the caller is to follow. If somebody does already, it looks once more.
func (f *following) claim() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.poked = f.active
	first := !f.active
	f.active = true
	return first
}

// again ends a look, and reports whether there is to be another.
func (f *following) again() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active, f.poked = f.poked, false
	return f.active
}

// follow takes up what has happened. It has one of the manager's slots meanwhile, and lets
// other wallets have it between batches of blocks.
func (o *open) follow(ctx context.Context) error {
	slots := o.m.slots
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil
	}
	if o.scanning() != nil {
		return nil // which ends at the tip
	}
	if err := o.lock(ctx); err != nil {
		return nil // it was unloaded, or the node stops
	}
	defer o.unlock()
	if o.scanning() != nil {
		return nil
	}
	if err := o.catchUp(ctx, func() { <-slots; slots <- struct{}{} }); err != nil {
		return err
	}
	for _, line := range o.w.Notices() {
		o.m.cfg.Log.Info(line, "wallet", o.name)
	}
	return nil
}

// tellTouched has the command of --walletnotify told of what has changed.
func (o *open) tellTouched() {
	for _, id := range o.w.Touched() {
		v, ok := o.w.Transaction(id)
		if ok {
			o.m.notify.tell(o.name, &v)
		}
	}
}
