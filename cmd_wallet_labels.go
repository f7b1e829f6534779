package main

import (
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"lode/wallet"
)

func labelsCommand() *cli.Command {
	return &cli.Command{
		Name: "labels", Usage: "take labels to another wallet and back (BIP329)",
		Subcommands: []*cli.Command{
			{Name: "export", Usage: "print all labels and locked coins, a JSON object a line", Action: walletLabelsExport, Flags: walletFlags()},
			{Name: "import", Usage: "take up what export, or another wallet, has written; - is standard input", ArgsUsage: "FILE", Action: walletLabelsImport,
				Description: "All of it is taken up, or nothing if a line makes no sense. Coins that are not spendable\n" +
					"become locked.",
				Flags: walletFlags()},
		},
	}
}

func walletLabelsExport(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error { return w.ExportLabels(s.App.Writer) })
}

func walletLabelsImport(c *cli.Context) error {
	in := io.ReadCloser(os.Stdin)
	if file := c.Args().First(); file != "-" {
		var err error
		if in, err = os.Open(file); err != nil {
			return fmt.Errorf("reading the labels: %w", err)
		}
		defer in.Close()
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		n, err := w.ImportLabels(in)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Args().First(), err)
		}
		return s.print(n, func(out io.Writer) {
			fmt.Fprintf(out, "%d labels are taken up, %d coins locked or unlocked, %d labels of types that are not shown here left out.\n", n.Labels, n.Locks, n.Ignored)
		})
	})
}
