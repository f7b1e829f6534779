package dnsseed

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

const (
	probes    = 8 // at once
	probeTime = 10 * time.Second
	lookEvery = 15 * time.Second
)

// Prober tries nodes, as a stranger would.
type Prober struct {
	Protocol string                                               // of the network, in the WebSocket handshake
	Allowed  func(netip.Addr) bool                                // whether an address may be dialled, and told of
	Book     func(ctx context.Context) (urls []string, err error) // of nodes that some node knows
}

// errForbidden is an address that must not be dialled: of this machine, or inside some
// network.
var errForbidden = errors.New("an address that is not public")

// try reports whether a node of the network answers at a URL.
func (p *Prober) try(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error { // a name may lead anywhere
		at, err := netip.ParseAddrPort(address)
		if err != nil || !p.Allowed(at.Addr().Unmap().WithZone("")) {
			return errForbidden
		}
		return nil
	}}
	d := websocket.Dialer{NetDialContext: dialer.DialContext, Subprotocols: []string{p.Protocol}, ReadBufferSize: 1024, WriteBufferSize: 1024}
	ws, answer, err := d.DialContext(ctx, url, http.Header{})
	if answer != nil && answer.Body != nil {
		defer answer.Body.Close()
	}
	if err != nil {
		return false
	}
	defer ws.Close()
	return ws.Subprotocol() == p.Protocol
}

// Probe keeps the roll of a server up to date until ctx ends.
func (s *Server) Probe(ctx context.Context, p *Prober) {
	for {
		urls, err := p.Book(ctx)
		if err != nil && ctx.Err() == nil && s.Log != nil {
			s.Log.Warn("the node does not tell whom it knows", "error", err)
		}
		s.mu.Lock()
		for _, url := range urls {
			s.roll.Learn(url, p.Allowed)
		}
		due := s.roll.Due(time.Now(), 64)
		s.mu.Unlock()
		s.tryAll(ctx, p, due)
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
	}
}

func (s *Server) tryAll(ctx context.Context, p *Prober, urls []string) {
	slots := make(chan struct{}, probes)
	var wg sync.WaitGroup
	for _, url := range urls {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			reached := p.try(ctx, url)
			if ctx.Err() != nil {
				return // that says nothing about the node
			}
			s.mu.Lock()
			s.roll.Tried(url, reached, time.Now())
			s.mu.Unlock()
		})
	}
	wg.Wait()
}
