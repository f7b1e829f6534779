package main

import (
	"github.com/urfave/cli/v2"

	"lode/rpc/walletrpc"
)

// walletRPCFlags are the flags of a node about wallets that it serves.
func walletRPCFlags() []cli.Flag {
	return withEnv(
		&cli.BoolFlag{Name: "wallet-rpc", Usage: "hold wallets and answer Bitcoin Core's wallet calls: whoever may call this node can spend from those that are unlocked"},
		&cli.StringFlag{Name: "walletnotify", Usage: "run `COMMAND` in a shell for each transaction of a wallet that came or changed: %s is its id, %w the wallet, %b the block, %h its height"},
	)
}

// readWalletFlags reads them.
func (n *nodeConfig) readWalletFlags(c *cli.Context) error {
	n.walletRPC, n.walletNotify = c.Bool("wallet-rpc"), c.String("walletnotify")
	return nil
}

// newWallets prepares the wallets of a node, or gives nil if it serves none.
func (n *nodeConfig) newWallets(p *nodeParts) (*walletrpc.Manager, error) {
	if !n.walletRPC {
		if n.walletNotify != "" {
			n.log.Warn("--walletnotify does nothing without --wallet-rpc: there are no wallets")
		}
		return nil, nil
	}
	hideMemory()
	return walletrpc.New(walletrpc.Config{
		Spec: n.spec, Chain: p.ledger, Pool: p.pool, Broadcast: p.peers.Broadcast, Dir: n.dir,
		WorkFactor: workFactor, Now: n.clock.Wall.Now, Notify: n.walletNotify, Log: n.log,
	})
}
