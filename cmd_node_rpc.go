package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/internal/atomicfile"
	"lode/rpc"
	"lode/rpc/stream"
)

// rpcServerFlags are the flags of a node about who may call it.
func rpcServerFlags() []cli.Flag {
	return withEnv(
		&cli.StringFlag{Name: "rpc-listen", DefaultText: "loopback of IPv4 and IPv6, the network's port", Usage: "answer RPC calls on `HOST:PORT`"},
		&cli.StringSliceFlag{Name: "rpc-bind", Usage: "answer RPC calls on `ADDRESS`, IP or IP:PORT, in the place of --rpc-listen, whose port counts where none is named; beyond loopback it needs --rpc-allow-ip; may be repeated"},
		&cli.StringSliceFlag{Name: "rpc-allow-ip", Usage: "answer RPC calls from `ADDRESS` (or addr/bits) and from loopback alone; may be repeated"},
		&cli.IntFlag{Name: "rpc-workqueue", DefaultText: "64, and half of the connections that wait", Usage: "answer at most `N` RPC calls at once, with those that wait for something; others are told to come again"},
		&cli.IntFlag{Name: "rpc-servertimeout", DefaultText: "10 for the head of a request, 60 for its body, 300 between two", Usage: "end an RPC connection that says nothing for `SECONDS`"},
		&cli.BoolFlag{Name: "rest", Usage: "answer Bitcoin Core's REST requests (/rest) on the RPC port, without a password, from this machine and from --rpc-allow-ip"},
		&cli.BoolFlag{Name: "open-metrics", Usage: "let other machines read /metrics on the RPC port too, without a password"},
		&cli.BoolFlag{Name: "open-page", Usage: "let other machines see the page and /events on the RPC port too, without a password; peers' addresses are left out"},
		&cli.StringSliceFlag{Name: "rpc-allow-host", Usage: "answer RPC calls made to the host `NAME` too, or with a dot before it to all names below; may be repeated"},
	)
}

// publish leaves in the network's directory what the other commands need to
// find this node and to be let in; release removes it again.
func (n *nodeConfig) publish(address net.Addr) (release func(), password string, err error) {
	cookie, where := filepath.Join(n.dir, cookieFile), filepath.Join(n.dir, rpcAddressFile)
	if password, err = rpc.WriteCookie(cookie); err != nil {
		return nil, "", err
	}
	if err := atomicfile.Write(where, []byte(address.String()+"\n")); err != nil {
		return nil, "", errors.Join(err, os.Remove(cookie))
	}
	return func() {
		if err := errors.Join(os.Remove(cookie), os.Remove(where)); err != nil {
			n.log.Warn("cannot clean up", "error", err)
		}
	}, password, nil
}

// readRPCFlags reads the flags about who may call the node.
func (n *nodeConfig) readRPCFlags(c *cli.Context) error {
	n.allowHosts, n.openMetrics, n.rest = c.StringSlice("rpc-allow-host"), c.Bool("open-metrics"), c.Bool("rest")
	if n.maxCalls, n.rpcTimeout = c.Int("rpc-workqueue"), time.Duration(c.Int("rpc-servertimeout"))*time.Second; n.maxCalls < 0 || n.rpcTimeout < 0 {
		return usageError(c.Command.HelpName, "--rpc-workqueue and --rpc-servertimeout: want 1 or more")
	}
	var err error
	if n.allowCallers, err = prefixesOf(c, "rpc-allow-ip"); err != nil {
		return err
	}
	if n.rpcPlaces, err = n.readRPCPlaces(c); err != nil {
		return err
	}
	n.openPage = c.Bool("open-page")
	n.users, n.whitelist, err = rpcUsers(c)
	return err
}

// rpcPlace is where calls are answered.
type rpcPlace struct {
	address, flag string
	spare         bool // the node does without it
}

// readRPCPlaces says where calls are answered. Without flags that is on both
// loopbacks, as localhost may mean either.
func (n *nodeConfig) readRPCPlaces(c *cli.Context) (list []rpcPlace, err error) {
	port := strconv.Itoa(int(n.spec.Defaults.Ports.RPC))
	at := c.String("rpc-listen")
	if at != "" {
		list = []rpcPlace{{address: at, flag: "--rpc-listen"}}
		if _, given, err := net.SplitHostPort(at); err == nil {
			port = given
		}
	} else {
		list = []rpcPlace{{net.JoinHostPort("127.0.0.1", port), "--rpc-listen", false}, {net.JoinHostPort("::1", port), "--rpc-listen", true}}
	}
	binds := c.StringSlice("rpc-bind")
	if len(binds) > 0 {
		list = nil
	}
	for _, s := range binds {
		at, err := bindAddress(s, port)
		if err != nil {
			return nil, usageError(c.Command.HelpName, "--rpc-bind %.80q: %v", s, err)
		}
		if !at.Addr().IsLoopback() && len(n.allowCallers) == 0 {
			return nil, usageError(c.Command.HelpName, "--rpc-bind %.80q is open to other machines: say with --rpc-allow-ip which may call", s)
		}
		list = append(list, rpcPlace{address: at.String(), flag: "--rpc-bind"})
	}
	return list, nil
}

// bindAddress reads IP or IP:PORT.
func bindAddress(s, port string) (netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return netip.AddrPort{}, errors.New("want IP:PORT, as --rpc-listen names no port")
		}
		return netip.AddrPortFrom(ip, uint16(n)), nil
	}
	at, err := netip.ParseAddrPort(s)
	if err != nil || at.Port() == 0 {
		return netip.AddrPort{}, errors.New("want IP or IP:PORT, and a port from 1 to 65535")
	}
	return at, nil
}

// rpcConfig is what the RPC server serves. stop ends the node.
func (n *nodeConfig) rpcConfig(p *nodeParts, password string, stop func()) rpc.Config {
	cfg := rpc.Config{
		Spec: n.spec, Chain: p.ledger, Pool: p.pool, Templates: p.templates, Network: p.peers, Clock: n.clock,
		Version: version, UserAgent: n.userAgent, Stop: stop, Log: n.log,
		Dir: n.dir, User: rpc.CookieUser, Password: password, Users: n.users, Whitelist: n.whitelist, AllowHosts: n.allowHosts, AllowCallers: n.allowCallers, OpenMetrics: n.openMetrics, MaxConnections: n.places.rpc, MaxCalls: n.maxCalls, Timeout: n.rpcTimeout,
		LogFile: n.logPath, Logging: n.logLevels, BanTime: n.banTime,
	}
	cfg.REST = n.rest
	if p.faucet != nil {
		cfg.Faucet = p.faucet
	}
	if p.autoMine != nil {
		cfg.Submitted = p.autoMine.Submitted
	}
	cfg.ZMQ = p.zmqNotifications()
	cfg.Esplora, cfg.OpenEsplora, cfg.AllowOrigins = p.esplora, n.openEsplora, n.origins
	if p.mining != nil {
		cfg.Mining = p.mining
	}
	if p.events != nil {
		cfg.Page, cfg.OpenPage = true, n.openPage
		cfg.Events = stream.NewServer(p.events.Log, n.spec.Name)
	}
	if p.wallets != nil {
		cfg.Wallets = p.wallets
	}
	if p.miners != nil {
		cfg.Miners = p.miners
	}
	return cfg
}
