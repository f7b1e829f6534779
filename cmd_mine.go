package main

import (
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"lode/miner/kernel"
)

func mineCommand() *cli.Command {
	return &cli.Command{
		Name:  "mine",
		Usage: "mine for a pool, or measure how fast this machine mines",
		Description: "With --stratum it mines for a pool of SHA-256d, and connects again by itself.\n\n" +
			"With --benchmark it measures every kernel, the implementations of SHA-256d, that this\n" +
			"CPU can run: Go's standard library (stdlib) and Lode's own. They run in short turns, so\n" +
			"that what else the machine does falls on all alike. To mine, give an address to the\n" +
			"node: `lode node --mine ADDRESS`. It measures by itself and takes the fastest.",
		Flags: append(append(networkFlags(), mineStratumFlags()...),
			&cli.BoolFlag{Name: "benchmark", Usage: "measure, and mine nothing"},
			&cli.StringFlag{Name: "kernel", DefaultText: "all", Usage: "measure the kernel `NAME` and the standard library"},
			&cli.IntFlag{Name: "threads", DefaultText: "one per core", Usage: "measure on `N` threads"},
			&cli.Float64Flag{Name: "seconds", Value: 3, Usage: "measure each kernel for `S` seconds"},
			jsonFlag(),
		),
		Action: func(c *cli.Context) error {
			if _, err := networkOf(c); err != nil { // it does not matter here, but a wrong one is an error
				return err
			}
			if c.String("stratum") != "" && !c.Bool("benchmark") {
				return runStratum(c)
			}
			if !c.Bool("benchmark") {
				return usageError(c.Command.HelpName, "give --stratum or --benchmark; to mine, use `lode node --mine ADDRESS`")
			}
			return runBenchmark(c)
		},
	}
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
	rates, err := kernel.Measure(c.Context, kernels, threads, time.Duration(seconds*float64(time.Second)))
	if err != nil {
		return err
	}

	type result struct {
		Kernel          string  `json:"kernel"`
		HashesPerSecond float64 `json:"hashes_per_second"` // of all threads
		PerThread       float64 `json:"hashes_per_second_per_thread"`
		Ratio           float64 `json:"ratio_to_stdlib"`
	}
	var fastest result
	results := make([]result, len(rates))
	for i, r := range rates {
		hs := math.Round(r.HashesPerSecond)
		results[i] = result{r.Kernel.Name, hs, math.Round(hs / float64(threads)), hs / math.Round(rates[0].HashesPerSecond)}
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
	fmt.Fprintf(w, "kernel\tMH/s per thread\tMH/s on %d\tx stdlib\t\n", threads)
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t\n", r.Kernel, r.PerThread/1e6, r.HashesPerSecond/1e6, r.Ratio)
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
