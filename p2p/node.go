package p2p

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"lode/chain"
	"lode/consensus"
	"lode/internal/clock"
	"lode/mempool"
)

// Chain is the ledger, as far as the network needs it.
type Chain interface {
	Tip() consensus.State
	BestHeader() chain.HeaderInfo
	Header(consensus.Hash) (chain.HeaderInfo, bool)
	HashAt(height uint32) (consensus.Hash, bool)
	AddHeaders([]consensus.Header) error
	SubmitHashed(...consensus.HashedBlock) []chain.Verdict
	SubmitChecked(...*consensus.CheckedBlock) []chain.Verdict
	BlockBytes(consensus.Hash) ([]byte, error)
	Locator() []consensus.Hash
	HeadersAfter(locator []consensus.Hash, stop consensus.Hash, limit int) []consensus.Header
	MissingBlocks(toward consensus.Hash, limit int) []consensus.Hash
	MissingHistory(limit int) []consensus.Hash
	StillMissing([]chain.MissingBlock) []chain.MissingBlock
	HasHistory() bool
	ForgetHeaders(ends []consensus.Hash, keep map[consensus.Hash]struct{}) (forgotten, left []consensus.Hash, err error)
	ForgetAllHeaders() error
	AwaitsSnapshot() bool
	Subscribe(poke func()) (cancel func())
}

// Pool is the mempool, as far as the network needs it.
type Pool interface {
	Add(*consensus.Tx) error
	AddPackage([]*consensus.Tx, mempool.FeeRate) mempool.PackageResult
	ByTxID(consensus.Hash) (*consensus.Tx, bool)
	ByWTxID(consensus.Hash) (*consensus.Tx, bool)
	Info(txid consensus.Hash) (mempool.Info, bool)
	Each(func(wtxid consensus.Hash, tx *consensus.Tx))
	OnAccept(func(tx *consensus.Tx, txid, wtxid consensus.Hash, feeRate int64))
	Stats() mempool.Stats
	Changes() uint64 // so far
}

// Config says what a node is connected to.
type Config struct {
	Spec  *consensus.Spec
	Chain Chain
	Pool  Pool

	Listen       net.Listener   // for peers by WebSocket; nil means none. Run closes it
	ListenTCP    net.Listener   // for peers by TCP; nil means none. Run closes it
	Connect      []string       // URLs; if there are any, no other peer is dialled
	Seeds        []string       // URLs to begin with, besides those of Spec
	Outbound     int            // peers that the node chooses; 0 means DefaultOutbound, less means none
	MaxInbound   int            // peers that dial this node; 0 means DefaultInbound, which is the most, less means none
	MaxUpload    uint64         // bytes a day after which old blocks are not served; 0 means no limit
	Advertise    []string       // URLs at which others can reach this node
	Dir          string         // where the address book, the anchors and the bans are saved; empty means nowhere
	TLS          *tls.Config    // of Listen: wss:// in place of ws://; nil means none
	TrustProxies []netip.Prefix // whose X-Forwarded-For is believed
	Grants       []Grant        // permissions by address
	Binds        []Bind         // where peers by TCP get permissions; Run closes them
	PeerTimeout  time.Duration  // for the handshake; 0 means DefaultPeerTimeout
	MaxTipAge    time.Duration  // of a tip that ends the initial download; 0 means DefaultMaxTipAge
	AllowOrigins []string       // web origins whose pages may connect
	Pruned       bool           // old blocks are not served: of those more than 288 below the tip, none (BIP159)
	UserAgent    string         // such as /Satoshi:30.0.0/Lode:0.1.0/, at most 256 bytes
	TxInterval   time.Duration  // between announcements of transactions; 0 means DefaultTxInterval
	Capture      bool           // all messages are written to Dir, see capture
	BlocksOnly   bool           // transactions of peers are refused, but of those with MayRelay
	Filters      Filters        // are served to peers (BIP157); nil means none

	// LoopbackIsPublic is for tests: 127.0.0.0/8 without 127.0.0.1 then counts as
	// public addresses of different hosts, which are limited, punished and dialled
	// like a stranger's anywhere.
	LoopbackIsPublic bool

	// PrivatePeers has peers tell each other of addresses in private networks, and
	// dials them, as the chainspec may do too (Defaults.PrivatePeers). Without it
	// only those are dialled there that the operator has named, and with it still
	// none on this machine.
	PrivatePeers bool

	DialFrom netip.Addr              // the address to dial from; none means the system's choice
	Link     func(net.Conn) net.Conn // is put around every connection that is dialled; nil means nothing

	Dial  DialFunc     // nil means WebSocket and TCP
	Clock *clock.Clock // nil means the machine's
	Log   *slog.Logger // nil means none
}

// Bind is a listener for peers by TCP, and what they may.
type Bind struct {
	net.Listener
	May Permissions
}

// Node is the network side of a node.
type Node struct {
	cfg      Config
	log      *slog.Logger
	chain    Chain
	pool     Pool
	dial     DialFunc
	space    space
	outbound int
	places   int         // of inbound peers
	wall     *clock.Face // what the protocol means by now
	steady   *clock.Face // of limits and of what is due to this machine alone
	chores   *clock.Face // of what is done again every few minutes
	gate     *gate
	drift    clockCheck
	book     *addrBook
	groupKey bookKey        // for eviction
	wrong    error          // with the configuration
	minWork  consensus.Work // that the network's chain is known to have
	sync     *syncer
	relay    *relay
	compacts blockCache
	serving  *server // of turns to work for peers
	readers  *server // of memory for what they send
	bans     banList
	upload   uploadCount
	lines    lineLimiter
	dialWake chan struct{}       // the book has something new
	large    chan struct{}       // slots for handling large messages
	judging  *semaphore.Weighted // bytes of maxJudged

	answersMu sync.Mutex // guards what follows
	answers   addrCache

	mu       sync.Mutex      // guards what follows, and what the handshake sets of a peer until it is ready
	ctx      context.Context // of Run; nil before
	stop     context.CancelCauseFunc
	quiet    bool               // SetActive(false)
	over     bool               // Run waits for the end of what was begun
	group    sync.WaitGroup     // of what was begun by begin
	peers    map[*peer]bool     // true once the handshake is over
	inbound  int                // peers that have a place
	waiting  map[*peer]struct{} // that wait for one, see places.go
	knocking map[*peer]struct{} // of which no byte has come
	nextID   int64
	nonces   map[uint64]string     // of version messages under way, and the URL that was dialled
	added    map[string]*addedNode // by URL
	anchors  []string              // block-relay-only peers that the node had when it was stopped
	sent     uint64                // bytes to peers that have left
	received uint64
}

// New makes a node, which does nothing before Run. What is wrong with cfg is the
// error of Run; CheckURL tells earlier.
func New(cfg Config) *Node {
	c := cfg.Clock
	if c == nil {
		c = clock.New(nil)
	}
	n := &Node{
		cfg: cfg, log: cfg.Log, chain: cfg.Chain, pool: cfg.Pool, dial: cfg.Dial, outbound: cfg.Outbound, space: space{cfg.LoopbackIsPublic, cfg.PrivatePeers || cfg.Spec.Defaults.PrivatePeers},
		wall: c.Wall, steady: c.Steady, chores: c.Chores,
		sync: newSyncer(c.Wall), relay: newRelay(cfg.TxInterval, c.Wall), dialWake: make(chan struct{}, 1),
		serving: newServer(servingRates(), c.Steady), readers: newServer(receivingRates(), c.Steady), large: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))), judging: semaphore.NewWeighted(maxJudged),
		peers: make(map[*peer]bool), nonces: make(map[uint64]string), waiting: make(map[*peer]struct{}), knocking: make(map[*peer]struct{}), added: make(map[string]*addedNode),
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.dial == nil {
		n.dial = rawDialer{cfg.DialFrom, cfg.Link}.any(cfg.Spec)
	}
	if n.outbound == 0 {
		n.outbound = DefaultOutbound
	}
	n.outbound = min(n.outbound, MaxOutbound)
	if n.places = min(cfg.MaxInbound, maxInbound); n.places == 0 {
		n.places = maxInbound
	}
	n.places = max(n.places, 0)
	n.drift.drift, n.drift.begun = time.Duration(cfg.Spec.Defaults.MaxDrift)*time.Second, n.steady.Now()
	n.gate = newGate(n.places, n.isExempt, n.steady)
	var err error
	if n.book, err = openBook(cfg.inDir(bookName), n.space); err != nil {
		n.log.Warn("the address book is started anew", "error", err)
	}
	n.book.now = n.wall.Now
	_, _ = rand.Read(n.groupKey[:]) // never fails
	n.bans.file, n.bans.now, n.bans.space = cfg.inDir(bansName), n.wall.Now, n.space
	if made, err := n.bans.load(); err != nil {
		n.log.Warn("bans are forgotten", "error", err)
	} else if made {
		n.log.Info("Recreating the banlist database", "file", n.bans.file)
	}
	n.minWork.SetBytes(cfg.Spec.Defaults.MinimumWork)
	n.wrong = n.takeURLs()
	n.pool.OnAccept(n.relay.accepted)
	return n
}

// takeURLs brings the URLs of the configuration to where they are used.
func (n *Node) takeURLs() (err error) {
	n.cfg.Advertise = slices.Clone(n.cfg.Advertise)
	for i, url := range n.cfg.Advertise {
		if n.cfg.Advertise[i], err = CheckAdvertised(url, n.cfg.Spec.Defaults.Ports); err != nil {
			return err
		}
	}
	for _, name := range n.cfg.Connect {
		url, err := n.checkURL(name)
		if err != nil {
			return err
		}
		n.added[url] = &addedNode{name, make(chan struct{})}
		n.outbound = 0
	}
	for _, url := range slices.Concat(n.cfg.Seeds, n.cfg.Spec.Defaults.Seeds) {
		if strings.HasPrefix(url, dnsSource) {
			continue // is asked by others, see LearnSeeds
		}
		if url, err = n.checkURL(url); err != nil {
			return err
		}
		n.book.addSeed(url)
	}
	return nil
}

// Run keeps the node connected until ctx ends, or listening or the ledger
// fails; everything that it began has ended when it returns. It can be called
// once.
func (n *Node) Run(parent context.Context) error {
	if n.wrong != nil {
		return n.wrong
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	unsubscribe := n.chain.Subscribe(func() { poke(n.sync.tip) })
	defer unsubscribe()
	if err := n.chain.ForgetAllHeaders(); err != nil {
		return err
	}
	tip := n.chain.Tip().Hash // before there is anybody to whom a newer one must be announced

	n.mu.Lock()
	n.ctx, n.stop = ctx, cancel
	for url, a := range n.added {
		n.beginLocked(func() { n.keepConnected(ctx, url, a.removed) })
	}
	n.mu.Unlock()

	n.begin(func() { n.syncLoop(ctx, tip) })
	n.begin(func() { n.relayLoop(ctx, tip) })
	n.begin(func() { n.keepLoop(ctx) })
	if n.outbound > 0 {
		n.begin(func() { n.fillLoop(ctx) })
	}
	n.listen(ctx, n.cfg.Listen, n.serve)
	n.listen(ctx, n.cfg.ListenTCP, n.serveTCP)
	for _, b := range n.cfg.Binds {
		n.listen(ctx, b.Listener, func(ctx context.Context, l net.Listener) error { return n.serveTCPAs(ctx, l, b.May) })
	}
	<-ctx.Done()
	n.mu.Lock()
	n.over = true // nothing more begins
	n.mu.Unlock()
	n.group.Wait()
	failure := context.Cause(ctx)
	if failure == context.Cause(parent) {
		failure = nil // nobody failed, the node was stopped
	}
	return errors.Join(failure, n.book.save(), n.saveAnchors())
}

// listen begins to serve l, if there is one; a failure ends Run.
func (n *Node) listen(ctx context.Context, l net.Listener, serve func(context.Context, net.Listener) error) {
	if l == nil {
		return
	}
	n.begin(func() {
		if err := serve(ctx, l); err != nil {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.stop(err)
		}
	})
}

// fatal ends Run if err says that the ledger has failed: it judges nothing any
// more, and what it did not take would be asked for again and again.
func (n *Node) fatal(err error) {
	if errors.Is(err, chain.ErrFatal) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.stop(err)
	}
}

// begin runs f as a part of Run, or not at all if that is over or has not begun.
func (n *Node) begin(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.beginLocked(f)
}

// beginLocked is begin for a caller that holds mu.
func (n *Node) beginLocked(f func()) bool {
	if n.ctx == nil || n.over {
		return false
	}
	n.group.Go(f)
	return true
}

// keepLoop does what is due from time to time, until ctx ends.
func (n *Node) keepLoop(ctx context.Context) {
	const tick, saveInterval = 5 * time.Second, 10 * time.Minute
	ticker := n.wall.NewTicker(tick)
	defer ticker.Stop()
	saved, advertised := n.wall.Now(), n.wall.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			n.gate.tidy(n.steady.Now())
			n.checkClock("", 0)
			rates := n.filterRates()
			for _, p := range n.ready() {
				p.keepAlive(now)
				p.sendFeeFilter(rates, now)
				p.tellAddrs(now)
				if p.kind == kindAddrFetch && now.Sub(p.connected) > fetchTime {
					p.drop(errFetchTimeout)
				}
				if now.Sub(advertised) >= advertiseInterval {
					n.advertise(p)
				}
			}
			if now.Sub(advertised) >= advertiseInterval {
				advertised = now
			}
			if now.Sub(saved) >= saveInterval {
				saved = now
				if err := n.book.save(); err != nil {
					n.log.Warn("the address book cannot be saved", "error", err)
				}
			}
		}
	}
}

// sendFeeFilter tells the peer, if it is to announce transactions at all, the least fee
// rate of the pool when that is due.
func (p *peer) sendFeeFilter(rates filterRates, now time.Time) {
	if p.version < feeFilterVersion || p.kind == kindBlocks || p.node.cfg.BlocksOnly || p.may.Has(MayForceRelay) { // those decide for themselves
		return
	}
	p.mu.Lock()
	rate, send := p.flags.filter.step(rates, now)
	p.mu.Unlock()
	if send {
		p.send(msgFeeFilter(rate))
	}
}

// Handler accepts peers over HTTP, for a server that does more than that.
func (n *Node) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(socketPath, &socketHandler{
		spec: n.cfg.Spec, origins: n.cfg.AllowOrigins, proxies: n.cfg.TrustProxies, admit: func(host netip.Addr, forwarded bool) error { return n.admit(host, forwarded, 0) }, accept: n.Accept, refused: n.refused,
	})
	return mux
}

// admit says whether somebody may connect at all. If a proxy has named who it is,
// the gate has not counted it yet.
func (n *Node) admit(host netip.Addr, forwarded bool, may Permissions) error {
	if n.bans.banned(host) && !may.Has(MayNotBeBanned) && !n.trusts(host) {
		return errBanned
	}
	if forwarded && !n.gate.admits(host, n.steady.Now()) {
		return errKnocks
	}
	return nil
}

// Accept takes over a connection that somebody else opened to this node. It does
// not wait, and begins nothing for those for whom there is no room.
func (n *Node) Accept(conn Conn) {
	n.mu.Lock()
	ctx := n.ctx
	n.mu.Unlock()
	if ctx == nil {
		_ = conn.Close(errStopping.Error())
		return
	}
	n.receive(n.newPeer(ctx, conn, kindInbound, "", 0))
}

// receive has an inbound peer arrive, or ends its connection.
func (n *Node) receive(p *peer) {
	err := n.arrive(p)
	if err == nil {
		if n.begin(func() { _ = n.host(p) }) {
			return
		}
		n.unregister(p)
		err = errStopping
	}
	n.punish(p, err)
	p.drop(err)
	_ = p.conn.Close(err.Error())
}

// welcome begins the conversation after the handshake.
func (n *Node) welcome(p *peer) {
	if p.version >= sendHeadersVersion {
		p.send(msgEmpty(cmdSendHeaders)) // before anything that others may begin with the peer
	}
	p.offerCompact()
	p.sendFeeFilter(n.filterRates(), n.wall.Now())
	n.relay.add(p, n.pool.Changes())
	if p.kind != kindAddrFetch {
		n.sync.add(p)
	}
	p.tellAddrs(n.wall.Now()) // nothing, but from now on at random times
	n.mu.Lock()
	n.peers[p] = true // now it counts: what comes from here on reaches it
	n.mu.Unlock()
	n.log.Debug("peer connected", "peer", p.String(), "kind", p.kind, "height", p.startHeight)
	p.keepAlive(n.wall.Now())
	if !p.inbound() {
		n.book.good(p.url, p.services, n.wall.Now())
	}
	if !p.inbound() && p.kind != kindBlocks {
		p.askAddrs()
	}
	n.advertise(p)
}

func (n *Node) farewell(p *peer) {
	n.sync.remove(p)
	n.relay.remove(p)
	if !p.inbound() {
		poke(n.dialWake)
	}
}

// forgetSelf removes a URL that leads back to this node.
func (n *Node) forgetSelf(url string) {
	n.log.Info("this address is the node itself", "url", url)
	n.book.forget(url)
}
