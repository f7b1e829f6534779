package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/rpc/client"
)

// rpcTimeout is as generous as bitcoin-cli's: some calls wait for a block.
const rpcTimeout = 15 * time.Minute

func rpcCommand() *cli.Command {
	return &cli.Command{
		Name:      "rpc",
		Usage:     "call a method of a running node",
		ArgsUsage: "METHOD [ARG...]",
		Description: "An ARG that is a JSON number, true, false, null, object or array is sent as such,\n" +
			"anything else as a string. A string result is printed as it is, any other as JSON.",
		Flags: slices.Concat(networkFlags(), rpcFlags(), withEnv(
			&cli.BoolFlag{Name: "named", Usage: "arguments are NAME=VALUE"},
			&cli.DurationFlag{Name: "timeout", Value: rpcTimeout, Usage: "how long to wait for the answer, such as 30s; 0 is for ever"},
		)),
		Action: runRPC,
	}
}

func runRPC(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	cl, err := n.client(c)
	if err != nil {
		return err
	}
	ctx := c.Context
	if timeout := c.Duration("timeout"); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	method, args := c.Args().First(), c.Args().Tail()
	var result json.RawMessage
	if c.Bool("named") {
		var params map[string]any
		if params, err = namedParams(args); err == nil {
			err = cl.CallNamed(ctx, method, params, &result)
		}
	} else {
		params := make([]any, len(args))
		for i, arg := range args {
			params[i] = rpcParam(arg)
		}
		err = cl.Call(ctx, method, params, &result)
	}
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return refused
	}
	if err != nil {
		return n.explain(cl, err)
	}
	return printResult(c.App.Writer, result)
}

func namedParams(args []string) (map[string]any, error) {
	params := make(map[string]any, len(args))
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usageError("lode rpc", "%q is not NAME=VALUE", arg)
		}
		if _, twice := params[name]; twice {
			return nil, usageError("lode rpc", "%q is given twice", name)
		}
		params[name] = rpcParam(value)
	}
	return params, nil
}

// longHex is a hash or a serialized thing, and never a number although it may
// consist of decimal digits.
var longHex = regexp.MustCompile(`^[0-9a-fA-F]{64,}$`)

// rpcParam is the JSON value of an argument. A JSON string is not read as one:
// who writes quotes means them.
func rpcParam(arg string) any {
	if longHex.MatchString(arg) || strings.HasPrefix(strings.TrimSpace(arg), `"`) || !json.Valid([]byte(arg)) {
		return arg
	}
	return json.RawMessage(arg)
}

// printResult prints a string as it is, nothing for null, and anything else as
// JSON, like bitcoin-cli.
func printResult(w io.Writer, result json.RawMessage) error {
	var text string
	switch {
	case bytes.Equal(result, []byte("null")):
		return nil
	case json.Unmarshal(result, &text) == nil:
	default:
		var out bytes.Buffer
		if err := json.Indent(&out, result, "", "  "); err != nil {
			return err
		}
		text = out.String()
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
