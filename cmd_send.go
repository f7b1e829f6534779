package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/rpc/client"
	"lode/wallet"
)

func sendCommand() *cli.Command {
	return &cli.Command{
		Name:   "send",
		Usage:  "pay somebody",
		Action: walletSend,
		Flags: append(walletFlags(),
			&cli.StringFlag{Name: "to", Usage: "pay `ADDRESS`"},
			&cli.StringFlag{Name: "amount", Usage: "pay so many `COINS`, such as 1.5"},
			&cli.StringFlag{Name: "fee-rate", DefaultText: "the node's estimate", Usage: "pay this fee in `SAT` per virtual byte"},
			&cli.BoolFlag{Name: "subtract-fee", Usage: "take the fee out of the amount"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			&cli.BoolFlag{Name: "dry-run", Usage: "make and sign the transaction, but do not send it"},
		),
	}
}

// A fee is high if it is more than both: a hundredth of a coin, and a tenth of
// what is paid. Nobody pays that by accident, unless they ask for the rate.
const (
	highFee      = consensus.SatPerCoin / 100
	highFeeShare = 10
)

// payment reads the flags of a payment, but for the fee rate if none is given.
func payment(c *cli.Context, spec *consensus.Spec) (p wallet.Payment, err error) {
	if c.String("to") == "" || c.String("amount") == "" {
		return p, usageError("lode wallet send", "give --to and --amount")
	}
	p.SubtractFee = c.Bool("subtract-fee")
	if p.To, err = consensus.ParseAddress(spec.Defaults.AddressPrefix, c.String("to")); err != nil {
		return p, err
	}
	if p.Amount, err = wallet.ParseAmount(c.String("amount")); err != nil {
		return p, err
	}
	if rate := c.String("fee-rate"); rate != "" {
		p.Rate, err = wallet.ParseFeeRate(rate)
	}
	return p, err
}

func walletSend(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	p, err := payment(c, n.spec) // before anything is opened
	if err != nil {
		return err
	}
	if !c.Bool("yes") && !c.Bool("dry-run") && !onTerminal() {
		return fmt.Errorf("a payment wants a yes, and %w: use --yes", errNoTerminal)
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if err := s.sync(w); err != nil {
			return err
		}
		if p.Rate == 0 {
			if p.Rate, err = s.node.feeRate(c.Context); err != nil {
				return s.net.explain(s.client, err)
			}
		}
		draft, err := w.Draft(p)
		if err != nil {
			return err
		}
		if draft.Fee > highFee && draft.Fee > p.Amount/highFeeShare && !c.IsSet("fee-rate") {
			return fmt.Errorf("the fee would be %s for a payment of %s: if that is meant, say so with --fee-rate %s", draft.Fee, p.Amount, p.Rate)
		}
		if err := s.confirm(draft); err != nil {
			return err
		}
		passphrase, err := s.passphrase("to sign")
		if err != nil {
			return err
		}
		secret, err := s.files.OpenSecret(n.spec, passphrase)
		if err != nil {
			return err
		}
		tx, err := w.Sign(draft, secret)
		if err != nil {
			return err
		}
		return s.deliver(w, draft, tx)
	})
}

// confirm shows a payment and asks whether it is meant.
func (s *walletSession) confirm(d *wallet.Draft) error {
	if s.Bool("yes") || s.Bool("dry-run") {
		return nil
	}
	question := fmt.Sprintf("Pay %s to %s, and a fee of %s (%d vB)? [y/N] ", d.Amount, s.String("to"), d.Fee, d.VSize())
	answer, err := ask(s.Context.Context, question)
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return fmt.Errorf("nothing was paid: the answer was not yes")
	}
	return nil
}

// deliver sends a signed transaction, unless this is a rehearsal, and prints it.
func (s *walletSession) deliver(w *wallet.Wallet, d *wallet.Draft, tx *consensus.Tx) error {
	sent := !s.Bool("dry-run")
	if sent {
		if err := w.Commit(d); err != nil {
			return err
		}
		err := s.node.broadcast(s.Context.Context, tx)
		if _, refused := errors.AsType[*client.Error](err); refused || errors.Is(err, client.ErrNotRunning) {
			return fmt.Errorf("the node did not take the payment: %w", s.net.explain(s.client, err))
		}
		if err != nil { // lost on the way, there or back: trying again might pay twice
			return fmt.Errorf("it is not known whether the node took payment %s: look for it with `lode wallet history` first: %w", tx.TxID(), err)
		}
	}
	result := struct {
		TxID   consensus.Hash   `json:"txid"`
		Amount consensus.Amount `json:"amount"`
		Fee    consensus.Amount `json:"fee"`
		Change consensus.Amount `json:"change"`
		VSize  int              `json:"vsize"`
		Sent   bool             `json:"sent"`
		Hex    string           `json:"hex"`
	}{tx.TxID(), d.Amount, d.Fee, d.Change, tx.VSize(), sent, hex.EncodeToString(tx.Bytes())}
	return s.print(result, func(out io.Writer) {
		if !sent {
			fmt.Fprintf(out, "Not sent: %s\n", result.Hex)
		}
		fmt.Fprintf(out, "txid\t%s\n", result.TxID)
		fmt.Fprintf(out, "paid\t%s\n", d.Amount)
		fmt.Fprintf(out, "fee\t%s (%d vB)\n", d.Fee, result.VSize)
	})
}
