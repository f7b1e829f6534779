package clock

import "time"

// Timer fires once at a time of its face. Like the standard library's it may be reset
// and stopped at any time, and nothing old is in C afterwards. One that has not fired
// must be stopped by its owner.
type Timer struct {
	C <-chan time.Time // nil for AfterFunc

	face *Face
	c    chan time.Time
	f    func()

	// Guarded by face.mu.
	due    time.Time
	round  int         // of arm: what an earlier one began does not count
	cancel func() bool // what the last one began; nil for nothing
}

// NewTimer makes a timer that fires after d.
func (f *Face) NewTimer(d time.Duration) *Timer {
	c := make(chan time.Time, 1)
	t := &Timer{C: c, c: c, face: f}
	t.Reset(d)
	return t
}

// AfterFunc makes a timer that calls do in a goroutine of its own after d.
func (f *Face) AfterFunc(d time.Duration, do func()) *Timer {
	t := &Timer{f: do, face: f}
	t.Reset(d)
	return t
}

// Reset has the timer fire once more, after d.
func (t *Timer) Reset(d time.Duration) { t.ResetAt(t.face.Now().Add(d)) }

// ResetAt has the timer fire once more, at due.
func (t *Timer) ResetAt(due time.Time) {
	t.face.mu.Lock()
	defer t.face.mu.Unlock()
	t.disarm()
	t.due = due
	t.face.timers[t] = struct{}{}
	t.arm()
}

// Stop prevents the timer from firing.
func (t *Timer) Stop() {
	t.face.mu.Lock()
	defer t.face.mu.Unlock()
	t.disarm()
}

func (t *Timer) disarm() {
	delete(t.face.timers, t)
	t.forgetRound()
	select {
	case <-t.c:
	default:
	}
}

func (t *Timer) forgetRound() {
	t.round++
	if t.cancel != nil {
		t.cancel()
		t.cancel = nil
	}
}

// arm has the source call when the timer is due as the face is now; while that stands
// still, only what moves it calls again. The caller holds face.mu.
func (t *Timer) arm() {
	t.forgetRound()
	j := t.face.jump.Load()
	if j != nil && j.stands && t.due.After(j.at) {
		return
	}
	round := t.round
	t.cancel = t.face.source.AfterFunc(max(0, t.face.Until(t.due)), func() { t.fire(round) })
}

func (t *Timer) fire(round int) {
	t.face.mu.Lock()
	if t.round != round {
		t.face.mu.Unlock()
		return
	}
	now := t.face.Now()
	if now.Before(t.due) { // the machine's wall clock was set
		t.arm()
		t.face.mu.Unlock()
		return
	}
	delete(t.face.timers, t)
	t.cancel = nil
	if t.f == nil {
		t.c <- now // it is empty since disarm
	}
	t.face.mu.Unlock()
	if t.f != nil {
		t.f()
	}
}

// Ticker fires each time that so much of the source's time has passed, and when its
// face is moved: what looks every few seconds whether something is due looks at once
// when the time has jumped, and goes on looking while it stands still. What nobody has
// received is not sent again.
type Ticker struct {
	C <-chan time.Time

	face   *Face
	c      chan time.Time
	every  time.Duration
	cancel func() bool // guarded by face.mu; nil once stopped
}

// NewTicker makes a ticker.
func (f *Face) NewTicker(every time.Duration) *Ticker {
	c := make(chan time.Time, 1)
	t := &Ticker{C: c, c: c, face: f, every: every}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tickers[t] = struct{}{}
	t.cancel = f.source.AfterFunc(every, t.tick)
	return t
}

// Stop ends the ticker.
func (t *Ticker) Stop() {
	t.face.mu.Lock()
	defer t.face.mu.Unlock()
	delete(t.face.tickers, t)
	if t.cancel != nil {
		t.cancel()
		t.cancel = nil
	}
}

func (t *Ticker) tick() {
	t.face.mu.Lock()
	defer t.face.mu.Unlock()
	if t.cancel == nil {
		return
	}
	t.cancel = t.face.source.AfterFunc(t.every, t.tick)
	t.send()
}

// send fires. The caller holds face.mu.
func (t *Ticker) send() {
	select {
	case t.c <- t.face.Now():
	default:
	}
}
