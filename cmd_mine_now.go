package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/rpc/client"
)

// maxMinedNow is how many blocks one command mines.
const maxMinedNow = 10_000

// mineNow has a node mine blocks at once, in calls of a hundred so that each is short.
func mineNow(c *cli.Context, n *network) error {
	count := 1
	if text := c.Args().First(); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < 1 || count > maxMinedNow {
			return usageError(c.Command.HelpName, "--now %.40q: want a number of blocks, 1 to %d", text, maxMinedNow)
		}
	}
	switch {
	case c.Bool("benchmark") || c.String("stratum") != "":
		return usageError(c.Command.HelpName, "--now goes with neither --benchmark nor --stratum")
	case !n.spec.Defaults.Playground:
		return usageError(c.Command.HelpName, "--now is for networks whose coins have no value (defaults.playground in the chainspec), and %s is none", n.spec.Name)
	}
	address := c.String("address")
	if address == "" {
		address = consensus.Address(n.spec.Defaults.AddressPrefix, consensus.Unspendable())
	} else if _, err := consensus.ParseAddress(n.spec.Defaults.AddressPrefix, address); err != nil {
		return usageError(c.Command.HelpName, "--address: %v", err)
	}
	node, err := n.client(c)
	if err != nil {
		return err
	}
	const share = 100
	var all []consensus.Hash
	for len(all) < count {
		hashes, err := mineShare(c, n, node, min(share, count-len(all)), address)
		if err != nil {
			return err
		}
		if len(hashes) == 0 {
			return fmt.Errorf("%d of %d blocks were mined: no proof of work was found for the next one", len(all), count)
		}
		all = append(all, hashes...)
	}
	if c.Bool("json") {
		return printJSON(c, all, nil)
	}
	for _, hash := range all {
		fmt.Fprintln(c.App.Writer, hash)
	}
	return nil
}

// triesNow bounds the hashes of one call; the rules of a network may want many.
const triesNow = 1<<31 - 1

func mineShare(c *cli.Context, n *network, node *client.Client, count int, address string) (hashes []consensus.Hash, err error) {
	err = node.Call(c.Context, "generatetoaddress", []any{count, address, triesNow}, &hashes)
	if err != nil {
		return nil, n.explain(node, err)
	}
	return hashes, nil
}
