package p2p

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// crowdOf makes inbound peers, the first the oldest, and lets change adjust them.
func crowdOf(n int, change func(i int, c *candidate)) (list []candidate) {
	start := time.Now()
	for i := range n {
		c := candidate{
			peer: &peer{id: int64(i)}, connected: start.Add(time.Duration(i) * time.Second), relayTxs: true,
			group: fmt.Sprint("group ", i), keyedGroup: rand.IntN(1 << 30), ready: true,
		}
		if change != nil {
			change(i, &c)
		}
		list = append(list, c)
	}
	return list
}

// Each line makes the ten youngest of sixty peers good at one thing, for which
// some of them are kept.
func TestEvictionKeepsTheUseful(t *testing.T) {
	for name, c := range map[string]struct {
		kept int
		make func(i int, c *candidate)
	}{
		"network groups":     {keptByGroup, func(i int, c *candidate) { c.keyedGroup = -i }},
		"lowest ping":        {keptByPing, func(i int, c *candidate) { c.minPing = time.Duration(100 - i) }},
		"gave transactions":  {keptByTx, func(i int, c *candidate) { c.lastTx = c.connected }},
		"gave blocks":        {keptByBlock, func(i int, c *candidate) { c.lastBlock = c.connected }},
		"wants blocks alone": {keptByBlocksOnly + keptByBlock, func(i int, c *candidate) { c.lastBlock, c.relayTxs = c.connected, false }},
		"nothing":            {0, func(int, *candidate) {}},
	} {
		list := crowdOf(60, func(i int, one *candidate) {
			one.keyedGroup += 60
			if i >= 50 {
				c.make(i, one)
			}
		})
		left := make(map[int64]bool) // of the ten
		for i := 50; i < 60; i++ {
			left[int64(i)] = true
		}
		for range 40 {
			victim, ok := evict(slices.Clone(list))
			if !ok {
				break
			}
			delete(left, victim.peer.id)
			list = slices.DeleteFunc(list, func(c candidate) bool { return c.peer == victim.peer })
			if victim.peer.id < 50 {
				break // the next by age: all of the ten who are left are kept
			}
		}
		// By the secret numbers of their groups some are kept at random.
		if len(left) < min(c.kept, 10) || len(left) > min(10, c.kept+keptByGroup) {
			t.Errorf("%s: %d are kept, want %d", name, len(left), c.kept)
		}
	}
}

func TestEvictionOrder(t *testing.T) {
	if _, ok := evict(nil); ok {
		t.Error("nobody was evicted")
	}
	if _, ok := evict(crowdOf(keptByGroup, nil)); ok {
		t.Error("one of few was evicted")
	}
	list := crowdOf(60, func(i int, c *candidate) {
		if i >= 35 && i < 40 {
			c.group = "many"
		}
		c.keyedGroup = 1 // all alike, the oldest first
	})
	if victim, _ := evict(slices.Clone(list)); victim.peer.id != 39 {
		t.Errorf("number %d went, want the youngest of the largest group", victim.peer.id)
	}
	list[36].ready, list[37].ready, list[50].ready = false, false, false
	if victim, _ := evict(slices.Clone(list)); victim.peer.id != 36 {
		t.Errorf("number %d went, want the oldest of the largest group that has not finished its handshake", victim.peer.id)
	}
	for i := range list {
		list[i].discouraged = i == 50
	}
	if victim, _ := evict(slices.Clone(list)); victim.peer.id != 50 {
		t.Errorf("number %d went, want the one that is discouraged", victim.peer.id)
	}
	for i := range list {
		list[i].discouraged = list[i].peer.id == 0
	}
	if victim, _ := evict(slices.Clone(list)); victim.peer.id == 0 {
		t.Error("the oldest went: a discouraged peer that is kept for something stays")
	}
}

// An attacker opens connection after connection from a few network groups. The
// honest peers, each in a group of its own, stay, and new ones find room.
func TestEvictionUnderAttack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.IntRange(1, 5).Draw(t, "groups of the attacker")
		honest := rapid.IntRange(10, 60).Draw(t, "honest peers")
		late := 0
		const mark = "honest"
		var list []candidate
		join := func(c candidate) {
			c.peer = &peer{id: int64(len(list))}
			c.connected = time.Unix(int64(late), 0)
			late++
			if list = append(list, c); len(list) > maxInbound {
				victim, ok := evict(slices.Clone(list[:maxInbound])) // all but the new one
				if !ok {
					t.Fatal("no room")
				}
				list = slices.DeleteFunc(list, func(c candidate) bool { return c.peer == victim.peer })
			}
		}
		newHonest := func(i int) candidate {
			c := candidate{group: fmt.Sprint(mark, i), keyedGroup: rand.IntN(1 << 30), relayTxs: true, minPing: time.Duration(50+rand.IntN(100)) * time.Millisecond}
			if i%4 == 0 {
				c.lastBlock = time.Unix(int64(late), 0)
			}
			return c
		}
		isHonest := func(c candidate) bool { return c.group[:len(mark)] == mark }
		for i := range honest {
			join(newHonest(i))
		}
		for i := range 200 {
			// The attacker is near, so that his pings are the lowest.
			join(candidate{group: fmt.Sprint("attack", i%groups), keyedGroup: i % groups, relayTxs: i%2 == 0, minPing: time.Millisecond})
			if i%50 == 49 {
				join(newHonest(honest + i))
			}
		}
		stayed := 0
		for _, c := range list {
			if isHonest(c) {
				stayed++
			}
		}
		if want := min(honest+200/50, maxInbound/2); stayed < want {
			t.Fatalf("%d of %d honest peers are left", stayed, honest+200/50)
		}
	})
}

// The same with a node: a thousand connections from one network do not push out
// those who were there, nor keep out who comes.
func TestInboundUnderAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		var friends []*actor
		for i := range 20 {
			a := w.call(s, fmt.Sprintf("%d.1.1.1:1", 20+i))
			a.shake(ProtocolVersion)
			friends = append(friends, a)
		}
		knock := func(addr string) {
			from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
			a, b := Pipe(from, s.addr, w.latency)
			w.t.Cleanup(func() { _ = a.Close("") })
			s.Accept(b)
		}
		for i := range 1000 {
			knock(fmt.Sprintf("198.51.%d.%d:1", i/250, i%250))
			if i%100 == 0 {
				synctest.Wait()
			}
		}
		a := w.call(s, "8.8.8.8:1")
		a.shake(ProtocolVersion)
		for _, f := range append(friends, a) {
			f.say(msgPing(1))
			f.hear(cmdPong)
		}
		synctest.Wait()
		if n := len(s.Peers()); n > maxInbound {
			t.Errorf("%d peers, at most %d allowed", n, maxInbound)
		}
	})
}

// A node whose every inbound place is an attacker's follows the best chain
// through the peers that it chose.
func TestFollowsThroughOutbound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		honest := w.add("honest", nil)
		s := w.add("s", func(c *Config) { c.Outbound = 2 })
		var attackers []*actor
		for i := range maxInbound {
			a := w.call(s, fmt.Sprintf("%d.%d.1.1:1", 20+i/100, i%100))
			a.shake(ProtocolVersion)
			attackers = append(attackers, a)
		}
		fork := mine(w.spec, w.spec.Rules.GenesisState(), 9, 3)
		for i, a := range attackers {
			for j := range 5 { // lies: addresses where nobody is, and a chain of which no body comes
				a.say(msgAddrV2{wireAddr(ipURL(i, j), 9, time.Now())})
			}
			a.say(headersOf(fork))
		}
		s.book.learn(honest.url, 9, time.Now(), "somebody")
		poke(s.dialWake)
		w.until("the honest peer is found", func() bool { return s.count(kindOutbound) == 1 })
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 5)
		honest.feed(blocks...)
		w.agree(blocks[4].Header.Hash(), s, honest)
	})
}
