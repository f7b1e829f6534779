package miner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lode/consensus"
	"lode/miner/kernel"
)

// ErrTries is the kind of error when a proof of work was not found in the tries
// that were allowed.
var ErrTries = errors.New("no proof of work found in the tries allowed")

// Generate mines count blocks one after the other, each paying to a script, as
// fast as it can on one thread. It gives their hashes; with an error, those
// that were made before it. tries bounds the nonces tried for all together.
func Generate(ctx context.Context, ledger Ledger, pool Pool, payTo []byte, count int, tries uint64, now func() time.Time) ([]consensus.Hash, error) {
	search := kernel.Fastest().NewSearch()
	hashes := make([]consensus.Hash, 0, max(0, min(count, 1<<16)))
	for len(hashes) < count {
		t, err := Assemble(ledger.Rules(), pool, payTo, now())
		if err != nil {
			return hashes, err
		}
		block, err := solve(ctx, search, t, &tries)
		if err != nil {
			return hashes, err
		}
		if err := ledger.AddBlock(block); err != nil {
			return hashes, fmt.Errorf("generated block was refused: %w", err)
		}
		hashes = append(hashes, block.Header.Hash())
	}
	return hashes, nil
}

// solve finds the proof of work for t, or for t with other random bytes once all
// nonces were tried.
func solve(ctx context.Context, search *kernel.Search, t *Template, tries *uint64) (*consensus.Block, error) {
	block := t.Block
	target, ok := consensus.TargetFromBits(block.Bits)
	if !ok {
		return nil, fmt.Errorf("template with impossible bits %08x", block.Bits)
	}
	search.Set(block.Header, &target)
	for *tries > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		first, n := block.Nonce, uint32(min(*tries, uint64(search.Chunk())))
		for nonce := range search.Hits(first, n) {
			*tries -= uint64(nonce-first) + 1
			block.Nonce = nonce
			return block, nil
		}
		*tries -= uint64(n)
		if block.Nonce += n; block.Nonce < first {
			var err error
			if block, err = t.reroll(); err != nil {
				return nil, err
			}
			search.Set(block.Header, &target)
		}
	}
	return nil, ErrTries
}
