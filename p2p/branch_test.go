package p2p

import (
	"testing"
	"testing/synctest"
	"time"
)

// A branch as good as the active one is fetched, so that a block on top of it is the
// next tip at once; a worse one is not.
func TestBranchOfEqualWorkIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		genesis := w.spec.Rules.GenesisState()
		ours, theirs := mine(w.spec, genesis, 1, 2), mine(w.spec, genesis, 2, 2)
		s.feed(ours...)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.say(headersOf(theirs[:1]))
		time.Sleep(time.Second) // virtual
		for _, m := range a.unheard {
			if m.command() == cmdGetData {
				t.Fatal("a branch with less work was asked for")
			}
		}
		a.say(headersOf(theirs[1:]))
		for range theirs {
			items := a.hear(cmdGetData).(*msgInv).items
			for _, item := range items {
				for _, b := range theirs {
					if b.Header.Hash() == item.hash {
						a.say(msgBlock{b})
					}
				}
			}
			if len(items) == len(theirs) {
				break
			}
		}
		last := theirs[1].Header.Hash()
		w.until("the branch is here", func() bool { info, ok := s.ledger.Header(last); return ok && info.HaveBlock })
		if tip := s.ledger.Tip().Hash; tip != ours[1].Header.Hash() {
			t.Errorf("the tip moved to %s", tip)
		}
	})
}
