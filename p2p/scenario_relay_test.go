package p2p

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// mute takes transactions and tells nobody of them.
func mute(c Conn, command string, payload []byte) error {
	if m, err := decodeMessage(command, payload); err == nil && isAboutTxs(m) {
		return nil
	}
	return c.WriteMessage(command, payload)
}

// tease tells of transactions and gives none, not even a notfound.
func tease(c Conn, command string, payload []byte) error {
	if command == cmdTx || command == cmdNotFound {
		return nil
	}
	return c.WriteMessage(command, payload)
}

// Of twenty nodes four take transactions and tell nobody, and four tell everybody
// at once and give them to nobody. The twelve others hang together without those,
// so that every transaction reaches them all.
func TestTransactionPassesSilentPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = slog.LevelWarn
		random := seeded(t)
		var honest, teasers []*station
		var groups [][]*station
		for i := range 12 {
			honest = append(honest, w.add(fmt.Sprint("honest", i), nil))
		}
		for i := range 4 {
			teaser := w.addLiar(fmt.Sprint("tease", i), tease, func(c *Config) { c.TxInterval = time.Millisecond })
			teasers = append(teasers, teaser)
			groups = append(groups, []*station{teaser}, []*station{w.addLiar(fmt.Sprint("mute", i), mute, nil)})
		}
		n := w.network(random, 8, append(groups, honest)...)
		coins := rich(w, 3, n.stations...)
		for i, coin := range coins {
			tx := spend(coin, 1000)
			honest[i].submit(tx)
			for _, teaser := range teasers {
				if err := teaser.pool.Add(tx); err != nil {
					t.Fatal(err)
				}
			}
			w.everywhere("with all honest nodes", honest, tx)
		}
		w.nobodyBlamed()
	})
}

// A node whose inbound peers all tell of a transaction first, again and again, and
// none of whom gives it, gets it from the one honest peer that it chose, and soon,
// though others that it chose are silent too.
func TestTeasersCannotHideATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		tx := spend(rich(w, 1, s)[0], 1000)
		choose := func(addr string) *actor {
			a := w.choose(s, kindOutbound, addr)
			a.welcome(serviceNetwork | serviceWitness)
			a.hear(cmdVerack)
			return a
		}
		teasers := []*actor{choose("198.51.100.1:1"), choose("192.0.2.1:1")}
		honest := choose("203.0.113.1:1")
		for i := range 30 {
			a := w.call(s, fmt.Sprintf("%d.1.1.1:1", 20+i))
			a.shake(ProtocolVersion)
			teasers = append(teasers, a)
		}
		over := make(chan struct{})
		defer close(over)
		for _, a := range teasers {
			go a.listenTo()
			go func() {
				for a.WriteMessage(cmdInv, inv(tx).append(nil)) == nil {
					select {
					case <-time.After(7 * time.Second):
					case <-over:
						return
					}
				}
			}()
		}
		time.Sleep(3 * time.Second) // virtual: all are being waited for
		start := time.Now()
		honest.say(inv(tx))
		honest.hear(cmdGetData)
		honest.say(msgTx{tx})
		w.until("accepted", func() bool { return s.has(tx) })
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// Where the only honest peer called this node, like the twelve that are silent, the
// transaction comes after at most three rounds: they ask one, two and four.
func TestTeasersCannotHideATransactionOfAnInboundPeerForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		tx := spend(rich(w, 1, s)[0], 1000)
		for i := range 12 {
			a := w.call(s, fmt.Sprintf("%d.1.1.1:1", 20+i))
			a.shake(ProtocolVersion)
			a.say(inv(tx))
			go a.listenTo()
		}
		honest := w.call(s, "203.0.113.1:1")
		honest.shake(ProtocolVersion)
		start := time.Now()
		honest.say(inv(tx))
		honest.hear(cmdGetData)
		honest.say(msgTx{tx})
		w.until("accepted", func() bool { return s.has(tx) })
		if took := time.Since(start); took > 183*time.Second { // 2 s and three minutes
			t.Errorf("after %v", took)
		}
	})
}
