package p2p

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
)

// compact is the compact form of a block.
func compact(t *testing.T, b *consensus.Block) *msgCmpctBlock {
	t.Helper()
	m, ok := compactOf(b, 7)
	if !ok {
		t.Fatal("no compact form")
	}
	return m
}

// compactActor is an actor that speaks compact blocks.
func (w *world) compactActor(s *station, addr string, highBandwidth bool) *actor {
	w.t.Helper()
	a := w.call(s, addr)
	a.shake(ProtocolVersion)
	if got := a.hear(cmdSendCmpct).(msgSendCmpct); got != (msgSendCmpct{false, compactVersion}) {
		w.t.Errorf("the station said %v", got)
	}
	a.say(msgSendCmpct{true, 1}) // a version that nobody speaks here
	a.say(msgSendCmpct{highBandwidth, compactVersion})
	return a
}

// stillThere makes sure that nobody hung up.
func (a *actor) stillThere() {
	a.t.Helper()
	a.say(msgPing(99))
	for {
		if got := a.hear(cmdPong).(msgPong); got == 99 {
			return
		}
	}
}

// A block whose transactions are known crosses the network in one way per link,
// once the nodes have learned from whom blocks come, and no block is sent whole.
func TestBlocksCrossInCompactForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = 100 * time.Millisecond
		a, b, c := w.add("a", nil), w.add("b", nil), w.add("c", nil)
		coins := rich(w, 5, a, b, c)
		w.link(b, a)
		w.link(c, b)
		w.until("connected", func() bool { return len(b.Peers()) == 2 })
		time.Sleep(time.Second) // virtual

		mineAt := func(everywhere bool, salt byte) time.Duration {
			tx := spend(coins[salt], 1000)
			a.submit(tx)
			if everywhere {
				w.until("everywhere", func() bool { return b.has(tx) && c.has(tx) })
			}
			block := mineOn(w.spec, a.ledger.Tip(), salt, tx)
			a.feed(block)
			took := w.agree(block.Header.Hash(), a, b, c)
			time.Sleep(time.Second) // virtual: until it is known who prefers whom
			return took
		}
		const slack = 50 * time.Millisecond
		if took := mineAt(true, 0); took > 6*w.latency+slack {
			t.Errorf("low bandwidth: %v", took)
		}
		if took := mineAt(true, 1); took > 2*w.latency+slack {
			t.Errorf("high bandwidth: %v", took)
		}
		if took := mineAt(false, 2); took > 6*w.latency+slack {
			t.Errorf("high bandwidth, one transaction missing: %v", took)
		}
		for _, s := range []*station{a, b, c} {
			for _, p := range s.Peers() {
				if n := p.Received.PerMessage[cmdBlock]; n > 0 {
					t.Errorf("%s got whole blocks of %d bytes from %s", s.name, n, p.SubVer)
				}
			}
		}
		if p := b.Peers()[0]; !p.CompactTo || p.SubVer != "/test:a/" {
			t.Errorf("b does not prefer %s", p.SubVer)
		}
		for _, p := range a.Peers() {
			if !p.CompactFrom {
				t.Errorf("%s does not prefer a", p.SubVer)
			}
			const first = commandSize + 1 + consensus.HeaderSize + 1 // an answer to getheaders
			if n := p.Received.PerMessage[cmdCmpctBlock] + p.Received.PerMessage[cmdHeaders]; n > first {
				t.Errorf("%s told a of its own blocks: %v", p.SubVer, p.Received.PerMessage)
			}
		}
	})
}

// While a preferred peer may send a block unasked, who announces it by its header
// is asked only a sixteenth of a round trip later.
func TestPushIsAwaited(t *testing.T) {
	for _, c := range []struct {
		name      string
		preferred bool          // there is such a peer
		pushed    time.Duration // when it sends the block after the header; 0 for never
		want      time.Duration // when the other is asked after its header; 0 for never
	}{
		{"nobody is preferred", false, 0, 320 * time.Millisecond},
		{"the push comes soon", true, 10 * time.Millisecond, 0},
		{"the push comes too late", true, 50 * time.Millisecond, 340 * time.Millisecond},
		{"no push comes", true, 0, 340 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.latency = 160 * time.Millisecond
				s := w.add("s", nil)
				first := w.compactActor(s, "203.0.113.1:1", false)
				other := w.compactActor(s, "203.0.113.2:1", false)
				other.say(msgPong(other.hear(cmdPing).(msgPing)))
				other.stillThere()
				if c.preferred {
					first.say(compact(t, mineOn(w.spec, s.ledger.Tip(), 1)))
					if got := first.hear(cmdSendCmpct).(msgSendCmpct); !got.highBandwidth {
						t.Fatal("the peer is not preferred")
					}
					other.stillThere()
				}
				block := mineOn(w.spec, s.ledger.Tip(), 2)
				start := time.Now()
				other.say(msgHeaders{block.Header})
				if c.pushed > 0 {
					time.Sleep(c.pushed) // virtual
					first.say(compact(t, block))
				}
				if c.want == 0 {
					if !other.silentOn(cmdGetData) {
						t.Error("it was asked")
					}
					return
				}
				got := other.hear(cmdGetData).(*msgInv)
				if took := time.Since(start); took != c.want || got.items[0] != (invItem{invCmpct, block.Header.Hash()}) {
					t.Errorf("asked for %v after %v, want %v", got.items, took, c.want)
				}
			})
		})
	}
}

// tardyPool is asked for the transactions of a block when the ledger has just
// got that from elsewhere.
type tardyPool struct {
	Pool
	overtake func()
}

func (p *tardyPool) Each(f func(consensus.Hash, *consensus.Tx)) {
	p.overtake()
	p.Pool.Each(f)
}

// What is in a block leaves the pool with it, and is not asked for then.
func TestNothingIsMissingOfAKnownBlock(t *testing.T) {
	for _, known := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			pool := &tardyPool{overtake: func() {}}
			s := w.add("s", func(c *Config) { pool.Pool, c.Pool = c.Pool, pool })
			block := s.spendingBlock(w.spec, 1, rich(w, 1, s)...)
			if known {
				pool.overtake = sync.OnceFunc(func() { s.feed(block) })
			}
			a := w.compactActor(s, "203.0.113.1:1", false)
			a.say(compact(t, block))
			if silent := a.silentOn(cmdGetBlockTxn); silent != known {
				t.Errorf("the block is known: %v, nothing of it was asked for: %v", known, silent)
			}
			if owed := s.Peers(); known && len(owed) > 0 && len(owed[0].InFlight) > 0 {
				t.Errorf("blocks %v are awaited", owed[0].InFlight)
			}
		})
	}
}

// spendingBlock is a block on the tip of s with transactions that nobody knows.
func (s *station) spendingBlock(spec *consensus.Spec, salt byte, coins ...*consensus.Tx) *consensus.Block {
	var txs []*consensus.Tx
	for _, coin := range coins {
		txs = append(txs, spend(coin, 1000))
	}
	return mineOn(spec, s.ledger.Tip(), salt, txs...)
}

// What does not fit is fetched whole from the same peer, which is not punished.
func TestCompactBlocksThatDoNotFit(t *testing.T) {
	for name, corrupt := range map[string]func(a *actor, b *consensus.Block, m *msgCmpctBlock){
		"wrong transaction": func(a *actor, b *consensus.Block, m *msgCmpctBlock) {
			a.say(m)
			a.hear(cmdGetBlockTxn)
			a.say(&msgBlockTxn{b.Header.Hash(), []*consensus.Tx{b.Txs[2], b.Txs[1]}})
		},
		"short ids the same": func(a *actor, b *consensus.Block, m *msgCmpctBlock) {
			m.shortIDs[0] = m.shortIDs[1]
			a.say(m)
		},
		"changed witness": func(a *actor, b *consensus.Block, m *msgCmpctBlock) {
			changed := b.Txs[1].Clone()
			changed.In[0].Witness = [][]byte{make([]byte, 64)}
			m.shortIDs, m.prefilled = nil, []placedTx{{0, b.Txs[0]}, {1, changed}, {2, b.Txs[2]}}
			a.say(m)
		},
		"last transaction twice": func(a *actor, b *consensus.Block, m *msgCmpctBlock) {
			m.shortIDs, m.prefilled = nil, []placedTx{{0, b.Txs[0]}, {1, b.Txs[1]}, {2, b.Txs[2]}, {3, b.Txs[2]}}
			a.say(m)
		},
		"no coinbase": func(a *actor, b *consensus.Block, m *msgCmpctBlock) {
			m.prefilled = []placedTx{{0, b.Txs[1]}, {1, b.Txs[1]}, {2, b.Txs[1]}}
			m.shortIDs = nil
			a.say(m)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add("s", nil)
				coins := rich(w, 2, s)
				a := w.compactActor(s, "203.0.113.1:1", false)
				block := s.spendingBlock(w.spec, 1, coins...)
				hash := block.Header.Hash()
				corrupt(a, block, compact(t, block))
				if got := a.hear(cmdGetData).(*msgInv); !slices.Equal(got.items, []invItem{{invBlock | invWitness, hash}}) {
					t.Fatalf("asked for %v", got.items)
				}
				if info, ok := s.ledger.Header(hash); !ok || info.Invalid {
					t.Error("the header is blamed")
				}
				a.say(msgBlock{block})
				w.agree(hash, s)
				a.stillThere()
				if got := a.hear(cmdSendCmpct).(msgSendCmpct); !got.highBandwidth {
					t.Error("the peer is not preferred")
				}
			})
		})
	}
}

// The liar changes the block by compact block and in full; the honest one has
// its turn then.
func TestMutatedCompactThenHonest(t *testing.T) {
	for _, whole := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := w.add("s", nil)
			coins := rich(w, 2, s)
			liar, honest := w.compactActor(s, "203.0.113.1:1", false), w.compactActor(s, "203.0.113.2:1", false)
			block := s.spendingBlock(w.spec, 1, coins...)
			m := compact(t, block)
			m.prefilled = []placedTx{{0, block.Txs[0]}, {1, block.Txs[2]}, {2, block.Txs[1]}}
			m.shortIDs = nil
			liar.say(m)
			liar.hear(cmdGetData)
			if whole {
				mutated := *block
				mutated.Txs = append(slices.Clone(block.Txs), block.Txs[2])
				liar.say(msgBlock{&mutated})
				liar.isCut()
			}
			honest.say(compact(t, block)) // also while the liar owes the block
			if got := honest.hear(cmdGetBlockTxn).(*msgGetBlockTxn); !slices.Equal(got.indexes, []uint16{1, 2}) {
				t.Fatalf("asked for %v", got.indexes)
			}
			honest.say(&msgBlockTxn{block.Header.Hash(), block.Txs[1:]})
			w.agree(block.Header.Hash(), s)
			honest.stillThere()
		})
	}
}

// Only what the header itself proves costs a peer its connection.
func TestFaultsOfCompactBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 4, s)
		good := s.spendingBlock(w.spec, 1, coins[:2]...)

		a := w.compactActor(s, "203.0.113.1:1", false)
		greedy := s.spendingBlock(w.spec, 2, coins[2])
		greedy.Txs[0].Out[0].Value += 2000 // the fees are 1000
		greedy.Seal()
		work(w.spec, greedy)
		a.say(compact(t, greedy))
		a.hear(cmdGetBlockTxn)
		a.say(&msgBlockTxn{greedy.Header.Hash(), greedy.Txs[1:]})
		w.until("refused", func() bool { info, _ := s.ledger.Header(greedy.Header.Hash()); return info.Invalid })
		time.Sleep(5 * time.Second) // virtual
		a.stillThere()
		a.say(compact(t, greedy)) // known to be invalid now
		hanging := mine(w.spec, w.spec.Rules.NextState(s.ledger.Tip(), &good.Header), 1, 2)
		a.say(compact(t, hanging[1]))
		a.hear(cmdGetHeaders)
		a.say(&msgBlockTxn{consensus.Hash{1}, nil}) // nobody asked
		a.stillThere()

		a.say(compact(t, good))
		a.hear(cmdGetBlockTxn)
		a.say(&msgBlockTxn{good.Header.Hash(), good.Txs[1:2]})
		a.isCut()
		b := w.compactActor(s, "203.0.113.1:1", false) // and it was not banned
		b.say(compact(t, good))
		b.hear(cmdGetBlockTxn)
		b.say(&msgBlockTxn{good.Header.Hash(), good.Txs[1:]})
		w.agree(good.Header.Hash(), s)
		b.say(&msgGetBlockTxn{good.Header.Hash(), []uint16{3}})
		b.isCut()

		c := w.compactActor(s, "203.0.113.3:1", false)
		cheap := compact(t, s.spendingBlock(w.spec, 3, coins[3]))
		for w.spec.Rules.CheckWork(&cheap.header) == nil {
			cheap.header.Nonce++
		}
		c.say(cheap)
		c.isCut()
		if !s.bans.banned(netip.MustParseAddr("203.0.113.3")) {
			t.Error("a header without work is forgiven")
		}
	})
}

// Old and low blocks are not put together, and a block that is asked for is.
func TestCompactBlocksFarFromTheTip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 200)
		s.feed(blocks...)
		a := w.compactActor(s, "203.0.113.1:1", false)
		low := mineOn(w.spec, w.spec.Rules.GenesisState(), 2, plainTx(1))
		a.say(compact(t, low))
		a.stillThere()
		if _, known := s.ledger.Header(low.Header.Hash()); known {
			t.Error("the header of a low block was kept")
		}
		state := w.spec.Rules.GenesisState()
		for _, b := range blocks[:199] {
			state = w.spec.Rules.NextState(state, &b.Header)
		}
		sibling := mineOn(w.spec, state, 2, plainTx(1))
		a.say(compact(t, sibling))
		if !a.silentOn(cmdGetBlockTxn) {
			t.Error("parts of a block without more work than the tip are asked for")
		}
	})
}

func TestServingCompactBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 20)
		s.feed(blocks...)
		a := w.compactActor(s, "203.0.113.1:1", false)
		at := func(depth int) *consensus.Block { return blocks[len(blocks)-1-depth] }
		for _, depth := range []int{0, maxCompactDepth} {
			a.say(&msgInv{cmdGetData, []invItem{{invCmpct, at(depth).Header.Hash()}}})
			if got := a.hear(cmdCmpctBlock).(*msgCmpctBlock); got.header != at(depth).Header || len(got.prefilled) != 1 {
				t.Errorf("depth %d: another block", depth)
			}
		}
		a.say(&msgInv{cmdGetData, []invItem{{invCmpct, at(maxCompactDepth + 1).Header.Hash()}}})
		if got := a.hear(cmdBlock).(msgBlock); got.Header != at(maxCompactDepth+1).Header {
			t.Error("another block")
		}
		a.say(&msgGetBlockTxn{at(maxTxsDepth).Header.Hash(), []uint16{0}})
		if got := a.hear(cmdBlockTxn).(*msgBlockTxn); len(got.txs) != 1 || got.txs[0].TxID() != at(maxTxsDepth).Txs[0].TxID() {
			t.Error("another transaction")
		}
		a.say(&msgGetBlockTxn{at(maxTxsDepth + 1).Header.Hash(), []uint16{0}})
		if got := a.hear(cmdBlock).(msgBlock); got.Header != at(maxTxsDepth+1).Header {
			t.Error("another block")
		}
		a.say(&msgInv{cmdGetData, []invItem{{invCmpct, consensus.Hash{1}}}})
		if got := a.hear(cmdNotFound).(*msgInv); len(got.items) != 1 {
			t.Errorf("not found: %v", got.items)
		}
	})
}

// slowLedger takes its time to judge a block.
type slowLedger struct {
	*chain.Chain
	pause time.Duration
}

func (c *slowLedger) SubmitHashed(b ...consensus.HashedBlock) []chain.Verdict {
	time.Sleep(c.pause) // virtual
	return c.Chain.SubmitHashed(b...)
}

func (c *slowLedger) SubmitChecked(b ...*consensus.CheckedBlock) []chain.Verdict {
	time.Sleep(c.pause) // virtual
	return c.Chain.SubmitChecked(b...)
}

// A block goes on before it is judged, parts of it too, the whole only after;
// nobody gets it who has it, wants it announced as always, or lacks its parent.
func TestBlocksGoOnBeforeTheyAreJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ledger := &slowLedger{pause: 5 * time.Second}
		s := w.add("s", func(c *Config) { ledger.Chain = c.Chain.(*chain.Chain); c.Chain = ledger })
		coins := rich(w, 1, s)
		giver, fast := w.compactActor(s, "203.0.113.1:1", true), w.compactActor(s, "203.0.113.2:1", true)
		slow, behind := w.compactActor(s, "203.0.113.3:1", false), w.compactActor(s, "203.0.113.4:1", true)
		for _, a := range []*actor{giver, fast, slow} {
			a.hear(cmdGetHeaders)
			info := s.ledger.BestHeader()
			a.say(msgHeaders{info.Header})
		}
		time.Sleep(time.Second) // virtual
		block := s.spendingBlock(w.spec, 1, coins...)
		hash := block.Header.Hash()
		giver.say(compact(t, block))
		giver.hear(cmdGetBlockTxn)
		start := time.Now()
		giver.say(&msgBlockTxn{hash, block.Txs[1:]})
		if got := fast.hear(cmdCmpctBlock).(*msgCmpctBlock); got.header != block.Header {
			t.Error("another block")
		}
		fast.say(&msgGetBlockTxn{hash, []uint16{1}})
		if got := fast.hear(cmdBlockTxn).(*msgBlockTxn); got.txs[0].WTxID() != block.Txs[1].WTxID() {
			t.Error("another transaction")
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v", took)
		}
		fast.say(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, hash}}})
		fast.hear(cmdBlock)
		if took := time.Since(start); took < ledger.pause {
			t.Errorf("the whole block was sent after %v", took)
		}
		slow.hear(cmdInv)
		for _, a := range []*actor{giver, slow, behind} {
			if !a.silentOn(cmdCmpctBlock) {
				t.Error("a compact block for somebody who does not want it")
			}
		}
	})
}

// What one peer lets wait is asked of two others that are to send blocks unasked, the
// last of them one that this node chose. Those who do not answer do not hold their
// places.
func TestPartsAreAskedOfFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 1, s)
		block := s.spendingBlock(w.spec, 1, coins...)
		isAsked := func(a *actor) bool {
			a.say(compact(t, block))
			a.stillThere()
			return slices.ContainsFunc(a.unheard, func(m message) bool { return m.command() == cmdGetBlockTxn })
		}
		call := func(kind connectionKind, pushes bool) *actor {
			a := w.callAs(s, kind, "203.0.113.1:1")
			a.shake(ProtocolVersion)
			a.hear(cmdSendCmpct)
			a.say(msgSendCmpct{false, compactVersion})
			a.stillThere()
			if pushes {
				ready := s.ready()
				s.sync.mu.Lock()
				s.sync.fast = append(s.sync.fast, ready[len(ready)-1])
				s.sync.mu.Unlock()
			}
			return a
		}
		for i, c := range []struct {
			kind         connectionKind
			pushes, want bool
		}{
			{kindInbound, false, true}, // the first
			{kindInbound, false, false},
			{kindManual, false, false},
			{kindInbound, true, true},
			{kindInbound, true, false},
			{kindManual, true, true},
			{kindManual, true, false},
		} {
			if got := isAsked(call(c.kind, c.pushes)); got != c.want {
				t.Errorf("number %d is asked: %v", i, got)
			}
		}
		time.Sleep(tipPatience) // virtual
		if !isAsked(call(kindInbound, true)) {
			t.Error("those who do not answer hold their places")
		}
	})
}
