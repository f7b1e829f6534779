package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"lode/p2p/link"
	testnet "lode/testnet/network"
)

// testnetSettings are the flags about what a network is like.
func testnetSettings() []cli.Flag {
	return testnetFlags(
		&cli.IntFlag{Name: "block-time", DefaultText: fmt.Sprint(testnet.DefaultBlockTime), Usage: "have a block every `SECONDS`, on average"},
		&cli.StringFlag{Name: "latency", Usage: "delay what a node sends by `MS` milliseconds"},
		&cli.StringFlag{Name: "jitter", Usage: "and by up to `MS` more"},
		&cli.StringFlag{Name: "loss", Usage: "lose `PERCENT` of the packets, which come when they were sent again"},
		&cli.StringFlag{Name: "rate", Usage: "send `MBIT` megabits a second at most, to each peer"},
		&cli.Uint64Flag{Name: "hashrate", DefaultText: fmt.Sprint(testnet.DefaultRate), Usage: "have each node try `N` hashes a second"},
		&cli.StringFlag{Name: "spec", Usage: "follow the chainspec in `FILE`, instead of one made for the network"},
		&cli.StringFlag{Name: "file", Usage: "read nodes, block time, link and hash rates from `FILE` (YAML)"},
		&cli.IntFlag{Name: "port", EnvVars: []string{"LODE_TESTNET_PORT"}, DefaultText: "some that are free", Usage: "use `PORT` and those behind it, two for each node"},
	)
}

func testnetUpCommands() []*cli.Command {
	return []*cli.Command{
		{Name: "up", Usage: "make a network of N nodes (3), or start one that is there", ArgsUsage: "[N]", Flags: testnetSettings(), Action: testnetUp},
		{Name: "run", Usage: "up, then a payment from one wallet to another; runs until Ctrl-C, which stops the nodes", ArgsUsage: "[N]", Flags: testnetSettings(), Action: testnetRun},
		{Name: "check", Usage: "up, then a payment from one wallet to another, then down", ArgsUsage: "[N]", Flags: testnetSettings(), Action: testnetCheck},
		{Name: "down", Usage: "stop all nodes; their data stays", Flags: testnetFlags(
			&cli.BoolFlag{Name: "wipe", Usage: "remove the network, with its chains, wallets and snapshots"}), Action: testnetDown},
	}
}

// settingsOf reads what a network is to be like.
func settingsOf(c *cli.Context) (s testnet.Settings, err error) {
	if file := c.String("file"); file != "" {
		if s, err = testnet.ReadSettings(file); err != nil {
			return s, usageError(c.Command.HelpName, "--file: %v", err)
		}
	}
	s.Name = c.String("name")
	if c.IsSet("block-time") {
		s.BlockTime = c.Int("block-time")
		if s.BlockTime < 1 {
			return s, usageError(c.Command.HelpName, "--block-time %d: want 1 or more", s.BlockTime)
		}
	}
	if c.IsSet("hashrate") {
		s.Rate, s.Rates = c.Uint64("hashrate"), nil
	}
	if c.IsSet("spec") {
		if s.Spec, err = filepath.Abs(c.String("spec")); err != nil {
			return s, err
		}
	}
	s.Port = c.Int("port")
	if text := c.Args().First(); text != "" {
		if s.Nodes, err = nodeArg(c, text); err == nil && s.Nodes < 1 {
			err = usageError(c.Command.HelpName, "%d nodes: want 1 to %d", s.Nodes, testnet.MaxNodes)
		}
		if err != nil {
			return s, err
		}
	}
	for _, flag := range []string{"latency", "jitter", "loss", "rate"} {
		text := c.String(flag)
		if text == "" {
			continue
		}
		part, err := link.Parse(flag + "=" + text)
		if err != nil {
			return s, usageError(c.Command.HelpName, "--%s: %v", flag, err)
		}
		switch flag {
		case "latency":
			s.Link.Latency = part.Latency
		case "jitter":
			s.Link.Jitter = part.Jitter
		case "loss":
			s.Link.Loss = part.Loss
		case "rate":
			s.Link.Rate = part.Rate
		}
	}
	return s, nil
}

// bringUp makes and starts the network that a command names. It is open afterwards.
func bringUp(c *cli.Context) (*testnet.Network, error) {
	s, err := settingsOf(c)
	if err != nil {
		return nil, err
	}
	o, err := testnetOptions(c)
	if err != nil {
		return nil, err
	}
	began, started := time.Now(), 0
	o.Ready = func(*testnet.Node, time.Duration) { started++ }
	n, err := testnet.Up(c.Context, o, s)
	if err != nil {
		return nil, asUsage(c, err)
	}
	n.Say("%d nodes run (%d started in %.1f s) in %s.", len(n.Running()), started, time.Since(began).Seconds(), n.Dir)
	return n, nil
}

func testnetUp(c *cli.Context) error {
	n, err := bringUp(c)
	if err != nil {
		return err
	}
	defer n.Close()
	return testnet.WriteStatus(c.App.Writer, n.Status(c.Context))
}

func testnetDown(c *cli.Context) error {
	return onTestnet(func(c *cli.Context, n *testnet.Network) error {
		running := len(n.Running())
		if err := n.Down(c.Bool("wipe")); err != nil {
			return err
		}
		if c.Bool("wipe") {
			n.Say("%d nodes stopped; %s is removed.", running, n.Dir)
		} else {
			n.Say("%d nodes stopped; their data is in %s.", running, n.Dir)
		}
		return nil
	})(c)
}

// demonstrate pays, and shows that the payment is confirmed everywhere.
func demonstrate(c *cli.Context, n *testnet.Network) error {
	p, err := n.Demonstrate(c.Context, "1.5")
	if err != nil {
		return err
	}
	n.Say("Confirmed on all nodes after %.1f s. They have one tip and one UTXO set:", p.Took.Seconds())
	if err := testnet.WriteStatus(c.App.Writer, p.Nodes); err != nil {
		return err
	}
	for i := range n.Nodes[:min(2, len(n.Nodes))] {
		balance, err := n.Balance(c.Context, i+1)
		if err != nil {
			return err
		}
		n.Say("The wallet of node %d has %s coins.", i+1, balance)
	}
	return nil
}

// testnetCheck leaves nothing running, whatever happens.
func testnetCheck(c *cli.Context) (err error) {
	surviveBrokenPipe()
	n, err := bringUp(c)
	if err != nil {
		return err
	}
	defer n.Close()
	defer func() {
		if down := n.Down(false); err == nil {
			err = down
		}
	}()
	return demonstrate(c, n)
}

// testnetRun runs a network until it is told to stop, by a signal or by the terminal
// being closed, and stops the nodes then.
func testnetRun(c *cli.Context) (err error) {
	surviveBrokenPipe()
	n, err := bringUp(c)
	if err != nil {
		return err
	}
	o := n.Options
	stop := func() error {
		n, err := testnet.Open(context.Background(), o)
		if err != nil {
			return err
		}
		defer n.Close()
		n.Say("\nStopping the nodes.")
		if err := n.Down(false); err != nil {
			return err
		}
		n.Say("Stopped. The data is in %s.", n.Dir)
		return nil
	}
	err = demonstrate(c, n)
	n.Close()
	if err != nil {
		if stopped := stop(); stopped != nil || c.Context.Err() != nil {
			return stopped
		}
		return err
	}
	explainTestnet(c, n)
	if gone := waitForEnd(c.Context, o); gone {
		n.Say("The nodes were stopped by another command.")
		return nil
	}
	return stop()
}

// waitForEnd waits until ctx ends, or until no node runs any more.
func waitForEnd(ctx context.Context, o testnet.Options) (gone bool) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			if n, err := testnet.Look(o); err != nil || len(n.Running()) == 0 {
				return true
			}
		}
	}
}

// explainTestnet says what is where, and what to try.
func explainTestnet(c *cli.Context, n *testnet.Network) {
	n.Say("\nWhat is where:")
	for _, node := range n.Nodes[:min(5, len(n.Nodes))] {
		n.Say("  node %d   peers %s   RPC and explorer http://127.0.0.1:%d   log %s", node.Index, node.URL(), node.RPC, n.LogFile(node))
	}
	flags := ""
	for _, name := range []string{"networks", "name"} {
		if c.IsSet(name) {
			flags += fmt.Sprintf(" --%s %s", name, c.String(name))
		}
	}
	n.Say("\nTry, from another terminal:")
	for _, words := range []string{"status --watch", "send 1 2 0.25", "partition 1 2,3", "heal", "reorg --depth 2", "double-spend --amount 1"} {
		n.Say("  %s testnet%s %s", n.Program, flags, words)
	}
	n.Say("\nThe network runs until Ctrl-C.")
}
