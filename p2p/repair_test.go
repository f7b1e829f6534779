package p2p

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// A block that is damaged on disk is found when it is asked for, and comes again
// from a peer with the next tip.
func TestDamagedBlockIsFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(b, a)
		a.feed(mine(w.spec, a.ledger.Tip(), 1, 20)...)
		w.agree(a.ledger.Tip().Hash, b)

		hash, _ := b.ledger.HashAt(10)
		want, err := b.ledger.BlockBytes(hash)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(b.dir, "blocks", "blk00000.dat")
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[bytes.Index(data, want)+70] ^= 1 // of its header
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ledger.BlockBytes(hash); err == nil {
			t.Fatal("the damage is not seen")
		}

		a.feed(mineOn(w.spec, a.ledger.Tip(), 2))
		w.agree(a.ledger.Tip().Hash, b)
		w.until("the block is back", func() bool {
			got, err := b.ledger.BlockBytes(hash)
			return err == nil && bytes.Equal(got, want)
		})
	})
}
