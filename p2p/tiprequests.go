package p2p

import (
	"cmp"
	"slices"
	"time"

	"lode/consensus"
)

const (
	// tipPatience is how long a peer may owe the next block, without having sent
	// any, before another is asked too, and tipInterval how long those after it.
	tipPatience = 2 * time.Second
	tipInterval = 500 * time.Millisecond
	// tipSeveral is how many are asked at once then, twice as many the next time,
	// and so on up to maxTipSeveral.
	tipSeveral    = 8
	maxTipSeveral = 32
	// maxTipAsks is how often one peer is asked for the same block: in compact
	// form, and in full if nothing came of that.
	maxTipAsks = 2
	// maxTipBlocks is how many blocks may be missing for the lowest of them to
	// count as one at the tip.
	maxTipBlocks = 16
)

// tipRequest decides who is asked, and when, for the next block besides the one who
// was asked first. Whoever announces a block first may not have it, and hundreds may
// do so; who has it must get its turn soon. All who have announced it are candidates:
// each peer is remembered with the best header that it has shown.
//
//	rounds  state                                   leaves by
//	0       one peer was asked                      tipPatience without a block from it, or at once
//	                                                if it has withheld one before → 1, or → 2
//	                                                where none was dialled by this node
//	1       one that this node dialled was asked    tipInterval → 2
//	2...    several more were asked, each time      tipInterval, while there are any
//	        twice as many
//
// It ends when the block comes. The order within a round is announcer.before.
type tipRequest struct {
	rounds int
	last   time.Time // when the last round was
}

// announcer is a peer that has announced the block.
type announcer struct {
	owes     bool      // it was asked and has not answered
	since    time.Time // if so, when it was asked, or a little later if it has sent other blocks
	asked    int       // how often
	dialled  bool      // by this node
	gave     bool      // it has sent a new tip before
	withheld int       // blocks that others had to send, since it has last sent one
	id       int64     // older peers have lower ones
}

// before orders candidates: those that are hardest to be for somebody who wants to
// hide a block come first.
func (c *announcer) before(other *announcer) int {
	return cmp.Or(
		cmp.Compare(c.asked, other.asked),
		boolCompare(other.dialled, c.dialled),
		cmp.Compare(min(c.withheld, 1), min(other.withheld, 1)),
		boolCompare(other.gave, c.gave),
		cmp.Compare(c.withheld, other.withheld),
		cmp.Compare(c.id, other.id),
	)
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// step chooses whom to ask now, by place in the list, or says when to look again;
// the zero time if only something new can change anything.
func (r *tipRequest) step(list []announcer, now time.Time) (ask []int, again time.Time) {
	due, open := r.due(list), r.open(list)
	switch {
	case due.IsZero() || len(open) == 0:
		return nil, time.Time{}
	case now.Before(due):
		return nil, due
	}
	count := 1
	if r.rounds == 0 && !list[open[0]].dialled {
		r.rounds = 1
	}
	if r.rounds > 0 {
		count = min(tipSeveral<<(r.rounds-1), maxTipSeveral)
	}
	r.rounds, r.last = min(r.rounds+1, 10), now
	ask = open[:min(count, len(open))]
	if len(ask) < len(open) {
		again = now.Add(tipInterval)
	}
	return ask, again
}

// due is when the next round is; zero if nobody was asked yet, which is not done
// here.
func (r *tipRequest) due(list []announcer) (due time.Time) {
	if r.rounds > 0 {
		return r.last.Add(tipInterval)
	}
	for i := range list {
		c := &list[i]
		if !c.owes {
			continue
		}
		at := c.since.Add(tipPatience)
		if c.withheld > 0 {
			at = c.since
		}
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// open lists those that may be asked, the best first.
func (r *tipRequest) open(list []announcer) (open []int) {
	for i := range list {
		if !list[i].owes && list[i].asked < maxTipAsks {
			open = append(open, i)
		}
	}
	slices.SortFunc(open, func(a, b int) int { return list[a].before(&list[b]) })
	return open
}

// tipBlock is a tipRequest and how often each peer was asked.
type tipBlock struct {
	tipRequest
	asks map[*peer]int
}

// askMore asks further peers for the lowest missing blocks where few are missing, and
// says when to look again; the zero time for not before something happens.
func (d *downloader) askMore(ways map[*peer]*path, now time.Time) (again time.Time) {
	by := make(map[consensus.Hash][]*peer)
	for p, way := range ways {
		if len(way.blocks) > 0 && len(way.blocks) <= maxTipBlocks && !way.full {
			lowest := way.blocks[0].Hash
			by[lowest] = append(by[lowest], p)
		}
	}
	for hash := range d.tips {
		if by[hash] == nil {
			delete(d.tips, hash)
		}
	}
	for hash, peers := range by {
		b := d.tips[hash]
		if b == nil {
			b = &tipBlock{asks: make(map[*peer]int)}
			d.tips[hash] = b
		}
		compact := d.node.followsTip(hash)
		ask, next := d.node.sync.askMore(b, hash, peers, now)
		for _, p := range ask {
			item := invItem{invBlock | invWitness, hash}
			if compact && b.asks[p] == 1 && d.node.asksCompact(p) {
				item.kind = invCmpct
			}
			p.send(&msgInv{cmdGetData, []invItem{item}})
		}
		if !next.IsZero() && (again.IsZero() || next.Before(again)) {
			again = next
		}
	}
	return again
}

func (s *syncer) askMore(b *tipBlock, hash consensus.Hash, peers []*peer, now time.Time) (ask []*peer, again time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, requested := s.requests[hash]
	if !requested || r.here {
		return nil, time.Time{}
	}
	list, able := make([]announcer, 0, len(peers)), peers[:0]
	for _, p := range peers {
		_, owes := p.sync.blocks[hash]
		if _, here := s.peers[p]; !here || !owes && len(p.sync.blocks) >= p.sync.limit() {
			continue
		}
		if owes {
			b.asks[p] = max(b.asks[p], 1)
		}
		list, able = append(list, s.asAnnouncer(p, hash, b.asks[p], now)), append(able, p)
	}
	places, again := b.step(list, now)
	for _, i := range places {
		p := able[i]
		b.asks[p]++
		s.owe(p, hash, now)
		r.asked = append(r.asked, p)
		ask = append(ask, p)
	}
	s.requests[hash] = r
	return ask, again
}

// asAnnouncer is what is known of p for the request of a block. The caller holds mu.
func (s *syncer) asAnnouncer(p *peer, hash consensus.Hash, asked int, now time.Time) announcer {
	a := announcer{asked: asked, dialled: !p.inbound(), gave: p.sync.gaveTip, withheld: p.sync.withheld, id: p.id}
	others := len(p.sync.blocks)
	if a.since, a.owes = p.sync.blocks[hash]; a.owes {
		others--
	}
	if last := p.sync.lastCame; last.After(a.since) { // whoever sends others meanwhile is slow, but only for so long
		a.since = minTime(last, a.since.Add(tipPatience))
	}
	if others > 0 && s.idleTime(p, now) >= tipPatience {
		a.withheld++
	}
	return a
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// owe notes that p is asked for a block. The caller holds mu.
func (s *syncer) owe(p *peer, hash consensus.Hash, now time.Time) {
	if len(p.sync.blocks) == 0 {
		p.sync.progress, p.sync.flows = p.waited(now), false
	}
	p.sync.blocks[hash] = now
}

// settle notes, when a block has come from p, who else was asked for it in vain. The
// caller holds mu.
func (s *syncer) settle(p *peer, hash consensus.Hash, now time.Time) {
	for _, q := range s.requests[hash].asked {
		if at, owes := q.sync.blocks[hash]; q != p && owes && now.Sub(at) >= tipPatience {
			q.sync.withheld++
		}
	}
	p.sync.withheld = 0
}
