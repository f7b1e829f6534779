package p2p

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

func TestArrivalsAreForgottenInTheirOrder(t *testing.T) {
	id := func(i int) (h consensus.Hash) {
		binary.LittleEndian.PutUint64(h[:], uint64(i)+1)
		return h
	}
	a := newArrivals()
	for i := range maxArrivals {
		a.add(id(i))
	}
	if again := a.add(id(1)); again != maxArrivals+1 || a.number(id(0)) != 0 || a.number(id(1)) != again || a.number(id(2)) != 3 {
		t.Errorf("numbers %d, %d, %d after the first was pushed out and the second came again", a.number(id(0)), a.number(id(1)), a.number(id(2)))
	}
	a.add(id(maxArrivals)) // in the place of the second's first number
	if a.number(id(1)) != maxArrivals+1 || len(a.numbers) != maxArrivals || len(a.ring) != maxArrivals {
		t.Errorf("number %d, %d remembered", a.number(id(1)), len(a.numbers))
	}
}

// A peer that asks for a transaction before it is announced to it does not get it, and
// gets it afterwards, also when a block holds it by then.
func TestUnannouncedTransactionsAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(c *Config) { c.TxInterval = time.Minute })
		coins := rich(w, 2, s)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		time.Sleep(time.Second)
		tx := spend(coins[0], 1000)
		s.submit(tx)
		ask := &msgInv{cmdGetData, []invItem{{invWTx, tx.WTxID()}}}
		a.say(ask)
		if got := a.hear(cmdNotFound).(*msgInv); got.items[0].hash != tx.WTxID() {
			t.Errorf("not found: %v", got.items)
		}
		a.say(&msgInv{cmdGetData, []invItem{{invTx | invWitness, tx.TxID()}}})
		a.hear(cmdNotFound)
		a.hear(cmdInv)
		a.say(ask)
		a.hear(cmdTx)
		s.feed(mineOn(w.spec, s.ledger.Tip(), 1, tx))
		if err := s.pool.Sync(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		a.say(ask)
		if got := a.hear(cmdTx).(msgTx); got.WTxID() != tx.WTxID() {
			t.Errorf("got %v", got.WTxID())
		}
	})
}
