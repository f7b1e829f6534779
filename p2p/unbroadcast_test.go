package p2p

import (
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/internal/clock"
)

// What was submitted while nobody listened is announced later, until somebody
// asks for it; what came from others is not.
func TestUnbroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 3, s)
		lonely, foreign := spend(coins[0], 1000), spend(coins[1], 1000)
		s.Broadcast(lonely.TxID(), consensus.Hash{1}) // the other one is refused
		s.submit(lonely)
		s.submit(foreign)
		if got := s.Unbroadcast(); len(got) != 1 || !got[lonely.TxID()] {
			t.Fatalf("not asked for: %v", got)
		}

		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		start := time.Now()
		if got := a.hear(cmdInv).(*msgInv); len(got.items) != 1 || got.items[0].hash != lonely.WTxID() {
			t.Errorf("announced %v", got.items)
		}
		if waited := time.Since(start); waited < leastRebroadcast-time.Second || waited > mostRebroadcast+time.Minute {
			t.Errorf("after %v", waited)
		}
		if len(s.Unbroadcast()) != 1 {
			t.Error("an announcement is enough")
		}
		a.say(&msgInv{cmdGetData, []invItem{{invWTx, lonely.WTxID()}}})
		a.hear(cmdTx)
		if got := s.Unbroadcast(); len(got) != 0 {
			t.Errorf("not asked for: %v", got)
		}
		b := w.call(s, "203.0.113.2:1")
		b.shake(ProtocolVersion)
		time.Sleep(mostRebroadcast) // virtual
		b.settle()
		for _, m := range b.unheard {
			if m.command() == cmdInv {
				t.Errorf("announced %v", m)
			}
		}
		if left := s.relay.submitted(); len(left) > 0 {
			t.Errorf("still remembered: %v", left)
		}

		// Whoever submits it once more wants it to go out.
		s.Broadcast(foreign.TxID())
		if got := b.hear(cmdInv).(*msgInv); len(got.items) != 1 || got.items[0].hash != foreign.WTxID() {
			t.Errorf("announced %v", got.items)
		}
		if len(s.Unbroadcast()) != 0 {
			t.Error("it was there before")
		}
	})
}

// What is confirmed needs nobody to ask for it.
func TestUnbroadcastEndsWithABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		tx := spend(rich(w, 1, s)[0], 1000)
		s.Broadcast(tx.TxID())
		s.submit(tx)
		s.feed(mineOn(w.spec, s.ledger.Tip(), 9, tx))
		w.until("out of the pool", func() bool { return len(s.Unbroadcast()) == 0 })
		time.Sleep(mostRebroadcast) // virtual
		synctest.Wait()
		if left := s.relay.submitted(); len(left) > 0 {
			t.Errorf("still remembered: %v", left)
		}
	})
}

// What nobody had asked for before a restart is announced when the pool is loaded, and
// again and again, moved forward with other chores.
func TestResubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := clock.New(nil)
		s := w.add("s", func(cfg *Config) { cfg.Clock = c })
		coins := rich(w, 1, s)
		tx := spend(coins[0], 1000)
		s.submit(tx)
		s.Resubmit(tx.TxID(), consensus.Hash{1})
		if got := s.Unbroadcast(); len(got) != 1 || !got[tx.TxID()] {
			t.Errorf("not asked for: %v", got)
		}
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		synctest.Wait()
		c.Chores.Forward(mostRebroadcast)
		begun := time.Now()
		if got := a.hear(cmdInv).(*msgInv); got.items[0].hash != tx.WTxID() || time.Since(begun) > time.Minute {
			t.Errorf("announced %v after %v", got.items, time.Since(begun))
		}
	})
}
