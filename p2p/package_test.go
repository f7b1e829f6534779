package p2p

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
)

// addWith starts a station whose mempool has a policy of its own.
func (w *world) addWith(name string, policy mempool.Policy) *station {
	var pool *mempool.Pool
	s := w.add(name, func(c *Config) {
		pool = mempool.New(mempool.Config{Ledger: c.Chain.(*chain.Chain), Sigs: sigcheck.New(1000), Policy: policy, Now: now})
		c.Pool = pool
	})
	s.pool = pool // before there is a block that it must follow
	return s
}

// dear has a transaction pay 1 sat/vB, which only one of version 3 may leave to
// its child.
func dear() mempool.Policy {
	p := mempool.DefaultPolicy()
	p.MinRelay = 1000 // sat per 1000 vB
	return p
}

// addFull starts a station whose mempool is full, so that the least fee rate has
// risen, and gives it and others a chain.
func (w *world) addFull(name string, others ...*station) (s *station, coins []*consensus.Tx) {
	policy := mempool.DefaultPolicy()
	policy.MaxMemory = 30_000
	s = w.addWith(name, policy)
	coins = rich(w, 40, append(others, s)...)
	for i := 39; i >= 3 && s.pool.MinFeeRate() < 5*int64(policy.MinRelay); i-- {
		s.submit(spend(coins[i], consensus.Amount(1000+100*(40-i))))
	}
	if s.pool.MinFeeRate() < 5*int64(policy.MinRelay) {
		w.t.Fatalf("the pool is not full: %d", s.pool.MinFeeRate())
	}
	return s, coins
}

// truc is spend for a transaction of version 3 (BIP431).
func truc(prev *consensus.Tx, fee consensus.Amount) *consensus.Tx {
	tx := spend(prev, fee)
	tx.Version = 3
	hash, _ := consensus.NewSigHasher(tx, prev.Out[:1]).SigHash(0, consensus.SigHashDefault, nil)
	sig, err := schnorr.Sign(key(), hash[:])
	if err != nil {
		panic(err)
	}
	tx.In[0].Witness[0] = sig.Serialize()
	return tx
}

func (s *station) submitPair(parent, child *consensus.Tx) {
	s.t.Helper()
	if res := s.pool.AddPackage([]*consensus.Tx{parent, child}, 0); res.Err != nil {
		s.t.Fatal(res.Err, res.Txs)
	}
}

// spoilt is a transaction with a wrong signature.
func spoilt(tx *consensus.Tx) *consensus.Tx {
	c := *tx
	c.In = slices.Clone(tx.In)
	sig := slices.Clone(tx.In[0].Witness[0])
	sig[40] ^= 1
	c.In[0].Witness = [][]byte{sig}
	return &c
}

// inv announces transactions by their witness ids.
func inv(txs ...*consensus.Tx) *msgInv {
	m := &msgInv{cmd: cmdInv}
	for _, tx := range txs {
		m.items = append(m.items, invItem{invWTx, tx.WTxID()})
	}
	return m
}

// wants waits until the station asks the actor for a transaction by its txid.
func (a *actor) wants(parent *consensus.Tx) {
	a.t.Helper()
	if got := a.hear(cmdGetData).(*msgInv); len(got.items) != 1 || got.items[0] != (invItem{invTx | invWitness, parent.TxID()}) {
		a.t.Fatalf("asked for %v, want %s", got.items, parent.TxID())
	}
}

// settle waits until the station has dealt with what the actor has said.
func (a *actor) settle() {
	a.t.Helper()
	a.say(msgPing(99))
	a.hear(cmdPong)
}

// A parent that pays nothing crosses the network with its child. It is announced
// to nobody: everybody's feefilter is above its rate.
func TestPackageCrossesTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b, c := w.add("a", nil), w.addWith("b", dear()), w.add("c", nil)
		coins := rich(w, 2, a, b, c)
		w.link(b, a)
		w.link(c, b)
		seen := w.call(b, "203.0.113.1:1")
		seen.shake(ProtocolVersion)
		seen.say(msgFeeFilter(100))

		parent := truc(coins[0], 0)
		child := truc(parent, 1000)
		a.submitPair(parent, child)
		w.until("everywhere", func() bool { return c.has(parent) && c.has(child) && b.has(parent) })
		if got := seen.hear(cmdInv).(*msgInv); len(got.items) != 1 || got.items[0].hash != child.WTxID() {
			t.Errorf("announced %v, want the child alone", got.items)
		}

		// What pays enough for some nodes and not for others.
		parent = truc(coins[1], 50)
		child = truc(parent, 1000)
		a.submit(parent)
		w.until("a link that does not let it pass", func() bool { return len(a.Peers()) == 1 && a.Peers()[0].FeeFilter == 1000 })
		time.Sleep(10 * time.Second) // virtual
		if b.has(parent) || c.has(parent) {
			t.Fatal("it has passed by itself")
		}
		a.submit(child)
		w.until("everywhere", func() bool { return c.has(parent) && c.has(child) && b.has(parent) })
	})
}

// The least fee rate of a pool that is full is above that of a parent, which was
// good enough for others before.
func TestPackageAboveTheRollingMinimum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.add("a", nil)
		b, coins := w.addFull("b", a)
		w.link(b, a)
		parent := spend(coins[0], 20)
		child := spend(parent, 20_000)
		a.submit(parent)
		time.Sleep(20 * time.Second) // virtual
		if b.has(parent) {
			t.Fatal("it has passed by itself")
		}
		a.submit(child)
		w.until("both", func() bool { return b.has(parent) && b.has(child) })
	})
}

// The parent comes first and is refused; it is fetched again for the child, and
// never because somebody announces it.
func TestRefusedParentIsReconsidered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coin := rich(w, 1, s)[0]
		parent := truc(coin, 0)
		child := truc(parent, 1000)
		peer, other := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		peer.shake(ProtocolVersion)
		other.shake(ProtocolVersion)
		peer.say(inv(parent))
		peer.hear(cmdGetData)
		peer.say(msgTx{parent})
		peer.settle()
		other.say(inv(parent))
		other.settle()
		if len(other.unheard) > 0 && slices.ContainsFunc(other.unheard, func(m message) bool { return m.command() == cmdGetData }) {
			t.Error("asked for again, by itself")
		}
		peer.say(inv(child))
		peer.hear(cmdGetData)
		other.say(inv(child)) // while the first is to send it
		other.settle()
		peer.say(msgTx{child})
		peer.wants(parent)
		peer.say(&msgInv{cmdNotFound, []invItem{{invTx | invWitness, parent.TxID()}}})
		other.wants(parent) // it has announced the child
		other.say(msgTx{parent})
		w.until("both", func() bool { return s.has(parent) && s.has(child) })
	})
}

// Who announces an orphan is asked for its parents, even if others were before.
func TestLaterAnnouncerIsAskedForTheParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coin := rich(w, 1, s)[0]
		parent := truc(coin, 0)
		child := truc(parent, 1000)
		liar, honest, old := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1"), w.call(s, "203.0.113.3:1")
		liar.shake(ProtocolVersion)
		honest.shake(ProtocolVersion)
		old.shake(ProtocolVersion - 1)
		liar.say(msgTx{child})
		liar.wants(parent)
		liar.say(&msgInv{cmdNotFound, []invItem{{invTx | invWitness, parent.TxID()}}})
		liar.settle()
		honest.say(inv(child, child))
		honest.wants(parent)
		honest.say(&msgInv{cmdNotFound, []invItem{{invTx | invWitness, parent.TxID()}}})
		honest.settle()
		honest.say(inv(child)) // once is enough
		honest.settle()
		old.say(&msgInv{cmdInv, []invItem{{invTx, child.TxID()}}}) // by an id that does not tell
		old.hear(cmdGetData)
		old.say(msgTx{child})
		old.wants(parent)
		old.say(msgTx{parent})
		w.until("both", func() bool { return s.has(parent) && s.has(child) })
		for _, m := range honest.unheard {
			if m.command() == cmdGetData {
				t.Errorf("asked twice: %v", m)
			}
		}
	})
}

// A child with a wrong signature does not bring the parent in, costs nobody his
// connection, and does not keep the right child from doing so. Neither does a
// parent with a wrong signature, nor a stranger's child that pays too little.
func TestSpoiltPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coin := rich(w, 1, s)[0]
		parent := truc(coin, 0)
		child := truc(parent, 1000)
		mean := truc(parent, 1)
		liar, honest := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		liar.shake(ProtocolVersion)
		honest.shake(ProtocolVersion)

		liar.say(msgTx{spoilt(child)})
		liar.wants(parent)
		liar.say(msgTx{parent})
		liar.settle()
		if s.has(parent) || s.has(spoilt(child)) {
			t.Fatal("came in with a wrong signature")
		}
		liar.say(inv(spoilt(child)))
		liar.say(msgTx{mean})
		liar.wants(parent)
		liar.say(msgTx{parent})
		liar.settle()
		if s.has(parent) {
			t.Fatal("came in with a child that does not pay for it")
		}
		liar.say(inv(mean))
		liar.settle()
		for _, m := range liar.unheard {
			if m.command() == cmdGetData {
				t.Errorf("asked for again: %v", m)
			}
		}

		honest.say(msgTx{child})
		honest.wants(parent)
		honest.say(msgTx{spoilt(parent)})
		honest.settle()
		if s.has(parent) || s.has(spoilt(parent)) {
			t.Fatal("came in with a wrong signature")
		}
		liar.say(msgTx{parent}) // who has not announced the child
		liar.settle()
		if s.has(parent) {
			t.Error("with the child of another peer")
		}
		honest.say(msgTx{parent})
		w.until("both", func() bool { return s.has(parent) && s.has(child) })
		if in, _ := s.ConnectionCount(); in != 2 || len(s.Bans()) > 0 {
			t.Errorf("%d peers are left, banned: %v", in, s.Bans())
		}
	})
}

// All parents are there, and what is spent is not: that is tried once more and
// then left alone.
func TestOrphanWithoutHope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		parent := spend(rich(w, 1, s)[0], 1000)
		s.submit(parent)
		child := spend(parent, 1000)
		child.In[0].PrevOut.Index = 7
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		peer.say(msgTx{child})
		peer.settle()
		synctest.Wait() // comes back only if the node has nothing to do
		s.relay.mu.Lock()
		defer s.relay.mu.Unlock()
		if _, ready := s.relay.orphans.NextReady(); s.relay.orphans.Len() != 1 || ready {
			t.Errorf("%d orphans, to be tried again: %v", s.relay.orphans.Len(), ready)
		}
	})
}

// A child waits for a good parent besides the cheap one.
func TestPairThatMissesAnotherParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s, coins := w.addFull("s")
		cheap, good := spend(coins[0], 20), spend(coins[1], 20_000)
		child := join(20_000, cheap, good)
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		peer.say(msgTx{child})
		if got := peer.hear(cmdGetData).(*msgInv); len(got.items) != 2 {
			t.Fatalf("asked for %v", got.items)
		}
		peer.say(msgTx{cheap})
		peer.settle()
		peer.say(msgTx{good})
		peer.wants(cheap)
		peer.say(msgTx{cheap})
		w.until("all", func() bool { return s.has(cheap) && s.has(good) && s.has(child) })
	})
}
