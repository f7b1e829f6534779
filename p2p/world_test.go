package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/internal/clock"
	"lode/mempool"
)

func regtest(t testing.TB) *consensus.Spec {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// world is a network in memory: stations are reached by their URL, and their
// links may be cut.
type world struct {
	t       *testing.T
	spec    *consensus.Spec
	latency time.Duration

	level slog.Level // from which on the log of the stations is kept

	complaints logText // the warnings of all stations

	mu       sync.Mutex          // guards what follows
	stations map[string]*station // that run
	added    int
	open     []link
	cut      func(a, b string) bool // by name; nil cuts nothing
}

type link struct {
	a, b string
	conn Conn
}

// station is a full node of the world: a real ledger, a real mempool.
type station struct {
	*Node
	t      *testing.T
	name   string
	url    string
	addr   net.Addr
	change func(*Config)
	lie    lie    // nil in an honest one
	dir    string // of the ledger
	ledger *chain.Chain
	pool   *mempool.Pool
	stop   func()
}

func newWorld(t *testing.T) *world {
	t.Cleanup(func() { time.Sleep(2 * time.Second) }) // virtual: LevelDB takes one to end after Close
	return &world{t: t, spec: regtest(t), latency: 10 * time.Millisecond, level: slog.LevelDebug, stations: make(map[string]*station)}
}

// now is the time of the ledgers: the bubbles of synctest begin in the year 2000,
// before the genesis block.
func now() time.Time { return time.Now().AddDate(26, 0, 0) }

// nowClock tells that time.
func nowClock() *clock.Clock {
	c := clock.New(nil)
	c.Wall.Forward(time.Until(now()))
	return c
}

// add starts a station; change may adjust its configuration.
func (w *world) add(name string, change func(*Config)) *station {
	w.t.Helper()
	return w.addLiar(name, nil, change)
}

// addLiar is add for a station that changes what it says.
func (w *world) addLiar(name string, lie lie, change func(*Config)) *station {
	w.t.Helper()
	s := w.station(name)
	s.change, s.lie, s.dir = change, lie, w.t.TempDir()
	w.start(s)
	return s
}

// mirror starts a station, perhaps one that lies, on the ledger of another, which
// must not change.
func (w *world) mirror(name string, of *station, lie lie) *station {
	w.t.Helper()
	s := w.station(name)
	s.lie, s.ledger = lie, of.ledger
	s.pool = mempool.New(mempool.Config{Ledger: s.ledger, Sigs: sigcheck.New(1000), Policy: mempool.DefaultPolicy(), Now: now})
	w.run(s, func() error { return nil })
	return s
}

func (w *world) station(name string) *station {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.added++
	s := &station{t: w.t, name: name, url: fmt.Sprintf("ws://%s:1/p2p", name)}
	s.addr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(w.added)}), 1))
	return s
}

// start has a station begin with what is in its directory.
func (w *world) start(s *station) {
	w.t.Helper()
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: s.dir, Spec: w.spec, Now: now})
	if err != nil {
		w.t.Fatal(err)
	}
	pool := mempool.New(mempool.Config{Ledger: ledger, Sigs: sigcheck.New(1000), Policy: mempool.DefaultPolicy(), Now: now})
	ledger.Subscribe(func() {
		if err := pool.Sync(); err != nil {
			w.t.Error(err)
		}
	})
	s.ledger, s.pool = ledger, pool
	w.run(s, ledger.Close)
}

// run has the node of a station begin. In the end what is under it is closed.
func (w *world) run(s *station, under func() error) {
	cfg := Config{
		Spec: w.spec, Chain: s.ledger, Pool: s.pool, Outbound: -1, UserAgent: "/test:" + s.name + "/",
		Dial: func(ctx context.Context, url string) (Conn, error) { return w.dial(ctx, s, url) },
		Log: slog.New(slog.NewMultiHandler(
			slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: w.level}),
			slog.NewTextHandler(&w.complaints, &slog.HandlerOptions{Level: slog.LevelWarn}),
		)).With("node", s.name),
	}
	if s.change != nil {
		s.change(&cfg)
	}
	s.Node = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	synctest.Wait()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("%s: %v", s.name, err)
		}
		if err := under(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(s.stop)
	w.mu.Lock()
	w.stations[s.url] = s
	w.mu.Unlock()
}

var errUnreachable = errors.New("unreachable")

func (w *world) dial(_ context.Context, from *station, url string) (Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	to, ok := w.stations[url]
	if !ok || w.cut != nil && w.cut(from.name, to.name) {
		return nil, errUnreachable
	}
	a, b := Pipe(from.addr, to.addr, w.latency)
	w.open = append(w.open, link{from.name, to.name, a})
	to.Accept(to.says(b))
	return from.says(a), nil
}

// partition cuts the links that cut names and opens all others.
func (w *world) partition(cut func(a, b string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, l := range w.open {
		if cut != nil && cut(l.a, l.b) {
			_ = l.conn.Close("cut")
		}
	}
}

// link connects a to b and keeps them connected.
func (w *world) link(a, b *station) {
	w.t.Helper()
	if err := a.AddNode(b.url); err != nil {
		w.t.Fatal(err)
	}
	w.until("connected", func() bool { in, out := a.ConnectionCount(); return in+out > 0 })
}

// until lets virtual time pass until something is so, ten minutes at most.
func (w *world) until(what string, so func() bool) time.Duration {
	w.t.Helper()
	start := time.Now()
	for time.Since(start) < 10*time.Minute {
		synctest.Wait()
		if so() {
			return time.Since(start)
		}
		time.Sleep(10 * time.Millisecond) // virtual
	}
	w.t.Fatalf("not so after ten minutes: %s", what)
	return 0
}

// agree waits until all stations have the same tip.
func (w *world) agree(tip consensus.Hash, stations ...*station) time.Duration {
	w.t.Helper()
	return w.until("one tip", func() bool {
		for _, s := range stations {
			if s.ledger.Tip().Hash != tip {
				return false
			}
		}
		return true
	})
}

// actor is a peer that a test plays itself.
type actor struct {
	Conn
	t       *testing.T
	unheard []message // what came before a message that the test has heard
}

// call connects an actor to a station, which sees it at addr.
func (w *world) call(s *station, addr string) *actor {
	from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
	a, b := Pipe(from, s.addr, w.latency)
	s.Accept(b)
	w.t.Cleanup(func() { _ = a.Close("") })
	return &actor{Conn: a, t: w.t}
}

// callAs is call, but as if the station had dialled the actor.
func (w *world) callAs(s *station, kind connectionKind, addr string) *actor {
	if kind == kindInbound {
		return w.call(s, addr)
	}
	from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))
	a, b := Pipe(from, s.addr, w.latency)
	if !s.begin(func() { _ = s.runPeer(s.ctx, b, kind, "ws://"+addr+socketPath) }) {
		w.t.Fatal("the station has ended")
	}
	w.t.Cleanup(func() { _ = a.Close("") })
	return &actor{Conn: a, t: w.t}
}

func (a *actor) say(m message) {
	a.t.Helper()
	if err := a.WriteMessage(m.command(), m.append(nil)); err != nil {
		a.t.Fatalf("%s: %v", m.command(), err)
	}
}

// hear waits for a message of one command. Others are kept: in which order a
// station says two things is not always certain.
func (a *actor) hear(command string) message {
	a.t.Helper()
	is := func(m message) bool { return m.command() == command }
	if i := slices.IndexFunc(a.unheard, is); i >= 0 {
		m := a.unheard[i]
		a.unheard = slices.Delete(a.unheard, i, i+1)
		return m
	}
	for {
		got, payload, err := a.ReadMessage()
		if err != nil {
			a.t.Fatalf("waiting for %s: %v", command, err)
		}
		m, err := decodeMessage(got, payload)
		if err != nil {
			a.t.Fatal(err)
		}
		if is(m) {
			return m
		}
		a.unheard = append(a.unheard, m)
	}
}

// silent reports whether no message of a command comes within a virtual minute.
func (a *actor) silentOn(command string) bool {
	timer := time.AfterFunc(time.Minute, func() { _ = a.Close("") })
	defer timer.Stop()
	for {
		got, _, err := a.ReadMessage()
		if err != nil {
			return true
		}
		if got == command {
			return false
		}
	}
}

// isCut waits until the other side hangs up.
func (a *actor) isCut() {
	a.t.Helper()
	for {
		if _, _, err := a.ReadMessage(); err != nil {
			return
		}
	}
}

func actorVersion(version int32) *msgVersion {
	return &msgVersion{version: version, services: serviceNetwork | serviceWitness, time: time.Now().Unix(), nonce: 1, userAgent: "/actor/", relay: true}
}

// shake does the handshake as a peer of some version.
func (a *actor) shake(version int32) {
	a.t.Helper()
	a.shakeAs(actorVersion(version))
}

func (a *actor) shakeAs(v *msgVersion) {
	a.t.Helper()
	a.say(v)
	a.hear(cmdVersion)
	if v.version >= ProtocolVersion {
		a.say(msgEmpty(cmdWTxIDRelay))
		a.say(msgEmpty(cmdSendAddrV2))
		a.say(msgEmpty(cmdSendAddrURL))
	}
	a.say(msgEmpty(cmdVerack))
	a.hear(cmdVerack)
	if v.version >= sendHeadersVersion {
		a.hear(cmdSendHeaders) // the first thing after the other side has got the verack
	} else {
		a.hear(cmdPing)
	}
}

// key is the one that every coinbase of the tests pays to.
func key() *btcec.PrivateKey {
	k, _ := btcec.PrivKeyFromBytes([]byte{31: 7})
	return k
}

var script = sync.OnceValue(func() []byte {
	return consensus.TaprootScript([32]byte(schnorr.SerializePubKey(key().PubKey())))
})

// mineOn makes a block after a state. salt tells it from others at its height.
func mineOn(spec *consensus.Spec, s consensus.State, salt byte, txs ...*consensus.Tx) *consensus.Block {
	coinbase := consensus.NewCoinbase(consensus.CoinbaseScript(s.Height+1, []byte{salt, 1, 2, 3, 4, 5, 6, 7}),
		[]consensus.TxOut{{Value: spec.Rules.Subsidy(s.Height + 1), Script: script()}})
	b := &consensus.Block{Txs: append([]*consensus.Tx{coinbase}, txs...)}
	b.Header = consensus.Header{Version: 0x20000000, Prev: s.Hash, Time: s.Time + 600, Bits: spec.Rules.NextBits(&s)}
	b.Seal()
	work(spec, b)
	return b
}

func work(spec *consensus.Spec, b *consensus.Block) {
	for spec.Rules.CheckWork(&b.Header) != nil {
		b.Nonce++
	}
}

// mine makes n blocks after a state.
func mine(spec *consensus.Spec, s consensus.State, salt byte, n int) (blocks []*consensus.Block) {
	for range n {
		b := mineOn(spec, s, salt)
		blocks = append(blocks, b)
		s = spec.Rules.NextState(s, &b.Header)
	}
	return blocks
}

// longChain is the first n of 2*maxHeaders+200 blocks after genesis, which take
// long to make.
func longChain(t testing.TB, n int) []*consensus.Block {
	longOnce.Do(func() {
		spec := regtest(t)
		long = mine(spec, spec.Rules.GenesisState(), 1, 2*maxHeaders+200)
	})
	return long[:n:n]
}

var (
	longOnce sync.Once
	long     []*consensus.Block
)

// feed gives blocks to the station as its own miner would.
func (s *station) feed(blocks ...*consensus.Block) {
	s.t.Helper()
	for _, b := range blocks {
		if err := s.ledger.AddBlock(b); err != nil {
			s.t.Fatal(err)
		}
	}
}

// spend moves the first output of a transaction, less a fee in sat.
func spend(prev *consensus.Tx, fee consensus.Amount) *consensus.Tx { return join(fee, prev) }

// join moves the first output of each transaction into one, less a fee in sat.
func join(fee consensus.Amount, prevs ...*consensus.Tx) *consensus.Tx {
	tx := &consensus.Tx{Version: 2, Out: []consensus.TxOut{{Value: -fee, Script: script()}}}
	var spent []consensus.TxOut
	for _, prev := range prevs {
		tx.In = append(tx.In, consensus.TxIn{PrevOut: consensus.OutPoint{TxID: prev.TxID()}, Sequence: 0xfffffffd})
		tx.Out[0].Value += prev.Out[0].Value
		spent = append(spent, prev.Out[0])
	}
	for i := range tx.In {
		hash, _ := consensus.NewSigHasher(tx, spent).SigHash(i, consensus.SigHashDefault, nil)
		sig, err := schnorr.Sign(key(), hash[:])
		if err != nil {
			panic(err)
		}
		tx.In[i].Witness = [][]byte{sig.Serialize()}
	}
	return tx
}

func (s *station) has(tx *consensus.Tx) bool {
	_, ok := s.pool.ByWTxID(tx.WTxID())
	return ok
}
