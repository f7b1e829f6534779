package p2p

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/internal/clock"
	"lode/p2p/txrequest"
)

// rich gives stations a chain whose first coinbases can be spent, and the
// transactions that do.
func rich(w *world, coins int, stations ...*station) (coinbases []*consensus.Tx) {
	blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, int(w.spec.Rules.Maturity)+coins)
	for _, s := range stations {
		s.feed(blocks...)
	}
	for _, b := range blocks[:coins] {
		coinbases = append(coinbases, b.Txs[0])
	}
	return coinbases
}

func (s *station) submit(tx *consensus.Tx) {
	s.t.Helper()
	if err := s.pool.Add(tx); err != nil {
		s.t.Fatal(err)
	}
}

func TestTransactionsReachEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b, c := w.add("a", nil), w.add("b", nil), w.add("c", nil)
		coins := rich(w, 3, a, b, c)
		w.link(b, a)
		w.link(c, b)
		w.link(c, a)
		for i, coin := range coins {
			tx := spend(coin, 1000)
			[]*station{a, b, c}[i].submit(tx)
			w.until("everywhere", func() bool { return a.has(tx) && b.has(tx) && c.has(tx) })
		}
		for _, p := range append(append(a.Peers(), b.Peers()...), c.Peers()...) {
			if n := p.Received.PerMessage[cmdInv]; n > 3*(commandSize+1+invSize) {
				t.Errorf("%s announced too much: %d bytes", p.SubVer, n)
			}
		}
	})
}

// Announcements come at random, to all inbound peers at the same time; what has
// left the pool by then is not announced.
func TestTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const mean = 10 * time.Second
		s := w.add("s", func(c *Config) { c.TxInterval = mean * 2 / 5 })
		coins := rich(w, 40, s)
		a, b := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		a.shake(ProtocolVersion)
		b.shake(ProtocolVersion)
		start := time.Now()
		for _, coin := range coins {
			tx := spend(coin, 1000)
			s.submit(tx)
			for _, actor := range []*actor{a, b} {
				at := time.Now()
				if got := actor.hear(cmdInv).(*msgInv); got.items[0].hash != tx.WTxID() {
					t.Errorf("announced %v", got.items)
				}
				if waited := time.Since(at); actor == b && waited > 0 {
					t.Errorf("the other one had to wait for %v", waited)
				}
			}
		}
		// The sum of 40 is out of these bounds once in a thousand million runs.
		if took := time.Since(start) / time.Duration(len(coins)); took < mean/4 || took > mean*5/2 {
			t.Errorf("on average after %v, want %v", took, mean)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.TxInterval = 1000 * time.Hour })
		coins := rich(w, 2, s)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		gone, there := spend(coins[0], 1000), spend(coins[1], 1000)
		s.submit(gone)
		s.submit(there)
		s.feed(mineOn(w.spec, s.ledger.Tip(), 9, gone))
		s.announceTxs(time.Now().Add(1e6 * time.Hour)) // all that waits
		for {
			got := a.hear(cmdInv).(*msgInv)
			if got.items[0].kind == invBlock {
				continue
			}
			if len(got.items) != 1 || got.items[0].hash != there.WTxID() {
				t.Errorf("announced %v", got.items)
			}
			break
		}
	})
}

// Many transactions go out in several announcements.
func TestBatchesOfAnnouncements(t *testing.T) {
	r := newRelay(time.Hour, clock.New(nil).Wall)
	p := &peer{kind: kindOutbound, relayTxs: true, wtxidRelay: true}
	p.relay.known = newRecentSet(maxKnownTxs)
	r.add(p, 0)
	for i := range 3000 {
		hash := consensus.Hash{byte(i), byte(i >> 8), 1}
		r.accepted(&consensus.Tx{}, hash, hash, 1)
	}
	known := consensus.Hash{9, 9, 9}
	p.relay.known.add(known)
	r.accepted(&consensus.Tx{}, known, known, 1)
	sum := 0
	for _, want := range []int{txInvTarget + 15, txInvTarget + 10} {
		due, ok := r.firstDue()
		if !ok || len(r.takeDue(due.Add(-1))) > 0 {
			t.Fatal("before it is due")
		}
		batch := r.takeDue(due)[p]
		if len(batch) != want {
			t.Errorf("%d announced, want %d", len(batch), want)
		}
		sum += len(batch)
	}
	for len(p.relay.out) > 0 {
		due, _ := r.firstDue()
		sum += len(r.takeDue(due)[p])
	}
	if sum != 3000 {
		t.Errorf("%d announced in all", sum)
	}
}

// onLine is a log in which a line makes something happen.
type onLine struct {
	slog.Handler
	line string
	then func()
}

func (h *onLine) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == h.line {
		h.then()
	}
	return h.Handler.Handle(ctx, r)
}

// Whoever waits for a connection and then sends a transaction wants it to go out.
func TestTransactionReachesNewPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := &onLine{line: "peer connected"}
		s := w.add("s", func(c *Config) { log.Handler = c.Log.Handler(); c.Log = slog.New(log) })
		tx := spend(rich(w, 1, s)[0], 1000)
		log.then = func() {
			if in, _ := s.ConnectionCount(); in != 1 {
				t.Errorf("%d connections", in)
			}
			s.submit(tx)
		}
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		if got := a.hear(cmdInv).(*msgInv); got.items[0].hash != tx.WTxID() {
			t.Errorf("announced %v", got.items)
		}
	})
}

// A peer from before BIP339 is spoken to in transaction ids.
func TestOldPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 3, s)
		old := w.call(s, "203.0.113.1:1")
		old.shake(ProtocolVersion - 1)
		tx := spend(coins[0], 1000)
		s.submit(tx)
		if got := old.hear(cmdInv).(*msgInv); got.items[0] != (invItem{invTx, tx.TxID()}) {
			t.Errorf("announced %v", got.items)
		}
		old.say(&msgInv{cmdGetData, []invItem{{invTx, tx.TxID()}, {invTx | invWitness, tx.TxID()}}})
		if got := old.hear(cmdTx).(msgTx); got.HasWitness() {
			t.Error("a witness that was not asked for")
		}
		if got := old.hear(cmdTx).(msgTx); got.WTxID() != tx.WTxID() {
			t.Error("the witness is missing")
		}
		for i, kind := range []uint32{invTx, invTx | invWitness} { // the latter as neutrino announces
			its := spend(coins[1+i], 1000)
			old.say(&msgInv{cmdInv, []invItem{{kind, its.TxID()}}})
			if got := old.hear(cmdGetData).(*msgInv); got.items[0] != (invItem{invTx | invWitness, its.TxID()}) {
				t.Errorf("asked for %v", got.items)
			}
			old.say(msgTx{its})
			w.until("accepted", func() bool { return s.has(its) })
		}
	})
}

func TestFeeFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 2, s)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		if got := a.hear(cmdFeeFilter); int64(got.(msgFeeFilter)) != s.pool.MinFeeRate() {
			t.Errorf("fee filter %v, want %d", got, s.pool.MinFeeRate())
		}
		a.say(msgFeeFilter(50_000))
		w.until("set", func() bool { return s.Peers()[0].FeeFilter == 50_000 })
		cheap, dear := spend(coins[0], 1000), spend(coins[1], 100_000)
		s.submit(cheap)
		s.submit(dear)
		if got := a.hear(cmdInv).(*msgInv); len(got.items) != 1 || got.items[0].hash != dear.WTxID() {
			t.Errorf("announced %v", got.items)
		}
	})
}

func TestSilentAnnouncerIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 3, s)
		liar, honest := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		liar.shake(ProtocolVersion)
		honest.shake(ProtocolVersion)
		// first has both announce a transaction and the liar be asked for it.
		first := func(tx *consensus.Tx) (asked time.Time) {
			t.Helper()
			start := time.Now()
			liar.say(inv(tx))
			liar.hear(cmdGetData)
			if took := time.Since(start); took < txrequest.NonPreferredDelay || took > txrequest.NonPreferredDelay+time.Second {
				t.Errorf("asked after %v", took)
			}
			honest.say(inv(tx))
			honest.settle()
			return time.Now()
		}

		silent := spend(coins[0], 1000)
		start := first(silent)
		honest.hear(cmdGetData)
		if took := time.Since(start); took < txrequest.Timeout-time.Second || took > txrequest.Timeout+time.Second {
			t.Errorf("asked after %v, want %v", took, txrequest.Timeout)
		}
		honest.say(msgTx{silent})
		w.until("accepted", func() bool { return s.has(silent) })

		missing := spend(coins[1], 1000)
		first(missing)
		time.Sleep(2 * time.Second) // virtual
		start = time.Now()
		liar.say(&msgInv{cmdNotFound, inv(missing).items})
		honest.hear(cmdGetData)
		if took := time.Since(start); took > time.Second {
			t.Errorf("asked %v after notfound", took)
		}

		first(spend(coins[2], 1000))
		time.Sleep(2 * time.Second) // virtual
		start = time.Now()
		_ = liar.Close("")
		honest.hear(cmdGetData)
		if took := time.Since(start); took > time.Second {
			t.Errorf("asked %v after the other one left", took)
		}
	})
}

func TestOrphansFindTheirParents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		coin := rich(w, 1, a, b)[0]
		parent := spend(coin, 1000)
		child := spend(parent, 1000)
		grandchild := spend(child, 1000)
		w.link(b, a)
		// b hears of the youngest first, from a peer that has all.
		peer := w.call(b, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		peer.say(msgTx{grandchild})
		for _, tx := range []*consensus.Tx{child, parent} {
			got := peer.hear(cmdGetData).(*msgInv)
			if len(got.items) != 1 || got.items[0] != (invItem{invTx | invWitness, tx.TxID()}) {
				t.Fatalf("asked for %v", got.items)
			}
			peer.say(msgTx{tx})
		}
		w.until("everywhere", func() bool { return a.has(parent) && a.has(child) && a.has(grandchild) })
	})
}

func TestOrphanWaitsForABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coin := rich(w, 1, s)[0]
		parent := spend(coin, 1000)
		child := spend(parent, 1000)
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		peer.say(msgTx{child})
		peer.hear(cmdGetData)
		s.feed(mineOn(w.spec, s.ledger.Tip(), 9, parent))
		w.until("accepted", func() bool { return s.has(child) })
	})
}

func TestRefusedTransactionsAreNotAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coin := rich(w, 1, s)[0]
		free := spend(coin, 0)
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		inv := &msgInv{cmdInv, []invItem{{invWTx, free.WTxID()}}}
		peer.say(inv)
		peer.hear(cmdGetData)
		peer.say(msgTx{free})
		peer.say(inv)
		peer.say(msgPing(77))
		for {
			command, payload, err := peer.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if command == cmdGetData {
				t.Fatal("asked for again")
			}
			if command == cmdPong && len(payload) == 8 && payload[0] == 77 {
				break
			}
		}
		s.feed(mineOn(w.spec, s.ledger.Tip(), 9)) // now it may be good
		w.until("announced", func() bool {
			s.relay.mu.Lock()
			defer s.relay.mu.Unlock()
			return !s.relay.rejected.has(free.WTxID())
		})
		peer.say(inv)
		peer.hear(cmdGetData)
	})
}

// overtakenPool has something happen after a verdict and before its caller
// learns it.
type overtakenPool struct {
	Pool
	mu    sync.Mutex // guards what follows
	after map[consensus.Hash]func()
}

func (p *overtakenPool) Add(tx *consensus.Tx) error {
	err := p.Pool.Add(tx)
	p.mu.Lock()
	happens := p.after[tx.WTxID()]
	delete(p.after, tx.WTxID())
	p.mu.Unlock()
	if happens != nil {
		happens()
		time.Sleep(time.Second) // virtual: the node deals with it
	}
	return err
}

// then has f happen after the next verdict on tx.
func (p *overtakenPool) then(tx *consensus.Tx, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after[tx.WTxID()] = f
}

func (w *world) addOvertaken(name string) (*station, *overtakenPool) {
	pool := &overtakenPool{after: make(map[consensus.Hash]func())}
	return w.add(name, func(c *Config) { pool.Pool, c.Pool = c.Pool, pool }), pool
}

// A block comes while a transaction that waits for it is being judged, once on
// its first way in and once when it is tried again.
func TestBlockOvertakesOrphan(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s, pool := w.addOvertaken("s")
			coins := rich(w, 2, s)
			parent, other := spend(coins[0], 1000), spend(coins[1], 1000)
			child := join(1000, parent, other)
			peer := w.call(s, "203.0.113.1:1")
			peer.shake(ProtocolVersion)
			confirm := func() { s.feed(mineOn(w.spec, s.ledger.Tip(), 9, parent)) }
			if again {
				peer.say(msgTx{child})
				peer.hear(cmdGetData)
				pool.then(child, confirm)
				s.submit(other)
			} else {
				s.submit(other)
				pool.then(child, confirm)
				peer.say(msgTx{child})
			}
			w.until("accepted", func() bool { return s.has(child) })
		})
	}
}

// One parent has come, and while its child is tried again the other one does.
func TestParentOvertakesOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, pool := w.addOvertaken("s")
		coins := rich(w, 2, s)
		first, second := spend(coins[0], 1000), spend(coins[1], 1000)
		child := join(1000, first, second)
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		peer.say(msgTx{child})
		peer.hear(cmdGetData)
		pool.then(child, func() { s.submit(second) })
		peer.say(msgTx{first})
		w.until("accepted", func() bool { return s.has(child) })
	})
}

// A block comes while a transaction is being refused: it may be good by now.
func TestBlockOvertakesRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, pool := w.addOvertaken("s")
		coin := rich(w, 1, s)[0]
		free := spend(coin, 0)
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		pool.then(free, func() { s.feed(mineOn(w.spec, s.ledger.Tip(), 9)) })
		peer.say(msgTx{free})
		w.until("refused", func() bool { return s.ledger.Tip().Height == w.spec.Rules.Maturity+2 })
		time.Sleep(2 * time.Second) // virtual
		peer.say(&msgInv{cmdInv, []invItem{{invWTx, free.WTxID()}}})
		peer.hear(cmdGetData)
	})
}

func TestRecentSetForgetsTheOldest(t *testing.T) {
	set := newRecentSet(100)
	hash := func(i int) consensus.Hash { return consensus.Hash{byte(i), byte(i >> 8)} }
	for i := range 10_000 {
		set.add(hash(i))
	}
	if len(set.new)+len(set.old) > 100 || !set.has(hash(10_000-50)) || set.has(hash(0)) {
		t.Error("recentSet forgets the wrong ones")
	}
}
