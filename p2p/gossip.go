package p2p

import (
	"fmt"
	"slices"
	"time"
)

const (
	// maxFresh is how many addresses a message may have to be passed on at
	// once, and freshTime how old they may be, as in Bitcoin Core.
	maxFresh  = 10
	freshTime = 10 * time.Minute
	// maxAddrTokens is how many addresses of a peer are looked at in a burst,
	// and addrInterval how soon another one is: looking costs more than
	// sending. As in Bitcoin Core.
	maxAddrTokens   = 1000
	firstAddrTokens = 1
	firstURLTokens  = maxFresh // of peers that may have several URLs
	addrInterval    = 10 * time.Second
	// fetchTime is how long a peer that was dialled for its addresses may take.
	fetchTime = 5 * time.Minute
	// advertiseInterval is how often a node tells its own address.
	advertiseInterval = 24 * time.Hour
)

// learnAddrs takes the addresses of a peer into the book and passes new ones on.
func (n *Node) learnAddrs(p *peer, list msgAddrV2) error {
	if !n.meetsForAddrs(p) {
		return nil
	}
	now := n.wall.Now()
	p.mu.Lock()
	pass := !p.flags.askedAddrs && len(list) <= maxFresh
	if len(list) < maxAddrs { // else more may come
		p.flags.askedAddrs = false
	}
	p.mu.Unlock()
	kept, looked := 0, p.takeAddrTokens(len(list), now)
	for _, a := range list[:looked] {
		url, ok := a.url()
		if !ok && !a.isForeign() || ok && (!n.space.mayTell(p.host, url) || slices.Contains(n.cfg.Advertise, url)) {
			continue
		}
		seen := time.Unix(int64(a.time), 0)
		if a.time <= 100_000_000 || seen.After(now.Add(freshTime)) {
			seen = now.Add(-5 * 24 * time.Hour) // a bad clock; so does Bitcoin Core
			a.time = uint32(seen.Unix())
		}
		if ok && n.book.learn(url, a.services, seen, netGroup(p.host)) {
			kept++
		}
		p.mu.Lock()
		p.flags.addrs.knows(&a)
		p.mu.Unlock()
		if pass && now.Sub(seen) < freshTime {
			n.passOn(p, a, url, now)
		}
	}
	p.mu.Lock()
	p.stats.addrsIn += looked
	p.stats.addrsLimited += len(list) - looked
	p.stats.addrsKept += kept
	p.mu.Unlock()
	n.log.Debug(fmt.Sprintf("Received addr: %d addresses (%d processed, %d rate-limited) from peer=%d. Added %d addresses", len(list), looked, len(list)-looked, p.id, kept))
	if kept > 0 {
		poke(n.dialWake)
	}
	if p.kind == kindAddrFetch && len(list) > 1 { // one is its own
		return errFetched
	}
	return nil
}

// takeAddrTokens says how many of so many addresses are looked at.
func (p *peer) takeAddrTokens(want int, now time.Time) int {
	if p.may.Has(MayFlood) {
		return want
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.flags
	if f.addrTime.IsZero() {
		f.addrTime = now
	}
	come := int(now.Sub(f.addrTime) / addrInterval)
	f.addrTime = f.addrTime.Add(time.Duration(come) * addrInterval)
	if f.addrTokens < maxAddrTokens { // else it was given more, see askAddrs
		f.addrTokens = min(f.addrTokens+come, maxAddrTokens)
	}
	n := min(want, f.addrTokens)
	f.addrTokens -= n
	return n
}

// askAddrs asks for addresses; what comes may be many.
func (p *peer) askAddrs() {
	p.mu.Lock()
	p.flags.addrTokens += maxAddrTokens
	p.flags.askedAddrs = true
	p.mu.Unlock()
	p.send(msgEmpty(cmdGetAddr))
}

// passOn has a few others told of an address that p has told; url is empty for one that
// this node cannot reach.
func (n *Node) passOn(from *peer, a addrV2, url string, now time.Time) {
	able := make(map[int64]*peer)
	var ids []int64
	for _, p := range n.ready() {
		if p != from && p.sharesAddrs() && p.understands(&a) && (url == "" || n.space.tellable(p.host, url)) {
			able[p.id], ids = p, append(ids, p.id)
		}
	}
	for _, id := range destinations(&n.groupKey, &a, url != "", ids, now) {
		p := able[id]
		p.mu.Lock()
		p.flags.addrs.add(a)
		p.mu.Unlock()
	}
}

// understands reports whether an address can be told to the peer.
func (p *peer) understands(a *addrV2) bool {
	if !p.addrV2 {
		_, ok := a.v1()
		return ok
	}
	return a.network != networkURL || p.addrURL
}

// tellAddrs sends the addresses that are due.
func (p *peer) tellAddrs(now time.Time) {
	p.mu.Lock()
	list := p.flags.addrs.due(now)
	p.mu.Unlock()
	if len(list) > 0 {
		p.sendWireAddrs(list)
	}
}

// sendWireAddrs sends addresses that the peer understands.
func (p *peer) sendWireAddrs(list msgAddrV2) {
	if p.addrV2 {
		p.send(list)
		return
	}
	old := make(msgAddr, len(list))
	for i := range list {
		old[i], _ = list[i].v1()
	}
	p.send(old)
}

// sendAddrs tells a peer those of the addresses that are of use to it, and
// reports whether there are any.
func (n *Node) sendAddrs(p *peer, list []address) bool {
	var out msgAddrV2
	p.mu.Lock()
	for i := range list {
		a := wireAddr(list[i].URL, list[i].Services, list[i].Seen)
		if n.space.tellable(p.host, list[i].URL) && p.understands(&a) {
			p.flags.addrs.knows(&a)
			out = append(out, a)
		}
	}
	p.mu.Unlock()
	if len(out) > 0 {
		p.sendWireAddrs(out)
	}
	return len(out) > 0
}

// answerGetAddr answers once in a connection, and only to those who dialled: the
// answer to others would tell them apart by what they know.
func (n *Node) answerGetAddr(p *peer) {
	if !n.meetsForAddrs(p) {
		return
	}
	p.mu.Lock()
	again := p.flags.gaveAddrs
	p.flags.gaveAddrs = true
	p.mu.Unlock()
	if again {
		n.log.Debug(fmt.Sprintf("Ignoring repeated \"getaddr\". peer=%d", p.id))
	} else if p.inbound() {
		n.sendAddrs(p, n.addrAnswer(p))
	}
}

// addrAnswer is what p is told by getaddr.
func (n *Node) addrAnswer(p *peer) []address {
	fresh := func() []address { return n.book.sample(maxAddrs) }
	if p.may.Has(MayFlood) {
		return fresh()
	}
	n.answersMu.Lock()
	defer n.answersMu.Unlock()
	return n.answers.get(p.conn.Transport()+" "+localAddr(p.conn), n.wall.Now(), fresh)
}

// sharesAddrs reports whether the peer is told addresses. One that dialled must
// have spoken of some itself: to it this may be a block-relay-only connection,
// which is none of a neighbour that could be found by what addresses pass.
func (p *peer) sharesAddrs() bool {
	if p.kind != kindInbound {
		return p.kind != kindBlocks
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flags.spokeAddrs
}

// meetsForAddrs reports whether addresses pass between the peer and this node,
// now that the peer has spoken of some. The first time it is told our own.
func (n *Node) meetsForAddrs(p *peer) bool {
	if p.kind == kindBlocks {
		return false
	}
	p.mu.Lock()
	first := p.inbound() && !p.flags.spokeAddrs
	p.flags.spokeAddrs = true
	p.mu.Unlock()
	if first {
		n.advertise(p)
	}
	return true
}

// advertise tells a peer where this node listens, if that is known.
func (n *Node) advertise(p *peer) {
	if len(n.cfg.Advertise) == 0 || !p.sharesAddrs() {
		return
	}
	var list []address
	for _, url := range n.cfg.Advertise {
		list = append(list, address{URL: url, Services: n.Services(), Seen: n.wall.Now()})
	}
	n.sendAddrs(p, list)
}
