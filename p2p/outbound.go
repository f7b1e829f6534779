package p2p

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// DefaultOutbound is how many peers a node chooses for itself.
	DefaultOutbound = 8
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
)

// keepConnected dials a peer again and again until ctx ends.
func (n *Node) keepConnected(ctx context.Context, url string) {
	backoff := firstBackoff
	for ctx.Err() == nil {
		start := time.Now()
		err := n.dialAndRun(ctx, url, kindManual)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) >= goodTime {
			backoff = firstBackoff
		}
		n.log.Info("no connection to peer", "url", url, "why", err, "retry", backoff)
		pause(ctx, backoff+rand.N(backoff/4))
		backoff = min(2*backoff, maxBackoff)
	}
}

// pause waits, but not longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// dialAndRun connects to a URL and stays until the connection ends. It gives the
// reason.
func (n *Node) dialAndRun(ctx context.Context, url string, kind connectionKind) error {
	conn, err := n.dial(ctx, url)
	if err != nil {
		return err
	}
	return n.runPeer(ctx, conn, kind, url)
}

// fillLoop keeps the outbound slots filled from the book until ctx ends.
func (n *Node) fillLoop(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	ticker := time.NewTicker(fillInterval)
	defer ticker.Stop()
	ended := make(chan string)
	dialling := make(map[string]bool) // URLs in use by this loop
	var paused <-chan time.Time       // not nil while no dial may begin
	for {
		if paused == nil && len(dialling) < n.outbound {
			if a, ok := n.book.pick(time.Now(), n.urlsInUse(dialling)); ok {
				dialling[a.URL] = true
				group.Go(func() {
					n.tryAddress(ctx, &a)
					select {
					case ended <- a.URL:
					case <-ctx.Done():
					}
				})
				paused = time.After(dialPause)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-paused:
			paused = nil
		case <-ticker.C:
		case <-n.dialWake:
		case url := <-ended:
			delete(dialling, url)
		}
	}
}

// tryAddress connects to an address of the book; how that went is written into
// the book.
func (n *Node) tryAddress(ctx context.Context, a *address) {
	if a.Source != "" && !isPrivateURL(a.URL) {
		ctx = context.WithValue(ctx, publicOnly{}, true)
	}
	err := n.dialAndRun(ctx, a.URL, kindOutbound)
	if ctx.Err() == nil {
		n.log.Debug("outbound connection ended", "url", a.URL, "why", err)
		n.book.tried(a.URL, false, time.Now()) // a handshake before has set it to success
	}
}

// urlsInUse lists what must not be dialled: what is connected or being tried,
// and this node itself.
func (n *Node) urlsInUse(dialling map[string]bool) map[string]bool {
	used := map[string]bool{n.cfg.Advertise: true}
	for url := range dialling {
		used[url] = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.peers {
		used[p.url] = true
	}
	for url := range n.added {
		used[url] = true
	}
	return used
}
