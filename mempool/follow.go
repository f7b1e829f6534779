package mempool

import (
	"slices"

	"lode/consensus"
	"lode/internal/poke"
)

// maxJournal is how many changes of the pool are remembered for those who follow it.
// Who is further behind begins anew.
const maxJournal = 50_000

// journal is the ids of the transactions that came or left, the oldest first. It
// holds no transactions, which would stay in memory with it.
type journal struct {
	ids       []consensus.Hash // a ring, once it is full
	next      uint64           // number of the next change; that of ids[i] is i modulo the length
	followers map[*Follower]struct{}
}

// add notes a change, if anybody wants to know.
func (j *journal) add(id consensus.Hash) {
	if len(j.followers) == 0 {
		return
	}
	if len(j.ids) < maxJournal {
		j.ids = append(j.ids, id)
	} else {
		j.ids[j.next%maxJournal] = id
	}
	j.next++
}

// wake pokes all that follow.
func (j *journal) wake() {
	for f := range j.followers {
		poke.Send(f.poked)
	}
}

// Follower is told of the changes of a pool. One goroutine at a time may use it.
type Follower struct {
	p     *Pool
	poked chan struct{}
	next  uint64 // the first change that it has not seen; guarded by Pool.mu
	whole bool   // it must be given the whole pool; guarded by Pool.mu
}

// Follow begins to follow the pool.
func (p *Pool) Follow() *Follower {
	f := &Follower{p: p, poked: poke.New(), whole: true}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.journal.followers == nil {
		p.journal.followers = make(map[*Follower]struct{})
	}
	p.journal.followers[f] = struct{}{}
	return f
}

// Close ends it.
func (f *Follower) Close() {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	if delete(f.p.journal.followers, f); len(f.p.journal.followers) == 0 {
		f.p.journal.ids, f.p.journal.next = nil, 0
	}
}

// Poked has something to receive after the pool has changed.
func (f *Follower) Poked() <-chan struct{} { return f.poked }

// Changes gives what has changed since it was called last: the transactions that have
// come and are still there, parents before children, and the ids of those that have
// gone. One that went and came again is among those that came. If whole is true, came
// is the whole pool, and whatever else was there has gone: so it is the first time,
// and when it was not called for long.
func (f *Follower) Changes() (came []*Entry, gone []consensus.Hash, whole bool) {
	p := f.p
	p.mu.Lock()
	defer p.mu.Unlock()
	j := &p.journal
	var nodes []*Node
	if whole = f.whole || j.next-f.next > uint64(len(j.ids)); whole {
		nodes = p.graph.InOrder()
	} else {
		seen := make(map[consensus.Hash]struct{})
		for ; f.next < j.next; f.next++ {
			id := j.ids[f.next%maxJournal]
			if _, twice := seen[id]; twice {
				continue
			}
			seen[id] = struct{}{}
			if n, ok := p.graph.Tx(id); ok {
				nodes = append(nodes, n)
			} else {
				gone = append(gone, id)
			}
		}
		SortBySeq(nodes)
	}
	f.next, f.whole = j.next, false
	came = slices.Grow(came, len(nodes))
	for _, n := range nodes {
		came = append(came, &n.Entry)
	}
	return came, gone, whole
}
