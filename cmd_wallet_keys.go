package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
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
	blank, watchOnly := c.Bool("blank"), c.Bool("watch-only")
	if blank && watchOnly || (blank || watchOnly) && (c.IsSet("words") || s.hasExtra()) {
		return usageError("lode wallet create", "--blank and --watch-only exclude each other, and what is said about words")
	}
	if n := c.Int("words"); n != 12 && n != 24 {
		return usageError("lode wallet create", "--words %d: want 12 or 24", n)
	}
	if err := s.files.CheckNew(); err != nil {
		return err
	}
	o := wallet.CreateOptions{WorkFactor: workFactor, WatchOnly: watchOnly}
	if !watchOnly {
		if o.Passphrase, err = s.newPassphrase(); err != nil {
			return err
		}
	}
	o.Start = s.birthday()
	if blank || watchOnly {
		return s.createEmpty(o)
	}
	if o.Extra, err = s.extraPassphrase(); err != nil {
		return err
	}
	if o.Mnemonic, err = wallet.NewMnemonic(c.Int("words")); err != nil {
		return err
	}
	p, err := wallet.Prepare(c.Context, s.files, s.net.spec, o)
	if err != nil {
		return err
	}
	// It is kept only once its words were shown: a wallet whose words nobody has
	// is lost with its file.
	if err := s.showWords(o.Mnemonic, p); err != nil {
		return errors.Join(fmt.Errorf("the words could not be shown, so no wallet was made: %w", err), p.Drop())
	}
	if onTerminal() && !c.Bool("json") {
		if err := s.askWordsAgain(o.Mnemonic); err != nil {
			return errors.Join(fmt.Errorf("no wallet was made, and the words that were shown belong to none: %w", err), p.Drop())
		}
	}
	w, err := p.Keep()
	if err != nil {
		return fmt.Errorf("%w; the words that were shown belong to no wallet", err)
	}
	return w.Close()
}

// createEmpty makes a wallet without words.
func (s *walletSession) createEmpty(o wallet.CreateOptions) error {
	w, err := wallet.Create(s.Context.Context, s.files, s.net.spec, o)
	if err != nil {
		return err
	}
	return errors.Join(s.print(s.summary(nil), func(out io.Writer) {
		fmt.Fprintf(out, "The wallet is %s. It has no keys: `lode wallet descriptor import` gives it some.\n", s.files.Watch)
	}), w.Close())
}

// wordTries is how often somebody may type the words of a new wallet.
const wordTries = 3

// askWordsAgain makes sure that the words were written down. They are wiped off the
// terminal first.
func (s *walletSession) askWordsAgain(mnemonic string) error {
	ctx := s.Context.Context
	if _, err := ask(ctx, "Press Enter when you have written them down: they vanish from the screen, and are asked for. "); err != nil {
		return err
	}
	if canMove(os.Stdout) {
		fmt.Fprint(os.Stdout, "\x1b[H\x1b[2J\x1b[3J") // the screen, and what was scrolled off it
	}
	return checkWords(mnemonic, func(question string) (string, error) { return askSecret(ctx, question) })
}

// checkWords asks for words until they are right. It says which one is not, and
// never what it should be.
func checkWords(mnemonic string, ask func(string) (string, error)) error {
	want, question := strings.Fields(mnemonic), "Type the words, with spaces between them: "
	for range wordTries {
		answer, err := ask(question)
		if err != nil {
			return err
		}
		got := strings.Fields(strings.ToLower(answer))
		switch i := firstDifference(want, got); {
		case i < 0:
			return nil
		case len(got) != len(want):
			question = fmt.Sprintf("These are %d words, and %d were shown. Once more: ", len(got), len(want))
		default:
			question = fmt.Sprintf("Word %d is another one. Once more: ", i+1)
		}
	}
	return errors.New("the words that were typed are not those that were shown")
}

// firstDifference is the place of the first word that is not the same, or -1.
func firstDifference(a, b []string) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
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
	extra, err := s.extraPassphrase()
	if err != nil {
		return err
	}
	p, err := wallet.PrepareRestore(c.Context, s.files, s.net.spec, wallet.CreateOptions{
		Mnemonic: mnemonic, Extra: extra, Passphrase: passphrase, WorkFactor: workFactor, Gap: uint32(min(c.Uint("gap"), wallet.MaxGap+1)),
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
	secret, err := s.files.OpenSecret(s.net.spec, passphrase)
	if err != nil {
		return err
	}
	return s.restored(w, secret)
}

// restored looks for the coins of a wallet that was made from its words.
func (s *walletSession) restored(w *wallet.Wallet, secret *wallet.Secret) error {
	scanned, err := s.discover(w, secret)
	if err != nil {
		return fmt.Errorf("the wallet is restored, but was not scanned: %w", err)
	}
	s.notices(w)
	s.missedSilent(w, false)
	found := w.Found()
	result := struct {
		walletSummary
		Scanned bool `json:"scanned"`
		wallet.Found
		Accounts []uint32 `json:"accounts"`
	}{s.summary(w.Account()), scanned, found, w.Accounts()}
	return s.print(result, func(out io.Writer) {
		fmt.Fprintf(out, "The wallet is restored: %s (fingerprint %s)\n", s.files.Secret, result.Fingerprint)
		if !scanned {
			fmt.Fprintln(out, "No node answers, so its coins were not looked for: `lode wallet balance` will do that.")
			return
		}
		fmt.Fprintln(out, found)
		for _, n := range result.Accounts[1:] {
			fmt.Fprintf(out, "Account %d was used too: see --account %d.\n", n, n)
		}
	})
}

// discover scans for account 0, and for one account after the other as long as the
// one before was used (BIP44).
func (s *walletSession) discover(w *wallet.Wallet, secret *wallet.Secret) (scanned bool, err error) {
	if err := s.sync(w); errors.Is(err, client.ErrNotRunning) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	for w.AccountUsed(uint32(len(w.Accounts()) - 1)) {
		next := uint32(len(w.Accounts()))
		if err := w.AddAccount(next, secret); err != nil {
			return true, err
		}
		if err := s.sync(w); err != nil {
			return true, err
		}
		if !w.AccountUsed(next) {
			return true, w.DropAccount(next)
		}
	}
	return true, nil
}

func walletPassphrase(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		secret, err := s.openSecret("now in force")
		if err != nil {
			return err
		}
		passphrase, err := s.replacementPassphrase()
		if err != nil {
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
	secret, err := s.openSecret("to show the words")
	if err != nil {
		return err
	}
	if secret.Mnemonic == "" {
		return fmt.Errorf("%w: see `lode wallet descriptor export --private`", wallet.ErrNoWords)
	}
	result := struct {
		Mnemonic string `json:"mnemonic"`
		Extra    string `json:"mnemonic_passphrase,omitempty"`
	}{secret.Mnemonic, secret.Extra}
	return s.print(result, func(out io.Writer) {
		fmt.Fprintln(out, secret.Mnemonic)
		if secret.Extra != "" {
			fmt.Fprintf(out, "passphrase of the words: %s\n", secret.Extra)
		}
	})
}
