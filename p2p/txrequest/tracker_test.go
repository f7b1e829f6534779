package txrequest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lode/consensus"
)

// story steps a tracker whose peers have names: those that begin with "out" are
// preferred, "old" ones announce by txid, and "vip" ones are not limited.
type story struct {
	*Tracker[string]
	t     testing.TB
	start time.Time
	now   time.Time
}

func newStory(t testing.TB, peers ...string) *story {
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &story{New[string](start, rand.New(rand.NewPCG(1, 2))), t, start, start}
	for _, p := range peers {
		s.connect(p)
	}
	return s
}

func (s *story) connect(p string) {
	s.Connect(p, Peer{Preferred: strings.HasPrefix(p, "out"), Unlimited: strings.HasPrefix(p, "vip"), WTxIDs: !strings.HasPrefix(p, "old")})
}

func name(i int) (h consensus.Hash) {
	binary.LittleEndian.PutUint64(h[:], uint64(i))
	return h
}

// says has peers announce a transaction at the present time.
func (s *story) says(tx int, peers ...string) {
	s.t.Helper()
	for _, p := range peers {
		if !s.Announce(s.now, p, name(tx), strings.HasPrefix(p, "old")) {
			s.t.Errorf("%s cannot announce %d", p, tx)
		}
	}
}

// at moves time to so long after the beginning, and checks who is asked then, as
// "peer tx".
func (s *story) at(after time.Duration, want ...string) {
	s.t.Helper()
	s.now = s.start.Add(after)
	got := s.step()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Fatalf("after %v asked %q, want %q", after, got, want)
	}
}

func (s *story) step() (asked []string) {
	s.t.Helper()
	for _, r := range s.Requests(s.now, 1<<30) {
		asked = append(asked, fmt.Sprint(r.Peer, " ", binary.LittleEndian.Uint64(r.Hash[:])))
		if r.ByTxID != strings.HasPrefix(r.Peer, "old") {
			s.t.Errorf("asked by the wrong id: %+v", r)
		}
	}
	if err := s.Check(); err != nil {
		s.t.Fatal(err)
	}
	if when, ok := s.Next(); ok && !when.After(s.now) {
		s.t.Fatalf("it is %v and there is something to do since %v", s.now, when)
	}
	return asked
}

func TestPreferredPeerIsAskedAtOnce(t *testing.T) {
	s := newStory(t, "out", "in")
	s.says(1, "in", "out")
	s.at(0, "out 1")
	s.at(2 * time.Second)
	s.Forget(name(1))
	s.at(time.Hour)
	if s.Size() != 0 {
		t.Error("something is left")
	}
}

func TestOthersAreAskedLater(t *testing.T) {
	s := newStory(t, "in", "old")
	s.says(1, "in")
	s.says(2, "old")
	s.at(2*time.Second - 1)
	s.at(2*time.Second, "in 1")
	s.at(4*time.Second, "old 2")

	// Nobody announces by wtxid: there is nothing to wait for.
	s.Disconnect("in")
	s.says(3, "old")
	s.at(6*time.Second - 1)
	s.at(6*time.Second, "old 3")
}

// The one that is asked is silent, has gone, or says that it does not have it.
func TestAnotherIsAskedInItsPlace(t *testing.T) {
	s := newStory(t, "in1", "in2")
	s.says(1, "in1")
	s.at(time.Second)
	s.says(1, "in2")
	s.at(2*time.Second, "in1 1")
	s.at(62*time.Second - 1)
	s.at(62*time.Second, "in2 1")
	s.at(122 * time.Second)
	if s.Size() != 0 {
		t.Error("nobody can be asked, and it is not forgotten")
	}

	for _, way := range []func(){
		func() { s.Failed("in1", name(2)) },
		func() { s.Disconnect("in1"); s.connect("in1") },
	} {
		start := s.now.Sub(s.start)
		s.says(2, "in1")
		s.at(start + time.Second)
		s.says(2, "in2")
		s.at(start+2*time.Second, "in1 2")
		s.at(start + 10*time.Second)
		way()
		s.at(start+10*time.Second, "in2 2")
		s.Forget(name(2))
	}
}

// Who has failed is not asked again while it can be expected of others.
func TestNobodyIsAskedTwice(t *testing.T) {
	s := newStory(t, "in1", "in2")
	s.says(1, "in1")
	s.at(2*time.Second, "in1 1")
	s.says(1, "in2")
	s.Failed("in1", name(1))
	if s.Announce(s.now, "in1", name(1), false) {
		t.Error("it is taken at its word again")
	}
	s.at(4*time.Second, "in2 1")
	s.Failed("in2", name(1))
	s.says(1, "in1")
	s.at(6*time.Second, "in1 1")
}

// Twelve peers that are not preferred announce first and are silent, and so is a
// preferred one.
func TestSilentPeersCannotKeepATransactionFromAPreferredPeer(t *testing.T) {
	var liars []string
	for i := range 12 {
		liars = append(liars, fmt.Sprint("in", i))
	}
	s := newStory(t, append(liars, "out1", "out2", "out3")...)
	s.says(1, liars...)
	s.now = s.start.Add(NonPreferredDelay)
	if got := s.step(); len(got) != 1 {
		t.Fatalf("asked %q", got)
	}
	s.at(3 * time.Second)
	s.says(1, "out1")
	s.at(5*time.Second - 1)
	s.at(5*time.Second, "out1 1")
	s.says(1, "out2")
	s.at(6 * time.Second)
	s.says(1, "out3")
	s.at(7*time.Second, "out2 1")
	s.at(8*time.Second, "out3 1")
	s.at(61 * time.Second) // preferred peers are asked: no others are, though the first has timed out
	if got := s.Announcers(name(1)); len(got) != 15 {
		t.Errorf("%d of 15 can be asked", len(got))
	}
}

// However a preferred peer announces it, and however much it owes, it is asked
// within maxWait.
func TestPreferredPeerWaitsForSoLongAtMost(t *testing.T) {
	s := newStory(t, "in", "out", "liar")
	s.Connect("old out", Peer{Preferred: true})
	for i := range MaxInFlight {
		s.says(1000+i, "out")
		s.Announce(s.now, "old out", name(2000+i), true)
	}
	s.step()
	s.now = s.start.Add(TxIDDelay)
	s.step()
	if s.InFlight("out") != MaxInFlight || s.InFlight("old out") != MaxInFlight {
		t.Fatalf("%d and %d in flight", s.InFlight("out"), s.InFlight("old out"))
	}
	s.says(1, "liar", "in")
	s.now = s.now.Add(NonPreferredDelay)
	s.step()
	s.says(1, "out")
	s.Announce(s.now, "old out", name(1), true)
	start := s.now.Sub(s.start)
	s.at(start + maxWait - 1)
	s.at(start+maxWait, "out 1", "old out 1")
}

// Of n+1 announcers that are not preferred the honest one is asked after log2(n+1)
// rounds, and one more if the others leave before each ends, call again and
// announce again.
func TestSilentPeersCannotKeepATransactionFromOthersForLong(t *testing.T) {
	for _, n := range []int{1, 2, 3, 12, 116} {
		for _, leave := range []bool{false, true} {
			s := newStory(t, "honest")
			var liars []string
			for i := range n {
				liars = append(liars, fmt.Sprint("in", i))
				s.connect(liars[i])
			}
			s.says(1, append(liars, "honest")...)
			most := NonPreferredDelay
			for k := 2; k <= n+1; k *= 2 {
				most += Timeout
			}
			if leave {
				most += Timeout
			}
			since := make(map[string]time.Time)
			for s.InFlight("honest") == 0 && s.now.Sub(s.start) <= most {
				for _, p := range liars {
					if s.InFlight(p) > 0 && leave && s.now.Sub(since[p]) == Timeout-time.Second {
						s.Disconnect(p)
						s.connect(p)
						s.says(1, p)
					}
				}
				for _, r := range s.Requests(s.now, 1<<30) {
					since[r.Peer] = s.now
				}
				s.now = s.now.Add(time.Second)
			}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			if s.InFlight("honest") == 0 {
				t.Errorf("%d silent peers: not asked within %v", n, most)
			}
		}
	}
}

// A peer that owes much is asked later, and only so much of it is remembered,
// unless it is trusted.
func TestBoundsPerPeer(t *testing.T) {
	s := newStory(t, "out", "vip")
	for i := range MaxInFlight + 2 {
		s.says(i, "out")
		if i < MaxInFlight {
			s.at(0, fmt.Sprint("out ", i))
		}
	}
	s.at(2*time.Second - 1)
	s.at(2*time.Second, "out 100", "out 101")
	for i := MaxInFlight + 2; i < MaxAnnouncements; i++ {
		s.says(i, "out")
	}
	if s.Announce(s.now, "out", name(MaxAnnouncements), false) || s.Room("out") != 0 || s.Count("out") != MaxAnnouncements {
		t.Errorf("%d announcements of one peer", s.Count("out"))
	}
	s.Forget(name(7))
	s.says(MaxAnnouncements, "out")
	for i := range MaxAnnouncements + 1 {
		s.says(10_000+i, "vip")
	}
	s.Disconnect("out")
	s.Disconnect("vip")
	if err := s.Check(); err != nil || s.Size() != 0 {
		t.Errorf("%d are left: %v", s.Size(), err)
	}
	if s.Announce(s.now, "out", name(1), false) || s.Room("out") != 0 {
		t.Error("a peer that has gone can announce")
	}
}

// Many ordinary peers together are remembered no more than their share, and leave
// room for those that have announced little.
func TestOrdinaryPeersShareRoom(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	tracker := New[int](now, rand.New(rand.NewPCG(1, 2)))
	const crowd = 110
	tracker.Connect(-1, Peer{Preferred: true, WTxIDs: true})
	for p := range crowd {
		tracker.Connect(p, Peer{WTxIDs: true})
		for i := range MaxAnnouncements {
			tracker.Announce(now, p, name(p*MaxAnnouncements+i), false)
		}
	}
	if size := tracker.Size(); size < MaxOrdinary || size > 4*MaxOrdinary {
		t.Errorf("%d announcements of %d peers", size, crowd)
	}
	tracker.Connect(crowd, Peer{WTxIDs: true})
	if !tracker.Announce(now, crowd, name(-1), false) || tracker.Room(-1) != MaxAnnouncements {
		t.Error("no room for an honest peer")
	}
	if err := tracker.Check(); err != nil {
		t.Error(err)
	}
	for p := range crowd {
		tracker.Disconnect(p)
	}
	if err := tracker.Check(); err != nil || tracker.Size() != 1 || tracker.Room(crowd) != MaxAnnouncements-1 {
		t.Errorf("%d are left: %v", tracker.Size(), err)
	}
}

// What comes due in great numbers is dealt with bit by bit.
func TestRequestsIsBounded(t *testing.T) {
	s := newStory(t, "in")
	for i := range 1000 {
		s.says(i, "in")
	}
	s.now = s.now.Add(NonPreferredDelay)
	for sum := 0; sum < 1000; {
		got := s.Requests(s.now, 100)
		if len(got) != 100 {
			t.Fatalf("%d at a time", len(got))
		}
		if got[0].Hash != name(sum) || got[99].Hash != name(sum+99) {
			t.Fatal("not in the order in which they were announced")
		}
		sum += 100
		if when, ok := s.Next(); !ok || when.After(s.now) != (sum == 1000) {
			t.Fatalf("after %d: the next at %v, %v", sum, when, ok)
		}
	}
}

// The choice is at random: nobody can be sure to be the one that is asked.
func TestTheChoiceIsAtRandom(t *testing.T) {
	s := newStory(t, "in1", "in2", "in3", "in4")
	counts := make(map[string]int)
	for i := range 4000 {
		s.says(i, "in1", "in2", "in3", "in4")
		s.now = s.now.Add(NonPreferredDelay)
		for _, r := range s.Requests(s.now, 1<<30) {
			counts[r.Peer]++
			s.Forget(r.Hash)
		}
	}
	for p, n := range counts {
		if n < 800 || n > 1200 {
			t.Errorf("%s was asked %d times of 4000", p, n)
		}
	}
}

// BenchmarkStrangers is ninety peers of which each announces 5,000 transactions
// that nobody knows, comes and goes.
func BenchmarkStrangers(b *testing.B) {
	tr := New[int](time.Time{}, rand.New(rand.NewPCG(1, 2)))
	now, next := time.Time{}, 0
	for b.Loop() {
		for p := range 90 {
			tr.Disconnect(p)
			tr.Connect(p, Peer{WTxIDs: true})
			for range MaxAnnouncements {
				tr.Announce(now, p, name(next), false)
				next++
			}
			now = now.Add(100 * time.Millisecond)
			tr.Requests(now, 1<<30)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/90/MaxAnnouncements, "ns/announcement")
}
