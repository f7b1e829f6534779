package main

import (
	"github.com/urfave/cli/v2"
)

func chainCommand() *cli.Command {
	return &cli.Command{
		Name:        "chain",
		Usage:       "import and export blocks, verify the ledger, write snapshots, work with chainspecs",
		Subcommands: []*cli.Command{chainImportCommand(), chainExportCommand(), chainInfoCommand(), chainVerifyCommand(), chainSnapshotCommand(), chainSpecCommand()},
	}
}
