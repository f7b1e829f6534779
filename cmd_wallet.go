package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"lode/rpc/client"
	"lode/wallet"
)

// walletFile is the default name of a wallet in the directory of its network.
const walletFile = "wallet.age"

// workFactor is what new wallet files are made with; tests take less.
var workFactor = wallet.DefaultWorkFactor

func walletCommand() *cli.Command {
	words := &cli.IntFlag{Name: "words", Value: 24, Usage: "`N`umber of words: 12 or 24"}
	gap := &cli.UintFlag{Name: "gap", DefaultText: strconv.Itoa(wallet.DefaultGap), Usage: "look for coins at up to `N` unused keys in a row"}
	extra := &cli.BoolFlag{Name: "mnemonic-passphrase", Usage: "ask for a passphrase of the words themselves (BIP39): without it they lead to another wallet"}
	extraFile := &cli.StringFlag{Name: "mnemonic-passphrase-file", Usage: "read it from `FILE`"}
	return &cli.Command{
		Name:  "wallet",
		Usage: "keep keys, receive and pay",
		Before: func(*cli.Context) error {
			hideMemory()
			return nil
		},
		Description: "A wallet is an encrypted file with the words that all keys come from, and beside it two\n" +
			"plain ones: a watch file with the public key and labels, and a journal of what was seen\n" +
			"and sent. The passphrase comes from --passphrase-file, from LODE_WALLET_PASSPHRASE, or is\n" +
			"asked on the terminal. There may be several wallets (--name), and several accounts in\n" +
			"each (--account): what one has, another neither shows nor spends.",
		Subcommands: []*cli.Command{
			{Name: "create", Usage: "make a new wallet and show its words", Action: walletCreate,
				Description: "On a terminal the words are asked for again before the wallet is kept.",
				Flags: walletFileFlags(words, extra, extraFile,
					&cli.BoolFlag{Name: "blank", Usage: "without words: for descriptors with private keys that are imported"},
					&cli.BoolFlag{Name: "watch-only", Usage: "without private keys: for descriptors that are imported to be watched"})},
			{Name: "restore", Usage: "make a wallet from its words, in any language of BIP39", Action: walletRestore,
				Description: "A watch file that has lost its wallet file is taken up, with labels and history. Accounts\n" +
					"are looked for one after the other, up to the first that nobody has paid.",
				Flags: walletFileFlags(gap, extra, extraFile,
					&cli.StringFlag{Name: "mnemonic-file", Usage: "read the words from `FILE`, - is standard input (default: ask on the terminal)"})},
			{Name: "list", Usage: "list the wallets of the network", Flags: slices.Concat(networkFlags(), withEnv(jsonFlag())), Action: walletList},
			descriptorCommand(),
			{Name: "rescan", Usage: "look at blocks anew", Action: walletRescan, Flags: append(walletFlags(), gap,
				&cli.Int64Flag{Name: "from", Usage: "from this `HEIGHT` on"})},
			{Name: "address", Usage: "print an address that nobody has paid to yet", Action: walletAddress, Flags: append(append(walletFlags(), requestFlags()...),
				&cli.BoolFlag{Name: "new", Usage: "one that was never handed out"},
				&cli.BoolFlag{Name: "beyond-gap", Usage: "even if a restore from the words needs a wider gap, which is said and kept"},
				&cli.BoolFlag{Name: "for-miner", Usage: "in the old form (BIP173) that the --coinbase-addr of other miners reads; never for receiving"},
				&cli.StringFlag{Name: "label", Usage: "remember `TEXT` with it"})},
			silentAddressCommand(),
			{Name: "addresses", Usage: "list the addresses that were handed out", Flags: walletFlags(), Action: walletAddresses},
			{Name: "balance", Usage: "say how much there is", Flags: walletFlags(), Action: walletBalance,
				Description: "confirmed: in blocks; a coinbase counts one block later than the rules let it be spent.\n" +
					"unconfirmed: pending; trusted is change of own payments, others' may be taken back.\n" +
					"immature: coinbases that are too young. spendable: confirmed and trusted, but what is locked.\n" +
					"What a pending transaction spends counts nowhere. With --json in sat, else in coins."},
			coinsCommand(),
			musigCommand(),
			sendCommand(),
			psbtCommand(),
			bumpCommand(),
			cancelCommand(),
			abandonCommand(),
			receiveCommand(),
			labelsCommand(),
			signMessageCommand(),
			verifyMessageCommand(),
			{Name: "history", Usage: "list what was received and sent, by output", Action: walletHistory, Flags: append(walletFlags(),
				&cli.BoolFlag{Name: "csv", Usage: "print lines for a spreadsheet, amounts in coins"},
				&cli.StringFlag{Name: "since", Usage: "only what is behind block `HASH`, and what was removed with blocks that led to it"},
				&cli.StringFlag{Name: "acknowledge", Usage: "end the warning that the receipt in `TXID`, or all, was reversed"})},
			{Name: "passphrase", Usage: "change the passphrase", Action: walletPassphrase, Flags: walletFileFlags(
				&cli.StringFlag{Name: "new-passphrase-file", Usage: "read the new passphrase from `FILE` (default: ask on the terminal)"})},
			{Name: "export", Usage: "print the public key of the account and the descriptor of its addresses", Action: walletExport, Flags: append(walletFlags(),
				&cli.BoolFlag{Name: "private", Usage: "print the words instead"})},
		},
	}
}

// walletFlags are the flags that every command on the keys of a wallet has.
func walletFlags(more ...cli.Flag) []cli.Flag {
	account := &cli.UintFlag{Name: "account", DefaultText: "0 and what was imported", Usage: "use account `N` of the words (BIP86) alone"}
	return walletFileFlags(append([]cli.Flag{account}, more...)...)
}

// walletFileFlags are the flags that every command on a wallet as a whole has.
func walletFileFlags(more ...cli.Flag) []cli.Flag {
	own := append([]cli.Flag{
		&cli.StringFlag{Name: "name", DefaultText: "the one without a name", Usage: "use the wallet called `NAME`, of letters, digits, _ and -"},
		&cli.StringFlag{Name: "wallet", DefaultText: walletFile + " in the directory of the network", Usage: "`FILE` of the encrypted words, wherever it is"},
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
	files, err := n.walletFiles(c)
	if err != nil {
		return nil, err
	}
	cl, err := n.client(c)
	if err != nil {
		return nil, err
	}
	return &walletSession{c, n, files, cl, newWalletNode(cl, n.spec.Defaults.AddressPrefix)}, nil
}

// walletFiles are those that --name or --wallet say.
func (n *network) walletFiles(c *cli.Context) (wallet.Files, error) {
	name, path := c.String("name"), c.String("wallet")
	switch {
	case c.IsSet("name") && path != "":
		return wallet.Files{}, usageError(c.Command.HelpName, "--name and --wallet exclude each other")
	case c.IsSet("name"):
		files, err := wallet.NamedFiles(n.dir, name)
		if err != nil {
			return files, usageError(c.Command.HelpName, "--name: %v", err)
		}
		return files, nil
	case path == "":
		path = filepath.Join(n.dir, walletFile)
	}
	return wallet.FilesOf(path), nil
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
	if err = s.selectAccount(w); err == nil {
		err = action(s, w)
	}
	s.notices(w)
	if err == nil {
		err = w.Save()
	}
	return errors.Join(err, w.Close())
}

// selectAccount does what --account says. An account that the wallet does not know
// yet is added, which wants the passphrase.
func (s *walletSession) selectAccount(w *wallet.Wallet) error {
	if !s.IsSet("account") {
		return nil
	}
	n := uint32(min(s.Uint("account"), 1<<32-1))
	err := w.SelectAccount(n)
	if !errors.Is(err, wallet.ErrNoAccount) {
		return err
	}
	secret, err := s.openSecret(fmt.Sprintf("to add account %d", n))
	if err != nil {
		return err
	}
	if err := w.AddAccount(n, secret); err != nil {
		return err
	}
	s.note("account %d is new in this wallet", n)
	return w.SelectAccount(n)
}

// openSecret decrypts the secret file; why is for the question.
func (s *walletSession) openSecret(why string) (*wallet.Secret, error) {
	passphrase, err := s.passphrase(why)
	if err != nil {
		return nil, err
	}
	return s.files.OpenSecret(s.net.spec, passphrase)
}

// note tells the user something beside the result.
func (s *walletSession) note(format string, args ...any) {
	fmt.Fprintf(s.App.ErrWriter, "lode: note: "+format+"\n", args...)
}

// notices tells what the wallet has to say, and of every receipt that is gone.
func (s *walletSession) notices(w *wallet.Wallet) {
	for _, line := range w.Notices() {
		s.note("%s", line)
	}
	for _, e := range w.Warnings() {
		why := "is in no block any more and not in the node's mempool"
		if e.By != nil {
			why = fmt.Sprintf("was undone by transaction %s", e.By)
		}
		fmt.Fprintf(s.App.ErrWriter, "lode: warning: %s to %s (%s), which block %d held, %s; `lode wallet history --acknowledge %s` ends this warning\n",
			e.Amount, e.Address, e.TxID, e.Reversed.Height, why, e.TxID)
	}
}

// scanProgress shows how far a scan has come.
func (s *walletSession) scanProgress() (wallet.Progress, func()) {
	progress, done := showProgress(os.Stderr, "scanning blocks")
	return func(height, tip uint32) { progress(int64(height), int64(tip)) }, done
}

// sync brings the wallet up to date with the node.
func (s *walletSession) sync(w *wallet.Wallet) error {
	progress, done := s.scanProgress()
	err := w.Sync(s.Context.Context, s.node, progress)
	done()
	s.missedSilent(w, true)
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
