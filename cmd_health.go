package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"
)

func healthCommand() *cli.Command {
	return &cli.Command{
		Name:        "health",
		Usage:       "say by the exit status whether the node works, for those that watch containers",
		Description: "The status is 0 if the node answers and knows its tip; with --synced, if it has caught up, too.",
		Flags: append(append(networkFlags(), rpcFlags()...),
			&cli.BoolFlag{Name: "synced", Usage: "want it to have as many blocks as headers, within six, and to be through the initial download"}),
		Action: checkHealth,
	}
}

// fewMissing is how many blocks may be missing of a node that is in sync: they come
// one by one.
const fewMissing = 6

func checkHealth(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	cl, err := n.client(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, 15*time.Second)
	defer cancel()
	var info struct {
		Blocks, Headers int
		Initial         bool `json:"initialblockdownload"`
	}
	if err := cl.Call(ctx, "getblockchaininfo", nil, &info); err != nil {
		return n.explain(cl, err)
	}
	if c.Bool("synced") && (info.Initial || info.Headers-info.Blocks > fewMissing) {
		return fmt.Errorf("the node is not in sync: it has %d of %d blocks", info.Blocks, info.Headers)
	}
	fmt.Fprintf(c.App.Writer, "ok, height %d\n", info.Blocks)
	return nil
}
