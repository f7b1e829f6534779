package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	testnet "lode/testnet/network"
)

func testnetPlayCommands() []*cli.Command {
	depth := &cli.IntFlag{Name: "depth", Value: 1, Usage: "undo `D` blocks"}
	return []*cli.Command{
		{Name: "send", Usage: "pay AMOUNT coins from the wallet of a node to that of another, or to an address", ArgsUsage: "FROM TO AMOUNT", Flags: testnetFlags(jsonFlag()), Action: atTestnet(testnetSend)},
		{Name: "load", Usage: "make payments between the wallets, TPS a second, until Ctrl-C", ArgsUsage: "TPS", Flags: testnetFlags(
			&cli.DurationFlag{Name: "for", Usage: "end after `TIME`, such as 30s"}), Action: atTestnet(testnetLoad)},
		{Name: "mine", Usage: "have a node (1) mine K blocks (1) at once", ArgsUsage: "[I] [K]", Flags: testnetFlags(), Action: atTestnet(testnetMine)},
		{Name: "pause", Usage: "have all nodes rest from mining", Flags: testnetFlags(), Action: onTestnet(func(c *cli.Context, n *testnet.Network) error { return n.Pause(c.Context, true) })},
		{Name: "resume", Usage: "have them go on", Flags: testnetFlags(), Action: onTestnet(func(c *cli.Context, n *testnet.Network) error { return n.Pause(c.Context, false) })},
		{Name: "partition", Usage: "cut the network into parts, such as 1,2 3,4: nodes of different parts refuse each other", ArgsUsage: "PART [PART...]",
			Description: "Nodes that no PART names are a part of their own.", Flags: testnetFlags(), Action: onTestnet(testnetPartition)},
		{Name: "heal", Usage: "make one network of all parts, and wait until all agree", Flags: testnetFlags(), Action: onTestnet(func(c *cli.Context, n *testnet.Network) error {
			if err := n.Heal(c.Context); err != nil {
				return err
			}
			return n.Agree(c.Context)
		})},
		{Name: "reorg", Usage: "have all nodes leave the last blocks for a competing fork that was mined apart", Flags: testnetFlags(depth, jsonFlag(),
			&cli.StringSliceFlag{Name: "drop", Usage: "leave the payment `TXID` out of the fork; may be repeated"},
			&cli.StringFlag{Name: "replace", Usage: "pay the coins of the payment `TXID` elsewhere in the fork (--to)"},
			&cli.StringFlag{Name: "to", Usage: "where to: an `ADDRESS`, or the number of a node"},
			&cli.BoolFlag{Name: "keep-mempool", Usage: "leave all payments out of the fork, so that they are back in the mempools"}), Action: onTestnet(testnetReorg)},
		{Name: "churn", Usage: "reorganize the network again and again, 1 to D blocks each time, until Ctrl-C", Flags: testnetFlags(
			&cli.IntFlag{Name: "depth", Value: 3, Usage: "undo up to `D` blocks"},
			&cli.DurationFlag{Name: "every", Value: 2 * time.Minute, Usage: "wait `TIME` before each"},
			&cli.IntFlag{Name: "count", Usage: "end after `N`"}), Action: testnetChurn},
	}
}

func testnetSend(c *cli.Context, n *testnet.Network) error {
	from, err := nodeArg(c, c.Args().First())
	if err != nil {
		return err
	}
	txid, err := n.Send(c.Context, from, c.Args().Get(1), c.Args().Get(2))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(map[string]consensus.Hash{"txid": txid})
	}
	n.Say("%s", txid)
	return nil
}

func testnetLoad(c *cli.Context, n *testnet.Network) error {
	rate, err := strconv.ParseFloat(c.Args().First(), 64)
	if err != nil {
		return usageError(c.Command.HelpName, "%q: want how many payments a second", c.Args().First())
	}
	ctx := c.Context
	if d := c.Duration("for"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	return n.Load(ctx, rate, func(l testnet.Load) {
		failed := ""
		if l.Err != nil {
			failed = fmt.Sprintf(", last failure: %v", l.Err)
		}
		n.Say("%d payments, %d times no coin was free%s", l.Sent, l.Waiting, failed)
	})
}

func testnetMine(c *cli.Context, n *testnet.Network) (err error) {
	index, count := 1, 1
	if c.Args().Len() > 0 {
		if index, err = nodeArg(c, c.Args().First()); err != nil {
			return err
		}
	}
	if c.Args().Len() > 1 {
		if count, err = strconv.Atoi(c.Args().Get(1)); err != nil {
			return usageError(c.Command.HelpName, "%q is no number of blocks", c.Args().Get(1))
		}
	}
	hashes, err := n.Mine(c.Context, index, count)
	for _, h := range hashes {
		n.Say("%s", h)
	}
	return err
}

func testnetPartition(c *cli.Context, n *testnet.Network) error {
	var parts [][]int
	for _, text := range c.Args().Slice() {
		var part []int
		for word := range strings.SplitSeq(text, ",") {
			i, err := nodeArg(c, word)
			if err != nil {
				return err
			}
			part = append(part, i)
		}
		parts = append(parts, part)
	}
	if err := n.Partition(c.Context, parts); err != nil {
		return err
	}
	for i, part := range n.Groups {
		n.Say("part %d: nodes %s", i+1, strings.Trim(fmt.Sprint(part), "[]"))
	}
	return nil
}

func testnetReorg(c *cli.Context, n *testnet.Network) (err error) {
	f := testnet.Fork{Depth: c.Int("depth"), To: c.String("to"), KeepMempool: c.Bool("keep-mempool")}
	for _, text := range c.StringSlice("drop") {
		id, err := consensus.ParseHash(text)
		if err != nil {
			return usageError(c.Command.HelpName, "--drop %q is no id of a transaction", text)
		}
		f.Drop = append(f.Drop, id)
	}
	if text := c.String("replace"); text != "" {
		if f.Replace, err = consensus.ParseHash(text); err != nil {
			return usageError(c.Command.HelpName, "--replace %q is no id of a transaction", text)
		}
	}
	if (f.Replace != consensus.Hash{}) != (f.To != "") {
		return usageError(c.Command.HelpName, "--replace and --to go together")
	}
	r, err := n.Reorg(c.Context, f)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(r)
	}
	sayReorg(n, r)
	return nil
}

func sayReorg(n *testnet.Network, r testnet.Reorged) {
	n.Say("All nodes left %d blocks for a fork of %d, and are at height %d: %s", r.Depth, r.Blocks, r.Height, r.To)
	n.Say("Of the payments in those blocks the fork confirms %d, and leaves out %d.", r.Kept, r.Left)
	if r.Replaced != (consensus.Hash{}) {
		n.Say("In place of the payment that was to be replaced it has %s.", r.Replaced)
	}
}

// testnetChurn takes the network anew for each reorganization, so that other commands
// have it meanwhile.
func testnetChurn(c *cli.Context) error {
	o, err := testnetOptions(c)
	if err != nil {
		return err
	}
	most, every, count := c.Int("depth"), c.Duration("every"), c.Int("count")
	if most < 1 || every <= 0 || count < 0 {
		return usageError(c.Command.HelpName, "--depth %d --every %v --count %d: want 1 or more, a time, and 0 or more", most, every, count)
	}
	for i := 0; count == 0 || i < count; i++ {
		select {
		case <-c.Context.Done():
			return nil
		case <-time.After(every):
		}
		n, err := testnet.Open(c.Context, o)
		if err != nil {
			return err
		}
		r, err := n.Churn(c.Context, most)
		if err == nil {
			sayReorg(n, r)
		}
		n.Close()
		if err != nil && c.Context.Err() == nil {
			return asUsage(c, err)
		}
	}
	return nil
}
