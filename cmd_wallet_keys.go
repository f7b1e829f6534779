package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/rpc/client"
	"lode/wallet"
)

func walletCreate(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	if err := s.files.CheckNew(); err != nil {
		return err
	}
	if n := c.Int("words"); n != 12 && n != 24 {
		return usageError("lode wallet create", "--words %d: want 12 or 24", n)
	}
	passphrase, err := s.newPassphrase()
	if err != nil {
		return err
	}
	mnemonic, err := wallet.NewMnemonic(c.Int("words"))
	if err != nil {
		return err
	}
	p, err := wallet.Prepare(c.Context, s.files, s.net.spec, wallet.CreateOptions{
		Mnemonic: mnemonic, Passphrase: passphrase, WorkFactor: workFactor, Start: s.birthday(),
	})
	if err != nil {
		return err
	}
	// It is kept only once its words were shown: a wallet whose words nobody has
	// is lost with its file.
	if err := s.showWords(mnemonic, p); err != nil {
		return errors.Join(fmt.Errorf("the words could not be shown, so no wallet was made: %w", err), p.Drop())
	}
	w, err := p.Keep()
	if err != nil {
		return fmt.Errorf("%w; the words that were shown belong to no wallet", err)
	}
	return w.Close()
}

func (s *walletSession) showWords(mnemonic string, p *wallet.Prepared) error {
	result := struct {
		Mnemonic string `json:"mnemonic"`
		walletSummary
	}{mnemonic, s.summary(p.Account())}
	return s.print(result, func(out io.Writer) {
		fmt.Fprintln(out, "These words are the wallet. Write them down on paper, in this order, and show them to nobody:")
		fmt.Fprintln(out)
		words := strings.Fields(mnemonic)
		for i := 0; i < len(words); i += 4 {
			for j, word := range words[i : i+4] {
				fmt.Fprintf(out, "%4d %s\t", i+j+1, word)
			}
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out)
		fmt.Fprintln(out, "Whoever has them has the money. With them, `lode wallet restore` brings it back; without them, a lost file or passphrase is lost money.")
		fmt.Fprintf(out, "The wallet is %s\n", s.files.Secret)
	})
}

// birthday is the tip of the node if one of this network answers: a new wallet
// need not look for its coins in older blocks. Without a node it looks at all.
func (s *walletSession) birthday() wallet.Point {
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(s.Context.Context, patience)
	defer cancel()
	first, err := s.node.BlockHashes(ctx, []uint32{0})
	if err != nil || first[0] != s.net.spec.Rules.GenesisHash() {
		return wallet.Point{}
	}
	tip, err := s.node.Tip(ctx)
	if err != nil {
		return wallet.Point{}
	}
	return tip
}

// walletSummary is what a program may want to know about a wallet that was made.
type walletSummary struct {
	Network     string `json:"network"`
	Wallet      string `json:"wallet"`
	Watch       string `json:"watch"`
	Fingerprint string `json:"fingerprint,omitempty"` // of the master key (BIP32), if there are words
}

func (s *walletSession) summary(a *wallet.Account) walletSummary {
	summary := walletSummary{Network: s.net.spec.Name, Wallet: s.files.Secret, Watch: s.files.Watch}
	if a != nil {
		summary.Fingerprint = hex.EncodeToString(a.Fingerprint[:])
	}
	return summary
}

func walletRestore(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	if err := s.files.CheckRestore(); err != nil {
		return err
	}
	text, err := s.mnemonic()
	if err != nil {
		return err
	}
	mnemonic, err := wallet.ParseMnemonic(text)
	if err != nil {
		return err
	}
	passphrase, err := s.newPassphrase()
	if err != nil {
		return err
	}
	p, err := wallet.PrepareRestore(c.Context, s.files, s.net.spec, wallet.CreateOptions{
		Mnemonic: mnemonic, Passphrase: passphrase, WorkFactor: workFactor, Gap: uint32(min(c.Uint("gap"), wallet.MaxGap+1)),
	})
	if err != nil {
		return err
	}
	watched := p.Watched()
	w, err := p.Keep()
	if err != nil {
		return err
	}
	defer w.Close()
	if watched {
		s.note("%s was there and is kept, with its labels", s.files.Watch)
	}
	return s.restored(w)
}

// restored looks for the coins of a wallet that was made from its words.
func (s *walletSession) restored(w *wallet.Wallet) error {
	scanned := true
	if err := s.sync(w); errors.Is(err, client.ErrNotRunning) {
		scanned = false
	} else if err != nil {
		return fmt.Errorf("the wallet is restored, but was not scanned: %w", err)
	}
	s.notices(w)
	s.missedSilent(w, false)
	found := w.Found()
	result := struct {
		walletSummary
		Scanned bool `json:"scanned"`
		wallet.Found
	}{s.summary(w.Account()), scanned, found}
	return s.print(result, func(out io.Writer) {
		fmt.Fprintf(out, "The wallet is restored: %s\n", s.files.Secret)
		if !scanned {
			fmt.Fprintln(out, "No node answers, so its coins were not looked for: `lode wallet balance` will do that.")
			return
		}
		fmt.Fprintln(out, found)
	})
}

func walletPassphrase(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		passphrase, err := s.passphrase("now in force")
		if err != nil {
			return err
		}
		secret, err := s.files.OpenSecret(s.net.spec, passphrase)
		if err != nil {
			return err
		}
		if passphrase, err = s.replacementPassphrase(); err != nil {
			return err
		}
		if err := s.files.ChangePassphrase(secret, passphrase, workFactor); err != nil {
			return err
		}
		return s.print(s.summary(w.Account()), func(out io.Writer) { fmt.Fprintf(out, "The passphrase of %s is changed.\n", s.files.Secret) })
	})
}

func walletExport(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if c.Bool("private") {
			return s.exportPrivate()
		}
		account := w.Account()
		if account == nil {
			return fmt.Errorf("%w: see `lode wallet descriptor export`", wallet.ErrNoWords)
		}
		result := struct {
			walletSummary
			Path       string `json:"path"`
			XPub       string `json:"xpub"`
			Descriptor string `json:"descriptor"`
		}{s.summary(w.Account()), account.AccountPath(), account.XPub(), account.Descriptor()}
		return s.print(result, func(out io.Writer) {
			fmt.Fprintln(out, result.XPub)
			fmt.Fprintln(out, result.Descriptor)
		})
	})
}

func (s *walletSession) exportPrivate() error {
	passphrase, err := s.passphrase("to show the words")
	if err != nil {
		return err
	}
	secret, err := s.files.OpenSecret(s.net.spec, passphrase)
	if err != nil {
		return err
	}
	result := struct {
		Mnemonic string `json:"mnemonic"`
	}{secret.Mnemonic}
	return s.print(result, func(out io.Writer) { fmt.Fprintln(out, secret.Mnemonic) })
}
