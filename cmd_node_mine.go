package main

import (
	"math"

	"github.com/urfave/cli/v2"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
	"lode/miner"
	"lode/miner/kernel"
	"lode/p2p"
)

// nodeMineFlags are the flags about mining inside a node.
func nodeMineFlags() []cli.Flag {
	return withEnv(
		&cli.StringFlag{Name: "mine", Usage: "mine, and be paid at `ADDRESS`"},
		&cli.IntFlag{Name: "threads", DefaultText: "one per core", Usage: "mine on `N` threads"},
		&cli.StringFlag{Name: "kernel", DefaultText: "the fastest, measured when mining begins", Usage: "mine with the kernel `NAME`; `lode mine --benchmark` lists them"},
		paceFlag(),
		&cli.IntFlag{Name: "blockmaxweight", DefaultText: "what the rules allow", Usage: "make blocks of at most `N` weight units, all included"},
		&cli.IntFlag{Name: "blockreservedweight", Value: miner.DefaultReserved, Usage: "keep `N` of them free for the header and the coinbase"},
		&cli.IntFlag{Name: "blockversion", DefaultText: "what the rules ask for", Usage: "make blocks of version `N`, on networks for tests"},
		&cli.Uint64Flag{Name: "mine-rate", DefaultText: "no limit", Usage: "try at most `N` hashes a second on all threads together"},
		&cli.BoolFlag{Name: "mine-paused", Hidden: true, Usage: "do not begin to mine before the call setgenerate"},
	)
}

// readMineFlags reads the flags about mining.
func (n *nodeConfig) readMineFlags(c *cli.Context) (err error) {
	n.pace, n.mineRate, n.minePaused = paceOf(c, n.spec), c.Uint64("mine-rate"), c.Bool("mine-paused")
	if n.threads, err = threadsOf(c); err != nil {
		return err
	}
	if err = n.readBlockForm(c); err != nil {
		return err
	}
	if name := c.String("kernel"); name != "" {
		if n.kernel, err = kernel.ByName(name); err != nil {
			return usageError(c.Command.HelpName, "--kernel: %v", err)
		}
	}
	if address := c.String("mine"); address != "" {
		key, err := consensus.ParseAddress(n.spec.Defaults.AddressPrefix, address)
		if err != nil {
			return usageError(c.Command.HelpName, "--mine: %v", err)
		}
		n.payTo = consensus.TaprootScript(key)
	}
	return nil
}

// readBlockForm reads how large blocks may be that the node makes, and their version.
func (n *nodeConfig) readBlockForm(c *cli.Context) error {
	most := n.spec.Rules.MaxBlockWeight
	n.blockWeight, n.reserved = c.Int("blockmaxweight"), c.Int("blockreservedweight")
	version := c.Int("blockversion")
	n.blockVersion = int32(version)
	switch {
	case version != 0 && !n.spec.Defaults.MockClock:
		return usageError(c.Command.HelpName, "--blockversion is for networks for tests")
	case version != 0 && (version < 4 || version > math.MaxInt32):
		return usageError(c.Command.HelpName, "--blockversion %d: want 4 to %d", version, math.MaxInt32)
	case n.blockWeight < 0 || n.blockWeight > most:
		return usageError(c.Command.HelpName, "--blockmaxweight %d: want at most the %d of the rules", n.blockWeight, most)
	case n.reserved < miner.LeastReserved || n.reserved > max(most, miner.DefaultReserved):
		return usageError(c.Command.HelpName, "--blockreservedweight %d: want %d to the %d of the rules", n.reserved, miner.LeastReserved, most)
	}
	return nil
}

// newTemplates prepares what all who mine ask for blocks to mine.
func (n *nodeConfig) newTemplates(ledger *chain.Chain, pool *mempool.Pool, peers *p2p.Node) *miner.Templates {
	return miner.NewTemplates(miner.TemplatesConfig{
		Ledger: ledger, Pool: pool, Now: n.clock.Wall.Now, Log: n.log, Weight: n.blockWeight, Version: n.blockVersion, Reserved: max(n.reserved, n.pool.reservedWeight()),
		Ready: func() error {
			if peers.Syncing() || ledger.AwaitsSnapshot() {
				return miner.ErrSyncing
			}
			return nil
		},
	})
}

// newMiner prepares the node's own miner and where its work comes from; nil if it does not mine.
func (n *nodeConfig) newMiner(ledger *chain.Chain, templates *miner.Templates) (*miner.Local, *miner.Miner) {
	if n.payTo == nil {
		return nil, nil
	}
	workers := miner.NewWorkers(n.threads, n.kernel)
	workers.YieldTo(ledger.Busy)
	workers.Limit(n.mineRate)
	workers.Pause(n.minePaused)
	source := miner.NewLocal(templates, n.payTo, n.pace, n.log)
	m := miner.New(source, workers, n.log)
	m.Show(func(miner.Stats) {}) // report does it
	return source, m
}
