package miner

import (
	"sync"
	"time"
)

// throttle bounds how many hashes are tried in a second by all threads together. It is
// stepped with the time, and only says how long to wait:
//
//	unbounded  no rate is set: nobody waits
//	bounded    whoever has tried some hashes waits until they were due
//	paused     everybody waits, until it ends
//
// Time that nobody used is lost, and not made up for by a burst later.
type throttle struct {
	mu     sync.Mutex // guards what follows
	rate   uint64     // hashes a second; 0 for no bound
	paused bool
	due    time.Time // when all hashes that were tried so far were due
}

// pausedFor is after how long a thread that rests looks whether it must go on resting.
const pausedFor = 20 * time.Millisecond

// tried takes note of hashes.
func (t *throttle) tried(hashes uint64, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate == 0 {
		return
	}
	if t.due.Before(now) {
		t.due = now
	}
	t.due = t.due.Add(time.Duration(float64(hashes) / float64(t.rate) * float64(time.Second)))
}

// wait says for how long not to try more, as it is now: another rate ends it.
func (t *throttle) wait(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due.Sub(now)
}

// rest says for how long not to try any: 0 unless there is a pause.
func (t *throttle) rest() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused {
		return pausedFor
	}
	return 0
}

func (t *throttle) limit(rate uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rate, t.due = rate, time.Time{}
}

func (t *throttle) pause(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = on
}

func (t *throttle) state() (rate uint64, paused bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rate, t.paused
}
