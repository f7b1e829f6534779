package orphanage

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"lode/consensus"
)

// made makes an orphan that spends outputs, and weighs as much as it can or as
// asked for. number tells it from others.
func made(number int, weight int, spends ...consensus.OutPoint) Orphan {
	tx := &consensus.Tx{Version: 2, Out: []consensus.TxOut{{Script: []byte{0x6a, 0, 0, 0}}}}
	binary.LittleEndian.PutUint32(tx.Out[0].Script, uint32(number))
	for _, coin := range spends {
		tx.In = append(tx.In, consensus.TxIn{PrevOut: coin, Witness: [][]byte{make([]byte, 64)}})
	}
	if lack := weight - tx.Weight(); lack > 3 {
		tx.In[0].Witness = append(tx.In[0].Witness, make([]byte, lack-3-2)) // an annex; its length takes up to 5 bytes
	}
	return Orphan{tx, tx.TxID(), tx.WTxID()}
}

func coin(parent byte, index int) consensus.OutPoint {
	return consensus.OutPoint{TxID: consensus.Hash{1, parent}, Index: uint32(index)}
}

type story struct {
	*Orphanage[string]
	t testing.TB
}

func newStory(t testing.TB) *story {
	return &story{New[string](rand.New(rand.NewPCG(1, 2))), t}
}

func (s *story) add(peer string, txs ...Orphan) {
	s.t.Helper()
	for _, tx := range txs {
		if !s.Add(peer, tx) {
			s.t.Fatalf("%s cannot add one", peer)
		}
		s.check()
	}
}

func (s *story) check() {
	s.t.Helper()
	if err := s.Check(); err != nil {
		s.t.Fatal(err)
	}
}

// holds checks which orphans are there.
func (s *story) holds(want ...Orphan) {
	s.t.Helper()
	s.check()
	for i, tx := range want {
		if _, ok := s.Get(tx.WTxID); !ok {
			s.t.Errorf("orphan %d is not there", i)
		}
	}
	if s.Len() != len(want) {
		s.t.Errorf("%d orphans, want %d", s.Len(), len(want))
	}
}

// turns takes all that is ready.
func (s *story) turns() (list []consensus.Hash) {
	for tx, ok := s.NextReady(); ok; tx, ok = s.NextReady() {
		list = append(list, tx.WTxID)
		s.check()
	}
	return list
}

func TestOrphanEndsWithItsLastAnnouncer(t *testing.T) {
	s := newStory(t)
	shared, own := made(1, 0, coin(1, 0)), made(2, 0, coin(1, 1))
	s.add("a", shared, own)
	s.add("b", shared)
	if s.Add("b", shared) || !slices.Equal(s.Announcers(shared.WTxID), []string{"a", "b"}) {
		t.Errorf("announced by %q", s.Announcers(shared.WTxID))
	}
	s.Disconnect("a")
	s.holds(shared)
	if s.AnnouncedBy("a", shared.WTxID) || !s.AnnouncedBy("b", shared.WTxID) {
		t.Errorf("announced by %q", s.Announcers(shared.WTxID))
	}
	s.Disconnect("b")
	s.Disconnect("b")
	s.holds()
	if s.Weight() != 0 || len(s.spenders) != 0 || len(s.peers) != 0 {
		t.Error("something is left")
	}
}

func TestTwoWitnessesOfOneTransaction(t *testing.T) {
	s := newStory(t)
	good := made(1, 0, coin(1, 0))
	bad := made(1, 500, coin(1, 0))
	if good.TxID != bad.TxID || good.WTxID == bad.WTxID {
		t.Fatal("no such pair")
	}
	s.add("liar", bad)
	s.add("honest", good)
	s.holds(good, bad)
	s.ParentCame(coin(1, 0).TxID, 1)
	if got := s.turns(); len(got) != 2 {
		t.Errorf("%d are tried", len(got))
	}
	s.Remove(bad.WTxID)
	s.holds(good)
}

func TestWeightOfOneOrphan(t *testing.T) {
	s := newStory(t)
	heavy := made(1, MaxWeight+1, coin(1, 0))
	if heavy.Tx.Weight() != MaxWeight+1 {
		t.Fatalf("weighs %d", heavy.Tx.Weight())
	}
	if s.Add("a", heavy) {
		t.Error("one that is too heavy is kept")
	}
	s.holds()
	s.add("a", made(2, MaxWeight, coin(1, 0)))
}

// A peer that floods loses its own, and nobody else any.
func TestAFloodCostsOthersNothing(t *testing.T) {
	for _, weight := range []int{0, 100_000} {
		s := newStory(t)
		child := made(1, MaxWeight, coin(1, 0))
		s.add("honest", child)
		var flood []Orphan
		for i := range 2*MaxScore/(1+weight/1000) + 10 {
			flood = append(flood, made(2+i, weight, coin(2, i)))
			s.Add("liar", flood[i])
		}
		s.check()
		if _, ok := s.Get(child.WTxID); !ok {
			t.Error("the honest peer's orphan is gone")
		}
		if _, ok := s.Get(flood[0].WTxID); ok || s.Len() < 4 {
			t.Errorf("the oldest was not the first to go, of which %d are left", s.Len())
		}
		// What others use of their share is the flood's while they do not need it.
		if left := 2*ReservedWeight - s.Weight(); left > max(weight, 1000) {
			t.Errorf("%d weight units are left unused", left)
		}
		// Many peers, each within its share, push the flood out.
		for i := range 29 {
			s.Add(string(rune('b'+i)), flood[i])
			s.check()
		}
		if len(s.Announcers(child.WTxID)) != 1 {
			t.Error("the honest peer's orphan is gone")
		}
	}
}

// A peer that announces what others have sent uses its own share for that.
func TestAnnouncementsCount(t *testing.T) {
	s := newStory(t)
	var txs []Orphan
	for i := range MaxScore / 2 {
		txs = append(txs, made(i, 0, coin(1, i)))
	}
	s.add("honest", txs[:100]...)
	for _, tx := range txs {
		s.Add("a", tx)
		s.Add("b", tx)
	}
	s.check()
	for _, tx := range txs[:100] {
		if !s.AnnouncedBy("honest", tx.WTxID) {
			t.Fatal("the announcement of a peer within its share is gone")
		}
	}
}

// What is about to be tried goes last.
func TestReadyOrphansAreEvictedLast(t *testing.T) {
	s := newStory(t)
	first := made(0, 0, coin(1, 0))
	s.add("liar", first)
	s.ParentCame(coin(1, 0).TxID, 1)
	for i := range MaxScore {
		s.Add("liar", made(1+i, 0, coin(2, i)))
	}
	s.check()
	if _, ok := s.Get(first.WTxID); !ok || !slices.Equal(s.turns(), []consensus.Hash{first.WTxID}) {
		t.Error("the one that is ready is gone")
	}
	s.Add("liar", made(MaxScore+1, 0, coin(2, MaxScore)))
	if _, ok := s.Get(first.WTxID); ok {
		t.Error("it is not the oldest again")
	}
}

// Peers take turns, and whoever leaves does not take his turn with him.
func TestTurns(t *testing.T) {
	s := newStory(t)
	for i := range 1000 {
		s.Add("liar", made(i, 0, coin(1, i)))
	}
	child := made(1000, 0, coin(1, 0))
	s.add("honest", child)
	s.ParentCame(coin(1, 0).TxID, 1000)
	first, _ := s.NextReady()
	second, _ := s.NextReady()
	if first.WTxID != child.WTxID && second.WTxID != child.WTxID {
		t.Error("an honest peer waits for all of another")
	}
	if got := s.turns(); len(got) != 999 {
		t.Errorf("%d were ready besides", len(got))
	}
	if len(s.turns()) > 0 {
		t.Error("twice, without a reason")
	}

	s = newStory(t)
	s.add("a", child)
	s.add("b", child)
	s.Retry(child.WTxID)
	turn := s.orphans[child.WTxID].turn.peer.key
	s.Disconnect(turn)
	s.check()
	if got := s.turns(); len(got) != 1 {
		t.Errorf("the turn of %s is gone with it", turn)
	}
	s.RetryAll()
	if got := s.turns(); len(got) != 1 {
		t.Errorf("%d of all", len(got))
	}
}

func TestBlockEndsOrphansAndTheirWait(t *testing.T) {
	s := newStory(t)
	parent := made(9, 0, coin(9, 0), coin(9, 1))
	same, conflict := parent, made(1, 0, coin(9, 1), coin(9, 2))
	child := made(2, 0, consensus.OutPoint{TxID: parent.TxID}, coin(3, 0))
	other := made(3, 0, coin(4, 0))
	s.add("a", same, conflict, child, other)
	s.Confirmed(parent.Tx, parent.TxID)
	s.holds(child, other)
	if got := s.turns(); !slices.Equal(got, []consensus.Hash{child.WTxID}) {
		t.Errorf("tried again: %v", got)
	}
}

func TestChildrenOfOnePeer(t *testing.T) {
	s := newStory(t)
	parent := coin(1, 0).TxID
	old, young := made(1, 0, coin(1, 0), coin(1, 1)), made(2, 0, coin(1, 0))
	s.add("a", old)
	s.add("b", young, made(3, 0, coin(1, 1)), made(4, 0, coin(2, 0)))
	s.add("a", young)
	got := s.Children("a", parent, 2)
	if len(got) != 2 || got[0].WTxID != young.WTxID || got[1].WTxID != old.WTxID {
		t.Errorf("%d children", len(got))
	}
	if got := s.Children("a", parent, 0); len(got) != 0 {
		t.Error("of outputs that there are not")
	}
	if got := s.Children("c", parent, 2); len(got) != 0 {
		t.Error("of a peer that has none")
	}
}

// A peer that holds all that it can, with inputs that all spend the same, is
// forgotten as fast as another.
func BenchmarkDisconnect(b *testing.B) {
	var spends []consensus.OutPoint
	for i := range 9 {
		spends = append(spends, coin(1, i))
	}
	var txs []Orphan
	for i := range 300 {
		txs = append(txs, made(i, 0, spends...))
	}
	o := New[int](rand.New(rand.NewPCG(1, 2)))
	for b.Loop() {
		for _, tx := range txs {
			o.Add(1, tx)
		}
		o.Disconnect(1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(txs)), "ns/orphan")
}
