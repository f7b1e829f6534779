package p2p

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/p2p/txrequest"
)

// A transaction whose witness was taken away or changed has the same txid as the
// honest one. Whoever sends it must not keep those who ask by txid from getting
// that.
func TestMutilatedTransactions(t *testing.T) {
	bad := func(tx *consensus.Tx, witness ...[]byte) *consensus.Tx {
		changed := *tx
		changed.In = slices.Clone(tx.In)
		changed.In[0].Witness = witness
		return &changed
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 3, s)
		liar, first, second := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1"), w.call(s, "203.0.113.3:1")
		liar.shake(ProtocolVersion)
		first.shake(ProtocolVersion - 1)
		second.shake(ProtocolVersion - 1)

		stripped := spend(coins[0], 1000)
		byTxID := &msgInv{cmdInv, []invItem{{invTx, stripped.TxID()}}}
		liar.say(msgTx{bad(stripped)})
		synctest.Wait()
		first.say(byTxID)
		first.hear(cmdGetData)
		liar.say(msgTx{bad(stripped)}) // while it is awaited
		synctest.Wait()
		second.say(byTxID)
		first.say(&msgInv{cmdNotFound, byTxID.items})
		second.hear(cmdGetData)
		second.say(msgTx{stripped})
		w.until("accepted", func() bool { return s.has(stripped) })

		// The one that is asked sends rubbish: the other is asked at once.
		tx := spend(coins[1], 1000)
		byTxID = &msgInv{cmdInv, []invItem{{invTx, tx.TxID()}}}
		first.say(byTxID)
		first.hear(cmdGetData)
		second.say(byTxID)
		time.Sleep(txrequest.NonPreferredDelay + txrequest.TxIDDelay) // virtual
		start := time.Now()
		first.say(msgTx{bad(tx, make([]byte, 64))})
		second.hear(cmdGetData)
		if took := time.Since(start); took > time.Second {
			t.Errorf("asked only after %v", took)
		}
		second.say(msgTx{tx})
		w.until("accepted", func() bool { return s.has(tx) })

		// A mutilated parent does not make its child unwanted.
		parent := spend(coins[2], 1000)
		child := spend(parent, 1000)
		liar.say(msgTx{bad(parent)})
		liar.say(msgTx{child})
		if got := liar.hear(cmdGetData).(*msgInv); got.items[0].hash != parent.TxID() {
			t.Errorf("asked for %v", got.items)
		}
	})
}

func namedAddr(i int) addrV2 {
	return addrV2{time: uint32(time.Now().Unix()), network: networkURL, addr: fmt.Appendf(nil, "ws://h%d.example.org:1/p2p", i)}
}

// Looking at an address costs more than sending one.
func TestAddressFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		flood := make(msgAddrV2, maxAddrs)
		for i := range flood {
			flood[i] = namedAddr(i)
		}
		known := func() int { return len(s.book.sample(maxBook)) }
		a.say(flood)
		w.until("some are known", func() bool { return known() > 0 })
		if known() > firstURLTokens {
			t.Errorf("%d addresses were taken", known())
		}
		time.Sleep(10 * addrInterval) // virtual
		slices.Reverse(flood)
		a.say(flood)
		w.until("more are known", func() bool { return known() > firstURLTokens })
		if known() > firstURLTokens+11 {
			t.Errorf("%d addresses were taken", known())
		}
	})
}

// Addresses that strangers name are not knocked at by the hundred.
func TestDialsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dials := make(chan string, 1000)
		s := w.add("s", func(c *Config) {
			c.Outbound = DefaultOutbound
			c.Dial = func(_ context.Context, url string) (Conn, error) {
				dials <- url
				return nil, errUnreachable
			}
		})
		for i := range 100 {
			s.book.learn(string(namedAddr(i).addr), 0, time.Now(), "203.0.113.1")
		}
		poke(s.dialWake)
		time.Sleep(10 * time.Second) // virtual
		if n := len(dials); n < 15 || n > 21 {
			t.Errorf("%d dials in ten seconds", n)
		}
	})
}

// Addresses that answered once and never again must not stay in the book.
func TestBookForgetsTheDead(t *testing.T) {
	b := newBook()
	start := time.Now()
	url := ipURL(1, 1)
	b.learn(url, 0, start, "x")
	b.good(url, 0, start)
	for range maxFailures {
		b.ended(url, start.Add(time.Hour), true, start.Add(time.Hour))
	}
	if len(b.byURL) != 1 {
		t.Error("forgotten after an hour")
	}
	b.ended(url, start.Add(deadAfter), true, start.Add(deadAfter+time.Hour))
	if len(b.byURL) != 0 {
		t.Error("still known")
	}
}

func TestOwnNonceCountsOnce(t *testing.T) {
	n := &Node{nonces: map[uint64]string{7: "ws://a:1"}}
	if url, ok := n.ownNonce(7); !ok || url != "ws://a:1" {
		t.Errorf("%q, %v", url, ok)
	}
	if _, ok := n.ownNonce(7); ok {
		t.Error("who repeats it is the node itself again")
	}
}

func TestInsideAddresses(t *testing.T) {
	for _, url := range []string{"ws://100.64.0.1:1", "ws://[64:ff9b::7f00:1]:1", "ws://[::ffff:10.0.0.1]:1", "ws://0.0.0.0:1", "ws://169.254.1.1:1"} {
		if !(space{}).isPrivateURL(url) {
			t.Errorf("%s counts as public", url)
		}
	}
}

// waitingPool is a pool that takes its time.
type waitingPool struct {
	Pool
	at chan struct{}
}

func (p *waitingPool) Add(*consensus.Tx) error {
	p.at <- struct{}{}
	return errUnreachable
}

// Few bytes can be decoded to much memory, so of large messages that nobody asked
// for only one is handled at a time, beside the blocks that were asked for, and none
// holds its slot for longer.
func TestLargeMessagesWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pool := &waitingPool{at: make(chan struct{})}
		s := w.add("s", func(c *Config) { pool.Pool, c.Pool = c.Pool, pool })
		tx := &consensus.Tx{Version: 2, In: []consensus.TxIn{{Witness: make([][]byte, largeMessage)}}, Out: []consensus.TxOut{{}}}
		callers := make([]*actor, cap(s.large)+3)
		for i := range callers {
			callers[i] = w.call(s, "203.0.113.1:1")
			callers[i].shake(ProtocolVersion)
			tx.In[0].PrevOut.Index = uint32(i)
			callers[i].say(msgTx{tx})
		}
		time.Sleep(time.Second) // virtual
		if len(s.large) != 1 {
			t.Errorf("%d slots are taken", len(s.large))
		}
		_ = callers[0].Close("") // while it holds one
		for i := range callers {
			select {
			case <-pool.at:
			case <-time.After(time.Minute):
				t.Fatalf("only %d were handled", i)
			}
		}
		time.Sleep(time.Second) // virtual
		if len(s.large) != 0 {
			t.Errorf("%d slots are held for ever", len(s.large))
		}
	})
}

// What was taken from the queue must not be held by it.
func TestQueueLetsGo(t *testing.T) {
	q := newSendQueue()
	for range 3 {
		q.push(outMessage{cmdPing, make([]byte, 8)})
	}
	array := q.messages
	q.nextMessage()
	if array[0].payload != nil {
		t.Error("the payload is still there")
	}
}
