package miner

import (
	"context"
	"errors"
	"math"
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

// hardTemplate is a template whose proof of work nobody finds.
func hardTemplate(n *node, t *testing.T) *Template {
	tmpl := n.assemble(t)
	tmpl.Block.Bits = 0x0300ffff
	return tmpl
}

// TestSolveWrapsAround runs out of nonces: the search goes on in another space.
func TestSolveWrapsAround(t *testing.T) {
	n := newNode(t, unchanged)
	tmpl := hardTemplate(n, t)
	search := kernel.Fastest().NewSearch()
	chunk := search.Chunk()
	tmpl.Block.Nonce = math.MaxUint32 - chunk/2
	root, tries := tmpl.Block.MerkleRoot, 3*uint64(chunk)
	if _, err := solve(t.Context(), search, tmpl, &tries); !errors.Is(err, ErrTries) || tries != 0 {
		t.Errorf("%d tries are left: %v", tries, err)
	}
	if tmpl.Block.MerkleRoot != root {
		t.Error("the template itself was changed")
	}
	// What is found behind the end has another coinbase.
	tmpl.Block.Bits, tmpl.Block.Nonce, tries = 0x1f00ffff, math.MaxUint32, 1<<22
	target, _ := consensus.TargetFromBits(tmpl.Block.Bits)
	first := func() bool { // whether a hit is among the nonces tried first
		search.Set(tmpl.Block.Header, &target)
		for range search.Hits(math.MaxUint32, chunk) {
			return true
		}
		return false
	}
	for first() {
		tmpl.Block.Time++
	}
	block, err := solve(t.Context(), search, tmpl, &tries)
	if err != nil || block.MerkleRoot == root || !block.Header.Hash().MeetsTarget(&target) {
		t.Errorf("no other space of nonces is searched: %v", err)
	}
	if computed, _ := consensus.MerkleRoot(block.TxIDs()); computed != block.MerkleRoot {
		t.Error("the merkle root is not that of the transactions")
	}
}
