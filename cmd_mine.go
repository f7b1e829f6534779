package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/miner"
	"lode/miner/kernel"
	"lode/rpc/client"
)

func mineCommand() *cli.Command {
	return &cli.Command{
		Name:      "mine",
		ArgsUsage: "[N]",
		Usage:     "mine for a node that runs elsewhere or for a pool, or measure how fast this machine mines",
		Description: "With --address it mines for the node at --rpc, which may be Bitcoin Core's on regtest: it\n" +
			"asks for work (getblocktemplate), waits for news by long polling, and comes back by\n" +
			"itself when the node was away or has no work yet. A node mines by itself with\n" +
			"`lode node --mine ADDRESS`.\n\n" +
			"With --stratum it mines for a pool of SHA-256d, and connects again by itself.\n\n" +
			"With --now it has the node at --rpc mine N blocks at once, one without N, on networks whose\n" +
			"coins have no value. They pay to --address, or else nobody.\n\n" +
			"With --benchmark it measures every kernel, the implementations of SHA-256d, that this\n" +
			"CPU can run: Go's standard library (stdlib) and Lode's own. They run in short turns, so\n" +
			"that what else the machine does falls on all alike. A hash is one try: a nonce with one\n" +
			"version of the header. Where a kernel can, it tries each nonce with several versions, which\n" +
			"share a part of the work (version rolling, BIP320). Without --kernel a miner measures by\n" +
			"itself and takes the fastest.",
		Flags: slices.Concat(networkFlags(), rpcFlags(), mineStratumFlags(), []cli.Flag{
			&cli.StringFlag{Name: "address", Usage: "mine for a node, and be paid at `ADDRESS`"},
			&cli.BoolFlag{Name: "now", Usage: "have the node mine N blocks at once"},
			&cli.BoolFlag{Name: "benchmark", Usage: "measure, and mine nothing"},
			&cli.StringFlag{Name: "kernel", DefaultText: "the fastest; with --benchmark all", Usage: "mine with the kernel `NAME`, or measure it and the standard library"},
			&cli.BoolFlag{Name: "one-version", Usage: "with --benchmark: try each nonce with one version, as for a pool that allows no version rolling"},
			&cli.IntFlag{Name: "threads", DefaultText: "one per core", Usage: "use `N` threads"},
			paceFlag(),
			&cli.Float64Flag{Name: "seconds", Value: 3, Usage: "measure each kernel for `S` seconds"},
			jsonFlag(),
		}),
		Action: func(c *cli.Context) error {
			n, err := networkOf(c)
			if err != nil {
				return err
			}
			if c.Bool("now") {
				return mineNow(c, n)
			}
			if c.Args().Len() > 0 {
				return usageError(c.Command.HelpName, "unexpected argument %q: a number of blocks is for --now", c.Args().First())
			}
			if c.Bool("benchmark") {
				return runBenchmark(c)
			}
			return runMiner(c, n)
		},
	}
}

// paceFlag is the flag of every command that mines.
func paceFlag() cli.Flag {
	return withEnv(&cli.DurationFlag{Name: "mine-pace", DefaultText: "1s where the difficulty is fixed, else none", Usage: "wait at least `TIME` between two mined blocks",
		Action: func(c *cli.Context, d time.Duration) error {
			if d < 0 {
				return usageError(c.Command.HelpName, "--mine-pace %v: want 0 or more", d)
			}
			return nil
		}})[0]
}

// paceOf is what paceFlag asks for.
func paceOf(c *cli.Context, spec *consensus.Spec) time.Duration {
	if !c.IsSet("mine-pace") && spec.Rules.Difficulty.Algorithm == consensus.AlgorithmFixed {
		return time.Second
	}
	return c.Duration("mine-pace")
}

// runMiner mines until it is told to end.
func runMiner(c *cli.Context, n *network) error {
	threads, err := threadsOf(c)
	if err != nil {
		return err
	}
	var fixed *kernel.Kernel
	if name := c.String("kernel"); name != "" {
		if fixed, err = kernel.ByName(name); err != nil {
			return usageError(c.Command.HelpName, "--kernel: %v", err)
		}
	}
	screen := newScreen(c.App.Writer)
	defer screen.close()
	lines := newLogWriter(screen)
	defer lines.close()
	surviveBrokenPipe()
	log := slog.New(slog.NewTextHandler(lines, nil))
	source, err := workSource(c, n, log)
	if err != nil {
		return err
	}
	workers := miner.NewWorkers(threads, fixed)
	m := miner.New(source, workers, log)
	if screen.terminal {
		m.Show(func(s miner.Stats) {
			screen.status(fmt.Sprintf("%.2f MH/s, threads %d, accepted %d, rejected %d, stale %d", s.HashRate/1e6, workers.Threads(), s.Accepted, s.Rejected, s.Stale))
		})
	}
	if err := m.Run(c.Context); err != nil {
		return err
	}
	s := m.Stats()
	log.Info("mining ends", "accepted", s.Accepted, "rejected", s.Rejected, "stale", s.Stale)
	return nil
}

// workSource is where work comes from, by the flags.
func workSource(c *cli.Context, n *network, log *slog.Logger) (miner.Source, error) {
	switch {
	case c.String("stratum") != "" && c.String("address") != "":
		return nil, usageError(c.Command.HelpName, "--stratum is for a pool and --address for a node: choose one")
	case c.String("stratum") != "":
		return stratumSource(c, log)
	case c.IsSet("user") || c.IsSet("password"):
		return nil, usageError(c.Command.HelpName, "--user and --password are for a pool: give --stratum too")
	case c.String("address") != "":
		return nodeSource(c, n, log)
	case c.String("rpc") != "":
		return nil, usageError(c.Command.HelpName, "--rpc wants --address, where the blocks pay to")
	}
	return nil, usageError(c.Command.HelpName, "say what to do: --address to mine for a node, --stratum to mine for a pool, or --benchmark")
}

// nodeSource is a node as the source of work.
func nodeSource(c *cli.Context, n *network, log *slog.Logger) (miner.Source, error) {
	key, err := consensus.ParseAddress(n.spec.Defaults.AddressPrefix, c.String("address"))
	if err != nil {
		return nil, usageError(c.Command.HelpName, "--address: %v", err)
	}
	first, err := n.client(c)
	if err != nil {
		return nil, err
	}
	if first.InURL() {
		log.Warn("everybody on this machine can read the password in --rpc: give --rpc-user and --rpc-password-file or $" + passwordVariable)
	}
	log.Info("mining for a node", "node", first.URL(), "address", c.String("address"))
	return &explained{n, first, miner.NewRemote(miner.RemoteConfig{
		Dial:    func() (*client.Client, error) { return n.client(c) }, // with the cookie of the node that runs now
		Explain: func(err error) error { return n.explain(first, err) },
		PayTo:   consensus.TaprootScript(key), Pace: paceOf(c, n.spec), Log: log,
	})}, nil
}

// explained is a source that says what to do about its errors.
type explained struct {
	net    *network
	client *client.Client
	*miner.Remote
}

// Run is that of the source.
func (e *explained) Run(ctx context.Context, work func(*miner.Job)) error {
	return e.net.explain(e.client, e.Remote.Run(ctx, work))
}

func runBenchmark(c *cli.Context) error {
	command, seconds, kernels := c.Command.HelpName, c.Float64("seconds"), kernel.Available()
	if math.IsNaN(seconds) || seconds < 0.01 || seconds > 3600 {
		return usageError(command, "--seconds %v: want 0.01 to 3600", seconds)
	}
	threads, err := threadsOf(c)
	if err != nil {
		return err
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	if name := c.String("kernel"); name != "" {
		k, err := kernel.ByName(name)
		if err != nil {
			return usageError(command, "--kernel: %v", err)
		}
		if kernels = kernels[:1]; k != kernels[0] {
			kernels = append(kernels[:1:1], k)
		}
	}
	roll := uint32(kernel.VersionBits)
	if c.Bool("one-version") {
		roll = 0
	}
	rates, err := kernel.Measure(c.Context, kernels, roll, threads, time.Duration(seconds*float64(time.Second)))
	if err != nil {
		return err
	}

	type result struct {
		Kernel          string  `json:"kernel"`
		HashesPerSecond float64 `json:"hashes_per_second"` // of all threads
		PerThread       float64 `json:"hashes_per_second_per_thread"`
		Ratio           float64 `json:"ratio_to_stdlib"`
		Versions        uint32  `json:"versions"` // of the header, tried with each nonce
	}
	var fastest result
	results := make([]result, len(rates))
	for i, r := range rates {
		hs := math.Round(r.HashesPerSecond)
		results[i] = result{r.Kernel.Name, hs, math.Round(hs / float64(threads)), hs / math.Round(rates[0].HashesPerSecond), r.Versions}
		if i == 0 || hs > fastest.HashesPerSecond {
			fastest = results[i]
		}
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(struct {
			result
			Threads int      `json:"threads"`
			Seconds float64  `json:"seconds"`
			Kernels []result `json:"kernels"`
		}{fastest, threads, seconds, results})
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "kernel\tversions\tMH/s per thread\tMH/s on %d\tx stdlib\t\n", threads)
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.2f\t%.2f\t\n", r.Kernel, r.Versions, r.PerThread/1e6, r.HashesPerSecond/1e6, r.Ratio)
	}
	return w.Flush()
}

// threadsOf is how many threads the flag of that name asks for, 0 for one per
// core.
func threadsOf(c *cli.Context) (int, error) {
	n := c.Int("threads")
	if n < 0 || n > 1024 {
		return 0, usageError(c.Command.HelpName, "--threads %d: want 1 to 1024, or 0 for one per core", n)
	}
	return n, nil
}
