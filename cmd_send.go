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

	"lode/consensus"
	"lode/wallet"
)

func sendCommand() *cli.Command {
	return &cli.Command{
		Name:   "send",
		Usage:  "pay somebody",
		Action: walletSend,
		Description: "What was signed is written down before it is sent, and sent again by every later command\n" +
			"until a block holds it: its coins are never spent a second time.",
		Flags: append(walletFlags(),
			&cli.StringSliceFlag{Name: "to", Usage: "pay `ADDRESS`, or ADDRESS=COINS once or more"},
			&cli.StringFlag{Name: "amount", Usage: "pay so many `COINS`, such as 1.5, or all that there are"},
			&cli.StringFlag{Name: "csv", Usage: "pay whom `FILE` names, ADDRESS,COINS in every line"},
			&cli.StringSliceFlag{Name: "data", Usage: "add an output with data, `HEX`"},
			&cli.StringSliceFlag{Name: "from", Usage: "spend coin `TXID:N`, once or more, and no others"},
			&cli.StringFlag{Name: "fee-rate", DefaultText: "the node's estimate", Usage: "pay this fee in `SAT` per virtual byte"},
			&cli.IntFlag{Name: "confirm-in", Value: confirmTarget, Usage: "have the node estimate what it takes to be in one of the next `N` blocks"},
			&cli.StringFlag{Name: "max-fee", Value: defaultMaxFee, Usage: "never pay a fee of more than `COINS`; if given, one above a tenth of the amount too"},
			&cli.BoolFlag{Name: "subtract-fee", Usage: "take the fee out of the amount"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
			&cli.BoolFlag{Name: "dry-run", Usage: "make and sign the transaction, but do not send it"},
		),
	}
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
	if !c.Bool("yes") && !c.Bool("dry-run") && !onTerminal() {
		return fmt.Errorf("a payment wants a yes, and %w: use --yes", errNoTerminal)
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
		tx, err := s.approve(w, draft, t.maxFee)
		if err != nil {
			return err
		}
		return s.deliver(w, draft, tx)
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
		select {
		case <-time.After(loadPoll):
		case <-s.Context.Done():
			return s.Context.Err()
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

// approve has a draft confirmed and signs it. The wallet is not locked while
// anybody is asked.
func (s *walletSession) approve(w *wallet.Wallet, d *wallet.Draft, maxFee consensus.Amount) (*consensus.Tx, error) {
	high, err := s.checkFee(d, maxFee)
	if err != nil {
		return nil, err
	}
	if err := w.Release(); err != nil {
		return nil, err
	}
	if err := s.confirm(d, high); err != nil {
		return nil, err
	}
	passphrase, err := s.passphrase("to sign")
	if err != nil {
		return nil, err
	}
	secret, err := s.files.OpenSecret(s.net.spec, passphrase)
	if err != nil {
		return nil, err
	}
	if err := w.Acquire(s.Context.Context); err != nil {
		return nil, err
	}
	return w.Sign(d, secret)
}

// checkFee refuses a fee that nobody can mean. high is one that is worth a
// question of its own.
func (s *walletSession) checkFee(d *wallet.Draft, most consensus.Amount) (high bool, err error) {
	if d.Fee > most {
		return false, fmt.Errorf("the fee would be %s (%s sat/vB), more than the %s that --max-fee allows: nothing was paid", d.Fee, d.Rate(), most)
	}
	high = d.Fee > d.Amount/highFeeShare && !s.IsSet("max-fee")
	if high && s.Bool("yes") {
		return true, fmt.Errorf("the fee would be %s for a payment of %s, more than a tenth: if that is meant, say so with --max-fee %s", d.Fee, d.Amount, d.Fee)
	}
	return high, nil
}

// confirm shows a payment and asks whether it is meant.
func (s *walletSession) confirm(d *wallet.Draft, high bool) error {
	if s.Bool("yes") || s.Bool("dry-run") {
		return nil
	}
	question := s.paymentSummary(d) + "? [y/N] "
	if high {
		question = fmt.Sprintf("The fee is %d %% of the amount.\n", d.Fee*100/max(d.Amount, 1)) + question
	}
	answer, err := ask(s.Context.Context, question)
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return fmt.Errorf("nothing was paid: the answer was not yes")
	}
	return nil
}

// outcomeTime bounds how long the answer to a payment is waited for, even if the
// user has asked the command to end.
const outcomeTime = 30 * time.Second

// deliver sends a signed transaction, unless this is a rehearsal, and prints it.
func (s *walletSession) deliver(w *wallet.Wallet, d *wallet.Draft, tx *consensus.Tx) error {
	sent := !s.Bool("dry-run")
	if sent {
		if err := w.Commit(d, tx); err != nil {
			return err
		}
		if err := s.dispatch(w, tx); err != nil {
			return err
		}
	}
	result := struct {
		TxID   consensus.Hash   `json:"txid"`
		Payees []payeeLine      `json:"payees"`
		Amount consensus.Amount `json:"amount"`
		Fee    consensus.Amount `json:"fee"`
		Change consensus.Amount `json:"change"`
		VSize  int              `json:"vsize"`
		Sent   bool             `json:"sent"`
		Hex    string           `json:"hex"`
	}{tx.TxID(), s.payeeLines(d), d.Amount, d.Fee, d.Change, tx.VSize(), sent, hex.EncodeToString(tx.Bytes())}
	return s.print(result, func(out io.Writer) {
		if !sent {
			fmt.Fprintf(out, "Not sent: %s\n", result.Hex)
		}
		fmt.Fprintf(out, "txid\t%s\n", result.TxID)
		for _, to := range result.Payees {
			fmt.Fprintf(out, "paid\t%s to %s\n", to.Amount, to.Address)
		}
		fmt.Fprintf(out, "fee\t%s (%d vB)\n", d.Fee, result.VSize)
	})
}

// dispatch gives a transaction that is in the journal to the node and notes what
// became of it.
func (s *walletSession) dispatch(w *wallet.Wallet, tx *consensus.Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.Context.Context), outcomeTime)
	defer cancel()
	id := tx.TxID()
	err := s.node.Send(ctx, tx)
	if errors.Is(err, wallet.ErrRefused) || errors.Is(err, wallet.ErrNotAsked) {
		return errors.Join(fmt.Errorf("the node did not take the payment, nothing was paid: %w", s.net.explain(s.client, err)), w.Refused(id))
	}
	if err != nil { // lost on the way, there or back
		return fmt.Errorf("it is not known whether the node took payment %s; it is written down and will be sent again by the next command, so do not repeat it: %w", id, err)
	}
	if err := w.Sent(id); err != nil {
		return fmt.Errorf("payment %s was sent, but that could not be written down: %w", id, err)
	}
	if count, err := s.node.peers(ctx); err == nil && count == 0 {
		s.note("the node has no peers: payment %s is announced as soon as it has, and by every later command", id)
	}
	return nil
}
