package p2p

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// withholders connect as inbound peers, announce what tell says, and never send a
// block.
func (w *world) withholders(s *station, count int) (list []*actor) {
	for i := range count {
		a := w.compactActor(s, fmt.Sprintf("203.0.%d.1:1", i), false)
		a.hear(cmdGetHeaders)
		list = append(list, a)
		go a.listenTo()
	}
	return list
}

// giver is an actor that sends blocks whole when it is asked.
func (w *world) giver(s *station, kind connectionKind, compact bool) *actor {
	a := w.callAs(s, kind, "198.51.100.1:1")
	a.shake(ProtocolVersion)
	if compact {
		a.say(msgSendCmpct{false, compactVersion})
	}
	a.hear(cmdGetHeaders)
	return a
}

// give sends the blocks that are asked for, until one of them has been sent.
func (a *actor) give(blocks ...*consensus.Block) {
	for {
		m, ok := a.hear(cmdGetData).(*msgInv)
		if !ok {
			return
		}
		for _, item := range m.items {
			for _, b := range blocks {
				if b.Header.Hash() == item.hash {
					a.tell(msgBlock{b})
					if b == blocks[len(blocks)-1] {
						return
					}
				}
			}
		}
	}
}

// 40 peers announce a block first and never send it: whoever has it is asked soon,
// by whatever way it is connected, and those who withheld one block delay the next
// one less.
func TestWhoAnnouncesFirstCannotSilenceOthers(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     connectionKind
		compact  bool
		missing  int // blocks, the last of which is announced
		at, next time.Duration
	}{
		{"dialled", kindManual, false, 1, tipPatience, tipPatience},
		{"dialled, compact", kindManual, true, 1, tipPatience, tipPatience},
		{"inbound", kindInbound, false, 1, 3 * time.Second, tipInterval}, // all have withheld the first one
		{"dialled, three blocks", kindManual, false, 3, tipPatience, tipPatience},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add("s", nil)
				liars := w.withholders(s, 40)
				honest := w.giver(s, c.kind, c.compact)
				for i, want := range []time.Duration{c.at, c.next} {
					blocks := mine(w.spec, s.ledger.Tip(), byte(i), c.missing)
					for _, a := range liars {
						a.tell(headersOf(blocks))
					}
					synctest.Wait()
					time.Sleep(100 * time.Millisecond) // virtual
					honest.say(headersOf(blocks))
					start := time.Now()
					go honest.give(blocks...)
					took := w.agree(blocks[len(blocks)-1].Header.Hash(), s)
					t.Logf("block %d after %v", i, took)
					if limit := want + 2*time.Duration(c.missing)*(2*w.latency) + 50*time.Millisecond; took > limit || time.Since(start) > limit {
						t.Errorf("block %d took %v, want at most %v", i, took, limit)
					}
					time.Sleep(2 * tipPatience) // virtual
				}
			})
		})
	}
}

// They may send compact forms too, and keep what is missing of them to themselves. A
// peer that is to send blocks unasked is asked for that at once.
func TestCompactBlocksComeThoughOthersAreAsked(t *testing.T) {
	for name, announce := range map[string]func(t *testing.T, b *consensus.Block) message{
		"headers": func(_ *testing.T, b *consensus.Block) message { return msgHeaders{b.Header} },
		"compact": func(t *testing.T, b *consensus.Block) message { return compact(t, b) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add("s", nil)
				coins := rich(w, 2, s)
				liars := w.withholders(s, 40)
				honest := w.compactActor(s, "198.51.100.1:1", false)
				for i, coin := range coins {
					block := s.spendingBlock(w.spec, byte(i), coin)
					if i > 0 { // honest was the first to send the last one
						for _, a := range liars {
							a.tell(announce(t, block))
						}
						time.Sleep(100 * time.Millisecond) // virtual
					}
					start := time.Now()
					honest.say(compact(t, block))
					honest.hear(cmdGetBlockTxn)
					honest.say(&msgBlockTxn{block.Header.Hash(), block.Txs[1:]})
					w.agree(block.Header.Hash(), s)
					if took := time.Since(start); took > 200*time.Millisecond {
						t.Errorf("block %d took %v", i, took)
					}
					if i == 0 && !honest.hear(cmdSendCmpct).(msgSendCmpct).highBandwidth {
						t.Error("it is not to send blocks unasked")
					}
				}
			})
		})
	}
}

// Whoever sends parts that do not fit is asked for the whole block; parts again are
// against the protocol.
func TestSecondPartsThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		block := s.spendingBlock(w.spec, 1, rich(w, 2, s)...)
		hash := block.Header.Hash()
		wrong := &msgBlockTxn{hash, []*consensus.Tx{block.Txs[2], block.Txs[1]}}
		honest, liar := w.compactActor(s, "203.0.113.2:1", false), w.compactActor(s, "203.0.113.1:1", false)
		liar.say(compact(t, block))
		liar.hear(cmdGetBlockTxn)
		liar.say(wrong)
		liar.hear(cmdGetData)
		liar.say(&msgBlockTxn{hash, block.Txs[1:]})
		liar.isCut()
		honest.say(msgBlock{block})
		w.agree(hash, s)
		honest.say(&msgBlockTxn{hash, block.Txs[1:]}) // that nobody asked for, but it never was wrong
		honest.stillThere()
	})
}
