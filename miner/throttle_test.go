package miner

import (
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	var r throttle
	tried := func(hashes uint64, want time.Duration) {
		t.Helper()
		r.tried(hashes, now)
		if got := max(0, r.wait(now)); got != want {
			t.Errorf("after %d hashes a pause of %v, want %v", hashes, got, want)
		}
	}
	tried(1<<40, 0) // no bound
	r.limit(1000)
	tried(500, 500*time.Millisecond)
	tried(500, time.Second) // another thread
	now = now.Add(400 * time.Millisecond)
	tried(100, 700*time.Millisecond)
	now = now.Add(time.Hour) // what was not used is lost
	tried(1000, time.Second)
	tried(1000, 2*time.Second)
	if r.rest() != 0 {
		t.Error("a bound is taken for a pause")
	}
	r.pause(true)
	if r.rest() == 0 {
		t.Error("no rest while paused")
	}
	if rate, paused := r.state(); rate != 1000 || !paused {
		t.Errorf("rate %d, paused %v", rate, paused)
	}
	r.pause(false)
	if r.rest() != 0 {
		t.Error("a rest after the pause")
	}
	if r.limit(5000); r.wait(now) > 0 {
		t.Error("the wait of the rate before goes on")
	}
	r.limit(2000) // what was owed at the rate before is forgotten
	tried(1000, 500*time.Millisecond)
	r.limit(0)
	tried(1<<40, 0)
}
