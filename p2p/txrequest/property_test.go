package txrequest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lode/consensus"
)

// model is a tracker that looks through everything at every step. It does not
// choose: it says what may be chosen.
type model struct {
	peers map[int]Peer
	list  []*said // in the order of announcements
}

type said struct {
	peer   int
	hash   consensus.Hash
	byTxID bool
	due    time.Time
	waits  time.Time
	state  state
}

func (m *model) all(pick func(*said) bool) (list []*said) {
	for _, a := range m.list {
		if pick(a) {
			list = append(list, a)
		}
	}
	return list
}

func (m *model) of(hash consensus.Hash, s state, preferred bool) []*said {
	return m.all(func(a *said) bool { return a.hash == hash && a.state == s && m.peers[a.peer].Preferred == preferred })
}

func (m *model) remove(pick func(*said) bool) {
	m.list = m.all(func(a *said) bool { return !pick(a) })
}

// tidy forgets what nobody can be asked for.
func (m *model) tidy() {
	alive := make(map[consensus.Hash]bool)
	for _, a := range m.list {
		alive[a.hash] = alive[a.hash] || a.state != failed
	}
	m.remove(func(a *said) bool { return !alive[a.hash] })
}

func (m *model) delay(p int, byTxID bool) (d time.Duration) {
	if !m.peers[p].Preferred {
		d += NonPreferredDelay
	}
	for _, q := range m.peers {
		if byTxID && q.WTxIDs {
			d += TxIDDelay
			break
		}
	}
	inFlight := m.all(func(a *said) bool { return a.peer == p && a.state == requested })
	if len(inFlight) >= MaxInFlight && !m.peers[p].Unlimited {
		d += OverloadedDelay
	}
	return d
}

// tick ends delays and requests.
func (m *model) tick(now time.Time) {
	for _, a := range m.list {
		switch {
		case a.state == delayed && !a.due.After(now):
			a.state = ready
		case a.state == requested && !a.due.After(now):
			a.state = failed
		}
	}
}

// asked checks a request, in its place among those of one transaction, and
// carries it out.
func (m *model) asked(r Request[int], now time.Time, vain int) error {
	preferred, others := len(m.of(r.Hash, requested, true)), len(m.of(r.Hash, requested, false))
	better := m.of(r.Hash, ready, true)
	list := m.all(func(a *said) bool { return a.hash == r.Hash && a.peer == r.Peer && a.state == ready })
	if len(list) != 1 || list[0].byTxID != r.ByTxID {
		return fmt.Errorf("asked for what is not ready: %v", list)
	}
	a, free := list[0], preferred+others == 0 || preferred == 0 && others < 1+vain
	switch p := m.peers[r.Peer].Preferred; {
	case !p && len(better) > 0:
		return fmt.Errorf("peer %d is asked before a preferred one", r.Peer)
	case !free && (!p || a.waits.After(now)):
		return fmt.Errorf("peer %d is asked though others are: %d and %d", r.Peer, preferred, others)
	}
	a.state, a.due = requested, now.Add(Timeout)
	return nil
}

// done checks that nobody else could have been asked.
func (m *model) done(now time.Time, vain map[consensus.Hash]int) error {
	for _, a := range m.list {
		if a.state != ready {
			continue
		}
		preferred, others := len(m.of(a.hash, requested, true)), len(m.of(a.hash, requested, false))
		if preferred+others == 0 || preferred == 0 && others < 1+vain[a.hash] || m.peers[a.peer].Preferred && !a.waits.After(now) {
			return fmt.Errorf("peer %d could be asked for %s", a.peer, a.hash)
		}
	}
	return nil
}

// What the tracker does is what a naive one would allow, and all of it.
func TestTrackerIsLikeANaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1, 0)
		tr := New[int](now, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		m := &model{peers: make(map[int]Peer)}
		vain := make(map[consensus.Hash]int)
		fail := func(a *said) {
			if a.state == requested && !m.peers[a.peer].Preferred {
				vain[a.hash]++
			}
			a.state = failed
		}
		peer, hash := rapid.IntRange(0, 5), rapid.IntRange(0, 3)
		t.Repeat(map[string]func(*rapid.T){
			"connect": func(t *rapid.T) {
				p, info := peer.Draw(t, "peer"), Peer{rapid.Bool().Draw(t, "preferred"), false, rapid.Bool().Draw(t, "wtxids")}
				tr.Connect(p, info)
				if _, here := m.peers[p]; !here {
					m.peers[p] = info
				}
			},
			"disconnect": func(t *rapid.T) {
				p := peer.Draw(t, "peer")
				tr.Disconnect(p)
				for _, a := range m.list {
					if a.peer == p {
						fail(a)
					}
				}
				m.remove(func(a *said) bool { return a.peer == p })
				delete(m.peers, p)
			},
			"announce": func(t *rapid.T) {
				p, h, byTxID := peer.Draw(t, "peer"), name(hash.Draw(t, "hash")), rapid.Bool().Draw(t, "by txid")
				known := m.all(func(a *said) bool { return a.peer == p && a.hash == h })
				_, here := m.peers[p]
				if got := tr.Announce(now, p, h, byTxID); got != (here && len(known) == 0) {
					t.Fatalf("announced: %v", got)
				} else if got {
					due := now.Add(m.delay(p, byTxID))
					waits := due.Add(Patience)
					if most := now.Add(maxWait); waits.After(most) {
						waits = most
					}
					m.list = append(m.list, &said{peer: p, hash: h, byTxID: byTxID, due: due, waits: waits})
				}
			},
			"fail": func(t *rapid.T) {
				p, h := peer.Draw(t, "peer"), name(hash.Draw(t, "hash"))
				tr.Failed(p, h)
				for _, a := range m.all(func(a *said) bool { return a.peer == p && a.hash == h }) {
					fail(a)
				}
			},
			"forget": func(t *rapid.T) {
				h := name(hash.Draw(t, "hash"))
				tr.Forget(h)
				m.remove(func(a *said) bool { return a.hash == h })
			},
			"step": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 500, 1000, 2000, 10_000, 60_000}).Draw(t, "ms")) * time.Millisecond)
				for _, a := range m.list {
					if a.state == requested && !a.due.After(now) {
						fail(a)
					}
				}
				m.tick(now)
				m.tidy()
				asked := tr.Requests(now, 1<<30)
				left := asked
				for len(left) > 0 { // in some order they were all right
					var later []Request[int]
					var err error
					for _, r := range left {
						if e := m.asked(r, now, vain[r.Hash]); e != nil {
							later, err = append(later, r), e
						}
					}
					if len(later) == len(left) {
						t.Fatal(err)
					}
					left = later
				}
				if err := m.done(now, vain); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				m.tidy()
				alive := make(map[consensus.Hash]bool)
				for _, a := range m.list {
					alive[a.hash] = true
				}
				for h := range vain {
					if !alive[h] {
						delete(vain, h)
					}
				}
				if err := tr.Check(); err != nil {
					t.Fatal(err)
				}
				if tr.Size() != len(m.list) {
					t.Fatalf("%d announcements, want %d", tr.Size(), len(m.list))
				}
				for h := range alive {
					n := len(m.all(func(a *said) bool { return a.hash == h && a.state != failed }))
					if got := tr.Announcers(h); len(got) != n {
						t.Fatalf("%d announcers, want %d", len(got), n)
					}
				}
			},
		})
	})
}
