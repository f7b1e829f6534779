package p2p

import (
	"testing"
	"testing/synctest"
	"time"
)

// Somebody shows the headers of a better chain and gives no block of it, while
// the others find block after block. Those do not make anybody wait longer for
// what never comes: soon the node mines again, and stays so until somebody shows
// more work still.
func TestWithheldBlocksAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, honest := w.add("s", nil), w.add("honest", nil)
		w.link(s, honest)
		withheld := mine(w.spec, s.ledger.Tip(), 7, 40)
		liar := w.call(s, "203.0.113.1:1")
		liar.shake(ProtocolVersion)
		go liar.listenTo()
		liar.tell(headersOf(withheld[:30]))
		w.until("it waits", s.Syncing)
		const between = syncPatience / 3
		for i := range 9 {
			time.Sleep(between) // virtual
			if waits := s.Syncing(); i >= 3 && waits {
				t.Errorf("after %v and %d blocks it still waits", time.Duration(i+1)*between, i)
			}
			block := mineOn(w.spec, honest.ledger.Tip(), byte(i))
			honest.feed(block)
			w.agree(block.Header.Hash(), s)
		}
		if p := s.Peers()[0]; !p.CompactTo {
			t.Error("the peer that gives the blocks is not asked for them in compact form")
		}
		liar.tell(headersOf(withheld[30:]))
		w.until("it waits again", s.Syncing)
	})
}
