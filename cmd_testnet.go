package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	testnet "lode/testnet/network"
)

func testnetCommand() *cli.Command {
	return &cli.Command{
		Name:  "testnet",
		Usage: "run a network of real nodes on this machine, cut it, reorganize it, attack it",
		Description: "Each node is a process of its own that mines with real proof of work, gossips over WebSocket\n" +
			"on loopback, and holds a wallet. Everything of a network is in one directory. `lode testnet up`\n" +
			"makes and starts one; the nodes go on until `lode testnet down`. Nodes are named by number.",
		Subcommands: slices.Concat(testnetUpCommands(), testnetNodeCommands(), testnetPlayCommands(), []*cli.Command{testnetPageCommand()}),
	}
}

// testnetFlags are the flags of every command on a network.
func testnetFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "name", Value: "local", EnvVars: []string{"LODE_TESTNET"}, Usage: "use the network called `NAME`"},
		&cli.StringFlag{Name: "networks", DefaultText: "~/.lode/testnets", EnvVars: []string{"LODE_TESTNETS"}, Usage: "`DIRECTORY` of all networks; each has its own inside"},
	}, more...)
}

var testnetName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)

// testnetOptions say where the network is that a command is about.
func testnetOptions(c *cli.Context) (o testnet.Options, err error) {
	name, dir := c.String("name"), c.String("networks")
	if !testnetName.MatchString(name) {
		return o, usageError(c.Command.HelpName, "--name %q: want letters, digits, _ and -, 32 at most", name)
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return o, fmt.Errorf("where to keep networks: %w; give --networks", err)
		}
		dir = filepath.Join(home, ".lode", "testnets")
	}
	if o.Dir, err = filepath.Abs(filepath.Join(dir, name)); err != nil {
		return o, err
	}
	o.Program, err = os.Executable()
	o.Say = func(format string, args ...any) { fmt.Fprintf(c.App.Writer, format+"\n", args...) }
	return o, err
}

// onTestnet has a command change a network.
func onTestnet(f func(c *cli.Context, n *testnet.Network) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		o, err := testnetOptions(c)
		if err != nil {
			return err
		}
		n, err := testnet.Open(c.Context, o)
		if err != nil {
			return err
		}
		defer n.Close()
		return asUsage(c, f(c, n))
	}
}

// atTestnet has a command look at a network, or call its nodes.
func atTestnet(f func(c *cli.Context, n *testnet.Network) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		o, err := testnetOptions(c)
		if err != nil {
			return err
		}
		n, err := testnet.Look(o)
		if err != nil {
			return err
		}
		return asUsage(c, f(c, n))
	}
}

// asUsage makes wrong usage of what a network says cannot be done.
func asUsage(c *cli.Context, err error) error {
	if errors.Is(err, testnet.ErrUsage) || errors.Is(err, testnet.ErrNode) {
		text := strings.TrimPrefix(err.Error(), testnet.ErrUsage.Error()+": ")
		return usageError(c.Command.HelpName, "%s", text)
	}
	return err
}

// nodeArg reads the number of a node.
func nodeArg(c *cli.Context, text string) (int, error) {
	i, err := strconv.Atoi(text)
	if err != nil {
		return 0, usageError(c.Command.HelpName, "%q is no number of a node", text)
	}
	return i, nil
}

// nodeArgs reads the numbers of nodes.
func nodeArgs(c *cli.Context) (list []int, err error) {
	for _, text := range c.Args().Slice() {
		for part := range strings.SplitSeq(text, ",") {
			i, err := nodeArg(c, part)
			if err != nil {
				return nil, err
			}
			list = append(list, i)
		}
	}
	return list, nil
}
