// Package txrequest decides which transaction is asked of which peer, and when.
// It has no lock, clock or goroutine: it is stepped by events.
package txrequest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"lode/consensus"
)

// The times and bounds are those of Bitcoin Core (txdownloadman.h), but Patience.
const (
	// NonPreferredDelay, TxIDDelay and OverloadedDelay add up to how long a
	// transaction is not asked of who has announced it: of a peer that is not
	// preferred; by its txid while others announce by wtxid; of a peer that owes
	// MaxInFlight transactions.
	NonPreferredDelay = 2 * time.Second
	TxIDDelay         = 2 * time.Second
	OverloadedDelay   = 2 * time.Second
	MaxInFlight       = 100
	// Timeout is how long a peer may owe a transaction, from when it was asked.
	Timeout = 60 * time.Second
	// MaxAnnouncements is how many announcements of one peer are remembered.
	MaxAnnouncements = 5000
	// MaxOrdinary is from how many announcements of all ordinary peers on (neither
	// preferred nor unlimited) each of them has but its share. As those who came
	// while there were fewer keep theirs, three or four times as many can be
	// remembered. An announcement takes about 230 bytes.
	MaxOrdinary = 60_000
	// Patience is how long a preferred peer waits for others that are asked: no
	// silence of theirs keeps a transaction back for longer. It ends maxWait after
	// the announcement at the latest.
	Patience = 2 * time.Second
	maxWait  = 4 * time.Second
)

// Peer is what matters here of a peer.
type Peer struct {
	Preferred bool // chosen by this node, or trusted
	Unlimited bool // neither MaxAnnouncements nor MaxInFlight counts for it
	WTxIDs    bool // it announces by wtxid (BIP339)
}

// Request is a transaction to be asked of a peer now.
type Request[P comparable] struct {
	Peer   P
	Hash   consensus.Hash // txid or wtxid, as it was announced
	ByTxID bool
}

// Tracker remembers who has announced which transactions. An announcement is one
// by a peer of a hash; a second one of the same two changes nothing.
//
//	state      begins with                          ends with
//	delayed    Announce                             its time: ready
//	ready      its time                             Requests chooses it: requested
//	requested  Requests chooses it                  Timeout or Failed: failed
//	failed     Timeout or Failed, in any state      -
//
// Forget ends all announcements of a hash, Disconnect all of a peer. Where all
// that are left of a hash have failed, they are forgotten too: so nobody is asked
// twice while others can be asked.
//
// Of the announcements of a hash that are ready these are chosen:
//
//   - preferred peers before others, and among equals one at random;
//   - only one while nobody is asked;
//   - while others are asked, a preferred peer that has been ready for Patience;
//   - while only peers are asked that are not preferred, one more for each of
//     them that has been asked in vain before.
//
// So one honest preferred peer is asked within maxWait, whatever others do, and
// within Patience if it announces by wtxid and does not owe much already. One that
// is not preferred is asked within NonPreferredDelay and log2(n+1) times Timeout
// (the logarithm rounded down), where n others like it are silent: each round asks
// twice as many. Preferred peers that are silent too delay that by a Timeout.
//
// Every operation costs what it is about: an announcement takes the logarithm of
// their number and a look at the others of its hash, of which there are at most as
// many as peers; Disconnect takes that for each of the peer's.
type Tracker[P comparable] struct {
	start  time.Time // times are kept as what has passed since then
	random *rand.Rand
	peers  map[P]*peer[P]
	txs    map[consensus.Hash]*tx[P]
	timers timers[P]
	dirty  []*tx[P] // of which a request may have become possible
	last   uint64   // number of the last announcement
	wtxids int      // peers that announce by wtxid

	ordinary  int // peers that are neither preferred nor unlimited
	announced int // by them
}

type state uint8

const (
	delayed state = iota
	ready
	requested
	failed
)

type announcement[P comparable] struct {
	tx     *tx[P]
	peer   *peer[P]
	number uint64        // in the order of announcements
	due    time.Duration // of its timer: delayed ends; ready and preferred has waited long enough; requested times out
	waits  time.Duration // until when it waits for others, where it is preferred
	timer  int32         // place in timers; -1 if it has none
	ofPeer int32         // place in peer.announced
	ofTx   int32         // place in tx.announced
	state  state
	byTxID bool
}

type peer[P comparable] struct {
	key P
	Peer
	announced []*announcement[P]
	inFlight  int // requested ones
}

func (p *peer[P]) ordinary() bool { return !p.Preferred && !p.Unlimited }

type tx[P comparable] struct {
	hash      consensus.Hash
	announced []*announcement[P]
	alive     int16 // of those, have not failed
	preferred int16 // of those, are requested of preferred peers
	others    int16 // and of other ones
	inVain    uint8 // requests of other ones that brought nothing; it stops at its limit
	dirty     bool
}

// New makes a tracker. random breaks ties.
func New[P comparable](now time.Time, random *rand.Rand) *Tracker[P] {
	return &Tracker[P]{start: now, random: random, peers: make(map[P]*peer[P]), txs: make(map[consensus.Hash]*tx[P])}
}

// Connect adds a peer.
func (t *Tracker[P]) Connect(key P, info Peer) {
	if _, here := t.peers[key]; here {
		return
	}
	t.peers[key] = &peer[P]{key: key, Peer: info}
	if info.WTxIDs {
		t.wtxids++
	}
	if t.peers[key].ordinary() {
		t.ordinary++
	}
}

// Disconnect forgets a peer. Others can be asked for what it owes.
func (t *Tracker[P]) Disconnect(key P) {
	p, here := t.peers[key]
	if !here {
		return
	}
	for len(p.announced) > 0 {
		a := p.announced[len(p.announced)-1]
		t.fail(a)
		if a.ofTx >= 0 {
			t.remove(a)
		}
	}
	delete(t.peers, key)
	if p.WTxIDs {
		t.wtxids--
	}
	if p.ordinary() {
		t.ordinary--
	}
}

// Room is how many more announcements of a peer will be remembered.
func (t *Tracker[P]) Room(key P) int {
	p, here := t.peers[key]
	switch {
	case !here:
		return 0
	case p.Unlimited:
		return 1 << 30
	}
	most := MaxAnnouncements
	if p.ordinary() && t.announced >= MaxOrdinary {
		most = min(most, MaxOrdinary/t.ordinary)
	}
	return max(0, most-len(p.announced))
}

// Announce notes that a peer has a transaction; false if that is known, or the
// peer is not, or has announced too much.
func (t *Tracker[P]) Announce(now time.Time, key P, hash consensus.Hash, byTxID bool) bool {
	if t.Room(key) <= 0 {
		return false
	}
	p, x := t.peers[key], t.txs[hash]
	if x == nil {
		x = &tx[P]{hash: hash}
		t.txs[hash] = x
	} else if x.by(p) != nil {
		return false
	}
	t.last++
	at := now.Sub(t.start)
	a := &announcement[P]{tx: x, peer: p, number: t.last, due: at + t.delay(p, byTxID), timer: -1, byTxID: byTxID}
	a.waits = max(a.due, min(a.due+Patience, at+maxWait))
	a.ofPeer, a.ofTx = int32(len(p.announced)), int32(len(x.announced))
	p.announced, x.announced = append(p.announced, a), append(x.announced, a)
	if p.ordinary() {
		t.announced++
	}
	x.alive++
	if a.due > at {
		t.timers.add(a)
	} else {
		t.mature(a, at)
	}
	return true
}

func (t *Tracker[P]) delay(p *peer[P], byTxID bool) (d time.Duration) {
	if !p.Preferred {
		d += NonPreferredDelay
	}
	if byTxID && t.wtxids > 0 {
		d += TxIDDelay
	}
	if p.inFlight >= MaxInFlight && !p.Unlimited {
		d += OverloadedDelay
	}
	return d
}

// Failed notes that a peer will not give a transaction that it has announced: it
// has said so, or has sent a wrong one.
func (t *Tracker[P]) Failed(key P, hash consensus.Hash) {
	if p, x := t.peers[key], t.txs[hash]; p != nil && x != nil {
		if a := x.by(p); a != nil {
			t.fail(a)
		}
	}
}

// Forget ends all that is about a transaction which is not wanted any more. Who
// announces it again begins anew.
func (t *Tracker[P]) Forget(hash consensus.Hash) {
	if x := t.txs[hash]; x != nil {
		t.drop(x)
	}
}

// Requests gives what is to be asked of peers now, in the order in which it was
// announced, and counts it as asked. It deals with at most limit things whose time
// has come: where more has, Next tells a time that is past.
func (t *Tracker[P]) Requests(now time.Time, limit int) (list []Request[P]) {
	at := now.Sub(t.start)
	for ; limit > 0 && len(t.timers) > 0 && t.timers[0].due <= at; limit-- {
		switch a := t.timers[0]; a.state {
		case delayed:
			t.timers.remove(a)
			t.mature(a, at)
		case ready:
			t.timers.remove(a)
			t.touch(a.tx)
		default:
			t.fail(a)
		}
	}
	var chosen []*announcement[P]
	for _, x := range t.dirty {
		x.dirty = false
		for a := t.choose(x, at); a != nil; a = t.choose(x, at) {
			t.request(a, at)
			chosen = append(chosen, a)
		}
	}
	clear(t.dirty)
	t.dirty = t.dirty[:0]
	slices.SortFunc(chosen, func(a, b *announcement[P]) int { return cmp.Compare(a.number, b.number) })
	for _, a := range chosen {
		list = append(list, Request[P]{a.peer.key, a.tx.hash, a.byTxID})
	}
	return list
}

// Next is when Requests has something to do, if no event comes before.
func (t *Tracker[P]) Next() (when time.Time, ok bool) {
	switch {
	case len(t.dirty) > 0:
		return t.start, true
	case len(t.timers) > 0:
		return t.start.Add(t.timers[0].due), true
	}
	return when, false
}

// Announcers lists the peers that have announced a transaction and have not failed
// to give it.
func (t *Tracker[P]) Announcers(hash consensus.Hash) (list []P) {
	if x := t.txs[hash]; x != nil {
		for _, a := range x.announced {
			if a.state != failed {
				list = append(list, a.peer.key)
			}
		}
	}
	return list
}

// InFlight is how many transactions a peer owes.
func (t *Tracker[P]) InFlight(key P) int {
	if p := t.peers[key]; p != nil {
		return p.inFlight
	}
	return 0
}

// Count is how many announcements of a peer are remembered, and Size of all peers.
func (t *Tracker[P]) Count(key P) int {
	if p := t.peers[key]; p != nil {
		return len(p.announced)
	}
	return 0
}

func (t *Tracker[P]) Size() (n int) {
	for _, p := range t.peers {
		n += len(p.announced)
	}
	return n
}
