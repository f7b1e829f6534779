package p2p

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"lode/internal/atomicfile"
	"lode/internal/plainly"
)

// maxFile bounds in bytes what is read of a file of this package. A full book of
// the longest URLs is smaller.
const maxFile = 32 << 20

// readJSON reads a document that writeJSON wrote; found is false if there is no
// such file.
func readJSON(file string, doc any) (found bool, err error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return false, err
	}
	if len(b) > maxFile {
		return false, fmt.Errorf("%s: more than %d bytes", file, maxFile)
	}
	if err := json.Unmarshal(b, doc); err != nil {
		return false, fmt.Errorf("%s is damaged: %w", file, plainly.Error(err))
	}
	return true, nil
}

// writeJSON writes a document into a new file that then takes the place of the
// old one.
func writeJSON(file string, doc any) error {
	b, err := json.MarshalIndent(doc, "", "\t")
	if err != nil {
		return err
	}
	return atomicfile.Write(file, append(b, '\n'))
}

// bookFile is the JSON document that a book is saved as.
type bookFile struct {
	Version   int        `json:"version"`
	Key       string     `json:"key"` // hex; whoever knows it can aim at places
	Addresses []*address `json:"addresses"`
}

const bookVersion = 2

// openBook reads a book. One that cannot be read is no reason not to start: the
// error says so, and the book is empty.
func openBook(file string, within space) (*addrBook, error) {
	b := newBook()
	b.file, b.space = file, within
	if file == "" {
		return b, nil
	}
	var saved bookFile
	found, err := readJSON(file, &saved)
	if err != nil || !found {
		return b, err
	}
	if saved.Version != bookVersion {
		return b, fmt.Errorf("%s has version %d, want %d", file, saved.Version, bookVersion)
	}
	key, err := hex.DecodeString(saved.Key)
	if err != nil || len(key) != len(b.key) {
		return b, fmt.Errorf("%s is damaged: its key is not %d bytes of hex", file, len(b.key))
	}
	b.key = bookKey(key)
	for _, a := range saved.Addresses {
		b.restore(a)
	}
	return b, nil
}

// restore puts a saved address where it belongs, if that is free.
func (b *addrBook) restore(a *address) {
	if a == nil || len(a.Source) > maxAddrV2Len || a.Failures < 0 || b.byURL[a.URL] != nil {
		return
	}
	if clean, err := cleanURL(a.URL); err != nil || clean != a.URL || !isGossip(a.URL) {
		return
	}
	known := *a
	a = b.newAddress(known.URL, known.Services, known.Seen, known.Source)
	a.Success, a.Tried, a.Failures = known.Success, known.Tried, known.Failures
	if place := b.key.triedPlace(a); known.InTried && b.tried[place] == nil {
		a.InTried = true
		b.tried[place] = a
		b.enlist(a)
	} else if place := b.newPlace(a, a.Source); b.fresh[place] == nil {
		b.enter(a, place)
	}
}

// save writes the book if it has changed.
func (b *addrBook) save() error {
	b.mu.Lock()
	saved := bookFile{Version: bookVersion, Key: hex.EncodeToString(b.key[:])}
	dirty := b.dirty && b.file != ""
	if dirty {
		for _, a := range b.byURL {
			copied := *a
			saved.Addresses = append(saved.Addresses, &copied)
		}
	}
	b.dirty = false
	b.mu.Unlock()
	if !dirty {
		return nil
	}
	err := writeJSON(b.file, saved)
	if err != nil {
		b.mu.Lock()
		b.dirty = true // for the next time
		b.mu.Unlock()
	}
	return err
}
