package p2p

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	maxBook = 1000
	// maxPerSource is how many addresses one source may have in the book, so
	// that a single peer cannot fill it.
	maxPerSource = 100
	// retryAfter is how soon an address is tried again that did not answer;
	// each further failure doubles it, up to maxRetry.
	retryAfter = time.Minute
	maxRetry   = 4 * time.Hour
	// maxFailures makes an address leave the book that never answered, or not
	// for deadAfter.
	maxFailures = 10
	deadAfter   = 7 * 24 * time.Hour
)

// address is what is known of where a peer listens.
type address struct {
	URL      string    `json:"url"`
	Services uint64    `json:"services"`
	Seen     time.Time `json:"seen"`    // by whoever told us
	Source   string    `json:"source"`  // who told us: an IP address; empty for the operator
	Success  time.Time `json:"success"` // last handshake; zero if never
	Tried    time.Time `json:"tried"`
	Failures int       `json:"failures"` // since the last success
}

// due reports whether it is time to try the address.
func (a *address) due(now time.Time) bool {
	if a.Failures == 0 {
		return true
	}
	wait := min(retryAfter<<min(a.Failures-1, 10), maxRetry)
	return now.Sub(a.Tried) >= wait
}

// addrBook holds where peers listen.
type addrBook struct {
	file string // empty: not saved

	mu    sync.Mutex // guards what follows
	byURL map[string]*address
	dirty bool
}

// bookFile is the JSON document that a book is saved as.
type bookFile struct {
	Version   int        `json:"version"`
	Addresses []*address `json:"addresses"`
}

const bookVersion = 1

// openBook reads a book. One that cannot be read is no reason not to start: the
// error says so, and the book is empty.
func openBook(file string) (*addrBook, error) {
	b := &addrBook{file: file, byURL: make(map[string]*address)}
	if file == "" {
		return b, nil
	}
	doc, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	var saved bookFile
	if err := json.Unmarshal(doc, &saved); err != nil {
		return b, fmt.Errorf("address book %s: %w", file, err)
	}
	if saved.Version != bookVersion {
		return b, fmt.Errorf("address book %s has version %d, want %d", file, saved.Version, bookVersion)
	}
	for _, a := range saved.Addresses {
		if a == nil || len(b.byURL) >= maxBook {
			continue
		}
		if clean, err := cleanURL(a.URL); err == nil && clean == a.URL {
			b.byURL[clean] = a
		}
	}
	return b, nil
}

// save writes the book if it has changed, into a new file that then takes the
// place of the old one.
func (b *addrBook) save() error {
	b.mu.Lock()
	saved := bookFile{Version: bookVersion}
	for _, a := range b.byURL {
		copied := *a
		saved.Addresses = append(saved.Addresses, &copied)
	}
	dirty := b.dirty
	b.dirty = false
	b.mu.Unlock()
	if !dirty || b.file == "" {
		return nil
	}
	doc, err := json.MarshalIndent(saved, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(b.file), filepath.Base(b.file)+".*.new") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(doc, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), b.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// learn adds an address or brings it up to date, and reports whether it is new.
// The operator's own (with an empty source) always find room.
func (b *addrBook) learn(url string, services uint64, seen time.Time, source string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a, ok := b.byURL[url]; ok {
		if seen.After(a.Seen) {
			a.Seen, a.Services, b.dirty = seen, services, true
		}
		return false
	}
	if source != "" {
		told := 0
		for _, a := range b.byURL {
			if a.Source == source {
				told++
			}
		}
		if told >= maxPerSource {
			return false
		}
	}
	if len(b.byURL) >= maxBook && !b.makeRoom(source == "") {
		return false
	}
	b.byURL[url] = &address{URL: url, Services: services, Seen: seen, Source: source}
	b.dirty = true
	return true
}

// makeRoom forgets the address that failed most among those that never
// answered, or else among those that answer no more; if forced, any. The caller
// holds mu.
func (b *addrBook) makeRoom(forced bool) bool {
	var worst *address
	most := 1
	for _, a := range b.byURL {
		rank := a.Failures
		if a.Success.IsZero() {
			rank += 1 << 16 // before all that ever answered
		}
		if rank > most {
			worst, most = a, rank
		}
	}
	if worst == nil && forced {
		for _, worst = range b.byURL {
			break
		}
	}
	if worst == nil {
		return false
	}
	delete(b.byURL, worst.URL)
	return true
}

func (b *addrBook) forget(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byURL, url)
	b.dirty = true
}

// tried records how a connection to an address ended.
func (b *addrBook) tried(url string, success bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.byURL[url]
	if !ok {
		return
	}
	b.dirty = true
	a.Tried = now
	if success {
		a.Success, a.Failures = now, 0
		return
	}
	if a.Failures++; a.Source != "" && a.Failures >= maxFailures && now.Sub(a.Success) > deadAfter {
		delete(b.byURL, url)
	}
}

// pick chooses an address to try among those that are due and not in use. Half
// of the time it must be one that has answered before, if there is any.
func (b *addrBook) pick(now time.Time, inUse map[string]bool) (address, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var proven, others []*address
	for _, a := range b.byURL {
		switch {
		case inUse[a.URL] || !a.due(now):
		case a.Success.IsZero():
			others = append(others, a)
		default:
			proven = append(proven, a)
		}
	}
	list := append(others, proven...)
	if len(proven) > 0 && rand.IntN(2) == 0 {
		list = proven
	}
	if len(list) == 0 {
		return address{}, false
	}
	return *list[rand.IntN(len(list))], true
}

// sample gives addresses to tell others, in random order: those that have
// answered or were never found dead.
func (b *addrBook) sample(limit int) []address {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []address
	for _, a := range b.byURL {
		if a.Failures < 3 {
			list = append(list, *a)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(len(list), limit)]
}
