package p2p

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// maxFresh is how many addresses a message may have to be passed on at
	// once, and freshTime how old they may be, as in Bitcoin Core.
	maxFresh  = 10
	freshTime = 10 * time.Minute
	// passTo is how many peers a new address is passed on to.
	passTo = 2
	// maxAddrTokens is how many addresses of a peer are looked at in a burst,
	// and addrInterval how soon another one is: looking costs more than
	// sending. As in Bitcoin Core.
	maxAddrTokens   = 1000
	firstAddrTokens = maxFresh // Bitcoin Core's is 1, but peers here may have several URLs
	addrInterval    = 10 * time.Second
	// advertiseInterval is how often a node tells its own address.
	advertiseInterval = 24 * time.Hour
)

// learnAddrs takes the addresses of a peer into the book and passes new ones on.
func (n *Node) learnAddrs(p *peer, list msgAddrV2) {
	if !n.meetsForAddrs(p) {
		return
	}
	now := n.wall.Now()
	var fresh []address
	kept := 0
	looked := p.takeAddrTokens(len(list), now)
	for _, a := range list[:looked] {
		url, ok := a.url()
		if !ok || !n.space.mayTell(p.host, url) || slices.Contains(n.cfg.Advertise, url) {
			continue
		}
		seen := time.Unix(int64(a.time), 0)
		if a.time <= 100_000_000 || seen.After(now.Add(freshTime)) {
			seen = now.Add(-5 * 24 * time.Hour) // a bad clock; so does Bitcoin Core
		}
		if !n.book.learn(url, a.services, seen, netGroup(p.host)) {
			continue
		}
		kept++
		if len(list) <= maxFresh && now.Sub(seen) < freshTime {
			fresh = append(fresh, address{URL: url, Services: a.services, Seen: seen})
		}
	}
	p.mu.Lock()
	p.stats.addrsIn += looked
	p.stats.addrsLimited += len(list) - looked
	p.stats.addrsKept += kept
	p.mu.Unlock()
	if len(fresh) > 0 {
		n.passOn(p, fresh)
	}
	if kept > 0 {
		poke(n.dialWake)
	}
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
	f.addrTokens = min(f.addrTokens+come, maxAddrTokens)
	n := min(want, f.addrTokens)
	f.addrTokens -= n
	return n
}

// askAddrs asks for addresses; what comes may be many.
func (p *peer) askAddrs() {
	p.mu.Lock()
	p.flags.addrTokens += maxAddrTokens
	p.mu.Unlock()
	p.send(msgEmpty(cmdGetAddr))
}

// passOn sends new addresses to a few others.
func (n *Node) passOn(from *peer, list []address) {
	peers := n.ready()
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	sent := 0
	for _, p := range peers {
		if p != from && sent < passTo && p.sharesAddrs() && n.sendAddrs(p, list) {
			sent++
		}
	}
}

// sendAddrs tells a peer those of the addresses that are of use to it, and
// reports whether there are any.
func (n *Node) sendAddrs(p *peer, list []address) bool {
	var v1 msgAddr
	var v2 msgAddrV2
	for i := range list {
		if !n.space.tellable(p.host, list[i].URL) {
			continue
		}
		a := wireAddr(list[i].URL, list[i].Services, list[i].Seen)
		if a.network != networkURL || p.addrURL {
			v2 = append(v2, a)
		}
		if old, ok := a.v1(); ok {
			v1 = append(v1, old)
		}
	}
	switch {
	case p.addrV2 && len(v2) > 0:
		p.send(v2)
	case !p.addrV2 && len(v1) > 0:
		p.send(v1)
	default:
		return false
	}
	return true
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
	if !again && p.inbound() {
		n.sendAddrs(p, n.book.sample(maxAddrs))
	}
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
