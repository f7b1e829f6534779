package p2p

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// cheapHeaders makes n headers on a state, as fast as can be where the difficulty
// is lowest.
func cheapHeaders(spec *consensus.Spec, s consensus.State, salt byte, n int) msgHeaders {
	headers := make(msgHeaders, n)
	for i := range headers {
		h := consensus.Header{Version: 0x20000000, Prev: s.Hash, Time: s.Time + 1, Bits: spec.Rules.NextBits(&s)}
		h.MerkleRoot[0], h.MerkleRoot[1] = salt, byte(i)
		for spec.Rules.CheckWork(&h) != nil {
			h.Nonce++
		}
		headers[i] = h
		s = spec.Rules.NextState(s, &h)
	}
	return headers
}

// limitsOf has a station hold fewer headers, so that little data goes all ways.
func (s *station) setHold(l holdLimits) {
	s.sync.mu.Lock()
	defer s.sync.mu.Unlock()
	s.sync.hold.limits = l
}

// held is how many headers without blocks a station knows and accounts for.
func (s *station) held() (known, charged int) {
	seen := make(map[consensus.Hash]bool)
	for _, tip := range s.ledger.Tips() {
		for info, ok := tip, true; ok && !info.HaveBlock && !info.Active && !seen[info.Hash]; info, ok = s.ledger.Header(info.Header.Prev) {
			seen[info.Hash] = true
		}
	}
	s.sync.mu.Lock()
	defer s.sync.mu.Unlock()
	return len(seen), len(s.sync.hold.of)
}

// TestFloodOfHeadersIsBounded: peers, inbound and chosen, show long chains of
// headers at the lowest difficulty, each message as soon as the one before was
// taken. What is kept of them is bounded for each and in all, mining and blocks
// go on, nothing is left when they are gone, and nothing after a restart.
func TestFloodOfHeadersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, honest := w.add("s", nil), w.add("honest", nil)
		s.feed(mine(w.spec, s.ledger.Tip(), 1, 3)...)
		w.link(s, honest)
		w.agree(s.ledger.Tip().Hash, honest)
		w.inSync(s)
		limits := holdLimits{all: 1500, named: 1000, inbound: 500, leastNamed: 100, leastInbound: 2 * maxAnnounced}
		s.setHold(limits)
		tip := s.ledger.Tip()
		var actors []*actor
		most := 0
		for i := range 8 {
			a := w.stranger(s, i, i%4 == 3)
			actors = append(actors, a)
			go a.listenTo()
			headers := cheapHeaders(w.spec, tip, byte(i), 1250)
			for len(headers) > 0 {
				n := min(250, len(headers))
				a.tell(headers[:n])
				headers = headers[n:]
				time.Sleep(time.Second) // virtual
				synctest.Wait()
				known, charged := s.held()
				most = max(most, known)
				if known > charged {
					t.Errorf("%d headers without blocks are known, and %d on the account", known, charged)
				}
			}
		}
		if limit := limits.all + limits.leastNamed*2 + limits.leastInbound*7; most > limit || most < limits.all/2 {
			t.Errorf("%d headers without blocks were kept, want at most %d", most, limit)
		}
		t.Logf("at most %d headers were kept", most)
		block := mineOn(w.spec, honest.ledger.Tip(), 99)
		honest.feed(block)
		if took := w.agree(block.Header.Hash(), s); took > 3*time.Second {
			t.Errorf("an honest block took %v", took)
		}
		if len(s.Peers()) != 9 {
			t.Errorf("%d peers are left of 9: long chains are no fault", len(s.Peers()))
		}
		for _, a := range actors {
			_ = a.Close("")
		}
		w.until("all of it is dropped", func() bool { known, charged := s.held(); return known+charged == 0 })
		if best := s.ledger.BestHeader(); best.Hash != block.Header.Hash() {
			t.Errorf("the best header is at %d", best.Height)
		}

		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.tellsHeaders(cheapHeaders(w.spec, s.ledger.Tip(), 1, 500))
		w.until("held", func() bool { known, _ := s.held(); return known == 500 })
		w.kill(s)
		w.start(s)
		if known, _ := s.held(); known != 0 {
			t.Errorf("%d headers without blocks are there after a restart", known)
		}
	})
}

// A chain that is longer than what may be held at a time comes in parts, from a
// peer that dialled this node alone.
func TestLongChainComesInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, honest := w.add("s", nil), w.add("honest", nil)
		s.setHold(holdLimits{all: 3000, named: 3000, inbound: 2500, leastNamed: 500, leastInbound: 2 * maxAnnounced})
		honest.feed(longChain(t, 2*maxHeaders+200)...)
		most := 0
		w.link(honest, s)
		for s.ledger.Tip().Hash != honest.ledger.Tip().Hash {
			known, _ := s.held()
			most = max(most, known)
			time.Sleep(10 * time.Millisecond) // virtual
		}
		if most > 2500 {
			t.Errorf("%d headers without blocks were held", most)
		}
		tip := mineOn(w.spec, honest.ledger.Tip(), 1)
		honest.feed(tip)
		if took := w.agree(tip.Header.Hash(), s); took > time.Second {
			t.Errorf("the next block took %v", took)
		}
		w.nobodyBlamed()
	})
}

// A second pass of headers whose work was shown goes on where there is room only
// when the limit of one peer does not count: the blocks come after all of them.
func TestProvenHeadersAreNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		honest := w.add("honest", nil)
		s := w.add("s", func(c *Config) { c.Spec = needing(w.spec, 2*maxHeaders+100) })
		s.setHold(holdLimits{all: 1000, named: 1000, inbound: 500, leastNamed: 100, leastInbound: 2 * maxAnnounced})
		honest.feed(longChain(t, 2*maxHeaders+200)...)
		w.link(honest, s)
		w.agree(honest.ledger.Tip().Hash, s)
		w.nobodyBlamed()
	})
}

// floodRounds, in the environment, is how often TestFloodOfHeadersOnDisk brings
// 10,000 headers.
const floodRounds = "LODE_TEST_FLOOD"

// TestFloodOfHeadersOnDisk has peers bring headers as fast as they can, leave, and
// come again. Neither the index nor what is on disk grows with that.
func TestFloodOfHeadersOnDisk(t *testing.T) {
	rounds, err := strconv.Atoi(cmp.Or(os.Getenv(floodRounds), "2"))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		s.feed(mine(w.spec, s.ledger.Tip(), 1, 3)...)
		headers := cheapHeaders(w.spec, s.ledger.Tip(), 1, defaultHold.inbound+maxHeaders)
		start, told := time.Now(), 0
		for round := range rounds {
			a := w.call(s, fmt.Sprintf("203.0.113.%d:1", round%250))
			a.shake(ProtocolVersion)
			a.tellsHeaders(headers)
			told += len(headers)
			w.until("held", func() bool { known, _ := s.held(); return known == defaultHold.inbound })
			_ = a.Close("")
			w.until("dropped", func() bool { known, charged := s.held(); return known+charged == 0 })
		}
		size := int64(0)
		_ = filepath.Walk(filepath.Join(s.dir, "ledger"), func(_ string, info os.FileInfo, err error) error {
			if err == nil {
				size += info.Size()
			}
			return nil
		})
		t.Logf("%d headers in %v of virtual time leave %d bytes", told, time.Since(start), size)
		if size > 64<<20 {
			t.Errorf("%d bytes on disk after %d headers", size, told)
		}
	})
}
