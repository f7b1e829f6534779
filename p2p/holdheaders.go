package p2p

import (
	"errors"
	"sort"
	"time"

	"lode/consensus"
)

// recountInterval is how often at most the headers that are charged to a peer are
// compared with the ledger, which has got blocks from others too.
const recountInterval = 10 * time.Second

// errNoRoom is for headers that are not kept now. It is no fault.
var errNoRoom = errors.New("no room for more headers without blocks")

// addHeaders adds headers, each the parent of the next, to the index, and charges
// p those that are new. The error is errNoRoom, and none is added, where it may
// not bring more now; else it is one of the ledger.
func (n *Node) addHeaders(p *peer, headers hashedHeaders, proven bool) error {
	known := sort.Search(len(headers.hashes), func(i int) bool {
		_, known := n.chain.Header(headers.hashes[i])
		return !known
	})
	fresh := headers.hashes[known:]
	if len(fresh) == 0 {
		return n.chain.AddHeaders(headers.msgHeaders)
	}
	if !n.roomForHeaders(p, len(fresh), proven) {
		return errNoRoom
	}
	n.sync.mu.Lock()
	n.sync.hold.add(p.id, headers.msgHeaders[known].Prev, fresh)
	n.sync.mu.Unlock()
	err := n.chain.AddHeaders(headers.msgHeaders)
	if err != nil {
		n.recount(fresh)
	}
	return err
}

// roomForHeaders reports whether p may bring so many more headers, for which
// others' are dropped if need be.
func (n *Node) roomForHeaders(p *peer, count int, proven bool) bool {
	s, now := n.sync, n.wall.Now()
	awaits := n.chain.AwaitsSnapshot()    // no blocks come before all headers have
	tried := map[int64]bool{p.id: proven} // what it has shown the work of must not make room for the rest of it
	for {
		s.mu.Lock()
		lack, ok := s.hold.room(p.id, count, proven || awaits, now)
		if !ok && now.Sub(p.sync.recounted) >= recountInterval {
			p.sync.recounted = now
			list := s.hold.holding(p.id)
			s.mu.Unlock()
			n.recount(list)
			continue
		}
		if !ok || lack == 0 {
			s.mu.Unlock()
			return ok
		}
		keep := s.bests((*peer).named)
		id, ends, more := s.hold.evict(keep, tried, now)
		s.pauseID(id)
		s.mu.Unlock()
		if !more {
			// What has as much work as the whole network, or leads to the
			// snapshot, is worth its memory.
			return proven && !n.minWork.IsZero() || awaits && p.named()
		}
		n.dropHeaders(ends, keep)
	}
}

// named reports whether this node or its operator chose the peer.
func (p *peer) named() bool { return !p.inbound() }

// bests lists what some peers have shown. The caller holds mu.
func (s *syncer) bests(of func(*peer) bool) map[consensus.Hash]struct{} {
	keep := make(map[consensus.Hash]struct{})
	for p := range s.peers {
		if !of(p) {
			continue
		}
		for _, ref := range []headerRef{p.sync.best, p.sync.before, p.sync.aside} {
			if ref.known() {
				keep[ref.hash] = struct{}{}
			}
		}
	}
	return keep
}

func (n *Node) dropHeaders(ends []consensus.Hash, keep map[consensus.Hash]struct{}) {
	gone, left, err := n.chain.ForgetHeaders(ends, keep)
	n.fatal(err)
	n.sync.mu.Lock()
	defer n.sync.mu.Unlock()
	n.sync.hold.dropped(gone, left)
}

// recount takes off the account which of these headers have their blocks, or are
// not there at all.
func (n *Node) recount(hashes []consensus.Hash) {
	var free []consensus.Hash
	for _, hash := range hashes {
		if info, ok := n.chain.Header(hash); !ok || info.HaveBlock || info.Pruned || info.Active {
			free = append(free, hash)
		}
	}
	n.sync.mu.Lock()
	defer n.sync.mu.Unlock()
	n.sync.hold.release(free...)
}

// accountFor charges p a header that came with a block which was not taken, or
// takes that of a block which was off the account.
func (n *Node) accountFor(p *peer, hash consensus.Hash) {
	info, ok := n.chain.Header(hash)
	n.sync.mu.Lock()
	defer n.sync.mu.Unlock()
	switch {
	case !ok || info.HaveBlock:
		n.sync.hold.release(hash)
	case !info.Invalid:
		n.sync.hold.add(p.id, info.Header.Prev, []consensus.Hash{hash})
	}
}

// sweepHeaders drops the headers of peers that have left, unless others show them.
func (n *Node) sweepHeaders(now time.Time) {
	s := n.sync
	s.mu.Lock()
	rest := s.hold.holders[noPeer]
	if len(rest.headers) == 0 {
		s.mu.Unlock()
		return
	}
	keep := s.bests(func(*peer) bool { return true })
	ends := rest.endsBut(keep)
	var list []consensus.Hash
	if now.Sub(s.swept) >= recountInterval {
		s.swept = now
		list = s.hold.holding(noPeer)
	}
	s.mu.Unlock()
	n.recount(list)
	n.dropHeaders(ends, keep)
}

// pauseHeaders notes that there is no room for headers that p has sent.
func (n *Node) pauseHeaders(p *peer, headers hashedHeaders) {
	last := headers.msgHeaders[0].Prev
	for _, hash := range headers.hashes {
		if _, known := n.chain.Header(hash); !known {
			break
		}
		last = hash
	}
	n.noteShown(p, last)
	n.log.Debug("no room for more headers without blocks", "peer", p.String())
	n.sync.pause(p, last)
}

// pause has p asked for what follows a header when there is room. If it was the
// only one that was asked others are now.
func (s *syncer) pause(p *peer, after consensus.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.unconnected = 0
	if !p.sync.paused {
		p.sync.paused, p.sync.resume = true, after
	}
	if s.leader == p {
		s.leader, s.headersDone = nil, true
		poke(s.wake)
	}
}

// pauseID has the peer whose headers are dropped asked for them again when there is
// room. The caller holds mu.
func (s *syncer) pauseID(id int64) {
	for p := range s.peers {
		if p.id == id {
			p.sync.paused, p.sync.resume = true, consensus.Hash{}
		}
	}
}

// resumeAfter is where p goes on giving headers; zero for after what is best here.
func (n *Node) resumeAfter(p *peer) consensus.Hash {
	n.sync.mu.Lock()
	after := p.sync.resume
	n.sync.mu.Unlock()
	if _, known := n.chain.Header(after); !known {
		return consensus.Hash{}
	}
	return after
}
