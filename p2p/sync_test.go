package p2p

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
)

func TestSyncFromScratch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b, c := w.add("a", nil), w.add("b", nil), w.add("c", nil)
		blocks := longChain(t, 2*maxHeaders+50) // three headers messages
		a.feed(blocks...)
		tip := a.ledger.Tip()
		w.link(b, a)
		w.link(c, b) // c gets all of it through b
		w.agree(tip.Hash, b, c)
		if b.Syncing() || c.Syncing() {
			t.Error("still syncing")
		}
		p := b.Peers()[0]
		if p.SyncedBlocks != int64(tip.Height) || p.SyncedHeaders != int64(tip.Height) || len(p.InFlight) > 0 {
			t.Errorf("b sees a as %+v", p)
		}
	})
}

func TestNewTipsAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b, c := w.add("a", nil), w.add("b", nil), w.add("c", nil)
		w.link(b, a)
		w.link(c, b)
		for i := range 5 {
			a.feed(mineOn(w.spec, a.ledger.Tip(), byte(i)))
			took := w.agree(a.ledger.Tip().Hash, a, b, c)
			// A hop is headers, getdata, block: three times the latency.
			if limit := 2*3*w.latency + 20*time.Millisecond; i > 0 && took > limit {
				t.Errorf("block %d took %v, want at most %v", i, took, limit)
			}
		}
		for _, p := range b.Peers() {
			if n := p.Received.PerMessage[cmdInv]; n > commandSize+1+invSize {
				t.Errorf("%s announced by inv, %d bytes, although it may use headers", p.SubVer, n)
			}
		}
		// Nothing is announced back to where it came from.
		if n := a.Peers()[0].Received.PerMessage[cmdHeaders]; n > 5*(commandSize+82) {
			t.Errorf("a was sent %d bytes of headers that it had sent itself", n)
		}
	})
}

// genesis ─ 1 ─ … ─ 5 ─ 6a ─ … ─ 8a      (a and b)
//
//	└ 6b ─ … ─ 9b      (c and d)
func TestPartitionHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b, c, d := w.add("a", nil), w.add("b", nil), w.add("c", nil), w.add("d", nil)
		a.feed(mine(w.spec, w.spec.Rules.GenesisState(), 1, 5)...)
		w.link(b, a)
		w.link(c, b)
		w.link(d, c)
		w.agree(a.ledger.Tip().Hash, b, c, d)

		left := func(name string) bool { return name < "c" }
		w.partition(func(x, y string) bool { return left(x) != left(y) })
		base := a.ledger.Tip()
		a.feed(mine(w.spec, base, 'a', 3)...)
		d.feed(mine(w.spec, base, 'b', 4)...)
		w.agree(a.ledger.Tip().Hash, b)
		w.agree(d.ledger.Tip().Hash, c)

		w.partition(nil)
		w.agree(d.ledger.Tip().Hash, a, b, c, d)
	})
}

// The longer branch of the other side takes several headers messages, and the
// first of them shows so little work that it is not kept.
func TestLongReorg(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		a.feed(mine(w.spec, w.spec.Rules.GenesisState(), 'a', maxHeaders+200)...)
		b.feed(mine(w.spec, w.spec.Rules.GenesisState(), 'b', maxHeaders+201)...)
		w.link(a, b)
		w.agree(b.ledger.Tip().Hash, a)
	})
}

func TestSyncingMeansMissingBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil) // its tip is genesis, of 2011
		if s.Syncing() {
			t.Error("a lone node is syncing")
		}
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 3)
		a.say(msgHeaders{blocks[0].Header, blocks[1].Header, blocks[2].Header})
		a.hear(cmdGetData)
		if !s.Syncing() {
			t.Error("not syncing while three bodies are missing")
		}
		for _, b := range slices.Backward(blocks) { // in any order
			a.say(msgBlock{b})
		}
		w.agree(blocks[2].Header.Hash(), s)
		if s.Syncing() {
			t.Error("still syncing")
		}
	})
}

func TestStalledPeerIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, honest := w.add("s", nil), w.add("honest", nil)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 200)
		honest.feed(blocks...)
		liar := w.call(s, "203.0.113.1:1")
		liar.shake(ProtocolVersion)
		liar.say(headersOf(blocks))
		asked := liar.hear(cmdGetData).(*msgInv)
		if len(asked.items) != blocksInFlight || asked.items[0].hash != blocks[0].Header.Hash() {
			t.Errorf("asked for %d", len(asked.items))
		}
		w.link(s, honest)
		took := w.agree(blocks[199].Header.Hash(), s)
		if took > moveTimeout+5*time.Second {
			t.Errorf("one stalling peer held up the sync for %v", took)
		}
		liar.isCut()
		w.until("only the honest peer is left", func() bool { return len(s.Peers()) == 1 })
	})
}

// A peer that sends anything but the blocks that it owes is stalling too.
func TestStallingCannotBeHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 2)
		liar := w.call(s, "203.0.113.1:1")
		liar.shake(ProtocolVersion)
		liar.say(headersOf(blocks))
		go func() {
			for liar.WriteMessage(cmdPing, msgPing(1).append(nil)) == nil {
				time.Sleep(time.Second)
			}
		}()
		start := time.Now()
		liar.isCut()
		if took := time.Since(start); took > stallTimeout+10*time.Second {
			t.Errorf("cut only after %v", took)
		}
	})
}

func headersOf(blocks []*consensus.Block) (m msgHeaders) {
	for _, b := range blocks {
		m = append(m, b.Header)
	}
	return m
}

// Headers that nobody can send the bodies of must not stop a miner for long.
func TestBodiesThatNobodyHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		headers := headersOf(mine(w.spec, w.spec.Rules.GenesisState(), 1, 400))
		none, pruned, liar := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1"), w.choose(s, kindOutbound, "203.0.113.3:1")
		none.shakeAs(&msgVersion{version: ProtocolVersion})
		pruned.shakeAs(&msgVersion{version: ProtocolVersion, services: serviceNetworkLimited | serviceWitness})
		none.say(headers)
		pruned.say(headers)
		w.until("headers are known", func() bool { return s.ledger.BestHeader().Height == 400 })
		if s.Syncing() {
			t.Error("syncing from peers that have nothing to send")
		}
		liar.welcome(serviceNetwork | serviceWitness)
		liar.say(headers)
		asked := liar.hear(cmdGetData).(*msgInv)
		if !s.Syncing() {
			t.Error("not syncing")
		}
		liar.say(&msgInv{cmdNotFound, asked.items[:1]})
		liar.isCut()
		w.until("not syncing any more", func() bool { return !s.Syncing() })
	})
}

// What is provable costs the address a day, what is not only the connection,
// and a clock or a changed body nothing that the honest would miss.
func TestMisbehaviour(t *testing.T) {
	spec := regtest(t)
	genesis := spec.Rules.GenesisState()
	next := func(change func(b *consensus.Block)) *consensus.Block {
		b := mineOn(spec, genesis, 1)
		change(b)
		return b
	}
	for name, c := range map[string]struct {
		play     func(a *actor)
		ban, cut bool
	}{
		"block with too large a reward": {func(a *actor) {
			b := next(func(b *consensus.Block) {
				b.Txs[0].Out = b.Txs[0].Out[:1]
				b.Txs[0].Out[0].Value++
				b.Seal()
				work(spec, b)
			})
			a.say(msgHeaders{b.Header})
			a.hear(cmdGetData)
			a.say(msgBlock{b})
		}, true, true},
		"block valid in Bitcoin only": {func(a *actor) {
			a.say(msgBlock{next(func(b *consensus.Block) {
				b.Txs[0].Out = b.Txs[0].Out[:1]
				b.Txs[0].Out[0].Script = append([]byte{0, 20}, make([]byte, 20)...)
				b.Seal()
				work(spec, b)
			})})
		}, false, true},
		"block changed on the way": {func(a *actor) {
			a.say(msgBlock{next(func(b *consensus.Block) { b.Txs = append(b.Txs, b.Txs[0]) })})
		}, false, true},
		"header without work": {func(a *actor) {
			h := next(func(*consensus.Block) {}).Header
			for spec.Rules.CheckWork(&h) == nil {
				h.Nonce++
			}
			a.say(msgHeaders{h})
		}, true, true},
		"header with bad bits": {func(a *actor) {
			a.say(msgHeaders{next(func(b *consensus.Block) {
				b.Bits = 0x207ffffe
				work(spec, b)
			}).Header})
		}, true, true},
		"header of the future": {func(a *actor) {
			a.say(msgHeaders{next(func(b *consensus.Block) {
				b.Time = uint32(now().Unix()) + 3*3600
				work(spec, b)
			}).Header})
		}, false, false},
		"headers in the air, once": {func(a *actor) {
			a.say(headersOf(mine(spec, genesis, 2, 3)[2:]))
		}, false, false},
		"headers that do not follow each other": {func(a *actor) {
			b := mine(spec, genesis, 2, 3)
			a.say(msgHeaders{b[0].Header, b[2].Header})
		}, true, true},
		"malformed":            {func(a *actor) { _ = a.WriteMessage(cmdPing, []byte{1}) }, false, false},
		"block in the air":     {func(a *actor) { a.say(msgBlock{mine(spec, genesis, 2, 2)[1]}) }, false, true},
		"oversized":            {func(a *actor) { _ = a.WriteMessage(cmdPing, make([]byte, 4096)) }, true, true},
		"asks for the moon":    {func(a *actor) { a.say(&msgInv{cmdGetData, make([]invItem, maxQueuedRequests+1)}) }, false, true},
		"does not read at all": {func(a *actor) { flood(a) }, false, true},
		"invalid transaction":  {func(a *actor) { a.say(msgTx{&consensus.Tx{Version: 2}}) }, false, false},
		"orphan":               {func(a *actor) { a.say(msgTx{spend(next(func(*consensus.Block) {}).Txs[0], 1000)}) }, false, false},
		"announces what is not": {func(a *actor) {
			a.say(&msgInv{cmdInv, []invItem{{invBlock, consensus.Hash{1}}, {invWTx, consensus.Hash{2}}}})
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add("s", nil)
				a := w.call(s, "203.0.113.9:1")
				a.shake(ProtocolVersion)
				c.play(a)
				time.Sleep(10 * time.Second) // virtual
				synctest.Wait()
				if cut := len(s.Peers()) == 0; cut != c.cut {
					t.Errorf("cut is %v, want %v", cut, c.cut)
				}
				if ban := s.bans.banned(hostOfString("203.0.113.9:1")); ban != c.ban {
					t.Errorf("ban is %v, want %v", ban, c.ban)
				}
				if c.ban {
					w.call(s, "203.0.113.9:2").isCut()
					time.Sleep(discouragedTime)
					w.call(s, "203.0.113.9:3").shake(ProtocolVersion)
				}
			})
		})
	}
}

// flood asks for more and more answers and reads none.
func flood(a *actor) {
	go func() {
		for a.WriteMessage(cmdPing, msgPing(1).append(nil)) == nil {
		}
	}()
}

func TestLoopbackIsNeverBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		for range 3 {
			a := w.call(s, "127.0.0.1:7")
			a.shake(ProtocolVersion)
			_ = a.WriteMessage(cmdPing, []byte{1})
			a.isCut()
		}
	})
}

// The changed block comes first, the honest one with the same hash next.
func TestMutatedThenHonest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		block := mineOn(w.spec, w.spec.Rules.GenesisState(), 1)
		mutated := *block
		mutated.Txs = append(slices.Clone(block.Txs), block.Txs[0])
		liar, honest := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		liar.shake(ProtocolVersion)
		honest.shake(ProtocolVersion)
		liar.say(msgHeaders{block.Header})
		liar.hear(cmdGetData)
		honest.say(msgHeaders{block.Header})
		liar.say(msgBlock{&mutated})
		liar.isCut()
		honest.hear(cmdGetData)
		honest.say(msgBlock{block})
		w.agree(block.Header.Hash(), s)
		if len(s.Peers()) != 1 {
			t.Error("the honest peer was punished")
		}
	})
}

// A peer asks for old blocks without their witnesses, and for what is not there.
func TestServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 20)
		s.feed(blocks...)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		hash := blocks[19].Header.Hash()

		a.say(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, hash}, {invBlock, hash}, {invBlock, consensus.Hash{7}}, {invWTx, consensus.Hash{8}}}})
		if got := a.hear(cmdBlock).(msgBlock); got.Size() != blocks[19].Size() {
			t.Errorf("block of %d bytes, want %d", got.Size(), blocks[19].Size())
		}
		if got := a.hear(cmdBlock).(msgBlock); got.Size() != blocks[19].StrippedSize() {
			t.Errorf("block of %d bytes, want %d", got.Size(), blocks[19].StrippedSize())
		}
		if got := a.hear(cmdNotFound).(*msgInv); len(got.items) != 2 || got.items[0].hash != (consensus.Hash{7}) {
			t.Errorf("not found: %v", got.items)
		}
		a.say(&msgLocate{cmdGetHeaders, ProtocolVersion, []consensus.Hash{blocks[9].Header.Hash()}, blocks[14].Header.Hash()})
		if got := a.hear(cmdHeaders).(msgHeaders); len(got) != 5 || got[0] != blocks[10].Header {
			t.Errorf("%d headers", len(got))
		}
		a.say(&msgLocate{cmdGetHeaders, ProtocolVersion, nil, blocks[3].Header.Hash()})
		if got := a.hear(cmdHeaders).(msgHeaders); len(got) != 1 || got[0] != blocks[3].Header {
			t.Errorf("%d headers", len(got))
		}
		a.say(&msgLocate{cmdGetBlocks, ProtocolVersion, []consensus.Hash{w.spec.Rules.GenesisHash()}, consensus.Hash{}})
		if got := a.hear(cmdInv).(*msgInv); len(got.items) != 20 {
			t.Errorf("%d blocks", len(got.items))
		}
	})
}

// outpaced is a ledger that has something happen between making an answer to
// getheaders and giving it.
type outpaced struct {
	*chain.Chain
	meanwhile func()
}

func (c *outpaced) HeadersAfter(locator []consensus.Hash, stop consensus.Hash, limit int) []consensus.Header {
	headers := c.Chain.HeadersAfter(locator, stop, limit)
	c.meanwhile()
	time.Sleep(5 * time.Second) // virtual
	return headers
}

// A block that is found while an answer is being made is announced after it.
func TestAnswerIsNotOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ledger := &outpaced{}
		s := w.add("s", func(c *Config) { ledger.Chain = c.Chain.(*chain.Chain); c.Chain = ledger })
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 2*maxAnnounced)
		s.feed(blocks...)
		ledger.meanwhile = func() { s.feed(mineOn(w.spec, s.ledger.Tip(), 2)) }
		time.Sleep(2 * syncTick) // virtual
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.say(&msgLocate{cmdGetHeaders, ProtocolVersion, []consensus.Hash{w.spec.Rules.GenesisHash()}, consensus.Hash{}})
		for answered := false; ; {
			switch got, payload, err := a.ReadMessage(); {
			case err != nil:
				t.Fatal(err)
			case got == cmdInv && answered:
				return
			case got == cmdInv:
				t.Fatal("the announcement has overtaken the answer")
			case got == cmdHeaders:
				m, err := decodeMessage(got, payload)
				if err != nil || len(m.(msgHeaders)) != len(blocks) {
					t.Fatalf("%v, %v", m, err)
				}
				answered = true
			}
		}
	})
}

// Old blocks with little work that nobody asked for must not fill the disk.
func TestUnrequestedBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		s.feed(mine(w.spec, w.spec.Rules.GenesisState(), 1, 10)...)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		cheap := mineOn(w.spec, w.spec.Rules.GenesisState(), 2)
		good := mineOn(w.spec, s.ledger.Tip(), 2)
		a.say(msgBlock{cheap})
		a.say(msgBlock{good})
		w.agree(good.Header.Hash(), s)
		if info, ok := s.ledger.Header(cheap.Header.Hash()); ok && info.HaveBlock {
			t.Error("stored")
		}
	})
}

// A block that comes unasked and is too far ahead to be stored tells what the
// peer has all the same.
func TestUnrequestedBlockFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, maxUnaskedAhead+2)
		none, a := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		none.shakeAs(&msgVersion{version: ProtocolVersion})
		none.say(headersOf(blocks[:maxUnaskedAhead+1]))
		w.until("headers are known", func() bool { return s.ledger.BestHeader().Height == maxUnaskedAhead+1 })
		a.shake(ProtocolVersion)
		a.say(msgBlock{blocks[maxUnaskedAhead+1]})
		if got := a.hear(cmdGetData).(*msgInv); got.items[0].hash != blocks[0].Header.Hash() {
			t.Errorf("asked for %v", got.items[0])
		}
		if info, _ := s.ledger.Header(blocks[maxUnaskedAhead+1].Header.Hash()); info.HaveBlock {
			t.Error("stored")
		}
	})
}

func TestUserAgentIsCleaned(t *testing.T) {
	if got := cleanUserAgent("/evil\n\x1b[31m<b>:1/"); strings.ContainsAny(got, "\n\x1b<[") {
		t.Errorf("%q", got)
	}
}
