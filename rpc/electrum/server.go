package electrum

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"lode/chain"
	"lode/consensus"
	"lode/internal/pause"
	"lode/internal/places"
	"lode/rpc/scripthash"
)

// Ledger is what the server needs of the chain.
type Ledger interface {
	Tip() consensus.State
	HashAt(height uint32) (consensus.Hash, bool)
	Header(consensus.Hash) (chain.HeaderInfo, bool)
	Block(consensus.Hash) (*consensus.Block, error)
}

// Node makes calls of Bitcoin Core's interface, whose answers are part of the
// protocol: sendrawtransaction, submitpackage, getrawtransaction, estimatesmartfee,
// getmempoolinfo. An error has a message for the caller.
type Node interface {
	Call(ctx context.Context, method string, params ...any) (json.RawMessage, error)
}

// Config is what a server works with. What is zero has the default that is named.
type Config struct {
	Spec     *consensus.Spec
	Ledger   Ledger
	Index    *scripthash.Index
	Summary  *scripthash.Summarizer
	Node     Node
	Software string   // as clients see it: "Lode 0.1.0"
	Origins  []string // of web pages that may connect by WebSocket: none
	Log      *slog.Logger

	MaxConnections int                   // DefaultConnections
	MaxPerAddress  int                   // 64; loopback is exempt
	MaxSubs        int                   // script hashes of a connection: 20,000
	MaxHistory     int                   // transactions of a script in an answer: 20,000
	Local          func(netip.Addr) bool // whose addresses are exempt: the loopback's
	IdleTimeout    time.Duration         // 10 minutes
}

// Server serves clients.
type Server struct {
	cfg     Config
	hub     *hub
	headers headerTree
	blocks  txIDCache
	methods map[string]*method
	calls   *semaphore.Weighted // worked on at once
	answers *semaphore.Weighted // bytes of large answers
	lines   *semaphore.Weighted // bytes of long requests
	counts  Counts
	sockets chan struct{} // bounds connections with those that are being closed

	mu       sync.Mutex // guards what follows
	places   *places.Table[*conn]
	accounts map[netip.Addr]*account // of addresses that are connected
	quarrels budget                  // lines in the log about connections that were cut
}

// account is what the connections of one address share.
type account struct {
	conns, subs, bytes int
	budget             budget
}

// Counts counts what happened since the start.
type Counts struct {
	Connections, Requests, Errors, Notifications, Cut atomic.Uint64
}

// Sockets is how many file descriptors so many connections may take: those that make
// room are closed beside the new ones.
func Sockets(connections int) int { return connections + connections/8 + 1 }

// New prepares a server; Run runs it, and Serve takes connections.
func New(cfg Config) *Server {
	cfg.MaxConnections, cfg.MaxPerAddress = cmp.Or(cfg.MaxConnections, DefaultConnections), cmp.Or(cfg.MaxPerAddress, maxPerAddress)
	cfg.MaxSubs, cfg.MaxHistory = cmp.Or(cfg.MaxSubs, maxSubscriptions), cmp.Or(cfg.MaxHistory, maxHistory)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, idleTimeout)
	if cfg.Local == nil {
		cfg.Local = netip.Addr.IsLoopback
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	const ranks = 2 // who has said nothing makes room
	limits := places.Limits{Most: cfg.MaxConnections, PerAddress: cfg.MaxPerAddress, PerNetwork: max(maxPerNetwork, cfg.MaxPerAddress), Counts: ranks, Keeps: 1, Ranks: ranks}
	return &Server{
		cfg: cfg, hub: newHub(&cfg), headers: headerTree{ledger: cfg.Ledger}, blocks: newTxIDCache(cfg.Ledger), methods: methods(),
		calls: semaphore.NewWeighted(maxCalls), answers: semaphore.NewWeighted(allAnswers), lines: semaphore.NewWeighted(allLines),
		sockets: make(chan struct{}, Sockets(cfg.MaxConnections)),
		places:  places.New[*conn](limits), accounts: make(map[netip.Addr]*account), quarrels: newBudget(20, 1, time.Now()),
	}
}

// Counts are those so far.
func (s *Server) Counts() *Counts { return &s.counts }

// Connections is how many clients are connected.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places.Len()
}

// Subscriptions is how many script hashes clients have subscribed to.
func (s *Server) Subscriptions() int { return s.hub.size() }

// Run tells clients what happens, until ctx ends. The error is one of the ledger.
func (s *Server) Run(ctx context.Context) error {
	if err := s.hub.run(ctx, s); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Serve takes connections until ctx ends. Their messages are lines, with TLS if the
// listener has that.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	s.cfg.Log.Info("serving wallets by Electrum's protocol", "address", l.Addr().String())
	var err error
	for ctx.Err() == nil {
		select {
		case s.sockets <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		var nc net.Conn
		if nc, err = l.Accept(); err != nil {
			<-s.sockets
			if errors.Is(err, net.ErrClosed) {
				break
			}
			s.cfg.Log.Warn("a connection could not be taken", "error", err) // no files left, or it has gone
			_ = pause.For(ctx, time.Second)
			continue
		}
		group.Go(func() error {
			defer func() { <-s.sockets }()
			s.serve(ctx, newLines(s, nc), nc.RemoteAddr())
			return nil
		})
	}
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, group.Wait())
}

// serve serves one client until it leaves, is cut, or ctx ends.
func (s *Server) serve(ctx context.Context, t transport, from net.Addr) {
	defer t.close()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	c := newConn(s, t, from, cut)
	if !s.enter(c) {
		s.counts.Cut.Add(1)
		return
	}
	s.counts.Connections.Add(1)
	err := c.run(ctx)
	s.leave(c)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.counts.Cut.Add(1)
		s.complain(c, err)
	}
}

// complain logs why a connection has ended, but not each of a thousand.
func (s *Server) complain(c *conn, err error) {
	level := slog.LevelInfo
	s.mu.Lock()
	if s.quarrels.take(1, time.Now()) > 0 {
		level, s.quarrels.left = slog.LevelDebug, 0
	}
	s.mu.Unlock()
	s.cfg.Log.Log(context.Background(), level, "electrum connection cut", "from", c.from, "client", c.client(), "reason", err)
}

var errRoom = errors.New("it made room for another")

// enter gives a connection a place. Those that make room are cut.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, ok := s.places.Enter(c, c.origin)
	for _, other := range out {
		other.cut(errRoom)
	}
	if !ok {
		return false
	}
	if !c.origin.Exempt {
		a := s.accounts[c.origin.Address]
		if a == nil {
			a = &account{budget: newBudget(addressShare*connBurst, addressShare*connRefill, time.Now())}
			s.accounts[c.origin.Address] = a
		}
		a.conns++
		c.account = a
	}
	return true
}

// spoke gives a connection the rank of one that keeps its place.
func (s *Server) spoke(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places.Rank(c, 1)
}

func (s *Server) leave(c *conn) {
	s.hub.leave(s, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places.Leave(c)
	if a := c.account; a != nil {
		if a.conns--; a.conns == 0 {
			delete(s.accounts, c.origin.Address)
		}
	}
}

// charge takes what a request cost, and says how long its connection has to wait.
func (s *Server) charge(c *conn, units float64) time.Duration {
	now := time.Now()
	wait := c.budget.take(units, now)
	if c.account != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		wait = max(wait, c.account.budget.take(units, now))
	}
	return wait
}

// reserve takes memory for an answer, at once or not at all; release gives it back.
func (s *Server) reserve(c *conn, bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.account != nil && c.account.bytes+bytes > allAnswers/addressShare {
		return false
	}
	if !s.answers.TryAcquire(int64(bytes)) {
		return false
	}
	if c.account != nil {
		c.account.bytes += bytes
	}
	return true
}

func (s *Server) release(c *conn, bytes int) {
	if bytes == 0 {
		return
	}
	s.answers.Release(int64(bytes))
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.account != nil {
		c.account.bytes -= bytes
	}
}

// subscribed counts subscriptions of an address; false if it has too many.
func (s *Server) subscribed(c *conn, change int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.account == nil {
		return true
	}
	if change > 0 && c.account.subs+change > addressSubs {
		return false
	}
	c.account.subs += change
	return true
}
