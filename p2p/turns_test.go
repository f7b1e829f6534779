package p2p

import (
	"testing"
	"time"
)

// queue is a turns with a clock, for stories.
type queue struct {
	turns
	t   *testing.T
	now time.Time
}

func newQueue(t *testing.T) *queue {
	return &queue{t: t, now: time.Unix(0, 0), turns: turns{rates: turnRates{
		bytes: 10_000, inbound: 6000, perSecond: time.Second / 2, burst: 100 * time.Millisecond,
	}}}
}

// asks puts a turn of a peer into the queue.
func (q *queue) asks(a *account, kind turnKind, bytes int64) *turn {
	t := &turn{account: a, kind: kind, bytes: bytes}
	q.ask(t)
	return t
}

// begin expects these turns to begin now, in this order, and no other.
func (q *queue) begin(want ...*turn) {
	q.t.Helper()
	for i, w := range want {
		got, ok := q.next(q.now)
		if !ok || got != w {
			q.t.Fatalf("number %d: another begins, %v", i, ok)
		}
	}
	if _, ok := q.next(q.now); ok {
		q.t.Fatal("one more begins")
	}
}

func (q *queue) after(d time.Duration) { q.now = q.now.Add(d) }

func (q *queue) isEmpty() {
	q.t.Helper()
	if len(q.waiting) > 0 || len(q.holding) > 0 || q.busy || q.bytes != 0 || q.turns.inbound != 0 {
		q.t.Errorf("not given back: %d wait, %d hold, busy %v, %d bytes, %d inbound", len(q.waiting), len(q.holding), q.busy, q.bytes, q.turns.inbound)
	}
}

// Of heavy work only one piece is done at a time, and light work goes past it.
func TestOneHeavyTurnAtATime(t *testing.T) {
	q := newQueue(t)
	a, b := &account{inbound: true}, &account{inbound: true}
	first, second, light := q.asks(a, turnHeavy, 100), q.asks(b, turnHeavy, 100), q.asks(b, turnLight, 0)
	q.begin(first, light)
	q.end(light)
	q.built(first, time.Millisecond, 50)
	q.begin(second) // the first is still being sent
	q.end(second)
	q.end(first)
	q.isEmpty()
}

// Whoever has used least comes next, however many a greedy one has asked for, and
// nobody saves up by being silent.
func TestLeastServedComesFirst(t *testing.T) {
	q := newQueue(t)
	q.rates.perSecond = time.Hour
	greedy, modest := &account{inbound: true}, &account{inbound: true}
	for range 5 {
		g := q.asks(greedy, turnHeavy, 10)
		q.begin(g)
		q.built(g, 10*time.Millisecond, 10)
		q.end(g)
	}
	g, m := q.asks(greedy, turnHeavy, 10), q.asks(modest, turnHeavy, 10)
	q.begin(m)
	q.built(m, 20*time.Millisecond, 10)
	q.end(m)
	again := q.asks(modest, turnHeavy, 10)
	q.begin(g) // the modest one was idle before: that is not made up for
	q.end(g)
	q.begin(again)
	q.end(again)
	q.isEmpty()
}

// All inbound peers together have a share of the time, over which others do not have
// to wait, and new blocks neither.
func TestInboundShareOfTime(t *testing.T) {
	q := newQueue(t)
	in, out := &account{inbound: true}, &account{}
	long := q.asks(in, turnHeavy, 10)
	q.begin(long)
	q.built(long, 600*time.Millisecond, 10) // 500 more than was saved up
	q.end(long)
	next, other, prompt := q.asks(&account{inbound: true}, turnLight, 10), q.asks(out, turnHeavy, 10), q.asks(in, turnPrompt, 10)
	q.begin(prompt, other)
	if wait := q.again(q.now); wait < time.Second || wait > 1010*time.Millisecond {
		t.Errorf("to be tried again after %v", wait)
	}
	q.after(999 * time.Millisecond)
	q.begin()
	q.after(3 * time.Millisecond)
	q.begin(next)
	for _, turn := range []*turn{next, other, prompt} {
		q.end(turn)
	}
	q.isEmpty()
	q.after(time.Hour)
	q.begin()
	if q.credit != q.rates.burst {
		t.Errorf("%v were saved up", q.credit)
	}
}

// Answers under way have so many bytes in all, and fewer for inbound peers; those
// that fit go past those that do not. Whoever is slow to take its own gives way when
// others wait for that, but not before, and not if this node chose it.
func TestServedBytes(t *testing.T) {
	q := newQueue(t)
	in, out := &account{inbound: true}, &account{}
	chosen := q.asks(out, turnHeavy, 2000)
	q.begin(chosen)
	q.built(chosen, 0, 1000)
	slow := q.asks(in, turnHeavy, 4000)
	q.begin(slow)
	q.built(slow, 0, 4000)
	q.after(holdPatience)
	if _, ok := q.late(q.now); ok {
		t.Error("somebody has to give way though nobody waits")
	}
	big, small := q.asks(&account{inbound: true}, turnHeavy, 3000), q.asks(&account{inbound: true}, turnLight, 1000)
	q.begin(small)
	if got, ok := q.late(q.now); !ok || got != slow {
		t.Errorf("who is slow does not give way: %v", ok)
	}
	q.end(slow)
	q.begin(big)
	q.built(big, 0, 9999) // says more than it has asked for
	if q.bytes != 1000+3000+1000 || q.turns.inbound != 4000 {
		t.Errorf("%d bytes, %d inbound", q.bytes, q.turns.inbound)
	}
	late := q.asks(&account{inbound: true}, turnHeavy, 6000)
	q.begin()
	if wait := q.again(q.now); wait != holdPatience {
		t.Errorf("to be tried again after %v", wait)
	}
	q.end(late) // it leaves before its turn
	for _, turn := range []*turn{big, small, chosen} {
		q.end(turn)
	}
	q.isEmpty()
}

// Whoever leaves gives back what it has, in whatever state it is.
func TestLeavingGivesBack(t *testing.T) {
	for state := turnIdle; state <= turnHolding; state++ {
		q := newQueue(t)
		a := &account{inbound: true}
		turn := &turn{account: a, kind: turnHeavy, bytes: 100}
		if state >= turnWaiting {
			q.ask(turn)
		}
		if state >= turnWorking {
			q.begin(turn)
		}
		if state >= turnHolding {
			q.built(turn, 0, 100)
		}
		if turn.state != state {
			t.Errorf("it is in state %d, not %d", turn.state, state)
		}
		q.end(turn)
		q.isEmpty()
	}
}
