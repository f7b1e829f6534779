package p2p

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// firstBackoff is how soon a peer that the operator asked for is dialled
	// again; each failure doubles it, up to maxBackoff. A connection that
	// lasted goodTime makes it start anew.
	firstBackoff = time.Second
	maxBackoff   = time.Minute
	goodTime     = time.Minute
	// fillInterval is how often free slots are looked at.
	fillInterval = 5 * time.Second
	// dialPause is the least time between two dials to fill slots, as in
	// Bitcoin Core: addresses that strangers name must not be knocked at by
	// the hundred.
	dialPause = 500 * time.Millisecond
	// feelerInterval is the mean time between two feelers, as in Bitcoin Core.
	feelerInterval = 2 * time.Minute
)

// addedNode is a peer that the operator has asked for.
type addedNode struct {
	name    string        // as the operator wrote it
	removed chan struct{} // closed by RemoveNode
}

// keepConnected dials a peer again and again until ctx ends, or until it is
// removed and the connection ends.
func (n *Node) keepConnected(ctx context.Context, url string, removed <-chan struct{}) {
	backoff := firstBackoff
	for {
		start := n.steady.Now()
		if !n.isConnected(url) { // by Connect, or by a former AddNode
			err := n.dialAndRun(ctx, url, kindManual)
			if n.steady.Since(start) >= goodTime {
				backoff = firstBackoff
			}
			if ctx.Err() == nil {
				n.log.Info("no connection to peer", "url", url, "why", err, "retry", backoff)
			}
		}
		again := n.steady.NewTimer(backoff + rand.N(backoff/4))
		select {
		case <-again.C:
		case <-removed:
			return
		case <-ctx.Done():
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// isConnected reports whether there is a peer that was dialled at a URL.
func (n *Node) isConnected(url string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.peers {
		if p.url == url && !p.leaving {
			return true
		}
	}
	return false
}

// dialAndRun connects to a URL and stays until the connection ends. It gives the
// reason.
func (n *Node) dialAndRun(ctx context.Context, url string, kind connectionKind) error {
	if !n.Active() {
		return errQuiet
	}
	conn, err := n.dial(ctx, url)
	if err != nil {
		return err
	}
	return n.runPeer(ctx, conn, kind, url)
}

// slots is what fillLoop has dialled, by URL.
type slots map[string]slot

type slot struct {
	kind  connectionKind
	group string // see slotGroup
	dns   bool   // a DNS seed told of it
}

func (s slots) count(kind connectionKind) (n int) {
	for _, one := range s {
		if one.kind == kind {
			n++
		}
	}
	return n
}

// fillLoop keeps the outbound slots filled from the book until ctx ends.
func (n *Node) fillLoop(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	ticker := n.wall.NewTicker(fillInterval)
	defer ticker.Stop()
	ended := make(chan string)
	used := make(slots)
	anchors := n.takeAnchors()
	feeler := n.wall.Now().Add(nextFeeler())
	var paused <-chan time.Time // not nil while no dial may begin
	look := true                // something may have changed
	for {
		if paused == nil && look && n.Active() {
			a, kind := n.nextDial(used, &anchors, &feeler)
			if look = kind != ""; look {
				used[a.URL] = slot{kind, n.space.slotGroup(a.ip, a.name), fromDNS(&a)}
				group.Go(func() {
					n.tryAddress(ctx, &a, kind)
					select {
					case ended <- a.URL:
					case <-ctx.Done():
					}
				})
			}
			paused = n.steady.NewTimer(dialPause).C // to look through the book costs something too
		}
		select {
		case <-ctx.Done():
			return
		case <-paused:
			paused = nil
		case <-ticker.C:
			look = true
		case <-n.dialWake:
			look = true
		case url := <-ended:
			delete(used, url)
			look = true
		}
	}
}

// nextFeeler is how long to wait for the next feeler: at random, so that nobody
// knows when.
func nextFeeler() time.Duration { return time.Duration(rand.ExpFloat64() * float64(feelerInterval)) }

// nextDial chooses what to dial now and what for; kind is empty for nothing. The
// anchors come first, then full relay, then block-relay-only, then a feeler.
func (n *Node) nextDial(used slots, anchors *[]string, feeler *time.Time) (a address, kind connectionKind) {
	now := n.wall.Now()
	allowed := n.dialFilter(used)
	for len(*anchors) > 0 {
		url := (*anchors)[0]
		*anchors = (*anchors)[1:]
		a = address{URL: url, Source: "anchor"}
		if a.ip, a.name = hostInURL(url); allowed(&a) {
			return a, kindBlocks
		}
	}
	for _, want := range []struct {
		kind connectionKind
		most int
	}{{kindOutbound, n.outbound}, {kindBlocks, blockOutbound}} {
		if used.count(want.kind) < want.most {
			if a, ok := n.book.pick(now, allowed); ok {
				return a, want.kind
			}
			break // nothing for the others either
		}
	}
	if now.After(*feeler) && used.count(kindFeeler) == 0 {
		*feeler = now.Add(nextFeeler())
		if a, ok := n.book.toTest(now, allowed); ok {
			return a, kindFeeler
		}
	}
	return address{}, ""
}

// tryAddress connects to an address; how that went is written into the book.
func (n *Node) tryAddress(ctx context.Context, a *address, kind connectionKind) {
	dialing := ctx
	if !n.book.isSeed(a.URL) {
		dialing = context.WithValue(ctx, hearsay{}, n.space)
	}
	begun := n.wall.Now()
	err := n.dialAndRun(dialing, a.URL, kind)
	if ctx.Err() == nil {
		n.log.Debug("outbound connection ended", "url", a.URL, "kind", kind, "why", err)
		itsFault := len(n.ready()) > 0 && !errors.Is(err, errCrowded) && !errors.Is(err, errQuiet)
		n.book.ended(a.URL, begun, itsFault, n.wall.Now())
	}
}

// dialFilter tells what must not be dialled: what is connected or being tried,
// this node itself, who is banned, and who is in the network group of another
// outbound peer.
func (n *Node) dialFilter(used slots) (allowed func(*address) bool) {
	urls, groups := make(map[string]bool), make(map[string]bool)
	for _, url := range n.cfg.Advertise {
		urls[url] = true
	}
	for url, s := range used {
		urls[url] = true
		groups[s.group] = s.kind != kindFeeler || groups[s.group]
	}
	n.mu.Lock()
	for p := range n.peers {
		urls[p.url] = true
		if !p.inbound() && !p.isMomentary() {
			groups[n.space.slotGroup(p.host, "")] = true
		}
	}
	for url := range n.added {
		urls[url] = true
	}
	n.mu.Unlock()
	groups[""] = false // no limit
	told := 0
	for _, s := range used {
		if s.dns && s.kind != kindFeeler {
			told++
		}
	}
	return func(a *address) bool {
		if fromDNS(a) && told >= max(1, (n.outbound+blockOutbound)/2) {
			return false
		}
		return !urls[a.URL] && !groups[n.space.slotGroup(a.ip, a.name)] && !n.bans.banned(a.ip) && !n.bans.isBannedName(a.name)
	}
}

// isCrowded reports whether another outbound peer is in the network group of one
// that this node chose: a name does not tell where it leads. The caller holds mu.
func (n *Node) isCrowded(p *peer) bool {
	group := n.space.slotGroup(p.host, "")
	if group == "" || !p.chosen() {
		return false
	}
	for other := range n.peers {
		if !other.inbound() && !other.isMomentary() && n.space.slotGroup(other.host, "") == group {
			return true
		}
	}
	return false
}
