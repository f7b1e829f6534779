package p2p

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// needing is a spec whose chain is known to have the work of n blocks.
func needing(spec *consensus.Spec, n uint64) *consensus.Spec {
	changed := *spec
	one := consensus.WorkFromBits(uint32(spec.Rules.PowLimit))
	one.Mul(&one, new(consensus.Work).SetUint64(n))
	b := one.Bytes32()
	changed.Defaults.MinimumWork = b[:]
	return &changed
}

// answerHeaders answers one getheaders with what of headers follows its locator.
func (a *actor) answerHeaders(headers msgHeaders) {
	a.t.Helper()
	asked := a.hear(cmdGetHeaders).(*msgLocate)
	from := 0
search:
	for _, hash := range asked.locator {
		for i := range headers {
			if headers[i].Hash() == hash {
				from = i + 1
				break search
			}
		}
	}
	a.say(headers[from:min(from+maxHeaders, len(headers))])
	synctest.Wait()
}

func (s *station) knows(h consensus.Header) bool {
	_, ok := s.ledger.Header(h.Hash())
	return ok
}

// Of a peer with noban headers are kept before their work is shown, as in Bitcoin Core:
// the operator vouches for it.
func TestNoProofOfWorkIsAskedOfFriends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) {
			c.Spec = needing(w.spec, 1000)
			c.Grants = []Grant{{Net: netip.MustParsePrefix("198.51.100.0/24"), May: MayNotBeBanned, In: true}}
		})
		headers := headersOf(longChain(t, 10))
		for i, from := range []string{"203.0.113.1:1", "198.51.100.1:1"} {
			kept := 5 * (i + 1)
			a := w.call(s, from)
			a.shake(ProtocolVersion)
			a.hear(cmdGetHeaders)
			a.say(headers[:kept])
			a.stillThere()
			if got, want := s.knows(headers[kept-1]), i == 1; got != want {
				t.Errorf("%s: kept: %v, want %v", from, got, want)
			}
			_ = a.Close("")
			synctest.Wait()
		}
	})
}

func TestHeadersInTwoPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.Spec = needing(w.spec, 2*maxHeaders+100) })
		headers := headersOf(longChain(t, 2*maxHeaders+200))
		if !s.Syncing() {
			t.Error("caught up without the least work")
		}
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		for _, height := range []int64{maxHeaders, 2 * maxHeaders, 2*maxHeaders + 200} {
			a.answerHeaders(headers)
			time.Sleep(time.Second) // virtual
			if s.knows(headers[0]) {
				t.Fatal("a header of the first pass was kept")
			}
			if got := s.Peers()[0].PresyncHeight; got != height {
				t.Errorf("the first pass has come to %d, want %d", got, height)
			}
		}
		for i, last := range []int{maxHeaders, 2 * maxHeaders, len(headers)} {
			a.answerHeaders(headers)
			time.Sleep(time.Second) // virtual
			if !s.knows(headers[last-1]) || last < len(headers) && s.knows(headers[last]) {
				t.Errorf("message %d of the second pass was not kept", i)
			}
		}
		if got := a.hear(cmdGetData).(*msgInv); got.items[0].hash != headers[0].Hash() {
			t.Error("no blocks are asked for")
		}
		if got := s.Peers()[0].PresyncHeight; got != -1 {
			t.Errorf("the first pass is at %d after its end", got)
		}
	})
}

// Who shows much work first and another chain then gets nothing stored.
func TestOtherHeadersInTheSecondPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.Spec = needing(w.spec, 2*maxHeaders) })
		headers := headersOf(longChain(t, 2*maxHeaders))
		other := headersOf(mine(w.spec, w.spec.Rules.GenesisState(), 2, maxHeaders))
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.answerHeaders(headers)
		a.answerHeaders(headers)
		a.answerHeaders(other)
		time.Sleep(time.Second) // virtual
		if s.knows(headers[0]) || s.knows(other[0]) {
			t.Error("stored")
		}
		a.hear(cmdGetHeaders) // from the beginning
		if s.bans.banned(hostOfString("203.0.113.1:1")) {
			t.Error("banned, although it may only have changed over")
		}
	})
}

// A peer that has nothing but little work cannot make the node keep it.
func TestLowWorkIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, fresh := w.add("s", nil), w.add("fresh", func(c *Config) { c.Spec = needing(w.spec, 1000) })
		s.feed(mine(w.spec, w.spec.Rules.GenesisState(), 1, forkSlack+20)...)
		side := mine(w.spec, w.spec.Rules.GenesisState(), 2, 25)
		for _, c := range []struct {
			s    *station
			kept bool
			n    int
		}{{s, false, 19}, {s, true, 25}, {fresh, false, 25}} {
			a := w.call(c.s, "203.0.113.1:1")
			a.shake(ProtocolVersion)
			a.say(headersOf(side[:c.n]))
			time.Sleep(time.Second) // virtual
			synctest.Wait()
			if kept := c.s.knows(side[c.n-1].Header); kept != c.kept {
				t.Errorf("%s, %d headers: kept is %v", c.s.name, c.n, kept)
			}
			if len(c.s.Peers()) == 0 {
				t.Error("having little is no fault")
			}
		}
		// Nor a block that nobody asked for.
		a := w.call(fresh, "203.0.113.2:1")
		a.shake(ProtocolVersion)
		a.say(msgBlock{side[0]})
		time.Sleep(time.Second) // virtual
		if fresh.knows(side[0].Header) {
			t.Error("the block was kept")
		}
	})
}
