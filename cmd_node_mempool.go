package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/mempool"
)

// policyFlags are the flags about unconfirmed transactions.
func policyFlags() []cli.Flag {
	return withEnv(
		&cli.IntFlag{Name: "maxmempool", Value: mempool.DefaultPolicy().MaxMemory / 1_000_000, Usage: "keep unconfirmed transactions in at most `MB` of memory; those that pay least go first"},
		&cli.DurationFlag{Name: "mempoolexpiry", Value: mempool.DefaultPolicy().Expiry, Usage: "forget a transaction that is not confirmed after `TIME`"},
		&cli.IntFlag{Name: "minrelaytxfee", Value: int(mempool.DefaultPolicy().MinRelay), Usage: "accept no transaction that pays less than `RATE`, in sat per 1,000 vB"},
		&cli.IntFlag{Name: "incrementalrelayfee", Value: int(mempool.DefaultPolicy().Increment), Usage: "have a replacement pay `RATE` more for its own size, in sat per 1,000 vB"},
		&cli.IntFlag{Name: "dustrelayfee", Value: int(mempool.DefaultPolicy().Dust), Usage: "call an output dust that costs more to spend than it holds at `RATE`, in sat per 1,000 vB"},
		&cli.IntFlag{Name: "blockmintxfee", Value: int(mempool.DefaultPolicy().BlockMin), Usage: "put nothing into a block that pays less than `RATE` with what it goes in with, in sat per 1,000 vB; 0 for anything"},
		&cli.IntFlag{Name: "limitclustercount", Value: mempool.DefaultPolicy().MaxCluster, Usage: "let at most `N` unconfirmed transactions hang together, up to 64"},
		&cli.IntFlag{Name: "limitclustersize", Value: mempool.DefaultPolicy().MaxClusterSize / 1000, Usage: "let them have at most `KVB` together, thousands of virtual bytes"},
	)
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
		{"blockmintxfee", 0, int(consensus.SatPerCoin), func(v int) { p.BlockMin = mempool.FeeRate(v) }},
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
