package miner

import (
	"context"
	"errors"
	"testing"
	"time"

	"lode/consensus"
	"lode/miner/kernel"
)

func TestGenerate(t *testing.T) {
	n := newNode(t, unchanged)
	fees := n.fill(t)
	hashes, err := Generate(t.Context(), n.ledger, n.pool, payTo, 5, 1_000_000, time.Now)
	if err != nil || len(hashes) != 5 || n.ledger.Tip().Hash != hashes[4] {
		t.Fatalf("%d blocks: %v", len(hashes), err)
	}
	b, err := n.ledger.Block(hashes[0])
	if err != nil || len(b.Txs) != 4 || b.Txs[0].Out[0].Value != n.spec.Rules.Subsidy(7)+fees {
		t.Errorf("first block: %v", err)
	}
	if hashes, err := Generate(t.Context(), n.ledger, n.pool, payTo, 5, 0, time.Now); !errors.Is(err, ErrTries) || len(hashes) != 0 {
		t.Errorf("no tries: %d blocks, %v", len(hashes), err)
	}
	hashes, err = Generate(t.Context(), n.ledger, n.pool, payTo, 1000, 20, time.Now)
	if !errors.Is(err, ErrTries) || len(hashes) == 0 || len(hashes) > 20 {
		t.Errorf("20 tries: %d blocks, %v", len(hashes), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Generate(ctx, n.ledger, n.pool, payTo, 1, 1000, time.Now); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if hashes, err := Generate(t.Context(), n.ledger, n.pool, payTo, -1, 1000, time.Now); err != nil || len(hashes) != 0 {
		t.Errorf("-1 blocks: %d, %v", len(hashes), err)
	}
}

// TestSolveWrapsAround runs out of nonces: the search goes on in another space.
func TestSolveWrapsAround(t *testing.T) {
	n := newNode(t, unchanged)
	tmpl := n.assemble(t)
	tmpl.Bits = 0x0300ffff
	search := kernel.Fastest().NewSearch()
	chunk := search.Chunk()
	tries := 3 * uint64(chunk)
	if _, err := solve(t.Context(), search, -(2 * chunk), tmpl, payTo, time.Now(), &tries); !errors.Is(err, ErrTries) || tries != 0 {
		t.Errorf("%d tries are left: %v", tries, err)
	}
	tmpl.Bits, tries = 0x1f00ffff, 1<<32
	for range 20 {
		b, err := solve(t.Context(), search, -chunk, tmpl, payTo, time.Now(), &tries)
		if err != nil {
			t.Fatal(err)
		}
		target, _ := consensus.TargetFromBits(tmpl.Bits)
		if root, _ := consensus.MerkleRoot(b.TxIDs()); root != b.MerkleRoot || !b.Header.Hash().MeetsTarget(&target) {
			t.Fatal("the block is not solved")
		}
	}
}
