package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"lode/wallet"
)

func silentAddressCommand() *cli.Command {
	return &cli.Command{
		Name: "silent-address", Usage: "print an address that may be published and paid often (BIP352)", Action: walletSilentAddress,
		Description: "Every payment to it goes to another output, and nobody can connect these with each other or\n" +
			"with the address. They are found through a node that was started with --silentindex. All\n" +
			"silent addresses of a wallet, with labels too, can be seen to belong together.",
		Flags: append(walletFlags(),
			&cli.StringFlag{Name: "label", Usage: "one of its own for `TEXT`, so that history says which was paid; the same text gives the same again"}),
	}
}

func walletSilentAddress(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if !w.HasSilent() {
			passphrase, err := s.passphrase("to add the keys of silent payments to the watch file")
			if err != nil {
				return err
			}
			secret, err := s.files.OpenSecret(s.net.spec, passphrase)
			if err != nil {
				return err
			}
			if err := w.AddSilent(secret); err != nil {
				return err
			}
		}
		unknown := w.SilentUnknown()
		a, err := w.SilentAddress(c.String("label"))
		if err != nil {
			return err
		}
		if unknown && a.Number != nil {
			s.note("the words are older than this wallet: if they had silent addresses with labels before, this may be one of them; `lode wallet labels import` brings their labels back")
		}
		if err := w.Save(); err != nil { // before anybody sees it
			return err
		}
		if ready, err := s.node.silentIndex(c.Context); err == nil && !ready {
			s.note("this node cannot find what is paid to it: start it with --silentindex")
		}
		return s.print(a, func(out io.Writer) { fmt.Fprintln(out, a.Address) })
	})
}

// missedSilent says that silent payments were not looked for: at every command if an address was
// handed out for sure, and where all coins are looked for if perhaps one was.
func (s *walletSession) missedSilent(w *wallet.Wallet, given bool) {
	if advice, sure := w.SilentMissed(); advice != "" && sure == given {
		s.note("%s", advice)
	}
}
