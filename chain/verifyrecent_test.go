package chain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"lode/consensus"
)

func TestVerifyRecent(t *testing.T) {
	dir := t.TempDir()
	g := newGenerator()
	c := openPruned(t, dir, 0, nil)
	defer c.Close()
	addAll(t, c, g.Extend(120))
	ctx := context.Background()
	for level := VerifyRead; level <= VerifyConnect; level++ {
		for _, count := range []uint32{0, 1, 10, 500} {
			if err := c.VerifyRecent(ctx, level, count); err != nil {
				t.Errorf("level %d, %d blocks: %v", level, count, err)
			}
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.VerifyRecent(canceled, VerifyRead, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that is gone: %v", err)
	}
	var seen int
	scan, err := c.ScanCoins(ctx, nil, func(consensus.OutPoint, consensus.Coin) { seen++ }, func(float64) {})
	stats, err2 := c.UTXOStats(ctx)
	if err != nil || err2 != nil || seen != 0 || scan.Coins != stats.Coins || scan.Tip != stats.Tip || scan.Height != stats.Height {
		t.Errorf("scan of nothing: %+v, %d seen (%v); the set has %+v (%v)", scan, seen, err, stats, err2)
	}

	// A coin is missing: the block that made it is taken back at level 3 alone.
	block := g.Blocks[120]
	lost := consensus.OutPoint{TxID: block.Txs[0].TxID()}
	if err := c.flushNow(); err != nil {
		t.Fatal(err)
	}
	if err := c.store.db.Delete(coinKey(lost), nil); err != nil {
		t.Fatal(err)
	}
	if err := c.VerifyRecent(ctx, VerifyUndo, 5); err != nil {
		t.Errorf("level 2 without a coin: %v", err)
	}
	if err := c.VerifyRecent(ctx, VerifyDisconnect, 5); !errors.Is(err, ErrDamaged) {
		t.Errorf("level 3 without a coin: %v, want damage", err)
	}

	// A block is damaged.
	n, err := c.lookup(g.Blocks[118].Header.Hash())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "blocks", fmt.Sprintf("blk%05d.dat", n.Own.body.File))
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xa5, 0x5a}, int64(n.Own.body.Offset)+int64(n.Own.body.Size)-8); err != nil {
		t.Fatal(err)
	}
	if err := c.VerifyRecent(ctx, VerifyRead, 1); err != nil {
		t.Errorf("the last block alone: %v", err)
	}
	if err := c.VerifyRecent(ctx, VerifyRead, 5); !errors.Is(err, ErrDamaged) {
		t.Errorf("level 0 over a damaged block: %v, want damage", err)
	}
}
