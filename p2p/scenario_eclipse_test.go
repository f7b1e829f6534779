package p2p

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// addAt is add for a station with a public address.
func (w *world) addAt(name, ip string, change func(*Config)) *station {
	w.t.Helper()
	s := w.station(name)
	s.url = "ws://" + ip + ":9555/p2p"
	s.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 9555))
	s.change, s.dir = change, w.t.TempDir()
	w.start(s)
	return s
}

// gang is one attacker with many addresses, all of 60.0.0.0/8. Its members dial
// the victim again whenever they are cut off, and answer when it dials them.
type gang struct {
	w      *world
	victim *station
	greet  func(i int, a *actor) // what a member says first; -1 for one that was dialled
	over   chan struct{}
	group  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	members map[*actor]bool
}

// gangURL is the address of one of its members.
func gangURL(group, i int) string {
	return fmt.Sprintf("ws://60.%d.%d.%d:9555/p2p", group, i/250, i%250)
}

// tell says something that may come too late.
func (a *actor) tell(m message) bool { return a.WriteMessage(m.command(), m.append(nil)) == nil }

// meet does the handshake, greets, and answers pings until the connection ends.
// Whatever else it is asked it leaves unanswered.
func (g *gang) meet(i int, a *actor) {
	ours := actorVersion(ProtocolVersion)
	ours.nonce = 3
	if i >= 0 {
		a.tell(ours)
	}
	for {
		command, payload, err := a.ReadMessage()
		if err != nil {
			return
		}
		switch command {
		case cmdVersion:
			if i < 0 {
				a.tell(ours)
			}
			for _, m := range []msgEmpty{cmdWTxIDRelay, cmdSendAddrV2, cmdSendAddrURL, cmdVerack} {
				a.tell(m)
			}
		case cmdVerack:
			g.mu.Lock()
			g.members[a] = true
			g.mu.Unlock()
			a.tell(msgSendCmpct{true, compactVersion})
			g.greet(i, a)
			defer func() {
				g.mu.Lock()
				delete(g.members, a)
				g.mu.Unlock()
			}()
		case cmdPing:
			_ = a.WriteMessage(cmdPong, payload)
		}
	}
}

// press keeps a number of connections to the victim open, or trying to.
func (g *gang) press(members int) {
	for i := range members {
		from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(fmt.Sprintf("60.%d.%d.1:1", i%100, i/100)))
		g.group.Go(func() {
			for {
				ours, theirs := Pipe(from, g.victim.addr, g.w.latency)
				g.w.mu.Lock()
				if g.w.stations[g.victim.url] == g.victim {
					g.victim.Accept(theirs)
				} else {
					_ = ours.Close("")
				}
				g.w.mu.Unlock()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					g.meet(i, &actor{Conn: ours, t: g.w.t})
				}()
				select {
				case <-ended:
				case <-g.over:
					_ = ours.Close("")
					<-ended
					return
				}
				select {
				case <-time.After(time.Minute):
				case <-g.over:
					return
				}
			}
		})
	}
}

// dial is how the victim reaches the gang, and everybody else.
func (g *gang) dial(ctx context.Context, url string) (Conn, error) {
	ip, _ := hostInURL(url)
	if !ip.IsValid() || ip.As4()[0] != 60 {
		return g.w.dial(ctx, g.victim, url)
	}
	ours, theirs := Pipe(g.victim.addr, net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 9555)), g.w.latency)
	go g.meet(-1, &actor{Conn: theirs, t: g.w.t})
	return ours, nil
}

// everyone lists those that are connected.
func (g *gang) everyone() (list []*actor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for a := range g.members {
		list = append(list, a)
	}
	return list
}

// end has the gang give up.
func (g *gang) end() {
	close(g.over)
	g.group.Wait()
	for _, a := range g.everyone() {
		_ = a.Close("")
	}
}

// Every inbound slot of a node is an attacker's, who has more connections than
// there are slots, tries for those of others again and again, and fills the
// address book with himself. He shows chains with less work, and one with more of
// which no block ever comes; he announces each new block first, changed, in part
// or not at all. The node follows the best chain through the peers that it chose,
// also after a restart amid all of this, when he is behind many of the addresses
// that it dials.
func TestEclipseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = slog.LevelError
		random := seeded(t)
		var honest []*station
		for i := range 10 {
			honest = append(honest, w.addAt(fmt.Sprint("honest", i), fmt.Sprintf("45.%d.0.1", i), nil))
		}
		g := &gang{w: w, over: make(chan struct{}), members: make(map[*actor]bool)}
		defer g.end()
		dir := t.TempDir()
		victim := w.addAt("victim", "44.1.0.1", func(c *Config) { c.Outbound, c.Dial, c.Dir = DefaultOutbound, g.dial, dir })
		g.victim = victim
		all := append([]*station{victim}, honest...)
		coins := rich(w, 20, all...)
		w.network(random, 4, honest)
		for _, s := range honest {
			victim.book.learn(s.url, serviceNetwork|serviceWitness, time.Now(), "a friend")
		}
		poke(victim.dialWake)
		slots := func() bool {
			return victim.count(kindOutbound) == DefaultOutbound && victim.count(kindBlocks) == blockOutbound
		}
		w.until("all slots are filled", slots)
		time.Sleep(time.Minute) // virtual
		outbound := func() (urls []string) {
			for _, p := range victim.Peers() {
				if p.Kind == string(kindOutbound) || p.Kind == string(kindBlocks) {
					urls = append(urls, p.URL)
				}
			}
			slices.Sort(urls)
			return urls
		}
		chosen := outbound()

		low := headersOf(mine(w.spec, w.spec.Rules.GenesisState(), 70, 50))
		withheld := headersOf(mine(w.spec, victim.ledger.Tip(), 71, 40))
		g.greet = func(i int, a *actor) {
			addrs := make(msgAddrV2, 50)
			for j := range addrs {
				addrs[j] = wireAddr(gangURL((i+1)%100, 300+50*i+j), serviceNetwork|serviceWitness, time.Now())
			}
			a.tell(addrs)
			a.tell(low)
			if i%2 == 0 {
				a.tell(withheld)
			}
		}
		for i := range 3 {
			block := honest[i].mineHere(w, byte(i))
			w.agree(block.Header.Hash(), all...)
		}
		g.press(maxInbound + 15)
		inbound := func() int {
			victim.mu.Lock()
			defer victim.mu.Unlock()
			return victim.inbound
		}

		// follows has an honest node find a block that the attacker has first. When
		// the honest ones have it the victim has to have it soon.
		follows := func(i int, soon time.Duration) {
			t.Helper()
			w.until("all inbound slots are his", func() bool { return inbound() == maxInbound })
			miner := honest[random.IntN(len(honest))]
			var txs []*consensus.Tx
			if len(coins) > 0 {
				txs, coins = []*consensus.Tx{spend(coins[0], 1000), spend(coins[1], 1000)}, coins[2:]
			}
			block := mineOn(w.spec, miner.ledger.Tip(), byte(i), txs...)
			for j, a := range g.everyone() {
				switch j % 20 {
				case 0:
					a.tell(msgBlock{mutations["another reserved value"](block)})
				case 1:
					a.tell(msgBlock{mutations["another signature"](block)})
				case 2, 3, 4:
					a.tell(compact(t, block))
				default:
					a.tell(msgHeaders{block.Header})
				}
			}
			time.Sleep(time.Second) // virtual
			miner.feed(block)
			w.agree(block.Header.Hash(), honest...)
			if took := w.agree(block.Header.Hash(), victim); took > soon {
				t.Errorf("block %d came after %v, want at most %v", i, took, soon)
			}
		}
		const slack = 3 * time.Second
		for i := range 6 {
			follows(i, slack) // an outbound peer announces in compact form, and can always be asked for the rest
		}
		if got := outbound(); !slices.Equal(got, chosen) {
			t.Errorf("the outbound peers are %v, were %v", got, chosen)
		}

		w.kill(victim)
		late := mineOn(w.spec, honest[0].ledger.Tip(), 50)
		honest[0].feed(late)
		w.agree(late.Header.Hash(), honest...)
		w.start(victim)
		w.agree(late.Header.Hash(), victim)
		w.until("all slots are filled again", slots)
		his := len(slices.DeleteFunc(outbound(), func(url string) bool { return !strings.HasPrefix(url, "ws://60.") }))
		t.Logf("%d outbound peers are his", his)
		rounds := 4
		if testing.Short() {
			rounds = 1
		}
		for i := range rounds {
			time.Sleep(10 * time.Minute) // virtual
			// One inbound peer, and then each of the outbound ones but the anchors,
			// may owe the block for so long before another is asked.
			follows(10+i, (1+DefaultOutbound)*moveTimeout+slack)
		}
		w.until("nothing is awaited any more", func() bool { return !victim.Syncing() })
		w.sameCoins(all...)
		for _, line := range w.complaints.lines() {
			if !strings.Contains(line, " 60.") {
				t.Errorf("an honest peer is blamed: %s", line)
			}
		}
	})
}
