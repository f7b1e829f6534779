package p2p

import (
	"testing"
	"testing/synctest"
	"time"
)

// The limit holds for a day, and then anew; without one nothing is counted.
func TestUploadCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.MaxUpload = 1 << 20 })
		if u := s.Upload(); u.Limit != 1<<20 || u.Left != 1<<20 || u.Ends != uploadCycle {
			t.Errorf("at first %+v", u)
		}
		w.call(s, "203.0.113.1:1").shake(ProtocolVersion)
		time.Sleep(time.Hour) // virtual
		u := s.Upload()
		if _, sent := s.NetTotals(); u.Left != 1<<20-sent || sent == 0 || u.Ends > uploadCycle-time.Hour {
			t.Errorf("%d bytes sent, %+v", sent, u)
		}
		time.Sleep(uploadCycle) // virtual
		if u := s.Upload(); u.Left != 1<<20 {
			t.Errorf("on the next day %+v", u)
		}
		s.wall.Forward(-2 * uploadCycle)
		if u := s.Upload(); u.Ends != uploadCycle {
			t.Errorf("when the clock was set back %+v", u)
		}
		if u.ServesOld() {
			t.Errorf("old blocks are served from what is kept for new ones: %+v", u)
		}
		if u := w.add("free", nil).Upload(); u.Limit != 0 || u.Ends != 0 {
			t.Errorf("without a limit %+v", u)
		}
	})
}

// SetActive ends all connections, and lets them come back.
func TestSetActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(a, b)
		a.SetActive(false)
		w.until("alone", func() bool { return len(a.Peers())+len(b.Peers()) == 0 })
		time.Sleep(10 * time.Minute) // virtual
		if err := a.Connect(t.Context(), b.url); err == nil || a.Active() {
			t.Errorf("connected: %v", err)
		}
		w.call(a, "203.0.113.1:1").isCut()
		if n := len(b.Peers()); n != 0 {
			t.Errorf("%d peers", n)
		}
		a.SetActive(true)
		w.until("back", func() bool { return len(a.Peers()) == 1 })
	})
}
