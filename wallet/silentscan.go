package wallet

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"lode/consensus"
	"lode/wallet/silent"
)

// SilentNode is a node that tells what finds silent payments.
type SilentNode interface {
	// SilentBlocks gives blocks of the active chain from a height on, in order, at most
	// count of them, and at least one if it reaches that far. ok is false if the node keeps
	// no index, or builds it yet.
	SilentBlocks(ctx context.Context, from, count uint32) (blocks []SilentBlock, ok bool, err error)
	// SilentPool gives transactions of the mempool that came behind a place, an empty one or
	// that of an earlier answer. ok is as with SilentBlocks.
	SilentPool(ctx context.Context, after string) (page SilentPage, ok bool, err error)
}

// SilentTx is what one needs of a transaction to know whether it pays one silently.
type SilentTx struct {
	Tweak   silent.PublicKey
	Outputs [][32]byte // the keys of its Taproot outputs
}

// SilentBlock is a block with its transactions that can hold silent payments.
type SilentBlock struct {
	Point
	Prev consensus.Hash
	Txs  []SilentTx
}

// SilentPage is a part of a mempool.
type SilentPage struct {
	Txs  []SilentTx
	Next string // the place of the last one
	More bool   // there is more now
}

// maxSilentPages bounds how often a mempool is asked for more.
const maxSilentPages = 1_000

// silentBatch is how many blocks are asked for at once.
const silentBatch = 200

// looksForSilent reports whether payments may have been made to silent addresses.
func (w *Wallet) looksForSilent() bool {
	return w.receiver != nil && w.doc.Silent.Use != silentUnused
}

// SilentMissed says what to do if silent payments were not looked for as the node does not tell
// what finds them. It is empty if they were, or if there can be none as far as is known; sure
// says that an address was handed out.
func (w *Wallet) SilentMissed() (advice string, sure bool) {
	if !w.silentMissed {
		return "", false
	}
	return fmt.Sprintf("silent payments behind block %d were not looked for: the node has no index for them, or builds it yet; start it with --silentindex", w.silentFrom().Height),
		w.doc.Silent.Use == silentGiven || len(w.silent.list) > 0
}

// silentFrom is the block up to which silent payments were looked for.
func (w *Wallet) silentFrom() Point {
	if w.silentAt == (Point{}) || w.silentAt.Height < w.start.Height {
		return w.start
	}
	return w.silentAt
}

// findSilent looks for silent payments in the blocks up to the tip. It comes before the blocks
// themselves are read: what it finds is one more key for that.
func (s *syncing) findSilent(tip Point) error {
	s.silentMissed = false
	if !s.looksForSilent() {
		return nil
	}
	at, err := s.silentStart(tip)
	if err != nil {
		return err
	}
	for at.Height < tip.Height {
		node, ok := s.node.(SilentNode)
		var blocks []SilentBlock
		if ok {
			blocks, ok, err = node.SilentBlocks(s.ctx, at.Height+1, min(silentBatch, tip.Height-at.Height))
		}
		if err != nil {
			return fmt.Errorf("reading what finds silent payments from height %d: %w", at.Height+1, err)
		}
		if !ok {
			s.silentMissed = true
			return nil
		}
		if len(blocks) == 0 {
			return errMoved
		}
		for i := range blocks {
			b := &blocks[i]
			if b.Height != at.Height+1 || b.Height > tip.Height || b.Prev != at.Hash {
				return errMoved
			}
			if err := s.findSilentIn(b); err != nil {
				return err
			}
			at = b.Point
		}
		s.do(event{kind: evSilentAt, block: blockRef{Point: at}})
		if err := s.report(at.Height, tip.Height); err != nil {
			return err
		}
	}
	if at != tip {
		return errMoved
	}
	return nil
}

// silentStart is the last block that was looked at and is in the chain still. What was scanned
// otherwise is, see findFork; but this may be ahead of it.
func (s *syncing) silentStart(tip Point) (Point, error) {
	at := s.silentFrom()
	if known := s.points.tip(); at.Height > known.Height {
		hash := consensus.Hash{}
		if at.Height <= tip.Height {
			hashes, err := s.hashes([]uint32{at.Height})
			if err != nil {
				return at, err
			}
			hash = hashes[0]
		}
		if hash != at.Hash {
			s.do(event{kind: evSilentAt, block: blockRef{Point: known}})
			return known, nil
		}
	}
	return at, nil
}

// findSilentIn looks at one block.
func (s *syncing) findSilentIn(b *SilentBlock) error {
	found, err := s.scanSilent(s.ctx, b.Txs)
	if err != nil {
		return fmt.Errorf("%w: block %d: %w", ErrBadNode, b.Height, err)
	}
	scanned := b.Height <= s.points.tip().Height
	complete := s.lookedBack()
	if !s.addSilent(found, !scanned) || !scanned {
		return nil
	}
	if before := (Point{b.Height - 1, b.Prev}); complete || s.lookBack.Height > before.Height {
		s.do(event{kind: evLookBack, block: blockRef{Point: before}})
	}
	return nil
}

// findSilentPending looks for silent payments in the mempool, at each transaction once. What it
// finds is one more key that the mempool is then asked for.
func (s *syncing) findSilentPending() error {
	node, ok := s.node.(SilentNode)
	if !ok || !s.looksForSilent() {
		return nil
	}
	for range maxSilentPages {
		page, ok, err := node.SilentPool(s.ctx, s.silentPool)
		if err != nil {
			return fmt.Errorf("looking for silent payments in the node's mempool: %w", err)
		}
		if !ok {
			return nil
		}
		found, err := s.scanSilent(s.ctx, page.Txs)
		if err != nil {
			return fmt.Errorf("%w: its mempool: %w", ErrBadNode, err)
		}
		s.addSilent(found, true)
		if page.Next != s.silentPool && len(page.Next) <= maxSilentPlace {
			s.do(event{kind: evSilentPool, raw: []byte(page.Next)})
		}
		if !page.More {
			return nil
		}
	}
	return nil
}

// maxSilentPlace bounds what is kept of a node's places, in bytes.
const maxSilentPlace = 100

// addSilent takes up the keys that are new. looked says that no block that was scanned can pay
// them. It reports whether any was.
func (w *Wallet) addSilent(list []silent.Found, looked bool) (added bool) {
	for i := range list {
		if _, known := w.keys.byKey.get(list[i].Key); known {
			continue
		}
		b := w.keys.silent
		looked := looked && int(b.looked) == len(b.keys)
		w.do(event{kind: evSilentKey, raw: encodeSilentKey(&list[i])})
		if looked {
			w.do(event{kind: evLooked, branch: b.id, n: uint64(len(b.keys))})
		}
		added = true
	}
	return added
}

// scanSilent finds what pays the wallet, on all cores, in the order of the transactions.
func (w *Wallet) scanSilent(ctx context.Context, txs []SilentTx) (list []silent.Found, err error) {
	if len(txs) == 0 {
		return nil, nil
	}
	if w.scanner == nil {
		labels := make([]uint32, maxSilentLabels)
		for i := range labels {
			labels[i] = uint32(i) + 1
		}
		if w.scanner, err = w.receiver.NewScanner(labels); err != nil {
			return nil, err
		}
	}
	parts := make([][]silent.Found, len(txs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range txs {
		group.Go(func() (err error) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			parts[i], err = w.scanner.Scan(txs[i].Tweak, txs[i].Outputs)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, part := range parts {
		list = append(list, part...)
	}
	return list, nil
}
