package p2p

import (
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/internal/clock"
	"lode/p2p/orphanage"
	"lode/p2p/txrequest"
)

// lost makes an orphan that spends outputs of transactions that nobody has, and that
// is valid as far as can be told without them.
func lost(parent uint16, inputs int) *consensus.Tx {
	tx := &consensus.Tx{Version: 2, Out: []consensus.TxOut{{Value: 1000, Script: script()}}}
	for i := range inputs {
		coin := consensus.OutPoint{TxID: consensus.Hash{1, byte(parent), byte(parent >> 8)}, Index: uint32(i)}
		tx.In = append(tx.In, consensus.TxIn{PrevOut: coin, Witness: [][]byte{make([]byte, 64)}})
	}
	return tx
}

func (s *station) isOrphan(tx *consensus.Tx) bool {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	_, ok := s.relay.orphans.Get(tx.WTxID())
	return ok
}

// A peer that floods the node with orphans does not push out those of others.
func TestFloodOfOrphansEvictsNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		parent := spend(rich(w, 1, s)[0], 1000)
		child := spend(parent, 1000)
		honest, liar := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		honest.shake(ProtocolVersion)
		liar.shake(ProtocolVersion)
		honest.say(msgTx{child})
		honest.settle()
		go liar.listenTo()
		for i := range 40 {
			liar.say(msgTx{lost(uint16(i), 1000)})
		}
		for i := range 1500 {
			liar.say(msgTx{lost(uint16(100+i), 1)})
		}
		w.until("there are many", func() bool { return s.isOrphan(lost(100+1499, 1)) })
		if s.isOrphan(lost(0, 1000)) {
			t.Error("the flood has not lost its oldest")
		}
		honest.wants(parent)
		honest.say(msgTx{parent})
		w.until("both", func() bool { return s.has(parent) && s.has(child) })
	})
}

// An orphan may weigh as much as any transaction that is relayed.
func TestLargeOrphanIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		large := lost(1, 1700)
		if large.Size() < 180_000 || large.Weight() > orphanage.MaxWeight {
			t.Fatalf("%d bytes, weight %d", large.Size(), large.Weight())
		}
		peer.say(msgTx{large})
		peer.settle()
		if !s.isOrphan(large) {
			t.Error("it is not kept")
		}
		for _, tx := range []*consensus.Tx{lost(2, 1800), lost(3, 1)} {
			if tx.In[0].PrevOut.TxID[1] == 3 { // many bytes in memory for few on the wire
				tx.In[0].Witness = make([][]byte, 3)
			}
			peer.say(msgTx{tx})
			peer.settle()
			if s.isOrphan(tx) {
				t.Errorf("one of weight %d with %d witness elements is kept", tx.Weight(), len(tx.In[0].Witness))
			}
		}
	})
}

// Orphans go when the last of those leaves that have announced them.
func TestOrphanGoesWithItsLastAnnouncer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		first, second := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		first.shake(ProtocolVersion)
		second.shake(ProtocolVersion)
		own, shared := lost(1, 1), lost(2, 1)
		first.say(msgTx{own})
		first.say(msgTx{shared})
		first.settle()
		second.say(inv(shared))
		second.settle()
		_ = first.Close("")
		time.Sleep(time.Second) // virtual
		if s.isOrphan(own) || !s.isOrphan(shared) {
			t.Errorf("there: its own %v, the other %v", s.isOrphan(own), s.isOrphan(shared))
		}
		if got := second.hear(cmdGetData).(*msgInv); got.items[0].hash != shared.In[0].PrevOut.TxID {
			t.Errorf("asked for %v", got.items)
		}
		_ = second.Close("")
		time.Sleep(time.Second) // virtual
		if s.isOrphan(shared) {
			t.Error("nobody is left that has announced it")
		}
	})
}

// A grandparent is missing. A liar sends the parent with a wrong witness: the honest
// parent has the same txid, and must be asked for all the same.
func TestOrphanWithAWrongWitnessDoesNotHideTheParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		grandparent := spend(rich(w, 1, s)[0], 1000)
		parent := spend(grandparent, 1000)
		child := spend(parent, 1000)
		liar, honest := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		liar.shake(ProtocolVersion)
		honest.shake(ProtocolVersion)
		liar.say(msgTx{spoilt(parent)})
		liar.wants(grandparent)
		honest.say(msgTx{child})
		honest.wants(parent)
		honest.say(msgTx{parent})
		honest.settle()
		honest.say(msgTx{grandparent})
		w.until("all", func() bool { return s.has(grandparent) && s.has(parent) && s.has(child) })
		time.Sleep(time.Second) // virtual
		if s.isOrphan(spoilt(parent)) || s.isOrphan(parent) {
			t.Error("there is an orphan left")
		}
	})
}

// A parent that was confirmed a block ago is not asked for.
func TestConfirmedParentIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 2, s)
		confirmed, missing := spend(coins[0], 1000), spend(coins[1], 1000)
		child := join(1000, confirmed, missing)
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		s.feed(mineOn(w.spec, s.ledger.Tip(), 9, confirmed))
		time.Sleep(time.Second) // virtual
		peer.say(inv(confirmed))
		peer.say(msgTx{child})
		peer.wants(missing)
		peer.say(msgTx{missing})
		w.until("accepted", func() bool { return s.has(child) })
		time.Sleep(10 * time.Second) // virtual
		peer.settle()
		for _, m := range peer.unheard {
			if m.command() == cmdGetData {
				t.Errorf("asked for %v", m)
			}
		}

		// Its block is reverted, and what spends the coin now is something else.
		s.feed(mine(w.spec, stateBefore(w, s, 1), 7, 2)...)
		w.until("reverted", func() bool { return s.has(confirmed) && s.has(child) })
		s.relay.mu.Lock()
		defer s.relay.mu.Unlock()
		if s.relay.confirmed.has(confirmed.TxID()) {
			t.Error("it counts as confirmed still")
		}
	})
}

// stateBefore is the state so many blocks below a station's tip.
func stateBefore(w *world, s *station, n int) consensus.State {
	tip := s.ledger.Tip()
	state := w.spec.Rules.GenesisState()
	for h := uint32(1); h <= tip.Height-uint32(n); h++ {
		hash, _ := s.ledger.HashAt(h)
		info, _ := s.ledger.Header(hash)
		state = w.spec.Rules.NextState(state, &info.Header)
	}
	return state
}

// One parent is replaced while an orphan waits for the other: who announces the
// orphan then is asked for both.
func TestLaterAnnouncerIsAskedForANewlyMissingParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 2, s)
		missing, fickle := spend(coins[0], 1000), spend(coins[1], 1000)
		child := join(1000, missing, fickle)
		s.submit(fickle)
		first, second := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		first.shake(ProtocolVersion)
		second.shake(ProtocolVersion)
		first.say(msgTx{child})
		first.wants(missing)
		s.submit(spend(coins[1], 5000))
		if s.has(fickle) {
			t.Fatal("it was not replaced")
		}
		second.say(inv(child))
		second.wants(fickle)
		_ = first.Close("")
		second.wants(missing)
	})
}

// A block that spends what an orphan spends ends it.
func TestBlockEndsOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 2, s)
		missing := spend(coins[0], 1000)
		child := join(1000, missing, coins[1])
		peer := w.call(s, "203.0.113.1:1")
		peer.shake(ProtocolVersion)
		peer.say(msgTx{child})
		peer.settle()
		if !s.isOrphan(child) {
			t.Fatal("not an orphan")
		}
		s.feed(mineOn(w.spec, s.ledger.Tip(), 9, spend(coins[1], 7)))
		w.until("it has ended", func() bool { return !s.isOrphan(child) })
	})
}

// Forgetting a peer must not cost in proportion to what others have announced: with
// as much as this there, looking through it once for each took many seconds.
func TestChurnCostsWhatThePeerHolds(t *testing.T) {
	r := newRelay(0, clock.New(nil).Wall)
	newPeer := func() *peer {
		p := &peer{kind: kindInbound, wtxidRelay: true, out: newSendQueue(), drop: func(error) {}}
		p.relay.known = newRecentSet(maxKnownTxs)
		r.add(p, 0)
		return p
	}
	for i := range 90 {
		m := &msgInv{cmd: cmdInv}
		for j := range 2000 {
			m.items = append(m.items, invItem{invWTx, consensus.Hash{byte(i), byte(j), byte(j >> 8), 1}})
		}
		p := newPeer()
		fresh, _ := r.fresh(p, m.items)
		for _, hash := range fresh {
			r.requests.Announce(time.Now(), p, hash, false)
		}
	}
	if r.requests.Size() < txrequest.MaxOrdinary { // from there on each has its share
		t.Fatalf("%d announcements", r.requests.Size())
	}
	start := time.Now()
	for range 5000 {
		r.remove(newPeer())
		r.requests.Requests(time.Now(), maxDue)
	}
	if took := time.Since(start); took > 5*time.Second { // it takes some ms
		t.Errorf("5,000 peers came and went in %v", took)
	}
}

// Only nodes that this one has dialled, or trusts, are asked first.
func TestWhoIsAskedFirst(t *testing.T) {
	for _, c := range []struct {
		kind     connectionKind
		trusted  bool
		services uint64
		want     bool
	}{
		{kindOutbound, false, serviceNetwork | serviceWitness, true},
		{kindManual, false, serviceNetworkLimited | serviceWitness, true},
		{kindManual, false, serviceWitness, false},
		{kindInbound, false, serviceNetwork | serviceWitness, false},
		{kindInbound, true, serviceNetwork | serviceWitness, true},
		{kindInbound, true, serviceWitness, false},
	} {
		p := &peer{kind: c.kind, trusted: c.trusted, services: c.services}
		if p.isPreferred() != c.want {
			t.Errorf("%s (trusted: %v) with services %d: %v", c.kind, c.trusted, c.services, !c.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 2, s)
		out := w.choose(s, kindOutbound, "203.0.113.1:1")
		out.welcome(serviceNetwork | serviceWitness)
		out.hear(cmdVerack)
		start := time.Now()
		out.say(inv(spend(coins[0], 1000)))
		out.hear(cmdGetData)
		if took := time.Since(start); took > time.Second {
			t.Errorf("asked after %v", took)
		}
		in := w.call(s, "198.51.100.1:1")
		in.shake(ProtocolVersion)
		start = time.Now()
		in.say(inv(spend(coins[1], 1000)))
		in.hear(cmdGetData)
		if took := time.Since(start); took < txrequest.NonPreferredDelay {
			t.Errorf("an inbound peer is asked after %v", took)
		}
	})
}
