package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"lode/rpc"
)

func rpcAuthCommand() *cli.Command {
	return &cli.Command{
		Name:      "rpc-auth",
		Usage:     "make a password for another user of a node's RPC",
		ArgsUsage: "USER",
		Description: "It prints what to start the node with, in Bitcoin Core's format for rpcauth, and the\n" +
			"password, which is random unless --rpc-password-file names one. The node keeps a salted\n" +
			"hash alone. What the user may call is for --rpc-whitelist.",
		Flags: append(networkFlags(), &cli.StringFlag{Name: "rpc-password-file", Usage: "the password is the first line of `FILE`"}),
		Action: func(c *cli.Context) error {
			secret := make([]byte, 32)
			if _, err := rand.Read(secret); err != nil {
				return err
			}
			password, file := base64.RawURLEncoding.EncodeToString(secret), c.String("rpc-password-file")
			if file != "" {
				b, err := readSmall(file, maxPasswordFile)
				if err != nil {
					return fmt.Errorf("--rpc-password-file: %w", err)
				}
				password, _, _ = strings.Cut(string(b), "\n")
				if password = strings.TrimSuffix(password, "\r"); password == "" {
					return usageError(c.Command.HelpName, "the first line of %s is empty", file)
				}
			}
			user, err := rpc.NewCredential(c.Args().First(), password)
			if err != nil {
				return usageError(c.Command.HelpName, "%v", err)
			}
			fmt.Fprintf(c.App.Writer, "--rpc-auth '%s'\n", user)
			if file == "" {
				fmt.Fprintf(c.App.Writer, "password %s\n", password)
			}
			return nil
		},
	}
}
