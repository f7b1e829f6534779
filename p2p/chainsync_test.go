package p2p

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A chosen peer that shows no chain as good as the tip loses its place, but not
// before it was asked, and not if it shows the tip then, or catches up later.
func TestOutdatedPeers(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   connectionKind
		shows  int // how many of two blocks, once it is asked; -1 for none, and no answer
		stays  bool
		called bool // it is asked before its time is over
	}{
		{"it has nothing", kindOutbound, 0, false, true},
		{"it says nothing", kindBlocks, -1, false, true},
		{"it has a part", kindBlocks, 1, false, true},
		{"it has the tip", kindOutbound, 2, true, true},
		{"the operator wants it", kindManual, 0, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := w.add("s", nil)
				a := w.choose(s, c.kind, culprit)
				a.welcome(serviceNetwork | serviceWitness)
				blocks := mine(w.spec, s.ledger.Tip(), 1, 2)
				begun, asked := time.Now(), make(chan time.Duration, 10)
				go func() {
					for {
						command, payload, err := a.ReadMessage()
						switch {
						case err != nil:
							return
						case command == cmdPing:
							_ = a.WriteMessage(cmdPong, payload)
						case command == cmdGetHeaders && time.Since(begun) < time.Minute: // as every new peer is
							a.tell(msgHeaders{})
						case command == cmdGetHeaders:
							asked <- time.Since(begun)
							if c.shows >= 0 {
								a.tell(headersOf(blocks[:c.shows]))
							}
						}
					}
				}()
				w.until("it is here", func() bool { return s.count(c.kind) == 1 })
				for _, v := range s.ledger.SubmitBlocks(blocks...) { // as one: the time begins with the tip that is the second
					if v.Err != nil {
						t.Fatal(v.Err)
					}
				}
				time.Sleep(catchUpTime - time.Second) // virtual
				if s.count(c.kind) != 1 || len(asked) > 0 {
					t.Fatalf("%d peers, of whom %d were asked, before the time is over", s.count(c.kind), len(asked))
				}
				time.Sleep(time.Minute)
				if got := len(asked) > 0; got != c.called || s.count(c.kind) != 1 {
					t.Fatalf("asked: %v, want %v; %d peers", got, c.called, s.count(c.kind))
				}
				time.Sleep(answerTime)
				if stays := s.count(c.kind) == 1; stays != c.stays {
					t.Errorf("stays: %v, want %v", stays, c.stays)
				}
			})
		})
	}
}

// Who follows the tip some blocks behind gets new time with each step, and four
// full-relay peers that once had the tip stay however far they fall behind.
func TestSlowAndProtectedPeersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := mine(w.spec, s.ledger.Tip(), 1, 10)
		var once []*actor
		for i := range maxProtected + 2 {
			kind := kindOutbound
			if i == 0 {
				kind = kindBlocks
			}
			a := w.choose(s, kind, fmt.Sprintf("%d.1.1.1:1", 20+i))
			a.welcome(serviceNetwork | serviceWitness)
			once = append(once, a)
		}
		slow := w.choose(s, kindBlocks, culprit)
		slow.welcome(serviceNetwork | serviceWitness)
		for _, a := range append(once, slow) {
			go a.listenTo()
		}
		w.until("all are here", func() bool { _, out := s.ConnectionCount(); return out == len(once)+1 })
		s.feed(blocks[0])
		for _, a := range once {
			a.say(headersOf(blocks[:1]))
		}
		time.Sleep(2 * syncTick) // virtual
		for i := 1; i < len(blocks); i++ {
			s.feed(blocks[i])
			time.Sleep(catchUpTime / 3) // virtual
			slow.say(headersOf(blocks[:i]))
		}
		synctest.Wait()
		if full, blocksOnly := s.count(kindOutbound), s.count(kindBlocks); full != maxProtected || blocksOnly != 1 {
			t.Errorf("%d full-relay and %d block-relay-only peers are left, want %d and 1", full, blocksOnly, maxProtected)
		}
	})
}
