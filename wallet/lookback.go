package wallet

import (
	"context"
	"fmt"
)

// leapLeast is how many blocks behind the node's tip a wallet asks the index of
// addresses instead of reading them all.
const leapLeast = 100

// maxLeapKeys bounds the keys that the index is asked for at once by the wallet.
const maxLeapKeys = 50_000

// leap brings a wallet that is far behind to the tip by the node's index of
// addresses, if there is one. Payments that wait for a block make it read all
// blocks: what conflicts with them need not concern the wallet's keys. Of the
// blocks at the tip it knows the hashes, so that it finds the fork of a reorg.
func (s *syncing) leap(tip Point) error {
	from := s.points.tip()
	if tip.Height < from.Height+leapLeast {
		return nil
	}
	for _, r := range s.journal.unconfirmed() {
		if n := len(r.was); n == 0 || r.was[n-1].Height <= from.Height {
			return nil
		}
	}
	recent := make([]uint32, 0, recentPoints)
	for h := max(from.Height+1, tip.Height-min(tip.Height, recentPoints-1)); h <= tip.Height; h++ {
		recent = append(recent, h)
	}
	hashes, err := s.hashes(recent)
	if err != nil {
		return err
	}
	var keys [][32]byte
	for _, b := range s.keys.all() {
		keys = append(keys, b.keys...)
	}
	if hashes[len(hashes)-1] != tip.Hash {
		return errMoved
	}
	known := 0 // so many of recent are points; whatever is scanned is at or below one
	pointsTo := func(height uint32) {
		for ; known < len(recent) && recent[known] <= height; known++ {
			s.do(event{kind: evPoint, block: blockRef{Point: Point{recent[known], hashes[known]}}})
		}
	}
	ok, err := s.byIndex(keys, from.Height+1, tip, func(b block) error {
		if err := s.scanBlock(s.ctx, b.Block, b.at); err != nil {
			return err
		}
		if b.at.Height < recent[0] {
			s.do(event{kind: evPoint, block: blockRef{Point: b.at}})
		}
		pointsTo(b.at.Height)
		return nil
	})
	if err != nil || !ok {
		return err
	}
	pointsTo(tip.Height)
	return s.report(tip.Height, tip.Height)
}

// byIndex gives the blocks in which the index of addresses has some keys, up to the
// tip, to a function. They are read in batches, however many there are, and all are
// of the chain of the tip: else the error is errMoved.
func (s *syncing) byIndex(keys [][32]byte, from uint32, tip Point, take func(block) error) (ok bool, err error) {
	if len(keys) > maxLeapKeys {
		return false, nil
	}
	heights, ok, err := s.node.HeightsOf(s.ctx, keys, from, tip.Height)
	if err != nil || !ok {
		return false, err
	}
	for i, h := range heights {
		if h < from || h > tip.Height || i > 0 && h <= heights[i-1] {
			return false, fmt.Errorf("%w: its index of addresses names block %d, asked for %d to %d", ErrBadNode, h, from, tip.Height)
		}
	}
	for len(heights) > 0 {
		some, err := s.blocks(heights[:min(len(heights), batchBlocks)])
		if err == nil {
			err = s.still(tip)
		}
		if err != nil {
			return false, err
		}
		for _, b := range some {
			if err := take(b); err != nil {
				return false, err
			}
		}
		if heights = heights[len(some):]; len(heights) == 0 {
			break
		}
		if err := s.report(some[len(some)-1].at.Height, tip.Height); err != nil {
			return false, err
		}
	}
	return true, s.still(tip)
}

// still fails if a block is not in the node's chain any more.
func (s *syncing) still(p Point) error {
	hashes, err := s.hashes([]uint32{p.Height})
	if err == nil && hashes[0] != p.Hash {
		err = errMoved
	}
	return err
}

// lookBackAll looks for the keys that are new in the blocks that are scanned.
// What it finds may widen the windows again.
func (s *syncing) lookBackAll() error {
	tip := s.points.tip()
	if s.lookBack.Height < s.start.Height {
		s.do(event{kind: evLookBack, block: blockRef{Point: s.start}})
	}
	var keys [][32]byte
	news := make([]int, len(s.keys.all()))
	for i, b := range s.keys.all() {
		keys = append(keys, b.keys[b.looked:]...)
		news[i] = len(b.keys)
	}
	ok, err := s.byIndex(keys, s.lookBack.Height+1, tip, func(b block) error { return s.scanBlock(s.ctx, b.Block, b.at) })
	if err != nil {
		return err
	}
	if ok {
		return s.looked(news)
	}
	for s.lookBack.Height < tip.Height {
		if err := s.lookBackBatch(tip); err != nil {
			return err
		}
		if s.keys.derived(news) {
			return nil // the search has begun anew, with more keys
		}
		if err := s.report(s.lookBack.Height, tip.Height); err != nil {
			return err
		}
	}
	return s.looked(news)
}

// lookBackBatch looks into the next blocks, which must follow each other up to
// the tip that was scanned.
func (s *syncing) lookBackBatch(tip Point) error {
	heights := make([]uint32, min(batchBlocks, tip.Height-s.lookBack.Height))
	for i := range heights {
		heights[i] = s.lookBack.Height + 1 + uint32(i)
	}
	blocks, err := s.blocks(heights)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if b.Prev != s.lookBack.Hash || b.at.Height == tip.Height && b.at != tip {
			s.do(event{kind: evLookBack, block: blockRef{Point: s.start}}) // another chain
			return errMoved
		}
		before := s.keys.byKey.len()
		if err := s.scanBlock(s.ctx, b.Block, b.at); err != nil {
			return err
		}
		if s.keys.byKey.len() > before {
			return nil
		}
		s.do(event{kind: evLookBack, block: blockRef{Point: b.at}})
	}
	return nil
}

// derived reports whether there are more keys than there were.
func (k *keyring) derived(before []int) bool {
	for i, b := range k.all() {
		if len(b.keys) > before[i] {
			return true
		}
	}
	return false
}

// looked notes the keys that were looked for everywhere; those that were derived
// since are not among them.
func (s *syncing) looked(news []int) error {
	for i, b := range s.keys.all() {
		if int(b.looked) < news[i] {
			s.do(event{kind: evLooked, branch: b.id, n: uint64(news[i])})
		}
	}
	return nil
}

// Rescan looks at all blocks from a height on anew, as if they had never been
// scanned, and brings the wallet to the node's tip.
func (w *Wallet) Rescan(ctx context.Context, node Node, from uint32, progress Progress) error {
	if err := w.checkNode(ctx, node); err != nil {
		return err
	}
	tip, err := node.Tip(ctx)
	if err != nil {
		return fmt.Errorf("reading the node's tip: %w", err)
	}
	before := min(max(from, 1)-1, tip.Height)
	hashes, err := node.BlockHashes(ctx, []uint32{before})
	if err != nil {
		return fmt.Errorf("reading hashes of blocks: %w", err)
	}
	if len(hashes) != 1 {
		return fmt.Errorf("%w: %d hashes for one height", ErrBadNode, len(hashes))
	}
	if before < w.points.tip().Height {
		w.do(event{kind: evRollBack, block: blockRef{Point: Point{before, hashes[0]}}})
	}
	return w.Sync(ctx, node, progress)
}
