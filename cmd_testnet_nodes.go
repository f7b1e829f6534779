package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	testnet "lode/testnet/network"

	"lode/internal/pause"
)

func testnetNodeCommands() []*cli.Command {
	count := &cli.IntFlag{Name: "lines", Value: 50, Usage: "begin with the last `N` lines"}
	return []*cli.Command{
		{Name: "status", Usage: "show every node: height, tip, peers, mempool, hash rate, UTXO hash", Flags: testnetFlags(jsonFlag(),
			&cli.BoolFlag{Name: "watch", Usage: "show it again every second, until Ctrl-C"}), Action: testnetStatus},
		{Name: "start", Usage: "start nodes that do not run", ArgsUsage: "I [I...]", Flags: testnetFlags(), Action: onNodes(func(c *cli.Context, n *testnet.Network, list []int) error {
			return n.Start(c.Context, list...)
		}, "runs")},
		{Name: "stop", Usage: "stop nodes cleanly", ArgsUsage: "I [I...]", Flags: testnetFlags(), Action: onNodes(func(_ *cli.Context, n *testnet.Network, list []int) error {
			return n.Stop(list...)
		}, "is stopped")},
		{Name: "kill", Usage: "end nodes at once, as a crash would", ArgsUsage: "I [I...]", Flags: testnetFlags(), Action: onNodes(func(_ *cli.Context, n *testnet.Network, list []int) error {
			return n.Kill(list...)
		}, "is killed")},
		{Name: "wipe", Usage: "remove what a node has, but for its wallet; if it runs it fetches everything anew", ArgsUsage: "I", Flags: testnetFlags(), Action: onNodes(func(c *cli.Context, n *testnet.Network, list []int) error {
			return n.Wipe(c.Context, list[0])
		}, "is wiped")},
		{Name: "add", Usage: "add a node, and start it", Flags: testnetFlags(
			&cli.Uint64Flag{Name: "hashrate", DefaultText: "that of node 1", Usage: "have it try `N` hashes a second"}), Action: onTestnet(func(c *cli.Context, n *testnet.Network) error {
			node, err := n.Add(c.Context, c.Uint64("hashrate"))
			if err == nil {
				n.Say("node %d runs: %s", node.Index, node.URL())
			}
			return err
		})},
		{Name: "logs", Usage: "show the end of the log of a node, or of all", ArgsUsage: "[I]", Flags: testnetFlags(count,
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "and what comes, until Ctrl-C"}), Action: atTestnet(testnetLogs)},
		{Name: "rpc", Usage: "call a method of a node", ArgsUsage: "I METHOD [ARG...]", Flags: testnetFlags(), Action: atTestnet(testnetRPC(""))},
		{Name: "wallet", Usage: "call a method of the wallet of a node (Bitcoin Core's wallet calls)", ArgsUsage: "I METHOD [ARG...]", Flags: testnetFlags(), Action: atTestnet(testnetRPC("/wallet/main"))},
		{Name: "clock", Usage: "have the clock of a node be ahead of the machine's, or behind it", ArgsUsage: "I SECONDS", Flags: testnetFlags(), Action: onTestnet(testnetClock)},
		{Name: "spec", Usage: "have a stopped node follow the chainspec in FILE, of the same rules with other upgrades; without FILE that of the network", ArgsUsage: "I [FILE]",
			Flags: testnetFlags(), Action: onTestnet(func(c *cli.Context, n *testnet.Network) error {
				i, err := nodeArg(c, c.Args().First())
				if err != nil {
					return err
				}
				return n.SetSpec(i, c.Args().Get(1))
			})},
		{Name: "snapshot", Usage: "copy the whole network: chains, mempools, wallets; nodes that run are stopped for a moment", ArgsUsage: "NAME", Flags: testnetFlags(), Action: onTestnet(func(c *cli.Context, n *testnet.Network) error {
			err := n.Snapshot(c.Context, c.Args().First())
			if err == nil {
				n.Say("Snapshot %s is made.", c.Args().First())
			}
			return err
		})},
		{Name: "restore", Usage: "put a network that does not run back to what it was at a snapshot", ArgsUsage: "NAME", Flags: testnetFlags(), Action: onTestnet(func(c *cli.Context, n *testnet.Network) error {
			err := n.Restore(c.Args().First())
			if err == nil {
				n.Say("Restored; `lode testnet up` starts it.")
			}
			return err
		})},
		{Name: "list", Usage: "list the snapshots of a network", Flags: testnetFlags(jsonFlag()), Action: atTestnet(testnetList)},
	}
}

// onNodes has a command change some nodes, and says what they are then.
func onNodes(f func(*cli.Context, *testnet.Network, []int) error, what string) cli.ActionFunc {
	return onTestnet(func(c *cli.Context, n *testnet.Network) error {
		list, err := nodeArgs(c)
		if err != nil {
			return err
		}
		if err := f(c, n, list); err != nil {
			return err
		}
		for _, i := range list {
			n.Say("node %d %s", i, what)
		}
		return nil
	})
}

func testnetStatus(c *cli.Context) error {
	return atTestnet(func(c *cli.Context, n *testnet.Network) error {
		for {
			list := n.Status(c.Context)
			if err := printStatus(c, n, list); err != nil || !c.Bool("watch") {
				return err
			}
			if pause.For(c.Context, time.Second) != nil {
				return nil
			}
			next, err := testnet.Look(n.Options) // others may have changed it
			if err != nil {
				return err
			}
			n = next
		}
	})(c)
}

func printStatus(c *cli.Context, n *testnet.Network, list []testnet.NodeStatus) error {
	if c.Bool("json") {
		enc := json.NewEncoder(c.App.Writer)
		if !c.Bool("watch") {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(list)
	}
	if c.Bool("watch") {
		if f, ok := c.App.Writer.(*os.File); ok && canMove(f) {
			fmt.Fprint(c.App.Writer, "\x1b[H\x1b[2J") // the top of an empty screen
		}
		fmt.Fprintf(c.App.Writer, "%s, %s\n", n.Name, time.Now().Format(time.TimeOnly))
	}
	return testnet.WriteStatus(c.App.Writer, list)
}

// namedNode is the node that the first argument names.
func namedNode(c *cli.Context, n *testnet.Network) (*testnet.Node, error) {
	i, err := nodeArg(c, c.Args().First())
	if err != nil {
		return nil, err
	}
	return n.Node(i)
}

// testnetRPC calls a node, or its wallet, as `lode rpc` does.
func testnetRPC(path string) func(*cli.Context, *testnet.Network) error {
	return func(c *cli.Context, n *testnet.Network) error {
		node, err := namedNode(c, n)
		if err != nil {
			return err
		}
		params := []any{}
		for _, arg := range c.Args().Slice()[2:] {
			params = append(params, rpcParam(arg))
		}
		call := n.Call
		if path != "" {
			call = n.CallWallet
		}
		var result json.RawMessage
		if err := call(c.Context, node, &result, c.Args().Get(1), params...); err != nil {
			return err
		}
		return printResult(c.App.Writer, result)
	}
}

func testnetClock(c *cli.Context, n *testnet.Network) error {
	i, err := nodeArg(c, c.Args().First())
	if err != nil {
		return err
	}
	ahead, err := strconv.ParseInt(strings.TrimPrefix(c.Args().Get(1), "+"), 10, 32)
	if err != nil {
		return usageError(c.Command.HelpName, "%q: want seconds, such as +30, -30 or 0", c.Args().Get(1))
	}
	if err := n.SetClock(c.Context, i, ahead); err != nil {
		return err
	}
	n.Say("The clock of node %d is %+d s from the machine's.", i, ahead)
	return nil
}

func testnetList(c *cli.Context, n *testnet.Network) error {
	list, err := n.Snapshots()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(list)
	}
	for _, s := range list {
		n.Say("%s  %s  %d nodes", s.Made.Format(time.DateTime), s.Name, s.Nodes)
	}
	return nil
}

// testnetLogs shows logs. Lines of several nodes begin with the number of theirs.
func testnetLogs(c *cli.Context, n *testnet.Network) error {
	nodes := n.Nodes
	if c.Args().Present() {
		node, err := namedNode(c, n)
		if err != nil {
			return err
		}
		nodes = []*testnet.Node{node}
	}
	tails := make([]*logTail, len(nodes))
	for i, node := range nodes {
		tails[i] = &logTail{path: n.LogFile(node)}
		if len(nodes) > 1 {
			tails[i].prefix = fmt.Sprintf("%d ", node.Index)
		}
		if err := tails[i].last(c.App.Writer, c.Int("lines")); err != nil {
			return err
		}
	}
	for c.Bool("follow") {
		if pause.For(c.Context, 200*time.Millisecond) != nil {
			return nil
		}
		for _, t := range tails {
			if err := t.more(c.App.Writer); err != nil {
				return err
			}
		}
	}
	return nil
}

// logTail is a log that is read from its end on.
type logTail struct {
	path, prefix string
	offset       int64
	rest         string // of a line that has not ended
}

// maxLogPart is how much of a log is looked at at once, in bytes.
const maxLogPart = 1 << 20

func (t *logTail) read() ([]string, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, t.offset, maxLogPart), maxLogPart))
	t.offset += int64(len(b))
	lines := strings.Split(t.rest+string(b), "\n")
	t.rest = lines[len(lines)-1]
	return lines[:len(lines)-1], err
}

func (t *logTail) last(w io.Writer, count int) error {
	info, err := os.Stat(t.path)
	if err != nil {
		return err
	}
	t.offset = max(0, info.Size()-maxLogPart)
	lines, err := t.read()
	if err != nil {
		return err
	}
	return t.print(w, lines[max(0, len(lines)-max(count, 0)):])
}

func (t *logTail) more(w io.Writer) error {
	lines, err := t.read()
	if err != nil {
		return err
	}
	return t.print(w, lines)
}

func (t *logTail) print(w io.Writer, lines []string) error {
	for line := range slices.Values(lines) {
		if _, err := fmt.Fprintln(w, t.prefix+line); err != nil {
			return err
		}
	}
	return nil
}
