package p2p

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"

	"lode/chain"
	"lode/consensus"
)

// beginWith has a station begin with a snapshot of another.
func (s *station) beginWith(from *station) {
	s.t.Helper()
	name := filepath.Join(s.t.TempDir(), "snapshot")
	made, err := from.ledger.WriteSnapshot(s.t.Context(), name, nil)
	if err == nil {
		err = s.ledger.UseSnapshot(s.t.Context(), name, made.Hash)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.ledger.RunSnapshot(ctx) }()
	stop := s.stop
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
		stop()
	}
	s.t.Cleanup(s.stop)
}

// TestHistoryComes has a node begin with a snapshot, with more missing blocks
// before its base than are asked for at a time, and some after it. A peer that has
// none of the old ones is no obstacle.
func TestHistoryComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b, c := w.add("a", nil), w.add("b", nil), w.add("c", nil)
		blocks := longChain(t, 2*downloadWindow+300)
		a.feed(blocks[:2*downloadWindow+100]...)
		b.beginWith(a)
		c.beginWith(a)
		a.feed(blocks[2*downloadWindow+100:]...) // which peers without the history serve too
		tip := a.ledger.Tip()
		w.link(c, b) // neither of them has anything
		if b.ledger.Tip().Height != 0 || c.ledger.Tip().Height != 0 {
			t.Error("blocks out of nothing")
		}
		if got := c.Peers()[0].Services; got != serviceNetworkLimited|serviceWitness {
			t.Errorf("without the history b offers %x", got)
		}
		w.link(b, a)
		verified := func(s *station) func() bool {
			return func() bool { info, ok := s.ledger.Snapshot(); return ok && info.State == chain.SnapshotVerified }
		}
		w.agree(tip.Hash, b, c)
		w.until("the history of b", verified(b))
		for _, block := range blocks {
			if info, ok := b.ledger.Header(block.Header.Hash()); !ok || !info.HaveBlock {
				t.Fatalf("block %d is missing", info.Height)
			}
		}
		if p := b.Peers(); len(p) != 2 { // c is still there
			t.Errorf("b has %d peers", len(p))
		}
		if info, _ := c.ledger.Snapshot(); info.State != chain.SnapshotAssumed {
			t.Errorf("c has the history from a peer that did not offer it")
		}
		w.link(c, a)
		w.until("the history of c", verified(c))
		stats := make(map[consensus.Hash]bool)
		for _, s := range []*station{a, b, c} {
			set, err := s.ledger.UTXOStats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			stats[set.Hash] = true
		}
		if len(stats) != 1 {
			t.Errorf("%d different sets of coins", len(stats))
		}
	})
}
