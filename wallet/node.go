package wallet

import (
	"context"
	"errors"

	"lode/consensus"
)

// Node is what a wallet asks of a node.
type Node interface {
	// Tip is the end of the active chain.
	Tip(ctx context.Context) (Point, error)
	// BlockHashes gives the hashes of the active chain at some heights, zero
	// for those above its tip.
	BlockHashes(ctx context.Context, heights []uint32) ([]consensus.Hash, error)
	// Blocks gives encoded blocks: the first of those asked for, at least one,
	// as many as the node likes to send at once.
	Blocks(ctx context.Context, hashes []consensus.Hash) ([][]byte, error)
	// HeightsOf gives the heights from one to another, rising, of the blocks of
	// the active chain with transactions that pay to the keys or spend from them.
	// ok is false if the node has no index of addresses.
	HeightsOf(ctx context.Context, keys [][32]byte, from, to uint32) (heights []uint32, ok bool, err error)
	// Pending asks the mempool.
	Pending(ctx context.Context, q PoolQuery) (PoolAnswer, error)
	// Send gives a transaction to the node, to keep and to relay. The error is of
	// kind ErrRefused if the node has looked at it and does not want it, of kind
	// ErrNotAsked if it cannot have got it, and else nobody knows.
	Send(ctx context.Context, tx *consensus.Tx) error
}

// PoolQuery names the transactions of a mempool that a wallet wants to know of:
// those that pay to keys or spend coins, and those that spend what the former
// pay to the keys.
type PoolQuery struct {
	Keys  [][32]byte
	Coins []consensus.OutPoint
}

// PoolAnswer is what a mempool has of these, in any order; more is harmless.
type PoolAnswer struct {
	Txs    []*consensus.Tx
	Loaded bool // false while the node still reads what it has saved of it
}

// Kinds of errors of Node.Send.
var (
	ErrRefused  = errors.New("refused")
	ErrNotAsked = errors.New("the node was not reached")
)
