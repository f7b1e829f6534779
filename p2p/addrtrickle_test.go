package p2p

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Addresses wait for a random time, and none goes to a peer that knows it.
func TestAddrTrickle(t *testing.T) {
	var tr addrTrickle
	now := time.Unix(1_700_000_000, 0)
	a, b := addrV2{network: networkIPv4, addr: []byte{1, 2, 3, 4}, port: 1}, addrV2{network: networkIPv4, addr: []byte{1, 2, 3, 4}, port: 2}
	if got := tr.due(now); got != nil || tr.next.IsZero() {
		t.Fatalf("%v at %v", got, tr.next)
	}
	tr.knows(&b)
	tr.add(a)
	tr.add(a)
	tr.add(b)
	if got := tr.due(tr.next.Add(-1)); got != nil {
		t.Errorf("%v before its time", got)
	}
	a.time = 7 // the same address
	if got := tr.due(tr.next); len(got) != 1 || got[0].port != 1 {
		t.Errorf("%v are due", got)
	}
	tr.add(a)
	if got := tr.due(tr.next); got != nil {
		t.Errorf("%v again", got)
	}
	for i := range maxAddrs + 1 {
		tr.add(addrV2{network: networkIPv6, addr: make([]byte, 16), port: uint16(i)})
	}
	if len(tr.out) != maxAddrs {
		t.Errorf("%d wait", len(tr.out))
	}
}

// An address goes to the same two peers for a day, whoever else comes and goes.
func TestAddrDestinations(t *testing.T) {
	key := &bookKey{1}
	a := addrV2{network: networkIPv4, addr: []byte{1, 2, 3, 4}, port: 1}
	ids := []int64{1, 2, 3, 4, 5, 6, 7, 8}
	now := time.Unix(1_700_000_000, 0)
	first := destinations(key, &a, true, ids, now)
	if len(first) != passTo || first[0] == first[1] {
		t.Fatalf("%v", first)
	}
	slices.Reverse(ids)
	changes, last := 0, first
	for i := range 24 * 10 {
		got := destinations(key, &a, true, ids, now.Add(time.Duration(i)*time.Hour))
		if !slices.Equal(got, last) {
			changes, last = changes+1, got
		}
	}
	if changes < 5 || changes > 10 {
		t.Errorf("%d changes in ten days", changes)
	}
	if got := destinations(key, &a, true, ids[:1], now); len(got) != 1 {
		t.Errorf("%v of one", got)
	}
	one := 0
	for port := range uint16(100) {
		a.port = port
		if len(destinations(key, &a, false, ids, now)) == 1 {
			one++
		}
	}
	if one < 20 || one > 80 {
		t.Errorf("of 100 addresses that cannot be reached %d go to one peer", one)
	}
}

// Who asks for addresses again gets the same, until a day has passed, on each socket
// something else; few addresses are not kept.
func TestAddrAnswersAreKept(t *testing.T) {
	var c addrCache
	made := 0
	fresh := func() []address {
		made++
		return make([]address, leastCached)
	}
	now := time.Unix(1_700_000_000, 0)
	c.get("one", now, fresh)
	c.get("one", now.Add(cacheTime-1), fresh)
	c.get("two", now, fresh)
	if made != 2 {
		t.Errorf("%d answers for two sockets", made)
	}
	if c.get("one", now.Add(cacheTime+cacheSpread), fresh); made != 3 {
		t.Error("an answer of yesterday")
	}
	few := func() []address { made++; return make([]address, leastCached-1) }
	c.get("three", now, few)
	if c.get("three", now, few); made != 5 {
		t.Error("a short answer was kept")
	}
	for i := range maxCaches {
		c.get(string(rune('a'+i)), now, fresh)
	}
	if len(c.answers) != maxCaches {
		t.Errorf("%d answers are kept", len(c.answers))
	}
}

// Addresses of networks that are not used here are passed on to those who understand
// them, and are not in the book.
func TestForeignAddressesArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		from, to := w.call(s, "203.0.113.1:1"), w.call(s, "198.51.100.1:1")
		from.shake(ProtocolVersion)
		to.shake(ProtocolVersion)
		to.say(msgEmpty(cmdGetAddr))
		to.say(msgPing(1))
		to.hear(cmdPong)
		onion := addrV2{time: uint32(time.Now().Unix()), network: networkTor3, addr: make([]byte, 32), port: 9}
		from.say(msgAddrV2{onion})
		if got := to.hear(cmdAddrV2).(msgAddrV2); len(got) != 1 || got[0].network != networkTor3 || got[0].port != 9 {
			t.Errorf("passed on: %v", got)
		}
		if n := len(s.Addresses()); n != 0 {
			t.Errorf("%d are in the book", n)
		}
	})
}
