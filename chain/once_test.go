//go:build check

package chain

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// TestBlocksAreCheckedOnce: on each way in, a block passes CheckBlock once and its
// header is hashed once. They used to be checked again whenever they were read from
// disk, and hashed up to seven times.
func TestBlocksAreCheckedOnce(t *testing.T) {
	const blocks = 60
	g := chaingen.New(&testSpec.Rules, chaingen.Params{Seed: 4, Txs: 3, Inputs: 1, Outputs: 2, Fee: 1000})
	g.Extend(blocks)
	var file []byte
	for _, block := range g.Blocks[1:] {
		raw := block.Bytes()
		file = append(file, testSpec.Defaults.Magic...)
		file = append(binary.LittleEndian.AppendUint32(file, uint32(len(raw))), raw...)
	}
	reversed := func(c *Chain) { // all but the last few are read from disk again
		for i := blocks; i > 0; i-- {
			if err := c.AddBlock(g.Blocks[i]); err != nil && i == 1 {
				t.Fatal(err)
			}
		}
	}
	headers := headersFrom(g.Blocks[1:])
	for name, way := range map[string]struct {
		in             func(c *Chain)
		checks, hashes int64
	}{
		"blocks":  {func(c *Chain) { addBlocks(t, c, g.Blocks[1:]) }, blocks, blocks},
		"headers": {func(c *Chain) { _ = c.AddHeaders(headers) }, 0, blocks},
		"headers, then blocks from the last to the first": {func(c *Chain) { _ = c.AddHeaders(headers); reversed(c) }, blocks, 2 * blocks},
		"import": {func(c *Chain) {
			if _, err := c.Import(t.Context(), bytes.NewReader(file), int64(len(file)), nil); err != nil {
				t.Fatal(err)
			}
		}, blocks, blocks},
	} {
		t.Run(name, func(t *testing.T) {
			c := onFaultDisk(t, newFaultDisk(1), nil)
			c.heldBytes = maxHeld // so that no block stays in memory until it is connected
			hashes, checks := consensus.HashedHeaders.Load(), consensus.CheckedBlocks.Load()
			way.in(c)
			hashes, checks = consensus.HashedHeaders.Load()-hashes, consensus.CheckedBlocks.Load()-checks
			if way.checks > 0 && c.Tip().Height != blocks {
				t.Fatalf("the tip is at %d", c.Tip().Height)
			}
			if hashes > way.hashes+2 || checks > way.checks {
				t.Errorf("%d headers were hashed and %d blocks checked, want %d and %d", hashes, checks, way.hashes, way.checks)
			}
		})
	}
	t.Run("block files at a start", func(t *testing.T) {
		disk := newFaultDisk(1)
		c := onFaultDisk(t, disk, nil)
		addBlocks(t, c, g.Blocks[1:])
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		hashes, checks := consensus.HashedHeaders.Load(), consensus.CheckedBlocks.Load()
		c, err := Open(context.Background(), Config{Dir: faultDir, Spec: testSpec, Sigs: sigcheck.New(0), disk: disk, Reindex: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		hashes, checks = consensus.HashedHeaders.Load()-hashes, consensus.CheckedBlocks.Load()-checks
		if c.Tip().Height != blocks || hashes > blocks+5 || checks > blocks {
			t.Errorf("at height %d, %d headers were hashed and %d blocks checked, want %d", c.Tip().Height, hashes, checks, blocks)
		}
	})
}
