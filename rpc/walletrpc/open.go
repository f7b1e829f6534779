package walletrpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"lode/consensus"
	"lode/wallet"
)

// open is a wallet that is loaded. It holds the lock of the wallet's files.
type open struct {
	m     *Manager
	name  string
	files wallet.Files

	turn chan struct{} // holds one token while nobody uses the wallet; see lock

	following following

	// What follows is used by whoever has the turn.
	w      *wallet.Wallet
	closed bool
	tip    consensus.Hash // as of which the wallet is up to date, with
	pool   uint64         // the changes of the mempool so far

	mu     sync.Mutex // guards what follows
	secret *wallet.Held
	plain  bool        // the secret file has no passphrase
	until  time.Time   // by the node's clock, when the secret is wiped; zero if it is locked
	relock *time.Timer // wipes it
	scan   *scan       // that is under way, nil for none
}

func newOpen(m *Manager, name string, files wallet.Files, w *wallet.Wallet) (*open, error) {
	o := &open{m: m, name: name, files: files, w: w, turn: make(chan struct{}, 1)}
	o.turn <- struct{}{}
	plain, err := files.IsPlain()
	if err != nil || !plain {
		return o, err
	}
	o.plain = true
	o.secret, err = files.HoldSecret(m.cfg.Spec, "")
	return o, err
}

// lock waits for the turn.
func (o *open) lock(ctx context.Context) error {
	select {
	case <-o.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if o.closed {
		o.turn <- struct{}{}
		return errNotLoaded
	}
	return nil
}

func (o *open) unlock() { o.turn <- struct{}{} }

// close saves the wallet, lets go of its files and wipes the secret.
func (o *open) close() error {
	if s := o.scanning(); s != nil {
		s.cancel()
	}
	<-o.turn
	defer o.unlock()
	o.forget()
	if o.closed {
		return nil
	}
	o.closed = true
	return errors.Join(o.w.Save(), o.w.Close())
}

// forget wipes the secret.
func (o *open) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.secret != nil && !o.plain { // a plain one can be read in its file
		go wallet.Scrub() // what using it has left in the heap
	}
	o.wipe()
}

// wipe is forget for who holds mu.
func (o *open) wipe() {
	if o.relock != nil {
		o.relock.Stop()
		o.relock = nil
	}
	if o.secret != nil {
		o.secret.Close()
		o.secret = nil
	}
	o.until = time.Time{}
}

// unlockFor has the secret in memory for a while.
func (o *open) unlockFor(secret *wallet.Held, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wipe()
	o.secret, o.until = secret, o.m.cfg.Now().Add(d)
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.relock == timer { // else it was unlocked anew meanwhile
			o.wipe()
			go wallet.Scrub()
		}
	})
	o.relock = timer
}

// isLocked reports whether the secret is not in memory.
func (o *open) isLocked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.secret == nil && !o.w.WatchOnly()
}

// withSecret calls f with the secret, if it is in memory.
func (o *open) withSecret(f func(*wallet.Secret) error) error {
	if o.w.WatchOnly() {
		return fail(codeWallet, "Error: Private keys are disabled for this wallet")
	}
	o.mu.Lock()
	held := o.secret
	o.mu.Unlock()
	if held == nil {
		return errLocked
	}
	if err := held.Use(f); errors.Is(err, wallet.ErrClosed) {
		return errLocked
	} else if err != nil {
		return err
	}
	return nil
}
