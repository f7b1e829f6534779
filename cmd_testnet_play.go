package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/internal/pause"
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
		{Name: "double-spend", Usage: "have the halves of a cut network spend one coin, join them, and show which payment is gone", Flags: testnetFlags(amountFlag(), jsonFlag(),
			&cli.IntFlag{Name: "confirmations", Value: 1, Usage: "the payment gets `K` before it is gone"}), Action: onTestnet(testnetDoubleSpend)},
		{Name: "attack", Usage: "show an attack: 51 (a majority undoes a payment), selfish (withheld blocks), censor (miners leave a payment out)", ArgsUsage: "51|selfish|censor",
			Flags: testnetFlags(amountFlag(), jsonFlag(),
				&cli.IntFlag{Name: "confirmations", Value: 2, Usage: "51: the merchant waits for `K`"},
				&cli.Float64Flag{Name: "share", Usage: "selfish, censor: with `PART` of the hash rate", DefaultText: "0.45, 0.4"},
				&cli.IntFlag{Name: "blocks", Value: 30, Usage: "selfish: until the chain has grown by `N` blocks"}), Action: onTestnet(testnetAttack)},
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
	return n.Load(c.Context, rate, c.Duration("for"), func(l testnet.Load) {
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

func amountFlag() cli.Flag {
	return &cli.StringFlag{Name: "amount", Value: "1", Usage: "pay `COINS`"}
}

// stories has a network tell what happens on standard error where the result is JSON.
func stories(c *cli.Context, n *testnet.Network) {
	if c.Bool("json") {
		n.Say = func(format string, args ...any) { fmt.Fprintf(c.App.ErrWriter, format+"\n", args...) }
	}
}

func printJSON(c *cli.Context, v any, err error) error {
	if err != nil || !c.Bool("json") {
		return err
	}
	return json.NewEncoder(c.App.Writer).Encode(v)
}

func testnetDoubleSpend(c *cli.Context, n *testnet.Network) error {
	stories(c, n)
	d, err := n.DoubleSpend(c.Context, c.String("amount"), c.Int("confirmations"))
	return printJSON(c, d, err)
}

func testnetAttack(c *cli.Context, n *testnet.Network) error {
	stories(c, n)
	share := func(usual float64) float64 {
		if c.IsSet("share") {
			return c.Float64("share")
		}
		return usual
	}
	switch kind := c.Args().First(); kind {
	case "51":
		d, err := n.Attack51(c.Context, c.String("amount"), c.Int("confirmations"))
		return printJSON(c, d, err)
	case "selfish":
		r, err := n.Selfish(c.Context, share(0.45), c.Int("blocks"))
		return printJSON(c, r, err)
	case "censor":
		r, err := n.Censor(c.Context, c.String("amount"), share(0.4))
		return printJSON(c, r, err)
	default:
		return usageError(c.Command.HelpName, "%q is no attack: want 51, selfish or censor", kind)
	}
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
		if pause.For(c.Context, every) != nil {
			return nil
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
