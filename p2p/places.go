package p2p

import (
	"iter"
	"net/netip"
	"slices"
)

// A peer holds a place from the end of arrive until unregister, when all its
// goroutines have ended: nobody else has it meanwhile. Of an inbound one:
//
//	state     Node.peers   goes on when
//	knocking  no           its first bytes come (TCP alone): until then it is in Node.knocking, has a number and no place
//	waiting   no           a peer that leaves, whose heir it is, has left (turn is closed); or it gives up after placeTimeout
//	placed    false        its handshake is over
//	ready     true         its connection ends, or its place is given to another
//	leaving   false        its goroutines have ended; its place goes to its heir, if it has one
//
// Places of inbound peers are Node.places, and maxWaiting wait for one.

// mayStay says why the peer cannot have a place, whether there is one or not. The
// caller holds mu.
func (n *Node) mayStay(p *peer) error {
	switch {
	case n.quiet:
		return errQuiet
	case !p.isWanted() && n.bans.banned(p.host): // under mu: Ban may be looking for the peer
		return errBanned
	case n.isCrowded(p):
		return errCrowded
	}
	return nil
}

// arrive gives the peer a number and a place. Where all are taken, another inbound
// peer makes room for it, unless all of them are worth more; it has to wait then.
func (n *Node) arrive(p *peer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.mayStay(p); err != nil {
		return err
	}
	if !p.inbound() || n.inbound < n.places {
		n.inbound += inboundCount(p)
		n.place(p)
		return nil
	}
	leaver, ok := n.nextPlace(p)
	if !ok {
		return errFull
	}
	leaver.heir, p.leaver, p.turn = p, leaver, make(chan struct{})
	n.waiting[p] = struct{}{}
	return nil
}

// nextPlace gives the peer that is leaving whose place p is to have. Where
// maxWaiting wait already, it is the one of another that waits: of the network
// group that has most of them, if that is not p's own. The caller holds mu.
func (n *Node) nextPlace(p *peer) (leaver *peer, ok bool) {
	if len(n.waiting) < maxWaiting {
		return n.makeRoom()
	}
	group := netGroup(p.host)
	members := map[string]int{group: 1}
	for one := range n.waiting {
		members[netGroup(one.host)]++
	}
	var out *peer
	for one := range n.waiting {
		if out == nil || members[netGroup(one.host)] > members[netGroup(out.host)] {
			out = one
		}
	}
	if members[netGroup(out.host)] <= members[group] {
		return nil, false
	}
	leaver = out.leaver
	n.giveUp(out)
	out.drop(errFull)
	return leaver, true
}

// giveUp has a peer that waits not wait any more. The caller holds mu.
func (n *Node) giveUp(p *peer) {
	delete(n.waiting, p)
	p.leaver.heir, p.leaver = nil, nil
}

func inboundCount(p *peer) int {
	if p.inbound() {
		return 1
	}
	return 0
}

// place gives the peer a number, unless it has one. The caller holds mu.
func (n *Node) place(p *peer) {
	if p.id < 0 {
		p.id = n.nextID
		n.nextID++
	}
	n.peers[p] = false
}

// knocks notes that somebody has connected of whom no byte has come.
func (n *Node) knocks(p *peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p.id = n.nextID
	n.nextID++
	n.knocking[p] = struct{}{}
}

// hasKnocked notes that it has become a peer or gone.
func (n *Node) hasKnocked(p *peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.knocking, p)
}

// connections lists all who are connected. The caller holds mu.
func (n *Node) connections() iter.Seq[*peer] {
	return func(yield func(*peer) bool) {
		for p := range n.peers {
			if !yield(p) {
				return
			}
		}
		for p := range n.knocking {
			if !yield(p) {
				return
			}
		}
	}
}

// awaitPlace waits until the peer has the place that arrive has found for it.
func (n *Node) awaitPlace(p *peer) error {
	if p.turn == nil {
		return nil
	}
	timer := n.steady.NewTimer(placeTimeout)
	defer timer.Stop()
	select {
	case <-p.turn:
	case <-timer.C:
	case <-p.ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, placed := n.peers[p]; !placed {
		return errFull
	}
	return n.mayStay(p)
}

// leave notes that the connection is over: the peer is none any more, though it
// has its place until unregister.
func (n *Node) leave(p *peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ready, placed := n.peers[p]
	if ready && p.kind == kindBlocks && n.ctx.Err() != nil {
		n.anchors = append(n.anchors, p.url)
	}
	p.leaving = true
	if placed {
		n.peers[p] = false
	}
}

// unregister gives up what arrive gave the peer. Nothing works for it any more.
func (n *Node) unregister(p *peer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.leaver != nil {
		n.giveUp(p)
	}
	if _, placed := n.peers[p]; !placed {
		return
	}
	delete(n.peers, p)
	if heir := p.heir; heir != nil {
		n.giveUp(heir)
		n.place(heir)
		close(heir.turn)
	} else {
		n.inbound -= inboundCount(p)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n.sent += p.stats.sent.Total
	n.received += p.received()
}

// makeRoom gives an inbound peer that leaves, and whose place is nobody's yet; or
// else has one leave, if there is one to spare. The caller holds mu.
func (n *Node) makeRoom() (leaver *peer, ok bool) {
	var list []candidate
	for p, ready := range n.peers {
		if !p.inbound() || p.heir != nil || p.trusted {
			continue
		}
		if p.leaving {
			return p, true
		}
		c := candidate{
			peer: p, connected: p.connected, relayTxs: ready && p.relayTxs, group: netGroup(p.host),
			discouraged: n.bans.isDiscouraged(p.host), ready: ready,
		}
		c.keyedGroup = n.groupKey.hash(1<<31-1, "eviction", c.group)
		p.mu.Lock()
		c.minPing, c.lastTx, c.lastBlock = p.stats.minPing, p.stats.lastTx, p.stats.lastBlock
		p.mu.Unlock()
		list = append(list, c)
	}
	victim, ok := evict(list)
	if ok {
		victim.peer.leaving = true
		victim.peer.drop(errEvicted)
	}
	return victim.peer, ok
}

// isExempt reports whether connections from an address are not limited by time:
// of this machine, of a proxy that names who is behind it, of who is trusted.
func (n *Node) isExempt(host netip.Addr) bool {
	return n.space.isLoopback(host) || isOneOfHosts(host, n.cfg.TrustProxies) || n.trusts(host)
}

// ready lists the peers whose handshake is over, the oldest first.
func (n *Node) ready() []*peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]*peer, 0, len(n.peers))
	for p, ready := range n.peers {
		if ready {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, byID)
	return list
}
