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

// A node whose inbound peers all tell of a transaction first, again and again,
// and none of whom gives it, gets it from the one peer that it chose, and soon.
func TestTeasersCannotHideATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coin := rich(w, 1, s)[0]
		honest := w.choose(s, kindOutbound, "203.0.113.1:1")
		honest.welcome(serviceNetwork | serviceWitness)
		honest.hear(cmdVerack)
		tx := spend(coin, 1000)
		news := &msgInv{cmdInv, []invItem{{invWTx, tx.WTxID()}}}
		over := make(chan struct{})
		defer close(over)
		for i := range 30 {
			a := w.call(s, fmt.Sprintf("%d.1.1.1:1", 20+i))
			a.shake(ProtocolVersion)
			go a.listenTo()
			go func() {
				for a.WriteMessage(cmdInv, news.append(nil)) == nil {
					select {
					case <-time.After(7 * time.Second):
					case <-over:
						return
					}
				}
			}()
		}
		time.Sleep(time.Second) // virtual
		start := time.Now()
		honest.say(news)
		honest.hear(cmdGetData)
		if took := time.Since(start); took > txTimeout+2*time.Second {
			t.Errorf("asked after %v", took)
		}
		honest.say(msgTx{tx})
		w.until("accepted", func() bool { return s.has(tx) })
	})
}
