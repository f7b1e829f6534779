// Package miner makes blocks: it assembles them from the mempool and finds
// their proof of work.
package miner

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"lode/consensus"
	"lode/mempool"
)

// Ledger is what the miner needs of the chain.
type Ledger interface {
	Rules() *consensus.Rules
	Tip() consensus.State
	AddBlock(*consensus.Block) error
	Subscribe(poke func()) (cancel func())
}

// Pool is where the transactions come from.
type Pool interface {
	Select(weight, sigops int) (mempool.Selection, error)
	Changes() uint64
}

// What a block keeps free for its header and coinbase.
const (
	reservedWeight = 8000
	reservedSigops = 400
)

// Template is a block without its proof of work.
type Template struct {
	Block  *consensus.Block
	Height uint32
}

// Assemble makes the best block that can come next, paying to a script. Its
// coinbase holds random bytes, so that no two are alike.
func Assemble(rules *consensus.Rules, pool Pool, payTo []byte, now time.Time) (*Template, error) {
	s, err := pool.Select(max(0, rules.MaxBlockWeight-reservedWeight), max(0, rules.MaxBlockSigopsCost-reservedSigops))
	if err != nil {
		return nil, fmt.Errorf("select transactions: %w", err)
	}
	height := s.Tip.Height + 1
	// At least 8 random bytes: two miners, or two networks, never make the
	// same transaction.
	extra := make([]byte, 8)
	if _, err := rand.Read(extra); err != nil {
		return nil, err
	}
	coinbase := consensus.NewCoinbase(consensus.CoinbaseScript(height, extra), []consensus.TxOut{{Value: rules.Subsidy(height) + s.Fees, Script: payTo}})
	block := &consensus.Block{
		Header: consensus.Header{Version: rules.BlockVersion(&s.Tip), Prev: s.Tip.Hash, Time: blockTime(&s, now), Bits: rules.NextBits(&s.Tip)},
		Txs:    append(make([]*consensus.Tx, 0, 1+len(s.Txs)), coinbase),
	}
	for _, e := range s.Txs {
		block.Txs = append(block.Txs, e.Tx)
	}
	block.Seal()
	if block.Time > s.Latest {
		return nil, fmt.Errorf("%w: it is set to %s, and the chain needs a block after %s", ErrClock, now.UTC().Format(time.DateTime), time.Unix(int64(s.Tip.MedianTime()), 0).UTC().Format(time.DateTime))
	}
	return &Template{block, height}, nil
}

// ErrClock is the kind of error for a clock so far behind that no block can be
// made.
var ErrClock = errors.New("the clock is behind the chain")

// blockTime is the clock's time, or the earliest that the rules allow.
func blockTime(s *mempool.Selection, now time.Time) uint32 {
	return uint32(max(now.Unix(), int64(s.Tip.MedianTime())+1))
}

// reroll is the block of t with other random bytes in its coinbase, and so
// with another space of nonces to search.
func (t *Template) reroll() (*consensus.Block, error) {
	extra := make([]byte, 8)
	if _, err := rand.Read(extra); err != nil {
		return nil, err
	}
	b := &consensus.Block{Header: t.Block.Header, Txs: append([]*consensus.Tx(nil), t.Block.Txs...)}
	coinbase := b.Txs[0].Clone()
	coinbase.In[0].ScriptSig = consensus.CoinbaseScript(t.Height, extra)
	b.Txs[0] = coinbase
	b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs())
	return b, nil
}
