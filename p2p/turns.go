package p2p

import (
	"slices"
	"time"
)

// turns decides whose work is done next: what peers asked for, and what they sent
// unasked and takes long to look at. Work of this kind must leave the processors to
// blocks at the tip, the memory to everybody, and a share to each peer. It holds no
// clock and no lock: events come with the time.
//
//	state of a turn   it has                   leaves by
//	idle              nothing                  ask → waiting
//	waiting           a place in the queue     next → working, end → idle
//	working           its bytes, and if heavy  built → holding, end → idle
//	                  the one worker
//	holding           the bytes of an answer   end → idle
//
// Of those that wait, prompt ones come first (new blocks: each peer gets each once),
// then whoever has used least, as in fair queueing: an account that was idle begins
// where the others are, so that nobody saves up or has to pay back for long. Peers
// that dialled this node share what turnRates says; work is charged when it is done,
// and nothing more begins for them while that is overdrawn.
type turns struct {
	rates   turnRates
	waiting []*turn // in the order in which they were asked for
	holding []*turn // working or holding, in the order in which they began
	busy    bool    // the worker
	bytes   int64   // that working and holding turns have
	inbound int64   // of which for inbound peers
	now     time.Duration
	credit  time.Duration // of all inbound peers
	filled  time.Time     // when credit was brought up to date
}

// turnRates is what turns hands out.
type turnRates struct {
	bytes     int64         // at a time
	inbound   int64         // of which for inbound peers, but for their prompt turns
	perSecond time.Duration // processor time, for all inbound peers
	burst     time.Duration // that may be saved up of it
}

const (
	// costPerByte and costPerTurn are what a turn costs at least, in processor
	// time: copies, checksums, system calls, which nobody measures.
	costPerByte = 3 * time.Nanosecond
	costPerTurn = 5 * time.Microsecond
	// chosenWeight is how many times as much a peer that this node dialled gets.
	chosenWeight = 4
	// holdPatience is how long an answer may take to go while others wait for
	// its memory: 4 MB at 133 kB/s.
	holdPatience = 30 * time.Second
)

// account is what a peer has used.
type account struct {
	inbound bool
	used    time.Duration // on the scale of turns.now
}

type turnKind int

const (
	turnPrompt turnKind = iota // waits for its bytes alone
	turnLight                  // little work
	turnHeavy                  // needs the worker
)

type turnState int

const (
	turnIdle turnState = iota
	turnWaiting
	turnWorking
	turnHolding
)

// turn is one piece of work; it can be used again when it is idle.
type turn struct {
	account *account
	kind    turnKind
	bytes   int64 // memory that it takes, at most

	state turnState
	since time.Time // when it began
	paid  time.Duration
}

// leastCost is what a turn costs that makes so many bytes.
func leastCost(bytes int64) time.Duration { return costPerTurn + time.Duration(bytes)*costPerByte }

// ask puts an idle turn into the queue.
func (s *turns) ask(t *turn) {
	t.state, t.account.used = turnWaiting, max(t.account.used, s.now)
	s.waiting = append(s.waiting, t)
}

// next lets a turn begin, if one may.
func (s *turns) next(now time.Time) (*turn, bool) {
	s.fill(now)
	best := -1
	for i, t := range s.waiting {
		if s.fits(t) && !s.mustSave(t) && !s.mustQueue(t) && (best < 0 || t.before(s.waiting[best])) {
			best = i
		}
	}
	if best < 0 {
		return nil, false
	}
	t := s.waiting[best]
	s.waiting = slices.Delete(s.waiting, best, best+1)
	s.holding = append(s.holding, t)
	s.busy = s.busy || t.kind == turnHeavy
	s.take(t, t.bytes)
	if t.kind != turnPrompt {
		s.now = max(s.now, t.account.used)
	}
	t.state, t.since, t.paid = turnWorking, now, costPerTurn
	if t.kind != turnHeavy { // of those many may begin before the first is done
		t.paid = leastCost(t.bytes)
	}
	s.charge(t, t.paid)
	return t, true
}

// before orders the turns that may begin.
func (t *turn) before(other *turn) bool {
	if p, q := t.kind == turnPrompt, other.kind == turnPrompt; p != q {
		return p
	}
	return t.account.used < other.account.used
}

// fits reports whether there is memory for a turn.
func (s *turns) fits(t *turn) bool {
	if t.bytes == 0 {
		return true
	}
	limited := t.account.inbound && t.kind != turnPrompt
	return s.bytes+t.bytes <= s.rates.bytes && (!limited || s.inbound+t.bytes <= s.rates.inbound)
}

// mustSave reports whether inbound peers have used up their share for now, and
// mustQueue, whether the worker is busy.
func (s *turns) mustSave(t *turn) bool {
	return t.account.inbound && t.kind != turnPrompt && s.credit <= 0
}
func (s *turns) mustQueue(t *turn) bool { return t.kind == turnHeavy && s.busy }

func (s *turns) take(t *turn, bytes int64) {
	s.bytes += bytes
	if t.account.inbound && t.kind != turnPrompt {
		s.inbound += bytes
	}
}

func (s *turns) charge(t *turn, cost time.Duration) {
	if !t.account.inbound {
		t.account.used += cost / chosenWeight
		return
	}
	t.account.used += cost
	s.credit -= cost
}

func (s *turns) fill(now time.Time) {
	if s.filled.IsZero() {
		s.credit = s.rates.burst
	} else if d := now.Sub(s.filled); d > 0 {
		gained := min(d, time.Hour).Seconds() * float64(s.rates.perSecond)
		s.credit = min(s.credit+time.Duration(gained), s.rates.burst)
	}
	s.filled = now
}

// built notes that the work of a turn has taken so long, and that its answer has
// so many bytes, which it holds until it ends.
func (s *turns) built(t *turn, cost time.Duration, bytes int64) {
	if t.state != turnWorking {
		return
	}
	bytes = min(bytes, t.bytes)
	s.take(t, bytes-t.bytes)
	t.bytes, t.state = bytes, turnHolding
	s.busy = s.busy && t.kind != turnHeavy
	if extra := cost - t.paid; extra > 0 {
		s.charge(t, extra)
	}
}

// end gives back what a turn has, in whatever state it is.
func (s *turns) end(t *turn) {
	is := func(o *turn) bool { return o == t }
	switch t.state {
	case turnWaiting:
		s.waiting = slices.DeleteFunc(s.waiting, is)
	case turnWorking, turnHolding:
		s.holding = slices.DeleteFunc(s.holding, is)
		s.take(t, -t.bytes)
		s.busy = s.busy && (t.kind != turnHeavy || t.state != turnWorking)
	}
	t.state = turnIdle
}

// late is the turn that has held its bytes for longest, if that is too long for
// those that wait for them: its peer is slow to take what it asked for. Who was
// dialled by this node is left alone.
func (s *turns) late(now time.Time) (*turn, bool) {
	if !slices.ContainsFunc(s.waiting, func(t *turn) bool { return !s.fits(t) }) {
		return nil, false
	}
	for _, t := range s.holding {
		if t.bytes > 0 && t.state == turnHolding && t.account.inbound && now.Sub(t.since) >= holdPatience {
			return t, true
		}
	}
	return nil, false
}

// again is how long after now something may have changed for those that wait,
// though nothing ends; 0 for never.
func (s *turns) again(now time.Time) (wait time.Duration) {
	sooner := func(d time.Duration) {
		if d = max(d, time.Millisecond); wait == 0 || d < wait {
			wait = d
		}
	}
	for _, t := range s.waiting {
		switch {
		case !s.fits(t):
			for _, h := range s.holding {
				if h.bytes > 0 && h.state == turnHolding && h.account.inbound {
					sooner(h.since.Add(holdPatience).Sub(now))
					break
				}
			}
		case s.mustSave(t) && s.rates.perSecond > 0:
			sooner(time.Duration(float64(1-s.credit) / s.rates.perSecond.Seconds()))
		}
	}
	return wait
}
