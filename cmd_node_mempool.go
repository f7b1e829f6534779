package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/mempool"
	"lode/mempool/linearize"
	"lode/wallet"
)

// policyFlags are the flags about unconfirmed transactions.
func policyFlags() []cli.Flag {
	return withEnv(
		&cli.IntFlag{Name: "maxmempool", Value: mempool.DefaultPolicy().MaxMemory / 1_000_000, Usage: "keep unconfirmed transactions in at most `MB` of memory; those that pay least go first"},
		&cli.IntFlag{Name: "persistmempool", Value: 1, Usage: "with 0 for `BIT`, neither load the mempool at the start nor save it at the stop"},
		&cli.BoolFlag{Name: "acceptstalefeeestimates", Usage: "go on with saved fee estimates however old they are, on networks for tests"},
		&cli.DurationFlag{Name: "mempoolexpiry", Value: mempool.DefaultPolicy().Expiry, Usage: "forget a transaction that is not confirmed after `TIME`"},
		rateFlag("minrelaytxfee", mempool.DefaultPolicy().MinRelay, "accept no transaction that pays less than `RATE`, in sat/vB"),
		rateFlag("incrementalrelayfee", mempool.DefaultPolicy().Increment, "have a replacement pay `RATE` more for its own size, in sat/vB; more than --minrelaytxfee raises that, unless it is given"),
		rateFlag("dustrelayfee", mempool.DefaultPolicy().Dust, "call an output dust that costs more to spend than it holds at `RATE`, in sat/vB"),
		rateFlag("blockmintxfee", mempool.DefaultPolicy().BlockMin, "put nothing into a block that pays less than `RATE` with what it goes in with, in sat/vB; 0 for anything"),
		&cli.IntFlag{Name: "datacarrier", Value: 1, Usage: "with 0 for `BIT`, accept no transaction with data outputs (OP_RETURN)"},
		&cli.IntFlag{Name: "datacarriersize", Value: mempool.DefaultPolicy().MaxData, Usage: "accept none whose data outputs have scripts of more than `BYTES` together"},
		&cli.IntFlag{Name: "limitclustercount", Value: mempool.DefaultPolicy().MaxCluster, Usage: "let at most `N` unconfirmed transactions hang together, up to 64"},
		&cli.IntFlag{Name: "limitclustersize", Value: mempool.DefaultPolicy().MaxClusterSize / 1000, Usage: "let them have at most `KVB` together, thousands of virtual bytes"},
	)
}

// rateFlag is a flag for a fee rate. People see sat/vB everywhere, as in the wallet;
// RPC has coins per 1,000 vB, as tools expect.
func rateFlag(name string, value mempool.FeeRate, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: wallet.FeeRate(value).String(), Usage: usage}
}

// maxRate bounds fee rates of the policy: a coin for 1,000 vB.
const maxRate = mempool.FeeRate(consensus.SatPerCoin)

// parseRate reads a fee rate in sat/vB, which may be 0.
func parseRate(s string) (mempool.FeeRate, error) {
	if rest := strings.TrimPrefix(s, "0"); rest != s && (rest == "" || len(rest) > 1 && strings.TrimRight(rest, "0") == ".") {
		return 0, nil
	}
	rate, err := wallet.ParseFeeRate(s)
	if err == nil && mempool.FeeRate(rate) > maxRate {
		err = fmt.Errorf("fee rate %q: want at most %s sat/vB", s, wallet.FeeRate(maxRate))
	}
	return mempool.FeeRate(rate), err
}

// readPoolFlags reads the flags about unconfirmed transactions.
func (n *nodeConfig) readPoolFlags(c *cli.Context) (err error) {
	n.keepPool, n.estimatesAge = c.Int("persistmempool") == 1, mempool.EstimatesMaxAge
	if c.Bool("acceptstalefeeestimates") {
		if !n.spec.Defaults.MockClock {
			return usageError(c.Command.HelpName, "--acceptstalefeeestimates is for networks for tests: old estimates cost money elsewhere")
		}
		n.estimatesAge = math.MaxInt64
	}
	n.policy, err = policyOf(c)
	return err
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
		{"limitclustercount", 1, linearize.MaxCount, func(v int) { p.MaxCluster = v }},
		{"limitclustersize", 1, 1000, func(v int) { p.MaxClusterSize = v * 1000 }},
		{"datacarriersize", 0, 1_000_000, func(v int) { p.MaxData = v }},
		{"datacarrier", 0, 1, func(v int) { p.MaxData *= v }}, // after the size
		{"persistmempool", 0, 1, func(int) {}},
	} {
		v := c.Int(f.name)
		if v < f.least || v > f.most {
			return p, usageError(c.Command.HelpName, "--%s %d: want %d to %d", f.name, v, f.least, f.most)
		}
		f.set(v)
	}
	if c.Bool("blocksonly") && !c.IsSet("maxmempool") { // there is little to keep, as in Bitcoin Core
		p.MaxMemory = 5_000_000
	}
	for _, f := range []struct {
		name string
		into *mempool.FeeRate
	}{{"minrelaytxfee", &p.MinRelay}, {"incrementalrelayfee", &p.Increment}, {"dustrelayfee", &p.Dust}, {"blockmintxfee", &p.BlockMin}} {
		var err error
		if *f.into, err = parseRate(c.String(f.name)); err != nil {
			return p, usageError(c.Command.HelpName, "--%s: %v", f.name, err)
		}
	}
	if p.Increment > p.MinRelay && !c.IsSet("minrelaytxfee") { // one setting is enough for both, as in Bitcoin Core
		p.MinRelay = p.Increment
	}
	if p.Expiry = c.Duration("mempoolexpiry"); p.Expiry < time.Hour {
		return p, usageError(c.Command.HelpName, "--mempoolexpiry %v: want at least 1h", p.Expiry)
	}
	return p, nil
}
