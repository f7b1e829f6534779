package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"lode/wallet"
)

func walletList(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	list, err := wallet.List(n.dir, filepath.Join(n.dir, walletFile), n.spec)
	if err != nil {
		return fmt.Errorf("listing the wallets: %w", err)
	}
	if list == nil {
		list = []wallet.Listed{}
	}
	s := &walletSession{Context: c, net: n}
	return s.print(list, func(out io.Writer) {
		for _, l := range list {
			name, problem := l.Name, l.Problem
			if l.Default {
				name = "(without a name)"
			}
			if problem == "" && l.InUse {
				problem = "in use"
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", name, l.Kind, l.File, problem)
		}
		if len(list) == 0 {
			s.note("there is no wallet in %s: `lode wallet create` makes one", n.dir)
		}
	})
}
