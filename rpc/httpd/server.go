// Package httpd serves HTTP/1 to local programs that are not all well-behaved, and
// to strangers who are not at all. It exists because net/http's server refuses what
// Bitcoin Core's answers (a request without Host) before any handler sees it, and
// because its connections are first come, first served: here who has authenticated
// is never kept out by who has not.
//
// Requests are read by http.ReadRequest; what it reads in more than one way is
// refused before, see checkHead. Handlers are those of net/http.
package httpd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"lode/internal/pause"
	"lode/internal/places"
)

// Config is what a server works with. What is zero has the default that is named.
type Config struct {
	Handler http.Handler
	Log     *slog.Logger // none

	MaxConnections int // 256, with those that are being closed as they have made room
	MaxPerAddress  int // 32 of callers that have not authenticated
	MaxPerNetwork  int // 64 likewise: 24 bits of an address, in IPv6 48

	HeadTimeout  time.Duration // 10 s for the head of a request
	BodyTimeout  time.Duration // 60 s for its body
	WriteTimeout time.Duration // 5 min for an answer, once it begins, if the handler sets no other
	IdleTimeout  time.Duration // 5 min between requests of who has authenticated
	Grace        time.Duration // 5 s for calls in progress, when the server stops
}

// strangerIdle is how long a connection may be idle that has not authenticated.
const strangerIdle = 30 * time.Second

// The ranks of a connection: those below trusted count for the limits of an
// address and a network, and only those that work for a trusted caller make no room.
// Who is new makes room after who was refused or answered: else those who guess
// passwords would push out who is about to say the right one. Who follows a stream,
// of which the handler allows an address few, stays longer than those.
const (
	strangerDone = iota
	strangerNew  // or has a request in progress
	strangerStays
	trustedIdles
	trustedActs
	ranks
)

// Server serves one handler.
type Server struct {
	cfg     Config
	sockets chan struct{} // bounds connections with those that are being closed

	mu       sync.Mutex // guards what follows
	places   *places.Table[*conn]
	conns    map[*conn]struct{} // with those that are being closed
	stopping bool
}

// New prepares a server; Serve runs it.
func New(cfg Config) *Server {
	for _, d := range []struct {
		v    *int
		then int
	}{{&cfg.MaxConnections, 256}, {&cfg.MaxPerAddress, 32}, {&cfg.MaxPerNetwork, 64}} {
		if *d.v == 0 {
			*d.v = d.then
		}
	}
	for _, d := range []struct {
		v    *time.Duration
		then time.Duration
	}{{&cfg.HeadTimeout, 10 * time.Second}, {&cfg.BodyTimeout, time.Minute}, {&cfg.WriteTimeout, 5 * time.Minute},
		{&cfg.IdleTimeout, 5 * time.Minute}, {&cfg.Grace, 5 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.then
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	limits := places.Limits{
		Most: max(1, cfg.MaxConnections-cfg.MaxConnections/8), PerAddress: cfg.MaxPerAddress, PerNetwork: cfg.MaxPerNetwork, Counts: trustedIdles, Keeps: trustedActs, Ranks: ranks,
	}
	return &Server{
		cfg: cfg, sockets: make(chan struct{}, cfg.MaxConnections),
		places: places.New[*conn](limits), conns: make(map[*conn]struct{}),
	}
}

// Serve answers on the listeners until ctx ends, which is the context of all
// requests, and then lets calls in progress finish for a moment. All its goroutines
// have ended when it returns.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	closeAll := func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}
	defer context.AfterFunc(ctx, closeAll)()
	var wg sync.WaitGroup
	var group errgroup.Group
	for _, l := range listeners {
		group.Go(func() error {
			defer closeAll() // when one has failed
			return s.accept(ctx, l, &wg)
		})
	}
	err := group.Wait()
	s.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	grace := time.NewTimer(s.cfg.Grace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		s.closeAll() // what would not finish is cut
		<-done
	}
	return err
}

// accept takes connections until ctx ends or the listener is closed.
func (s *Server) accept(ctx context.Context, l net.Listener, wg *sync.WaitGroup) error {
	const longest = time.Second
	for rest := 5 * time.Millisecond; ; {
		select {
		case s.sockets <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		nc, err := l.Accept()
		if err == nil {
			rest = 5 * time.Millisecond
			wg.Go(func() {
				defer func() { <-s.sockets }()
				s.serve(ctx, nc)
			})
			continue
		}
		<-s.sockets
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		s.cfg.Log.Warn("a connection could not be taken", "error", err) // no files left, or it has gone
		if pause.For(ctx, rest) != nil {
			return nil
		}
		rest = min(2*rest, longest)
	}
}

// serve serves one connection to its end.
func (s *Server) serve(ctx context.Context, nc net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	c := newConn(s, nc, cancel)
	defer func() {
		cancel()
		_ = nc.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.places.Leave(c)
		delete(s.conns, c)
	}()
	if !s.enter(ctx, c, nc.RemoteAddr()) {
		return
	}
	c.serve(ctx)
}

// A connection that is new has this long to say something before it makes room for
// another: the next one waits as long. A server whose processors are busy accepts
// faster than it reads.
const (
	newFor   = 250 * time.Millisecond
	newCheck = 5 * time.Millisecond
)

// enter gives a connection a place. Those that make room are closed.
func (s *Server) enter(ctx context.Context, c *conn, from net.Addr) bool {
	var address netip.Addr
	if a, err := netip.ParseAddrPort(from.String()); err == nil {
		address = a.Addr()
	}
	origin := places.OriginOf(address)
	for ctx.Err() == nil {
		if entered, wait := s.tryEnter(c, origin); !wait {
			return entered
		}
		_ = pause.For(ctx, newCheck)
	}
	return false
}

// tryEnter reports that c has to wait for a place if the one that would make room
// for it has had no time yet to say anything.
func (s *Server) tryEnter(c *conn, origin places.Origin) (entered, wait bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false, false
	}
	if next, ok := s.places.Next(origin); ok && !next.said && time.Since(next.entered) < newFor {
		return false, true
	}
	out, ok := s.places.Enter(c, origin)
	for _, other := range out {
		other.close()
	}
	if ok {
		s.conns[c], c.entered = struct{}{}, time.Now()
		s.places.Rank(c, strangerNew)
	}
	return ok, false
}

// rank says what a connection has proven, and whether it has a request in progress.
// It reports false for one that has none when the server stops.
func (s *Server) rank(c *conn, rank int, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.busy, c.said = busy, c.said || rank != strangerNew // who is new may be about to authenticate
	s.places.Rank(c, rank)
	return !s.stopping || busy
}

// stop closes the connections that do nothing, and has the others end when they
// have done what they do.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for c := range s.conns {
		if !c.busy {
			c.close()
		}
	}
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.close()
	}
}
