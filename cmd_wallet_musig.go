package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/wallet"
	"lode/wallet/descriptor"
	"lode/wallet/musig"
	"lode/wallet/psbt"
)

func musigCommand() *cli.Command {
	out := &cli.StringFlag{Name: "out", Usage: "write the PSBT to `FILE` (default: the one that was read), - is standard output"}
	account := &cli.UintFlag{Name: "account", Usage: "key number `N`, for one account of several owners each (m/87'/coin'/N')"}
	return &cli.Command{
		Name:  "musig",
		Usage: "accounts of several owners, who all sign (MuSig2)",
		Description: "On the chain they look like anybody's: one key, one signature. There are no thresholds: all\n" +
			"owners sign, each in two rounds (the last one to come in one). See docs/musig.md.",
		Subcommands: []*cli.Command{
			{Name: "key", Usage: "print a key of this wallet for the other owners", Flags: walletFileFlags(account), Action: musigKey},
			{Name: "create", Usage: "make the account from the keys of all owners, as a wallet that only watches", Action: musigCreate,
				Flags: walletFileFlags(&cli.StringSliceFlag{Name: "key", Usage: "`[FINGERPRINT/PATH]XPUB` of an owner, once for each of them, in any order"})},
			{Name: "sign", ArgsUsage: "FILE", Usage: "do what is due for a PSBT with this wallet's words, and say what is next", Action: musigSign,
				Description: "A secret nonce waits between the rounds in musig-nonces beside the wallet. It is never to be\n" +
					"copied: a copy is refused, and so is one from before the machine was started. Then --restart\n" +
					"begins again, for all owners.",
				Flags: walletFileFlags(out,
					&cli.BoolFlag{Name: "restart", Usage: "forget the nonces and partial signatures in the PSBT and begin again"},
					&cli.StringFlag{Name: "max-fee", Value: defaultMaxFee, Usage: "sign no fee of more than `COINS`; if given, one above a tenth of the amount too"},
					&cli.BoolFlag{Name: "yes", Usage: "do not ask"})},
			{Name: "status", ArgsUsage: "FILE", Usage: "say whose part of a PSBT is missing", Flags: walletFileFlags(), Action: musigStatus},
			{Name: "forget", Usage: "delete all secret nonces: what waits for them begins again", Flags: walletFileFlags(), Action: musigForget},
		},
	}
}

// cosigner opens the words of the wallet.
func (s *walletSession) cosigner(why string) (*wallet.Cosigner, error) {
	_, err := os.Stat(s.files.Secret)
	if _, watched := os.Stat(s.files.Watch); errors.Is(err, os.ErrNotExist) && watched == nil {
		return nil, fmt.Errorf("%s only watches, and owners sign with their own words: say with --name or --wallet which of your wallets has them", s.files.Watch)
	}
	secret, err := s.openSecret(why)
	if err != nil {
		return nil, err
	}
	return secret.Cosigner(s.net.spec)
}

func musigKey(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	keys, err := s.cosigner("to derive a key for the other owners")
	if err != nil {
		return err
	}
	defer keys.Close()
	key, err := keys.Key(uint32(min(c.Uint("account"), 1<<31)))
	if err != nil {
		return err
	}
	result := struct {
		Key string `json:"key"`
	}{key}
	return s.print(result, func(out io.Writer) { fmt.Fprintln(out, key) })
}

func musigCreate(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	d, err := musig.Account(c.StringSlice("key"), descriptor.NetworkOf(s.net.spec))
	if err != nil {
		return usageError("lode wallet musig create", "%v", err)
	}
	if err := s.files.CheckNew(); err != nil {
		return err
	}
	w, err := wallet.Create(c.Context, s.files, s.net.spec, wallet.CreateOptions{WatchOnly: true})
	if err != nil {
		return err
	}
	if err = w.Import(c.Context, wallet.ImportOptions{Descriptor: d, Active: true}); err == nil {
		err = w.Save()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	first, err := d.Expand()[0].Address(0)
	if err != nil {
		return err
	}
	result := struct {
		Wallet     string `json:"wallet"`
		Descriptor string `json:"descriptor"`
		Owners     int    `json:"owners"`
		First      string `json:"first_address"`
	}{s.files.Watch, d.String(), len(c.StringSlice("key")), first}
	return s.print(result, func(out io.Writer) {
		fmt.Fprintln(out, result.Descriptor)
		fmt.Fprintf(out, "first address\t%s\n", first)
		s.note("keep this descriptor with your words: without the keys of the others they do not bring the account back; and compare it with the others")
	})
}

func musigSign(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	file, err := s.readPSBT()
	if err != nil {
		return err
	}
	if _, err := musig.Status(file.packet); err != nil && !c.Bool("restart") {
		return err
	}
	keys, err := s.cosigner("to sign")
	if err != nil {
		return err
	}
	defer keys.Close()
	signer := &musig.Signer{Owner: keys, Store: s.files.Nonces(), Restart: c.Bool("restart")}
	will, err := signer.WillSign(file.packet)
	if err == nil && will {
		err = s.agree(file.packet)
	}
	if err != nil {
		return err
	}
	reports, err := signer.Step(file.packet)
	if musig.BeginAgain(err) {
		return fmt.Errorf("%w: begin again with `lode wallet musig sign --restart`, and have the other owners sign that file", err)
	}
	if err != nil {
		return err
	}
	if err := file.write(s, c.String("out")); err != nil {
		return err
	}
	return s.musigResult(file.packet, reports)
}

func musigStatus(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	file, err := s.readPSBT()
	if err != nil {
		return err
	}
	reports, err := musig.Status(file.packet)
	if err == nil && len(reports) == 0 {
		err = musig.ErrNothing
	}
	if err != nil {
		return err
	}
	return s.musigResult(file.packet, reports)
}

func musigForget(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	n, err := s.files.Nonces().Sweep(true)
	if err != nil {
		return err
	}
	result := struct {
		Forgotten int `json:"forgotten"`
	}{n}
	return s.print(result, func(out io.Writer) { fmt.Fprintf(out, "%d secret nonces are deleted.\n", n) })
}

// musigResult says how far a PSBT is and who is next.
func (s *walletSession) musigResult(p *psbt.Packet, reports []musig.Report) error {
	complete := true
	for _, r := range reports {
		complete = complete && r.State == musig.Complete
	}
	result := struct {
		PSBT     string         `json:"psbt"`
		Complete bool           `json:"complete"` // for what several owners sign
		Inputs   []musig.Report `json:"inputs"`
	}{p.String(), complete, reports}
	return s.print(result, func(out io.Writer) {
		for _, r := range reports {
			did := ""
			if r.Nonces > 0 {
				did += ", nonce added"
			}
			if r.Partials > 0 {
				did += ", partial signature added"
			}
			fmt.Fprintf(out, "input %d\t%s%s\n", r.Input, r.State, did)
			for _, one := range r.Missing {
				fmt.Fprintf(out, "\tof %s\n", one)
			}
		}
		if complete {
			fmt.Fprintln(out, "All owners have signed: `lode wallet psbt broadcast` sends it.")
		} else {
			fmt.Fprintln(out, "Next: the owners that are named sign this file with `lode wallet musig sign`.")
		}
	})
}

// agree shows what a PSBT pays and asks whether it is meant.
func (s *walletSession) agree(p *psbt.Packet) error {
	most, err := wallet.ParseAmount(s.String("max-fee"))
	if err != nil {
		return usageError("lode wallet musig sign", "--max-fee: %v", err)
	}
	h, err := p.Hasher()
	if err != nil {
		return err
	}
	fee, err := h.Fee()
	if err != nil {
		return err
	}
	change, err := musig.Change(p)
	if err != nil {
		return err
	}
	var paid, back consensus.Amount
	lines := ""
	for i := range h.Tx.Out {
		out := &h.Tx.Out[i]
		if change[i] {
			back += out.Value
			continue
		}
		paid += out.Value
		lines += fmt.Sprintf("%20s to %s\n", out.Value, s.destination(out.Script))
	}
	switch high := fee > paid/highFeeShare && !s.IsSet("max-fee"); {
	case fee > most:
		return fmt.Errorf("the fee is %s, more than the %s that --max-fee allows: nothing was signed", fee, most)
	case high && s.Bool("yes"):
		return fmt.Errorf("the fee is %s for payments of %s, more than a tenth: if that is meant, say so with --max-fee %s", fee, paid, fee)
	case s.Bool("yes"):
		return nil
	case !onTerminal():
		return fmt.Errorf("a signature wants a yes, and %w: use --yes", errNoTerminal)
	}
	return s.wantYes(fmt.Sprintf("%sSign these payments, %s in all, with a fee of %s; %s come back to the owners? [y/N] ", lines, paid, fee, back), "signed")
}
