package p2p

import (
	"slices"
	"testing"
	"testing/synctest"
)

// The pong to a ping that follows headers comes after the request for their blocks.
func TestPongFollowsWhatHeadersHaveAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		for salt := range byte(20) { // which is faster is chance
			b := mineOn(w.spec, s.ledger.Tip(), salt)
			a.say(msgHeaders{b.Header})
			a.say(msgPing(100 + uint64(salt)))
			for a.hear(cmdPong).(msgPong) != msgPong(100+uint64(salt)) {
			}
			if !slices.ContainsFunc(a.unheard, func(m message) bool { return m.command() == cmdGetData }) {
				t.Fatalf("block %d: the pong came before the request", salt)
			}
			a.hear(cmdGetData)
			a.say(msgBlock{b})
			w.until("it has come", func() bool { return s.ledger.Tip().Hash == b.Header.Hash() })
		}
	})
}
