package p2p

import (
	"slices"
	"testing"
	"time"
)

// tipStory steps a tipRequest over a list of announcers.
type tipStory struct {
	tipRequest
	t    *testing.T
	now  time.Time
	list []announcer
}

func (s *tipStory) after(d time.Duration) *tipStory { s.now = s.now.Add(d); return s }

// asks expects these to be asked now, and to be looked at again after a time; 0 for
// never.
func (s *tipStory) asks(again time.Duration, want ...int) {
	s.t.Helper()
	got, at := s.step(s.list, s.now)
	if !slices.Equal(got, want) {
		s.t.Errorf("at %v: %v are asked, want %v", s.now.Unix(), got, want)
	}
	if wait := at.Sub(s.now); again == 0 && !at.IsZero() || again > 0 && wait != again {
		s.t.Errorf("at %v: again after %v (%v), want %v", s.now.Unix(), wait, at.IsZero(), again)
	}
	for _, i := range got {
		s.list[i].owes, s.list[i].since = true, s.now
		s.list[i].asked++
	}
}

func newTipStory(t *testing.T, list ...announcer) *tipStory {
	s := &tipStory{t: t, now: time.Unix(100, 0), list: list}
	for i := range s.list {
		s.list[i].id = int64(i)
	}
	s.list[0].owes, s.list[0].since, s.list[0].asked = true, s.now, 1
	return s
}

// After two seconds one that this node dialled is asked, then several at once.
func TestOneThatWasDialledThenSeveral(t *testing.T) {
	list := make([]announcer, 60)
	list[30].dialled = true
	list[40].gave = true
	list[1].withheld = 1
	s := newTipStory(t, list...)
	s.asks(tipPatience)
	s.after(tipPatience - 1).asks(1)
	s.after(1).asks(tipInterval, 30)
	s.after(tipInterval).asks(tipInterval, 40, 2, 3, 4, 5, 6, 7, 8)
	s.after(tipInterval).asks(tipInterval, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24)
	s.after(tipInterval)
	if got, _ := s.step(s.list, s.now); len(got) != maxTipSeveral || slices.Contains(got, 1) {
		t.Errorf("%v are asked", got)
	}
}

// Where there are only inbound ones several are asked at once, all within three
// seconds if they are fewer than 57.
func TestAllAreAskedWithinThreeSeconds(t *testing.T) {
	s, asked := newTipStory(t, make([]announcer, 57)...), 1
	for start := s.now; s.now.Sub(start) <= 3*time.Second; s.after(100 * time.Millisecond) {
		got, _ := s.step(s.list, s.now)
		for _, i := range got {
			s.list[i].owes = true
		}
		asked += len(got)
	}
	if asked != len(s.list) {
		t.Errorf("%d are asked", asked)
	}
}

// Nothing is asked for that the first sends in time, or that nobody else has.
func TestNobodyElseIsAsked(t *testing.T) {
	s := newTipStory(t, announcer{})
	s.after(time.Minute).asks(0)
	s.list = append(s.list, announcer{})
	s.asks(0, 1)
	s = newTipStory(t, announcer{}, announcer{})
	s.list[0].owes = false // it has sent it
	s.after(time.Minute).asks(0)
}

// One that has sent other blocks since it was asked has a little longer.
func TestWhoSendsOthersHasLonger(t *testing.T) {
	s := newTipStory(t, announcer{}, announcer{})
	s.after(time.Second)
	s.list[0].since = s.now
	s.asks(tipPatience)
	s.after(tipPatience).asks(0, 1)
}

// Whoever has withheld a block is not waited for again.
func TestWhoWithholdsIsNotWaitedFor(t *testing.T) {
	s := newTipStory(t, announcer{withheld: 1}, announcer{withheld: 2}, announcer{})
	s.asks(0, 2, 1)
}

// One whose compact form was of no use is asked once more, for the whole.
func TestAskedTwiceAtMost(t *testing.T) {
	s := newTipStory(t, announcer{}, announcer{})
	s.after(tipPatience).asks(0, 1)
	s.list[1].owes = false
	s.after(tipInterval).asks(0, 1)
	s.list[1].owes = false
	s.after(time.Minute).asks(0)
}
