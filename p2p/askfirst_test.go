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

// So it does to a ping that follows the parent of an orphan: the child is in the pool.
func TestPongFollowsTheChildOfAnOrphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = 0
		s := w.add("s", nil)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		for i, coin := range rich(w, 10, s) { // which is faster is chance
			parent := spend(coin, 1000)
			child := spend(parent, 1000)
			a.say(msgTx{child})
			a.say(msgTx{parent})
			a.say(msgPing(100 + uint64(i)))
			for a.hear(cmdPong).(msgPong) != msgPong(100+uint64(i)) {
			}
			if !s.has(parent) || !s.has(child) {
				t.Fatalf("pair %d: the pong came first: parent %v, child %v", i, s.has(parent), s.has(child))
			}
		}
	})
}
