package wallet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

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
func (f *journalFile) load(expect func(bytes int), apply func(*event) error) (damage error, err error) {
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
const decodeBatch = 1024

// eachEvent applies the events of a frame in their order. Decoding transactions takes about
// as long as applying them, so that one goroutine decodes ahead of the other.
func eachEvent(payload []byte, apply func(*event) error) error {
	d, txs := consensus.NewDecoder(payload), new(consensus.TxBatch)
	first, err := decodeEvents(d, txs, nil)
	if err == nil && len(d.Rest()) == 0 {
		return applyAll(first, apply)
	}
	type batch struct {
		events []event
		err    error // of the event after them
	}
	decoded, free, done := make(chan batch, 2), make(chan []event, 4), make(chan struct{})
	go func() {
		defer close(decoded)
		for b := (batch{first, err}); ; b.events, b.err = decodeEvents(d, txs, b.events) {
			select {
			case decoded <- b:
			case <-done:
				return
			}
			if b.err != nil || len(d.Rest()) == 0 {
				return
			}
			select {
			case b.events = <-free:
			default:
				b.events = nil
			}
		}
	}()
	defer close(done)
	for b := range decoded {
		if err := applyAll(b.events, apply); err != nil {
			return err
		}
		if b.err != nil {
			return b.err
		}
		free <- b.events // there is room: never more than four are about
	}
	return nil
}

// decodeEvents decodes the next events, and the transactions among them, into a slice whose
// own events do not count any more.
func decodeEvents(d *consensus.Decoder, txs *consensus.TxBatch, into []event) ([]event, error) {
	if into == nil {
		into = make([]event, 0, min(decodeBatch, len(d.Rest())/minEventSize+1))
	}
	for into = into[:0]; len(into) < decodeBatch && len(d.Rest()) > 0; {
		into = append(into, event{})
		e := &into[len(into)-1]
		err := e.decode(d)
		if err == nil && e.kind == evTx {
			err = e.decodeTx(txs)
		}
		if err != nil {
			return into[:len(into)-1], err
		}
	}
	return into, nil
}

// minEventSize is what no event takes less than, in bytes.
const minEventSize = 2

func applyAll(events []event, apply func(*event) error) error {
	for i := range events {
		if err := apply(&events[i]); err != nil {
			return err
		}
	}
	return nil
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
