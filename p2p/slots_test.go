package p2p

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (s *station) count(kind connectionKind) (n int) {
	for _, p := range s.Peers() {
		if p.Kind == string(kind) && p.HandshakeIsOver {
			n++
		}
	}
	return n
}

// crowd lets a station dial peers that tests play: whoever is behind an IP
// address in a URL does the handshake, and then plays.
type crowd struct {
	w    *world
	from *net.TCPAddr
	play func(url string, a *actor, v *msgVersion)
	urls chan string // that were dialled
}

func newCrowd(w *world, play func(string, *actor, *msgVersion)) *crowd {
	return &crowd{w, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.1:1")), play, make(chan string, 10_000)}
}

func (c *crowd) dial(_ context.Context, url string) (Conn, error) {
	c.urls <- url
	ip, name := hostInURL(url)
	if name != "" {
		ip = netip.MustParseAddr("198.51.100.7") // where all names lead
	}
	ours, theirs := Pipe(c.from, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 1)), c.w.latency)
	a := &actor{Conn: theirs, t: c.w.t}
	go func() {
		command, payload, err := a.ReadMessage()
		if err != nil || command != cmdVersion {
			return
		}
		m, err := decodeMessage(command, payload)
		if err != nil {
			return
		}
		v, ours := m.(*msgVersion), actorVersion(ProtocolVersion)
		ours.nonce = 2
		for _, m := range []message{ours, msgEmpty(cmdWTxIDRelay), msgEmpty(cmdSendAddrV2), msgEmpty(cmdSendAddrURL), msgEmpty(cmdVerack)} {
			if a.WriteMessage(m.command(), m.append(nil)) != nil {
				return
			}
		}
		c.play(url, a, v)
	}()
	return ours, nil
}

// listenTo reads until the connection ends and gives the commands that came.
func (a *actor) listenTo() (commands []string) {
	for {
		command, payload, err := a.ReadMessage()
		if err != nil {
			return commands
		}
		commands = append(commands, command)
		if command == cmdPing {
			_ = a.WriteMessage(cmdPong, payload)
		}
	}
}

// The slots are filled with peers of different network groups, although most of
// the book is of one; names that lead to one network count as one.
func TestSlotsAreDiverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := newCrowd(w, func(_ string, a *actor, _ *msgVersion) { a.listenTo() })
		s := w.add("s", func(cfg *Config) { cfg.Outbound, cfg.Dial = DefaultOutbound, c.dial })
		for i := range 300 {
			s.book.learn(ipURL(7, i), 9, time.Now(), fmt.Sprint("a ", i))
			s.book.learn(fmt.Sprintf("wss://h.site%d.example/p2p", i), 9, time.Now(), fmt.Sprint("b ", i))
		}
		for i := range 12 {
			s.book.learn(ipURL(1000+i, 1), 9, time.Now(), fmt.Sprint("c ", i))
		}
		poke(s.dialWake)
		w.until("all slots are filled", func() bool {
			return s.count(kindOutbound) == DefaultOutbound && s.count(kindBlocks) == blockOutbound
		})
		var groups []string
		for _, p := range s.Peers() {
			if p.Kind != string(kindFeeler) {
				groups = append(groups, netGroup(hostOfString(p.Addr)))
			}
		}
		slices.Sort(groups)
		if len(slices.Compact(slices.Clone(groups))) != len(groups) {
			t.Errorf("peers are in %v", groups)
		}
	})
}

// A block-relay-only connection carries no addresses and no transactions, and who
// sends a transaction on it is disconnected.
func TestBlockRelayOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		heard := make(map[bool][]string) // by whether transactions were wanted
		ends := make(chan bool, 100)
		c := newCrowd(w, func(_ string, a *actor, v *msgVersion) {
			news := &msgInv{cmdInv, []invItem{{invWTx, [32]byte{1}}}}
			stop := time.AfterFunc(time.Minute, func() { _ = a.WriteMessage(cmdInv, news.append(nil)) })
			defer stop.Stop()
			list := a.listenTo()
			w.mu.Lock()
			heard[v.relay] = append(heard[v.relay], list...)
			w.mu.Unlock()
			ends <- v.relay
		})
		s := w.add("s", func(cfg *Config) { cfg.Outbound, cfg.Dial, cfg.Advertise = 1, c.dial, []string{"ws://203.0.113.99:1"} })
		for i := range 3 {
			s.book.learn(ipURL(i, 1), 9, time.Now(), fmt.Sprint(i))
		}
		poke(s.dialWake)
		w.until("all slots are filled", func() bool { return s.count(kindOutbound) == 1 && s.count(kindBlocks) == blockOutbound })
		for _, p := range s.Peers() {
			if p.RelayTxs != (p.Kind == string(kindOutbound)) {
				t.Errorf("%s: transactions are sent is %v", p.Kind, p.RelayTxs)
			}
		}
		for range blockOutbound {
			if relay := <-ends; relay {
				t.Error("a peer with full relay was disconnected for an inv")
			}
		}
		s.stop()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, command := range []string{cmdGetAddr, cmdAddr, cmdAddrV2, cmdFeeFilter} {
			if slices.Contains(heard[false], command) {
				t.Errorf("heard %s where blocks alone pass", command)
			}
		}
	})
}

// The other side of the same: who wants no transactions and does not speak of
// addresses is told neither.
func TestSilentInboundIsToldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.Advertise = []string{"ws://203.0.113.99:1", "tcp://203.0.113.99:2"} })
		a, b := w.call(s, "203.0.113.1:1"), w.call(s, "198.51.100.1:1")
		v := actorVersion(ProtocolVersion)
		v.relay = false
		a.shakeAs(v)
		b.shake(ProtocolVersion)
		b.say(msgAddrV2{wireAddr("ws://8.8.8.8:1/p2p", 9, time.Now())})
		if got := b.hear(cmdAddrV2).(msgAddrV2); len(got) != 2 || string(got[0].addr) != "ws://203.0.113.99:1/p2p" || got[1].port != 2 {
			t.Errorf("told %v, want the node's own addresses", got)
		}
		if !a.silentOn(cmdAddrV2) {
			t.Error("told addresses that it did not ask for")
		}
	})
}

// The block-relay-only peers are the first to be dialled after a restart; a
// damaged file is forgotten, and every file is read once.
func TestAnchors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dir := t.TempDir()
		play := func(_ string, a *actor, _ *msgVersion) { a.listenTo() }
		start := func(name string) (*station, *crowd) {
			c := newCrowd(w, play)
			return w.add(name, func(cfg *Config) { cfg.Outbound, cfg.Dial, cfg.Dir = 2, c.dial, dir }), c
		}
		s, _ := start("first")
		for i := range 20 {
			s.book.learn(ipURL(i, 1), 9, time.Now(), fmt.Sprint(i))
		}
		poke(s.dialWake)
		w.until("all slots are filled", func() bool { return s.count(kindOutbound) == 2 && s.count(kindBlocks) == blockOutbound })
		var want []string
		for _, p := range s.Peers() {
			if p.Kind == string(kindBlocks) {
				want = append(want, p.URL)
			}
		}
		s.stop()
		file := filepath.Join(dir, anchorsName)
		if _, err := os.Stat(file); err != nil {
			t.Fatal(err)
		}

		again, c := start("again")
		got := []string{<-c.urls, <-c.urls}
		w.until("both are back", func() bool { return again.count(kindBlocks) == blockOutbound })
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("dialled %v first, want %v", got, want)
		}
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("the file is still there: %v", err)
		}
		again.stop()

		for _, bad := range []string{"", "{", `{"version":9,"urls":["ws://1.2.3.4:1/p2p"]}`, `{"version":1,"urls":["http://1.2.3.4/"]}`} {
			if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			n := &Node{cfg: Config{Dir: dir}, log: again.log}
			if urls := n.takeAnchors(); len(urls) != 0 {
				t.Errorf("%q gives %v", bad, urls)
			}
			if _, err := os.Stat(file); !os.IsNotExist(err) {
				t.Errorf("%q is still there: %v", bad, err)
			}
		}
	})
}

// A feeler tries an address every two minutes on average, and hangs up; what
// answers moves to the tried table.
func TestFeelers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := newCrowd(w, func(_ string, a *actor, _ *msgVersion) { a.listenTo() })
		s := w.add("s", func(cfg *Config) { cfg.Outbound, cfg.Dial = 1, c.dial })
		for i := range 500 {
			s.book.learn(ipURL(i, 1), 9, time.Now(), fmt.Sprint(i))
		}
		poke(s.dialWake)
		w.until("all slots are filled", func() bool { return s.count(kindOutbound) == 1 && s.count(kindBlocks) == blockOutbound })
		time.Sleep(200 * feelerInterval) // virtual
		synctest.Wait()
		s.book.mu.Lock()
		tried := 0
		for _, a := range s.book.byURL {
			if a.InTried {
				tried++
			}
		}
		s.book.mu.Unlock()
		if dialled := len(c.urls) - 1 - blockOutbound; dialled < 130 || dialled > 270 { // five deviations
			t.Errorf("%d feelers in %v, want about 200", dialled, 200*feelerInterval)
		}
		if tried < 100 {
			t.Errorf("%d addresses are known to answer", tried)
		}
		if in, out := s.ConnectionCount(); in != 0 || out != 1+blockOutbound {
			t.Errorf("%d in, %d out", in, out)
		}
	})
}

// Who is banned or discouraged is not dialled.
func TestBannedAreNotDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := newCrowd(w, func(_ string, a *actor, _ *msgVersion) { a.listenTo() })
		s := w.add("s", func(cfg *Config) { cfg.Outbound, cfg.Dial = DefaultOutbound, c.dial })
		if err := s.Ban(Subnet{Prefix: netip.MustParsePrefix("1.1.0.0/16")}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		s.bans.discourage(netip.MustParseAddr("1.2.0.1"))
		for i := range 4 {
			s.book.learn(ipURL(i, 1), 9, time.Now(), fmt.Sprint(i))
		}
		poke(s.dialWake)
		w.until("who is left is connected", func() bool { _, out := s.ConnectionCount(); return out == 2 })
		time.Sleep(time.Minute) // virtual
		s.stop()
		close(c.urls)
		for url := range c.urls {
			if strings.HasPrefix(url, "ws://1.1.") || strings.HasPrefix(url, "ws://1.2.") {
				t.Errorf("%s was dialled", url)
			}
		}
	})
}
