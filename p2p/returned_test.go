package p2p

import (
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// What comes back from a block that does not count any more is sent to whoever asks for
// it, though it was not announced yet: everybody has seen the block. Others wait.
func TestReturnedTransactionsAreSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.TxInterval = 1000 * time.Hour })
		coins := rich(w, 3, s)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		mined, unseen, waiting := spend(coins[0], 1000), spend(coins[1], 1000), spend(coins[2], 1000)
		s.Broadcast(mined.TxID())
		s.submit(mined)
		fork := s.ledger.Tip()
		s.feed(mineOn(w.spec, fork, 1, mined, unseen))
		synctest.Wait()
		if len(s.Unbroadcast()) != 0 {
			t.Error("what was confirmed waits to be asked for")
		}
		s.submit(waiting)
		s.feed(mine(w.spec, fork, 2, 2)...)
		w.until("both are back", func() bool { return s.has(mined) && s.has(unseen) })
		for tx, want := range map[*consensus.Tx]string{mined: cmdTx, unseen: cmdTx, waiting: cmdNotFound} {
			a.say(&msgInv{cmdGetData, []invItem{{invWTx, tx.WTxID()}}})
			a.hear(want)
		}
		for _, m := range a.unheard {
			if m.command() == cmdTx || m.command() == cmdNotFound {
				t.Errorf("another %s", m.command())
			}
		}
	})
}
