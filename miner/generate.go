package miner

import (
	"context"
	"crypto/rand"
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
		t, err := Assemble(ledger.Rules(), pool, now())
		if err != nil {
			return hashes, err
		}
		block, err := solve(ctx, search, 0, t, payTo, now(), &tries)
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

// solve finds the proof of work for a block of t, with other random bytes each
// time that all nonces from the first on were tried.
func solve(ctx context.Context, search *kernel.Search, first uint32, t *Template, payTo []byte, now time.Time, tries *uint64) (*consensus.Block, error) {
	target, ok := consensus.TargetFromBits(t.Bits)
	if !ok {
		return nil, fmt.Errorf("template with impossible bits %08x", t.Bits)
	}
	for {
		block, err := t.Unsolved(payTo, now)
		if err != nil {
			return nil, err
		}
		search.Set(block.Header, &target)
		for next, last := first, false; !last; {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if *tries == 0 {
				return nil, ErrTries
			}
			n := uint32(min(*tries, uint64(search.Chunk())))
			for nonce := range search.Hits(next, n) {
				*tries -= uint64(nonce-next) + 1
				block.Nonce = nonce
				return block, nil
			}
			*tries -= uint64(n)
			next += n
			last = next == 0
		}
	}
}

// Unsolved is a block of t that pays to a script, with random bytes in its
// coinbase, so that no two are alike.
func (t *Template) Unsolved(payTo []byte, now time.Time) (*consensus.Block, error) {
	random := make([]byte, randomSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	coinbase := t.Coinbase(random, consensus.TxOut{Value: t.Value, Script: payTo})
	return t.Block(consensus.Header{
		Version: t.Version, Prev: t.Tip.Hash, MerkleRoot: consensus.BranchRoot(coinbase.TxID(), t.Branch), Time: t.Time(now), Bits: t.Bits,
	}, coinbase), nil
}
