// Package miner makes blocks: it assembles them from the mempool, has threads
// search for their proofs of work, and hands out what there is to search to
// other machines.
package miner

import (
	"errors"
	"fmt"
	"math"
	"time"

	"lode/consensus"
	"lode/mempool"
	"lode/miner/kernel"
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

// What a block keeps free for its header and coinbase, as in Bitcoin Core. The least
// weight is room for a coinbase with one output and a witness commitment.
const (
	DefaultReserved = 8000 // weight units
	LeastReserved   = 2000
	reservedSigops  = 400
)

// Template is the best block that can come next, without its coinbase and its
// proof of work. It does not change, and may be shared.
type Template struct {
	Tip        consensus.State // that the block comes after
	Height     uint32          // of the block
	Version    int32
	Bits       uint32
	MinTime    uint32           // the earliest time that the rules allow
	MaxTime    uint32           // the latest that this node accepted when the template was made
	Value      consensus.Amount // what the coinbase may pay: the subsidy and the fees
	Weight     int              // of the block, with all that is reserved for its header and coinbase
	Entries    []*mempool.Entry // parents before children
	Commitment []byte           // the output script that commits to the witnesses (BIP141); none if a node elsewhere says so
	Branch     []consensus.Hash // from the coinbase up to the merkle root
	Rollable   uint32           // the bits of Version that miners may change, see kernel.RollableBits
	Change     uint64           // of the pool, see Pool.Changes
}

// Assemble makes a template by the clock's time.
func Assemble(rules *consensus.Rules, pool Pool, now time.Time) (*Template, error) {
	return assemble(rules, pool, now, rules.MaxBlockWeight, DefaultReserved)
}

func assemble(rules *consensus.Rules, pool Pool, now time.Time, weight, reserved int) (*Template, error) {
	s, err := pool.Select(max(0, weight-reserved), max(0, rules.MaxBlockSigopsCost-reservedSigops))
	if err != nil {
		return nil, fmt.Errorf("select transactions: %w", err)
	}
	height := s.Tip.Height + 1
	t := &Template{
		Tip: s.Tip, Height: height, Version: rules.BlockVersion(&s.Tip), Bits: rules.NextBits(&s.Tip),
		MinTime: s.Tip.MedianTime() + 1, MaxTime: s.Latest, Value: rules.Subsidy(height) + s.Fees, Entries: s.Txs, Rollable: kernel.RollableBits(rules, &s.Tip), Change: s.Change,
	}
	if t.Time(now) > t.MaxTime {
		return nil, fmt.Errorf("%w: it is set to %s, and the chain needs a block after %s", ErrClock, now.UTC().Format(time.DateTime), time.Unix(int64(s.Tip.MedianTime()), 0).UTC().Format(time.DateTime))
	}
	ids, witnessIDs := make([]consensus.Hash, 1+len(s.Txs)), make([]consensus.Hash, 1+len(s.Txs))
	t.Weight = min(reserved, rules.MaxBlockWeight)
	for i, e := range s.Txs {
		ids[1+i], witnessIDs[1+i] = e.TxID, e.WTxID
		t.Weight += e.Weight
	}
	root, _ := consensus.MerkleRoot(witnessIDs)
	t.Commitment = consensus.WitnessCommitment(root, [32]byte{})
	t.Branch = consensus.MerkleBranch(ids)
	return t, nil
}

// ErrClock is the kind of error for a clock so far behind that no block can be
// made.
var ErrClock = errors.New("the clock is behind the chain")

// Time is the time of a block that is made now: the clock's, or the earliest
// that the rules allow.
func (t *Template) Time(now time.Time) uint32 {
	return uint32(min(max(now.Unix(), int64(t.MinTime)), math.MaxUint32))
}

// Coinbase pays outs, which sum up to Value at most, and commits to the
// witnesses. extra, of 8 to 75 bytes, must be another one each time. As in Bitcoin Core
// it is locked to the height before its own.
func (t *Template) Coinbase(extra []byte, outs ...consensus.TxOut) *consensus.Tx {
	all := append(make([]consensus.TxOut, 0, len(outs)+1), outs...)
	if len(t.Commitment) > 0 {
		all = append(all, consensus.TxOut{Script: t.Commitment})
	}
	return t.lock(consensus.NewCoinbase(consensus.CoinbaseScript(t.Height, extra), all))
}

// lock has a coinbase valid at no height below the template's: two of different
// heights are never the same transaction, whatever is in their scripts.
func (t *Template) lock(coinbase *consensus.Tx) *consensus.Tx {
	coinbase.LockTime, coinbase.In[0].Sequence = t.Height-1, 0xfffffffe
	return coinbase
}

// Block is the block with a coinbase and the header that somebody has worked on.
func (t *Template) Block(h consensus.Header, coinbase *consensus.Tx) *consensus.Block {
	b := &consensus.Block{Header: h, Txs: append(make([]*consensus.Tx, 0, 1+len(t.Entries)), coinbase)}
	for _, e := range t.Entries {
		b.Txs = append(b.Txs, e.Tx)
	}
	return b
}
