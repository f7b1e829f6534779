package main

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/internal/clock"
	"lode/internal/logcat"
	"lode/mempool"
	"lode/miner/kernel"
	"lode/p2p"
	"lode/p2p/dnsseed"
	"lode/p2p/link"
	"lode/rpc"
	"lode/rpc/zmq"
)

func nodeCommand() *cli.Command {
	return &cli.Command{
		Name:  "node",
		Usage: "run a full node until it is stopped (Ctrl-C, SIGTERM or `lode rpc stop`)",
		Flags: slices.Concat(networkFlags(), ledgerFlags(), nodeLedgerFlags(), peerFlags(), rpcServerFlags(), rpcUserFlags(), walletRPCFlags(), identityFlags(),
			nodeMineFlags(), stratumFlags(), electrumFlags(), faucetFlags(), policyFlags(), logFlags(), debugFlags(), notifyFlags(), zmqFlags(), []cli.Flag{confFlag()}),
		Action: func(c *cli.Context) error {
			if err := readConf(c); err != nil {
				return err
			}
			n, err := newNodeConfig(c)
			if err != nil {
				return err
			}
			end, err := n.openLog(c.App.Writer)
			if err != nil {
				return err
			}
			defer end()
			return n.run(c.Context)
		},
	}
}

// nodeConfig is what the flags of the node command come to.
type nodeConfig struct {
	spec           *consensus.Spec
	dir            string // of the network
	listen         string // empty for none
	listenTCP      string // empty for none
	rpcPlaces      []rpcPlace
	maxCalls       int            // 0 for the default
	rpcTimeout     time.Duration  // 0 for the defaults
	allowCallers   []netip.Prefix // that may call beside loopback; none for everybody
	connect, seeds []string
	dnsSeeds       []dnsseed.Name
	resolver       dnsseed.Resolver
	outbound       int
	maxUpload      uint64 // bytes a day; 0 for no limit
	origins        []string
	tls            *tls.Config // nil for none
	proxies        []netip.Prefix
	grants         []p2p.Grant
	binds          []bind
	maxConnections int
	peerTimeout    time.Duration
	maxTipAge      time.Duration
	banTime        time.Duration // of setban
	link           link.Config
	dialFrom       netip.Addr // none for the system's choice
	private        bool       // peers in private networks
	blocksOnly     bool
	capture        bool // messages of peers
	advertise      []string
	strangers      bool // on loopback, for tests
	allowHosts     []string
	openMetrics    bool
	rest           bool
	openPage       bool
	walletRPC      bool             // wallets are served
	walletNotify   string           // a command, empty for none
	userAgent      string           // as peers and callers see it
	users          []rpc.Credential // beside the cookie's
	whitelist      rpc.Whitelist
	payTo          []byte         // nil if the node does not mine
	threads        int            // 0 for one per core
	kernel         *kernel.Kernel // nil for the fastest
	pace           time.Duration
	blockVersion   int32  // 0 for what the rules ask for
	blockWeight    int    // weight units; 0 for what the rules allow
	reserved       int    // likewise, for the header and the coinbase
	mineRate       uint64 // hashes a second; 0 for no limit
	minePaused     bool
	pool           poolConfig
	electrum       electrumConfig
	zmq            []zmq.Notification
	openEsplora    bool
	faucet         bool
	autoMine       bool // what comes from callers
	reindex        bool
	cache          int64 // bytes
	prune          int64 // bytes, see chain.Config
	fastPrune      bool  // for tests
	txIndex        bool
	addrIndex      bool
	silentIndex    bool
	coinStatsIndex bool
	filterIndex    bool
	peerFilters    bool           // block filters are served to peers
	snapshot       string         // a file; empty for none
	snapshotHash   consensus.Hash // zero for what the chainspec says
	policy         mempool.Policy
	keepPool       bool          // from one run to the next
	estimatesAge   time.Duration // saved fee estimates that are older do not count
	logLevel       slog.Level
	logLevels      *logcat.Levels
	logFile        string // empty for standard output
	logJSON        bool
	pprof          string       // where profiles are served; empty for nowhere
	logPath        string       // where the log goes; empty if that is no file
	log            *slog.Logger // made by openLog
	commands       commands
	loadBlocks     []string // files
	pidFile        string   // empty for none
	stopAt         uint     // height; 0 for never
	mocked         bool     // the time is that of a flag
	clock          *clock.Clock
	places         places // set by takePlaces
}

func newNodeConfig(c *cli.Context) (*nodeConfig, error) {
	net, err := networkOf(c)
	if err != nil {
		return nil, err
	}
	n := &nodeConfig{spec: net.spec, dir: net.dir, clock: clock.New(nil)}
	for _, read := range []func(*cli.Context) error{n.readLogFlags, n.readDebugFlags, n.readLedgerFlags, n.readPeerFlags, n.readRPCFlags, n.readWalletFlags, n.readIdentityFlags, n.readMineFlags, n.readNotifyFlags, n.readZMQFlags, n.readElectrumFlags, n.readFaucetFlags} {
		if err := read(c); err != nil {
			return nil, err
		}
	}
	if err := n.readPoolFlags(c); err != nil {
		return nil, err
	}
	if n.pool, err = poolConfigOf(c); err != nil {
		return nil, err
	}
	return n, nil
}
