package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/wallet"
	"lode/wallet/psbt"
	"lode/wallet/psbt/signer"
)

func psbtBroadcast(c *cli.Context) error {
	most, err := wallet.ParseAmount(c.String("max-fee"))
	if err != nil {
		return usageError("lode wallet psbt broadcast", "--max-fee: %v", err)
	}
	if !c.Bool("yes") && !onTerminal() {
		return fmt.Errorf("a payment wants a yes, and %w: use --yes", errNoTerminal)
	}
	return withPSBT(c, func(s *walletSession, p *psbt.Packet) error {
		tx, err := extractPSBT(s.net.spec, p)
		if err != nil {
			return err
		}
		if _, err := os.Stat(s.files.Watch); errors.Is(err, os.ErrNotExist) {
			return s.broadcast(nil, p, tx, most)
		}
		return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
			if err := s.sync(w); err != nil {
				return err
			}
			return s.broadcast(w, p, tx, most)
		})
	})
}

// broadcast sends the transaction of a PSBT. If it spends coins of the wallet, that
// writes it down first.
func (s *walletSession) broadcast(w *wallet.Wallet, p *psbt.Packet, tx *consensus.Tx, most consensus.Amount) error {
	ring := new(signer.Ring)
	if w != nil {
		if err := w.UpdatePSBT(p, ring); err != nil {
			return err
		}
		if err := w.Release(); err != nil {
			return err
		}
	}
	if err := s.approveBroadcast(p, ring, most); err != nil {
		return err
	}
	if err := s.sendPSBT(w, tx); err != nil {
		return err
	}
	result := struct {
		TxID consensus.Hash `json:"txid"`
	}{tx.TxID()}
	return s.print(result, func(out io.Writer) { fmt.Fprintln(out, result.TxID) })
}

func (s *walletSession) approveBroadcast(p *psbt.Packet, ring *signer.Ring, most consensus.Amount) error {
	r, err := s.review(p, ring)
	if err != nil {
		return err
	}
	if err := s.checkPSBTFee(r.fee, r.amount, most); err != nil {
		return err
	}
	if s.Bool("yes") {
		return nil
	}
	table := tabwriter.NewWriter(s.App.ErrWriter, 0, 0, 2, ' ', 0)
	r.write(table)
	if err := table.Flush(); err != nil {
		return err
	}
	answer, err := ask(s.Context.Context, "Send this? [y/N] ")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return errors.New("nothing was sent: the answer was not yes")
	}
	return nil
}

func (s *walletSession) sendPSBT(w *wallet.Wallet, tx *consensus.Tx) error {
	if w != nil {
		if err := w.Acquire(s.Context.Context); err != nil {
			return err
		}
		draft, own, err := w.DraftOf(tx)
		if err != nil {
			return err
		}
		if own {
			locked := w.UnlockSpent(draft)
			err := w.Commit(draft, tx)
			if err == nil {
				err = s.dispatch(w, tx)
			}
			if err != nil {
				for _, o := range locked {
					err = errors.Join(err, w.Lock(o))
				}
			}
			return err
		}
	}
	if err := s.node.Send(s.Context.Context, tx); err != nil {
		return fmt.Errorf("the node did not take the transaction: %w", s.net.explain(s.client, err))
	}
	return nil
}
