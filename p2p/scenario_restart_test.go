package p2p

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
)

// Every node of a network in turn loses all that it has, while the others go on;
// it gets everything back from them.
func TestAnyNodeRebuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = slog.LevelWarn
		random := seeded(t)
		var all []*station
		for i := range 8 {
			all = append(all, w.add(fmt.Sprint("s", i), nil))
		}
		coins := rich(w, 2*len(all), all...)
		n := w.network(random, 3, all)
		for i, s := range all {
			w.wipe(s)
			others := make([]*station, 0, len(all)-1)
			for _, other := range all {
				if other != s {
					others = append(others, other)
				}
			}
			var tip consensus.Hash
			for j := range 2 {
				miner := others[random.IntN(len(others))]
				tx := spend(coins[2*i+j], 1000)
				others[random.IntN(len(others))].submit(tx)
				w.everywhere("with the others", others, tx)
				block := miner.mineHere(w, byte(i))
				if tip = block.Header.Hash(); len(block.Txs) != 2 {
					t.Errorf("a block of %d transactions", len(block.Txs))
				}
				w.agree(tip, others...)
			}
			w.start(s)
			if s.ledger.Tip().Height != 0 {
				t.Fatal("something is left")
			}
			n.dial(s)
			// It is not back yet when the next block is found.
			block := others[0].mineHere(w, 77)
			w.agree(block.Header.Hash(), all...)
			w.sameCoins(all...)
			n.awaitLinks(all...)
		}
		// What has come back is a full member of the network.
		last := all[random.IntN(len(all))].mineHere(w, 99)
		w.agree(last.Header.Hash(), all...)
		w.nobodyBlamed()
	})
}

// A node is killed again and again while it fetches the chain. What it had taken
// it has, and it asks for the rest alone.
func TestKilledWhileSyncing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.latency = 100 * time.Millisecond
		source, second, s := w.add("source", nil), w.add("second", nil), w.add("s", nil)
		blocks := longChain(t, maxHeaders+500)
		size := 0
		for _, b := range blocks {
			size += commandSize + b.Size()
		}
		size /= len(blocks)
		source.feed(blocks...)
		second.feed(blocks...)
		tip := source.ledger.Tip()
		received, kills := 0, 0
		for _, goal := range []uint32{300, 900, 1400, tip.Height} {
			for _, peer := range []*station{source, second} {
				if err := s.AddNode(peer.url); err != nil {
					t.Fatal(err)
				}
			}
			w.until("some way on", func() bool { return s.ledger.Tip().Height >= goal })
			for _, p := range s.Peers() {
				received += int(p.Received.PerMessage[cmdBlock])
			}
			if goal == tip.Height {
				break
			}
			had := s.ledger.Tip().Height
			w.crash(s)
			kills++
			w.start(s)
			if got := s.ledger.Tip().Height; got < had || had == tip.Height {
				t.Errorf("%d blocks are left of %d", got, had)
			}
		}
		// What was under way comes twice, and no more.
		if most := (len(blocks) + (kills+1)*2*maxBlocksInFlight) * size; received > most {
			t.Errorf("%d bytes of blocks came, want at most %d", received, most)
		}
		w.sameCoins(source, second, s)
		w.nobodyBlamed()
	})
}

// at seals a block again with another time.
func at(w *world, block *consensus.Block, when time.Time) *consensus.Block {
	block.Time = uint32(when.Unix())
	work(w.spec, block)
	return block
}

// All nodes of a network stop for a month. When they are there again nobody
// waits for anybody: transactions pass, the first block after the pause is mined
// on the old tip and crosses the network. A node that was alone all the time has
// gone on alone, and joins.
func TestNetworkSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.level = slog.LevelWarn
		random := seeded(t)
		var all []*station
		for i := range 6 {
			all = append(all, w.add(fmt.Sprint("s", i), nil))
		}
		coins := rich(w, 3, all...)
		n := w.network(random, 3, all)
		recent := at(w, mineOn(w.spec, all[0].ledger.Tip(), 1), now())
		all[0].feed(recent)
		w.agree(recent.Header.Hash(), all...)
		for _, s := range all {
			w.kill(s)
		}
		time.Sleep(30 * 24 * time.Hour) // virtual

		w.start(all[0])
		if all[0].Syncing() {
			t.Error("a node that has slept and is alone waits for others")
		}
		alone := spend(coins[0], 1000)
		all[0].submit(alone)
		first := all[0].mineHere(w, 2)
		for _, s := range all[1:] {
			w.start(s)
		}
		for _, s := range all {
			n.dial(s)
		}
		n.awaitLinks(all...)
		w.agree(first.Header.Hash(), all...)
		for _, s := range all {
			if s.Syncing() {
				t.Errorf("%s waits for blocks that nobody has", s.name)
			}
		}
		tx := spend(coins[1], 1000)
		all[3].submit(tx)
		w.everywhere("everywhere", all, tx)
		second := at(w, mineOn(w.spec, all[4].ledger.Tip(), 3, tx), now())
		all[4].feed(second)
		w.agree(second.Header.Hash(), all...)
		w.sameCoins(all...)
		w.nobodyBlamed()
	})
}
