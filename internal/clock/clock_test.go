package clock

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fired tells whether something is in a channel once all goroutines have done what
// they can.
func fired(c <-chan time.Time) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestTimerOfTheRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(nil).Wall
		timer := f.NewTimer(time.Minute)
		time.Sleep(59 * time.Second)
		if fired(timer.C) {
			t.Error("fired too early")
		}
		time.Sleep(time.Second)
		if !fired(timer.C) {
			t.Error("did not fire when it was due")
		}
		time.Sleep(time.Hour)
		if fired(timer.C) {
			t.Error("fired twice")
		}
		timer.Reset(0)
		synctest.Wait()
		timer.Stop()
		if fired(timer.C) {
			t.Error("what had fired before the stop is still there")
		}
	})
}

// A face that stands still fires what is due at its time and nothing else, however
// much real time passes, and goes on from the real time when it is let go.
func TestTimerOfATimeThatStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(nil)
		begun := time.Now()
		early, late, steady := c.Wall.NewTimer(time.Minute), c.Wall.NewTimer(time.Hour), c.Steady.NewTimer(2*time.Minute)
		defer late.Stop()
		c.Wall.Set(begun.Add(59 * time.Second))
		time.Sleep(90 * time.Second)
		if fired(early.C) {
			t.Error("fired though the time stood still before it was due")
		}
		c.Wall.Set(begun.Add(time.Minute))
		if !fired(early.C) || fired(late.C) || fired(steady.C) {
			t.Error("moving the time fires what is due then, and nothing else")
		}
		again := c.Wall.NewTimer(time.Second)
		defer again.Stop()
		time.Sleep(time.Minute)
		if fired(again.C) || !fired(steady.C) {
			t.Error("steady time goes on while the other stands")
		}
		c.Wall.Set(time.Time{})
		if got := c.Wall.Now(); !got.Equal(time.Now()) || !fired(again.C) {
			t.Errorf("the time is %v after it was let go, want %v, and what is due has fired", got, time.Now())
		}
		time.Sleep(time.Hour)
		if !fired(late.C) {
			t.Error("what was begun before the jumps did not fire")
		}
	})
}

func TestTimeThatWasMovedForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(nil).Chores
		timer := f.NewTimer(time.Hour)
		f.Forward(50 * time.Minute)
		time.Sleep(9 * time.Minute)
		if fired(timer.C) {
			t.Error("fired too early")
		}
		time.Sleep(time.Minute)
		if !fired(timer.C) {
			t.Error("did not fire when it was due")
		}
		if ahead := time.Until(f.Now()); ahead != 50*time.Minute {
			t.Errorf("%v ahead", ahead)
		}
	})
}

// A ticker fires by steady time though its face stands still, and at once when that
// jumps; what is not received is not sent again.
func TestTicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(nil).Wall
		ticker := f.NewTicker(time.Second)
		at := time.Now().Add(time.Hour)
		f.Set(at)
		if !fired(ticker.C) {
			t.Error("a jump was not noticed")
		}
		time.Sleep(time.Second)
		if synctest.Wait(); !(<-ticker.C).Equal(at) {
			t.Error("a ticker tells another time than its face")
		}
		time.Sleep(10 * time.Second)
		if !fired(ticker.C) || fired(ticker.C) {
			t.Error("want one tick for ten that nobody received")
		}
		ticker.Stop()
		time.Sleep(time.Minute)
		if f.Set(time.Time{}); fired(ticker.C) {
			t.Error("a ticker that was stopped fires")
		}
	})
}

func TestAfterFuncThatWasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		f := New(nil).Wall
		timer := f.AfterFunc(time.Second, func() { calls.Add(1) })
		timer.Stop()
		time.Sleep(time.Minute)
		timer.Reset(time.Hour)
		f.Set(time.Now().Add(time.Hour))
		synctest.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("called %d times, want once, after the jump", n)
		}
		if len(f.timers) != 0 {
			t.Error("timers that have fired are kept")
		}
	})
}

func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(nil).Wall
		fires := make(chan time.Time, 1)
		f.AfterFunc(time.Hour, func() { fires <- f.Now() })
		began := time.Now()
		f.Ahead(-time.Minute)
		time.Sleep(time.Second)
		if got := f.Now().Sub(began); got != time.Second-time.Minute {
			t.Errorf("a minute behind, after a second it is %v", got)
		}
		f.Ahead(2 * time.Hour)
		synctest.Wait()
		if got := (<-fires).Sub(began); got != 2*time.Hour+time.Second {
			t.Errorf("the timer fired at %v", got)
		}
		f.Ahead(0)
		if got := f.Now(); !got.Equal(time.Now()) {
			t.Errorf("%v without being ahead, at %v", got, time.Now())
		}
	})
}
