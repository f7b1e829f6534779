package chain

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"lode/chain/blockfile"
	"lode/consensus"
)

// Imported counts what an import has met.
type Imported struct {
	Blocks   int   // that were new and good
	Txs      int   // in those
	Inputs   int   // of those, coinbases left out
	Known    int   // blocks that were there before
	Orphans  int   // blocks whose parents never came
	Refused  int   // blocks that broke a rule, or came after one that did
	Passed   int64 // bytes that are no block
	Problems []string
}

// Clean reports whether everything in the file was a good block.
func (i *Imported) Clean() bool { return i.Orphans == 0 && i.Refused == 0 && i.Passed == 0 }

// maxProblems bounds how many problems an import names.
const maxProblems = 20

func (i *Imported) problem(format string, args ...any) {
	if len(i.Problems) < maxProblems {
		i.Problems = append(i.Problems, fmt.Sprintf(format, args...))
	}
}

// prepared is a block of a file with what can be said of it alone.
type prepared struct {
	stored  blockfile.Found
	hash    consensus.Hash
	checked *consensus.CheckedBlock
	err     error // of CheckBlock
}

// Unmask gives src as it was before Bitcoin Core masked it with the content of its
// xor.dat.
func Unmask(src io.ReaderAt, key [8]byte) io.ReaderAt { return blockfile.Unmask(src, key) }

// magic is what comes before each block in a file of this network.
func (c *Chain) magic() [4]byte { return [4]byte(c.cfg.Spec.Defaults.Magic) }

func (c *Chain) prepare(s blockfile.Found) prepared {
	hashed := s.Block.Hashed()
	p := prepared{stored: s, hash: hashed.Hash()}
	p.checked, p.err = c.rules.CheckHashed(hashed)
	return p
}

// Import adds the blocks of a file in bootstrap framing (magic, length, block),
// of size bytes. They may come before their parents. What is no block, or no
// good one, is counted and named, and the rest is taken. progress, if not nil,
// is told from time to time how many bytes are done.
func (c *Chain) Import(ctx context.Context, src io.ReaderAt, size int64, progress func(done int64)) (Imported, error) {
	file := blockfile.NewBootstrap(src, size, c.magic(), c.rules.MaxBlockWeight)
	ahead := make(chan []prepared) // while one group is connected the next is read and hashed
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ahead)
		for {
			blocks, err := c.readGroup(ctx, file)
			if len(blocks) == 0 || err != nil {
				return err
			}
			select {
			case ahead <- blocks:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	im := importer{c: c, file: file, waiting: make(map[consensus.Hash][]orphan)}
	group.Go(func() error {
		for blocks := range ahead {
			if err := im.take(blocks); err != nil {
				return err
			}
			if progress != nil {
				last := blocks[len(blocks)-1]
				progress(last.stored.Offset + int64(last.stored.Size))
			}
		}
		return ctx.Err()
	})
	err := group.Wait()
	for _, orphans := range im.waiting {
		im.result.Orphans += len(orphans)
		im.result.problem("block %s at byte %d: its parent %s is not there", orphans[0].hash, orphans[0].offset, orphans[0].prev)
	}
	if im.result.Passed = file.Passed; file.Passed > 0 {
		if head, foreign := file.IsForeign(); foreign {
			im.result.problem("the file begins with %x, blocks of this network with %x: it may be of another network, or masked by a xor.dat that is not beside it", head, c.magic())
		}
	}
	return im.result, err
}

// HoldsBlocks reports whether there is a block in a file in bootstrap framing, of
// size bytes, whose work is good on a network: whether it may be worth an Import.
func HoldsBlocks(ctx context.Context, src io.ReaderAt, size int64, spec *consensus.Spec) (bool, error) {
	file := blockfile.NewBootstrap(src, size, [4]byte(spec.Defaults.Magic), spec.Rules.MaxBlockWeight)
	for {
		s, err := file.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case spec.Rules.CheckWork(&s.Block.Header) == nil:
			return true, nil
		}
	}
}

// readGroup reads the next blocks of a file, about groupSize bytes of them: none
// at its end.
func (c *Chain) readGroup(ctx context.Context, file *blockfile.Bootstrap) (blocks []prepared, err error) {
	for size := 0; size < groupSize; {
		s, err := file.Next(ctx)
		if errors.Is(err, io.EOF) {
			return blocks, nil
		}
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, c.prepare(s))
		size += s.Size
	}
	return blocks, nil
}

// importer takes blocks in, and keeps in mind where those lie that wait for
// their parents.
type importer struct {
	c       *Chain
	file    *blockfile.Bootstrap
	waiting map[consensus.Hash][]orphan // by parent
	result  Imported
}

// orphan is a block that came before its parent, and is read again when that
// has come.
type orphan struct {
	hash, prev consensus.Hash
	offset     int64
	size       int
}

// take adds blocks, and then those that waited for them. Its error is one of the
// ledger or of reading.
func (im *importer) take(blocks []prepared) error {
	for len(blocks) > 0 {
		var next []prepared
		known, err := im.submit(blocks)
		if err != nil {
			return err
		}
		for _, hash := range known {
			for _, o := range im.waiting[hash] {
				block, err := im.file.Read(o.offset, o.size)
				if err != nil {
					return err
				}
				next = append(next, im.c.prepare(blockfile.Found{Block: block, Offset: o.offset, Size: o.size}))
			}
			delete(im.waiting, hash)
		}
		blocks = next
	}
	return nil
}

// submit hands blocks to the ledger and counts what became of them; known are
// those whose children can be added now.
func (im *importer) submit(blocks []prepared) (known []consensus.Hash, err error) {
	list := make([]*submission, len(blocks))
	var good []*submission
	for i, p := range blocks {
		list[i] = &submission{block: p.checked, imported: true, err: p.err}
		if p.hash == im.c.rules.GenesisHash() { // exempt from the rules, and always there
			list[i].status, list[i].err = Duplicate, nil
		} else if p.err == nil {
			good = append(good, list[i])
		}
	}
	im.c.submit(good...)
	for i, s := range list {
		isKnown, err := im.count(&blocks[i], s)
		if err != nil {
			return nil, err
		}
		if isKnown {
			known = append(known, blocks[i].hash)
		}
	}
	return known, nil
}

// count counts what became of a block; known says whether its children can be
// added now.
func (im *importer) count(p *prepared, s *submission) (known bool, err error) {
	switch {
	case errors.Is(s.err, ErrFatal):
		return false, s.err
	case errors.Is(s.err, ErrUnknownParent):
		im.waiting[p.stored.Block.Prev] = append(im.waiting[p.stored.Block.Prev], orphan{p.hash, p.stored.Block.Prev, p.stored.Offset, p.stored.Size})
		return false, nil
	case s.err != nil:
		im.result.Refused++
		im.result.problem("block %s at byte %d: %v", p.hash, p.stored.Offset, s.err)
		// Children of a block that is invalid for good are refused for their
		// parent; those of one that was only changed wait for the honest one.
		_, inIndex := im.c.Header(p.hash)
		return inIndex, nil
	case s.status == Duplicate:
		im.result.Known++
		return true, nil
	}
	im.result.Blocks++
	im.result.Txs += len(p.stored.Block.Txs)
	for _, tx := range p.stored.Block.Txs[1:] {
		im.result.Inputs += len(tx.In)
	}
	return true, nil
}

// Export writes the active chain from a height on in bootstrap framing, genesis
// included. It gives the number of blocks written.
func (c *Chain) Export(ctx context.Context, w io.Writer, from uint32, progress func(height, tip uint32)) (int, error) {
	written := 0
	for height := from; ; height++ {
		hash, ok := c.HashAt(height)
		if !ok {
			return written, nil
		}
		if err := ctx.Err(); err != nil {
			return written, err
		}
		block, err := c.BlockBytes(hash)
		if err != nil {
			return written, err
		}
		frame := blockfile.AppendFrame(nil, c.magic(), len(block))
		for _, part := range [][]byte{frame, block} {
			if _, err := w.Write(part); err != nil {
				return written, err
			}
		}
		written++
		if progress != nil {
			progress(height, c.Tip().Height)
		}
	}
}
