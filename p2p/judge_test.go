package p2p

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
)

// crowdedLedger takes its time, and counts how many blocks it is given at once.
type crowdedLedger struct {
	*chain.Chain
	pause time.Duration

	mu   sync.Mutex // guards what follows
	most int
}

func (c *crowdedLedger) SubmitHashed(b ...consensus.HashedBlock) []chain.Verdict {
	c.count(len(b))
	return c.Chain.SubmitHashed(b...)
}

func (c *crowdedLedger) SubmitChecked(b ...*consensus.CheckedBlock) []chain.Verdict {
	c.count(len(b))
	return c.Chain.SubmitChecked(b...)
}

func (c *crowdedLedger) count(n int) {
	c.mu.Lock()
	c.most = max(c.most, n)
	c.mu.Unlock()
	time.Sleep(c.pause) // virtual
}

// The blocks of one peer are with the ledger together, however long that takes;
// nobody else is asked for them meanwhile, and what the peer says after them is
// heard after they are judged.
func TestBlocksAreJudgedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ledger := &crowdedLedger{pause: 3 * moveTimeout}
		s := w.add("s", func(c *Config) { ledger.Chain = c.Chain.(*chain.Chain); c.Chain = ledger })
		blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, blocksInFlight)
		a, other := w.call(s, "203.0.113.1:1"), w.call(s, "203.0.113.2:1")
		a.shake(ProtocolVersion)
		other.shake(ProtocolVersion)
		a.answerHeaders(headersOf(blocks))
		if got := a.hear(cmdGetData).(*msgInv); len(got.items) != len(blocks) {
			t.Fatalf("asked for %d blocks", len(got.items))
		}
		other.say(headersOf(blocks))
		start := time.Now()
		for _, b := range slices.Backward(blocks) {
			a.say(msgBlock{b})
		}
		a.stillThere()
		if s.ledger.Tip().Hash != blocks[len(blocks)-1].Header.Hash() || time.Since(start) < ledger.pause {
			t.Errorf("heard after %v at height %d", time.Since(start), s.ledger.Tip().Height)
		}
		if ledger.most < len(blocks)/2 { // some at first, and then all others
			t.Errorf("at most %d blocks were with the ledger", ledger.most)
		}
		other.stillThere()
		if slices.ContainsFunc(other.unheard, func(m message) bool { return m.command() == cmdGetData }) {
			t.Error("the other one was asked for what had come")
		}
	})
}

// An invalid block is punished as such, also if a child of it comes with it, and
// if the peer hangs up at once.
func TestVerdictsComeInOrder(t *testing.T) {
	for _, hangUp := range []bool{false, true} {
		t.Run(fmt.Sprint(hangUp), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				ledger := &crowdedLedger{pause: time.Second}
				s := w.add("s", func(c *Config) { ledger.Chain = c.Chain.(*chain.Chain); c.Chain = ledger })
				blocks := mine(w.spec, w.spec.Rules.GenesisState(), 1, 2)
				bad := mineOn(w.spec, w.spec.Rules.NextState(w.spec.Rules.NextState(w.spec.Rules.GenesisState(), &blocks[0].Header), &blocks[1].Header), 1)
				bad.Txs[0].Out[0].Value++
				bad.Seal()
				work(w.spec, bad)
				state := w.spec.Rules.GenesisState()
				for _, b := range append(blocks, bad) {
					state = w.spec.Rules.NextState(state, &b.Header)
				}
				all := slices.Concat(blocks, []*consensus.Block{bad}, mine(w.spec, state, 1, 5))
				a := w.call(s, "203.0.113.1:1")
				a.shake(ProtocolVersion)
				a.answerHeaders(headersOf(all))
				a.hear(cmdGetData)
				for _, b := range all {
					a.say(msgBlock{b})
				}
				if hangUp {
					time.Sleep(ledger.pause / 2) // virtual: what was said arrives
					_ = a.Close("")
				}
				w.until("gone", func() bool { return len(s.Peers()) == 0 })
				if !s.bans.banned(hostOfString("203.0.113.1:1")) {
					t.Error("not banned")
				}
				w.until("the good ones are there", func() bool { return s.ledger.Tip().Height == 2 })
			})
		})
	}
}

// A block that takes much more memory than its encoding counts as that.
func TestMemoryOfJudgedBlocks(t *testing.T) {
	b := &consensus.Block{Txs: []*consensus.Tx{plainTx(1)}}
	b.Txs[0].In[0].Witness = make([][]byte, 100_000)
	if got := memoryOf(b); got < 24*100_000 {
		t.Errorf("%d bytes", got)
	}
	b.Txs[0].In[0].Witness = make([][]byte, 3_900_000)
	if got := memoryOf(b); got != maxJudged {
		t.Errorf("%d bytes are more than there may be", got)
	}
}

// As many blocks as fit are judged at a time; the reader waits with the next.
func TestJudgedBlocksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ledger := &crowdedLedger{pause: time.Minute}
		s := w.add("s", func(c *Config) { ledger.Chain = c.Chain.(*chain.Chain); c.Chain = ledger })
		var txs []*consensus.Tx
		state := w.spec.Rules.GenesisState()
		heavy := plainTx(1)
		heavy.In[0].Witness = make([][]byte, 199_000) // 5 MB, and not yet a large message
		txs = append(txs, heavy)
		var blocks []*consensus.Block
		for range 10 {
			b := mineOn(w.spec, state, 1, txs...)
			blocks = append(blocks, b)
			state = w.spec.Rules.NextState(state, &b.Header)
		}
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.answerHeaders(headersOf(blocks))
		a.hear(cmdGetData)
		for _, b := range slices.Backward(blocks) { // they are invalid, and wait for the first to show it
			a.say(msgBlock{b})
		}
		time.Sleep(10 * time.Second) // virtual
		room := int(maxJudged / memoryOf(blocks[0]))
		s.sync.mu.Lock()
		come := 0
		for _, r := range s.sync.requests {
			if r.here {
				come++
			}
		}
		s.sync.mu.Unlock()
		if come != room+1 || come >= len(blocks) { // one is in the hands of the reader
			t.Errorf("%d blocks are being judged, there is room for %d", come, room)
		}
		a.isCut()
	})
}
