package chain

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

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

// readAhead is how many blocks are decoded before they are needed.
const readAhead = 16

// Import adds the blocks of a file in bootstrap framing (magic, length, block),
// of size bytes. They may come before their parents. What is no block, or no
// good one, is counted and named, and the rest is taken. progress, if not nil,
// is told from time to time how many bytes are done.
func (c *Chain) Import(ctx context.Context, src io.ReaderAt, size int64, progress func(done int64)) (Imported, error) {
	file := &bootstrap{src: src, size: size, magic: c.blocks.magic, limit: c.rules.MaxBlockWeight}
	ahead := make(chan stored, readAhead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ahead)
		for {
			s, err := file.next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			select {
			case ahead <- s:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	im := importer{c: c, file: file, waiting: make(map[consensus.Hash][]orphan)}
	group.Go(func() error {
		for s := range ahead {
			if err := im.take(s); err != nil {
				return err
			}
			if progress != nil {
				progress(s.offset + int64(s.size))
			}
		}
		return ctx.Err()
	})
	err := group.Wait()
	for _, orphans := range im.waiting {
		im.result.Orphans += len(orphans)
		im.result.problem("block %s at byte %d: its parent %s is not there", orphans[0].hash, orphans[0].offset, orphans[0].prev)
	}
	im.result.Passed = file.passed
	return im.result, err
}

// importer takes blocks in, and keeps in mind where those lie that wait for
// their parents.
type importer struct {
	c       *Chain
	file    *bootstrap
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

// take adds a block, and then those that waited for it. Its error is one of the
// ledger or of reading.
func (im *importer) take(s stored) error {
	for queue := []stored{s}; len(queue) > 0; queue = queue[1:] {
		next := queue[0]
		hash := next.block.Header.Hash()
		if known, err := im.submit(next, hash); err != nil || !known {
			return err
		}
		for _, o := range im.waiting[hash] {
			block, err := im.file.read(o.offset, o.size)
			if err != nil {
				return err
			}
			queue = append(queue, stored{block, o.offset, o.size})
		}
		delete(im.waiting, hash)
	}
	return nil
}

// submit hands a block to the ledger and counts what became of it; known says
// whether its children can be added now.
func (im *importer) submit(s stored, hash consensus.Hash) (known bool, err error) {
	if hash == im.c.rules.GenesisHash() { // exempt from the rules, and always there
		im.result.Known++
		return true, nil
	}
	status, err := im.c.SubmitBlock(s.block)
	switch {
	case errors.Is(err, ErrFatal):
		return false, err
	case errors.Is(err, ErrUnknownParent):
		im.waiting[s.block.Prev] = append(im.waiting[s.block.Prev], orphan{hash, s.block.Prev, s.offset, s.size})
		return false, nil
	case err != nil:
		im.result.Refused++
		im.result.problem("block %s at byte %d: %v", hash, s.offset, err)
		// Children of a block that is invalid for good are refused for their
		// parent; those of one that was only changed wait for the honest one.
		_, inIndex := im.c.Header(hash)
		return inIndex, nil
	case status == Duplicate:
		im.result.Known++
		return true, nil
	}
	im.result.Blocks++
	im.result.Txs += len(s.block.Txs)
	for _, tx := range s.block.Txs[1:] {
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
		frame := append(make([]byte, 0, frameSize), c.blocks.magic[:]...)
		frame = binary.LittleEndian.AppendUint32(frame, uint32(len(block)))
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
