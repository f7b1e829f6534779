package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/internal/pause"
	"lode/wallet"
)

func sendCommand() *cli.Command {
	return &cli.Command{
		Name:      "send",
		Usage:     "pay somebody",
		ArgsUsage: "[URI]",
		Action:    walletSend,
		Description: "What was signed is written down before it is sent, and sent again by every later command\n" +
			"until a block holds it: its coins are never spent a second time. URI is a payment\n" +
			"request (BIP21); what it asks for may be given by --amount where it names no amount. Where\n" +
			"all does not fit into one transaction, several are made, each of which is shown.",
		Flags: append(payFlags(true),
			&cli.StringSliceFlag{Name: "to", Usage: "pay `ADDRESS`, or ADDRESS=COINS once or more"},
			&cli.StringFlag{Name: "amount", Usage: "pay so many `COINS`, such as 1.5, or all that there are"},
			&cli.StringFlag{Name: "csv", Usage: "pay whom `FILE` names, ADDRESS,COINS in every line, " + strconv.Itoa(wallet.MaxPayees) + " at most"},
			&cli.StringSliceFlag{Name: "data", Usage: "add an output with data, `HEX`"},
			&cli.StringSliceFlag{Name: "from", Usage: "spend coin `TXID:N`, once or more, and no others"},
			&cli.BoolFlag{Name: "subtract-fee", Usage: "take the fee out of the amount, from every payee the same part"},
		),
	}
}

// payFlags are the flags of every command that pays a fee.
func payFlags(estimated bool) []cli.Flag {
	otherwise := "the node's estimate"
	if !estimated {
		otherwise = "the node's estimate, or what nodes want at least if that is more"
	}
	return append(walletFlags(),
		&cli.StringFlag{Name: "fee-rate", DefaultText: otherwise, Usage: "pay a fee of `RATE`, in sat/vB"},
		&cli.IntFlag{Name: "confirm-in", Value: confirmTarget, Usage: "have the node estimate what it takes to be in one of the next `N` blocks"},
		&cli.StringFlag{Name: "max-fee", Value: defaultMaxFee, Usage: "never pay a fee of more than `COINS`; if given, one above a tenth of the amount too"},
		&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		&cli.BoolFlag{Name: "dry-run", Usage: "make and sign the transaction, but do not send it"},
	)
}

const (
	// defaultMaxFee is in coins, as Bitcoin Core has it (-maxtxfee).
	defaultMaxFee = "0.10"
	// highFeeShare: a fee above a tenth of what is paid wants a word of its own.
	highFeeShare = 10
	// How long a payment waits for the node to read its mempool, and how often it
	// looks.
	loadPatience = 10 * time.Minute
	loadPoll     = 500 * time.Millisecond
)

func walletSend(c *cli.Context) error {
	n, err := networkOf(c)
	if err != nil {
		return err
	}
	t, err := paymentTerms(c, n.spec) // before anything is opened
	if err != nil {
		return err
	}
	if err := mayAsk(c); err != nil {
		return err
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if w.WatchOnly() {
			return wallet.ErrWatchOnly
		}
		if err := s.readyToPay(w); err != nil {
			return err
		}
		if t.Rate == 0 {
			if t.Rate, err = s.node.feeRate(c.Context, t.target); err != nil {
				return s.net.explain(s.client, err)
			}
		}
		drafts, err := w.Drafts(t.Payment)
		if err != nil {
			return err
		}
		if r := &t.request; r.Label != "" || r.Message != "" {
			s.note("the payment request says: %s", strings.Join([]string{strconv.Quote(r.Label), strconv.Quote(r.Message)}, ", "))
		}
		return s.pay(w, drafts, t.maxFee)
	})
}

// readyToPay syncs, waits until the node has read its mempool, and sees to it
// that no payment is made beside one whose command was interrupted.
func (s *walletSession) readyToPay(w *wallet.Wallet) error {
	interrupted := w.Interrupted()
	for deadline := time.Now().Add(loadPatience); ; {
		if _, err := s.syncAndLag(w); err != nil {
			return err
		}
		if w.PoolLoaded() {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("the node is still reading its mempool, so what is pending is not known: nothing was paid, try again later")
		}
		if err := w.Release(); err != nil { // others may use it meanwhile
			return err
		}
		if err := pause.For(s.Context.Context, loadPoll); err != nil {
			return err
		}
		if err := w.Acquire(s.Context.Context); err != nil {
			return err
		}
	}
	if len(interrupted) > 0 {
		e := interrupted[0]
		if still := w.Interrupted(); len(still) > 0 {
			return fmt.Errorf("payment %s (%s to %s of %s) was interrupted before the node had answered, and now the node does not take it (%s): give it up with `lode wallet abandon --txid %s` before you pay anew",
				still[0].TxID, -still[0].Amount, still[0].Address, still[0].Seen.Local().Format(localTime), still[0].Refusal, still[0].TxID)
		}
		return fmt.Errorf("payment %s (%s to %s of %s) was interrupted before the node had answered: it has been sent now, and nothing beside it; see `lode wallet history`, and repeat the command if one more payment is meant",
			e.TxID, -e.Amount, e.Address, e.Seen.Local().Format(localTime))
	}
	return nil
}
