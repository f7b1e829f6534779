package p2p

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// gotten takes the blocks that an actor is asked for by now.
func (a *actor) gotten() (list []consensus.Hash) {
	a.t.Helper()
	a.stillThere()
	a.unheard = slices.DeleteFunc(a.unheard, func(m message) bool {
		if m.command() != cmdGetData {
			return false
		}
		for _, item := range m.(*msgInv).items {
			list = append(list, item.hash)
		}
		return true
	})
	return list
}

// A peer that does not say that it serves blocks is asked for those that it announces by
// headers, sixteen at a time, unless they leave the active chain far from its tip.
func TestAnnouncedBlocksOfThoseWhoServeNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		s.feed(mine(w.spec, w.spec.Rules.GenesisState(), 1, 2)...)
		tip := s.ledger.Tip()
		blocks := mine(w.spec, tip, 2, 2*blocksInFlight)
		a := w.call(s, "203.0.113.1:1")
		a.shakeAs(&msgVersion{version: ProtocolVersion, services: serviceWitness})
		a.say(headersOf(blocks[:2]))
		if got := a.gotten(); len(got) != 2 || got[0] != blocks[0].Header.Hash() || got[1] != blocks[1].Header.Hash() {
			t.Fatalf("%d are asked for after two were announced", len(got))
		}
		a.say(headersOf(blocks[2:10]))
		a.say(headersOf(blocks[10:18]))
		if got := a.gotten(); len(got) != blocksInFlight-2 || got[0] != blocks[2].Header.Hash() {
			t.Errorf("%d are asked for while two are owed", len(got))
		}
		far := w.call(s, "203.0.113.2:1")
		far.shakeAs(&msgVersion{version: ProtocolVersion, services: serviceWitness})
		other := mine(w.spec, tip, 3, blocksInFlight+1)
		far.say(headersOf(other))
		if got := far.gotten(); len(got) != 0 {
			t.Errorf("%d of a long branch are asked for at once", len(got))
		}
	})
}

// Who has announced a block that was not known is not told of it when it comes from
// another.
func TestAnnouncedAndNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		block := mineOn(w.spec, s.ledger.Tip(), 1)
		first, second := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		first.shake(ProtocolVersion)
		second.shake(ProtocolVersion)
		first.say(&msgInv{cmdInv, []invItem{{invBlock, block.Header.Hash()}}})
		first.stillThere()
		second.say(msgBlock{block})
		time.Sleep(2 * time.Second) // virtual
		first.stillThere()
		if s.ledger.Tip().Hash != block.Header.Hash() {
			t.Fatal("the block was not taken")
		}
		for _, m := range first.unheard {
			if inv, ok := m.(*msgInv); ok && inv.cmd == cmdInv || m.command() == cmdHeaders {
				t.Errorf("it was told by %s of what it has announced", m.command())
			}
		}
	})
}

// Where the best header is old, the first peer that has given all is believed for a
// while: one more is asked for each block that is announced, and the others after
// othersWait.
func TestOldHeadersAreAskedOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.Clock = nowClock() })
		first := w.call(s, "203.0.113.1:1")
		first.shake(ProtocolVersion)
		first.hear(cmdGetHeaders)
		first.say(msgHeaders{})
		first.stillThere()
		asked := func(a *actor) bool {
			a.stillThere()
			return slices.ContainsFunc(a.unheard, func(m message) bool { return m.command() == cmdGetHeaders })
		}
		var others []*actor
		for _, from := range []string{"203.0.113.2:1", "203.0.113.3:1", "203.0.113.4:1"} {
			a := w.call(s, from)
			a.shake(ProtocolVersion)
			if asked(a) {
				t.Errorf("%s is asked at once", from)
			}
			others = append(others, a)
		}
		for _, a := range others[:2] {
			a.say(&msgInv{cmdInv, []invItem{{invBlock, consensus.Hash{1}}}})
			a.stillThere()
		}
		if !asked(others[0]) || asked(others[1]) {
			t.Errorf("of two that announce a block asked are %v and %v, want the first", asked(others[0]), asked(others[1]))
		}
		time.Sleep(othersWait + 2*syncTick) // virtual
		if !asked(others[1]) || !asked(others[2]) {
			t.Error("the others are not asked later")
		}
	})
}
