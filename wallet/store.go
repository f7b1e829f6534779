package wallet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"lode/consensus"
)

// The journal file: a line that names it, then frames. Each frame is what one
// Save wrote: the length of its events (4 bytes), the CRC-32C of these 4 bytes,
// that of the events, the events. It is only ever appended to, and synced, so
// that a crash can hurt the last frame alone, which was then never acknowledged
// and is cut off. What is left is what was known when the frame before was
// written. When most of the file is of no use any more it is written anew, and
// replaces the old one at once.
const (
	journalMagic   = "lode wallet journal 1\n"
	frameHead      = 12
	maxJournalSize = 4 << 30 // some millions of transactions
	// spareSize is how much a journal may grow beyond twice what it was when it
	// was last written anew.
	spareSize = 1 << 20
)

var (
	le       = binary.LittleEndian
	crcTable = crc32.MakeTable(crc32.Castagnoli)
)

// journalFile is an open journal.
type journalFile struct {
	path string
	size int64 // of what is whole
	base int64 // of it when it was last written anew
	// write is os.File.Write, but for tests that let it fail half way.
	write func(f *os.File, b []byte) (int, error)
}

func newJournalFile(path string) *journalFile {
	return &journalFile{path: path, write: (*os.File).Write}
}

// load gives the events of the file to apply, in order. A frame at the end that
// was not written to its end is left out, and overwritten by the next one. If
// there is more amiss, damage says so, and the whole frames before it count.
// expect is told of its size before.
func (f *journalFile) load(expect func(bytes int), apply func(event) error) (damage error, err error) {
	b, err := readFile(f.path, maxJournalSize)
	if err != nil {
		return nil, err
	}
	expect(len(b))
	if !bytes.HasPrefix(b, []byte(journalMagic)) {
		return nil, fmt.Errorf("%w: it does not begin with %q", errEvent, journalMagic[:len(journalMagic)-1])
	}
	f.size, f.base = int64(len(journalMagic)), 0
	for b = b[len(journalMagic):]; len(b) >= frameHead && damage == nil; {
		n := int64(le.Uint32(b))
		if n == 0 || crc32.Checksum(b[:4], crcTable) != le.Uint32(b[4:]) {
			damage = fmt.Errorf("wrong length at byte %d", f.size)
			break
		}
		if n > int64(len(b)-frameHead) {
			break // torn
		}
		payload := b[frameHead : frameHead+n : frameHead+n]
		if crc32.Checksum(payload, crcTable) != le.Uint32(b[8:]) {
			damage = fmt.Errorf("wrong checksum at byte %d", f.size)
			break
		}
		if err := eachEvent(payload, apply); err != nil {
			return nil, fmt.Errorf("at byte %d: %w", f.size, err)
		}
		b = b[frameHead+n:]
		f.size += frameHead + n
		if f.base == 0 {
			f.base = f.size
		}
	}
	if f.base == 0 {
		return nil, fmt.Errorf("%w: it has no entries", errEvent)
	}
	return damage, nil
}

// decodeBatch is how many events are decoded before they are applied.
const decodeBatch = 4096

func eachEvent(payload []byte, apply func(event) error) error {
	d := consensus.NewDecoder(payload)
	var failed error
	for batch := make([]event, 0, decodeBatch); len(d.Rest()) > 0 && failed == nil; batch = batch[:0] {
		for len(batch) < decodeBatch && len(d.Rest()) > 0 && failed == nil {
			var e event
			if e, failed = decodeEvent(d); failed == nil {
				batch = append(batch, e)
			}
		}
		if err := decodeTxs(batch); err != nil {
			return err
		}
		for i := range batch {
			if err := apply(batch[i]); err != nil {
				return err
			}
		}
	}
	return failed
}

// decodeTxs decodes the transactions of many events on all cores: together with
// their ids they take most of the time of opening a wallet.
func decodeTxs(events []event) error {
	workers := runtime.GOMAXPROCS(0)
	if len(events) < decodeBatch/4 {
		workers = 1
	}
	var group errgroup.Group
	for part := range slices.Chunk(events, max((len(events)+workers-1)/workers, 1)) {
		group.Go(func() error {
			for i := range part {
				if part[i].kind != evTx {
					continue
				}
				if err := part[i].decodeTx(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// frame encodes events with their length and checksum.
func frame(events []event) []byte {
	b := make([]byte, frameHead)
	for i := range events {
		b = events[i].append(b)
	}
	le.PutUint32(b, uint32(len(b)-frameHead))
	le.PutUint32(b[4:], crc32.Checksum(b[:4], crcTable))
	le.PutUint32(b[8:], crc32.Checksum(b[frameHead:], crcTable))
	return b
}

// append adds a frame, and has it on disk when it returns.
func (f *journalFile) append(events []event) (err error) {
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Truncate(f.size); err != nil { // what a crash has left
		return err
	}
	if _, err := file.Seek(f.size, 0); err != nil {
		return err
	}
	b := frame(events)
	if _, err := f.write(file, b); err != nil {
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	f.size += int64(len(b))
	return nil
}

// whole is the content of a file that begins with events, which is then on disk
// or will be.
func (f *journalFile) whole(events []event) []byte {
	b := append([]byte(journalMagic), frame(events)...)
	f.size, f.base = int64(len(b)), int64(len(b))
	return b
}

// replace writes the file anew.
func (f *journalFile) replace(events []event) error {
	size, base := f.size, f.base
	if err := writeFile(f.path, f.whole(events)); err != nil {
		f.size, f.base = size, base
		return err
	}
	return nil
}

// grown reports whether the file is worth being written anew.
func (f *journalFile) grown() bool { return f.size > 2*f.base+spareSize }
