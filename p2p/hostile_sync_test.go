package p2p

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
)

// While the first peer is giving its headers nobody else is asked for the same.
func TestHeadersComeFromOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		headers := headersOf(longChain(t, 2*maxHeaders))
		first, second := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		first.shake(ProtocolVersion)
		second.shake(ProtocolVersion)
		first.answerHeaders(headers)
		first.hear(cmdGetHeaders)
		asked := make(chan time.Time, 1)
		go func() {
			second.hear(cmdGetHeaders)
			asked <- time.Now()
		}()
		time.Sleep(10 * time.Second) // virtual
		synctest.Wait()
		if len(asked) > 0 {
			t.Error("two peers were asked for the same headers")
		}
		// A leader that does not answer does not lead for ever.
		start := time.Now()
		if took := (<-asked).Sub(start); took > headersTimeout {
			t.Errorf("asked only %v later", took)
		}
	})
}

// New blocks are found faster than a slow peer answers getheaders: its
// announcements hang in the air meanwhile, and it is honest all the same.
func TestAnnouncementsBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 50)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.hear(cmdGetHeaders)
		for _, b := range blocks[10:] {
			a.say(msgHeaders{b.Header})
			time.Sleep(100 * time.Millisecond) // virtual
		}
		a.say(headersOf(blocks))
		a.hear(cmdGetData)
		for _, b := range blocks {
			a.say(msgBlock{b})
		}
		w.agree(blocks[49].Header.Hash(), s)
	})
}

// What a peer announces between making its answer and our getting it is beyond
// that answer, and will not be announced again.
func TestAnnouncementsOvertakeTheAnswer(t *testing.T) {
	for name, announce := range map[string]func(b *consensus.Block) message{
		"headers": func(b *consensus.Block) message { return msgHeaders{b.Header} },
		"inv":     func(b *consensus.Block) message { return &msgInv{cmdInv, []invItem{{invBlock, b.Header.Hash()}}} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add("s", nil)
				blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 50)
				a := w.call(s, "203.0.113.1:1")
				a.shake(ProtocolVersion)
				a.hear(cmdGetHeaders)
				a.say(announce(blocks[49]))
				a.say(headersOf(blocks[:40]))
				a.hear(cmdGetHeaders)
				a.say(headersOf(blocks[40:]))
				a.hear(cmdGetData)
				for _, b := range blocks {
					a.say(msgBlock{b})
				}
				w.agree(blocks[49].Header.Hash(), s)
			})
		})
	}
}

// A peer that sends a block every now and then, but never the lowest that it
// owes, does not hold up the others.
func TestSlowPeerCannotHoldTheLowestBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, honest := w.add("s", nil), w.add("honest", nil)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 200)
		honest.feed(blocks...)
		liar := w.call(s, "203.0.113.1:1")
		liar.shake(ProtocolVersion)
		liar.say(headersOf(blocks))
		liar.hear(cmdGetData)
		ticker := time.NewTicker(moveTimeout - time.Second)
		defer ticker.Stop()
		over := make(chan struct{})
		defer close(over)
		go func() {
			for _, b := range blocks[1:blocksInFlight] {
				select {
				case <-ticker.C:
				case <-over:
					return
				}
				if liar.WriteMessage(cmdBlock, b.Bytes()) != nil {
					return
				}
			}
		}()
		w.link(s, honest)
		if took := w.agree(blocks[199].Header.Hash(), s); took > moveTimeout+5*time.Second {
			t.Errorf("one slow peer held up the sync for %v", took)
		}
	})
}

// Somebody shows the headers of blocks that nobody gets. Soon the node mines and
// relays again, and others who show the same headers change nothing.
func TestWithheldBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 2, s)
		coin, rest := coins[0], coins[1]
		withheld := headersOf(mine(w.spec, s.ledger.Tip(), 7, 20))
		liar := w.call(s, "203.0.113.1:1")
		liar.shake(ProtocolVersion)
		liar.say(withheld)
		liar.hear(cmdGetData)
		if !s.Syncing() {
			t.Error("a node that has not caught up yet is not syncing while 20 bodies are missing")
		}
		early := spend(rest, 1000)
		other := w.call(s, "203.0.113.4:1")
		other.shake(ProtocolVersion)
		other.say(&msgInv{cmdInv, []invItem{{invWTx, early.WTxID()}}})
		other.hear(cmdGetData)
		other.say(msgTx{early})
		if took := w.until("accepted", func() bool { return s.has(early) }); took > time.Second {
			t.Errorf("a transaction waited %v for blocks that nobody has", took)
		}
		if took := w.until("not syncing", func() bool { return !s.Syncing() }); took > syncPatience+time.Second {
			t.Errorf("one peer kept the node from mining for %v", took)
		}
		second := w.call(s, "203.0.113.2:1")
		second.shake(ProtocolVersion)
		second.say(withheld)
		w.until("the liar is gone", func() bool { return len(s.Peers()) < 2 || s.Syncing() })
		if s.Syncing() {
			t.Error("the same headers stop the node again")
		}
		tx := spend(coin, 1000)
		honest := w.call(s, "203.0.113.3:1")
		honest.shake(ProtocolVersion)
		honest.say(&msgInv{cmdInv, []invItem{{invWTx, tx.WTxID()}}})
		honest.hear(cmdGetData)
		honest.say(msgTx{tx})
		w.until("accepted", func() bool { return s.has(tx) })
	})
}

// slowClock is a ledger whose clock is behind until it is set.
type slowClock struct {
	*chain.Chain
	set atomic.Bool
}

func (c *slowClock) AddHeaders(headers []consensus.Header) error {
	if !c.set.Load() {
		return &consensus.RuleError{Kind: consensus.ErrTimeTooNew}
	}
	return c.Chain.AddHeaders(headers)
}

func (c *slowClock) SubmitHashed(b ...consensus.HashedBlock) []chain.Verdict {
	if !c.set.Load() {
		return []chain.Verdict{{Err: &consensus.RuleError{Kind: consensus.ErrTimeTooNew}}}
	}
	return c.Chain.SubmitHashed(b...)
}

func (c *slowClock) SubmitChecked(b ...*consensus.CheckedBlock) []chain.Verdict {
	if !c.set.Load() {
		return []chain.Verdict{{Err: &consensus.RuleError{Kind: consensus.ErrTimeTooNew}}}
	}
	return c.Chain.SubmitChecked(b...)
}

// A header from the future is asked for again, although nobody announces it
// twice; so is that of a block that came unasked.
func TestHeaderOfTheFuture(t *testing.T) {
	for name, announce := range map[string]func(a *actor, b *consensus.Block){
		"headers": func(a *actor, b *consensus.Block) { a.answerHeaders(msgHeaders{b.Header}) },
		"block":   func(a *actor, b *consensus.Block) { a.answerHeaders(nil); a.say(msgBlock{b}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				clock := &slowClock{}
				s := w.add("s", func(c *Config) { clock.Chain = c.Chain.(*chain.Chain); c.Chain = clock })
				block := mineOn(w.spec, w.spec.Rules.GenesisState(), 1)
				a := w.call(s, "203.0.113.1:1")
				a.shake(ProtocolVersion)
				announce(a, block)
				time.Sleep(time.Second) // virtual
				clock.set.Store(true)
				a.answerHeaders(msgHeaders{block.Header})
				a.hear(cmdGetData)
			})
		})
	}
}

// failing is a ledger whose disk is full.
type failing struct {
	*chain.Chain
	asked int
}

func (c *failing) SubmitHashed(blocks ...consensus.HashedBlock) []chain.Verdict {
	return c.fail(len(blocks))
}

func (c *failing) SubmitChecked(blocks ...*consensus.CheckedBlock) []chain.Verdict {
	return c.fail(len(blocks))
}

func (c *failing) fail(n int) []chain.Verdict {
	c.asked++
	verdicts := make([]chain.Verdict, n)
	for i := range verdicts {
		verdicts[i].Err = errors.Join(chain.ErrFatal, errors.New("secret: disk full"))
	}
	return verdicts
}

// A ledger that has failed ends Run, and no block is asked for again and again.
// Peers are not told why.
func TestLedgerFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		broken := &failing{Chain: s.ledger}
		n := New(Config{Spec: w.spec, Chain: broken, Pool: s.pool, Outbound: -1, UserAgent: "/test/"})
		ended := make(chan error, 1)
		go func() { ended <- n.Run(context.Background()) }()
		synctest.Wait()
		from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.1:1"))
		mine1 := mineOn(w.spec, s.ledger.Tip(), 1)
		conn, other := Pipe(from, s.addr, w.latency)
		n.Accept(other)
		a := &actor{Conn: conn, t: t}
		a.shake(ProtocolVersion)
		a.say(msgHeaders{mine1.Header})
		a.hear(cmdGetData)
		a.say(msgBlock{mine1})
		a.isCut()
		if err := <-ended; !errors.Is(err, chain.ErrFatal) || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("Run ended with %v", err)
		}
		if broken.asked != 1 || n.bans.banned(hostOf(from)) {
			t.Errorf("%d blocks, banned is %v", broken.asked, n.bans.banned(hostOf(from)))
		}
	})
}

// closing records what the other side is told.
type closing struct {
	Conn
	why chan string
}

func (c *closing) Close(reason string) error {
	select {
	case c.why <- reason:
	default:
	}
	return c.Conn.Close(reason)
}

func TestReasonsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conns := make(chan *closing, 10)
		s := w.add("s", func(c *Config) {
			dial := c.Dial
			c.Dial = func(ctx context.Context, url string) (Conn, error) {
				conn, err := dial(ctx, url)
				if err != nil {
					return nil, err
				}
				told := &closing{conn, make(chan string, 1)}
				conns <- told
				return told, nil
			}
		})
		w.link(s, w.add("other", nil))
		if err := errors.Join(s.RemoveNode("ws://other:1"), s.Disconnect(0, "ws://other:1")); err != nil {
			t.Fatal(err)
		}
		if why := <-(<-conns).why; why != errAsked.Error() {
			t.Errorf("told %q", why)
		}
		w.link(s, w.add("third", nil))
		s.stop()
		if why := <-(<-conns).why; why != errStopping.Error() {
			t.Errorf("told %q", why)
		}
	})
}
