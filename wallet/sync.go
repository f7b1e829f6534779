package wallet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lode/consensus"
)

// Node is what a wallet asks of a node to know its coins.
type Node interface {
	// Tip is the end of the active chain.
	Tip(ctx context.Context) (Point, error)
	// BlockHashes gives the hashes of the active chain at some heights, zero
	// for those above its tip.
	BlockHashes(ctx context.Context, heights []uint32) ([]consensus.Hash, error)
	// Blocks gives encoded blocks: the first of those asked for, at least one,
	// as many as the node likes to send at once.
	Blocks(ctx context.Context, hashes []consensus.Hash) ([][]byte, error)
	// Mempool gives the transactions that wait for a block, in any order.
	Mempool(ctx context.Context) ([]*consensus.Tx, error)
}

// Kinds of errors of Sync.
var (
	ErrOtherChain = errors.New("the node is on another network")
	ErrUnsteady   = errors.New("the node's chain changes faster than it can be read: try again")
	ErrBadNode    = errors.New("the node's answer makes no sense")

	errMoved = errors.New("the chain moved") // internal: read the tip again
)

const (
	batchBlocks   = 50               // asked for at once
	maxRounds     = 100              // of reading a chain that keeps changing
	longRound     = 100              // blocks: what was in the mempool before so many may be stale
	saveEvery     = 10 * time.Second // of a long scan, so that an interrupted one goes on
	forkBatchSize = 32               // points asked for at once
)

// Progress is told how far a scan has come.
type Progress func(height, tip uint32)

// Sync reads what happened since the last time, from the blocks and the mempool
// of a node, and saves it. A scan that is interrupted goes on where it was.
//
// The mempool is read before the blocks: a transaction that moves from the one
// to the other meanwhile is then seen twice, which is harmless, and never
// missed.
func (w *Wallet) Sync(ctx context.Context, node Node, progress Progress) error {
	if err := w.checkNode(ctx, node); err != nil {
		return err
	}
	for range maxRounds {
		mempool, err := node.Mempool(ctx)
		if err != nil {
			return fmt.Errorf("reading the node's mempool: %w", err)
		}
		scanned, rolledBack, err := w.catchUp(ctx, node, progress)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return errors.Join(err, w.Save())
		}
		if rolledBack || scanned > longRound {
			continue
		}
		if err := w.setPending(mempool); err != nil {
			return err
		}
		return w.Save()
	}
	return errors.Join(ErrUnsteady, w.Save())
}

func (w *Wallet) checkNode(ctx context.Context, node Node) error {
	first, err := node.BlockHashes(ctx, []uint32{0})
	if err != nil {
		return fmt.Errorf("reading the node's chain: %w", err)
	}
	if want := w.spec.Rules.GenesisHash(); len(first) != 1 || first[0] != want {
		return fmt.Errorf("%w: its first block is not that of %q (%s): give --rpc or --datadir of a node of %q", ErrOtherChain, w.spec.Name, want, w.spec.Name)
	}
	return nil
}

// catchUp brings the wallet to the tip of the node's chain.
func (w *Wallet) catchUp(ctx context.Context, node Node, progress Progress) (scanned int, rolledBack bool, err error) {
	tip, err := node.Tip(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("reading the node's tip: %w", err)
	}
	fork, err := w.findFork(ctx, node, tip.Height)
	if err != nil {
		return 0, false, err
	}
	if fork != w.doc.tip() {
		rolledBack = true
		w.rollBack(fork)
	}
	saved := time.Now()
	for at := w.doc.tip(); at != tip; at = w.doc.tip() {
		if at.Height >= tip.Height {
			return scanned, rolledBack, errMoved
		}
		n, err := w.scanBatch(ctx, node, min(tip.Height-at.Height, batchBlocks))
		scanned += n
		if err != nil {
			return scanned, rolledBack, err
		}
		if progress != nil {
			progress(w.doc.tip().Height, tip.Height)
		}
		if time.Since(saved) > saveEvery {
			if err := w.Save(); err != nil {
				return scanned, rolledBack, err
			}
			saved = time.Now()
		}
	}
	return scanned, rolledBack, nil
}

// findFork finds the last point of the wallet that is in the node's chain.
func (w *Wallet) findFork(ctx context.Context, node Node, tip uint32) (Point, error) {
	points := w.doc.Points
	for len(points) > 0 && points[len(points)-1].Height > tip {
		points = points[:len(points)-1]
	}
	for batch := 1; len(points) > 0; batch = forkBatchSize { // mostly there was no reorg
		n := min(batch, len(points))
		heights := make([]uint32, n)
		for i := range heights {
			heights[i] = points[len(points)-1-i].Height
		}
		hashes, err := node.BlockHashes(ctx, heights)
		if err != nil {
			return Point{}, fmt.Errorf("looking for the last common block: %w", err)
		}
		if len(hashes) != n {
			return Point{}, fmt.Errorf("%w: %d hashes for %d heights", ErrBadNode, len(hashes), n)
		}
		for i, hash := range hashes {
			if p := points[len(points)-1-i]; p.Hash == hash {
				return p, nil
			}
		}
		points = points[:len(points)-n]
	}
	return Point{0, w.spec.Rules.GenesisHash()}, nil
}

// scanBatch scans up to n blocks behind the tip, and says how many it did.
func (w *Wallet) scanBatch(ctx context.Context, node Node, n uint32) (done int, err error) {
	heights := make([]uint32, n)
	for i := range heights {
		heights[i] = w.doc.tip().Height + 1 + uint32(i)
	}
	hashes, err := node.BlockHashes(ctx, heights)
	if err != nil {
		return 0, fmt.Errorf("reading hashes from height %d: %w", heights[0], err)
	}
	for i, hash := range hashes {
		if hash == (consensus.Hash{}) {
			hashes = hashes[:i] // the chain has become shorter
			break
		}
	}
	if len(hashes) == 0 {
		return 0, errMoved
	}
	blocks, err := node.Blocks(ctx, hashes)
	if err != nil {
		return 0, fmt.Errorf("reading blocks from height %d: %w", heights[0], err)
	}
	if len(blocks) == 0 || len(blocks) > len(hashes) {
		return 0, fmt.Errorf("%w: %d blocks for %d hashes", ErrBadNode, len(blocks), len(hashes))
	}
	for i, raw := range blocks {
		block, err := consensus.DecodeBlock(raw)
		if err != nil {
			return i, fmt.Errorf("%w: block %s: %w", ErrBadNode, hashes[i], err)
		}
		if block.Header.Hash() != hashes[i] {
			return i, fmt.Errorf("%w: it sent another block for %s", ErrBadNode, hashes[i])
		}
		if block.Prev != w.doc.tip().Hash {
			return i, errMoved
		}
		if err := w.scanBlock(block, Point{heights[i], hashes[i]}); err != nil {
			return i, err
		}
	}
	return len(blocks), nil
}
