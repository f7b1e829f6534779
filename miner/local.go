package miner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/pause"
	"lode/internal/poke"
)

// Local is the source of work in the node itself.
type Local struct {
	templates *Templates
	payTo     []byte
	pacer     pacer
	log       *slog.Logger
	again     chan struct{} // a find was refused

	mu    sync.Mutex     // guards what follows
	job   *Job           // given last; nil while there is none
	mined consensus.Hash // handed in last
}

// NewLocal is a source that pays to a script. It rests for pace after a block
// that was found.
func NewLocal(templates *Templates, payTo []byte, pace time.Duration, log *slog.Logger) *Local {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Local{templates: templates, payTo: payTo, pacer: pacer{every: pace}, log: log, again: make(chan struct{}, 1)}
}

// retryAfter is how long to wait when there is no template.
const retryAfter = time.Second

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
		l.pacer.rest(ctx)
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
			_ = pause.For(ctx, retryAfter)
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

func (l *Local) newJob(t *Template) (*Job, error) {
	target, ok := consensus.TargetFromBits(t.Bits)
	if !ok {
		return nil, fmt.Errorf("template with impossible bits %08x", t.Bits)
	}
	return t.ownJob(l.payTo, t.Time(l.templates.Now()), target)
}

// HasMined reports whether hash is that of the block that was mined last.
func (l *Local) HasMined(hash consensus.Hash) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mined == hash
}

// reward is what a block pays whoever has mined it, subsidy and fees.
func reward(b *consensus.Block) (sum consensus.Amount) {
	for _, out := range b.Txs[0].Out {
		sum += out.Value
	}
	return sum
}

// Submit implements Source.
func (l *Local) Submit(_ context.Context, f *Found) (v Verdict, err error) {
	block, err := f.Job.template.Solve(f)
	if err != nil {
		return v, err
	}
	undo := l.pacer.found() // before the new tip asks for the next job
	if l.templates.Ledger().Tip().Hash != block.Prev {
		v = Verdict{Stale, "there is another block at its height"} // and it may be of use yet
	}
	hash := block.Header.Hash()
	l.mu.Lock()
	l.mined = hash // before others see it in the ledger
	l.mu.Unlock()
	if err = l.templates.Ledger().AddBlock(block); err == nil {
		if v.Outcome == Accepted {
			l.log.Info("mined block", "height", f.Job.template.Height, "reward", reward(block), "hash", hash, "transactions", len(block.Txs))
		}
		return v, nil
	}
	undo()
	poke.Send(l.again)
	if errors.Is(err, chain.ErrFatal) {
		return v, err
	}
	return Verdict{Rejected, err.Error()}, nil
}
