package stratum

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/pause"
	"lode/internal/places"
	"lode/internal/poke"
	"lode/miner"
	"lode/miner/kernel"
)

// Templates is where the server takes its work from, see miner.Templates.
type Templates interface {
	Current() (*miner.Template, <-chan struct{}, error)
	Now() time.Time
}

// Ledger is what the server needs of the chain.
type Ledger interface {
	Tip() consensus.State
	Header(consensus.Hash) (chain.HeaderInfo, bool)
	AddBlock(*consensus.Block) error
}

// Config is what a server works with.
type Config struct {
	Spec      *consensus.Spec
	Ledger    Ledger
	Templates Templates
	Dir       string           // where what is owed is kept
	Dust      consensus.Amount // no payee gets less of a block

	// What follows has a default where it is zero.
	Window          int                   // blocks whose shares are paid: 2, as Rosenfeld proposes
	SharesPerMinute float64               // of a connection: 20
	Difficulty      float64               // that a connection begins with: 0.001
	LeastDifficulty float64               // 0.000001: a slow CPU has a share in a second
	MaxConnections  int                   // DefaultConnections; who has done least makes room, see connPlaces
	MaxPerAddress   int                   // 256 that have proven nothing, in IPv6 per network of 64 bits; loopback is exempt
	Local           func(netip.Addr) bool // whose addresses are exempt: the loopback's
	Log             *slog.Logger
}

// MaxPayees is how many a block pays at most.
const MaxPayees = 100

// What a coinbase takes, in weight units: an output that pays to an address has 43
// bytes, and Bitcoin Core keeps 8000 for the header and the rest.
const (
	payeeWeight    = 43 * consensus.WitnessScale
	ReservedWeight = 8000 + MaxPayees*payeeWeight // of a block that pays a pool
)

// payees is how many a block of the network can pay.
func (c *Config) payees() int {
	const rest = 2000 // of a block without transactions, with room to spare
	limit := c.Spec.Rules.MaxBlockWeight
	for _, u := range c.Spec.Defaults.Upgrades {
		limit = min(limit, u.MaxBlockWeight)
	}
	return min(MaxPayees, max(1, (limit-rest)/payeeWeight))
}

// Server hands out work to miners and pays them.
type Server struct {
	cfg      Config
	accounts *accounts
	workers  workers
	current  atomic.Pointer[work] // nil before the first
	refresh  chan struct{}        // the shares have begun
	quarrels bucket               // lines in the log about connections that were cut
	next     atomic.Uint32        // extra nonce of the next connection
	rollable uint32               // bits of the version, the same at every tip; see kernel.RollableBits

	sockets chan struct{} // bounds connections with those that are being closed

	mu     sync.Mutex // guards what follows
	conns  map[*conn]struct{}
	places *places.Table[*conn]
}

// The ranks of a connection. It is proven by as much work as a place among the
// payees costs, until a while has passed without an accepted share.
const (
	connSilent = iota // asks for no work
	connUnproven
	connProven
	connRanks
)

// connPlaces are the limits of connections. Only those that have proven nothing
// count for an address or a network, as a farm shares one, and only they make room.
func connPlaces(cfg *Config) places.Limits {
	return places.Limits{Most: cfg.MaxConnections, PerAddress: cfg.MaxPerAddress, PerNetwork: 4 * cfg.MaxPerAddress, Counts: connProven, Keeps: connProven, Ranks: connRanks}
}

// DefaultConnections is how many miners may be connected.
const DefaultConnections = 4096

// Sockets is how many file descriptors so many connections may take: those that
// make room are closed beside the new ones.
func Sockets(connections int) int { return connections + connections/8 + 1 }

// NewServer prepares a server; Serve runs it. It reads what is owed from the
// files of before.
func NewServer(cfg Config) (*Server, error) {
	orDefault(&cfg.Window, 2)
	orDefault(&cfg.SharesPerMinute, 20)
	orDefault(&cfg.Difficulty, 0.001)
	orDefault(&cfg.LeastDifficulty, 1e-6)
	orDefault(&cfg.MaxConnections, DefaultConnections)
	orDefault(&cfg.MaxPerAddress, 256)
	if cfg.Local == nil {
		cfg.Local = netip.Addr.IsLoopback
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, refresh: make(chan struct{}, 1), conns: make(map[*conn]struct{}),
		places: places.New[*conn](connPlaces(&cfg)), sockets: make(chan struct{}, Sockets(cfg.MaxConnections)),
	}
	tip := cfg.Ledger.Tip()
	s.rollable = kernel.RollableBits(&cfg.Spec.Rules, &tip)
	s.quarrels.set(20, 1)
	var err error
	if s.accounts, err = openAccounts(&s.cfg); err != nil {
		return nil, err
	}
	s.workers = newWorkers(maxWorkers, s.accounts.least())
	return s, nil
}

func orDefault[T comparable](v *T, d T) {
	if *v == *new(T) {
		*v = d
	}
}

// payee is the canonical form of an address of the network.
func (c *Config) payee(address string) (string, error) {
	key, err := consensus.ParseAddress(c.Spec.Defaults.AddressPrefix, address)
	if err != nil {
		return "", err
	}
	return consensus.Address(c.Spec.Defaults.AddressPrefix, key), nil
}

// script pays to a payee.
func (c *Config) script(payee string) []byte {
	key, err := consensus.ParseAddress(c.Spec.Defaults.AddressPrefix, payee)
	if err != nil {
		panic("a payee that was checked: " + err.Error())
	}
	return consensus.TaprootScript(key)
}

// capped reports whether the difficulty of blocks rises with the hash rate. Where
// it is fixed, at next to nothing, shares may be more difficult than blocks: then
// the shares that are wanted in a minute are the blocks of a minute.
func (c *Config) capped() bool {
	return c.Spec.Rules.Difficulty.Algorithm != consensus.AlgorithmFixed
}

// How often there is something to do without a new tip.
const (
	renewAfter  = 15 * time.Second // how old a job may be when there are new transactions
	renewAlways = 30 * time.Second // and when there are none: its time, and whom it pays
	retryAfter  = time.Second      // when there is no template
	saveEvery   = time.Minute
)

// Serve takes connections until ctx ends, or the ledger fails.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		stop()
		_ = l.Close()
		wg.Wait()
		if err := s.accounts.save(); err != nil {
			s.cfg.Log.Error("the state of the pool is not on disk", "error", err)
		}
	}()
	s.cfg.Log.Info("serving miners by Stratum", "address", l.Addr().String())
	wg.Go(func() { s.accept(ctx, l, &wg) })
	wg.Go(func() { s.keep(ctx) })
	return s.hand(ctx)
}

func (s *Server) accept(ctx context.Context, l net.Listener, wg *sync.WaitGroup) {
	for {
		select {
		case s.sockets <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c, err := l.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if c != nil {
				_ = c.Close()
			}
			return
		}
		if err != nil { // no files left, or a connection that has gone
			s.cfg.Log.Warn("a stratum connection could not be taken", "error", err)
			<-s.sockets
			_ = pause.For(ctx, retryAfter)
			continue
		}
		wg.Go(func() {
			defer func() { <-s.sockets }()
			s.ServeConn(ctx, c)
		})
	}
}

// ServeConn serves one miner until it leaves, is cut, or ctx ends.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	defer nc.Close()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	c := newConn(s, nc, cut)
	if err := s.enter(c); err != nil {
		s.complain(c, err)
		return
	}
	err := c.run(ctx)
	s.leave(c)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.complain(c, err)
	}
}

// complain logs why a connection has ended, but not each of a thousand.
func (s *Server) complain(c *conn, err error) {
	level := slog.LevelInfo
	if !s.quarrels.take(time.Now()) {
		level = slog.LevelDebug
	}
	s.cfg.Log.Log(context.Background(), level, "stratum connection cut", "from", c.from, "reason", err)
}

// errRoom is the kind of error for a connection that had to make room.
var errRoom = errors.New("it has proven no work, and made room for another")

// enter makes a connection one of those that get work.
func (s *Server) enter(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, ok := s.places.Enter(c, c.origin)
	for _, other := range out {
		delete(s.conns, other)
		other.cut(errRoom)
	}
	if !ok {
		return fmt.Errorf("there are %d connections already that work", s.places.Len())
	}
	s.conns[c] = struct{}{}
	binary.BigEndian.PutUint32(c.extra1[:], s.next.Add(1))
	return nil
}

// rank says what a connection has proven.
func (s *Server) rank(c *conn, rank int) {
	if c.rank.Swap(int32(rank)) == int32(rank) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places.Rank(c, rank)
}

// cutUnproven ends connections whose names have made room, but for those that work
// under other names.
func cutUnproven(conns []*conn) {
	for _, c := range conns {
		if c.rank.Load() < connProven {
			c.cut(errRoom)
		}
	}
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.places.Leave(c)
	s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.users {
		s.workers.leave(w, c)
	}
}

// hand gives out work: at once at each new tip, and else now and then.
func (s *Server) hand(ctx context.Context) error {
	said := ""
	for number := uint64(1); ctx.Err() == nil; {
		t, changed, err := s.cfg.Templates.Current()
		if errors.Is(err, chain.ErrFatal) {
			return err
		}
		if err != nil {
			if said != err.Error() {
				said = err.Error()
				s.cfg.Log.Warn("no work for miners yet", "error", err)
			}
			_ = pause.For(ctx, retryAfter)
			continue
		}
		said = ""
		now := s.cfg.Templates.Now()
		w, err := newWork(number, t, t.Time(now), s.cfg.capped(), s.accounts.distribute(t.Value), s.cfg.script)
		if err != nil {
			return err
		}
		number++
		s.publish(w)
		s.rest(ctx, t.Tip.Hash, changed)
	}
	return nil
}

// rest waits until there should be another work after one on a tip.
func (s *Server) rest(ctx context.Context, tip consensus.Hash, changed <-chan struct{}) {
	soon, late, other := time.After(renewAfter), time.After(renewAlways), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.refresh:
			return
		case <-late:
			return
		case <-soon:
			if other {
				return
			}
			soon = nil
		case <-changed:
			t, next, err := s.cfg.Templates.Current()
			if err != nil || t.Tip.Hash != tip || soon == nil {
				return
			}
			other, changed = true, next
		}
	}
}

// publish gives work to everybody.
func (s *Server) publish(w *work) {
	s.current.Store(w)
	for _, c := range s.connections() {
		c.give(w)
	}
}

func (s *Server) connections() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.conns))
}

// found hands in the block of a share.
func (s *Server) found(c *conn, w *worker, i *issue, sol solution, h consensus.Header) {
	block, err := i.block(c.extra1, sol, h)
	if err != nil {
		s.cfg.Log.Error("the block of a share cannot be made", "worker", w.name, "error", err)
		return
	}
	hash := h.Hash()
	if !s.accounts.record(foundBlock{Hash: hash, Height: i.template.Height, Due: i.pay.Due}) {
		return
	}
	if err := s.cfg.Ledger.AddBlock(block); err != nil {
		s.accounts.forget(hash)
		s.cfg.Log.Error("the block of a share was refused", "hash", hash, "worker", w.name, "error", err)
		return
	}
	if info, _ := s.cfg.Ledger.Header(hash); !info.Active {
		s.cfg.Log.Info("a share made a block beside the chain", "hash", hash, "height", i.template.Height, "worker", w.name)
		return
	}
	s.cfg.Log.Info("the pool found a block", "hash", hash, "height", i.template.Height, "worker", w.name, "transactions", len(block.Txs))
}

// credit counts an accepted share.
func (s *Server) credit(payee string, score uint64) {
	if s.accounts.add(payee, score) {
		poke.Send(s.refresh)
	}
}

// keep saves the state of the pool now and then, looks after difficulties that no
// share changes, and says in the log how the pool does.
func (s *Server) keep(ctx context.Context) {
	const every = 5 * time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	for saved := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		conns := s.connections()
		for _, c := range conns {
			c.adjust(time.Now())
			c.review(time.Now())
		}
		if time.Since(saved) < saveEvery {
			continue
		}
		saved = time.Now()
		if err := s.accounts.save(); err != nil {
			s.cfg.Log.Error("the state of the pool is not on disk", "error", err)
		}
		if len(conns) > 0 {
			rate, t := s.workers.total(time.Now())
			s.cfg.Log.Info("pool", "connections", len(conns), "hashes_per_second", uint64(rate), "accepted", t.Accepted, "refused", t.Low+t.Invalid+t.Duplicate, "stale", t.Stale)
		}
	}
}
