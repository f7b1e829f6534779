package p2p

import (
	"slices"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/clock"
)

const (
	// blocksInFlight is how many blocks one peer is asked for at a time, as in
	// Bitcoin Core; of small ones bytesInFlight, but at most
	// maxBlocksInFlight, or the ledger would wait for the network.
	blocksInFlight    = 16
	bytesInFlight     = 2 << 20
	maxBlocksInFlight = 128
	// downloadWindow is how far, in blocks, any may be fetched ahead of the
	// lowest that is missing.
	downloadWindow = 1024
	// moveTimeout is how long a peer may send no block before another that is
	// free is asked for what it owes; stallTimeout, before it is dropped.
	moveTimeout  = 10 * time.Second
	stallTimeout = messageTimeout
	// A peer that finds nothing else to do helps one that is slowPeer times as
	// slow and has more to send than it can in slowTime, with one in helpShare
	// of the blocks that a peer is asked for at a time.
	slowPeer  = 4
	slowTime  = time.Second
	helpShare = 4
	// maxUnaskedAhead is how far, in blocks, above the tip a block that nobody
	// asked for may lie.
	maxUnaskedAhead = 288
)

// downloader decides which block is asked from whom. Only syncLoop uses it.
type downloader struct {
	node    *Node
	paths   map[consensus.Hash]*path // by the header they lead to
	history path                     // before the snapshot that the ledger began with
	tips    map[consensus.Hash]*tipBlock
	alarm   *clock.Timer // when to look again

	patience patience // with those that hold the window up
	height   uint32   // of the tip when that was last looked at
}

func newDownloader(n *Node) *downloader {
	alarm := n.wall.AfterFunc(time.Hour, func() { poke(n.sync.wake) })
	alarm.Stop()
	return &downloader{node: n, paths: make(map[consensus.Hash]*path), tips: make(map[consensus.Hash]*tipBlock), alarm: alarm}
}

// path is the next missing blocks on the way to a header, lowest first.
type path struct {
	blocks []chain.MissingBlock
	full   bool    // there may be more behind them
	idle   []*peer // could send only what is beyond the window, and owe nothing that they were asked first
}

// schedule asks every peer that has missing blocks and is free for the lowest
// ones that nobody else was asked for.
func (d *downloader) schedule(now time.Time) {
	tip := d.node.chain.Tip()
	least := tip.Work // of a branch as good as this one, too, the blocks are fetched
	if least.Lt(&d.node.minWork) {
		least = d.node.minWork
	}
	ahead := d.node.sync.ahead(least)
	used, ways := make(map[consensus.Hash]*path), make(map[*peer]*path)
	var again time.Time
	for p, best := range ahead {
		if best.hash == tip.Hash {
			continue
		}
		way, ok := used[best.hash]
		if !ok {
			if _, valid := d.node.headerRef(best.hash); !valid {
				if best.work.Gt(&tip.Work) {
					d.node.cannotFollow(p, best.hash)
				}
				continue
			}
			way = d.pathTo(best.hash)
			used[best.hash] = way
		}
		ways[p] = way
		if d.node.asksCompact(p) && d.node.followsTip(best.hash) {
			if wait := d.node.sync.awaitPush(p, best.hash, now); wait > 0 {
				if at := now.Add(wait); again.IsZero() || at.Before(again) {
					again = at
				}
				continue
			}
		}
		items := d.assign(p, best, way, now)
		if len(items) == 1 && d.node.asksCompact(p) && d.node.followsTip(items[0].hash) {
			items[0].kind = invCmpct
		}
		if len(items) > 0 {
			p.send(&msgInv{cmdGetData, items})
		}
	}
	d.paths = used
	d.followTip(tip.Height)
	d.noteHoldUps(now)
	if at := d.askMore(ways, now); !at.IsZero() && (again.IsZero() || at.Before(again)) {
		again = at
	}
	if !again.IsZero() {
		d.alarm.Reset(max(again.Sub(now), 0))
	}
	d.scheduleHistory(now)
}

// scheduleHistory asks peers that have nothing new for the blocks before the
// snapshot that the ledger began with: those at the tip come first.
func (d *downloader) scheduleHistory(now time.Time) {
	way := d.history
	way.blocks = d.node.chain.StillMissing(way.blocks)
	if len(way.blocks) < downloadWindow/2 {
		way.blocks = d.missing(d.node.chain.MissingHistory(downloadWindow))
	}
	d.history = way
	if len(way.blocks) == 0 {
		return
	}
	for p, best := range d.node.sync.ahead(consensus.Work{}) {
		if info, ok := d.node.chain.Header(best.hash); !ok || !info.Active {
			continue
		}
		if items := d.assign(p, best, &way, now); len(items) > 0 {
			p.send(&msgInv{cmdGetData, items})
		}
	}
}

// pathTo gives the path to a header, without the blocks that have come. It is
// kept between calls, because finding it takes as long as the chain is.
func (d *downloader) pathTo(target consensus.Hash) *path {
	way := d.paths[target]
	if way == nil {
		way = &path{full: true}
	}
	way.idle = nil
	known := len(way.blocks)
	if way.blocks = d.node.chain.StillMissing(way.blocks); len(way.blocks) < known {
		d.node.sync.movedOn(target)
	}
	// An empty one is looked at again: a ledger that waits for its snapshot
	// names no block, and then all above its base.
	if (way.full || len(way.blocks) == 0) && len(way.blocks) < downloadWindow/2 {
		hashes := d.node.chain.MissingBlocks(target, downloadWindow)
		way.full = len(hashes) == downloadWindow
		way.blocks = d.missing(hashes)
	}
	return way
}

// missing is those of some blocks that are still missing, and their heights.
func (d *downloader) missing(hashes []consensus.Hash) []chain.MissingBlock {
	blocks := make([]chain.MissingBlock, len(hashes))
	for i, hash := range hashes {
		blocks[i].Hash = hash
	}
	return d.node.chain.StillMissing(blocks)
}

// assign chooses the blocks that p is asked for now. One of the path may have come
// since it was looked for.
func (d *downloader) assign(p *peer, best headerRef, way *path, now time.Time) []invItem {
	items := d.node.sync.assign(p, best, way, now)
	hashes := make([]consensus.Hash, len(items))
	for i := range items {
		hashes[i] = items[i].hash
	}
	if len(d.missing(hashes)) == len(items) {
		return items
	}
	return slices.DeleteFunc(items, func(item invItem) bool {
		info, _ := d.node.chain.Header(item.hash)
		if info.HaveBlock {
			d.node.sync.arrived(p, item.hash, true)
		}
		return info.HaveBlock
	})
}

func (s *syncer) assign(p *peer, best headerRef, way *path, now time.Time) (items []invItem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, here := s.peers[p]; !here {
		return nil
	}
	// A peer that finds nothing else to do helps with what another is slow to send:
	// who sends all but the lowest block must not hold up the window.
	limit, free, ends := p.sync.limit(), s.free, false
	for _, help := range []bool{false, true} {
		if help {
			limit, free = limit/helpShare, func(hash consensus.Hash, now time.Time) bool { return s.needsHelp(hash, p, now) }
		}
		for _, b := range way.blocks {
			if len(p.sync.blocks) >= limit {
				break
			}
			if b.Height >= way.blocks[0].Height+downloadWindow {
				ends = ends || p.serves(b.Height, best.height)
				break
			}
			if _, owes := p.sync.blocks[b.Hash]; owes || !p.serves(b.Height, best.height) || !free(b.Hash, now) {
				continue
			}
			s.owe(p, b.Hash, now)
			r := s.requests[b.Hash]
			s.requests[b.Hash] = blockRequest{peer: p, at: now, asked: append(r.asked, p), parts: r.parts}
			items = append(items, invItem{invBlock | invWitness, b.Hash})
		}
	}
	if ends && !s.owesFirst(p) {
		way.idle = append(way.idle, p)
	}
	return items
}

// limit is how many blocks the peer may be asked for at a time.
func (s *peerSync) limit() int {
	return min(max(bytesInFlight/max(s.size, 1), blocksInFlight), maxBlocksInFlight)
}

// free reports whether a block may be asked for: from nobody yet, or from one
// who does not get on. The caller holds mu.
func (s *syncer) free(hash consensus.Hash, now time.Time) bool {
	r, asked := s.requests[hash]
	return !asked || !r.here && now.Sub(r.at) > moveTimeout && s.idleTime(r.peer, now) > moveTimeout
}

// needsHelp reports whether a block was asked from one who is slow, and may be
// asked from p too. The caller holds mu.
func (s *syncer) needsHelp(hash consensus.Hash, p *peer, now time.Time) bool {
	r, asked := s.requests[hash]
	if !asked || r.here {
		return false
	}
	pace := max(r.peer.sync.pace, s.idleTime(r.peer, now))
	isSlow := p.sync.pace > 0 && pace > slowPeer*p.sync.pace && pace*time.Duration(len(r.peer.sync.blocks)) > slowTime
	return isSlow || now.Sub(r.at) > moveTimeout
}

// idleTime is how long this side has waited for p without getting any of the
// blocks that p owes. The caller holds mu.
func (s *syncer) idleTime(p *peer, now time.Time) time.Duration {
	if len(p.sync.blocks) == 0 {
		return 0
	}
	return p.waited(now) - p.sync.progress
}

// dropStalled ends the connections of peers that owe blocks and send none.
func (s *syncer) dropStalled(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.peers {
		if s.idleTime(p, now) > stallTimeout {
			p.drop(errStalled)
		}
	}
}

// received reports whether p owes a block, which has come now. Nobody else is
// asked for it until it is judged.
func (s *syncer) received(p *peer, hash consensus.Hash, size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, owed := p.sync.blocks[hash]; !owed {
		return false
	}
	delete(p.sync.blocks, hash)
	p.sync.holdUp.came()
	p.sync.came(p.waited(s.wall.Now()))
	p.sync.size = (7*p.sync.size + size) / 8
	p.sync.judged++
	p.sync.lastCame = s.wall.Now()
	s.requests[hash] = blockRequest{peer: p, here: true, asked: s.requests[hash].asked}
	poke(s.wake)
	return true
}

// came notes that a block has come when p had been waited for that long.
func (s *peerSync) came(waited time.Duration) {
	if s.flows {
		pace := max(waited-s.progress, 1)
		if s.pace > 0 {
			pace = (3*s.pace + pace) / 4
		}
		s.pace = pace
	}
	s.progress, s.flows = waited, len(s.blocks) > 0
}

// judged notes that what followed from the verdict on a received block has
// happened.
func (s *syncer) judged(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.judged--
	poke(s.wake)
}

// isJudged reports whether blocks of p are being judged: why it must go is still
// to be said.
func (s *syncer) isJudged(p *peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.sync.judged > 0
}

// arrived notes that a block has come from p and was judged. good is false if
// it must be asked for again.
func (s *syncer) arrived(p *peer, hash consensus.Hash, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, owed := p.sync.blocks[hash]
	if owed {
		delete(p.sync.blocks, hash)
		p.sync.holdUp.came()
		p.sync.progress = p.waited(s.wall.Now())
		if good {
			p.sync.trial.came(s.wall.Now())
		}
	}
	asked := s.requests[hash].peer == p
	if good {
		s.settle(p, hash, s.wall.Now())
	}
	if good || asked {
		delete(s.requests, hash)
	}
	poke(s.wake)
}

// asked reports whether p owes a block.
func (s *syncer) asked(p *peer, hash consensus.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, owed := p.sync.blocks[hash]
	return owed
}

// notFound drops a peer that does not have a block of the chain that it has
// shown: nobody else may be asked for it while that peer seems to get on.
func (s *syncer) notFound(p *peer, items []invItem) {
	for _, item := range items {
		if s.asked(p, item.hash) {
			p.drop(errMissing)
			return
		}
	}
}

// followsTip reports whether a block is the next after the tip.
func (n *Node) followsTip(hash consensus.Hash) bool {
	info, ok := n.chain.Header(hash)
	return ok && info.Header.Prev == n.chain.Tip().Hash
}

// takeAsHeader learns from a block that is not stored now what the peer has: it
// will hardly announce it otherwise.
func (n *Node) takeAsHeader(p *peer, h *consensus.Header, hash consensus.Hash) error {
	if _, known := n.chain.Header(hash); !known {
		return n.handleHeaders(p, msgHeaders{*h})
	}
	n.noteShown(p, hash)
	return nil
}

// wants reports whether a block that nobody asked for is worth storing: it must
// lie near the tip and carry at least as much work as that, and as the network
// is known to have, or a peer could fill the disk with cheap old blocks.
func (n *Node) wants(h *consensus.Header, hash consensus.Hash) bool {
	if info, ok := n.chain.Header(hash); ok && (info.HaveBlock || info.Invalid) {
		return false
	}
	parent, ok := n.chain.Header(h.Prev)
	if !ok {
		return false
	}
	tip := n.chain.Tip()
	work := consensus.WorkFromBits(h.Bits)
	work.Add(&work, &parent.Work)
	return !parent.Invalid && !work.Lt(&tip.Work) && !work.Lt(&n.minWork) && parent.Height < tip.Height+maxUnaskedAhead
}
