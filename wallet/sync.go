package wallet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lode/consensus"
)

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
	saveEvery     = 10 * time.Second // of a long scan, so that an interrupted one goes on
	forkBatchSize = 32               // points asked for at once
	// sendEvery is how long a node may be silent about a payment that it has: it
	// may have been restarted, and then announces nothing by itself.
	sendEvery = 10 * time.Minute
)

// Progress is told how far a scan has come.
type Progress func(height, tip uint32)

// Sync reads what happened since the last time, from the blocks and the mempool
// of a node, sends again what is in no block, and saves. A scan that is
// interrupted goes on where it was.
//
// The mempool is read before the blocks, and again until nothing has moved
// meanwhile: a transaction that moves from the one to the other is then seen
// twice, which is harmless, and never missed.
func (w *Wallet) Sync(ctx context.Context, node Node, progress Progress) error {
	if err := w.checkNode(ctx, node); err != nil {
		return err
	}
	s := syncing{w, ctx, node, progress, time.Now()}
	for range maxRounds {
		if err := s.findSilentPending(); err != nil {
			return errors.Join(err, w.Save())
		}
		pool, err := node.Pending(ctx, w.poolQuery())
		if err != nil {
			return errors.Join(fmt.Errorf("reading the node's mempool: %w", err), w.Save())
		}
		moved, err := s.catchUp()
		if errors.Is(err, errMoved) || moved && err == nil {
			continue
		}
		if err != nil {
			return errors.Join(err, w.Save())
		}
		if widened, err := w.setPool(ctx, pool); err != nil {
			return errors.Join(err, w.Save())
		} else if widened {
			continue
		}
		w.checkGap()
		if err := w.Save(); err != nil { // before anything is sent again
			return err
		}
		w.sendAgain(ctx, node)
		return w.Save()
	}
	return errors.Join(ErrUnsteady, w.Save())
}

// checkNode makes sure that a node is on the wallet's chain.
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

// sendAgain gives the node what the wallet has sent and no block holds. What
// becomes of it is noted, and no error: the next command tries again.
func (w *Wallet) sendAgain(ctx context.Context, node Node) {
	w.refresh()
	now := w.now()
	for _, r := range w.journal.unconfirmed() {
		if !r.own || w.verdicts[r].state != StatePending || r.pooled && now.Sub(time.Unix(r.sent, 0)) < sendEvery {
			continue
		}
		switch err := node.Send(ctx, r.tx); {
		case err == nil:
			w.do(event{kind: evSent, ref: r.id, n: uint64(now.Unix())})
		case errors.Is(err, ErrRefused):
			if r.refusal != err.Error() {
				w.do(event{kind: evRefusal, ref: r.id, raw: []byte(err.Error())})
			}
		case ctx.Err() != nil:
			return
		}
	}
}

// syncing is one Sync under way.
type syncing struct {
	*Wallet
	ctx      context.Context
	node     Node
	progress Progress
	saved    time.Time
}

func (s *syncing) report(height, tip uint32) error {
	if s.progress != nil {
		s.progress(height, tip)
	}
	if time.Since(s.saved) < saveEvery {
		return nil
	}
	s.saved = time.Now()
	return s.Save()
}

// catchUp brings the wallet to the tip of the node's chain, with all keys. It
// reports whether anything was new.
func (s *syncing) catchUp() (moved bool, err error) {
	tip, err := s.node.Tip(s.ctx)
	if err != nil {
		return false, fmt.Errorf("reading the node's tip: %w", err)
	}
	fork, err := s.findFork(tip.Height)
	if err != nil {
		return false, err
	}
	if fork != s.points.tip() {
		moved = true
		s.do(event{kind: evRollBack, block: blockRef{Point: fork}})
	}
	if err := s.findSilent(tip); err != nil {
		return moved, err
	}
	if s.points.tip() != tip {
		moved = true
		if err := s.leap(tip); err != nil {
			return moved, err
		}
	}
	for at := s.points.tip(); at != tip; at = s.points.tip() {
		if at.Height >= tip.Height {
			return moved, errMoved
		}
		if err := s.scanBatch(min(tip.Height-at.Height, batchBlocks)); err != nil {
			return moved, err
		}
		if err := s.report(s.points.tip().Height, tip.Height); err != nil {
			return moved, err
		}
	}
	if !s.lookedBack() {
		return true, s.lookBackAll()
	}
	return moved, nil
}

// findFork finds the last point of the wallet that is in the node's chain.
func (s *syncing) findFork(tip uint32) (Point, error) {
	points := s.points
	for len(points) > 0 && points.tip().Height > tip {
		points = points[:len(points)-1]
	}
	for batch := 1; len(points) > 0; batch = forkBatchSize { // mostly there was no reorg
		n := min(batch, len(points))
		heights := make([]uint32, n)
		for i := range heights {
			heights[i] = points[len(points)-1-i].Height
		}
		hashes, err := s.hashes(heights)
		if err != nil {
			return Point{}, err
		}
		for i, hash := range hashes {
			if p := points[len(points)-1-i]; p.Hash == hash {
				return p, nil
			}
		}
		points = points[:len(points)-n]
	}
	return Point{0, s.spec.Rules.GenesisHash()}, nil
}

// hashes asks for the hashes of the active chain at some heights.
func (s *syncing) hashes(heights []uint32) ([]consensus.Hash, error) {
	hashes, err := s.node.BlockHashes(s.ctx, heights)
	if err != nil {
		return nil, fmt.Errorf("reading hashes of blocks: %w", err)
	}
	if len(hashes) != len(heights) {
		return nil, fmt.Errorf("%w: %d hashes for %d heights", ErrBadNode, len(hashes), len(heights))
	}
	return hashes, nil
}

// block is a block that a node gave, and its place.
type block struct {
	*consensus.Block
	at Point
}

// blocks reads blocks at some heights, at least the first of them. The error is
// errMoved if the chain does not reach so far any more.
func (s *syncing) blocks(heights []uint32) ([]block, error) {
	hashes, err := s.hashes(heights)
	if err != nil {
		return nil, err
	}
	for i, hash := range hashes {
		if hash == (consensus.Hash{}) {
			hashes = hashes[:i] // the chain has become shorter
			break
		}
	}
	if len(hashes) == 0 {
		return nil, errMoved
	}
	raws, err := s.node.Blocks(s.ctx, hashes)
	if err != nil {
		return nil, fmt.Errorf("reading blocks from height %d: %w", heights[0], err)
	}
	if len(raws) == 0 || len(raws) > len(hashes) {
		return nil, fmt.Errorf("%w: %d blocks for %d hashes", ErrBadNode, len(raws), len(hashes))
	}
	list := make([]block, len(raws))
	for i, raw := range raws {
		b, err := consensus.DecodeBlock(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: block %s: %w", ErrBadNode, hashes[i], err)
		}
		if b.Header.Hash() != hashes[i] {
			return nil, fmt.Errorf("%w: it sent another block for %s", ErrBadNode, hashes[i])
		}
		if root, mutated := consensus.MerkleRoot(b.TxIDs()); mutated || root != b.MerkleRoot {
			return nil, fmt.Errorf("%w: block %s has other transactions than its header says", ErrBadNode, hashes[i])
		}
		list[i] = block{b, Point{heights[i], hashes[i]}}
	}
	return list, nil
}

// scanBatch scans up to n blocks behind the tip.
func (s *syncing) scanBatch(n uint32) error {
	heights := make([]uint32, n)
	for i := range heights {
		heights[i] = s.points.tip().Height + 1 + uint32(i)
	}
	blocks, err := s.blocks(heights)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if b.Prev != s.points.tip().Hash {
			return errMoved
		}
		if err := s.scanBlock(s.ctx, b.Block, b.at); err != nil {
			return err
		}
		s.do(event{kind: evPoint, block: blockRef{Point: b.at}})
	}
	return nil
}

// PoolLoaded reports whether the node had read all of its mempool when it was
// last asked.
func (w *Wallet) PoolLoaded() bool { return w.loaded }
