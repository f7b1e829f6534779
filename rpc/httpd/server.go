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

	"lode/internal/places"
)

// Config is what a server works with. What is zero has the default that is named.
type Config struct {
	Handler http.Handler
	Log     *slog.Logger // none

	MaxConnections int // 256, see MaxSockets
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
const (
	strangerIdles = iota
	strangerActs
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

// MaxSockets is how many file descriptors the connections of a server with so many
// places may take: those that make room are closed beside the new ones.
func MaxSockets(connections int) int { return connections + connections/8 + 1 }

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
		Most: cfg.MaxConnections, PerAddress: cfg.MaxPerAddress, PerNetwork: cfg.MaxPerNetwork, Counts: trustedIdles, Keeps: trustedActs, Ranks: ranks,
	}
	return &Server{
		cfg: cfg, sockets: make(chan struct{}, MaxSockets(cfg.MaxConnections)),
		places: places.New[*conn](limits), conns: make(map[*conn]struct{}),
	}
}

// Serve answers on the listener until ctx ends, which is the context of all
// requests, and then lets calls in progress finish for a moment. All its goroutines
// have ended when it returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	err := s.accept(ctx, l, &wg)
	_ = l.Close()
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
	for pause := 5 * time.Millisecond; ; {
		select {
		case s.sockets <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		nc, err := l.Accept()
		if err == nil {
			pause = 5 * time.Millisecond
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
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longest)
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
	if !s.enter(c, nc.RemoteAddr()) {
		return
	}
	c.serve(ctx)
}

// enter gives a connection a place. Those that make room are closed.
func (s *Server) enter(c *conn, from net.Addr) bool {
	var address netip.Addr
	if a, err := netip.ParseAddrPort(from.String()); err == nil {
		address = a.Addr()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	out, ok := s.places.Enter(c, places.OriginOf(address))
	for _, other := range out {
		other.close()
	}
	if ok {
		s.conns[c] = struct{}{}
	}
	return ok
}

// rank says what a connection does now. It reports false if the server stops, for
// one that has nothing to do.
func (s *Server) rank(c *conn, rank int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.rank = rank
	s.places.Rank(c, rank)
	return !s.stopping || rank == strangerActs || rank == trustedActs
}

// stop closes the connections that do nothing, and has the others end when they
// have done what they do.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	for c := range s.conns {
		if c.rank == strangerIdles || c.rank == trustedIdles {
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
