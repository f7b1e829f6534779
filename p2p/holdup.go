package p2p

import (
	"errors"
	"time"

	"lode/consensus"
)

// The numbers of Bitcoin Core (net_processing.cpp).
const (
	holdUpPatience    = 2 * time.Second
	maxHoldUpPatience = 64 * time.Second
)

// errHoldsUp is why a peer is cut that keeps the window of blocks from moving.
var errHoldsUp = errors.New("is stalling block download: others can send nothing more until its blocks come")

// holdUp is what one peer does to the window of blocks that may be fetched:
//
//	state    leaves by
//	free     the lowest missing block was asked of it first, and another peer, which
//	         owes nothing, could send blocks beyond the window only      → holding
//	holding  it sends any block that it owes                            → free
//	         it has been waited for as long as the patience is          → it is cut
//
// That others are asked for its blocks, too, and the window moves on, does not free it:
// or it could slow a download down again and again. The zero value is free.
type holdUp struct {
	holding bool
	since   time.Duration // peer.waited when that began
}

// begin notes that the peer holds the window up. It reports whether that is new.
func (h *holdUp) begin(waited time.Duration) bool {
	if h.holding {
		return false
	}
	*h = holdUp{true, waited}
	return true
}

// came notes that the peer has sent a block that it owed.
func (h *holdUp) came() { *h = holdUp{} }

// over reports whether the peer is to be cut.
func (h *holdUp) over(waited, patience time.Duration) bool {
	return h.holding && waited-h.since >= patience
}

// patience is how long a peer may hold the window up. It is doubled with each that is
// cut for that, as it may be this node's own line that is slow, and falls with each
// block that is connected. The zero value is holdUpPatience.
type patience struct{ more time.Duration }

func (p *patience) now() time.Duration { return holdUpPatience + p.more }

// cut notes that a peer was cut.
func (p *patience) cut() { p.more = min(2*p.now(), maxHoldUpPatience) - holdUpPatience }

// connected notes that so many blocks were connected. It reports whether that has
// changed anything.
func (p *patience) connected(blocks uint32) bool {
	before := p.more
	for ; blocks > 0 && p.more > 0; blocks-- {
		p.more = max(p.now()*85/100-holdUpPatience, 0)
	}
	return p.more != before
}

// owesFirst reports whether p is the one who was asked first for any of the blocks that
// it owes: the others it only helps with. The caller holds mu.
func (s *syncer) owesFirst(p *peer) bool {
	for hash := range p.sync.blocks {
		if asked := s.requests[hash].asked; len(asked) > 0 && asked[0] == p {
			return true
		}
	}
	return false
}

// holdsUp notes that the window begins with a block that has not come, while some
// peers could send nothing but what is beyond the window. It gives the peer that was
// asked for that block before all others, if that is news.
func (s *syncer) holdsUp(lowest consensus.Hash, idle []*peer, now time.Time) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests[lowest].here {
		return nil // this node judges it
	}
	var first *peer
	var since time.Time
	for p := range s.peers {
		at, owes := p.sync.blocks[lowest]
		if owes && (first == nil || at.Before(since) || at.Equal(since) && p.id < first.id) {
			first, since = p, at
		}
	}
	if first == nil || len(idle) == 1 && idle[0] == first || !first.sync.holdUp.begin(first.waited(now)) {
		return nil
	}
	return first
}

// noteHoldUps looks for peers that hold a window up.
func (d *downloader) noteHoldUps(now time.Time) {
	for _, way := range d.paths {
		if len(way.idle) == 0 {
			continue
		}
		if p := d.node.sync.holdsUp(way.blocks[0].Hash, way.idle, now); p != nil {
			d.node.log.Debug("Stall started", "peer", p.id, "block", way.blocks[0].Hash, "timeout", d.patience.now())
		}
	}
}

// dropHoldUps ends the connections of those that have held a window up for too long,
// but of those that the operator wants: others are asked for their blocks, too.
func (d *downloader) dropHoldUps(now time.Time) {
	for _, p := range d.node.sync.heldUpBy(d.patience.now(), now) {
		p.drop(errHoldsUp)
		before := d.patience.now()
		if d.patience.cut(); d.patience.now() != before {
			d.node.log.Debug("Increased stalling timeout temporarily", "seconds", d.patience.now().Seconds())
		}
	}
}

func (s *syncer) heldUpBy(patience time.Duration, now time.Time) (peers []*peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.peers {
		if h := &p.sync.holdUp; h.holding && !p.isWanted() && h.over(p.waited(now), patience) {
			h.came() // once
			peers = append(peers, p)
		}
	}
	return peers
}

// followTip has the patience fall with the blocks that are connected.
func (d *downloader) followTip(height uint32) {
	if height > d.height && d.patience.connected(height-d.height) {
		d.node.log.Debug("Decreased stalling timeout", "seconds", d.patience.now().Seconds())
	}
	d.height = height
}
