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
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/rpc/client"
	"lode/wallet"
)

// walletFile is the default name of a wallet in the directory of its network.
const walletFile = "wallet.age"

// workFactor is what new wallet files are made with; tests take less.
var workFactor = wallet.DefaultWorkFactor

func walletCommand() *cli.Command {
	words := &cli.IntFlag{Name: "words", Value: 24, Usage: "`N`umber of words: 12 or 24"}
	return &cli.Command{
		Name:  "wallet",
		Usage: "keep keys, receive and pay",
		Description: "A wallet is an encrypted file with the words that all keys come from, and beside it a\n" +
			"plain watch file with the public key, labels and what was found in blocks. The passphrase\n" +
			"comes from --passphrase-file, from LODE_WALLET_PASSPHRASE, or is asked on the terminal.",
		Subcommands: []*cli.Command{
			{Name: "create", Usage: "make a new wallet and show its words", Flags: walletFlags(words), Action: walletCreate},
			{Name: "restore", Usage: "make a wallet from its words", Action: walletRestore, Flags: walletFlags(
				&cli.StringFlag{Name: "mnemonic-file", Usage: "read the words from `FILE`, - is standard input (default: ask on the terminal)"})},
			{Name: "address", Usage: "print an address that nobody has paid to yet", Action: walletAddress, Flags: append(walletFlags(),
				&cli.BoolFlag{Name: "new", Usage: "one that was never handed out"},
				&cli.BoolFlag{Name: "for-miner", Usage: "in the old form (BIP173) that the --coinbase-addr of other miners reads; never for receiving"},
				&cli.StringFlag{Name: "label", Usage: "remember `TEXT` with it"})},
			{Name: "addresses", Usage: "list the addresses that were handed out", Flags: walletFlags(), Action: walletAddresses},
			{Name: "balance", Usage: "say how much there is", Flags: walletFlags(), Action: walletBalance,
				Description: "confirmed: in blocks; a coinbase counts one block later than the rules let it be spent.\n" +
					"unconfirmed: in the node's mempool, from others or change of own payments.\n" +
					"immature: coinbases that are too young. spendable: confirmed, and pending change of own payments.\n" +
					"What a pending transaction spends counts nowhere. With --json in sat, else in coins."},
			sendCommand(),
			{Name: "history", Usage: "list the transactions of the wallet", Flags: walletFlags(), Action: walletHistory},
			{Name: "passphrase", Usage: "change the passphrase", Action: walletPassphrase, Flags: walletFlags(
				&cli.StringFlag{Name: "new-passphrase-file", Usage: "read the new passphrase from `FILE` (default: ask on the terminal)"})},
			{Name: "export", Usage: "print the public key of the account and the descriptor of its addresses", Action: walletExport, Flags: append(walletFlags(),
				&cli.BoolFlag{Name: "private", Usage: "print the words instead"})},
		},
	}
}

// walletFlags are the flags that every wallet command has.
func walletFlags(more ...cli.Flag) []cli.Flag {
	own := append([]cli.Flag{
		&cli.StringFlag{Name: "wallet", DefaultText: walletFile + " in the directory of the network", Usage: "`FILE` of the encrypted words"},
		&cli.StringFlag{Name: "passphrase-file", Usage: "read the passphrase from `FILE`"},
		&cli.BoolFlag{Name: "json", Usage: "print JSON, amounts in sat"},
	}, more...)
	return slices.Concat(networkFlags(), rpcFlags(), withEnv(own...))
}

// walletSession is what one wallet command works with.
type walletSession struct {
	*cli.Context
	net    *network
	files  wallet.Files
	client *client.Client
	node   *walletNode
}

func newWalletSession(c *cli.Context) (*walletSession, error) {
	n, err := networkOf(c)
	if err != nil {
		return nil, err
	}
	path := c.String("wallet")
	if path == "" {
		path = filepath.Join(n.dir, walletFile)
	}
	cl, err := n.client(c)
	if err != nil {
		return nil, err
	}
	return &walletSession{c, n, wallet.FilesOf(path), cl, newWalletNode(cl)}, nil
}

// withWallet runs an action on an open wallet and saves what it changed.
func withWallet(c *cli.Context, action func(s *walletSession, w *wallet.Wallet) error) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	w, err := wallet.Open(c.Context, s.files, s.net.spec)
	if errors.Is(err, wallet.ErrNoWatch) {
		var passphrase string
		if passphrase, err = s.passphrase("to build the missing watch file anew"); err == nil {
			w, err = wallet.Rebuild(c.Context, s.files, s.net.spec, passphrase)
		}
	}
	if err != nil {
		return err
	}
	if err = action(s, w); err == nil {
		err = w.Save()
	}
	return errors.Join(err, w.Close())
}

// sync brings the wallet up to date with the node.
func (s *walletSession) sync(w *wallet.Wallet) error {
	progress, done := showProgress(os.Stderr, "scanning blocks")
	err := w.Sync(s.Context.Context, s.node, func(height, tip uint32) { progress(int64(height), int64(tip)) })
	done()
	return s.net.explain(s.client, err)
}

// print writes a result as JSON if that is wanted, else as text.
func (s *walletSession) print(result any, text func(w io.Writer)) error {
	if s.Bool("json") {
		enc := json.NewEncoder(s.App.Writer)
		enc.SetIndent("", "  ")
		return enc.Encode(result)
	}
	table := tabwriter.NewWriter(s.App.Writer, 0, 0, 2, ' ', 0)
	text(table)
	return table.Flush()
}

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
	w, err := wallet.Create(c.Context, s.files, s.net.spec, wallet.CreateOptions{
		Mnemonic: mnemonic, Passphrase: passphrase, WorkFactor: workFactor, Start: s.birthday(),
	})
	if err != nil {
		return err
	}
	defer w.Close()
	result := struct {
		Mnemonic string `json:"mnemonic"`
		walletSummary
	}{mnemonic, s.summary(w)}
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
	Fingerprint string `json:"fingerprint"` // of the master key (BIP32)
}

func (s *walletSession) summary(w *wallet.Wallet) walletSummary {
	fingerprint := w.Account().Fingerprint
	return walletSummary{s.net.spec.Name, s.files.Secret, s.files.Watch, hex.EncodeToString(fingerprint[:])}
}

func walletRestore(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	if err := s.files.CheckNew(); err != nil {
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
	w, err := wallet.Create(c.Context, s.files, s.net.spec, wallet.CreateOptions{
		Mnemonic: mnemonic, Passphrase: passphrase, WorkFactor: workFactor,
	})
	if err != nil {
		return err
	}
	defer w.Close()
	scanned := true
	if err := s.sync(w); errors.Is(err, client.ErrNotRunning) {
		scanned = false
	} else if err != nil {
		return fmt.Errorf("the wallet is restored, but was not scanned: %w", err)
	}
	result := struct {
		walletSummary
		Scanned bool `json:"scanned"`
	}{s.summary(w), scanned}
	return s.print(result, func(out io.Writer) {
		fmt.Fprintf(out, "The wallet is restored: %s\n", s.files.Secret)
		if !scanned {
			fmt.Fprintln(out, "No node answers, so its coins were not looked for: `lode wallet balance` will do that.")
		}
	})
}

func walletAddress(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		next := w.Receive
		if c.Bool("new") {
			next = w.ReceiveNew
		}
		a, err := next(c.String("label"))
		if err != nil {
			return err
		}
		if err := w.Save(); err != nil { // before anybody sees it
			return err
		}
		if a.Gap >= wallet.GapLimit {
			fmt.Fprintf(c.App.ErrWriter, "lode: note: %d addresses before this one are unused; restoring from the words alone looks only %d ahead\n", a.Gap, wallet.GapLimit)
		}
		line := newAddressLine(w, a)
		if !c.Bool("for-miner") {
			return s.print(line, func(out io.Writer) { fmt.Fprintln(out, a.Address) })
		}
		key, err := consensus.ParseAddress(s.net.spec.Defaults.AddressPrefix, a.Address)
		if err != nil {
			return err
		}
		line.ForMiner = consensus.MinerAddress(s.net.spec.Defaults.AddressPrefix, key)
		fmt.Fprintf(c.App.ErrWriter, "lode: note: this form is for the --coinbase-addr of a miner, never for receiving; blocks pay to %s\n", a.Address)
		return s.print(line, func(out io.Writer) { fmt.Fprintln(out, line.ForMiner) })
	})
}

// addressLine is an address with its whole path.
type addressLine struct {
	wallet.Address
	Path     string `json:"path"`
	ForMiner string `json:"for_miner,omitempty"` // never for receiving, see consensus.MinerAddress
}

func newAddressLine(w *wallet.Wallet, a wallet.Address) addressLine {
	return addressLine{Address: a, Path: w.Account().Path(a.Path)}
}

func walletAddresses(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		list, err := w.Addresses()
		if err != nil {
			return err
		}
		lines := make([]addressLine, len(list))
		for i, a := range list {
			lines[i] = newAddressLine(w, a)
		}
		return s.print(lines, func(out io.Writer) {
			for _, a := range lines {
				used := "unused"
				if a.Used {
					used = "used"
				}
				fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", a.Address.Address, a.Path, used, a.Label)
			}
		})
	})
}

func walletBalance(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if err := s.sync(w); err != nil {
			return err
		}
		b := w.Balance()
		return s.print(b, func(out io.Writer) {
			for _, line := range []struct {
				name   string
				amount consensus.Amount
			}{{"confirmed", b.Confirmed}, {"unconfirmed", b.Unconfirmed}, {"immature", b.Immature}, {"spendable", b.Spendable}} {
				fmt.Fprintf(out, "%s\t%20s\n", line.name, line.amount)
			}
		})
	})
}

func walletHistory(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if err := s.sync(w); err != nil {
			return err
		}
		first, tip := w.Scanned()
		source := fmt.Sprintf("from blocks %d to %d of the node at %s, and its mempool", first.Height, tip.Height, s.client.URL())
		result := struct {
			Source       string         `json:"source"`
			From         uint32         `json:"from_height"`
			To           wallet.Point   `json:"to"`
			Transactions []wallet.Entry `json:"transactions"`
		}{source, first.Height, tip, w.History()}
		return s.print(result, func(out io.Writer) {
			for _, e := range result.Transactions {
				when, fee := "pending", "-"
				if e.Time != nil {
					when = e.Time.Format("2006-01-02 15:04")
				}
				if e.Fee != nil {
					fee = e.Fee.String()
				}
				fmt.Fprintf(out, "%s\t%s\t%20s\tfee %s\t%d conf.\t%s\t%s\n", when, e.Kind, e.Amount, fee, e.Confirmations, e.TxID, e.Label)
			}
			fmt.Fprintln(out, source)
		})
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
		return s.print(s.summary(w), func(out io.Writer) { fmt.Fprintf(out, "The passphrase of %s is changed.\n", s.files.Secret) })
	})
}

func walletExport(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if c.Bool("private") {
			return s.exportPrivate()
		}
		account := w.Account()
		result := struct {
			walletSummary
			Path       string `json:"path"`
			XPub       string `json:"xpub"`
			Descriptor string `json:"descriptor"`
		}{s.summary(w), account.AccountPath(), account.XPub(), account.Descriptor()}
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
