package p2p

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lode/internal/clock"
)

func nobody(netip.Addr) bool { return false }

// come has a connection of a network group come to a gate.
func come(t *testing.T, g *gate, group string) (c, victim *gateConn) {
	inner, other := net.Pipe()
	t.Cleanup(func() { _ = other.Close() })
	c = &gateConn{Conn: inner, gate: g, group: group}
	return c, g.add(c)
}

// Of the silent sockets the oldest of the network group with the most has to go;
// those of peers stay.
func TestGateCutsTheSilent(t *testing.T) {
	g := newGate(maxInbound, nobody, clock.New(nil).Steady)
	g.limit = 4
	var all []*gateConn
	for i, step := range []struct {
		group  string
		victim int // number of the connection that has to go; -1 for none
	}{
		{"A", -1}, {"A", -1}, {"B", -1}, {"A", -1}, // 0 to 3
		{"C", 0}, {"A", 1}, {"D", 3}, {"E", 2}, // 4 to 7; the last finds B, C, A and D with one each
	} {
		c, victim := come(t, g, step.group)
		all = append(all, c)
		if got := slices.Index(all, victim); got != step.victim {
			t.Errorf("when number %d of %s came, %d went, want %d", i, step.group, got, step.victim)
		}
		if victim != nil {
			_ = victim.Close()
		}
	}
	for c := range g.open {
		settle(c)
	}
	c, victim := come(t, g, "F")
	if victim != c {
		t.Error("a peer had to go")
	}
	_ = c.Close()
	_, _ = all[7].Close(), all[7].Close() // gives one place back, not two
	if _, victim := come(t, g, "F"); victim != nil {
		t.Error("no room where one has left")
	}
	if c, victim := come(t, g, "F"); victim == nil || victim == c || victim.settled {
		t.Error("the one that came first is not the one that went")
	}
}

// A socket counts until who serves it has closed it: however many come, no more
// are open than the limit and a few that are ending.
func TestGateWaitsForWhoIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(maxInbound, nobody, clock.New(nil).Steady)
		g.limit = 4
		var cut []*gateConn
		for range g.limit + maxCut + 1 {
			if _, victim := come(t, g, "A"); victim != nil {
				cut = append(cut, victim)
			}
		}
		open := make(chan struct{})
		go func() {
			g.await()
			close(open)
		}()
		synctest.Wait()
		select {
		case <-open:
			t.Errorf("another may come in while %d that were cut have not ended", len(cut))
		default:
		}
		_, _ = cut[0].Close(), cut[0].Close()
		<-open
		if len(g.open) != g.limit+maxCut || g.cut != maxCut {
			t.Errorf("%d are open, %d of them cut", len(g.open), g.cut)
		}
		for _, c := range cut {
			_ = c.Close()
		}
		if len(g.open) != g.limit || g.cut != 0 {
			t.Errorf("%d are open, %d of them cut", len(g.open), g.cut)
		}
	})
}

// Whoever connects too often is turned away at the socket, before a byte is read;
// an exempt one is not.
func TestGateListenerTurnsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proxy := netip.MustParseAddr("198.51.100.9")
		turned := 0
		inner := &oneListener{conns: make(chan net.Conn, 1000), closed: make(chan struct{})}
		l := &gateListener{inner, newGate(maxInbound, func(a netip.Addr) bool { return a == proxy }, clock.New(nil).Steady), func(net.Addr, string) { turned++ }}
		let := func(from netip.Addr, count int) (in int) {
			for range count {
				here, there := net.Pipe()
				defer there.Close()
				inner.conns <- &fromConn{here, net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 1))}
			}
			go func() {
				for len(inner.conns) > 0 {
					time.Sleep(time.Millisecond)
				}
				inner.conns <- &fromConn{nil, &net.TCPAddr{}} // the end
			}()
			for {
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				if c.(*gateConn).Conn.(*fromConn).Conn == nil {
					l.gate.mu.Lock()
					delete(l.gate.open, c.(*gateConn))
					l.gate.mu.Unlock()
					return in
				}
				in++
				_ = c.Close()
			}
		}
		if in := let(netip.MustParseAddr("203.0.113.1"), 100); in != hostBurst || turned != 100-hostBurst {
			t.Errorf("%d came in and %d were turned away, want %d and %d", in, turned, hostBurst, 100-hostBurst)
		}
		if in := let(proxy, 100); in != 100 {
			t.Errorf("%d of 100 from an exempt address came in", in)
		}
		time.Sleep(10 * hostInterval) // virtual
		if in := let(netip.MustParseAddr("203.0.113.1"), 100); in != 10 {
			t.Errorf("%d came in after %v, want 10", in, 10*hostInterval)
		}
		time.Sleep(time.Minute) // virtual
		l.gate.tidy(time.Now())
		if hosts, groups := len(l.gate.knocks.hosts.known), len(l.gate.knocks.groups.known); hosts+groups != 0 {
			t.Errorf("%d addresses and %d groups are still known", hosts, groups)
		}
	})
}

// fromConn is a connection from some address.
type fromConn struct {
	net.Conn
	from net.Addr
}

func (c *fromConn) RemoteAddr() net.Addr { return c.from }
