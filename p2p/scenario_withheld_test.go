package p2p

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// Somebody shows the headers of a better chain and gives no block of it, while
// the others find block after block. A node that was in sync waits for nobody: it
// mines on, takes and passes on what the others find, and stays so when somebody
// shows more work still.
func TestWithheldBlocksAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, honest := w.add("s", nil), w.add("honest", nil)
		w.link(s, honest)
		w.inSync(s)
		withheld := mine(w.spec, s.ledger.Tip(), 7, 40)
		liar := w.call(s, "203.0.113.1:1")
		liar.shake(ProtocolVersion)
		go liar.listenTo()
		liar.tell(headersOf(withheld[:30]))
		w.until("the headers are known", func() bool { return s.knows(withheld[29].Header) })
		const between = syncPatience
		for i := range 9 {
			for range 10 {
				if s.Syncing() {
					t.Fatalf("after %d blocks it waits for what a stranger shows", i)
				}
				time.Sleep(between / 10) // virtual
			}
			block := mineOn(w.spec, honest.ledger.Tip(), byte(i))
			honest.feed(block)
			if took := w.agree(block.Header.Hash(), s); took > time.Second {
				t.Errorf("block %d came after %v", i, took)
			}
		}
		if p := s.Peers()[0]; !p.CompactTo {
			t.Error("the peer that gives the blocks is not asked for them in compact form")
		}
		liar.tell(headersOf(withheld[30:]))
		w.until("the headers are known", func() bool { return s.knows(withheld[39].Header) })
		if s.Syncing() {
			t.Error("it waits for the next headers")
		}
	})
}

// inSync waits until a station has once caught up with its peers.
func (w *world) inSync(s *station) {
	w.until("in sync", func() bool {
		s.sync.mu.Lock()
		defer s.sync.mu.Unlock()
		return s.sync.watch.inSync
	})
}

// stranger connects a peer from a part of the network of its own, as one that
// dials the station or as one that the station chose.
func (w *world) stranger(s *station, i int, chosen bool) *actor {
	if chosen {
		a := w.choose(s, kindOutbound, fmt.Sprintf("%d.0.113.1:1", 60+i))
		a.welcome(serviceNetwork | serviceWitness)
		return a
	}
	a := w.call(s, fmt.Sprintf("%d.0.114.1:1", 60+i))
	a.shake(ProtocolVersion)
	return a
}

// tellsHeaders shows headers, and then reads what it is told and gives nothing.
func (a *actor) tellsHeaders(headers msgHeaders) {
	for len(headers) > 0 {
		n := min(len(headers), maxHeaders)
		a.tell(headers[:n])
		headers = headers[n:]
	}
	go a.listenTo()
}

// TestHeadersWithoutBlocksStopNobody: 24 peers, half of whom this node chose, show
// headers without blocks one after the other, each with more work than the one
// before. At the tip they stop nothing; with more than a day of blocks those that
// were chosen do, for ten seconds in all. Transactions and blocks go on.
func TestHeadersWithoutBlocksStopNobody(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int // of the first that is shown; the last is 11 longer
		waits  time.Duration
	}{
		{"at the tip", 1, 0},
		{"a day", 144 - 11, 0},
		{"more than a day", 145, syncPatience},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s, honest := w.add("s", nil), w.add("honest", nil)
				coins := rich(w, 8, s)
				w.link(s, honest)
				w.agree(s.ledger.Tip().Hash, honest)
				w.inSync(s)
				tip := s.ledger.Tip()
				base := headersOf(mine(w.spec, tip, 99, c.length-1))
				after := stateAfter(w.spec, tip, base)
				var waited time.Duration
				var relayed []*consensus.Tx
				for i := range 24 {
					a := w.stranger(s, i, i%2 == 1)
					a.tellsHeaders(slices.Concat(base, headersOf(mine(w.spec, after, byte(i), i/2+1)))) // ever more work
					for range 20 {
						time.Sleep(100 * time.Millisecond) // virtual
						if s.Syncing() {
							waited += 100 * time.Millisecond
						}
					}
					if i%8 == 0 { // relay goes on
						tx := spend(coins[i/8], 1000)
						s.submit(tx)
						back := spend(coins[4+i/8], 1000)
						honest.submit(back)
						relayed = append(relayed, tx, back)
					}
				}
				if waited > c.waits+time.Second || waited < c.waits-time.Second {
					t.Errorf("mining stood still for %v, want %v", waited, c.waits)
				}
				w.everywhere("relay goes on", []*station{s, honest}, relayed...)
				block := mineOn(w.spec, honest.ledger.Tip(), 1)
				honest.feed(block)
				if took := w.agree(block.Header.Hash(), s); took > 3*time.Second {
					t.Errorf("an honest block took %v", took)
				}
				if s.Syncing() {
					t.Error("still waiting")
				}
			})
		})
	}
}

// stateAfter is the state after headers that follow s.
func stateAfter(spec *consensus.Spec, s consensus.State, headers msgHeaders) consensus.State {
	for i := range headers {
		s = spec.Rules.NextState(s, &headers[i])
	}
	return s
}

// A node that was in sync and finds that it is more than a day behind a peer that
// it chose fetches those blocks before it mines again.
func TestMoreThanADayBehindIsSyncing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = 100 * time.Millisecond
		s, far, other := w.add("s", nil), w.add("far", nil), w.add("other", nil)
		w.link(s, other)
		s.feed(mine(w.spec, s.ledger.Tip(), 1, 3)...)
		w.inSync(s)
		far.feed(mine(w.spec, far.ledger.Tip(), 2, 400)...)
		if err := s.AddNode(far.url); err != nil {
			t.Fatal(err)
		}
		w.until("syncing", s.Syncing)
		w.until("not syncing", func() bool { return !s.Syncing() })
		if h := s.ledger.Tip().Height; h < 400-144 {
			t.Errorf("not syncing at height %d of 400", h)
		}
		w.agree(far.ledger.Tip().Hash, s, other)
	})
}

// What is missing is counted from where a chain leaves the active one: a fork that
// is no higher than the tip, but longer than a day, is far too.
func TestLongForkIsFar(t *testing.T) {
	for _, c := range []struct {
		fork int
		far  bool
	}{{50, true}, {57, false}} {
		t.Run(fmt.Sprint(c.fork), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s, other := w.add("s", nil), w.add("other", nil)
				blocks := mine(w.spec, s.ledger.Tip(), 1, 200)
				s.feed(blocks...)
				w.link(s, other)
				w.agree(s.ledger.Tip().Hash, other)
				w.inSync(s)
				state := stateAfter(w.spec, w.spec.Rules.GenesisState(), headersOf(blocks[:c.fork]))
				liar := w.stranger(s, 1, true)
				liar.tellsHeaders(headersOf(mine(w.spec, state, 9, 201-c.fork)))
				w.until("the headers are known", func() bool { return s.ledger.BestHeader().Height == 201 })
				time.Sleep(time.Second) // virtual
				if s.Syncing() != c.far {
					t.Errorf("a fork of %d blocks: syncing is %v", 201-c.fork, s.Syncing())
				}
				time.Sleep(syncPatience) // virtual
				if s.Syncing() {
					t.Error("still syncing")
				}
			})
		})
	}
}

// Who shows a chain first and withholds it hides nobody who shows it too: all are
// asked within the one patience, and then believed.
func TestAllWhoShowAChainAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, other, honest := w.add("s", nil), w.add("other", nil), w.add("honest", nil)
		w.link(s, other)
		w.inSync(s)
		honest.feed(mine(w.spec, s.ledger.Tip(), 1, 300)...)
		headers := headersOf(mine(w.spec, s.ledger.Tip(), 1, 300))
		for i := range 3 {
			w.stranger(s, i, true).tellsHeaders(headers)
		}
		w.until("syncing", s.Syncing)
		start := time.Now()
		if err := s.AddNode(honest.url); err != nil {
			t.Fatal(err)
		}
		mined := time.Duration(0) // on a chain that is about to be left
		for s.ledger.Tip().Height < 300-144 {
			if !s.Syncing() {
				mined += 100 * time.Millisecond
			}
			time.Sleep(100 * time.Millisecond) // virtual
		}
		t.Logf("caught up after %v, and was taken for in sync for %v", time.Since(start), mined)
		if took := time.Since(start); took > 2*syncPatience || mined > time.Second {
			t.Errorf("caught up after %v, and was taken for in sync for %v of it", took, mined)
		}
	})
}
