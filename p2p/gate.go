package p2p

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"lode/internal/clock"
)

// gate is what a stranger has to pass before anything is done for it: it bounds
// how often an address may connect, and the sockets of all listeners that are
// open at a time. It knows three kinds of sockets:
//
//	unsettled   accepted; nothing has come that makes it a peer's
//	settled     a peer's
//	cut         closed by the gate; who serves it has not noticed yet
//
// While there are too many, one that is unsettled is cut for each that comes: of
// the network group that has most of those, the one that has been silent for the
// longest time. So who opens many sockets and says nothing cannot keep others
// out. A socket counts until who serves it has closed it: nobody else comes in
// while more than maxCut are cut.
type gate struct {
	limit  int // sockets, without those that are cut
	exempt func(netip.Addr) bool
	steady *clock.Face

	mu     sync.Mutex // guards what follows
	room   *sync.Cond // something was closed
	knocks knocks
	open   map[*gateConn]struct{}
	cut    int // of open
	next   int
}

// newGate makes a gate for so many inbound peers; exempt says whose connections
// are not counted by time.
func newGate(inbound int, exempt func(netip.Addr) bool, steady *clock.Face) *gate {
	g := &gate{steady: steady, limit: inbound + unfinished(inbound), exempt: exempt, knocks: newKnocks(), open: make(map[*gateConn]struct{})}
	g.room = sync.NewCond(&g.mu)
	return g
}

// admits reports whether somebody at an address may connect now.
func (g *gate) admits(host netip.Addr, now time.Time) bool {
	if g.exempt(host) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.knocks.take(host, now)
}

// tidy forgets what need not be known any more.
func (g *gate) tidy(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.knocks.hosts.free(now)
	g.knocks.groups.free(now)
}

// add takes a connection in, and gives one that has to be closed for it, if any.
func (g *gate) add(c *gateConn) (victim *gateConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.number = g.next
	g.next++
	g.open[c] = struct{}{}
	if len(g.open)-g.cut <= g.limit {
		return nil
	}
	members := make(map[string]int)
	for one := range g.open {
		if one.silent() {
			members[one.group]++
		}
	}
	for one := range g.open {
		if one.silent() && (victim == nil || members[one.group] > members[victim.group] ||
			members[one.group] == members[victim.group] && one.number < victim.number) {
			victim = one
		}
	}
	victim.cut = true // at least c itself is not settled
	g.cut++
	return victim
}

// await waits until enough of those that were cut are gone.
func (g *gate) await() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.cut > maxCut {
		g.room.Wait()
	}
}

// gateConn is a socket that counts.
type gateConn struct {
	net.Conn
	gate         *gate
	group        string
	number       int  // in the order of coming; set by add
	settled, cut bool // guarded by gate.mu
}

func (c *gateConn) silent() bool { return !c.settled && !c.cut }

// settle marks the socket under c as that of a peer.
func settle(c net.Conn) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if one, ok := c.(*gateConn); ok {
		one.gate.mu.Lock()
		defer one.gate.mu.Unlock()
		one.settled = true
	}
}

// Close makes room for another.
func (c *gateConn) Close() error {
	err := c.Conn.Close()
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if _, ok := c.gate.open[c]; ok && c.cut {
		c.gate.cut--
	}
	delete(c.gate.open, c)
	c.gate.room.Broadcast()
	return err
}

// gateListener lets through what passes the gate.
type gateListener struct {
	net.Listener
	gate    *gate
	refused func(remote net.Addr, why string)
}

// Accept waits for the next connection that may come in.
func (l *gateListener) Accept() (net.Conn, error) {
	for {
		l.gate.await()
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := hostOf(c.RemoteAddr())
		if !l.gate.admits(host, l.gate.steady.Now()) {
			abort(c)
			l.refused(c.RemoteAddr(), errKnocks.Error())
			continue
		}
		one := &gateConn{Conn: c, gate: l.gate, group: netGroup(host)}
		if victim := l.gate.add(one); victim == one {
			_ = one.Close()
			continue
		} else if victim != nil {
			_ = victim.Conn.Close() // who serves it closes it too, and makes room
		}
		return one, nil
	}
}

// abort closes a connection with which nothing was begun, and keeps nothing of it.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
