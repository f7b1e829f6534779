package blockfile

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

// MaxFileSize is how large a block or undo file grows before the next is begun;
// PrunedFileSize, where they are pruned, as only whole files can go; FastPruneFileSize,
// in tests of that, as in Bitcoin Core.
const (
	MaxFileSize    = 128 << 20
	PrunedFileSize = 16 << 20

	FastPruneFileSize = 64 << 10
)

// FrameSize is the length of magic and length before each record.
const FrameSize = 8

// Files is a numbered sequence of append-only files of records, each in the
// framing of a bootstrap.dat: magic, length, payload.
type Files struct {
	disk        Disk
	dir, prefix string
	magic       [4]byte
	limit       int64 // bytes of a file

	mu      sync.Mutex // guards what follows
	end     Position   // where the next record's frame begins; its Size is 0
	full    int64      // bytes in the files before end.File
	writing File       // file end.File; nil before the first write
	unnamed bool       // a file was made since the last sync
	dirty   bool       // written since the last sync, by whomever
	closed  bool
}

// ErrRecord is the kind of error for a record that is not where it should be.
var ErrRecord = errors.New("not as it was written")

// ErrEnds is the kind of error, besides ErrRecord, where a file has ended before,
// or is gone.
var ErrEnds = fmt.Errorf("%w: the file is gone or ends before", ErrRecord)

// Open finds the files that are there. Some in between may be missing. One grows
// to limit bytes; 0 means MaxFileSize.
func Open(d Disk, dir, prefix string, magic []byte, limit int64) (*Files, error) {
	if err := d.Mkdir(dir); err != nil {
		return nil, err
	}
	f := &Files{disk: d, dir: dir, prefix: prefix, magic: [4]byte(magic), limit: cmp.Or(limit, MaxFileSize)}
	f.dirty, f.unnamed = true, true // by a process that was killed, perhaps
	return f, f.measure(math.MaxUint32)
}

// measure finds where the last of the files up to a number ends, and how much
// there is before it.
func (f *Files) measure(last uint32) error {
	numbers, err := f.numbers()
	f.end, f.full = Position{}, 0
	for _, n := range numbers {
		if n > last || err != nil {
			break
		}
		var size int64
		size, err = f.sizeOf(n)
		f.full += int64(f.end.Offset)
		f.end = Position{File: n, Offset: uint32(min(size, math.MaxUint32))}
	}
	return err
}

func (f *Files) sizeOf(n uint32) (int64, error) {
	h, err := f.disk.Open(f.Name(n), false)
	if err != nil {
		return 0, err
	}
	size, err := h.Size()
	return size, errors.Join(err, h.Close())
}

// numbers lists the files that are there, in order.
func (f *Files) numbers() ([]uint32, error) { return Numbers(f.disk, f.dir, f.prefix) }

// Numbers lists the numbers of the files with a prefix that are in a directory, in
// order.
func Numbers(d Disk, dir, prefix string) ([]uint32, error) {
	names, err := d.Names(dir)
	var numbers []uint32
	for _, name := range names {
		digits := strings.TrimSuffix(strings.TrimPrefix(name, prefix), ".dat")
		if n, err := strconv.ParseUint(digits, 10, 32); err == nil && name == Name(prefix, uint32(n)) {
			numbers = append(numbers, uint32(n))
		}
	}
	slices.Sort(numbers)
	return numbers, err
}

// Name is how the file with a number is called.
func Name(prefix string, n uint32) string { return fmt.Sprintf("%s%05d.dat", prefix, n) }

// Name is the path of the file with a number.
func (f *Files) Name(n uint32) string {
	return filepath.Join(f.dir, Name(f.prefix, n))
}

// Append writes one record behind all others and says where its payload lies.
func (f *Files) Append(payload []byte) (Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end.Offset > 0 && int64(f.end.Offset)+int64(FrameSize+len(payload)) > f.limit {
		if err := f.syncWriting(); err != nil { // also what another process wrote
			return Position{}, err
		}
		if err := f.finish(); err != nil {
			return Position{}, err
		}
		f.full += int64(f.end.Offset)
		f.end = Position{File: f.end.File + 1}
	}
	if err := f.begin(); err != nil {
		return Position{}, err
	}
	record := AppendFrame(make([]byte, 0, FrameSize+len(payload)), f.magic, len(payload))
	record = append(record, payload...)
	f.dirty = true
	if _, err := f.writing.WriteAt(record, int64(f.end.Offset)); err != nil {
		return Position{}, fmt.Errorf("write %s: %w", f.Name(f.end.File), err)
	}
	p := Position{f.end.File, f.end.Offset + FrameSize, uint32(len(payload))}
	f.end.Offset += uint32(len(record))
	return p, nil
}

// begin opens the file that is written to. The caller holds mu.
func (f *Files) begin() error {
	switch {
	case f.writing != nil:
		return nil
	case f.closed:
		return fmt.Errorf("%s: %w", f.Name(f.end.File), os.ErrClosed)
	}
	h, err := f.disk.Open(f.Name(f.end.File), true)
	if err != nil {
		return err
	}
	f.writing, f.unnamed = h, f.unnamed || f.end.Offset == 0
	return nil
}

// finish syncs and closes the file that is written to. The caller holds mu.
func (f *Files) finish() error {
	if f.writing == nil {
		return nil
	}
	err := f.syncWriting()
	err = errors.Join(err, f.writing.Close())
	f.writing = nil
	return err
}

// Read gives the payload at p, whose frame must say the same length.
func (f *Files) Read(p Position) ([]byte, error) {
	if p.Offset < FrameSize || p.Size > MaxFileSize {
		return nil, fmt.Errorf("%w: %s at %d", ErrRecord, f.Name(p.File), p.Offset)
	}
	record := make([]byte, FrameSize+int(p.Size))
	err := f.ReadAt(p.File, record, int64(p.Offset)-FrameSize)
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: %s at %d", ErrEnds, f.Name(p.File), p.Offset)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrEnds, err)
	case err != nil:
		return nil, fmt.Errorf("read %s at %d: %w", f.Name(p.File), p.Offset, err)
	case !bytes.Equal(record[:4], f.magic[:]) || binary.LittleEndian.Uint32(record[4:]) != p.Size:
		return nil, fmt.Errorf("%w: %s at %d", ErrRecord, f.Name(p.File), p.Offset)
	}
	return record[FrameSize:], nil
}

// ReadAt opens the file for this one read, so that however many there are, and
// whoever reads, one file stays open.
func (f *Files) ReadAt(n uint32, b []byte, offset int64) error {
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return os.ErrClosed
	}
	h, err := f.disk.Open(f.Name(n), false)
	if err != nil {
		return err
	}
	defer h.Close()
	_, err = h.ReadAt(b, offset)
	return err
}

// Sync makes everything that was appended survive a power cut.
func (f *Files) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncWriting()
}

// syncWriting is sync for a caller that holds mu.
func (f *Files) syncWriting() error {
	if f.dirty {
		if err := f.begin(); err != nil {
			return err
		}
		if err := f.writing.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", f.Name(f.end.File), err)
		}
		f.dirty = false
	}
	if f.unnamed {
		if err := f.disk.SyncDir(f.dir); err != nil {
			return fmt.Errorf("sync %s: %w", f.dir, err)
		}
		f.unnamed = false
	}
	return nil
}

// Close syncs what was written. What is called afterwards fails.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.finish()
	f.closed = true
	return err
}

// Tail is where the next record goes.
func (f *Files) Tail() Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end
}

// Cut removes whatever lies behind p, where the next record goes from now on.
func (f *Files) Cut(p Position) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end.Compare(p) <= 0 {
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
			if err := f.disk.RemoveAll(f.Name(n)); err != nil {
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
	f.end = Position{File: p.File, Offset: p.Offset}
	if err := f.begin(); err != nil {
		return err
	}
	f.dirty = true
	return f.writing.Truncate(int64(p.Offset))
}

// RemoveBefore removes the files before a number, oldest first, but never the
// one that is written to.
func (f *Files) RemoveBefore(first uint32) (removed int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	numbers, err := f.numbers()
	for _, n := range numbers {
		if err != nil || n >= min(first, f.end.File) {
			break
		}
		var size int64
		if size, err = f.sizeOf(n); err == nil {
			err = f.disk.RemoveAll(f.Name(n))
		}
		if err == nil {
			f.full -= size
			removed++
		}
	}
	return removed, err
}

// Scan is what Blocks has found.
type Scan struct {
	End     Position // of the last good block
	Damaged int64    // bytes before that which are no good block
	Tail    int64    // bytes behind it
}

// Blocks visits every block in the files from a place on, in order, and passes
// over bytes that are none. A record that visit finds bad may have a wrong
// length, or have been cut short with good ones written behind: those are looked
// for inside of it.
func (f *Files) Blocks(ctx context.Context, from Position, limit int, visit func(block *consensus.Block, p Position) (good bool, err error)) (Scan, error) {
	s := Scan{End: from}
	numbers, err := f.numbers()
	for _, n := range numbers {
		if n >= from.File && err == nil {
			err = f.blocksIn(ctx, n, from, limit, visit, &s)
		}
	}
	return s, err
}

func (f *Files) blocksIn(ctx context.Context, n uint32, from Position, limit int, visit func(*consensus.Block, Position) (bool, error), s *Scan) error {
	h, err := f.disk.Open(f.Name(n), false)
	if err != nil {
		return err
	}
	defer h.Close()
	size, err := h.Size()
	if err != nil {
		return err
	}
	file := NewBootstrap(h, size, f.magic, limit)
	if n == from.File {
		file.pos = min(int64(from.Offset), size)
	}
	for counted := int64(0); ; {
		found, err := file.Next(ctx)
		if errors.Is(err, io.EOF) {
			s.Tail += file.Passed - counted
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(n), err)
		}
		good, err := visit(found.Block, Position{n, uint32(found.Offset), uint32(found.Size)})
		if err != nil {
			return err
		}
		if !good {
			file.pos = found.Offset - FrameSize + 1
			file.Passed++
			continue
		}
		s.Damaged += s.Tail + file.Passed - counted
		s.Tail, counted = 0, file.Passed
		s.End = Position{File: n, Offset: uint32(found.Offset) + uint32(found.Size)}
	}
}

// Torn reports whether what lies at the end of the last good block is nothing, or
// the beginning of a record that was not written to its end.
func (f *Files) Torn(end Position) (bool, error) {
	size, err := SizeIfThere(f, end.File)
	if err != nil {
		return false, err
	}
	frame := make([]byte, max(0, min(FrameSize, size-int64(end.Offset))))
	if len(frame) == 0 { // or it is the first of the next file
		return true, nil
	}
	if err := f.ReadAt(end.File, frame, int64(end.Offset)); err != nil {
		return false, err
	}
	if len(frame) < FrameSize {
		return true, nil
	}
	left := size - int64(end.Offset) - FrameSize
	return bytes.Equal(frame[:4], f.magic[:]) && int64(binary.LittleEndian.Uint32(frame[4:])) > left, nil
}

// Total is how many bytes the files hold.
func (f *Files) Total() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full + int64(f.end.Offset)
}

// SizeIfThere is how many bytes file n has: 0 if it is not there.
func SizeIfThere(f *Files, n uint32) (int64, error) {
	size, err := f.sizeOf(n)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return size, err
}
