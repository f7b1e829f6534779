package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
	"lode/wallet/musig"
	"lode/wallet/psbt"
)

func psbtCommand() *cli.Command {
	out := &cli.StringFlag{Name: "out", Usage: "write the PSBT to `FILE`, in binary (default: print it in base64)"}
	maxFee := &cli.StringFlag{Name: "max-fee", Value: defaultMaxFee, Usage: "refuse a fee of more than `COINS`; if given, one above a tenth of the amount is taken too"}
	yes := &cli.BoolFlag{Name: "yes", Usage: "do not ask"}
	return &cli.Command{
		Name:  "psbt",
		Usage: "pay in steps, with keys on a machine that is offline (BIP174, BIP370)",
		Description: "PSBT is a file, or - for standard input, or the text itself in base64. `create` needs a node\n" +
			"and no private key, `sign` the wallet file and nothing else.",
		Subcommands: []*cli.Command{
			{Name: "create", Usage: "make a PSBT of a payment", Action: psbtCreate, Flags: append(slices.DeleteFunc(sendCommand().Flags, isFlag("yes", "dry-run")), out,
				&cli.UintFlag{Name: "psbt-version", Value: 0, Usage: "make version `N`: 0 (BIP174) or 2 (BIP370)"},
				&cli.BoolFlag{Name: "lock", Usage: "lock the coins that it spends, until `lode wallet coins unlock`"})},
			{Name: "decode", ArgsUsage: "PSBT", Usage: "say what it does; with --json all that is in it", Action: psbtDecode, Flags: walletFileFlags()},
			{Name: "analyze", ArgsUsage: "PSBT", Usage: "say what is missing", Action: psbtAnalyze, Flags: walletFileFlags()},
			{Name: "sign", ArgsUsage: "PSBT", Usage: "sign the inputs that the wallet has the keys of", Action: psbtSign, Flags: append(walletFlags(), out, maxFee, yes,
				&cli.StringFlag{Name: "sighash", Usage: "make signatures of `TYPE`, such as ALL|ANYONECANPAY (default: over everything)"})},
			{Name: "combine", ArgsUsage: "PSBT PSBT [PSBT...]", Usage: "put together what several say of one transaction", Action: psbtCombine, Flags: append(walletFileFlags(), out)},
			{Name: "finalize", ArgsUsage: "PSBT", Usage: "print the signed transaction in hex", Action: psbtFinalize, Flags: append(walletFileFlags(),
				&cli.StringFlag{Name: "out", Usage: "write the final PSBT to `FILE`, in binary"})},
			{Name: "broadcast", ArgsUsage: "PSBT", Usage: "finalize it and send the transaction", Action: psbtBroadcast, Flags: append(walletFlags(), maxFee, yes)},
			{Name: "convert", ArgsUsage: "PSBT", Usage: "give it in the other version", Action: psbtConvert, Flags: append(walletFileFlags(), out,
				&cli.UintFlag{Name: "to", Value: 2, Usage: "the `VERSION`: 0 or 2"})},
		},
	}
}

// isFlag finds flags by their names.
func isFlag(names ...string) func(cli.Flag) bool {
	return func(f cli.Flag) bool { return slices.Contains(names, f.Names()[0]) }
}

// readPSBT reads the argument of a command: a file, standard input, or text.
func readPSBT(arg string) (*psbt.Packet, error) {
	if strings.HasPrefix(arg, "cHNidP") {
		return psbt.Decode(arg)
	}
	name := arg
	var in io.Reader = os.Stdin
	if arg == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(arg)
		if err != nil {
			return nil, fmt.Errorf("reading the PSBT: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, 2*psbt.MaxSize))
	if err != nil {
		return nil, fmt.Errorf("reading the PSBT: %w", err)
	}
	p, err := psbt.Read(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// psbtResult is a PSBT as programs read it.
type psbtResult struct {
	PSBT     string         `json:"psbt"`
	TxID     consensus.Hash `json:"txid"`
	Signed   int            `json:"signed"` // inputs, by this command
	Complete bool           `json:"complete"`
}

// printPSBT writes a PSBT to the file that --out names, or prints it.
func (s *walletSession) printPSBT(p *psbt.Packet, signed int) error {
	tx, err := p.Tx()
	if err != nil {
		return err
	}
	result := psbtResult{PSBT: p.String(), TxID: tx.TxID(), Signed: signed, Complete: musig.Finalize(p.Clone()) == nil}
	if file := s.String("out"); file != "" {
		if err := wallet.WritePSBT(file, p); err != nil {
			return err
		}
		return s.print(result, func(out io.Writer) { fmt.Fprintf(out, "The PSBT is %s\n", file) })
	}
	return s.print(result, func(out io.Writer) { fmt.Fprintln(out, result.PSBT) })
}

func psbtCreate(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	t, err := paymentTerms(c, n.spec)
	if err != nil {
		return err
	}
	version := uint32(c.Uint("psbt-version"))
	if version != 0 && version != 2 {
		return usageError("lode wallet psbt create", "--psbt-version %d: want 0 or 2", version)
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if err := s.readyToPay(w); err != nil {
			return err
		}
		if t.Rate == 0 {
			if t.Rate, err = s.node.feeRate(c.Context, t.target); err != nil {
				return s.net.explain(s.client, err)
			}
		}
		draft, err := w.Draft(t.Payment)
		if err != nil {
			return err
		}
		if err := s.checkPSBTFee(draft.Fee, draft.Amount, t.maxFee); err != nil {
			return err
		}
		p, err := w.PSBT(draft, version)
		if err != nil {
			return err
		}
		if c.Bool("lock") {
			for _, coin := range draft.Spends {
				if err := w.Lock(coin.OutPoint); err != nil {
					return err
				}
			}
		}
		s.note("%s; it is to be signed and broadcast", s.paymentSummary([]*wallet.Draft{draft}))
		return s.printPSBT(p, 0)
	})
}

// checkPSBTFee refuses a fee that nobody can mean.
func (s *walletSession) checkPSBTFee(fee, amount, most consensus.Amount) error {
	switch {
	case fee > most:
		return fmt.Errorf("the fee is %s, more than the %s that --max-fee allows: nothing was done", fee, most)
	case fee > amount/highFeeShare && !s.IsSet("max-fee"):
		return fmt.Errorf("the fee is %s for %s that are paid, more than a tenth: if that is meant, say so with --max-fee %s", fee, amount, fee)
	}
	return nil
}

func psbtDecode(c *cli.Context) error {
	return withPSBT(c, func(s *walletSession, p *psbt.Packet) error {
		all, err := rpc.DescribePSBT(s.net.spec, p)
		if err != nil {
			return err
		}
		r, err := s.review(p, nil)
		if err != nil {
			return err
		}
		return s.print(all, r.write)
	})
}

// withPSBT runs an action on the PSBT that a command names.
func withPSBT(c *cli.Context, action func(s *walletSession, p *psbt.Packet) error) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	p, err := readPSBT(c.Args().First())
	if err != nil {
		return err
	}
	return action(s, p)
}

func psbtAnalyze(c *cli.Context) error {
	return withPSBT(c, func(s *walletSession, p *psbt.Packet) error {
		a := p.Analyze(s.net.spec.Rules.MaxMoney)
		type input struct {
			PrevOut string `json:"prevout"`
			Next    string `json:"next"`
			HasUTXO bool   `json:"has_utxo"`
			Final   bool   `json:"final"`
		}
		result := struct {
			Next   string            `json:"next"`
			Fee    *consensus.Amount `json:"fee,omitempty"`
			VSize  int               `json:"vsize,omitempty"`
			Inputs []input           `json:"inputs"`
			Error  string            `json:"error,omitempty"`
		}{Next: a.Next.String(), VSize: a.VSize, Error: a.Invalid}
		if a.HasFee {
			result.Fee = &a.Fee
		}
		for i, in := range a.Inputs {
			result.Inputs = append(result.Inputs, input{p.PrevOut(i).String(), in.Next.String(), in.HasUTXO, in.Final})
		}
		return s.print(result, func(out io.Writer) {
			if a.Invalid != "" {
				fmt.Fprintln(out, a.Invalid)
				return
			}
			fmt.Fprintf(out, "It is for the %s next.\n", a.Next)
			for _, in := range result.Inputs {
				fmt.Fprintf(out, "%s\t%s\n", in.PrevOut, in.Next)
			}
			if a.HasFee {
				fmt.Fprintf(out, "fee\t%s, about %d vB\n", a.Fee, a.VSize)
			}
		})
	})
}

func psbtCombine(c *cli.Context) error {
	s, err := newWalletSession(c)
	if err != nil {
		return err
	}
	var packets []*psbt.Packet
	for _, arg := range c.Args().Slice() {
		p, err := readPSBT(arg)
		if err != nil {
			return err
		}
		packets = append(packets, p)
	}
	all, err := psbt.Combine(packets...)
	if err != nil {
		return err
	}
	return s.printPSBT(all, 0)
}

func psbtConvert(c *cli.Context) error {
	return withPSBT(c, func(s *walletSession, p *psbt.Packet) error {
		to := uint32(c.Uint("to"))
		if to != 0 && to != 2 {
			return usageError("lode wallet psbt convert", "--to %d: want 0 or 2", to)
		}
		p, err := p.Convert(to)
		if err != nil {
			return err
		}
		return s.printPSBT(p, 0)
	})
}

// extractPSBT finalizes a PSBT and gives the transaction.
func extractPSBT(spec *consensus.Spec, p *psbt.Packet) (*consensus.Tx, error) {
	if err := wallet.CheckPSBTNetwork(spec, p); err != nil {
		return nil, err
	}
	err := musig.Finalize(p)
	if errors.Is(err, psbt.ErrIncomplete) {
		return nil, fmt.Errorf("%w: have it signed with `lode wallet psbt sign`, or by all owners with `lode wallet musig sign`", err)
	}
	if err != nil {
		return nil, err
	}
	return p.Extract(nil)
}

func psbtFinalize(c *cli.Context) error {
	return withPSBT(c, func(s *walletSession, p *psbt.Packet) error {
		tx, err := extractPSBT(s.net.spec, p)
		if err != nil {
			return err
		}
		if s.String("out") != "" {
			return s.printPSBT(p, 0)
		}
		result := struct {
			TxID consensus.Hash `json:"txid"`
			Hex  string         `json:"hex"`
		}{tx.TxID(), hex.EncodeToString(tx.Bytes())}
		return s.print(result, func(out io.Writer) { fmt.Fprintln(out, result.Hex) })
	})
}
