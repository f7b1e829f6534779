package mempool

import (
	"errors"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
)

// Add takes tx in, or says why not: an error of kind ErrKnown if it is there
// already, consensus.ErrMissingInputs if it spends a coin that is not there,
// and others; see IsRefusal. What several goroutines add at the same time is
// verified together.
func (p *Pool) Add(tx *consensus.Tx) error { return p.AddWithin(tx, 0) }

// AddWithin is Add for a transaction whose own fee is not more than most for its size,
// if most is not 0. The error is ErrMaxFee for one whose fee is more, and to which
// nothing else was to be said.
func (p *Pool) AddWithin(tx *consensus.Tx, most FeeRate) error {
	a := &adding{tx: tx, most: most, done: make(chan struct{})}
	p.queue.add(p, a)
	if a.err == nil {
		p.announce(a.entry)
	}
	return a.err
}

// AddAll is Add for many. Their signatures are verified together; they may spend
// each other, parents before children. errs has one error for each.
func (p *Pool) AddAll(txs []*consensus.Tx) (errs []error) {
	list := make([]*adding, len(txs))
	for i, tx := range txs {
		list[i] = &adding{tx: tx}
	}
	p.addAll(list)
	errs = make([]error, len(txs))
	for i, a := range list {
		if errs[i] = a.err; a.err == nil {
			p.announce(a.entry)
		}
	}
	return errs
}

// Test is Add without taking tx in: it gives what the entry would be.
func (p *Pool) Test(tx *consensus.Tx) (*Entry, error) {
	c, err := p.test(tx)
	if err != nil {
		return nil, err
	}
	return &c.Entry, nil
}

func (p *Pool) test(tx *consensus.Tx) (*candidate, error) {
	c, err := p.prepare(tx)
	if err != nil {
		return nil, err
	}
	if err := p.locked(func(r *chain.Reader) error { return p.examine(r, c, alone) }); err != nil {
		return nil, err
	}
	return c, p.verifyOne(c)
}

// adding is a transaction on its way in.
type adding struct {
	tx    *consensus.Tx
	entry *Entry
	err   error
	time  time.Time // of an entry that was saved, or zero
	most  FeeRate   // see AddWithin

	// As one of a package, eviction waits for the others.
	packaged bool
	limit    FeeRate // what it may pay at most, or 0

	done      chan struct{} // closed once err says how it went; nil if nobody waits
	candidate *candidate
	paid      consensus.Amount // as prioritised, when it came in
}

// queue gathers what is added while others are verified, so that it is verified
// together next.
type queue struct {
	turn chan struct{} // holds one value while somebody works for all

	mu   sync.Mutex // guards list
	list []*adding
}

func newQueue() queue { return queue{turn: make(chan struct{}, 1)} }

// add returns when a has come in or has been refused.
func (q *queue) add(p *Pool, a *adding) {
	q.mu.Lock()
	q.list = append(q.list, a)
	q.mu.Unlock()
	select {
	case <-a.done: // by whoever had the turn
		return
	case q.turn <- struct{}{}:
	}
	q.mu.Lock()
	list := q.list
	q.list = nil
	q.mu.Unlock()
	p.addAll(list)
	for _, a := range list {
		close(a.done)
	}
	<-q.turn
	<-a.done // a was in this list or in an earlier one
}

// addAll adds several, and tells how it went. Signatures are verified with no
// lock held; then what may have changed meanwhile is looked at again.
func (p *Pool) addAll(list []*adding) {
	for _, a := range list {
		if a.candidate, a.err = p.prepare(a.tx); a.err == nil {
			a.candidate.limit = a.limit
		}
	}
	for round := list; len(round) > 0; {
		p.addRound(round)
		round = later(list, round)
	}
}

// addRound adds those that do not spend each other.
func (p *Pool) addRound(list []*adding) {
	each := func(do func(*chain.Reader, *adding) error) {
		err := p.locked(func(r *chain.Reader) error {
			for _, a := range list {
				if a.err == nil {
					a.err = do(r, a)
				}
			}
			return nil
		})
		for _, a := range list {
			if err != nil {
				a.err = err
			}
		}
	}
	each(func(r *chain.Reader, a *adding) error {
		return p.examine(r, a.candidate, alone)
	})
	p.verify(list)
	each(func(r *chain.Reader, a *adding) error {
		if err := p.again(r, a.candidate); err != nil {
			return err
		}
		if a.most > 0 && a.candidate.Fee > a.most.Fee(a.candidate.Size) {
			return refuse(ErrMaxFee, "")
		}
		return p.accept(a)
	})
}

// later lists those of list whose parents came in with the round.
func later(list, round []*adding) (later []*adding) {
	came := make(map[consensus.Hash]struct{})
	for _, a := range round {
		if a.err == nil {
			came[a.candidate.TxID] = struct{}{}
		}
	}
	if len(list) == 1 || len(came) == 0 {
		return nil
	}
	for _, a := range list {
		if a.err == nil || !errors.Is(a.err, consensus.ErrMissingInputs) {
			continue
		}
		for i := range a.tx.In {
			if _, ok := came[a.tx.In[i].PrevOut.TxID]; ok {
				a.err, later = nil, append(later, a)
				break
			}
		}
	}
	return later
}

// locked calls f with the pool locked and up to date with the ledger.
func (p *Pool) locked(f func(*chain.Reader) error) error {
	defer p.announceReturned()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Ledger.Read(func(r *chain.Reader) error {
		if err := p.sync(r); err != nil {
			return err
		}
		return f(r)
	})
}

// verify verifies the signatures of all that are still on their way, together.
func (p *Pool) verify(list []*adding) {
	var waiting []*adding
	var checks []consensus.SpendCheck
	for _, a := range list {
		if a.err == nil {
			waiting, checks = append(waiting, a), append(checks, a.candidate.checks()...)
		}
	}
	if len(waiting) == 0 || p.cfg.Sigs.Verify(checks) == nil {
		return
	}
	for _, a := range waiting { // one by one, to find those that fail
		a.err = p.verifyOne(a.candidate)
	}
}

func (p *Pool) verifyOne(c *candidate) error { return c.scriptError(p.cfg.Sigs.Verify(c.checks())) }

func (c *candidate) checks() []consensus.SpendCheck {
	return consensus.SpendChecks(c.Tx, c.TxID, c.coins)
}

// accept takes in what was examined. The caller holds mu.
func (p *Pool) accept(a *adding) error {
	c := a.candidate
	if !a.time.IsZero() {
		c.Time = a.time
	}
	p.track(c.Node, !a.time.IsZero())
	p.commit(c.change)
	p.came(c.change)
	if !a.packaged {
		p.trim()
	}
	if c.Cluster == nil {
		return tooCheap(refuse(ErrFull, "its fee rate is below that of the others"))
	}
	a.entry, a.paid = &c.Entry, c.Modified
	return nil
}
