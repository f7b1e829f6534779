package chain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"lode/consensus"
)

// maxFileSize is how large a block or undo file grows before the next is begun.
const maxFileSize = 128 << 20

// frameSize is the length of magic and length before each record.
const frameSize = 8

// files is a numbered sequence of append-only files of records, each in the
// framing of a bootstrap.dat: magic, length, payload.
type files struct {
	dir, prefix string
	magic       [4]byte

	mu     sync.Mutex // guards what follows
	last   uint32     // the file that is appended to
	size   int64      // its length
	open   map[uint32]*os.File
	dirty  map[uint32]bool // written since the last sync
	closed bool
}

// errRecord is the kind of error for a record that is not where it should be.
var errRecord = errors.New("no such record")

// openFiles finds the files that are there. Some in between may be missing.
func openFiles(dir, prefix string, magic []byte) (*files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f := &files{dir: dir, prefix: prefix, magic: [4]byte(magic), open: make(map[uint32]*os.File), dirty: make(map[uint32]bool)}
	numbers, err := numbered(dir, prefix)
	if err != nil || len(numbers) == 0 {
		return f, err
	}
	f.last = slices.Max(numbers)
	info, err := os.Stat(f.name(f.last))
	if err != nil {
		return nil, err
	}
	f.size = info.Size()
	return f, nil
}

// numbered lists the numbers of the files with this prefix.
func numbered(dir, prefix string) ([]uint32, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var numbers []uint32
	for _, entry := range entries {
		name := strings.TrimSuffix(strings.TrimPrefix(entry.Name(), prefix), ".dat")
		if n, err := strconv.ParseUint(name, 10, 32); err == nil && entry.Name() == fileName(prefix, uint32(n)) {
			numbers = append(numbers, uint32(n))
		}
	}
	return numbers, err
}

func fileName(prefix string, n uint32) string { return fmt.Sprintf("%s%05d.dat", prefix, n) }

func (f *files) name(n uint32) string {
	return filepath.Join(f.dir, fileName(f.prefix, n))
}

// handle gives the open file n. Only who appends makes one. The caller holds mu.
func (f *files) handle(n uint32, flag int) (*os.File, error) {
	if f.closed {
		return nil, fmt.Errorf("%s: %w", f.name(n), os.ErrClosed)
	}
	if h, ok := f.open[n]; ok {
		return h, nil
	}
	h, err := os.OpenFile(f.name(n), os.O_RDWR|flag, 0o600)
	if err == nil {
		f.open[n] = h
	}
	return h, err
}

// append writes one record behind all others and says where its payload lies.
func (f *files) append(payload []byte) (position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size > 0 && f.size+int64(frameSize+len(payload)) > maxFileSize {
		f.last, f.size = f.last+1, 0
	}
	h, err := f.handle(f.last, os.O_CREATE)
	if err != nil {
		return position{}, err
	}
	record := append(make([]byte, 0, frameSize+len(payload)), f.magic[:]...)
	record = binary.LittleEndian.AppendUint32(record, uint32(len(payload)))
	record = append(record, payload...)
	if _, err := h.WriteAt(record, f.size); err != nil {
		return position{}, fmt.Errorf("write %s: %w", f.name(f.last), err)
	}
	p := position{f.last, uint32(f.size) + frameSize, uint32(len(payload))}
	f.size += int64(len(record))
	f.dirty[f.last] = true
	return p, nil
}

// read gives the payload at p, whose frame must say the same length.
func (f *files) read(p position) ([]byte, error) {
	f.mu.Lock()
	h, err := f.handle(p.File, 0)
	f.mu.Unlock()
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: %w", errRecord, err)
	}
	if err != nil {
		return nil, err
	}
	if p.Offset < frameSize || p.Size > maxFileSize {
		return nil, fmt.Errorf("%w: %s at %d", errRecord, f.name(p.File), p.Offset)
	}
	record := make([]byte, frameSize+int(p.Size))
	_, err = h.ReadAt(record, int64(p.Offset)-frameSize)
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: %s ends before %d", errRecord, f.name(p.File), int64(p.Offset)+int64(p.Size))
	case err != nil:
		return nil, fmt.Errorf("read %s at %d: %w", f.name(p.File), p.Offset, err)
	case !bytes.Equal(record[:4], f.magic[:]) || binary.LittleEndian.Uint32(record[4:]) != p.Size:
		return nil, fmt.Errorf("%w: %s at %d", errRecord, f.name(p.File), p.Offset)
	}
	return record[frameSize:], nil
}

// sync makes everything that was appended survive a power cut.
func (f *files) sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range f.dirty {
		if err := f.open[n].Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", f.name(n), err)
		}
		delete(f.dirty, n)
	}
	return nil
}

func (f *files) close() error {
	err := f.sync()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.open {
		err = errors.Join(err, h.Close())
	}
	f.open, f.closed = nil, true
	return err
}

// scan visits every record of all files in order, and passes over bytes that
// are none. A record that visit finds bad may have a wrong length, or have been
// cut short with good ones written behind: those are looked for inside of it.
func (f *files) scan(visit func(p position, payload []byte) (good bool, err error)) error {
	for n := uint32(0); n <= f.last; n++ {
		data, err := os.ReadFile(f.name(n))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for at := 0; at+frameSize <= len(data); {
			size := int64(binary.LittleEndian.Uint32(data[at+4:]))
			if bytes.Equal(data[at:at+4], f.magic[:]) && size <= int64(len(data)-at-frameSize) {
				p := position{n, uint32(at) + frameSize, uint32(size)}
				good, err := visit(p, data[at+frameSize:at+frameSize+int(size)])
				if err != nil {
					return err
				}
				if good {
					at += frameSize + int(size)
					continue
				}
			}
			next := bytes.Index(data[at+1:], f.magic[:])
			if next < 0 {
				break
			}
			at += 1 + next
		}
	}
	return nil
}

// appendUndo writes the coins that a block spent: their number, then for each
// twice its height plus one if from a coinbase, its amount, its key; and a
// SHA-256d over the block's hash and all of it.
func appendUndo(b []byte, block consensus.Hash, spent []consensus.Coin) []byte {
	b = consensus.AppendCompactSize(b, uint64(len(spent)))
	for i := range spent {
		b = appendCoin(b, &spent[i])
	}
	sum := consensus.DoubleSHA256(append(block[:], b...))
	return append(b, sum[:]...)
}

// readUndo is the inverse of appendUndo.
func readUndo(b []byte, block consensus.Hash) ([]consensus.Coin, error) {
	if len(b) < 32 {
		return nil, io.ErrUnexpectedEOF
	}
	b, sum := b[:len(b)-32], consensus.Hash(b[len(b)-32:])
	if consensus.DoubleSHA256(append(block[:], b...)) != sum {
		return nil, errors.New("checksum of undo data does not match")
	}
	d := consensus.NewDecoder(b)
	spent := make([]consensus.Coin, d.Count(minCoinSize))
	for i := range spent {
		spent[i] = decodeCoin(d)
	}
	return spent, d.Finish()
}

// minCoinSize is the least that a coin takes in its compact form.
const minCoinSize = 1 + 1 + 32

// appendCoin is the compact form of a coin.
func appendCoin(b []byte, c *consensus.Coin) []byte {
	code := uint64(c.Height) << 1
	if c.Coinbase {
		code |= 1
	}
	b = consensus.AppendCompactSize(b, code)
	b = consensus.AppendCompactSize(b, uint64(c.Value))
	return append(b, c.Key[:]...)
}

func decodeCoin(d *consensus.Decoder) consensus.Coin {
	code := d.CompactSize()
	c := consensus.Coin{Height: uint32(code >> 1), Coinbase: code&1 == 1, Value: consensus.Amount(d.CompactSize())}
	c.Key = d.Hash()
	return c
}

// total is about how many bytes the files hold.
func (f *files) total() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(f.last)*maxFileSize + f.size
}
