package miner

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"lode/internal/pause"
	"lode/rpc/client"
	"lode/rpc/code"
)

// RemoteConfig says which node the work comes from.
type RemoteConfig struct {
	Dial    func() (*client.Client, error) // called again after each outage: a node that starts anew may want another password
	PayTo   []byte                         // a script
	Pace    time.Duration                  // how long to rest after a block that was found
	Explain func(error) error              // adds to an error for the log what to do; nil means nothing
	Log     *slog.Logger                   // nil means none
}

// Remote is the source of work in another node: getblocktemplate with long
// polling, and submitblock (BIP22, BIP23).
type Remote struct {
	cfg   RemoteConfig
	pacer pacer

	mu     sync.Mutex // guards what follows
	client *client.Client
	job    *Job   // given last; nil while there is none
	hurry  bool   // ask for a template at once, and do not wait until the last is out of date
	cancel func() // ends the call that waits
}

// NewRemote prepares a source; nothing is called yet.
func NewRemote(cfg RemoteConfig) *Remote {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Explain == nil {
		cfg.Explain = func(err error) error { return err }
	}
	return &Remote{cfg: cfg, pacer: pacer{every: cfg.Pace}, cancel: func() {}}
}

// How long to wait before a call is made again that has failed: twice as long
// each time.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
	// hastenAfter is how long after a block was accepted there must be another
	// template.
	hastenAfter = time.Second
	// submitFor is how long a block is worth handing in.
	submitFor = 2 * time.Minute
)

// permanent reports whether it is of no use to make the same call again. A node
// that wants another password may have started anew: with the cookie it left then
// the next call is let in.
func permanent(err error) bool {
	if e, ok := errors.AsType[*client.Error](err); ok {
		switch e.Code {
		case code.Misc, code.NoPeers, code.Syncing, code.WarmUp: // it has no template yet
			return false
		}
		return true
	}
	return errors.Is(err, client.ErrForbidden) || errors.Is(err, client.ErrURL) || errors.Is(err, errTemplate)
}

// Run implements Source. It ends early only if the first answer shows that there
// will never be work: the node refuses the call, or has no templates of use.
func (r *Remote) Run(ctx context.Context, work func(*Job)) error {
	worked, said, id, wait := false, "", "", firstRetry
	for {
		job, next, err := r.next(ctx, id)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errHurry):
			id = ""
			continue
		case err != nil:
			if !worked && permanent(err) {
				return err
			}
			r.give(nil, work)
			if kind := kindOf(err); said == "" || kind != said && kind != gone {
				said = kind
				r.cfg.Log.Warn("no work from the node, trying again until there is", "error", r.cfg.Explain(err))
			}
			_ = pause.For(ctx, wait)
			id, wait = "", min(2*wait, lastRetry)
			continue
		}
		if said != "" {
			r.cfg.Log.Info("the node has work again")
		}
		worked, said, id, wait = true, "", next, firstRetry
		if r.pacer.rest(ctx) {
			id = "" // there may be a better one by now
			continue
		}
		r.give(job, work)
		if id == "" { // it knows no long polling
			r.wait(ctx, refreshEvery)
		}
	}
}

// give hands out a job, or none.
func (r *Remote) give(job *Job, work func(*Job)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job = job
	work(job)
}

// gone is the kind of the errors of a node that does not answer. One that stops
// may have said something before, and that is enough for one outage.
const gone = "gone"

// kindOf tells one outage from another: the node is gone, it lets this miner in no
// more, or it says by a code why it has no template.
func kindOf(err error) string {
	switch {
	case errors.Is(err, client.ErrUnauthorized):
		return "unauthorized"
	case errors.Is(err, client.ErrForbidden):
		return "forbidden"
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return strconv.Itoa(e.Code)
	}
	return gone
}

// errHurry is the error of a call that was ended because there is something new
// to ask.
var errHurry = errors.New("not worth waiting for")

// next asks for the template that comes after the one with an id, or for one at
// once if the id is empty, and makes a job of it.
func (r *Remote) next(ctx context.Context, id string) (job *Job, nextID string, err error) {
	request := map[string]any{"rules": []string{"segwit"}, "capabilities": []string{"coinbasevalue", "longpoll"}}
	waiting, done := r.begin(ctx, id != "")
	defer done()
	if waiting.Err() != nil {
		return nil, "", errHurry
	}
	if id != "" {
		request["longpollid"] = id
	}
	var answer remoteTemplate
	if err := r.call(waiting, "getblocktemplate", []any{request}, &answer); err != nil {
		if waiting.Err() != nil && ctx.Err() == nil {
			err = errHurry
		}
		return nil, "", err
	}
	job, err = answer.job(r.cfg.PayTo)
	return job, answer.LongPollID, err
}

// begin gives a context that ends when there is reason to hurry. One who does
// not wait is in a hurry already.
func (r *Remote) begin(ctx context.Context, waits bool) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel = func() {}
	if waits {
		r.cancel = cancel
	}
	if r.hurry {
		r.cancel()
	}
	r.hurry = false
	return ctx, cancel
}

// hasten has Run ask for a template at once if there is still the same job: one
// find was all that was wanted of it.
func (r *Remote) hasten(job *Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.job == job {
		r.hurry = true
		r.cancel()
	}
}

// wait passes some time, unless there is reason to hurry.
func (r *Remote) wait(ctx context.Context, d time.Duration) {
	ctx, done := r.begin(ctx, true)
	defer done()
	_ = pause.For(ctx, d)
}

// call calls the node. After an error that is not the node's own, the next call
// is made over a new connection.
func (r *Remote) call(ctx context.Context, method string, params []any, result any) error {
	r.mu.Lock()
	c := r.client
	r.mu.Unlock()
	if c == nil {
		var err error
		if c, err = r.cfg.Dial(); err != nil {
			return err
		}
		c.Limit = maxTemplate
	}
	err := c.Call(ctx, method, params, result)
	if _, refused := errors.AsType[*client.Error](err); err != nil && !refused && ctx.Err() == nil {
		c = nil
	}
	r.mu.Lock()
	r.client = c
	r.mu.Unlock()
	return err
}

// Submit implements Source. A node that is away for a moment still gets the
// block.
func (r *Remote) Submit(ctx context.Context, f *Found) (v Verdict, err error) {
	block, err := f.Job.template.Solve(f)
	if err != nil {
		return v, err
	}
	undo := r.pacer.found()
	v, err = r.submit(ctx, hex.EncodeToString(block.Bytes()))
	accepted := err == nil && v.Outcome == Accepted
	if !accepted {
		undo()
	} else {
		r.cfg.Log.Info("mined block", "height", f.Job.template.Height, "reward", reward(block), "hash", block.Header.Hash(), "transactions", len(block.Txs))
	}
	if accepted { // the long poll is about to end
		time.AfterFunc(hastenAfter, func() { r.hasten(f.Job) })
	} else {
		r.hasten(f.Job)
	}
	return v, err
}

// submit hands in a block in hex until there is an answer.
func (r *Remote) submit(ctx context.Context, block string) (Verdict, error) {
	for began, wait := time.Now(), firstRetry; ; wait = min(2*wait, lastRetry) {
		var reason *string
		err := r.call(ctx, "submitblock", []any{block}, &reason)
		e, refused := errors.AsType[*client.Error](err)
		switch {
		case err == nil && (reason == nil || *reason == "duplicate"): // the first answer may have got lost
			return Verdict{}, nil
		case err == nil:
			return Verdict{outcomeOf(*reason), *reason}, nil
		case refused && permanent(err):
			return Verdict{Rejected, e.Message}, nil
		case ctx.Err() != nil || time.Since(began) > submitFor || errors.Is(err, client.ErrForbidden):
			return Verdict{}, fmt.Errorf("submitblock: %w", err)
		}
		_ = pause.For(ctx, wait)
	}
}

// outcomeOf is what a reason of BIP22 comes to.
func outcomeOf(reason string) Outcome {
	switch reason {
	case "inconclusive", "inconclusive-not-best-prevblk", "stale-prevblk", "stale-work", "stale":
		return Stale
	}
	return Rejected
}
