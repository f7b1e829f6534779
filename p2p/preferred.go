package p2p

import (
	"slices"
	"time"

	"lode/consensus"
)

const (
	// maxFast is how many peers are to announce blocks in compact form at once,
	// as in Bitcoin Core.
	maxFast = 3
	// minFast is how many of those peers are kept though their compact blocks
	// come too late: maxLate in a row, when the block was here already, or of a peer
	// that is sent them at once as well, mutualLate: the block crosses that link twice.
	minFast    = 2
	maxLate    = 4
	mutualLate = 1
	// pushWait is the part of a round trip, to the one who would be asked, that
	// a compact block is waited for which a peer may send unasked: it takes
	// longer to come than a header that was sent at the same time.
	pushWait = 16
	// maxPushWait bounds that: one who answers no ping in time must not be the
	// last who is asked.
	maxPushWait = 100 * time.Millisecond
)

// prefer has p, which was the first to give a new tip, announce the next ones by
// compact blocks at once, in place of the one that has not done so for longest.
func (n *Node) prefer(p *peer) {
	if !n.asksCompact(p) {
		return
	}
	added, demoted := n.sync.prefer(p)
	if demoted != nil {
		demoted.send(msgSendCmpct{false, compactVersion})
	}
	if added {
		p.send(msgSendCmpct{true, compactVersion})
	}
}

// prefer keeps one peer that this node chose among the preferred: whoever fills
// the inbound slots cannot take all of these places.
func (s *syncer) prefer(p *peer) (added bool, demoted *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, here := s.peers[p]; !here {
		return false, nil
	}
	p.sync.late = 0
	if i := slices.Index(s.fast, p); i >= 0 {
		s.fast = append(slices.Delete(s.fast, i, i+1), p)
		return false, nil
	}
	if len(s.fast) >= maxFast {
		out := 0
		if p.inbound() && s.isLastChosen(s.fast[0]) {
			out = 1
		}
		demoted = s.fast[out]
		s.fast = slices.Delete(s.fast, out, out+1)
	}
	s.fast = append(s.fast, p)
	return true, demoted
}

// isLastChosen reports whether p is the only one of the preferred peers that did
// not come by itself. The caller holds mu.
func (s *syncer) isLastChosen(p *peer) bool {
	return !p.inbound() && !slices.ContainsFunc(s.fast, func(q *peer) bool { return q != p && !q.inbound() })
}

// cameLate notes that p has sent a compact block that was here already. Who does
// that again and again with nobody having asked need not send them at once.
func (n *Node) cameLate(p *peer, hash consensus.Hash) {
	if n.sync.cameLate(p, hash) {
		p.send(msgSendCmpct{false, compactVersion})
	}
}

func (s *syncer) cameLate(p *peer, hash consensus.Hash) (demoted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.fast, p)
	if _, owes := p.sync.blocks[hash]; owes || i < 0 {
		return false
	}
	most := maxLate
	if p.wantsCompact() {
		most = mutualLate
	}
	p.sync.late++
	if p.sync.late < most || len(s.fast) <= minFast || s.isLastChosen(p) {
		return false
	}
	p.sync.late = 0
	s.fast = slices.Delete(s.fast, i, i+1)
	return true
}

// awaitPush is how long to wait before p is asked for the next block, best,
// because another peer may send it unasked.
func (s *syncer) awaitPush(p *peer, best consensus.Hash, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	may := func(q *peer) bool { return q.sync.best.work.Lt(&s.most.work) }
	if best != s.most.hash || !slices.ContainsFunc(s.fast, may) {
		return 0
	}
	return s.grew.Add(min(p.roundTrip()/pushWait, maxPushWait)).Sub(now)
}

// roundTrip is the shortest that was measured; 0 for none.
func (p *peer) roundTrip() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats.minPing
}
