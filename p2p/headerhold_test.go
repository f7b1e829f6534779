package p2p

import (
	"encoding/binary"
	"testing"
	"time"

	"lode/consensus"
)

// holdStory steps a headerHold. Headers are numbers, the hash of which is themselves.
type holdStory struct {
	t *testing.T
	*headerHold
	start time.Time
}

func newHoldStory(t *testing.T) *holdStory {
	s := &holdStory{t, newHeaderHold(), time.Unix(1_800_000_000, 0)}
	s.limits = holdLimits{all: 1000, named: 600, inbound: 300, leastNamed: 50, leastInbound: 5}
	return s
}

func number(n int) (h consensus.Hash) {
	binary.LittleEndian.PutUint32(h[:], uint32(n))
	return h
}

func numbers(from, n int) (list []consensus.Hash) {
	for i := range n {
		list = append(list, number(from+i))
	}
	return list
}

// brings charges a peer n headers after from, each on the one before.
func (s *holdStory) brings(id int64, from, n int) {
	s.add(id, number(from), numbers(from+1, n))
}

func (s *holdStory) holds(id int64, headers, ends int) {
	s.t.Helper()
	if g := s.holders[id]; len(g.headers) != headers || len(g.ends) != ends {
		s.t.Errorf("peer %d holds %d headers on %d branches, want %d on %d", id, len(g.headers), len(g.ends), headers, ends)
	}
	all := 0
	for _, g := range s.holders {
		all += len(g.headers)
	}
	if all != len(s.of) {
		s.t.Errorf("%d headers are charged, and %d are held", all, len(s.of))
	}
}

func (s *holdStory) hasRoom(id int64, n int, lack int, ok bool) {
	s.t.Helper()
	if gotLack, gotOK := s.room(id, n, false, s.start); gotLack != lack || gotOK != ok {
		s.t.Errorf("room of peer %d for %d more: %d must go, %v; want %d, %v", id, n, gotLack, gotOK, lack, ok)
	}
}

func TestHeaderHoldCharges(t *testing.T) {
	s := newHoldStory(t)
	s.join(1, false)
	s.join(2, true)
	s.brings(1, 0, 100)
	s.brings(1, 100, 50) // goes on
	s.holds(1, 150, 1)
	s.brings(1, 120, 10) // these are known
	s.holds(1, 150, 1)
	s.add(1, number(120), numbers(5000, 10)) // a fork
	s.holds(1, 160, 2)
	s.brings(2, 150, 20) // on another's
	s.holds(2, 20, 1)
	s.release(number(170), number(1), number(5009), number(9999))
	s.holds(1, 158, 1)
	s.holds(2, 19, 0)
	s.dropped(numbers(151, 19), []consensus.Hash{number(150), number(777)}) // 150 is an end again
	s.holds(1, 158, 1)
	s.leave(1)
	s.brings(1, 8000, 3) // a message that was under way
	s.holds(noPeer, 161, 2)
	s.leave(1)
	s.hasRoom(1, 1, 0, false)
	s.dropped(s.holding(noPeer), nil)
	s.holds(noPeer, 0, 0)
}

func TestHeaderHoldLimits(t *testing.T) {
	s := newHoldStory(t)
	s.join(1, false)
	s.join(2, true)
	s.hasRoom(1, 300, 0, true)
	s.hasRoom(1, 301, 0, false)
	s.hasRoom(2, 600, 0, true)
	s.hasRoom(2, 601, 0, false)
	if lack, ok := s.room(1, 1200, true, s.start); !ok || lack != 200 {
		t.Errorf("a proven chain: %d must go, %v", lack, ok)
	}
	s.brings(1, 0, 300)
	s.hasRoom(1, 1, 0, false)
	s.brings(2, 1000, 600)
	s.join(3, false)
	s.hasRoom(3, 200, 100, true)
	s.hasRoom(3, 5, 0, true) // announcements
	s.join(4, true)
	s.brings(3, 2000, 100)
	s.hasRoom(4, 50, 0, true) // guaranteed
	s.hasRoom(4, 51, 51, true)
}

// Nobody's go first, then those of whom holds most, but for the best chains that
// are kept; who has lost may announce, and no more for a while.
func TestHeaderHoldEvictsWhoHoldsMost(t *testing.T) {
	s := newHoldStory(t)
	for id, n := range map[int64]int{1: 200, 2: 300, 3: 10, 5: 20} {
		s.join(id, false)
		s.brings(id, int(id)*1000, n)
	}
	s.join(4, true)
	s.brings(4, 4000, 400)
	s.add(4, number(4100), numbers(4500, 5)) // besides its best
	s.leave(5)
	keep := map[consensus.Hash]struct{}{number(4400): {}}
	tried := make(map[int64]bool)
	for _, want := range []struct {
		id  int64
		end int
	}{{noPeer, 5020}, {4, 4504}, {2, 2300}, {1, 1200}, {3, 3010}} {
		id, ends, ok := s.evict(keep, tried, s.start)
		if !ok || id != want.id || len(ends) != 1 || ends[0] != number(want.end) {
			t.Errorf("evicted %d, %v, %v; want %d", id, ends, ok, want.id)
		}
	}
	if id, _, ok := s.evict(keep, tried, s.start); ok {
		t.Errorf("%d is evicted again", id)
	}
	s.dropped(numbers(2001, 300), nil)
	s.holds(2, 0, 0)
	s.hasRoom(2, 6, 0, false)
	s.hasRoom(2, 5, 0, true)
	if s.mayAsk(2, s.start) {
		t.Error("asked for more at once")
	}
	if _, ok := s.room(2, 100, false, s.start.Add(evictedTime)); !ok {
		t.Error("never taken from again")
	}
}

func TestHeaderHoldAsksAgainWhenHalfIsFree(t *testing.T) {
	s := newHoldStory(t)
	s.limits = defaultHold
	s.join(1, false)
	s.brings(1, 0, s.limits.inbound)
	half := s.limits.inbound / 2
	for _, free := range []int{0, half - 1, half, 2 * half} {
		s.release(numbers(1, free)...)
		if got := s.mayAsk(1, s.start); got != (free >= half) {
			t.Errorf("with %d free it may be asked: %v", free, got)
		}
	}
}
