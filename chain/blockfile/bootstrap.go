package blockfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lode/consensus"
)

// Bootstrap finds blocks in a file in bootstrap framing (magic, length, block),
// and passes over whatever else is in it.
type Bootstrap struct {
	src   io.ReaderAt
	size  int64
	magic [4]byte
	limit int // bytes of the largest block

	window []byte // of src
	at     int64  // where the window begins
	pos    int64  // where to read on
	Passed int64  // bytes passed over so far
}

const windowSize = 4 << 20

// NewBootstrap reads a file of size bytes. limit is how many the largest block has.
func NewBootstrap(src io.ReaderAt, size int64, magic [4]byte, limit int) *Bootstrap {
	return &Bootstrap{src: src, size: size, magic: magic, limit: limit}
}

// IsForeign reports whether the file begins with something else than blocks of this
// network do, and with what.
func (b *Bootstrap) IsForeign() (head []byte, foreign bool) {
	head, err := b.view(0, len(b.magic))
	return head, err == nil && len(head) == len(b.magic) && !bytes.Equal(head, b.magic[:])
}

// AppendFrame appends what comes before a block of size bytes.
func AppendFrame(b []byte, magic [4]byte, size int) []byte {
	return binary.LittleEndian.AppendUint32(append(b, magic[:]...), uint32(size))
}

// Found is a block in a file, and where it lies there.
type Found struct {
	Block  *consensus.Block
	Offset int64 // of the block, behind its frame
	Size   int
}

// Next gives the block that comes next, or io.EOF. It ends with ctx.
func (b *Bootstrap) Next(ctx context.Context) (Found, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Found{}, err
		}
		frame, err := b.view(b.pos, FrameSize)
		if err != nil {
			return Found{}, err
		}
		if len(frame) < FrameSize {
			b.Passed += b.size - b.pos
			b.pos = b.size
			return Found{}, io.EOF
		}
		if bytes.Equal(frame[:4], b.magic[:]) {
			s, err := b.block(b.pos+FrameSize, int64(binary.LittleEndian.Uint32(frame[4:])))
			if err == nil || !errors.Is(err, consensus.ErrDecode) {
				return s, err
			}
		}
		if err := b.skip(ctx); err != nil {
			return Found{}, err
		}
	}
}

// block reads the block that a frame announces. The error is of kind
// consensus.ErrDecode if there is none.
func (b *Bootstrap) block(offset, size int64) (Found, error) {
	if size < consensus.HeaderSize || size > min(int64(b.limit), b.size-offset) {
		return Found{}, consensus.ErrDecode
	}
	block, err := b.Read(offset, int(size))
	if err == nil {
		b.pos = offset + size
	}
	return Found{block, offset, int(size)}, err
}

// Read decodes the block at an offset.
func (b *Bootstrap) Read(offset int64, size int) (*consensus.Block, error) {
	raw := make([]byte, size) // the block keeps it
	if _, err := b.src.ReadAt(raw, offset); err != nil {
		return nil, fmt.Errorf("read at %d: %w", offset, err)
	}
	return consensus.DecodeBlock(raw)
}

// skip moves on to the next place where a frame may begin.
func (b *Bootstrap) skip(ctx context.Context) error {
	for from := b.pos + 1; ; {
		view, err := b.rest(from)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		at := bytes.Index(view, b.magic[:])
		last := from+int64(len(view)) >= b.size
		if at < 0 && !last {
			from += int64(len(view) - len(b.magic) + 1) // a frame may begin in the last bytes
			continue
		}
		if at < 0 {
			at = len(view)
		}
		b.Passed += from + int64(at) - b.pos
		b.pos = from + int64(at)
		return nil
	}
}

// rest gives what the window holds from an offset on, if that is enough for a
// frame, or else what the next window does: a file of nothing but frames that
// hold no block is read once, not once for each of them.
func (b *Bootstrap) rest(offset int64) ([]byte, error) {
	if end := b.at + int64(len(b.window)); offset >= b.at && offset+FrameSize <= end {
		return b.window[offset-b.at:], nil
	}
	return b.view(offset, windowSize)
}

// view gives up to n bytes from an offset: fewer at the end.
func (b *Bootstrap) view(offset int64, n int) ([]byte, error) {
	n = int(max(0, min(int64(n), b.size-offset)))
	if offset < b.at || offset+int64(n) > b.at+int64(len(b.window)) {
		window := make([]byte, min(windowSize, b.size-offset))
		if _, err := b.src.ReadAt(window, offset); err != nil {
			return nil, fmt.Errorf("read at %d: %w", offset, err)
		}
		b.window, b.at = window, offset
	}
	return b.window[offset-b.at:][:n], nil
}

// unmask reads a file that Bitcoin Core has masked with the key in its xor.dat:
// byte i of the file with byte i mod 8 of the key.
type unmask struct {
	src io.ReaderAt
	key [8]byte
}

// ReadAt reads and unmasks.
func (u unmask) ReadAt(p []byte, offset int64) (int, error) {
	n, err := u.src.ReadAt(p, offset)
	for i := range p[:n] {
		p[i] ^= u.key[(offset+int64(i))%int64(len(u.key))]
	}
	return n, err
}

// Unmask gives src as it was before Bitcoin Core masked it with the content of
// its xor.dat.
func Unmask(src io.ReaderAt, key [8]byte) io.ReaderAt { return unmask{src, key} }
