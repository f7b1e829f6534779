package main

import (
	"fmt"
	"log/slog"
	"math"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/consensus"
	"lode/miner"
	"lode/miner/stratum"
)

// stratumFlags are the flags of a node about the pool that it serves.
func stratumFlags() []cli.Flag {
	return append(withEnv(
		&cli.StringFlag{Name: "stratum", DefaultText: "off", Usage: "serve miners by Stratum on `HOST:PORT`: a pool that pays them in proportion to their work (PPLNS)"},
		&cli.IntFlag{Name: "pool-window", Value: 2, Usage: "have a block of the pool pay the work of the last `N` blocks, as many as it takes on average"},
	), &cli.Float64Flag{Name: "pool-shares", Value: 20, EnvVars: []string{"LODE_POOL_SHARES"}, Usage: "choose difficulties so that each miner hands in `N` shares a minute"})
}

// poolConfig is what these flags come to.
type poolConfig struct {
	listen string // empty for none
	window int
	shares float64
}

func poolConfigOf(c *cli.Context) (p poolConfig, err error) {
	p = poolConfig{c.String("stratum"), c.Int("pool-window"), c.Float64("pool-shares")}
	if p.listen == "off" {
		p.listen = ""
	}
	if p.window < 1 || p.window > 1000 {
		return p, usageError(c.Command.HelpName, "--pool-window %d: want 1 to 1000", p.window)
	}
	if math.IsNaN(p.shares) || p.shares < 1 || p.shares > 600 {
		return p, usageError(c.Command.HelpName, "--pool-shares %v: want 1 to 600", p.shares)
	}
	return p, nil
}

// reservedWeight is what a block keeps free at least for its coinbase, which pays many.
func (p *poolConfig) reservedWeight() int {
	if p.listen == "" {
		return 0
	}
	return stratum.ReservedWeight
}

// newPool prepares the pool; nil if there is none.
func (n *nodeConfig) newPool(ledger *chain.Chain, templates *miner.Templates) (*stratum.Server, error) {
	if n.pool.listen == "" || n.places.pool == 0 {
		return nil, nil
	}
	s, err := stratum.NewServer(stratum.Config{
		Spec: n.spec, Ledger: ledger, Templates: templates, Dir: n.dir, Dust: n.policy.DustLimit(consensus.TaprootScript([32]byte{})),
		Window: n.pool.window, SharesPerMinute: n.pool.shares, MaxConnections: n.places.pool, Log: n.log,
	})
	if err != nil {
		return nil, fmt.Errorf("--stratum: %w", err)
	}
	return s, nil
}

// mineStratumFlags are the flags of `lode mine` about a pool. They do not come from
// the environment: --stratum is another thing there, of the node.
func mineStratumFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "stratum", Usage: "mine for the pool at `URL`, stratum+tcp://HOST:PORT"},
		&cli.StringFlag{Name: "user", Usage: "be `USER` there; for a pool of Lode, ADDRESS or ADDRESS.RIG"},
		&cli.StringFlag{Name: "password", Value: "x", Usage: "and have `PASSWORD`; d=X asks a pool of Lode for the difficulty X to begin with"},
	}
}

// stratumSource is the pool that the flags of `lode mine` name.
func stratumSource(c *cli.Context, log *slog.Logger) (miner.Source, error) {
	if c.String("user") == "" {
		return nil, usageError(c.Command.HelpName, "--stratum needs --user: who is paid, ADDRESS or ADDRESS.RIG")
	}
	source, err := stratum.NewClient(stratum.ClientConfig{
		URL: c.String("stratum"), User: c.String("user"), Password: c.String("password"), UserAgent: "lode/" + version, Log: log,
	})
	if err != nil {
		return nil, usageError(c.Command.HelpName, "--stratum: %v", err)
	}
	return source, nil
}
