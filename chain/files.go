package chain

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"lode/consensus"
)

// maxFileSize is how large a block or undo file grows before the next is begun;
// prunedFileSize, where they are pruned, as only whole files can go.
const (
	maxFileSize    = 128 << 20
	prunedFileSize = 16 << 20
	// fastPruneFileSize is for tests, as in Bitcoin Core.
	fastPruneFileSize = 64 << 10
)

// frameSize is the length of magic and length before each record.
const frameSize = 8

// files is a numbered sequence of append-only files of records, each in the
// framing of a bootstrap.dat: magic, length, payload.
type files struct {
	disk        disk
	dir, prefix string
	magic       [4]byte
	limit       int64 // bytes of a file

	mu      sync.Mutex // guards what follows
	end     position   // where the next record's frame begins; its Size is 0
	full    int64      // bytes in the files before end.File
	writing diskFile   // file end.File; nil before the first write
	unnamed bool       // a file was made since the last sync
	dirty   bool       // written since the last sync, by whomever
	closed  bool
}

// errRecord is the kind of error for a record that is not where it should be.
var errRecord = errors.New("not as it was written")

// errEnds is the kind of error, besides errRecord, where a file has ended before,
// or is gone.
var errEnds = fmt.Errorf("%w: the file is gone or ends before", errRecord)

// openFiles finds the files that are there. Some in between may be missing. One grows
// to limit bytes; 0 means maxFileSize.
func openFiles(d disk, dir, prefix string, magic []byte, limit int64) (*files, error) {
	if err := d.mkdir(dir); err != nil {
		return nil, err
	}
	f := &files{disk: d, dir: dir, prefix: prefix, magic: [4]byte(magic), limit: cmp.Or(limit, maxFileSize)}
	f.dirty, f.unnamed = true, true // by a process that was killed, perhaps
	return f, f.measure(math.MaxUint32)
}

// measure finds where the last of the files up to a number ends, and how much
// there is before it.
func (f *files) measure(last uint32) error {
	numbers, err := f.numbers()
	f.end, f.full = position{}, 0
	for _, n := range numbers {
		if n > last || err != nil {
			break
		}
		var size int64
		size, err = f.sizeOf(n)
		f.full += int64(f.end.Offset)
		f.end = position{File: n, Offset: uint32(min(size, math.MaxUint32))}
	}
	return err
}

func (f *files) sizeOf(n uint32) (int64, error) {
	h, err := f.disk.open(f.name(n), false)
	if err != nil {
		return 0, err
	}
	size, err := h.size()
	return size, errors.Join(err, h.Close())
}

// numbers lists the files that are there, in order.
func (f *files) numbers() ([]uint32, error) { return numbered(f.disk, f.dir, f.prefix) }

func numbered(d disk, dir, prefix string) ([]uint32, error) {
	names, err := d.names(dir)
	var numbers []uint32
	for _, name := range names {
		digits := strings.TrimSuffix(strings.TrimPrefix(name, prefix), ".dat")
		if n, err := strconv.ParseUint(digits, 10, 32); err == nil && name == fileName(prefix, uint32(n)) {
			numbers = append(numbers, uint32(n))
		}
	}
	slices.Sort(numbers)
	return numbers, err
}

func fileName(prefix string, n uint32) string { return fmt.Sprintf("%s%05d.dat", prefix, n) }

func (f *files) name(n uint32) string {
	return filepath.Join(f.dir, fileName(f.prefix, n))
}

// append writes one record behind all others and says where its payload lies.
func (f *files) append(payload []byte) (position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end.Offset > 0 && int64(f.end.Offset)+int64(frameSize+len(payload)) > f.limit {
		if err := f.syncWriting(); err != nil { // also what another process wrote
			return position{}, err
		}
		if err := f.finish(); err != nil {
			return position{}, err
		}
		f.full += int64(f.end.Offset)
		f.end = position{File: f.end.File + 1}
	}
	if err := f.begin(); err != nil {
		return position{}, err
	}
	record := appendFrame(make([]byte, 0, frameSize+len(payload)), f.magic, len(payload))
	record = append(record, payload...)
	f.dirty = true
	if _, err := f.writing.WriteAt(record, int64(f.end.Offset)); err != nil {
		return position{}, fmt.Errorf("write %s: %w", f.name(f.end.File), err)
	}
	p := position{f.end.File, f.end.Offset + frameSize, uint32(len(payload))}
	f.end.Offset += uint32(len(record))
	return p, nil
}

// begin opens the file that is written to. The caller holds mu.
func (f *files) begin() error {
	switch {
	case f.writing != nil:
		return nil
	case f.closed:
		return fmt.Errorf("%s: %w", f.name(f.end.File), os.ErrClosed)
	}
	h, err := f.disk.open(f.name(f.end.File), true)
	if err != nil {
		return err
	}
	f.writing, f.unnamed = h, f.unnamed || f.end.Offset == 0
	return nil
}

// finish syncs and closes the file that is written to. The caller holds mu.
func (f *files) finish() error {
	if f.writing == nil {
		return nil
	}
	err := f.syncWriting()
	err = errors.Join(err, f.writing.Close())
	f.writing = nil
	return err
}

// read gives the payload at p, whose frame must say the same length.
func (f *files) read(p position) ([]byte, error) {
	if p.Offset < frameSize || p.Size > maxFileSize {
		return nil, fmt.Errorf("%w: %s at %d", errRecord, f.name(p.File), p.Offset)
	}
	record := make([]byte, frameSize+int(p.Size))
	err := f.readAt(p.File, record, int64(p.Offset)-frameSize)
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: %s at %d", errEnds, f.name(p.File), p.Offset)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", errEnds, err)
	case err != nil:
		return nil, fmt.Errorf("read %s at %d: %w", f.name(p.File), p.Offset, err)
	case !bytes.Equal(record[:4], f.magic[:]) || binary.LittleEndian.Uint32(record[4:]) != p.Size:
		return nil, fmt.Errorf("%w: %s at %d", errRecord, f.name(p.File), p.Offset)
	}
	return record[frameSize:], nil
}

// readAt opens the file for this one read, so that however many there are, and
// whoever reads, one file stays open.
func (f *files) readAt(n uint32, b []byte, offset int64) error {
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return os.ErrClosed
	}
	h, err := f.disk.open(f.name(n), false)
	if err != nil {
		return err
	}
	defer h.Close()
	_, err = h.ReadAt(b, offset)
	return err
}

// sync makes everything that was appended survive a power cut.
func (f *files) sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncWriting()
}

// syncWriting is sync for a caller that holds mu.
func (f *files) syncWriting() error {
	if f.dirty {
		if err := f.begin(); err != nil {
			return err
		}
		if err := f.writing.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", f.name(f.end.File), err)
		}
		f.dirty = false
	}
	if f.unnamed {
		if err := f.disk.syncDir(f.dir); err != nil {
			return fmt.Errorf("sync %s: %w", f.dir, err)
		}
		f.unnamed = false
	}
	return nil
}

func (f *files) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.finish()
	f.closed = true
	return err
}

// tail is where the next record goes.
func (f *files) tail() position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end
}

// cut removes whatever lies behind p, where the next record goes from now on.
func (f *files) cut(p position) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end.compare(p) <= 0 {
		return nil
	}
	if err := f.finish(); err != nil {
		return err
	}
	numbers, err := f.numbers()
	if err != nil {
		return err
	}
	for _, n := range slices.Backward(numbers) {
		if n > p.File {
			if err := f.disk.removeAll(f.name(n)); err != nil {
				return err
			}
		}
	}
	if err := f.measure(p.File); err != nil {
		return err
	}
	if f.end.File != p.File {
		f.full += int64(f.end.Offset)
	}
	f.end = position{File: p.File, Offset: p.Offset}
	if err := f.begin(); err != nil {
		return err
	}
	f.dirty = true
	return f.writing.Truncate(int64(p.Offset))
}

// removeBefore removes the files before a number, oldest first, but never the
// one that is written to.
func (f *files) removeBefore(first uint32) (removed int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	numbers, err := f.numbers()
	for _, n := range numbers {
		if err != nil || n >= min(first, f.end.File) {
			break
		}
		var size int64
		if size, err = f.sizeOf(n); err == nil {
			err = f.disk.removeAll(f.name(n))
		}
		if err == nil {
			f.full -= size
			removed++
		}
	}
	return removed, err
}

// scan is what has been found in files.
type scan struct {
	end     position // of the last good block
	damaged int64    // bytes before that which are no good block
	tail    int64    // bytes behind it
}

// blocks visits every block in the files from a place on, in order, and passes
// over bytes that are none. A record that visit finds bad may have a wrong
// length, or have been cut short with good ones written behind: those are looked
// for inside of it.
func (f *files) blocks(ctx context.Context, from position, limit int, visit func(block *consensus.Block, p position) (good bool, err error)) (scan, error) {
	s := scan{end: from}
	numbers, err := f.numbers()
	for _, n := range numbers {
		if n >= from.File && err == nil {
			err = f.blocksIn(ctx, n, from, limit, visit, &s)
		}
	}
	return s, err
}

func (f *files) blocksIn(ctx context.Context, n uint32, from position, limit int, visit func(*consensus.Block, position) (bool, error), s *scan) error {
	h, err := f.disk.open(f.name(n), false)
	if err != nil {
		return err
	}
	defer h.Close()
	size, err := h.size()
	if err != nil {
		return err
	}
	file := newBootstrap(h, size, f.magic, limit)
	if n == from.File {
		file.pos = min(int64(from.Offset), size)
	}
	for counted := int64(0); ; {
		found, err := file.next(ctx)
		if errors.Is(err, io.EOF) {
			s.tail += file.passed - counted
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name(n), err)
		}
		good, err := visit(found.block, position{n, uint32(found.offset), uint32(found.size)})
		if err != nil {
			return err
		}
		if !good {
			file.pos = found.offset - frameSize + 1
			file.passed++
			continue
		}
		s.damaged += s.tail + file.passed - counted
		s.tail, counted = 0, file.passed
		s.end = position{File: n, Offset: uint32(found.offset) + uint32(found.size)}
	}
}

// torn reports whether what lies at the end of the last good block is nothing, or
// the beginning of a record that was not written to its end.
func (f *files) torn(end position) (bool, error) {
	size, err := sizeIfThere(f, end.File)
	if err != nil {
		return false, err
	}
	frame := make([]byte, max(0, min(frameSize, size-int64(end.Offset))))
	if len(frame) == 0 { // or it is the first of the next file
		return true, nil
	}
	if err := f.readAt(end.File, frame, int64(end.Offset)); err != nil {
		return false, err
	}
	if len(frame) < frameSize {
		return true, nil
	}
	left := size - int64(end.Offset) - frameSize
	return bytes.Equal(frame[:4], f.magic[:]) && int64(binary.LittleEndian.Uint32(frame[4:])) > left, nil
}

// total is how many bytes the files hold.
func (f *files) total() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full + int64(f.end.Offset)
}

// sizeIfThere is how many bytes file n has: 0 if it is not there.
func sizeIfThere(f *files, n uint32) (int64, error) {
	size, err := f.sizeOf(n)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return size, err
}

// position is where a record's payload lies in the block or undo files.
type position struct {
	File, Offset, Size uint32
}

// compare orders positions by when they were written.
func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Offset, q.Offset))
}

// order is a number that orders positions as compare does. It is not 0 for that of a
// block, which has a frame before it.
func (p position) order() uint64 { return uint64(p.File)<<32 | uint64(p.Offset) }
