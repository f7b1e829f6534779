package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/rpc"
	"lode/rpc/faucet"
	"lode/rpc/walletrpc"
)

// faucetFlags are the flags of a node that gives coins away, and mines at once what comes.
func faucetFlags() []cli.Flag {
	return withEnv(
		&cli.BoolFlag{Name: "faucet", Usage: "pay whoever asks by POST /faucet on the RPC port, within limits, from a wallet of its own; for networks whose coins have no value"},
		&cli.BoolFlag{Name: "auto-mine", Usage: "mine a block at once when a transaction comes by RPC, Esplora or Electrum; for networks whose coins have no value and whose difficulty is fixed"},
	)
}

// readFaucetFlags comes after those of peers.
func (n *nodeConfig) readFaucetFlags(c *cli.Context) error {
	n.faucet, n.autoMine = c.Bool("faucet"), c.Bool("auto-mine")
	for flag, on := range map[string]bool{"--faucet": n.faucet, "--auto-mine": n.autoMine} {
		switch {
		case !on:
		case !n.spec.Defaults.Playground:
			return usageError(c.Command.HelpName, "%s is for networks whose coins have no value (defaults.playground in the chainspec), and %s is none", flag, n.spec.Name)
		case len(n.origins) > 0:
			return usageError(c.Command.HelpName, "%s and --allow-origin exclude each other: pages from elsewhere must not pay and mine", flag)
		}
	}
	if n.autoMine && n.spec.Rules.Difficulty.Algorithm != consensus.AlgorithmFixed {
		return usageError(c.Command.HelpName, "--auto-mine is for networks whose difficulty is fixed, such as regtest")
	}
	return nil
}

// faucetTries bounds the hashes for one block that is mined at once.
const faucetTries = 1 << 24

// openFaucet prepares the faucet and what mines at once, if they are wanted. close ends them.
func (n *nodeConfig) openFaucet(ctx context.Context, p *nodeParts) (close func() error, err error) {
	close = func() error { return nil }
	if n.autoMine {
		waits := func() bool { return p.pool.Stats().Count > 0 }
		p.autoMine = faucet.NewAutoMiner(waits, func(ctx context.Context) error {
			script, err := n.autoPayTo(ctx, p)
			if err != nil {
				return err
			}
			return n.mineNow(ctx, p, script, 1)
		}, n.log)
	}
	if n.faucet {
		dir := filepath.Join(n.dir, faucet.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return close, err
		}
		wallets, err := walletrpc.New(walletrpc.Config{
			Spec: n.spec, Chain: p.ledger, Pool: p.pool, Broadcast: p.peers.Broadcast, Dir: dir, WorkFactor: workFactor, Now: n.clock.Wall.Now, Log: n.log,
		})
		if err != nil {
			return close, err
		}
		close = wallets.Close
		private := rpc.Config{ // which nobody else can reach
			Spec: n.spec, Chain: p.ledger, Pool: p.pool, Templates: p.templates, Network: p.peers, Clock: n.clock, Dir: dir, Wallets: wallets, Log: n.log,
		}
		if p.autoMine != nil {
			private.Submitted = p.autoMine.Submitted
		}
		calls := rpc.New(private)
		if err := faucet.OpenWallet(ctx, calls); err != nil {
			return close, fmt.Errorf("the faucet's wallet: %w", err)
		}
		cfg := faucet.Config{Spec: n.spec, Wallet: calls, Limits: faucet.DefaultLimits(), Now: n.clock.Wall.Now, Log: n.log}
		if n.autoMine {
			cfg.Mine = func(ctx context.Context, script []byte, count int) error { return n.mineNow(ctx, p, script, count) }
		}
		p.faucet = faucet.New(cfg)
	}
	return close, nil
}

// autoPayTo is where blocks pay to that are mined at once: --mine, the faucet, or an output
// that nobody can spend.
func (n *nodeConfig) autoPayTo(ctx context.Context, p *nodeParts) ([]byte, error) {
	switch {
	case n.payTo != nil:
		return n.payTo, nil
	case p.faucet == nil:
		return consensus.TaprootScript(consensus.Unspendable()), nil
	}
	address, err := p.faucet.Address(ctx)
	if err != nil {
		return nil, err
	}
	key, err := consensus.ParseAddress(n.spec.Defaults.AddressPrefix, address)
	return consensus.TaprootScript(key), err
}

func (n *nodeConfig) mineNow(ctx context.Context, p *nodeParts, script []byte, count int) error {
	_, err := p.templates.Generate(ctx, script, count, uint64(count)*faucetTries)
	return err
}
