package p2p

import (
	"testing"
	"testing/synctest"

	"lode/chain"
)

// TestPrunedNode asks a pruned node for its newest blocks and for older ones: it
// serves what it announces (BIP159), and ends the connection to who asks for more.
func TestPrunedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", func(cfg *Config) { cfg.Pruned = true })
		blocks := longChain(t, 320)
		s.feed(blocks...)
		a := w.call(s, "203.0.113.1:1")
		a.say(actorVersion(ProtocolVersion))
		if v := a.hear(cmdVersion).(*msgVersion); v.services != serviceNetworkLimited|serviceWitness {
			t.Errorf("services %#x", v.services)
		}
		a.say(msgEmpty(cmdVerack))
		ask := func(height int) {
			a.say(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, blocks[height-1].Header.Hash()}}})
		}
		lowest := 320 - chain.KeptBlocks - 2
		for _, height := range []int{320, lowest} {
			ask(height)
			if got := a.hear(cmdBlock).(msgBlock); got.Header.Hash() != blocks[height-1].Header.Hash() {
				t.Errorf("asked for height %d and got another block", height)
			}
		}
		ask(lowest - 1)
		a.isCut()
	})
}

// TestSyncBesidesPruned syncs from a pruned node what that serves, and the rest
// from one that has everything: nobody is dropped for what it never announced.
func TestSyncBesidesPruned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		blocks := longChain(t, 400)
		pruned := w.add("pruned", func(cfg *Config) { cfg.Pruned = true })
		whole, fresh := w.add("whole", nil), w.add("fresh", nil)
		pruned.feed(blocks...)
		whole.feed(blocks...)
		w.link(fresh, pruned)
		w.until("headers", func() bool { return fresh.ledger.BestHeader().Height == 400 })
		if fresh.Syncing() {
			t.Error("it waits for blocks that its peer does not serve")
		}
		w.link(fresh, whole)
		w.agree(blocks[399].Header.Hash(), fresh)
		for _, p := range fresh.Peers() {
			if p.ID > 1 {
				t.Errorf("peer %s was dropped and came again", p.URL)
			}
		}
	})
}
