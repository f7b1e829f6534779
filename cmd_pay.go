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

// mayAsk fails if a payment wants a yes and there is nobody to say it.
func mayAsk(c *cli.Context) error {
	if !c.Bool("yes") && !c.Bool("dry-run") && !onTerminal() {
		return fmt.Errorf("a payment wants a yes, and %w: use --yes", errNoTerminal)
	}
	return nil
}

// pay has drafts confirmed, all at once, signs them, sends them, unless this is a
// rehearsal, and prints them. The wallet is not locked while anybody is asked.
func (s *walletSession) pay(w *wallet.Wallet, drafts []*wallet.Draft, maxFee consensus.Amount) error {
	high, err := s.checkFees(drafts, maxFee)
	if err != nil {
		return err
	}
	if err := w.Release(); err != nil {
		return err
	}
	if err := s.confirm(drafts, high); err != nil {
		return err
	}
	passphrase, err := s.passphrase("to sign")
	if err != nil {
		return err
	}
	secret, err := s.files.OpenSecret(s.net.spec, passphrase)
	if err != nil {
		return err
	}
	if err := w.Acquire(s.Context.Context); err != nil {
		return err
	}
	txs := make([]*consensus.Tx, len(drafts))
	for i, d := range drafts {
		if txs[i], err = w.Sign(d, secret); err != nil {
			return err
		}
	}
	return s.deliver(w, drafts, txs)
}

// checkFees refuses a fee that nobody can mean, for one transaction or for all.
// high is one that is worth a question of its own.
func (s *walletSession) checkFees(drafts []*wallet.Draft, most consensus.Amount) (high bool, err error) {
	var fees, amount consensus.Amount
	for _, d := range drafts {
		if d.Fee > most {
			return false, fmt.Errorf("the fee would be %s (%s sat/vB), more than the %s that --max-fee allows: nothing was paid", d.Fee, d.Rate(), most)
		}
		fees, amount = fees+d.Fee, amount+d.Amount
	}
	high = fees > amount/highFeeShare && !s.IsSet("max-fee")
	if high && s.Bool("yes") {
		return true, fmt.Errorf("the fee would be %s for a payment of %s, more than a tenth: if that is meant, say so with --max-fee %s", fees, amount, fees)
	}
	return high, nil
}

// confirm shows payments and asks whether they are meant.
func (s *walletSession) confirm(drafts []*wallet.Draft, high bool) error {
	if s.Bool("yes") || s.Bool("dry-run") {
		return nil
	}
	question := s.paymentSummary(drafts) + "? [y/N] "
	if high {
		var fees, amount consensus.Amount
		for _, d := range drafts {
			fees, amount = fees+d.Fee, amount+d.Amount
		}
		question = fmt.Sprintf("The fee is %d %% of the amount.\n", fees*100/max(amount, 1)) + question
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

// sentTx is a transaction that was made, as programs read it. Amounts are in sat.
type sentTx struct {
	TxID     consensus.Hash   `json:"txid"`
	Replaces *consensus.Hash  `json:"replaces,omitempty"`
	Hastens  *consensus.Hash  `json:"hastens,omitempty"`
	Payees   []payeeLine      `json:"payees"`
	Amount   consensus.Amount `json:"amount"`
	Fee      consensus.Amount `json:"fee"`
	FeeRate  string           `json:"feerate"` // sat/vB
	Change   consensus.Amount `json:"change"`
	VSize    int              `json:"vsize"`
	Sent     bool             `json:"sent"`
	Hex      string           `json:"hex"`
}

func (s *walletSession) newSentTx(d *wallet.Draft, tx *consensus.Tx) sentTx {
	t := sentTx{TxID: tx.TxID(), Payees: s.payeeLines(d), Amount: d.Amount, Fee: d.Fee, FeeRate: d.Rate().String(), Change: d.Change,
		VSize: tx.VSize(), Hex: hex.EncodeToString(tx.Bytes())}
	if d.Replaces != (consensus.Hash{}) {
		t.Replaces = &d.Replaces
	}
	if d.Hastens != (consensus.Hash{}) {
		t.Hastens = &d.Hastens
	}
	return t
}

// write is for people.
func (t *sentTx) write(out io.Writer) {
	if !t.Sent {
		fmt.Fprintf(out, "Not sent: %s\n", t.Hex)
	}
	fmt.Fprintf(out, "txid\t%s\n", t.TxID)
	switch {
	case t.Replaces != nil:
		fmt.Fprintf(out, "replaces\t%s\n", t.Replaces)
	case t.Hastens != nil:
		fmt.Fprintf(out, "hastens\t%s\n", t.Hastens)
	}
	for _, to := range t.Payees {
		fmt.Fprintf(out, "paid\t%s to %s\n", to.Amount, to.Address)
	}
	fmt.Fprintf(out, "fee\t%s (%s sat/vB, %d vB)\n", t.Fee, t.FeeRate, t.VSize)
}

// deliver sends signed transactions, unless this is a rehearsal, and prints them.
// One that fails leaves those before it sent, and says so.
func (s *walletSession) deliver(w *wallet.Wallet, drafts []*wallet.Draft, txs []*consensus.Tx) error {
	list := make([]sentTx, 0, len(txs))
	var failed error
	for i, tx := range txs {
		t := s.newSentTx(drafts[i], tx)
		if t.Sent = !s.Bool("dry-run"); t.Sent {
			if failed = w.Commit(drafts[i], tx); failed == nil {
				failed = s.dispatch(w, tx)
			}
		}
		if failed != nil {
			break
		}
		list = append(list, t)
	}
	if failed != nil && len(txs) > 1 {
		failed = fmt.Errorf("%d of %d transactions were sent: %w", len(list), len(txs), failed)
	}
	if len(list) == 0 {
		return failed
	}
	s.noteNoPeers(list)
	return errors.Join(failed, s.printSent(list, len(txs)))
}

// printSent prints one transaction, or several as a list.
func (s *walletSession) printSent(list []sentTx, planned int) error {
	var result any = list[0]
	if planned > 1 {
		result = struct {
			Transactions []sentTx `json:"transactions"`
		}{list}
	}
	return s.print(result, func(out io.Writer) {
		for i := range list {
			list[i].write(out)
		}
	})
}

// outcomeTime bounds how long the answer to a payment is waited for, even if the
// user has asked the command to end.
const outcomeTime = 30 * time.Second

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
	return nil
}

// noteNoPeers says that what was sent is known to this node alone.
func (s *walletSession) noteNoPeers(list []sentTx) {
	if !list[0].Sent {
		return
	}
	if count, err := s.node.peers(context.WithoutCancel(s.Context.Context)); err == nil && count == 0 {
		s.note("the node has no peers: payment %s is announced as soon as it has, and by every later command", list[0].TxID)
	}
}
