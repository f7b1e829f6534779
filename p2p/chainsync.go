package p2p

import (
	"time"

	"lode/consensus"
)

// A peer that this node chose and that never shows as much work as this node's
// tip follows a dead chain, or nobody: it holds a place that another could use.
// The rules and numbers are those of Bitcoin Core (net_processing.cpp,
// ConsiderEviction).
const (
	// catchUpTime is how long a peer may take to show the work that the tip has
	// when it is found to lack it; answerTime, to answer when it is asked then.
	catchUpTime = 20 * time.Minute
	answerTime  = 2 * time.Minute
	// maxProtected is how many full-relay peers, which once had as much, stay
	// though they fall behind: a miner who is ahead of all others for a while
	// must not cut this node off from them.
	maxProtected = 4
)

// catchUp is what a peer has to show, and by when. It is guarded by syncer.mu.
type catchUp struct {
	protected bool
	until     time.Time      // zero if it has shown as much as the tip
	tip       consensus.Hash // when that was found
	work      consensus.Work // of it
	asked     bool           // for its headers, as it has not
}

// dropOutdated drops the chosen peers that do not catch up with the tip.
func (n *Node) dropOutdated(now time.Time) {
	if tip := n.chain.Tip(); tip.Height > 0 { // nobody announces genesis
		for _, p := range n.sync.outdated(headerRef{tip.Hash, tip.Height, tip.Work}, now) {
			n.sync.mu.Lock()
			lacks := p.sync.catchUp.tip
			n.sync.mu.Unlock()
			if info, ok := n.chain.Header(lacks); ok { // whether it owes an answer or not: it is the last time
				n.askHeaders(p, info.Header.Prev) // so that the answer holds what it lacks
			}
		}
	}
}

// outdated drops the peers whose time is over, and lists those that must be asked
// for their headers: who got the tip from this node has had no reason to show it.
func (s *syncer) outdated(tip headerRef, now time.Time) (ask []*peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	protected := 0
	for p := range s.peers {
		if p.sync.catchUp.protected {
			protected++
		}
	}
	for p := range s.peers {
		c := &p.sync.catchUp
		switch has := &p.sync.best.work; {
		case !p.chosen() || !p.sync.everAsked || c.protected:
		case !has.Lt(&tip.work):
			c.until = time.Time{}
			if p.kind == kindOutbound && protected < maxProtected {
				c.protected = true
				protected++
			}
		case c.until.IsZero() || !has.Lt(&c.work):
			*c = catchUp{until: now.Add(catchUpTime), tip: tip.hash, work: tip.work}
		case !now.After(c.until):
		case c.asked:
			p.drop(errOutdated)
		default:
			c.asked, c.until = true, now.Add(answerTime)
			ask = append(ask, p)
		}
	}
	return ask
}
