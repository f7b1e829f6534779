package blockfile

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"github.com/syndtr/goleveldb/leveldb/storage"
)

// CutJournal cuts LevelDB's newest journal off where it first is not what was
// written: a kill leaves the beginning of the last write, a power cut any part of
// what was not synced, with holes. LevelDB, told to be strict, would take that
// for damage, and a ledger would be built anew for it.
//
// What is left is the database as it was at some earlier moment: batches are
// whole or gone, and none is there without all before it, as no other file is
// newer. From every such moment a start finds its way, so this is right even if
// what was cut off had been synced and was damaged since.
func CutJournal(files storage.Storage) error {
	journals, err := files.List(storage.TypeJournal)
	if err != nil {
		return err
	}
	slices.SortFunc(journals, func(a, b storage.FileDesc) int { return cmp.Compare(b.Num, a.Num) })
	for _, journal := range journals {
		// One that has just been begun, with nothing in it, is not the newest.
		if whole, err := cutAfterRecords(files, journal); err != nil || whole > 0 {
			return err
		}
	}
	return nil
}

// cutAfterRecords has a journal end with its last whole record, and says where
// that is.
func cutAfterRecords(files storage.Storage, journal storage.FileDesc) (whole int, err error) {
	r, err := files.Open(journal)
	if err != nil {
		return 0, err
	}
	data, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return 0, err
	}
	if whole = wholeRecords(data); whole == len(data) {
		return whole, nil
	}
	unfinished := storage.FileDesc{Type: storage.TypeTemp, Num: journal.Num}
	w, err := files.Create(unfinished)
	if err != nil {
		return 0, err
	}
	if _, err = w.Write(data[:whole]); err == nil {
		err = w.Sync()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return 0, err
	}
	return whole, files.Rename(unfinished, journal)
}

// The framing of LevelDB's journals: blocks of 32 KiB with chunks, each a
// checksum, a length, and whether it begins or ends a record. What is too short
// for a chunk's header at the end of a block is filled up.
const (
	journalBlock  = 32 << 10
	journalHeader = 4 + 2 + 1
)

const (
	chunkFull = 1 + iota
	chunkFirst
	chunkMiddle
	chunkLast
)

// wholeRecords is how many bytes at the beginning of a journal are whole
// records.
func wholeRecords(data []byte) (whole int) {
	inside := false // of a record
	for at := 0; ; {
		if left := journalBlock - at%journalBlock; left < journalHeader {
			at += left
		}
		if at+journalHeader > len(data) {
			return whole
		}
		sum, kind := binary.LittleEndian.Uint32(data[at:]), data[at+6]
		size := int(binary.LittleEndian.Uint16(data[at+4:]))
		begins := kind == chunkFull || kind == chunkFirst
		if kind < chunkFull || kind > chunkLast || begins == inside || at%journalBlock+journalHeader+size > journalBlock {
			return whole
		}
		end := at + journalHeader + size
		if end > len(data) || journalSum(data[at+6:end]) != sum {
			return whole
		}
		at = end
		if inside = kind == chunkFirst || kind == chunkMiddle; !inside {
			whole = at
		}
	}
}

// journalSum is the masked CRC-32C of LevelDB.
func journalSum(b []byte) uint32 {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (sum>>15 | sum<<17) + 0xa282ead8
}
