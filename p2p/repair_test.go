package p2p

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"lode/chain"
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

// damageIn overwrites bytes of the block or undo files of a node, where they
// contain want, after its first skip bytes.
func damageIn(t *testing.T, s *station, file string, want []byte, skip int, with []byte) {
	t.Helper()
	name := filepath.Join(s.dir, "blocks", file)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, want)
	if at < 0 {
		t.Fatalf("%s does not hold it", file)
	}
	copy(data[at+skip:], with)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedValueIsNotServed overwrites the value of a coinbase, so that the
// block on disk still is one, with the right header. It is refused, and fetched
// again at once, without a new tip; a fresh peer whose only peer is the damaged
// node then gets the right one.
func TestDamagedValueIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(b, a)
		a.feed(mine(w.spec, a.ledger.Tip(), 1, 20)...)
		w.agree(a.ledger.Tip().Hash, b)

		hash, _ := b.ledger.HashAt(10)
		block, err := b.ledger.Block(hash)
		if err != nil {
			t.Fatal(err)
		}
		out := block.Txs[0].Out[0]
		value := binary.LittleEndian.AppendUint64(nil, uint64(out.Value))
		damageIn(t, b, "blk00000.dat", block.Bytes(), bytes.Index(block.Bytes(), append(value, byte(len(out.Script)))), binary.LittleEndian.AppendUint64(nil, 5000e8))
		if _, err := b.ledger.BlockBytes(hash); !errors.Is(err, chain.ErrDamaged) {
			t.Fatalf("the damage is not seen: %v", err)
		}
		w.until("the block is back", func() bool {
			got, err := b.ledger.BlockBytes(hash)
			return err == nil && bytes.Equal(got, block.Bytes())
		})
		c := w.add("c", nil)
		w.link(c, b)
		w.agree(a.ledger.Tip().Hash, c)
	})
}

// TestInvalidatedAboveDamageIsMended invalidates a block below one whose file is
// gone: the tip stays until the blocks have come from a peer, and then moves.
func TestInvalidatedAboveDamageIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.add("a", nil), w.add("b", nil)
		w.link(b, a)
		a.feed(mine(w.spec, a.ledger.Tip(), 1, 20)...)
		w.agree(a.ledger.Tip().Hash, b)
		if err := os.Remove(filepath.Join(b.dir, "blocks", "blk00000.dat")); err != nil {
			t.Fatal(err)
		}
		hash, _ := b.ledger.HashAt(10)
		if err := b.ledger.InvalidateBlock(hash); err == nil && b.ledger.Tip().Height != 9 {
			t.Fatal("no error, and the tip stays")
		}
		w.until("the blocks above have been disconnected", func() bool { return b.ledger.Tip().Height == 9 })
	})
}
