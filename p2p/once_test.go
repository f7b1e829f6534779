//go:build check

package p2p

import (
	"testing"
	"testing/synctest"

	"lode/consensus"
)

// TestSyncChecksBlocksOnce: a block that comes from a peer passes CheckBlock once,
// whatever the order in which blocks come, and its header is hashed a few times.
func TestSyncChecksBlocksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		blocks := longChain(t, 1200)
		full := w.add("full", nil)
		full.feed(blocks...)
		second := w.mirror("second", full, nil)
		hashes, checks := consensus.HashedHeaders.Load(), consensus.CheckedBlocks.Load()
		fresh := w.add("fresh", func(cfg *Config) { cfg.Connect = []string{full.url, second.url} })
		w.agree(blocks[len(blocks)-1].Header.Hash(), fresh)
		hashes, checks = consensus.HashedHeaders.Load()-hashes, consensus.CheckedBlocks.Load()-checks
		t.Logf("%d headers hashed, %d blocks checked, of %d", hashes, checks, len(blocks))
		if most := int64(5 * len(blocks)); hashes > most { // here, by the ledger, and when the block comes
			t.Errorf("%d headers were hashed, at most %d need be", hashes, most)
		}
		if checks != int64(len(blocks)) {
			t.Errorf("%d blocks were checked, want %d", checks, len(blocks))
		}
	})
}
