package p2p

import (
	"testing"
	"time"

	"lode/consensus"
)

// watchStory steps a syncWatch event by event; times are seconds.
type watchStory struct {
	t      *testing.T
	w      syncWatch
	start  time.Time
	claims map[string]*claim
	heard  bool
}

func newWatchStory(t *testing.T) *watchStory {
	return &watchStory{t: t, start: time.Unix(1_800_000_000, 0), claims: make(map[string]*claim)}
}

// shows has a peer show a chain of some work that is better than the tip.
func (s *watchStory) shows(peer string, work uint64, c claim) {
	if old := s.claims[peer]; old != nil {
		c.trial = old.trial
	} else {
		c.trial = new(trial)
	}
	c.ahead = true
	c.work.SetUint64(work)
	s.claims[peer] = &c
}

func (s *watchStory) at(seconds float64) time.Time {
	return s.start.Add(time.Duration(seconds * float64(time.Second)))
}

// came has a block of a peer's chain come.
func (s *watchStory) came(peer string, seconds float64) { s.claims[peer].trial.came(s.at(seconds)) }

// is steps the watch, and compares.
func (s *watchStory) is(syncing bool, seconds float64) {
	s.t.Helper()
	var list []claim
	for _, c := range s.claims {
		list = append(list, *c)
	}
	if got := s.w.step(s.at(seconds), s.heard, list); got != syncing {
		s.t.Errorf("after %v s: syncing is %v, want %v", seconds, got, syncing)
	}
}

// level has the tip reach what all peers show.
func (s *watchStory) level() {
	for _, c := range s.claims {
		c.ahead, c.far = false, false
	}
}

var inbound, chosen, chosenFar = claim{}, claim{named: true}, claim{named: true, far: true}

func TestSyncWatchCatchesUpOnce(t *testing.T) {
	s := newWatchStory(t)
	s.is(false, 0) // alone
	s.shows("a", 500, inbound)
	s.is(true, 1)
	for i := range 10 {
		s.came("a", float64(2+5*i))
		s.is(true, float64(2+5*i))
	}
	s.level()
	s.is(false, 60)
	s.shows("a", 501, inbound)
	s.is(false, 61)
	s.shows("b", 502, chosen)
	s.is(false, 62)
	s.shows("b", 900, chosenFar)
	s.is(true, 63)
	s.came("b", 64)
	s.is(true, 73)
	s.level()
	s.is(false, 74)
}

// Nothing has come from anybody: who hears that his peers have nothing is in sync.
func TestSyncWatchInSyncWhenPeersHaveNothing(t *testing.T) {
	s := newWatchStory(t)
	s.heard = true
	s.is(false, 0)
	s.shows("a", 500, inbound)
	s.is(false, 1)
}

// Any number of peers who withhold blocks hold up a fresh node for one patience
// in all, and a node in sync only if they were chosen and show more than a day.
func TestSyncWatchManyLiarsShareOnePatience(t *testing.T) {
	for name, inSync := range map[string]bool{"fresh": false, "in sync": true} {
		t.Run(name, func(t *testing.T) {
			s := newWatchStory(t)
			s.heard = inSync
			s.is(false, 0)
			c := inbound
			if inSync {
				for i := range 24 {
					s.shows(string(rune('A'+i)), uint64(100+i), []claim{inbound, chosen, {far: true}}[i%3])
				}
				s.is(false, 0)
				c = chosenFar
			}
			for i := range 20 {
				s.shows(string(rune('a'+i)), uint64(100+i), c)
				s.is(true, float64(i)/2)
			}
			s.is(false, 10)
			for at := 12.0; at < 100; at++ {
				s.is(false, at)
			}
			if !s.w.inSync {
				t.Error("not in sync after all were tried in vain")
			}
			for i := range 20 { // the same peers
				s.shows(string(rune('a'+i)), uint64(1000+i), chosenFar)
			}
			s.is(false, 101)
			s.claims = make(map[string]*claim)
			s.is(false, 102)
			s.shows("another", 119, chosenFar) // the same headers
			s.is(false, 103)
			s.came("another", 104) // but he has the blocks
			s.is(true, 104)
			s.shows("more", 124, chosenFar)
			s.is(true, 105)
		})
	}
}

// An honest peer that comes when the patience is over is believed as soon as it
// sends a block, and only while blocks come.
func TestSyncWatchBelievesWhoDelivers(t *testing.T) {
	s := newWatchStory(t)
	s.shows("liar", 600, inbound)
	s.is(true, 0)
	s.is(true, 9)
	s.shows("honest", 500, chosenFar)
	s.is(true, 9.5)
	s.is(false, 10)
	s.came("honest", 11)
	s.is(true, 11)
	s.is(true, 20)
	s.is(false, 21)
	s.came("honest", 30) // slow, but it was seen to have the chain
	s.is(true, 30)
	s.came("liar", 31)
	if s.claims["liar"].trial.state != trialFailed {
		t.Error("a peer that failed is believed again")
	}
}

// While a chain gives blocks another that gives none does not count.
func TestSyncWatchKeepsChainsApart(t *testing.T) {
	s := newWatchStory(t)
	s.shows("liar", 600, inbound)
	s.shows("honest", 500, inbound)
	for at := 0.0; at < 30; at += 5 {
		s.is(true, at)
		s.came("honest", at)
	}
	s.claims["honest"].ahead = false
	s.is(false, 30)
}

// What is far: more than a day of blocks by the network's spacing.
func TestFarIsMoreThanADay(t *testing.T) {
	for name, want := range map[string]int64{"regtest": 144, "main": 1440, "testnet": 17280} {
		spec, err := consensus.EmbeddedSpec(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := int64(syncGap/time.Second) / int64(spec.Rules.TargetSpacing); got != want {
			t.Errorf("%s: a day is %d blocks, want %d", name, got, want)
		}
	}
}
