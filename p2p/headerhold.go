package p2p

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"lode/consensus"
)

// holdLimits is how many headers without blocks are kept, each of which takes
// about 600 bytes of memory with what is known of it. A chain that is longer comes
// in parts, as its blocks do.
type holdLimits struct {
	all     int // of all peers
	named   int // of one that this node or its operator chose
	inbound int // of any other
	// The first of each peer are kept however many others there are: room for
	// what a chosen peer's blocks are fetched along, and for announcements.
	leastNamed, leastInbound int
}

var defaultHold = holdLimits{
	all: 120_000, named: 60_000, inbound: 4 * maxHeaders, leastNamed: 2 * maxHeaders, leastInbound: 2 * maxAnnounced,
}

// evictedTime is how long a peer whose headers were dropped for others brings no
// more than announcements.
const evictedTime = 2 * time.Minute

// noPeer holds what peers that have left have brought, as long as others show it.
const noPeer int64 = -1

// headerHold knows which peer has brought which headers without blocks, and so
// whose are dropped when there are too many. A header is charged to the peer
// that brought it first,
//
//	from   the message that brought it
//	until  its block has come, or it was dropped; when the peer leaves, nobody
//	       has it, and then it is dropped unless others show it
//
// Where there is no room for more, the peer that holds most loses first; what
// nobody holds goes before that. The best chains of peers that were chosen are
// never dropped: those take no more than the limits allow in the first place.
type headerHold struct {
	limits  holdLimits
	holders map[int64]*headerHolder
	of      map[consensus.Hash]*headerHolder
}

// headerHolder is what one peer has brought.
type headerHolder struct {
	id      int64
	named   bool // this node or its operator chose the peer
	headers map[consensus.Hash]struct{}
	ends    map[consensus.Hash]struct{} // those of headers on which it has built nothing
	evicted time.Time                   // when some were dropped for others; zero if none were
}

func newHeaderHold() *headerHold {
	h := &headerHold{limits: defaultHold, holders: make(map[int64]*headerHolder), of: make(map[consensus.Hash]*headerHolder)}
	h.join(noPeer, false)
	return h
}

// join lets a peer bring headers.
func (h *headerHold) join(id int64, named bool) {
	h.holders[id] = &headerHolder{id: id, named: named, headers: make(map[consensus.Hash]struct{}), ends: make(map[consensus.Hash]struct{})}
}

// leave has nobody hold what a peer has brought.
func (h *headerHold) leave(id int64) {
	g, here := h.holders[id]
	if !here {
		return
	}
	rest := h.holders[noPeer]
	for hash := range g.headers {
		rest.headers[hash] = struct{}{}
		h.of[hash] = rest
	}
	maps.Copy(rest.ends, g.ends)
	delete(h.holders, id)
}

// room says what stands against n more headers of a peer: nothing if lack is 0;
// that many headers of others, which must be dropped first; or, if ok is false,
// what the peer has itself. proven lifts the limit of the one peer, as the work of
// these headers was shown before.
func (h *headerHold) room(id int64, n int, proven bool, now time.Time) (lack int, ok bool) {
	g, here := h.holders[id]
	if !here {
		return 0, false
	}
	most, least := h.limits.of(g)
	has := len(g.headers) + n
	switch {
	case has <= least:
		return 0, true
	case has > most && !proven:
		return 0, false
	case !g.evicted.IsZero() && now.Sub(g.evicted) < evictedTime:
		return 0, false
	}
	return max(0, len(h.of)+n-h.limits.all), true
}

// mayAsk reports whether there is room for many more headers of a peer that had
// to stop.
func (h *headerHold) mayAsk(id int64, now time.Time) bool {
	g, here := h.holders[id]
	if !here {
		return false
	}
	most, _ := h.limits.of(g)
	lack, ok := h.room(id, maxHeaders, false, now)
	return ok && lack == 0 && len(g.headers) <= most/2
}

// add charges headers, each the parent of the next, to the peer that brought them
// after parent.
func (h *headerHold) add(id int64, parent consensus.Hash, hashes []consensus.Hash) {
	g, here := h.holders[id]
	if !here {
		g = h.holders[noPeer] // it has left meanwhile
	}
	charged := false
	for _, hash := range hashes {
		if _, held := h.of[hash]; !held {
			h.of[hash] = g
			g.headers[hash] = struct{}{}
			charged = true
		}
	}
	if charged {
		delete(g.ends, parent)
		g.ends[hashes[len(hashes)-1]] = struct{}{}
	}
}

// release takes headers off the account: their blocks have come, or they were
// dropped.
func (h *headerHold) release(hashes ...consensus.Hash) {
	for _, hash := range hashes {
		if g, held := h.of[hash]; held {
			delete(h.of, hash)
			delete(g.headers, hash)
			delete(g.ends, hash)
		}
	}
}

// dropped notes that headers are gone, and that nothing is built any more on
// those that are left.
func (h *headerHold) dropped(gone, left []consensus.Hash) {
	h.release(gone...)
	for _, hash := range left {
		if g, held := h.of[hash]; held {
			g.ends[hash] = struct{}{}
		}
	}
}

// holding lists the headers of a peer.
func (h *headerHold) holding(id int64) []consensus.Hash {
	g, here := h.holders[id]
	if !here {
		return nil
	}
	return slices.Collect(maps.Keys(g.headers))
}

// of is what the limits are for one peer.
func (l *holdLimits) of(g *headerHolder) (most, least int) {
	if g.named {
		return l.named, l.leastNamed
	}
	return l.inbound, l.leastInbound
}

// endsBut lists the ends of a peer's branches but those that keep names.
func (g *headerHolder) endsBut(keep map[consensus.Hash]struct{}) (ends []consensus.Hash) {
	for hash := range g.ends {
		if _, kept := keep[hash]; !kept {
			ends = append(ends, hash)
		}
	}
	return ends
}

// evict chooses whose headers are dropped for others, and gives the ends of its
// branches: of those that were not tried yet the peer that holds most, and nobody
// before that. ok is false if none is left.
func (h *headerHold) evict(keep map[consensus.Hash]struct{}, tried map[int64]bool, now time.Time) (id int64, ends []consensus.Hash, ok bool) {
	order := slices.SortedFunc(maps.Values(h.holders), func(a, b *headerHolder) int {
		if a.id == noPeer || b.id == noPeer {
			return cmp.Compare(a.id, b.id)
		}
		return cmp.Or(cmp.Compare(len(b.headers), len(a.headers)), cmp.Compare(b.id, a.id))
	})
	for _, g := range order {
		if tried[g.id] {
			continue
		}
		tried[g.id] = true
		if ends := g.endsBut(keep); len(ends) > 0 {
			g.evicted = now
			return g.id, ends, true
		}
	}
	return noPeer, nil, false
}
