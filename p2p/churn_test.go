package p2p

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// oneInbound is the most goroutines that work for one inbound peer at a time: its
// reader, its writer, who closes its connection, who judges its blocks.
const oneInbound = 4

// mostGoroutines is how many there may be beyond those of a node without inbound
// peers: of peers, of those that wait for a place, and of sockets that are no
// peer's yet.
const mostGoroutines = maxInbound*oneInbound + 2*maxWaiting + 2*(maxUnfinished+maxCut)

// knocker finishes the handshake and hangs up.
func knocker(c net.Conn, spec *consensus.Spec) {
	defer c.Close()
	var reading sync.WaitGroup
	defer reading.Wait()
	heard := make(chan struct{})
	reading.Go(func() {
		defer close(heard)
		f := newFramed(c, spec)
		for {
			if command, _, err := f.ReadMessage(); err != nil || command == cmdVerack {
				return
			}
		}
	})
	f := newFramed(c, spec)
	for _, m := range []message{actorVersion(ProtocolVersion), msgEmpty(cmdVerack)} {
		if f.WriteMessage(m.command(), m.append(nil)) != nil {
			return
		}
	}
	<-heard
}

// Ninety peers announce what nobody has while four addresses handshake and hang
// up as fast as they can: an honest block comes at once, there are never more
// peers and goroutines than the limits allow, and all of it is gone soon after.
func TestChurn(t *testing.T) {
	const announcers, items, rounds, knocks = 90, 100, 3, 150
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = 100 // no log
		l := &oneListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		s := w.add("s", func(c *Config) { c.ListenTCP = l })
		honest := w.add("honest", func(c *Config) { c.Connect = []string{s.url} })
		w.until("the honest peer is connected", func() bool { return s.hasPeers(1) })
		synctest.Wait()
		before := runtime.NumGoroutine()
		var all sync.WaitGroup
		for i := range announcers {
			a := w.call(s, fmt.Sprintf("20.%d.1.1:1", i))
			a.shake(ProtocolVersion)
			all.Go(func() { a.listenTo() })
			all.Go(func() {
				for range rounds {
					list := make([]invItem, items)
					for i := range list {
						list[i].kind = invWTx
						_, _ = rand.Read(list[i].hash[:])
					}
					_ = a.WriteMessage(cmdInv, (&msgInv{cmdInv, list}).append(nil))
					time.Sleep(time.Second) // virtual
				}
				_ = a.Close("")
			})
		}
		ours := runtime.NumGoroutine() - before // with those of the test
		var open atomic.Int64
		for i := range 4 {
			from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(fmt.Sprintf("30.%d.1.1:1", i)))
			all.Go(func() {
				for range knocks {
					here, there := net.Pipe()
					l.conns <- &fromConn{here, from}
					open.Add(1)
					knocker(there, w.spec)
					open.Add(-1)
					time.Sleep(20 * time.Millisecond) // virtual
				}
			})
		}
		for i := range 3 {
			block := mineOn(w.spec, honest.ledger.Tip(), byte(i))
			honest.feed(block)
			begun := time.Now()
			w.agree(block.Header.Hash(), s)
			if took := time.Since(begun); took > time.Second {
				t.Errorf("a block took %v", took)
			}
			if n := len(s.Peers()); n > maxInbound {
				t.Errorf("%d peers", n)
			}
			if g := runtime.NumGoroutine(); g > before+ours+mostGoroutines {
				t.Errorf("%d goroutines, %d before the attack", g, before)
			}
			time.Sleep(time.Second) // virtual
		}
		all.Wait()
		time.Sleep(10 * time.Second) // virtual
		synctest.Wait()              // for what begins and ends at this very time
		if n := len(s.Peers()); n != 1 {
			t.Errorf("%d peers are left", n)
		}
		if g := runtime.NumGoroutine(); g > before {
			t.Errorf("%d goroutines, %d before the attack", g, before)
		}
		s.gate.mu.Lock()
		defer s.gate.mu.Unlock()
		if len(s.gate.open) != 0 || s.gate.cut != 0 {
			t.Errorf("%d sockets are open, %d of them cut", len(s.gate.open), s.gate.cut)
		}
	})
}

// The same from addresses of this machine, over sockets: those who hang up have
// hardly a handshake, and when they stop nothing is left of them.
func TestChurnOverSockets(t *testing.T) {
	const loops, lasts = 4, 500 * time.Millisecond
	l, url := listeningTCP(t)
	n, ledger := realNode(t, func(c *Config) { c.ListenTCP, c.LoopbackIsPublic = l, true })
	_, source := realNode(t, func(c *Config) { c.Connect = []string{url} })
	until(func() bool { return n.hasPeers(1) })
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var all sync.WaitGroup
	var tries, handshakes atomic.Int64
	for i := range loops {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(1+i), 0, 1)}}
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := d.DialContext(ctx, "tcp", l.Addr().String())
				if err != nil {
					pause(ctx, time.Millisecond)
					continue
				}
				tries.Add(1)
				f := newFramed(c, regtest(t))
				v := actorVersion(ProtocolVersion)
				_ = f.WriteMessage(cmdVersion, v.append(nil))
				_ = f.WriteMessage(cmdVerack, nil)
				for {
					command, _, err := f.ReadMessage()
					if err != nil {
						break
					}
					if command == cmdVerack {
						handshakes.Add(1)
						break
					}
				}
				_ = c.Close()
			}
		})
	}
	block := mineOn(regtest(t), source.Tip(), 1)
	start := time.Now()
	if err := source.AddBlock(block); err != nil {
		t.Fatal(err)
	}
	reach(t, ledger, block.Header.Hash())
	took := time.Since(start)
	all.Wait()
	lasted := time.Since(start)
	if most := int64(loops * (hostBurst + 1 + int(lasted/hostInterval))); handshakes.Load() > most {
		t.Errorf("%d handshakes of %d addresses in %v, want %d at most", handshakes.Load(), loops, lasted, most)
	}
	begun := time.Now()
	until(func() bool {
		return n.hasPeers(1) && runtime.NumGoroutine() <= before || time.Since(begun) > 10*time.Second
	})
	if !n.hasPeers(1) || runtime.NumGoroutine() > before {
		t.Errorf("%v later: %d peers, %d goroutines, %d before", time.Since(begun), len(n.Peers()), runtime.NumGoroutine(), before)
	}
	t.Logf("a block took %v; %d connections, %d handshakes; at rest after %v", took, tries.Load(), handshakes.Load(), time.Since(begun))
}

// stuckConn takes long to close.
type stuckConn struct {
	Conn
	let chan struct{} // closed to let it
}

// Close implements Conn.
func (c stuckConn) Close(reason string) error {
	err := c.Conn.Close(reason)
	<-c.let // the reader has ended, this goroutine has not
	return err
}

// A place is free when the goroutines of its peer have ended, not when somebody
// has decided that it has to go; until then whoever is to have it waits, though
// not for ever, and of those who wait none is of a crowd.
func TestPlaceIsFreeWhenItsPeerIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = 100
		s := w.add("s", nil)
		let := make(chan struct{})
		connect := func(addr string, stuck bool) *actor {
			from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
			a, b := Pipe(from, s.addr, w.latency)
			if stuck {
				s.Accept(stuckConn{b, let})
			} else {
				s.Accept(b)
			}
			w.t.Cleanup(func() { _ = a.Close("") })
			return &actor{Conn: a, t: t}
		}
		count := func(peers, waiting int) {
			t.Helper()
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.peers) != peers || s.inbound != peers || len(s.waiting) != waiting {
				t.Errorf("%d peers, %d places taken, %d wait; want %d and %d", len(s.peers), s.inbound, len(s.waiting), peers, waiting)
			}
		}
		for i := range maxInbound {
			connect(fmt.Sprintf("20.%d.1.1:1", i), true)
		}
		count(maxInbound, 0)
		var crowd []*actor
		for i := range 2 * maxWaiting {
			crowd = append(crowd, connect(fmt.Sprintf("30.1.1.%d:1", i), false))
		}
		count(maxInbound, maxWaiting)
		for i := range 3 { // who comes from elsewhere takes the turn of one of the crowd
			connect(fmt.Sprintf("40.%d.1.1:1", i), false)
		}
		count(maxInbound, maxWaiting)
		s.mu.Lock()
		for p := range s.waiting {
			if group := netGroup(p.host); group != "30.1.0.0/16" && p.ctx.Err() != nil {
				t.Errorf("one of %s does not wait", group)
			}
		}
		s.mu.Unlock()
		time.Sleep(placeTimeout) // virtual
		count(maxInbound, 0)
		late := connect("50.1.1.1:1", false)
		count(maxInbound, 1)
		close(let) // all who have to go are gone, one of them for the late one
		late.shake(ProtocolVersion)
		synctest.Wait()
		for _, a := range crowd {
			if _, _, err := a.ReadMessage(); err != io.EOF && err == nil {
				t.Error("one of the crowd is spoken to")
			}
		}
	})
}
