// Package clock tells a node the time. There are two kinds of it, and package main
// hands both down:
//
//   - Wall is what the protocol and its policies mean by now: how far a header may be
//     ahead, when a transaction, an address or a ban expires, when a peer is pinged or
//     has been silent for too long. On networks for tests setmocktime moves it, and then
//     it stands still.
//   - Steady is for how long something takes: deadlines of calls, limits on rates and on
//     log lines, measurements. Nothing moves it.
//
// Both come from a Source: System, which is the machine's (and virtual time within a
// bubble of testing/synctest), or the one of a simulator. Deadlines of real sockets are
// in time.Now in any case, as the operating system counts them.
package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// Source is where time comes from. It never goes back.
type Source interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed. stop prevents
	// that, and is false if it was called already.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// System is the machine's time.
var System Source = system{}

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// Clock is all the time that a node knows.
type Clock struct {
	Wall   *Face
	Steady *Face
	Chores *Face // steady, but mockscheduler moves it forward: what is done every so many minutes
}

// New makes a clock; nil is System.
func New(s Source) *Clock {
	if s == nil {
		s = System
	}
	return &Clock{newFace(s), newFace(s), newFace(s)}
}

// Face is one time of a clock, with its timers. It may be used from everywhere.
type Face struct {
	source Source
	jump   atomic.Pointer[jump] // nil while the time is that of source

	mu      sync.Mutex // guards what follows, the timers' fields, and changes of jump
	timers  map[*Timer]struct{}
	tickers map[*Ticker]struct{}
}

// jump is how a face differs from its source.
type jump struct {
	stands bool // at that time
	at     time.Time
	ahead  time.Duration
}

func newFace(s Source) *Face {
	return &Face{source: s, timers: make(map[*Timer]struct{}), tickers: make(map[*Ticker]struct{})}
}

// Now is the time.
func (f *Face) Now() time.Time {
	switch j := f.jump.Load(); {
	case j == nil:
		return f.source.Now()
	case j.stands:
		return j.at
	default:
		return f.source.Now().Add(j.ahead)
	}
}

// Since is how much time has passed since t, and Until how much will until then.
func (f *Face) Since(t time.Time) time.Duration { return f.Now().Sub(t) }

// Until is how much time is left before t.
func (f *Face) Until(t time.Time) time.Duration { return t.Sub(f.Now()) }

// Set has the time stand still at t; the zero value has it go on as the source's.
// Timers that are due then fire, and so do all tickers.
func (f *Face) Set(t time.Time) {
	if t.IsZero() {
		f.move(func(*jump) *jump { return nil })
		return
	}
	f.move(func(*jump) *jump { return &jump{stands: true, at: t} })
}

// Ahead has the time go on, ahead of the source's by d, or behind it where d is
// negative. Timers that are due then fire, and so do all tickers.
func (f *Face) Ahead(d time.Duration) {
	f.move(func(*jump) *jump {
		if d == 0 {
			return nil
		}
		return &jump{ahead: d}
	})
}

// Forward moves the time ahead by d.
func (f *Face) Forward(d time.Duration) {
	f.move(func(j *jump) *jump {
		next := jump{ahead: d}
		if j != nil {
			next = jump{j.stands, j.at.Add(d), j.ahead + d}
		}
		return &next
	})
}

func (f *Face) move(to func(*jump) *jump) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jump.Store(to(f.jump.Load()))
	for t := range f.timers {
		t.arm()
	}
	for t := range f.tickers {
		t.send()
	}
}
