package main

import (
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
)

func chainCommand() *cli.Command {
	return &cli.Command{
		Name:        "chain",
		Usage:       "import and export blocks, verify the ledger, write snapshots, work with chainspecs",
		Subcommands: []*cli.Command{chainImportCommand(), chainExportCommand(), chainInfoCommand(), chainVerifyCommand(), chainSnapshotCommand(), chainSpecCommand()},
	}
}

func chainSpecCommand() *cli.Command {
	return &cli.Command{
		Name:      "spec",
		Usage:     "print the chainspec of a network, check a file, or mine the genesis block of a draft",
		ArgsUsage: "[FILE]",
		Description: "Without FILE it prints the chainspec that --network names. With FILE it checks that\n" +
			"chainspec, and says which field is wrong. With --mine, FILE is a draft whose\n" +
			"rules.genesis may be missing or lack its work: the finished chainspec is printed.\n" +
			"A draft may begin as a copy of an embedded network with another name:\n" +
			"   lode chain spec --network testnet > mine.json   (edit the name, remove rules.genesis)\n" +
			"   lode chain spec --mine mine.json > mynet.json\n" +
			"   lode node --network mynet.json",
		Flags: append(networkFlags(),
			&cli.BoolFlag{Name: "mine", Usage: "mine the genesis block of the draft FILE"},
			&cli.StringFlag{Name: "message", DefaultText: "Lode and the date", Usage: "put `TEXT` into a genesis block that is missing"},
			&cli.Int64Flag{Name: "time", DefaultText: "now", Usage: "date a genesis block that is missing `SECONDS` after 1970"},
		),
		Action: func(c *cli.Context) error {
			file := c.Args().First()
			switch {
			case c.Bool("mine") && file == "":
				return usageError(c.Command.HelpName, "--mine wants the FILE of a draft")
			case c.Bool("mine"):
				return mineSpec(c, file)
			case file == "":
				return printSpec(c)
			}
			return checkSpec(c, file)
		},
	}
}

func printSpec(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	_, err = c.App.Writer.Write(n.spec.JSON())
	return err
}

func checkSpec(c *cli.Context, file string) error {
	doc, err := readSmall(file, maxSpecFile)
	if err != nil {
		return fmt.Errorf("reading the chainspec: %w", err)
	}
	spec, err := consensus.ParseSpec(doc)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	id := spec.Rules.ID()
	_, err = fmt.Fprintf(c.App.Writer, "name     %s\nrules    %x\ngenesis  %s\n", spec.Name, id[:], spec.Rules.GenesisHash())
	return err
}

func mineSpec(c *cli.Context, file string) error {
	draft, err := readSmall(file, maxSpecFile)
	if err != nil {
		return fmt.Errorf("reading the draft: %w", err)
	}
	now := time.Now().UTC()
	message := c.String("message")
	if message == "" {
		message = "Lode " + now.Format(time.DateOnly)
	}
	seconds := now.Unix()
	if c.IsSet("time") {
		seconds = c.Int64("time")
	}
	if seconds < 0 || seconds > 1<<32-1 {
		return usageError(c.Command.HelpName, "--time %d: want 0 to 4294967295", seconds)
	}
	fmt.Fprintln(os.Stderr, "Mining the genesis block. It takes as many hashes as any block at the limit.")
	doc, err := consensus.MineGenesis(c.Context, draft, uint32(seconds), message)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	_, err = c.App.Writer.Write(doc)
	return err
}
