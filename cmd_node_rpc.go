package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"lode/rpc"
)

// rpcServerFlags are the flags of a node about who may call it.
func rpcServerFlags() []cli.Flag {
	return withEnv(
		&cli.StringFlag{Name: "rpc-listen", DefaultText: "loopback, the network's port", Usage: "answer RPC calls on `HOST:PORT`"},
		&cli.BoolFlag{Name: "open-metrics", Usage: "let other machines read /metrics on the RPC port too, without a password"},
		&cli.StringSliceFlag{Name: "rpc-allow-host", Usage: "answer RPC calls made to the host `NAME` too; may be repeated"},
	)
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

// readRPCFlags reads the flags about who may call the node.
func (n *nodeConfig) readRPCFlags(c *cli.Context) error {
	n.rpcListen, n.allowHosts, n.openMetrics = c.String("rpc-listen"), c.StringSlice("rpc-allow-host"), c.Bool("open-metrics")
	if n.rpcListen == "" {
		n.rpcListen = fmt.Sprintf("127.0.0.1:%d", n.spec.Defaults.Ports.RPC)
	}
	var err error
	n.users, n.whitelist, err = rpcUsers(c)
	return err
}

// rpcConfig is what the RPC server serves. stop ends the node.
func (n *nodeConfig) rpcConfig(p *nodeParts, password string, stop func()) rpc.Config {
	cfg := rpc.Config{
		Spec: n.spec, Chain: p.ledger, Pool: p.pool, Templates: p.templates, Network: p.peers, Clock: n.clock,
		Version: version, UserAgent: n.userAgent, Stop: stop, Log: n.log,
		Dir: n.dir, User: rpc.CookieUser, Password: password, Users: n.users, Whitelist: n.whitelist, AllowHosts: n.allowHosts, OpenMetrics: n.openMetrics, MaxConnections: n.places.rpc,
		LogFile: n.logPath, Logging: n.logLevels,
	}
	if p.mining != nil {
		cfg.Mining = p.mining
	}
	if p.wallets != nil {
		cfg.Wallets = p.wallets
	}
	if p.miners != nil {
		cfg.Miners = p.miners
	}
	return cfg
}
