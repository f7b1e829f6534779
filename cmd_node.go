package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/miner"
	"lode/miner/kernel"
	"lode/p2p"
	"lode/rpc"
)

func nodeCommand() *cli.Command {
	return &cli.Command{
		Name:  "node",
		Usage: "run a full node until it is stopped (Ctrl-C, SIGTERM or `lode rpc stop`)",
		Flags: slices.Concat(networkFlags(), ledgerFlags(), stratumFlags(), withEnv(
			&cli.StringFlag{Name: "listen", DefaultText: "all addresses, the network's port", Usage: "accept peers on `HOST:PORT` by WebSocket; \"off\" for none"},
			&cli.StringFlag{Name: "listen-tcp", DefaultText: "off", Usage: "accept peers on `HOST:PORT` by Bitcoin's TCP protocol; without a port, on that of the network"},
			&cli.StringSliceFlag{Name: "connect", Usage: "keep a connection to the peer at `URL` (ws://host:port, wss://…, tcp://host:port), and make no others; may be repeated"},
			&cli.StringSliceFlag{Name: "seed", Usage: "begin the search for peers at `URL`; may be repeated"},
			&cli.IntFlag{Name: "outbound", Value: p2p.DefaultOutbound, Usage: "look for `N` peers to connect to, besides those given and two for blocks alone; 0 for none"},
			&cli.Int64Flag{Name: "max-upload", DefaultText: "no limit", Usage: "serve no blocks older than a week once `MiB` were sent to peers in a day"},
			&cli.StringSliceFlag{Name: "allow-origin", Usage: "let web pages from `ORIGIN` connect as peers; may be repeated"},
			&cli.StringFlag{Name: "tls-cert", Usage: "accept peers by wss:// with the certificate chain in `FILE` (PEM)"},
			&cli.StringFlag{Name: "tls-key", Usage: "the private key of --tls-cert, in `FILE` (PEM)"},
			&cli.StringSliceFlag{Name: "trust-proxy", Usage: "believe the reverse proxy at `ADDRESS` (or addr/bits) whom it names in X-Forwarded-For; may be repeated"},
			&cli.StringSliceFlag{Name: "advertise", Usage: "tell peers that this node can be reached at `URL`; may be repeated"},
			&cli.StringFlag{Name: "rpc-listen", DefaultText: "loopback, the network's port", Usage: "answer RPC calls on `HOST:PORT`"},
			&cli.BoolFlag{Name: "open-metrics", Usage: "let other machines read /metrics on the RPC port too, without a password"},
			&cli.StringSliceFlag{Name: "rpc-allow-host", Usage: "answer RPC calls made to the host `NAME` too; may be repeated"},
			&cli.StringFlag{Name: "mine", Usage: "mine, and be paid at `ADDRESS`"},
			&cli.IntFlag{Name: "threads", DefaultText: "one per core", Usage: "mine on `N` threads"},
			&cli.StringFlag{Name: "kernel", DefaultText: "the fastest, measured when mining begins", Usage: "mine with the kernel `NAME`; `lode mine --benchmark` lists them"},
			paceFlag(),
			&cli.IntFlag{Name: "prune", Usage: "keep blocks and undo data below `MB` megabytes (at least 550) by removing the oldest; 1 removes them only at the call pruneblockchain, 0 never"},
			&cli.BoolFlag{Name: "txindex", Usage: "keep an index of all transactions, for getrawtransaction; without it the index is removed"},
			&cli.BoolFlag{Name: "addrindex", Usage: "keep an index of the transactions of every address, for getaddresstxids and the like; without it the index is removed"},
			&cli.IntFlag{Name: "maxmempool", Value: mempool.DefaultPolicy().MaxMemory / 1_000_000, Usage: "keep unconfirmed transactions in at most `MB` of memory; those that pay least go first"},
			&cli.DurationFlag{Name: "mempoolexpiry", Value: mempool.DefaultPolicy().Expiry, Usage: "forget a transaction that is not confirmed after `TIME`"},
			&cli.IntFlag{Name: "minrelaytxfee", Value: int(mempool.DefaultPolicy().MinRelay), Usage: "accept no transaction that pays less than `RATE`, in sat per 1,000 vB"},
			&cli.IntFlag{Name: "incrementalrelayfee", Value: int(mempool.DefaultPolicy().Increment), Usage: "have a replacement pay `RATE` more for its own size, in sat per 1,000 vB"},
			&cli.IntFlag{Name: "dustrelayfee", Value: int(mempool.DefaultPolicy().Dust), Usage: "call an output dust that costs more to spend than it holds at `RATE`, in sat per 1,000 vB"},
			&cli.IntFlag{Name: "limitclustercount", Value: mempool.DefaultPolicy().MaxCluster, Usage: "let at most `N` unconfirmed transactions hang together, up to 64"},
			&cli.IntFlag{Name: "limitclustersize", Value: mempool.DefaultPolicy().MaxClusterSize / 1000, Usage: "let them have at most `KVB` together, thousands of virtual bytes"},
			&cli.BoolFlag{Name: "reindex", Usage: "build the ledger anew from the block files"},
			&cli.StringFlag{Name: "snapshot", Usage: "begin a fresh ledger with the coins in `FILE`, and verify the history before it in the background"},
			&cli.StringFlag{Name: "snapshot-hash", DefaultText: "what the chainspec says", Usage: "the UTXO hash (hash_serialized_3) of --snapshot is `HASH`"},
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "log `LEVEL`: debug, info, warn or error"},
		)),
		Action: func(c *cli.Context) error {
			n, err := newNodeConfig(c)
			if err != nil {
				return err
			}
			return n.run(c.Context)
		},
	}
}

// userAgent is how a node names itself to its peers (BIP14).
const userAgent = "/Lode:" + version + "/"

// nodeConfig is what the flags of the node command come to.
type nodeConfig struct {
	spec           *consensus.Spec
	dir            string // of the network
	listen         string // empty for none
	listenTCP      string // empty for none
	rpcListen      string
	connect, seeds []string
	outbound       int
	maxUpload      uint64 // bytes a day; 0 for no limit
	origins        []string
	tls            *tls.Config // nil for none
	proxies        []netip.Prefix
	advertise      []string
	allowHosts     []string
	openMetrics    bool
	payTo          []byte         // nil if the node does not mine
	threads        int            // 0 for one per core
	kernel         *kernel.Kernel // nil for the fastest
	pace           time.Duration
	pool           poolConfig
	reindex        bool
	cache          int64 // bytes
	prune          int64 // bytes, see chain.Config
	txIndex        bool
	addrIndex      bool
	snapshot       string         // a file; empty for none
	snapshotHash   consensus.Hash // zero for what the chainspec says
	policy         mempool.Policy
	log            *slog.Logger
	clock          nodeClock
}

func newNodeConfig(c *cli.Context) (*nodeConfig, error) {
	net, err := networkOf(c)
	if err != nil {
		return nil, err
	}
	spec := net.spec
	n := &nodeConfig{
		spec: spec, dir: net.dir,
		listen:    c.String("listen"),
		rpcListen: c.String("rpc-listen"),
		connect:   c.StringSlice("connect"), seeds: c.StringSlice("seed"), outbound: c.Int("outbound"),
		origins: c.StringSlice("allow-origin"), advertise: c.StringSlice("advertise"), allowHosts: c.StringSlice("rpc-allow-host"), openMetrics: c.Bool("open-metrics"),
		pace: paceOf(c, spec), reindex: c.Bool("reindex"),
		snapshot: c.String("snapshot"),
	}
	if s := c.String("snapshot-hash"); s != "" {
		if n.snapshotHash, err = consensus.ParseHash(s); err != nil || n.snapshot == "" {
			return nil, usageError(c.Command.HelpName, "--snapshot-hash %.70q: want the 64 hex digits of a UTXO hash, and --snapshot with it", s)
		}
	}
	if n.cache, err = cacheSize(c); err != nil {
		return nil, err
	}
	if n.prune, err = pruneTarget(c.Int("prune")); err != nil {
		return nil, usageError(c.Command.HelpName, "%v", err)
	}
	n.txIndex, n.addrIndex = c.Bool("txindex"), c.Bool("addrindex")
	if n.prune != chain.PruneNever && (n.txIndex || n.addrIndex) {
		return nil, usageError(c.Command.HelpName, "--prune is incompatible with --txindex and --addrindex: the indexes point into the blocks")
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, usageError(c.Command.HelpName, "--log-level %q: want debug, info, warn or error", c.String("log-level"))
	}
	n.log = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: level}))
	switch n.listen {
	case "":
		n.listen = fmt.Sprintf(":%d", spec.Defaults.Ports.WebSocket)
	case "off":
		n.listen = ""
	}
	if n.rpcListen == "" {
		n.rpcListen = fmt.Sprintf("127.0.0.1:%d", spec.Defaults.Ports.RPC)
	}
	if err := n.readPeerFlags(c); err != nil {
		return nil, err
	}
	if n.outbound == 0 {
		n.outbound = -1 // none, where 0 would mean the default
	}
	upload := c.Int64("max-upload")
	if upload < 0 || upload > 1<<40 {
		return nil, usageError(c.Command.HelpName, "--max-upload %d: want MiB a day, or 0 for no limit", upload)
	}
	n.maxUpload = uint64(upload) << 20
	if n.policy, err = policyOf(c); err != nil {
		return nil, err
	}
	if n.pool, err = poolConfigOf(c); err != nil {
		return nil, err
	}
	if n.threads, err = threadsOf(c); err != nil {
		return nil, err
	}
	if name := c.String("kernel"); name != "" {
		if n.kernel, err = kernel.ByName(name); err != nil {
			return nil, usageError(c.Command.HelpName, "--kernel: %v", err)
		}
	}
	if address := c.String("mine"); address != "" {
		key, err := consensus.ParseAddress(spec.Defaults.AddressPrefix, address)
		if err != nil {
			return nil, fmt.Errorf("--mine: %w", err)
		}
		n.payTo = consensus.TaprootScript(key)
	}
	return n, nil
}

// readPeerFlags reads the flags about how peers connect.
func (n *nodeConfig) readPeerFlags(c *cli.Context) (err error) {
	ports := n.spec.Defaults.Ports
	if n.listenTCP = c.String("listen-tcp"); n.listenTCP == "off" {
		n.listenTCP = ""
	}
	if n.listenTCP != "" && ports.TCP != 0 {
		n.listenTCP = p2p.WithPort(n.listenTCP, ports.TCP)
	}
	for _, url := range slices.Concat(n.connect, n.seeds, n.spec.Defaults.Seeds) {
		if _, err := p2p.CheckURL(url, ports); err != nil {
			return err
		}
	}
	for _, url := range n.advertise {
		if _, err := p2p.CheckURL(url, ports); err != nil {
			return fmt.Errorf("--advertise: %w", err)
		}
	}
	for _, s := range c.StringSlice("trust-proxy") {
		prefix, err := parsePrefix(s)
		if err != nil {
			return usageError(c.Command.HelpName, "--trust-proxy %q: want an IP address, or addr/bits", s)
		}
		n.proxies = append(n.proxies, prefix)
	}
	n.tls, err = loadTLS(c)
	return err
}

// parsePrefix reads a network, or one address as the network that holds it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Unmap().Prefix(ip.Unmap().BitLen())
	}
	return netip.ParsePrefix(s)
}

// loadTLS reads --tls-cert and --tls-key; nil if they are not given.
func loadTLS(c *cli.Context) (*tls.Config, error) {
	cert, key := c.String("tls-cert"), c.String("tls-key")
	switch {
	case cert == "" && key == "":
		return nil, nil
	case cert == "" || key == "":
		return nil, usageError(c.Command.HelpName, "--tls-cert and --tls-key go together: give both")
	case c.String("listen") == "off":
		return nil, usageError(c.Command.HelpName, "--tls-cert is for --listen, which is off")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", cert, key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// pruneTarget is what --prune comes to: bytes, or one of the chain's constants.
func pruneTarget(megabytes int) (int64, error) {
	switch {
	case megabytes == 0:
		return chain.PruneNever, nil
	case megabytes == 1:
		return chain.PruneByHand, nil
	case megabytes < chain.MinPruneTarget>>20 || megabytes > 1<<40:
		return 0, fmt.Errorf("--prune %d: want 0 (never), 1 (only by pruneblockchain), or megabytes, at least %d", megabytes, chain.MinPruneTarget>>20)
	}
	return int64(megabytes) << 20, nil
}

// policyOf is what the flags say of unconfirmed transactions.
func policyOf(c *cli.Context) (mempool.Policy, error) {
	p := mempool.DefaultPolicy()
	for _, f := range []struct {
		name        string
		least, most int
		set         func(int)
	}{
		{"maxmempool", 5, 1_000_000, func(v int) { p.MaxMemory = v * 1_000_000 }},
		{"minrelaytxfee", 0, int(consensus.SatPerCoin), func(v int) { p.MinRelay = mempool.FeeRate(v) }},
		{"incrementalrelayfee", 0, int(consensus.SatPerCoin), func(v int) { p.Increment = mempool.FeeRate(v) }},
		{"dustrelayfee", 0, int(consensus.SatPerCoin), func(v int) { p.Dust = mempool.FeeRate(v) }},
		{"limitclustercount", 1, mempool.MaxClusterCount, func(v int) { p.MaxCluster = v }},
		{"limitclustersize", 1, 1000, func(v int) { p.MaxClusterSize = v * 1000 }},
	} {
		v := c.Int(f.name)
		if v < f.least || v > f.most {
			return p, usageError(c.Command.HelpName, "--%s %d: want %d to %d", f.name, v, f.least, f.most)
		}
		f.set(v)
	}
	if p.Expiry = c.Duration("mempoolexpiry"); p.Expiry < time.Hour {
		return p, usageError(c.Command.HelpName, "--mempoolexpiry %v: want at least 1h", p.Expiry)
	}
	return p, nil
}

// run wires a node, in the order in which its parts depend on each other, and
// closes them in reverse. The ports come first, so that a node that cannot have
// them leaves nothing behind.
func (n *nodeConfig) run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	rpcListener, err := listen(n.rpcListen, "--rpc-listen")
	if err != nil {
		return err
	}
	defer rpcListener.Close()
	peerListener, tcpListener, err := n.listenForPeers()
	if err != nil {
		return err
	}
	for _, l := range []net.Listener{peerListener, tcpListener} {
		if l != nil {
			defer l.Close()
		}
	}
	minerListener, err := n.listenForMiners()
	if err != nil {
		return err
	}
	if minerListener != nil {
		defer minerListener.Close()
	}

	sigs := sigcheck.New(200_000)
	ledger, err := chain.Open(chain.Config{
		Dir: n.dir, Spec: n.spec, Now: n.clock.Now, Log: n.log, Sigs: sigs, Cache: n.cache, Reindex: n.reindex,
		Prune: n.prune, TxIndex: n.txIndex, AddrIndex: n.addrIndex,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	if n.snapshot != "" {
		if err := ledger.UseSnapshot(ctx, n.snapshot, n.snapshotHash); err != nil {
			return fmt.Errorf("--snapshot: %w", err)
		}
	}
	pool := mempool.New(mempool.Config{Ledger: ledger, Sigs: sigs, Policy: n.policy, Now: n.clock.Now, Log: n.log})
	peers := p2p.New(p2p.Config{
		Spec: n.spec, Chain: ledger, Pool: pool, Listen: peerListener, ListenTCP: tcpListener, TLS: n.tls, TrustProxies: n.proxies,
		Connect: n.connect, Seeds: n.seeds, Outbound: n.outbound, MaxUpload: n.maxUpload, Advertise: n.advertise, Pruned: n.prune != chain.PruneNever,
		Dir: n.dir, AllowOrigins: n.origins, UserAgent: userAgent, Now: n.clock.Now, Log: n.log,
	})
	templates := miner.NewTemplates(miner.TemplatesConfig{Ledger: ledger, Pool: pool, Now: n.clock.Now, Log: n.log, Reserved: n.pool.reservedWeight(), Ready: func() error {
		if peers.Syncing() || ledger.AwaitsSnapshot() {
			return miner.ErrSyncing
		}
		return nil
	}})
	miners, err := n.newPool(ledger, templates)
	if err != nil {
		return err
	}
	var mining *miner.Miner
	if n.payTo != nil {
		workers := miner.NewWorkers(n.threads, n.kernel)
		workers.YieldTo(ledger.Busy)
		mining = miner.New(miner.NewLocal(templates, n.payTo, n.pace, n.log), workers, n.log)
	}
	release, password, err := n.publish(rpcListener.Addr())
	if err != nil {
		return err
	}
	defer release()
	cfg := rpc.Config{
		Spec: n.spec, Chain: ledger, Pool: pool, Templates: templates, Network: peers, Clock: &n.clock, Version: version, UserAgent: userAgent, Stop: stop, Log: n.log,
		Dir: n.dir, User: rpc.CookieUser, Password: password, AllowHosts: n.allowHosts, OpenMetrics: n.openMetrics,
	}
	if mining != nil {
		cfg.Mining = mining
	}
	if miners != nil {
		cfg.Miners = miners
	}

	tip := ledger.Tip()
	n.log.Info("node started", "version", version, "network", n.spec.Name, "height", tip.Height, "tip", tip.Hash,
		"rpc", rpcListener.Addr().String(), "peers", n.listen, "tcp", n.listenTCP, "directory", n.dir)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return rpc.New(cfg).Serve(ctx, rpcListener) })
	group.Go(func() error { return peers.Run(ctx) })
	group.Go(func() error { return ledger.RunIndexes(ctx) })
	group.Go(func() error { return n.follow(ctx, ledger, pool) })
	group.Go(func() error { return ledger.RunSnapshot(ctx) })
	group.Go(func() error { return templates.Run(ctx) })
	saved, estimates := filepath.Join(n.dir, mempool.FileName), filepath.Join(n.dir, mempool.EstimatesFileName)
	pool.LoadEstimates(estimates)
	group.Go(func() error { pool.Load(ctx, saved); return nil })
	if mining != nil {
		group.Go(func() error { return mining.Run(ctx) })
	}
	if miners != nil {
		group.Go(func() error { return miners.Serve(ctx, minerListener) })
	}
	err = errors.Join(group.Wait(), pool.Save(saved), pool.SaveEstimates(estimates))
	n.log.Info("node stopped", "height", ledger.Tip().Height)
	return err
}

// listenForPeers opens the ports for peers; a listener is nil if it is off.
func (n *nodeConfig) listenForPeers() (socket, tcp net.Listener, err error) {
	if n.listen != "" {
		if socket, err = listen(n.listen, "--listen"); err != nil {
			return nil, nil, err
		}
	}
	if n.listenTCP != "" {
		if tcp, err = listen(n.listenTCP, "--listen-tcp"); err != nil && socket != nil {
			return nil, nil, errors.Join(err, socket.Close())
		}
	}
	return socket, tcp, err
}

func listen(address, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is in use by another process: stop it or choose another port with %s", flag, address, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}

// publish leaves in the network's directory what the other commands need to
// find this node and to be let in; release removes it again.
func (n *nodeConfig) publish(address net.Addr) (release func(), password string, err error) {
	cookie, where := filepath.Join(n.dir, cookieFile), filepath.Join(n.dir, rpcAddressFile)
	if password, err = rpc.WriteCookie(cookie); err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(where, []byte(address.String()+"\n"), 0o600); err != nil {
		return nil, "", errors.Join(err, os.Remove(cookie))
	}
	return func() {
		if err := errors.Join(os.Remove(cookie), os.Remove(where)); err != nil {
			n.log.Warn("cannot clean up", "error", err)
		}
	}, password, nil
}

// follow keeps the pool up to date, logs new tips, and ends with an error when
// the ledger has failed.
func (n *nodeConfig) follow(ctx context.Context, ledger *chain.Chain, pool *mempool.Pool) error {
	poked := make(chan struct{}, 1)
	cancel := ledger.Subscribe(func() {
		select {
		case poked <- struct{}{}:
		default:
		}
	})
	defer cancel()
	const every = 2 * time.Second // while many blocks come at once, a line in a while is enough
	last, due := ledger.Tip(), time.NewTimer(every)
	defer due.Stop()
	for {
		quiet := true
		select {
		case <-ctx.Done():
			return nil
		case <-ledger.Failed():
			return ledger.Err()
		case <-poked:
			if err := pool.Sync(); err != nil {
				return err
			}
			quiet = ledger.Tip().Height != last.Height+1
		case <-due.C:
			quiet = false
			due.Reset(every)
		}
		if tip := ledger.Tip(); !quiet && tip.Hash != last.Hash {
			n.log.Info("new tip", "height", tip.Height, "hash", tip.Hash, "time", time.Unix(int64(tip.Time), 0).UTC().Format(time.DateTime))
			last = tip
		}
	}
}

// nodeClock is the real time, or one that was set by setmocktime.
type nodeClock struct{ mock atomic.Int64 } // Unix seconds; 0 for the real time

// Now is the time.
func (c *nodeClock) Now() time.Time {
	if s := c.mock.Load(); s != 0 {
		return time.Unix(s, 0)
	}
	return time.Now()
}

// Set sets the time, or goes back to the real one.
func (c *nodeClock) Set(t time.Time) {
	if t.IsZero() {
		c.mock.Store(0)
		return
	}
	c.mock.Store(t.Unix())
}
