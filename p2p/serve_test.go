package p2p

import (
	"testing"
	"testing/synctest"

	"lode/consensus"
)

// A peer that asks by getblocks, as old ones do, hears of the rest when it has got
// the last block that the answer names.
func TestGetBlocksGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := longChain(t, maxBlocksInv+100)
		s.feed(blocks...)
		a := w.call(s, "203.0.113.1:1")
		a.shake(minProtocolVersion)
		ask := func(after consensus.Hash) []invItem {
			a.say(&msgLocate{cmdGetBlocks, minProtocolVersion, []consensus.Hash{after}, consensus.Hash{}})
			return a.hear(cmdInv).(*msgInv).items
		}
		first := ask(w.spec.Rules.GenesisHash())
		if len(first) != maxBlocksInv || first[499].hash != blocks[499].Header.Hash() {
			t.Fatalf("%d blocks are named", len(first))
		}
		a.say(&msgInv{cmdGetData, first[499:]})
		a.hear(cmdBlock)
		tip := s.ledger.Tip().Hash
		if got := a.hear(cmdInv).(*msgInv); len(got.items) != 1 || got.items[0] != (invItem{invBlock, tip}) {
			t.Errorf("after the last block: %v", got.items)
		}
		if rest := ask(first[499].hash); len(rest) != 100 || rest[99].hash != tip {
			t.Errorf("then %d blocks", len(rest))
		}
		a.say(&msgInv{cmdGetData, []invItem{{invBlock, tip}, first[499]}})
		if !a.silentOn(cmdInv) {
			t.Error("told again")
		}
	})
}

// A node whose chain has less work than the network's is known to have answers
// getheaders with none, but to a peer with the download permission: what it has may be
// somebody's who wants to waste others' time.
func TestNoHeadersBelowTheLeastWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.spec = needing(w.spec, 3) // genesis included
		blocks := longChain(t, 2)
		s := w.add("s", func(c *Config) {
			g, err := ParseGrant("download@198.51.0.0/16", 0)
			if err != nil {
				t.Fatal(err)
			}
			c.Grants = []Grant{g}
		})
		s.feed(blocks[0])
		friend, other := w.call(s, "198.51.1.1:1"), w.call(s, "203.0.113.1:1")
		friend.shake(ProtocolVersion)
		other.shake(ProtocolVersion)
		ask := func(a *actor, want int) {
			t.Helper()
			a.say(&msgLocate{cmdGetHeaders, ProtocolVersion, []consensus.Hash{w.spec.Rules.GenesisHash()}, consensus.Hash{}})
			if got := a.hear(cmdHeaders).(msgHeaders); len(got) != want {
				t.Errorf("%d headers, want %d", len(got), want)
			}
		}
		ask(other, 0)
		ask(friend, 1)
		s.feed(blocks[1])
		ask(other, 2)
	})
}

// A pong comes behind all that was asked for before the ping, what is missing included,
// though the answers have to wait for their turn.
func TestPongComesBehindTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		blocks := longChain(t, 40)
		s.feed(blocks...)
		a := w.call(s, "203.0.113.1:1")
		a.shake(ProtocolVersion)
		a.stillThere()
		items := []invItem{{invTx, consensus.Hash{1}}}
		for i := range 20 {
			items = append(items, invItem{invBlock | invWitness, blocks[i].Header.Hash()})
		}
		a.say(&msgInv{cmdGetData, items})
		a.say(msgPing(1))
		a.say(&msgInv{cmdGetData, items[:5]})
		a.say(msgPing(2))
		var got []string
		for n := 0; n < 2; {
			command, payload, err := a.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			switch command {
			case cmdBlock, cmdNotFound:
				got = append(got, command)
			case cmdPong:
				n++
				if m, err := decodeMessage(command, payload); err != nil || m != msgPong(n) {
					t.Errorf("pong %v, %v; want %d", m, err, n)
				}
				if want := []int{0, 21, 26}[n]; len(got) != want {
					t.Errorf("pong %d came after %d answers of %d: %v", n, len(got), want, got)
				}
			}
		}
	})
}
