package miner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
)

// Local is the source of work in the node itself.
type Local struct {
	templates *Templates
	payTo     []byte
	pace      time.Duration
	log       *slog.Logger

	mu    sync.Mutex // guards what follows
	job   *Job       // given last; nil while there is none
	until time.Time  // when to go on after a find
	again chan struct{}
}

// NewLocal is a source that pays to a script. It rests for pace after a block
// that was found: where the difficulty is fixed that keeps the subsidy from being
// used up in seconds.
func NewLocal(templates *Templates, payTo []byte, pace time.Duration, log *slog.Logger) *Local {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Local{templates: templates, payTo: payTo, pace: pace, log: log, again: make(chan struct{}, 1)}
}

const (
	retryAfter = time.Second // how long to wait when there is no template
	// The extra nonce of a local job: random bytes, so that no two coinbases are
	// alike anywhere, and a number that counts what the threads search.
	randomSize, countSize = 8, 8
)

// Run implements Source. It ends early with an error of kind chain.ErrFatal.
func (l *Local) Run(ctx context.Context, work func(*Job)) error {
	ledger := l.templates.Ledger()
	// A new tip makes a job useless before there is another template.
	cancel := ledger.Subscribe(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.job != nil && l.job.Prev != ledger.Tip().Hash {
			l.job = nil
			work(nil)
		}
	})
	defer cancel()
	said := ""
	for ctx.Err() == nil {
		l.rest(ctx)
		t, changed, err := l.templates.Current()
		if errors.Is(err, chain.ErrFatal) {
			return err
		}
		if err != nil {
			if said != err.Error() {
				said = err.Error()
				l.log.Warn("cannot mine yet", "error", err)
			}
			work(nil)
			sleep(ctx, retryAfter)
			continue
		}
		said = ""
		job, err := l.newJob(t)
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.job = job
		work(job)
		l.mu.Unlock()
		if ledger.Tip().Hash != job.Prev {
			continue // it has moved before the subscription knew of the job
		}
		select {
		case <-ctx.Done():
		case <-l.again:
		case <-changed:
		}
	}
	return nil
}

// rest waits until the pace allows the next block.
func (l *Local) rest(ctx context.Context) {
	l.mu.Lock()
	wait := time.Until(l.until)
	l.mu.Unlock()
	sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) {
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

func (l *Local) newJob(t *Template) (*Job, error) {
	target, ok := consensus.TargetFromBits(t.Bits)
	if !ok {
		return nil, fmt.Errorf("template with impossible bits %08x", t.Bits)
	}
	random := make([]byte, randomSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	before, after := t.Split(random, countSize, consensus.TxOut{Value: t.Value, Script: l.payTo})
	job := t.Job(before, after, countSize, t.Time(l.templates.Now()), target)
	job.Once = true
	return job, nil
}

// Submit implements Source.
func (l *Local) Submit(_ context.Context, f *Found) (v Verdict, err error) {
	block, err := f.Job.template.Solve(f)
	if err != nil {
		return v, err
	}
	l.mu.Lock()
	before := l.until
	l.until = time.Now().Add(l.pace) // before the new tip asks for the next job
	l.mu.Unlock()
	if l.templates.Ledger().Tip().Hash != block.Prev {
		v = Verdict{Stale, "there is another block at its height"} // and it may be of use yet
	}
	if err = l.templates.Ledger().AddBlock(block); err == nil {
		if v.Outcome == Accepted {
			l.log.Info("mined block", "hash", block.Header.Hash(), "transactions", len(block.Txs))
		}
		return v, nil
	}
	l.mu.Lock()
	l.until = before
	l.mu.Unlock()
	poke(l.again)
	if errors.Is(err, chain.ErrFatal) {
		return v, err
	}
	return Verdict{Rejected, err.Error()}, nil
}
