package p2p

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lode/consensus"
)

const (
	// headersTimeout is how long a peer may take for one headers message
	// before another is asked.
	headersTimeout = 30 * time.Second
	// leaderTerm is how long one peer may be the only one that is asked: it
	// may be slow, or its chain of no use.
	leaderTerm = time.Minute
	// reaskInterval is how soon a peer that did not answer is asked again.
	reaskInterval = 2 * time.Minute
	// othersWait is how long after the first peer has given all its headers the others
	// are asked where the best of those is old and its block is here: it may be that
	// there are no newer ones, and then they are asked for nothing. A block that they
	// announce ends the wait.
	othersWait = 10 * time.Second
	// muteTime is how long a peer may owe the first headers before it has to go, if
	// there is another that this node dialled, as in Bitcoin Core
	// (HEADERS_DOWNLOAD_TIMEOUT_BASE).
	muteTime = 15 * time.Minute
	// maxUnconnected is how many headers messages in a row may hang in the
	// air and yet be no answer, and be too long for announcements.
	maxUnconnected = 10
)

// toAsk chooses whom to ask for headers. While the first headers are being
// fetched one peer is asked at a time, because all would send the same; then
// every peer is asked once to learn what it has, at once if all is set, see asksAll,
// and else after othersWait. Who does not answer is asked again after a while.
func (s *syncer) toAsk(now time.Time, all bool) (list []*peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.leader; l != nil && (now.Sub(s.led) > leaderTerm || !l.sync.asked.IsZero() && now.Sub(l.sync.asked) > headersTimeout) {
		s.leader = nil
	}
	for p := range s.peers {
		due := p.sync.dueForHeaders(now)
		if p.sync.paused {
			due = (p.sync.asked.IsZero() || due) && s.hold.mayAsk(p.id, now)
		}
		if !p.sync.everAsked && s.headersDone && !all && now.Sub(s.doneAt) < othersWait {
			continue
		}
		if !p.has(serviceWitness) || !due {
			continue
		}
		list = append(list, p)
	}
	if s.headersDone || len(list) == 0 {
		return list
	}
	if s.leader != nil {
		return nil
	}
	// Peers that this node chose come first, then the older ones; those that
	// were asked before come last.
	s.leader = slices.MinFunc(list, func(a, b *peer) int {
		if a.sync.everAsked != b.sync.everAsked {
			return boolOrder(b.sync.everAsked)
		}
		if a.inbound() != b.inbound() {
			return boolOrder(b.inbound())
		}
		return byID(a, b)
	})
	s.leader.sync.asked, s.led = now, now
	return []*peer{s.leader}
}

// dueForHeaders reports whether a peer was not asked yet, or long ago and has
// not answered, or has headers that may be good by now.
func (s *peerSync) dueForHeaders(now time.Time) bool {
	switch {
	case !s.everAsked:
		return true
	case !s.asked.IsZero():
		return now.Sub(s.asked) >= reaskInterval
	}
	return !s.early.IsZero() && now.Sub(s.early) >= reaskInterval
}

func boolOrder(first bool) int {
	if first {
		return -1
	}
	return 1
}

// askHeaders sends getheaders. Without after it asks for what follows the best
// header that is known here, that one included, so that the answer tells
// whether the peer has it; otherwise for what follows after.
func (n *Node) askHeaders(p *peer, after consensus.Hash) {
	locator := n.chain.Locator()
	if after != (consensus.Hash{}) {
		locator = append([]consensus.Hash{after}, locator...)
	} else if len(locator) > 1 {
		locator = locator[1:]
	}
	n.askLocated(p, locator)
}

// askLocated sends getheaders with a locator, cut to what one may have.
func (n *Node) askLocated(p *peer, locator []consensus.Hash) {
	n.sync.mu.Lock()
	now := n.wall.Now()
	p.sync.everAsked, p.sync.asked, p.sync.early, p.sync.again = true, now, time.Time{}, false
	if p.sync.mute.IsZero() {
		p.sync.mute = now
	}
	p.sync.paused, p.sync.resume = false, consensus.Hash{}
	n.sync.mu.Unlock()
	p.send(&msgLocate{cmd: cmdGetHeaders, version: ProtocolVersion, locator: locator[:min(len(locator), maxLocator)]})
}

// askHeadersOnce asks for what a peer has announced: what follows the best header that
// is known here. It waits for the answer that the peer owes: that may have been made
// before it had what it announces now, and it announces nothing twice.
func (n *Node) askHeadersOnce(p *peer) {
	if n.mayAskHeaders(p) {
		n.askLocated(p, n.chain.Locator())
	}
}

// mayAskHeaders reports whether a peer owes no headers; if it does, or there is no room
// for them, it is asked again then.
func (n *Node) mayAskHeaders(p *peer) bool {
	n.sync.mu.Lock()
	defer n.sync.mu.Unlock()
	p.sync.again = !p.sync.asked.IsZero() && n.wall.Since(p.sync.asked) < reaskInterval
	return !p.sync.again && !p.sync.paused
}

func (n *Node) handleHeaders(p *peer, headers msgHeaders) error {
	if len(headers) == 0 {
		n.sync.answered(p)
		n.endHeaders(p)
		return nil
	}
	hashed := hashedHeaders{headers, make([]consensus.Hash, len(headers))}
	for i := range headers {
		hashed.hashes[i] = headers[i].Hash()
		if i > 0 && headers[i].Prev != hashed.hashes[i-1] {
			return fmt.Errorf("%w: number %d of %d does not follow the one before", errInvalidHeader, i, len(headers))
		}
		if err := n.cfg.Spec.Rules.CheckWorkOf(&headers[i], hashed.hashes[i]); err != nil {
			return fmt.Errorf("%w: %w", errInvalidHeader, err)
		}
	}
	if p.presync.follows(headers) {
		n.sync.answered(p)
		return n.presyncHeaders(p, hashed)
	}
	parent, ok := n.chain.Header(headers[0].Prev)
	if !ok {
		return n.unconnected(p, hashed)
	}
	n.sync.answered(p)
	if _, known := n.chain.Header(hashed.last()); !known && !p.trusted && n.lowWork(parent.Work, headers) { // with noban no proof is asked, as in Bitcoin Core
		return n.beginPresync(p, parent, hashed)
	}
	return n.takeHeaders(p, hashed, false)
}

// hashedHeaders are the headers of one message, each the parent of the next, with their
// hashes, which cost more than what else is done with them. There is at least one.
type hashedHeaders struct {
	msgHeaders
	hashes []consensus.Hash
}

func (h hashedHeaders) last() consensus.Hash { return h.hashes[len(h.hashes)-1] }

// unconnected deals with headers whose parent is not known here. They cannot be
// the answer to getheaders, which follows something in its locator, but an
// honest peer's announcements look like this until the answer comes.
func (n *Node) unconnected(p *peer, headers hashedHeaders) error {
	if len(headers.hashes) > maxAnnounced && n.sync.countUnconnected(p) > maxUnconnected {
		return fmt.Errorf("%w: headers that hang in the air", errProtocol)
	}
	n.sync.hearOf(p, headers.last())
	n.askHeadersOnce(p)
	return nil
}

// takeHeaders adds headers of a chain with enough work to the index. proven says
// that this work was shown before.
func (n *Node) takeHeaders(p *peer, headers hashedHeaders, proven bool) error {
	err := n.addHeaders(p, headers, proven)
	n.fatal(err)
	if errors.Is(err, errNoRoom) {
		n.pauseHeaders(p, headers)
		return nil
	}
	if fault := n.chainFault(p, err, errInvalidHeader); fault != nil {
		return fault
	}
	for _, hash := range slices.Backward(headers.hashes) { // the last may have been refused
		if n.noteShown(p, hash) {
			break
		}
	}
	last := headers.last()
	if len(headers.hashes) == maxHeaders && err == nil && n.sync.goesOn(p, last) {
		n.askHeaders(p, last)
		return nil
	}
	n.fetchDirect(p, last)
	n.endHeaders(p)
	if errors.Is(err, consensus.ErrTimeTooNew) {
		n.fromFuture(p, &headers.msgHeaders[len(headers.hashes)-1])
	}
	return nil
}

// noteShown notes that p has a chain up to a header, if that is known and breaks no
// rule. What the operator invalidated counts only once it is reconsidered, see
// cannotFollow.
func (n *Node) noteShown(p *peer, hash consensus.Hash) (known bool) {
	info, ok := n.chain.Header(hash)
	if !ok || info.Invalid && !info.Invalidated {
		return false
	}
	n.sync.shown(p, headerRef{hash, info.Height, info.Work})
	return true
}

// tooEarly has the peer asked again: it may not announce the same header twice.
func (s *syncer) tooEarly(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.early = s.wall.Now()
}

// endHeaders notes that the answer of the peer has no more headers that are of
// use.
func (n *Node) endHeaders(p *peer) {
	p.presync = nil
	if n.sync.gaveAll(p) {
		n.askLocated(p, n.chain.Locator())
	}
}

// answered notes that the peer owes no headers any more.
func (s *syncer) answered(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.asked, p.sync.mute = time.Time{}, time.Time{}
}

// dropMute drops who owes the first headers for too long, if there is another peer that
// this node dialled.
func (n *Node) dropMute(now time.Time) {
	if n.isRecent() {
		return
	}
	s := n.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	dialled := 0
	for p := range s.peers {
		if !p.inbound() {
			dialled++
		}
	}
	for p := range s.peers {
		if !p.inbound() && dialled == 1 || dialled == 0 || s.headersDone || p.sync.mute.IsZero() || now.Sub(p.sync.mute) < muteTime {
			continue
		}
		p.sync.mute = time.Time{}
		if !p.isWanted() {
			p.drop(errMute)
		} else {
			n.log.Debug(fmt.Sprintf("Timeout downloading headers from noban peer, not disconnecting peer=%d", p.id))
		}
	}
}

// gaveAll notes that the peer has no more headers, and reports whether it has
// announced some since it was asked.
func (s *syncer) gaveAll(p *peer) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.unconnected = 0
	defer poke(s.wake)
	if s.leader == p {
		s.leader, s.headersDone, s.doneAt = nil, true, s.wall.Now()
	}
	return p.sync.again && p.sync.asked.IsZero()
}

// goesOn reports whether a full message brought the peer's end forward.
func (s *syncer) goesOn(p *peer, last consensus.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.unconnected = 0
	on := p.sync.lastFull != last
	p.sync.lastFull = last
	return on
}

func (s *syncer) countUnconnected(p *peer) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.unconnected++
	return p.sync.unconnected
}

// handleBlockInv learns what a peer has; headers that are not known here are
// asked for.
func (n *Node) handleBlockInv(p *peer, items []invItem) {
	var last consensus.Hash
	for _, item := range items {
		if item.kind == invBlock && !n.noteShown(p, item.hash) {
			last = item.hash
		}
	}
	if last == (consensus.Hash{}) {
		return
	}
	n.sync.hearOf(p, last)
	if n.sync.mayFollow(p, last, n.isRecent()) {
		n.askHeadersOnce(p)
	}
}

// hearOf notes that a peer has announced a block that is not known here, or forgets it.
func (s *syncer) hearOf(p *peer, block consensus.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.heardOf = block
}

// noteHeard notes that a peer has the block that it has announced if that is known by
// now: its header may have come from another.
func (n *Node) noteHeard(p *peer) {
	n.sync.mu.Lock()
	block := p.sync.heardOf
	n.sync.mu.Unlock()
	if block != (consensus.Hash{}) && n.noteShown(p, block) {
		n.sync.hearOf(p, consensus.Hash{})
	}
}

// mayFollow reports whether a peer is asked for headers because it has announced a block
// that is not known here: where the first headers are still to come, or there are none
// that are recent, one peer for each block besides those that were asked anyhow. Who
// serves no blocks is asked once, as in Bitcoin Core: its headers help little.
func (s *syncer) mayFollow(p *peer, block consensus.Hash, recent bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.has(serviceNetwork) && !p.has(serviceNetworkLimited) {
		if p.sync.followed {
			return false
		}
		p.sync.followed = true
	}
	if recent || p.sync.everAsked {
		return true
	}
	first := s.followed != block
	s.followed = block
	return first
}

// isRecent reports whether the best header is no older than the tip may be.
func (n *Node) isRecent() bool {
	return int64(n.chain.BestHeader().Header.Time) > n.wall.Now().Unix()-int64(n.maxTipAge()/time.Second)
}

// asksAll reports whether every peer is asked for headers as soon as one has given its
// own: where the best of those is recent, and where there are blocks to fetch, which
// come from all who are known to have them.
func (n *Node) asksAll() bool {
	return n.isRecent() || n.chain.BestHeader().Hash != n.chain.Tip().Hash
}
