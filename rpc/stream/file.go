package stream

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"lode/consensus"
	"lode/internal/atomicfile"
)

// FileName is that of what is kept over a restart, in the directory of a network.
const FileName = "events.dat"

// The file is either a promise, written at the start, that numbers up to one are
// never given again, or all that is kept, written at the stop:
//
//	"lodestr1" kind:1 id:8 number:8 [ tip:32 dropped:2×8 count:4 (seq:8 topic:1 length:4 json)… ] crc32:4
//
// After a kill there is the promise: the stream goes on behind it, and everybody
// starts over.
const (
	fileMagic    = "lodestr1"
	kindPromise  = 0
	kindWhole    = 1
	reserveAhead = 1 << 32
	maxFile      = 4 * keepBytes
)

var errFile = errors.New("not a file of a stream of events")

// open goes on with the stream in a directory, or begins one. whole says that nothing
// was lost, and tip where the blocks ended then.
func open(dir string) (l *Log, tip consensus.Hash, whole bool, err error) {
	path := filepath.Join(dir, FileName)
	l, tip, whole, err = readFile(path)
	if err != nil && !errors.Is(err, errFile) && !errors.Is(err, fs.ErrNotExist) {
		return nil, tip, false, err
	}
	if err != nil { // another name says that numbers of before mean nothing
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		l = newLog(hex.EncodeToString(b[:]), 0)
	}
	l.reserved, err = writePromise(path, l.id, l.last)
	return l, tip, whole, err
}

func writePromise(path, id string, last uint64) (reserved uint64, err error) {
	reserved = last + reserveAhead
	return reserved, writeFile(path, appendHead(nil, kindPromise, id, reserved))
}

func appendHead(b []byte, kind byte, id string, number uint64) []byte {
	b = append(append(b, fileMagic...), kind)
	raw, _ := hex.DecodeString(id)
	b = append(b, raw...)
	return binary.LittleEndian.AppendUint64(b, number)
}

// save keeps all for the next start. Nothing may be added any more.
func (l *Log) save(dir string, tip consensus.Hash) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := appendHead(nil, kindWhole, l.id, l.last)
	b = append(b, tip[:]...)
	count := 0
	for i := range l.rings {
		b = binary.LittleEndian.AppendUint64(b, l.rings[i].dropped)
		count += len(l.rings[i].events)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(count))
	for i := range l.rings {
		for _, e := range l.rings[i].events {
			b = append(binary.LittleEndian.AppendUint64(b, e.seq), byte(e.topic))
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(e.json))), e.json...)
		}
	}
	return writeFile(filepath.Join(dir, FileName), b)
}

// writeFile replaces a file so that a crash leaves the old one or the new.
func writeFile(path string, b []byte) error {
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return atomicfile.Replace(path, func(f io.Writer) error {
		_, err := f.Write(b)
		return err
	})
}

func readFile(path string) (l *Log, tip consensus.Hash, whole bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, tip, false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(bufio.NewReader(f), maxFile))
	if err != nil {
		return nil, tip, false, err
	}
	l, tip, whole, err = decode(b)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return l, tip, whole, err
}

// decode reads the bytes of a file.
func decode(b []byte) (l *Log, tip consensus.Hash, whole bool, err error) {
	const head = len(fileMagic) + 1 + 8 + 8
	if len(b) < head+4 || string(b[:len(fileMagic)]) != fileMagic || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, tip, false, errFile
	}
	kind, id, number := b[8], hex.EncodeToString(b[9:17]), binary.LittleEndian.Uint64(b[17:])
	b = b[head : len(b)-4]
	l = newLog(id, number)
	if kind == kindPromise {
		return l, tip, false, nil
	}
	if kind != kindWhole || len(b) < 32+2*8+4 {
		return nil, tip, false, errFile
	}
	copy(tip[:], b)
	b = b[32:]
	for i := range l.rings {
		l.rings[i].dropped, b = binary.LittleEndian.Uint64(b), b[8:]
	}
	count := binary.LittleEndian.Uint32(b)
	b = b[4:]
	for range count {
		if len(b) < 13 {
			return nil, tip, false, errFile
		}
		e := event{seq: binary.LittleEndian.Uint64(b), topic: Topic(b[8])}
		size := int64(binary.LittleEndian.Uint32(b[9:]))
		if b = b[13:]; size > int64(len(b)) || e.topic >= topics || e.seq > number {
			return nil, tip, false, errFile
		}
		e.json, b = b[:size:size], b[size:]
		r := &l.rings[ringOf(e.topic)]
		if n := len(r.events); e.seq <= r.dropped || n > 0 && r.events[n-1].seq >= e.seq {
			return nil, tip, false, errFile
		}
		r.events, r.bytes = append(r.events, e), r.bytes+len(e.json)
	}
	return l, tip, true, nil
}
