package p2p

import (
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// The operator of one node invalidates a block, as tests of reorganizations do,
// while the others go on with that chain. Nobody is disconnected, whoever dialled
// whom and however blocks are announced; the node follows, mines and relays a
// chain of its own meanwhile; and once the block is reconsidered it has the
// others' chain at once.
func TestInvalidateBlockCutsNobodyOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, dialled, dials, chosen := w.add("s", nil), w.add("dialled", nil), w.add("dials", nil), w.add("chosen", nil)
		coins := rich(w, 4, s, dialled, dials, chosen)
		w.link(s, dialled)
		w.link(dials, s)
		w.link(dialled, dials)
		w.link(chosen, dialled)
		s.begin(func() {
			conn, err := w.dial(s.ctx, s, chosen.url)
			if err == nil {
				_ = s.runPeer(s.ctx, conn, kindOutbound, chosen.url)
			}
		})
		w.until("all are here", func() bool { return len(s.Peers()) == 3 })
		common := s.ledger.Tip()
		block := func(on *station, salt byte) consensus.Hash {
			b := mineOn(w.spec, on.ledger.Tip(), salt)
			on.feed(b)
			return b.Header.Hash()
		}
		bad := block(dialled, 1)
		for salt := byte(2); salt < 6; salt++ { // from then on in compact form
			w.agree(block(dialled, salt), s, dials, chosen)
		}
		if err := s.ledger.InvalidateBlock(bad); err != nil {
			t.Fatal(err)
		}
		if s.ledger.Tip().Hash != common.Hash {
			t.Fatal("the tip is not the one before")
		}
		for i, miner := range []*station{dialled, dials, chosen, dialled} {
			w.agree(block(miner, byte(10+i)), dialled, dials)
			time.Sleep(time.Minute) // virtual
		}
		own := block(s, 20)
		tx := spend(coins[0], 1000)
		s.submit(tx)
		w.until("its transaction passes", func() bool { return dialled.has(tx) && dials.has(tx) })
		if got := len(s.Peers()); got != 3 {
			t.Errorf("%d of 3 peers are left after a block was invalidated", got)
		}
		if s.Syncing() || s.ledger.Tip().Hash != own {
			t.Error("it does not mine a chain of its own")
		}
		before := s.Peers()
		if err := s.ledger.ReconsiderBlock(bad); err != nil {
			t.Fatal(err)
		}
		if took := w.agree(dialled.ledger.Tip().Hash, s); took > 3*time.Second {
			t.Errorf("the others' chain came %v after it was reconsidered", took)
		}
		w.agree(block(s, 30), dialled, dials, chosen)
		w.agree(block(chosen, 31), s, dialled, dials)
		back := spend(coins[1], 1000)
		dialled.submit(back)
		w.until("transactions pass", func() bool { return s.has(back) })
		for i, p := range s.Peers() {
			if p.ID != before[i].ID {
				t.Errorf("peer %d has come anew", p.ID)
			}
		}
		w.nobodyBlamed()
	})
}

// A node whose operator has invalidated the others' chain takes and gives a
// lighter one.
func TestInvalidatedChainHidesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(a, b)
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 6)
		a.feed(blocks...)
		w.agree(blocks[5].Header.Hash(), b)
		for _, s := range []*station{a, b} {
			if err := s.ledger.InvalidateBlock(blocks[0].Header.Hash()); err != nil {
				t.Fatal(err)
			}
		}
		for i, s := range []*station{a, b, a, b} { // all lighter than what was invalidated
			block := mineOn(w.spec, s.ledger.Tip(), byte(50+i))
			s.feed(block)
			w.agree(block.Header.Hash(), a, b)
		}
		w.nobodyBlamed()
	})
}

// A peer that the operator named stays though its chain breaks a rule; any other
// with such a chain goes.
func TestManualPeerIsKeptWhateverItsChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		bad := greedy(w.spec)
		for _, kind := range []connectionKind{kindManual, kindOutbound} {
			for i, play := range []func(a *actor){
				func(a *actor) { a.say(msgHeaders{bad.Header}); a.hear(cmdGetData); a.say(msgBlock{bad}) },
				func(a *actor) { a.say(msgHeaders{bad.Header}) },
				func(a *actor) { a.say(msgBlock{bad}) },
			} {
				if kind == kindOutbound && i == 0 {
					continue // the block is known to be bad by now
				}
				a := w.choose(s, kind, "198.51.100.1:1")
				a.welcome(serviceNetwork | serviceWitness)
				play(a)
				time.Sleep(time.Minute) // virtual
				if stays := s.count(kind) == 1; stays != (kind == kindManual) && i != 2 {
					t.Errorf("%s, way %d: stays: %v", kind, i, stays)
				}
				_ = a.Close("")
				w.until("gone", func() bool { return s.count(kind) == 0 })
			}
		}
		if s.bans.banned(hostOfString("198.51.100.1:1")) {
			t.Error("a peer that the operator named is discouraged")
		}
	})
}
