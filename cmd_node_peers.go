package main

import (
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/mempool"
	"lode/p2p"
	"lode/p2p/link"
	"lode/rpc"
)

// peerFlags are the flags about how peers connect.
func peerFlags() []cli.Flag {
	return append(withEnv(
		&cli.StringFlag{Name: "listen", DefaultText: "all addresses, the network's port", Usage: "accept peers on `HOST:PORT` by WebSocket; \"off\" for none"},
		&cli.StringFlag{Name: "listen-tcp", DefaultText: "off", Usage: "accept peers on `HOST:PORT` by Bitcoin's TCP protocol; without a port, on that of the network"},
		&cli.StringSliceFlag{Name: "connect", Usage: "keep a connection to the peer at `URL` (ws://host:port, wss://…, tcp://host[:port]), and make no others; may be repeated"},
		&cli.StringSliceFlag{Name: "seed", Usage: "begin the search for peers at `URL`, or at those whom dns:HOST[:PORT] names, which is asked again while there are too few; may be repeated"},
		&cli.StringFlag{Name: "dns-server", DefaultText: "the system's", Usage: "ask the DNS server at `IP:PORT` for --seed dns:HOST"},
		&cli.IntFlag{Name: "outbound", Value: p2p.DefaultOutbound, Usage: "look for `N` peers to connect to, at most 10, besides those given and two for blocks alone; 0 for none"},
		&cli.Int64Flag{Name: "max-upload", DefaultText: "no limit", Usage: "serve no blocks older than a week once `MiB` were sent to peers in a day"},
		&cli.StringSliceFlag{Name: "allow-origin", Usage: "let web pages from `ORIGIN` connect as peers; may be repeated"},
		&cli.StringFlag{Name: "tls-cert", Usage: "accept peers by wss:// with the certificate chain in `FILE` (PEM)"},
		&cli.StringFlag{Name: "tls-key", Usage: "the private key of --tls-cert, in `FILE` (PEM)"},
		&cli.StringSliceFlag{Name: "trust-proxy", Usage: "believe the reverse proxy at `ADDRESS` (or addr/bits) whom it names in X-Forwarded-For; may be repeated"},
		&cli.StringSliceFlag{Name: "advertise", Usage: "tell peers that this node can be reached at `URL`; may be repeated"},
		&cli.BoolFlag{Name: "private-peers", Usage: "let peers tell of addresses in private networks, and dial those (the chainspec may allow it too)"},
		&cli.StringSliceFlag{Name: "noban", Usage: "never limit, ban or replace peers that come from `ADDRESS` (or addr/bits); may be repeated"},
		&cli.BoolFlag{Name: "blocksonly", Usage: "take no transactions of peers, but of those with the permission relay; with it --maxmempool is 5 and --whitelistrelay 0, unless given"},
		&cli.IntFlag{Name: "whitelistrelay", Value: 1, Usage: "with 0 for `BIT`, relay is not among the permissions where none is named: noban, download, mempool, relay"},
		&cli.IntFlag{Name: "whitelistforcerelay", Usage: "with 1 for `BIT`, forcerelay is among them"},
		&cli.IntFlag{Name: "maxconnections", Value: p2p.MaxConnections, Usage: "have at most `N` peers besides those given, 11 of which this node dials"},
		&cli.Int64Flag{Name: "maxtipage", Value: int64(p2p.DefaultMaxTipAge.Seconds()), Usage: "count a tip that is older than `SECONDS` as one of the initial block download"},
		&cli.IntFlag{Name: "peertimeout", Value: int(p2p.DefaultPeerTimeout.Seconds()), Usage: "end a connection without a handshake after `SECONDS`"},
		&cli.IntFlag{Name: "bantime", Value: int(rpc.DefaultBan.Seconds()), Usage: "have setban ban for `SECONDS` where it is not told otherwise"},
		&cli.BoolFlag{Name: "capturemessages", Usage: "write every message of peers to message_capture in the directory of the network, up to 1 GiB a peer and direction, for developers"},
		&cli.StringFlag{Name: "link", Usage: "be as slow and lossy as a link like `LINK` in what is sent to peers: latency=50ms,jitter=10ms,loss=1%,rate=20mbit, each optional; for networks on one machine"},
		&cli.StringFlag{Name: "dial-from", Hidden: true, Usage: "dial peers from this `IP`, one of this machine's"},
		&cli.BoolFlag{Name: "loopback-is-public", Hidden: true, Usage: "treat 127.0.0.0/8 but 127.0.0.1 as addresses of strangers, for attacks in tests"},
	), &cli.GenericFlag{Name: "whitelist", EnvVars: []string{"LODE_WHITELIST"}, Value: new(lines),
		Usage: "give permissions to peers at `GRANT`, [PERMISSION,…@]ADDRESS or addr/bits: noban, relay, forcerelay, mempool, download, addr, all; in (as without it) to those that dial this node, out to those of --connect; may be repeated"},
		&cli.GenericFlag{Name: "whitebind", EnvVars: []string{"LODE_WHITEBIND"}, Value: new(lines),
			Usage: "accept peers by Bitcoin's TCP protocol on `BIND`, [PERMISSION,…@]IP:PORT, with these permissions; may be repeated"})
}

// readPeerFlags reads the flags about how peers connect.
func (n *nodeConfig) readPeerFlags(c *cli.Context) (err error) {
	ports := n.spec.Defaults.Ports
	n.connect, n.seeds, n.outbound = c.StringSlice("connect"), c.StringSlice("seed"), c.Int("outbound")
	n.origins, n.advertise = c.StringSlice("allow-origin"), c.StringSlice("advertise")
	n.strangers, n.private, n.blocksOnly, n.capture = c.Bool("loopback-is-public"), c.Bool("private-peers"), c.Bool("blocksonly"), c.Bool("capturemessages")
	switch n.listen = c.String("listen"); n.listen {
	case "":
		n.listen = fmt.Sprintf(":%d", ports.WebSocket)
	case "off":
		n.listen = ""
	}
	if n.outbound < 0 || n.outbound > p2p.MaxOutbound {
		return usageError(c.Command.HelpName, "--outbound %d: want 0 to %d", n.outbound, p2p.MaxOutbound)
	}
	n.outbound = orNone(n.outbound)
	upload := c.Int64("max-upload")
	if upload < 0 || upload > 1<<40 {
		return usageError(c.Command.HelpName, "--max-upload %d: want MiB a day, or 0 for no limit", upload)
	}
	n.maxUpload = uint64(upload) << 20
	if n.listenTCP = c.String("listen-tcp"); n.listenTCP == "off" {
		n.listenTCP = ""
	}
	if n.listenTCP != "" && ports.TCP != 0 {
		n.listenTCP = p2p.WithPort(n.listenTCP, ports.TCP)
	}
	if err := n.readDNSSeeds(c); err != nil {
		return err
	}
	for flag, urls := range map[string][]string{"--connect": n.connect, "--seed": n.seeds} {
		for _, url := range urls {
			if _, err := p2p.CheckURL(url, ports); err != nil {
				return usageError(c.Command.HelpName, "%s: %v", flag, err)
			}
		}
	}
	for _, url := range n.advertise {
		if _, err := p2p.CheckAdvertised(url, ports); err != nil {
			return usageError(c.Command.HelpName, "--advertise: %v", err)
		}
	}
	for _, url := range n.spec.Defaults.Seeds {
		if strings.HasPrefix(url, "dns:") {
			continue
		}
		if _, err := p2p.CheckURL(url, ports); err != nil {
			return fmt.Errorf("%s: field \"defaults.seeds\": %w", n.spec.Name, err)
		}
	}
	if n.proxies, err = prefixesOf(c, "trust-proxy"); err != nil {
		return err
	}
	if err := n.readPermissions(c); err != nil {
		return err
	}
	if n.maxConnections = c.Int("maxconnections"); n.maxConnections < 0 {
		return usageError(c.Command.HelpName, "--maxconnections %d: want how many peers there may be", n.maxConnections)
	}
	if n.peerTimeout = time.Duration(c.Int("peertimeout")) * time.Second; n.peerTimeout <= 0 || c.Int("peertimeout") > 1e9 {
		return usageError(c.Command.HelpName, "--peertimeout %d: peertimeout must be a positive integer, at most 1000000000", c.Int("peertimeout"))
	}
	if age := c.Int64("maxtipage"); age < 1 {
		return usageError(c.Command.HelpName, "--maxtipage %d: want seconds, at least 1", age)
	} else {
		n.maxTipAge = time.Duration(min(age, math.MaxInt64/int64(time.Second))) * time.Second
	}
	if n.banTime = time.Duration(c.Int("bantime")) * time.Second; n.banTime <= 0 || c.Int("bantime") > 1e9 {
		return usageError(c.Command.HelpName, "--bantime %d: want seconds, at least 1", c.Int("bantime"))
	}
	if err := n.readLink(c); err != nil {
		return err
	}
	n.tls, err = loadTLS(c)
	return err
}

// readLink reads --link and --dial-from.
func (n *nodeConfig) readLink(c *cli.Context) (err error) {
	if text := c.String("link"); text != "" {
		if n.link, err = link.Parse(text); err != nil {
			return usageError(c.Command.HelpName, "--link: %v", err)
		}
	}
	if text := c.String("dial-from"); text != "" {
		if n.dialFrom, err = netip.ParseAddr(text); err != nil {
			return usageError(c.Command.HelpName, "--dial-from %q: want an IP address of this machine", text)
		}
	}
	return nil
}

// overLink is a connection over the node's link.
func (n *nodeConfig) overLink(c net.Conn) net.Conn { return link.New(c, n.link) }

// readPermissions reads --noban, --whitelist and --whitebind.
func (n *nodeConfig) readPermissions(c *cli.Context) error {
	noBan, err := prefixesOf(c, "noban")
	if err != nil {
		return err
	}
	for _, net := range noBan {
		n.grants = append(n.grants, p2p.Grant{Net: net, May: p2p.MayNotBeBanned, In: true})
	}
	for _, flag := range []string{"whitelistrelay", "whitelistforcerelay"} {
		if bit := c.Int(flag); bit != 0 && bit != 1 {
			return usageError(c.Command.HelpName, "--%s %d: want 0 or 1", flag, bit)
		}
	}
	relay := c.Int("whitelistrelay") == 1 && (c.IsSet("whitelistrelay") || !c.Bool("blocksonly"))
	implicit := p2p.Implicit(relay, c.Int("whitelistforcerelay") == 1)
	for _, s := range linesOf(c, "whitelist") {
		grant, err := p2p.ParseGrant(s, implicit)
		if err != nil {
			return usageError(c.Command.HelpName, "--whitelist %s: %v", s, err)
		}
		n.grants = append(n.grants, grant)
	}
	for _, s := range linesOf(c, "whitebind") {
		address, may, err := p2p.ParseBind(s, implicit)
		if err != nil {
			return usageError(c.Command.HelpName, "--whitebind %s: %v", s, err)
		}
		if address == n.listenTCP { // one listener, for peers with these permissions
			n.listenTCP = ""
		}
		n.binds = append(n.binds, bind{address, may})
	}
	return nil
}

// linesOf are the values of a flag that may hold commas.
func linesOf(c *cli.Context, flag string) []string {
	list, _ := c.Generic(flag).(*lines)
	if list == nil {
		return nil
	}
	return *list
}

// bind is an address of --whitebind.
type bind struct {
	address string
	may     p2p.Permissions
}

// orNone is a number of peers for p2p.Config, where 0 would mean the default.
func orNone(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// prefixesOf are the networks that a flag names.
func prefixesOf(c *cli.Context, flag string) (list []netip.Prefix, err error) {
	for _, s := range c.StringSlice(flag) {
		prefix, err := parsePrefix(s)
		if err != nil {
			return nil, usageError(c.Command.HelpName, "--%s %q: want an IP address, or addr/bits", flag, s)
		}
		list = append(list, prefix)
	}
	return list, nil
}

// parsePrefix reads a network, or one address as the network that holds it alone. IPv6 may
// stand in brackets.
func parsePrefix(s string) (netip.Prefix, error) {
	if n := len(s); n > 1 && s[0] == '[' && s[n-1] == ']' {
		s = s[1 : n-1]
	}
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

// listenOver has what connects to l connect over the node's link; l may be nil.
func (n *nodeConfig) listenOver(l net.Listener) net.Listener {
	if l == nil {
		return nil
	}
	return link.Listener(l, n.link)
}

// filtersFor is what serves block filters to peers; nil for nobody.
func (n *nodeConfig) filtersFor(ledger *chain.Chain) p2p.Filters {
	if !n.peerFilters {
		return nil
	}
	return ledger
}

// newPeers prepares the network of peers.
func (n *nodeConfig) newPeers(ledger *chain.Chain, pool *mempool.Pool, ports *ports) *p2p.Node {
	binds := make([]p2p.Bind, len(ports.binds))
	for i, l := range ports.binds {
		binds[i] = p2p.Bind{Listener: n.listenOver(l), May: n.binds[i].may}
	}
	return p2p.New(p2p.Config{
		Spec: n.spec, Chain: ledger, Pool: pool, Listen: n.listenOver(ports.socket), ListenTCP: n.listenOver(ports.tcp), Binds: binds, TLS: n.tls, TrustProxies: n.proxies,
		Connect: n.connect, Seeds: n.seeds, Outbound: n.outbound, MaxInbound: orNone(n.places.inbound), MaxUpload: n.maxUpload, Advertise: n.advertise, Pruned: n.prune != chain.PruneNever,
		Dir: n.dir, AllowOrigins: n.origins, UserAgent: n.userAgent, Clock: n.clock, Log: n.log, LoopbackIsPublic: n.strangers,
		PrivatePeers: n.private, BlocksOnly: n.blocksOnly, Capture: n.capture, Filters: n.filtersFor(ledger), Grants: n.grants, PeerTimeout: n.peerTimeout, MaxTipAge: n.maxTipAge, DialFrom: n.dialFrom, Link: n.overLink,
	})
}
