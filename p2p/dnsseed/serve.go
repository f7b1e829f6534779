package dnsseed

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// Bounds of what strangers get.
const (
	perSource  = 20     // answers a second to a network, see sourceOf
	burst      = 60     // answers at once to one
	perAll     = 2000   // answers a second over UDP
	maxSources = 10_000 // whose rates are kept; all others share one
	maxTCP     = 100    // connections
	tcpTime    = 5 * time.Second
)

// limiter bounds what is sent to whom: an address over UDP may be another's, who would
// get the answers.
type limiter struct {
	mu    sync.Mutex // guards what follows
	of    map[netip.Prefix]*rate.Limiter
	rest  *rate.Limiter // of all for whom there is no room
	all   *rate.Limiter
	swept time.Time
}

func newLimiter() *limiter {
	return &limiter{of: make(map[netip.Prefix]*rate.Limiter), rest: rate.NewLimiter(perSource, burst), all: rate.NewLimiter(perAll, perAll)}
}

// sourceOf is whom one answers for: a network that one customer commonly has.
func sourceOf(ip netip.Addr) netip.Prefix {
	bits := 24
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		bits = 56
	}
	p, _ := ip.Prefix(bits) // in range by construction
	return p
}

// allow reports whether an address gets an answer now.
func (l *limiter) allow(ip netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	source := sourceOf(ip)
	r := l.of[source]
	if r == nil && len(l.of) >= maxSources && now.Sub(l.swept) > time.Second {
		l.swept = now
		for p, one := range l.of {
			if one.TokensAt(now) >= burst {
				delete(l.of, p)
			}
		}
	}
	switch {
	case r == nil && len(l.of) < maxSources:
		r = rate.NewLimiter(perSource, burst)
		l.of[source] = r
	case r == nil:
		r = l.rest
	}
	return r.AllowN(now, 1) && l.all.AllowN(now, 1)
}

// Server is a DNS server for one zone.
type Server struct {
	Zone
	Log *slog.Logger

	limits *limiter
	mu     sync.Mutex // guards what follows
	roll   Roll
	named  []Target // what roll had as good lately
	listed time.Time
}

// NewServer makes one. It knows no nodes yet.
func NewServer(z Zone, log *slog.Logger) *Server {
	return &Server{Zone: z, Log: log, limits: newLimiter()}
}

// Serve answers until ctx ends. It closes both.
func (s *Server) Serve(ctx context.Context, udp net.PacketConn, tcp net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, server := range []*dns.Server{
		{PacketConn: udp, UDPSize: maxUDP, Handler: s.handler(true)},
		{Listener: netutil.LimitListener(tcp, maxTCP), Handler: s.handler(false), ReadTimeout: tcpTime, WriteTimeout: tcpTime, MaxTCPQueries: 16, IdleTimeout: func() time.Duration { return tcpTime }},
	} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		group.Go(server.ActivateAndServe)
		group.Go(func() error {
			<-ctx.Done()
			select {
			case <-started:
			case <-time.After(tcpTime):
			}
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := server.ShutdownContext(end); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}

func (s *Server) handler(udp bool) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		at, err := netip.ParseAddrPort(w.RemoteAddr().String())
		if err != nil || udp && !s.limits.allow(at.Addr(), time.Now()) {
			return
		}
		if m := s.Zone.Answer(q, s.good(), udp); m != nil {
			if err := w.WriteMsg(m); err != nil && s.Log != nil {
				s.Log.Debug("a question was not answered", "of", at, "error", err)
			}
		}
	}
}

func (s *Server) good() []Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.listed) >= time.Second { // not for each question
		s.named, s.listed = s.roll.Good(now), now
	}
	return s.named
}
