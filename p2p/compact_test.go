package p2p

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lode/consensus"
	"lode/internal/clock"
)

// The key and the input of the reference implementation's test, and its answer
// for 32 bytes.
func TestSipHash(t *testing.T) {
	var h consensus.Hash
	for i := range h {
		h[i] = byte(i)
	}
	if got := (sipKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}).hash(&h); got != 0x7127512f72f27cce {
		t.Errorf("%#x", got)
	}
}

// plainTx is a transaction that is nothing but different from others.
func plainTx(number int) *consensus.Tx {
	in := consensus.TxIn{PrevOut: consensus.OutPoint{Index: uint32(number)}, Witness: [][]byte{binary.LittleEndian.AppendUint64(nil, uint64(number))}}
	return &consensus.Tx{Version: 2, In: []consensus.TxIn{in}, Out: []consensus.TxOut{{Value: 1}}}
}

// Whatever part of a block is sent along, and whatever part of the rest is there
// among other transactions, the block comes out as it was.
func TestBlocksArePutTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		block := &consensus.Block{Header: consensus.Header{Version: 1, Nonce: rapid.Uint32().Draw(t, "nonce")}}
		for i := range rapid.IntRange(1, 60).Draw(t, "size") {
			block.Txs = append(block.Txs, plainTx(i))
		}
		key := rapid.Uint64().Draw(t, "key")
		m := &msgCmpctBlock{header: block.Header, nonce: key}
		var want []uint16
		var here []*consensus.Tx
		for i, tx := range block.Txs {
			wtxid := tx.WTxID()
			where := rapid.IntRange(0, 2).Draw(t, "where")
			if where == 0 {
				m.prefilled = append(m.prefilled, placedTx{uint16(i), tx})
				continue
			}
			m.shortIDs = append(m.shortIDs, shortIDKey(&m.header, key).shortID(&wtxid))
			if where == 1 {
				here = append(here, tx)
			} else {
				want = append(want, uint16(i))
			}
		}
		for i := range rapid.IntRange(0, 20).Draw(t, "others") {
			here = append(here, plainTx(1000+i))
		}
		got, err := decodeMessage(cmdCmpctBlock, m.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		b, ok := newPartial(got.(*msgCmpctBlock))
		if !ok {
			t.Fatal("two short ids are the same")
		}
		for _, tx := range rapid.Permutation(append(here, here...)).Draw(t, "offered") {
			b.offer(tx.WTxID(), tx)
		}
		missing := b.missing()
		if !slices.Equal(missing, want) {
			t.Fatalf("missing %v, want %v", missing, want)
		}
		var rest []*consensus.Tx
		for _, at := range missing {
			rest = append(rest, block.Txs[at])
		}
		if _, ok := b.complete(append(rest, plainTx(0))); ok {
			t.Error("a transaction too many was taken")
		}
		if len(rest) > 0 {
			if _, ok := b.complete(rest[1:]); ok {
				t.Error("a transaction too few was taken")
			}
		}
		whole, ok := b.complete(rest)
		if !ok || !slices.Equal(whole.Bytes(), block.Bytes()) {
			t.Error("another block came out")
		}
	})
}

// FuzzPartialBlock puts blocks together from whatever a stranger sends: the parts
// of one message and the transactions of another.
func FuzzPartialBlock(f *testing.F) {
	for _, m := range samples(f) {
		if c, ok := m.(*msgCmpctBlock); ok {
			f.Add(c.append(nil), (&msgBlockTxn{txs: []*consensus.Tx{plainTx(1)}}).append(nil))
		}
	}
	block := &consensus.Block{Txs: []*consensus.Tx{plainTx(0), plainTx(1), plainTx(2)}}
	m, _ := compactOf(block, 1)
	f.Add(m.append(nil), (&msgBlockTxn{txs: block.Txs[1:]}).append(nil))
	f.Fuzz(func(t *testing.T, compact, rest []byte) {
		m, err := decodeMessage(cmdCmpctBlock, compact)
		if err != nil {
			return
		}
		c := m.(*msgCmpctBlock)
		b, ok := newPartial(c)
		if !ok {
			return
		}
		for _, p := range c.prefilled {
			b.offer(p.tx.WTxID(), p.tx)
		}
		missing := b.missing()
		if len(missing) > len(c.shortIDs) {
			t.Fatalf("%d missing of %d", len(missing), len(c.shortIDs))
		}
		m, err = decodeMessage(cmdBlockTxn, rest)
		if err != nil {
			return
		}
		whole, ok := b.complete(m.(*msgBlockTxn).txs)
		if ok != (len(missing) == len(m.(*msgBlockTxn).txs)) {
			t.Fatalf("%d missing, %d came", len(missing), len(m.(*msgBlockTxn).txs))
		}
		if !ok {
			return
		}
		for _, p := range c.prefilled {
			if whole.Txs[p.index] != p.tx {
				t.Fatal("a transaction is not where it was said to be")
			}
		}
		if slices.Contains(whole.Txs, nil) {
			t.Fatal("a block with a hole")
		}
	})
}

func TestShortIDCollisions(t *testing.T) {
	block := &consensus.Block{Txs: []*consensus.Tx{plainTx(0), plainTx(1), plainTx(2)}}
	m, _ := compactOf(block, 1)
	m.shortIDs[1] = m.shortIDs[0]
	if _, ok := newPartial(m); ok {
		t.Error("a block with the same short id twice was begun")
	}
	m, _ = compactOf(block, 1)
	b, _ := newPartial(m)
	// Two transactions of the pool for one place: as if their ids were the same.
	other := plainTx(3).WTxID()
	b.places[b.key.shortID(&other)] = 1
	b.offer(block.Txs[1].WTxID(), block.Txs[1])
	b.offer(other, plainTx(3))
	b.offer(block.Txs[2].WTxID(), block.Txs[2])
	if got := b.missing(); !slices.Equal(got, []uint16{1}) {
		t.Errorf("missing %v", got)
	}
}

func TestTooManyForACompactBlock(t *testing.T) {
	for _, n := range []int{0, maxBlockTxs + 1} {
		if _, ok := compactOf(&consensus.Block{Txs: make([]*consensus.Tx, n)}, 1); ok {
			t.Errorf("a block of %d transactions", n)
		}
	}
}

// The last three that gave a new tip are preferred. One of them is always a peer
// that this node chose.
func TestPreferredPeers(t *testing.T) {
	s := newSyncer(clock.New(nil).Wall)
	var peers []*peer
	for i := range 6 {
		p := &peer{id: int64(i), kind: kindInbound}
		if i == 0 {
			p.kind = kindOutbound
		}
		s.peers[p] = struct{}{}
		peers = append(peers, p)
	}
	prefer := func(i int, wantAdded bool, wantOut *peer) {
		t.Helper()
		if added, out := s.prefer(peers[i]); added != wantAdded || out != wantOut {
			t.Errorf("%d: added %v, out %v", i, added, out)
		}
	}
	prefer(0, true, nil)
	prefer(1, true, nil)
	prefer(2, true, nil)
	prefer(3, true, peers[1])
	prefer(2, false, nil)
	prefer(4, true, peers[3])
	prefer(0, false, nil)
	prefer(5, true, peers[2])
	s.remove(peers[0])
	if len(s.fast) != 2 {
		t.Errorf("%d are preferred", len(s.fast))
	}
	s.peers[peers[0]] = struct{}{}
	prefer(0, true, nil)
}

// However long a peer takes for its pongs, a push is awaited only for so long
// before that peer is asked.
func TestPushIsNotAwaitedForLong(t *testing.T) {
	s, now := newSyncer(clock.New(nil).Wall), time.Now()
	late, slow := &peer{kind: kindInbound}, &peer{kind: kindInbound}
	slow.stats.minPing = pongTimeout
	s.fast, s.grew = []*peer{late}, now
	s.most.work.SetUint64(1)
	if wait := s.awaitPush(slow, s.most.hash, now); wait != maxPushWait {
		t.Errorf("a push is awaited for %v, want %v", wait, maxPushWait)
	}
	if wait := s.awaitPush(late, s.most.hash, now); wait != 0 {
		t.Errorf("without a ping, a push is awaited for %v", wait)
	}
}

// A preferred peer whose compact blocks come too late again and again loses its
// place, but for the last two and the last that this node chose.
func TestLatePeers(t *testing.T) {
	s, hash := newSyncer(clock.New(nil).Wall), consensus.Hash{1}
	var peers []*peer
	for i := range 3 {
		p := &peer{id: int64(i), kind: kindInbound, sync: peerSync{blocks: map[consensus.Hash]time.Time{}}}
		if i == 0 {
			p.kind = kindOutbound
		}
		s.peers[p] = struct{}{}
		peers = append(peers, p)
		s.prefer(p)
	}
	late := func(i, times int) (demoted bool) {
		for range times {
			demoted = s.cameLate(peers[i], hash)
		}
		return demoted
	}
	if late(0, 2*maxLate) {
		t.Error("the last that this node chose lost its place")
	}
	if late(1, maxLate-1) {
		t.Error("one lost its place too early")
	}
	s.prefer(peers[1])
	if late(1, maxLate-1) {
		t.Error("being the first did not count")
	}
	peers[1].sync.blocks[hash] = time.Now()
	if late(1, 1) {
		t.Error("one lost its place for what it was asked for")
	}
	delete(peers[1].sync.blocks, hash)
	if !late(1, 1) || slices.Contains(s.fast, peers[1]) {
		t.Error("one kept its place")
	}
	if late(2, 2*maxLate) || len(s.fast) != minFast {
		t.Error("one of the last two lost its place")
	}
	s.prefer(peers[1])
	peers[1].flags.fast = true // each prefers the other
	if !late(1, mutualLate) {
		t.Error("a block that crosses a link twice costs nothing")
	}
}
