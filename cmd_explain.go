package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/rpc/client"
	"lode/rpc/explain"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "say why a block or a transaction is part of the chain, waits, or was refused",
		ArgsUsage: "[TX|BLOCK|HEX]",
		Description: "TX is the id of a transaction, BLOCK a hash or a height, HEX either of them in hex, and\n" +
			"- is hex from standard input. The node applies its rules once more, and they say what\n" +
			"they see: each rule in the order of the node, with the values, where it comes from\n" +
			"and where it stands in the source. Nothing is changed.\n" +
			"With --with it says where two nodes part: the last block that both have, and what each\n" +
			"says of the other's next block.",
		Flags: slices.Concat(networkFlags(), rpcFlags(), withEnv(
			&cli.StringFlag{Name: "block", Usage: "look for the transaction in the block `HASH`"},
			&cli.StringFlag{Name: "with", Usage: "compare with the node at `URL`"},
			&cli.StringFlag{Name: "with-datadir", Usage: "the data `DIRECTORY` of that node, which holds its cookie and its address"},
			&cli.BoolFlag{Name: "all", Usage: "show the rules that were kept, too, where one was broken"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		)),
		Action: runExplain,
	}
}

func runExplain(c *cli.Context) error {
	what, with := c.Args().First(), c.String("with") != "" || c.String("with-datadir") != ""
	switch {
	case c.Args().Len() > 1:
		return usageError(c.Command.HelpName, "unexpected argument %.40q", c.Args().Get(1))
	case what == "" && !with:
		return usageError(c.Command.HelpName, "it wants TX, BLOCK or HEX, or --with")
	case what == "-":
		b, err := io.ReadAll(io.LimitReader(os.Stdin, 2*explain.MaxBytes+2))
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		what = strings.TrimSpace(string(b))
	}
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	own, err := n.client(c)
	if err != nil {
		return err
	}
	if with {
		other, err := n.otherNode(c)
		if err != nil {
			return err
		}
		return n.explain(own, compareNodes(c, own, other, what))
	}
	a, err := askWhy(c.Context, own, what, c.String("block"))
	if err != nil {
		return n.explain(own, err)
	}
	return printAnswer(c, a)
}

// otherNode is the client of the node that --with and --with-datadir name.
func (n *network) otherNode(c *cli.Context) (*client.Client, error) {
	other, url := *n, c.String("with")
	var auth client.Auth
	if dir := c.String("with-datadir"); dir != "" {
		other.datadir, other.dir = dir, filepath.Join(dir, n.spec.Name)
		var err error
		if auth, err = client.Cookie(filepath.Join(other.dir, cookieFile)); err != nil {
			return nil, fmt.Errorf("the cookie of the other node: %w", err)
		}
		if url == "" {
			if url, err = other.ownURL(); err != nil {
				return nil, err
			}
		}
	}
	return client.New(url, auth)
}

func askWhy(ctx context.Context, cl *client.Client, what, block string) (*explain.Answer, error) {
	params := []any{what}
	if block != "" {
		params = append(params, block)
	}
	a := new(explain.Answer)
	if err := cl.Call(ctx, "explain", params, a); err != nil {
		return nil, err
	}
	return a, nil
}

// difference is where the chains of two nodes part.
type difference struct {
	Common consensus.Hash    `json:"common"` // the last block of both chains
	Height uint32            `json:"height"` // of it
	Own    *explain.Answer   `json:"own"`    // what this node says of the other's next block; nil if it has none
	Other  *explain.Answer   `json:"other"`  // and the other of this node's
	Tips   [2]consensus.Hash `json:"tips"`   // this node's and the other's
}

// compareNodes says where two nodes part, or what both say of the same thing.
func compareNodes(c *cli.Context, own, other *client.Client, what string) error {
	if what != "" {
		for _, cl := range []*client.Client{own, other} {
			a, err := askWhy(c.Context, cl, what, c.String("block"))
			if err != nil {
				return fmt.Errorf("the node at %s: %w", cl.URL(), err)
			}
			fmt.Fprintf(c.App.Writer, "The node at %s:\n", cl.URL())
			if err := printAnswer(c, a); err != nil {
				return err
			}
		}
		return nil
	}
	d, err := findDifference(c.Context, own, other)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(d)
	}
	return printDifference(c, own, other, d)
}

func findDifference(ctx context.Context, own, other *client.Client) (*difference, error) {
	var heights [2]uint32
	d := new(difference)
	nodes := [2]*client.Client{own, other}
	for i, cl := range nodes {
		if err := cl.Call(ctx, "getblockcount", nil, &heights[i]); err != nil {
			return nil, fmt.Errorf("the node at %s: %w", cl.URL(), err)
		}
		if err := cl.Call(ctx, "getblockhash", []any{heights[i]}, &d.Tips[i]); err != nil {
			return nil, fmt.Errorf("the node at %s: %w", cl.URL(), err)
		}
	}
	// What both have is a beginning of both chains, so the end of it can be bisected.
	low, high := uint32(0), min(heights[0], heights[1])
	for low < high {
		middle := high - (high-low)/2
		_, same, err := sameAt(ctx, nodes, middle)
		if err != nil {
			return nil, err
		}
		if same {
			low = middle
		} else {
			high = middle - 1
		}
	}
	hash, same, err := sameAt(ctx, nodes, low)
	if err != nil {
		return nil, err
	}
	if !same {
		return nil, errors.New("the two nodes have no block in common: they are on different networks")
	}
	d.Common, d.Height = hash, low
	if d.Own, err = judgeNext(ctx, own, other, low+1, heights[1]); err == nil {
		d.Other, err = judgeNext(ctx, other, own, low+1, heights[0])
	}
	return d, err
}

func sameAt(ctx context.Context, nodes [2]*client.Client, height uint32) (hash consensus.Hash, same bool, err error) {
	var hashes [2]consensus.Hash
	for i, cl := range nodes {
		if err := cl.Call(ctx, "getblockhash", []any{height}, &hashes[i]); err != nil {
			return hash, false, fmt.Errorf("the node at %s: %w", cl.URL(), err)
		}
	}
	return hashes[0], hashes[0] == hashes[1], nil
}

// judgeNext is what one node says of the block of another at a height, or nil if that is
// not so high.
func judgeNext(ctx context.Context, judge, of *client.Client, height, top uint32) (*explain.Answer, error) {
	if height > top {
		return nil, nil
	}
	var hash, raw string
	err := of.Call(ctx, "getblockhash", []any{height}, &hash)
	if err == nil {
		err = of.Call(ctx, "getblock", []any{hash, 0}, &raw)
	}
	if err != nil {
		return nil, fmt.Errorf("the node at %s: %w", of.URL(), err)
	}
	if _, err := hex.DecodeString(raw); err != nil {
		return nil, fmt.Errorf("the node at %s gives a block that is no hex", of.URL())
	}
	a, err := askWhy(ctx, judge, raw, "")
	if err != nil {
		return nil, fmt.Errorf("the node at %s: %w", judge.URL(), err)
	}
	return a, nil
}
