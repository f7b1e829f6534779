package miner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"lode/consensus"
	"lode/mempool"
	"lode/miner/kernel"
)

// ErrTries is the kind of error when a proof of work was not found in the tries
// that were allowed.
var ErrTries = errors.New("no proof of work found in the tries allowed")

// Generate is Templates.Generate on templates of its own.
func Generate(ctx context.Context, ledger Ledger, pool Pool, payTo []byte, count int, tries uint64, now func() time.Time) ([]consensus.Hash, error) {
	return NewTemplates(TemplatesConfig{Ledger: ledger, Pool: pool, Now: now}).Generate(ctx, payTo, count, tries)
}

// Generate mines count blocks one after the other, each paying to a script, as
// fast as it can on one thread. It gives their hashes; with an error, those
// that were made before it. tries bounds the nonces tried for all together.
func (t *Templates) Generate(ctx context.Context, payTo []byte, count int, tries uint64) ([]consensus.Hash, error) {
	search := kernel.Fastest().NewSearch()
	hashes := make([]consensus.Hash, 0, max(0, min(count, 1<<16)))
	for len(hashes) < count {
		next, err := t.assemble(t.cfg.Pool)
		if err != nil {
			return hashes, err
		}
		block, err := solve(ctx, search, 0, next, payTo, t.cfg.Now(), &tries)
		if err != nil {
			return hashes, err
		}
		if err := t.cfg.Ledger.AddBlock(block); err != nil {
			return hashes, fmt.Errorf("generated block was refused: %w", err)
		}
		hashes = append(hashes, block.Header.Hash())
	}
	return hashes, nil
}

// Empty makes a template without transactions.
func (t *Templates) Empty() (*Template, error) { return t.assemble(noTxs{t.cfg.Pool}) }

// noTxs is a pool of which nothing fits.
type noTxs struct{ Pool }

func (p noTxs) Select(int, int) (mempool.Selection, error) { return p.Pool.Select(0, 0) }

// solve finds the proof of work for a block of t, with other random bytes each
// time that all nonces from the first on were tried.
func solve(ctx context.Context, search *kernel.Search, first uint32, t *Template, payTo []byte, now time.Time, tries *uint64) (*consensus.Block, error) {
	for {
		block, err := t.Unsolved(payTo, now)
		if err != nil {
			return nil, err
		}
		block.Nonce = first
		if found, err := solveBlock(ctx, search, block, tries); found || err != nil {
			return block, err
		}
	}
}

// Solve finds the proof of work for a block as it is, by its nonce alone.
func Solve(ctx context.Context, block *consensus.Block, tries uint64) error {
	found, err := solveBlock(ctx, kernel.Fastest().NewSearch(), block, &tries)
	if err == nil && !found {
		err = ErrTries
	}
	return err
}

// solveBlock tries the nonces from that of the block on; it may be that none is
// found. With an error the nonce is worth nothing.
func solveBlock(ctx context.Context, search *kernel.Search, block *consensus.Block, tries *uint64) (found bool, err error) {
	target, ok := consensus.TargetFromBits(block.Bits)
	if !ok {
		return false, fmt.Errorf("template with impossible bits %08x", block.Bits)
	}
	search.Set(block.Header, &target)
	for next, last := block.Nonce, false; !last; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if *tries == 0 {
			return false, ErrTries
		}
		n := uint32(min(*tries, uint64(search.Chunk()), 1<<32-uint64(next)))
		for nonce := range search.Hits(next, n) {
			*tries -= uint64(nonce-next) + 1
			block.Nonce = nonce
			return true, nil
		}
		*tries -= uint64(n)
		next += n
		last = next == 0
	}
	return false, nil
}

// Unsolved is a block of t that pays to a script, with random bytes in its
// coinbase, so that no two are alike. It may have more transactions, of whose
// fees the coinbase gets nothing.
func (t *Template) Unsolved(payTo []byte, now time.Time, more ...*consensus.Tx) (*consensus.Block, error) {
	random := make([]byte, randomSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	header := consensus.Header{Version: t.Version, Prev: t.Tip.Hash, Time: t.Time(now), Bits: t.Bits}
	out := consensus.TxOut{Value: t.Value, Script: payTo}
	if len(more) == 0 {
		coinbase := t.Coinbase(random, out)
		header.MerkleRoot = consensus.BranchRoot(coinbase.TxID(), t.Branch)
		return t.Block(header, coinbase), nil
	}
	block := t.Block(header, t.lock(consensus.NewCoinbase(consensus.CoinbaseScript(t.Height, random), []consensus.TxOut{out})))
	block.Txs = append(block.Txs, more...)
	block.Seal()
	return block, nil
}
