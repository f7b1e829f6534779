package p2p

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"lode/internal/clock"
)

const (
	// retryAfter is how soon an address is tried again; each failure after the
	// first doubles it, up to maxRetry.
	retryAfter = time.Minute
	maxRetry   = 4 * time.Hour
	// maxFailures makes an address leave the book that never answered, or not
	// for deadAfter. After fewUnproven failures one that never answered makes
	// room for others, as does one that nobody has seen for horizon.
	maxFailures = 10
	deadAfter   = 7 * 24 * time.Hour
	fewUnproven = 3
	horizon     = 30 * 24 * time.Hour
	// maxCollisions is how many addresses may wait for a place in the tried
	// table that another has; that one is tried before it has to go, unless it
	// answered within stillGood. Who could not be tried for testWindow goes.
	maxCollisions = 10
	stillGood     = 4 * time.Hour
	testWindow    = 40 * time.Minute
	// seedShare is one in how many dials goes to a seed that is due: a book
	// full of lies must not keep a node from those that its operator trusts.
	seedShare = 8
	// maxShare is how many percent of the book others are told at a time, but
	// not fewer than minShare addresses.
	maxShare = 23
	minShare = 100
	// sampleLooks bounds how many are looked at for each one that is told.
	sampleLooks = 4
)

// address is what is known of where a peer listens.
type address struct {
	URL      string    `json:"url"`
	Services uint64    `json:"services"`
	Seen     time.Time `json:"seen"`     // by whoever told us
	Source   string    `json:"source"`   // network group of who told us first
	Success  time.Time `json:"success"`  // last handshake; zero if never
	Tried    time.Time `json:"tried"`    // last attempt; zero if never
	Failures int       `json:"failures"` // since the last success
	InTried  bool      `json:"in_tried"` // the table that it is in

	ip     netip.Addr // zero for a name
	name   string     // empty for an IP address
	group  string
	spread string
	places []int // in the new table
	index  int   // in addrBook.list
	seed   bool  // named by the operator
}

// due reports whether it is time to try the address.
func (a *address) due(now time.Time) bool {
	wait := min(retryAfter<<min(max(a.Failures-1, 0), 10), maxRetry)
	return a.Tried.IsZero() || now.Sub(a.Tried) >= wait
}

// terrible reports whether any other address deserves the place more.
func (a *address) terrible(now time.Time) bool {
	switch {
	case now.Sub(a.Tried) <= retryAfter:
		return false
	case a.Seen.After(now.Add(freshTime)), now.Sub(a.Seen) > horizon:
		return true
	case a.Success.IsZero():
		return a.Failures >= fewUnproven
	}
	return a.dead(now)
}

func (a *address) dead(now time.Time) bool {
	return a.Failures >= maxFailures && now.Sub(a.Success) > deadAfter
}

// addrBook holds where peers listen.
type addrBook struct {
	file  string // empty: not saved
	space space
	now   func() time.Time

	mu         sync.Mutex // guards what follows
	key        bookKey
	byURL      map[string]*address // all that are in a table
	list       []*address          // the same, in any order
	fresh      table               // the new table
	tried      table
	seeds      map[string]*address
	collisions map[string]bool // URLs that wait for a place in tried
	dirty      bool
}

func newBook() *addrBook {
	b := &addrBook{
		now: clock.System.Now, byURL: make(map[string]*address), fresh: make(table, newBuckets*bucketSize), tried: make(table, triedBuckets*bucketSize),
		seeds: make(map[string]*address), collisions: make(map[string]bool),
	}
	_, _ = rand.Read(b.key[:]) // never fails
	return b
}

func (b *addrBook) newAddress(url string, services uint64, seen time.Time, source string) *address {
	a := &address{URL: url, Services: services, Seen: seen, Source: source, group: b.key.group(url)}
	a.ip, a.name = hostInURL(url)
	a.spread = b.spread(a)
	return a
}

// spread is by what the addresses that one source tells spread over its buckets:
// the network group, but in a private network, or among names, each host alone,
// so that the few nodes of a small network seldom want one place.
func (b *addrBook) spread(a *address) string {
	switch {
	case a.name != "":
		return a.name
	case !b.space.isPublic(a.ip):
		return a.URL
	}
	return a.group
}

// addSeed adds an address that the operator named. It stays, in no table until
// it has answered, so that nobody can push it out.
func (b *addrBook) addSeed(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.newAddress(url, serviceNetwork|serviceWitness, b.now(), b.key.group(url))
	a.seed = true
	b.seeds[url] = a
}

// isSeed reports whether the operator named the address.
func (b *addrBook) isSeed(url string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seeds[url] != nil
}

// learn adds an address or brings it up to date, and reports whether it is new.
// source is the network group of who told it.
func (b *addrBook) learn(url string, services uint64, seen time.Time, source string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	a, known := b.byURL[url]
	if known {
		if !seen.After(a.Seen) {
			return false
		}
		a.Seen, a.Services, b.dirty = seen, a.Services|services, true
		// Another place is the harder to get the more there are.
		if a.InTried || len(a.places) >= maxPlaces || mathrand.IntN(1<<len(a.places)) != 0 {
			return false
		}
	} else {
		a = b.newAddress(url, services, seen, source)
	}
	place := b.newPlace(a, source)
	if other := b.fresh[place]; other != nil {
		if other == a || !other.terrible(now) && (known || len(other.places) < 2) {
			return false
		}
		b.leave(place)
	}
	b.enter(a, place)
	return !known
}

// newPlace is where an address goes that a source told of: where it is already,
// or what is free, or else the place that it prefers. The caller holds mu.
func (b *addrBook) newPlace(a *address, source string) int {
	places := b.key.newPlaces(a, source)
	for _, taker := range []*address{a, nil} {
		for _, place := range places {
			if b.fresh[place] == taker {
				return place
			}
		}
	}
	return places[0]
}

// enter puts an address into an empty place of the new table. The caller holds
// mu.
func (b *addrBook) enter(a *address, place int) {
	b.fresh[place] = a
	b.enlist(a)
	a.places = append(a.places, place)
}

// leave empties a place of the new table, and forgets who has no other. The
// caller holds mu.
func (b *addrBook) leave(place int) {
	a := b.fresh[place]
	if a == nil {
		return
	}
	b.fresh[place], b.dirty = nil, true
	a.places = slices.DeleteFunc(a.places, func(p int) bool { return p == place })
	if len(a.places) == 0 && !a.InTried {
		b.unlist(a)
	}
}

// enlist notes that an address is in a table. The caller holds mu.
func (b *addrBook) enlist(a *address) {
	b.dirty = true
	if b.byURL[a.URL] != a {
		a.index = len(b.list)
		b.byURL[a.URL], b.list = a, append(b.list, a)
	}
}

// unlist notes that an address is in no table any more. The caller holds mu.
func (b *addrBook) unlist(a *address) {
	if b.byURL[a.URL] != a {
		return
	}
	b.swap(a.index, len(b.list)-1)
	b.list = slices.Delete(b.list, len(b.list)-1, len(b.list))
	delete(b.byURL, a.URL)
}

// swap exchanges two places of list. The caller holds mu.
func (b *addrBook) swap(i, j int) {
	b.list[i], b.list[j] = b.list[j], b.list[i]
	b.list[i].index, b.list[j].index = i, j
}

func (b *addrBook) forget(url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seeds, url)
	if a, ok := b.byURL[url]; ok {
		b.remove(a)
	}
}

// remove takes an address out of the book. The caller holds mu.
func (b *addrBook) remove(a *address) {
	if a.InTried {
		b.tried[b.key.triedPlace(a)], a.InTried = nil, false
	}
	for len(a.places) > 0 {
		b.leave(a.places[0])
	}
	b.unlist(a)
	b.dirty = true
}

// good records a handshake: the address moves to the tried table, or waits there
// for the place of another that is tried first.
func (b *addrBook) good(url string, services uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.seeds[url]; ok {
		s.Success, s.Tried, s.Failures = now, now, 0
		if _, known := b.byURL[url]; !known && isGossip(url) {
			a := b.newAddress(url, services, now, s.Source)
			place := b.newPlace(a, a.Source)
			b.leave(place)
			b.enter(a, place)
		}
	}
	a, ok := b.byURL[url]
	if !ok {
		return
	}
	a.Success, a.Tried, a.Failures, a.Services, b.dirty = now, now, 0, services, true
	switch {
	case a.InTried:
	case b.tried[b.key.triedPlace(a)] == nil:
		b.promote(a)
	case len(b.collisions) < maxCollisions:
		b.collisions[url] = true
	}
}

// promote moves an address to the tried table; who has its place there goes back
// to the new one. The caller holds mu.
func (b *addrBook) promote(a *address) {
	place := b.key.triedPlace(a)
	old := b.tried[place]
	a.InTried = true // now it does not vanish with its last place
	for len(a.places) > 0 {
		b.leave(a.places[0])
	}
	b.tried[place], b.dirty = a, true
	if old != nil {
		old.InTried = false
		back := b.newPlace(old, old.Source)
		b.leave(back)
		b.enter(old, back)
	}
}

// resolve decides the collisions that can be decided. The caller holds mu.
func (b *addrBook) resolve(now time.Time) {
	for url := range b.collisions {
		a, ok := b.byURL[url]
		if !ok || a.InTried {
			delete(b.collisions, url)
			continue
		}
		old := b.tried[b.key.triedPlace(a)]
		switch {
		case old == nil:
			b.promote(a)
		case now.Sub(old.Success) < stillGood:
		case now.Sub(old.Tried) < stillGood:
			if now.Sub(old.Tried) <= retryAfter {
				continue // it may be answering just now
			}
			b.promote(a)
		case now.Sub(a.Success) > testWindow:
			b.promote(a)
		default:
			continue
		}
		delete(b.collisions, url)
	}
}

// ended records that a connection ended, or was not made, that was begun at a
// time. itsFault is false if a failure may well be this node's own: then the
// address is not given up for it.
func (b *addrBook) ended(url string, begun time.Time, itsFault bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range []*address{b.seeds[url], b.byURL[url]} {
		if a == nil {
			continue
		}
		b.dirty = true
		a.Tried = now
		if !a.Success.Before(begun) {
			a.Seen = now
			continue
		}
		if itsFault || a.Failures < fewUnproven-1 {
			a.Failures++
		}
		if a.dead(now) && !a.seed {
			b.remove(a)
		}
	}
}

// pick chooses an address to dial among those that are due and allowed, from
// either table with the same chance, or a seed.
func (b *addrBook) pick(now time.Time, allowed func(*address) bool) (address, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok := func(a *address) bool { return a.due(now) && allowed(a) }
	tables := []table{b.fresh, b.tried}
	if mathrand.IntN(2) == 0 {
		slices.Reverse(tables)
	}
	seeds := make(table, 0, len(b.seeds))
	for _, a := range b.seeds {
		seeds = append(seeds, a)
	}
	tables = append(tables, seeds)
	if mathrand.IntN(seedShare) == 0 {
		tables[0], tables[2] = tables[2], tables[0]
	}
	for _, t := range tables {
		if a := t.pick(ok); a != nil {
			return *a, true
		}
	}
	return address{}, false
}

// toTest chooses an address for a feeler: one whose place in the tried table
// another wants, or else one of the new table.
func (b *addrBook) toTest(now time.Time, allowed func(*address) bool) (address, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resolve(now)
	for url := range b.collisions {
		if old := b.tried[b.key.triedPlace(b.byURL[url])]; allowed(old) {
			return *old, true
		}
	}
	if a := b.fresh.pick(func(a *address) bool { return a.due(now) && allowed(a) }); a != nil {
		return *a, true
	}
	return address{}, false
}

// sample gives addresses to tell others, in random order: those that have
// answered or were never found dead. It looks at no more than a few times as many
// as it may give, however many there are.
func (b *addrBook) sample(limit int) (list []address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, share := b.now(), min(limit, max(minShare, len(b.list)*maxShare/100))
	list = make([]address, 0, min(share, len(b.list)))
	for i := 0; i < min(len(b.list), sampleLooks*share) && len(list) < share; i++ {
		b.swap(i, i+mathrand.IntN(len(b.list)-i))
		if a := b.list[i]; a.good(now) {
			list = append(list, *a)
		}
	}
	return list
}

// good reports whether others should hear of the address.
func (a *address) good(now time.Time) bool { return a.Failures < fewUnproven && !a.terrible(now) }

// all lists the book in random order.
func (b *addrBook) all() []address {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]address, 0, len(b.byURL))
	for _, a := range b.byURL {
		list = append(list, *a)
	}
	mathrand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
