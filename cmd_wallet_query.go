package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/rpc/client"
	"lode/wallet"
)

func walletAddress(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		o := wallet.AddressOptions{New: c.Bool("new"), Label: c.String("label"), BeyondGap: c.Bool("beyond-gap")}
		if err := s.sync(w); errors.Is(err, client.ErrNotRunning) {
			// Whether one that was handed out is still unused is not known.
			o.New = true
			_, tip := w.Scanned()
			s.note("no node answers, so what was paid since block %d is not known; this address was never handed out", tip.Height)
		} else if err != nil {
			return err
		}
		a, err := w.Receive(o)
		if err != nil {
			return err
		}
		if err := w.Save(); err != nil { // before anybody sees it
			return err
		}
		if o.BeyondGap && a.Gap >= w.Gap() {
			s.note("a restore from the words needs --gap %d from now on", w.Gap())
		}
		line := newAddressLine(w, a)
		if !c.Bool("for-miner") {
			request, err := s.request(a.Address)
			if err != nil {
				return err
			}
			line.URI = request.String(s.net.spec.Defaults.URIScheme)
			return s.print(line, func(out io.Writer) { s.writeRequest(out, &request) })
		}
		key, err := consensus.ParseAddress(s.net.spec.Defaults.AddressPrefix, a.Address)
		if err != nil {
			return err
		}
		line.ForMiner = consensus.MinerAddress(s.net.spec.Defaults.AddressPrefix, key)
		s.note("this form is for the --coinbase-addr of a miner, never for receiving; blocks pay to %s", a.Address)
		return s.print(line, func(out io.Writer) { fmt.Fprintln(out, line.ForMiner) })
	})
}

// addressLine is an address with its whole path.
type addressLine struct {
	wallet.Address
	Path     string `json:"path"`
	URI      string `json:"uri,omitempty"`       // with what is asked for (BIP21)
	ForMiner string `json:"for_miner,omitempty"` // never for receiving, see consensus.MinerAddress
}

func newAddressLine(w *wallet.Wallet, a wallet.Address) addressLine {
	return addressLine{Address: a, Path: w.Path(a.Key)}
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
		lag, err := s.syncAndLag(w)
		if err != nil {
			return err
		}
		b := w.Balance()
		_, tip := w.Scanned()
		result := struct {
			wallet.Balance
			AsOf   wallet.Point `json:"as_of"`
			InSync bool         `json:"in_sync"` // the node is, as far as it knows
		}{b, tip, lag == ""}
		return s.print(result, func(out io.Writer) {
			for _, line := range []struct {
				name   string
				amount consensus.Amount
			}{{"confirmed", b.Confirmed}, {"unconfirmed", b.Unconfirmed}, {"  trusted", b.Trusted}, {"  others'", b.Others}, {"immature", b.Immature}, {"locked", b.Locked}, {"spendable", b.Spendable}} {
				fmt.Fprintf(out, "%s\t%20s\n", line.name, line.amount)
			}
			fmt.Fprintf(out, "as of block\t%20d\n", tip.Height)
		})
	})
}

// syncAndLag is sync, and says what the node itself lacks, which is noted.
func (s *walletSession) syncAndLag(w *wallet.Wallet) (lag string, err error) {
	if err := s.sync(w); err != nil {
		return "", err
	}
	h, err := s.node.health(s.Context.Context)
	if err != nil {
		return "", s.net.explain(s.client, err)
	}
	if lag = h.lag(); lag != "" {
		s.note("%s: what happened since is missing here", lag)
	}
	return lag, nil
}

// historyResult is what history prints.
type historyResult struct {
	Source  string         `json:"source"`
	From    uint32         `json:"from_height"`
	To      wallet.Point   `json:"to"`
	Entries []wallet.Entry `json:"transactions"`
	Removed []wallet.Entry `json:"removed,omitempty"` // with --since: was in blocks that do not count any more
}

func walletHistory(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if _, err := s.syncAndLag(w); err != nil {
			return err
		}
		if err := s.acknowledge(w); err != nil {
			return err
		}
		first, tip := w.Scanned()
		result := historyResult{
			Source: fmt.Sprintf("from blocks %d to %d of the node at %s, and its mempool", first.Height, tip.Height, s.client.URL()),
			From:   first.Height, To: tip, Entries: w.History(),
		}
		if since := c.String("since"); since != "" {
			hash, err := consensus.ParseHash(since)
			if err != nil {
				return usageError("lode wallet history", "--since: %v", err)
			}
			fork, stale, err := s.node.forkOf(c.Context, hash)
			if err != nil {
				return s.net.explain(s.client, err)
			}
			result.Entries, result.Removed = w.Since(fork, stale)
		}
		if c.Bool("csv") {
			return writeHistoryCSV(s.App.Writer, &result)
		}
		return s.print(result, func(out io.Writer) {
			for _, e := range result.Entries {
				fmt.Fprintln(out, historyLine(&e))
			}
			for _, e := range result.Removed {
				fmt.Fprintf(out, "removed:\t%s\n", historyLine(&e))
			}
			fmt.Fprintln(out, result.Source)
		})
	})
}

// writeHistoryCSV writes entries for a spreadsheet: times in UTC (RFC 3339), amounts
// in coins. Those of transactions that --since says are removed come last.
func writeHistoryCSV(to io.Writer, h *historyResult) error {
	out := csv.NewWriter(to)
	out.Write([]string{"time", "kind", "amount", "fee", "state", "confirmations", "height", "txid", "vout", "address", "label", "by", "removed"})
	for i, e := range slices.Concat(h.Entries, h.Removed) {
		when, fee, vout, by := e.Seen, "", "", ""
		if e.Time != nil {
			when = *e.Time
		}
		if e.Fee != nil {
			fee = e.Fee.String()
		}
		if e.Vout != nil {
			vout = fmt.Sprint(*e.Vout)
		}
		if e.By != nil {
			by = e.By.String()
		}
		out.Write([]string{when.UTC().Format(time.RFC3339), e.Kind, e.Amount.String(), fee, string(e.State), fmt.Sprint(e.Confirmations), fmt.Sprint(e.Height),
			e.TxID.String(), vout, e.Address, e.Label, by, fmt.Sprint(i >= len(h.Entries))})
	}
	out.Flush()
	return out.Error()
}

// acknowledge does what --acknowledge says.
func (s *walletSession) acknowledge(w *wallet.Wallet) error {
	var txid consensus.Hash
	switch text := s.String("acknowledge"); text {
	case "":
		return nil
	case "all":
	default:
		var err error
		if txid, err = consensus.ParseHash(text); err != nil {
			return usageError("lode wallet history", "--acknowledge: %v, want a txid or all", err)
		}
	}
	s.note("%d warnings are acknowledged", w.Acknowledge(txid))
	return nil
}

// localTime writes a time for people, with its zone.
const localTime = "2006-01-02 15:04 -0700"

// historyLine is an entry in columns that tabs separate.
func historyLine(e *wallet.Entry) string {
	when, fee := e.Seen, ""
	if e.Time != nil {
		when = *e.Time
	}
	if e.Fee != nil {
		fee = fmt.Sprintf("fee %s", *e.Fee)
	}
	state := string(e.State)
	switch {
	case e.State == wallet.StateConfirmed:
		state = fmt.Sprintf("%d conf.", e.Confirmations)
	case e.By != nil:
		state = fmt.Sprintf("%s by %s", e.State, e.By)
	case e.Unsent:
		state = "pending, not known to have been sent"
	case e.Refusal != "":
		state = "pending, the node does not take it"
	}
	place := e.TxID.String()
	if e.Vout != nil {
		place = fmt.Sprintf("%s:%d", e.TxID, *e.Vout)
	}
	address := e.Address
	if e.Kind == wallet.KindSent && e.Silent != "" {
		address = e.Silent // whom the owner meant
	}
	return fmt.Sprintf("%s\t%s\t%20s\t%s\t%s\t%s\t%s\t%s", when.In(time.Local).Format(localTime), e.Kind, e.Amount, fee, state, place, address, e.Label)
}

func walletRescan(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		from := c.Int64("from")
		if from < 0 || from > 1<<32-1 {
			return usageError("lode wallet rescan", "--from %d: want a height", from)
		}
		if gap := c.Uint("gap"); gap != 0 {
			if err := w.WidenGap(c.Context, uint32(min(gap, wallet.MaxGap+1))); err != nil {
				return err
			}
		}
		progress, done := s.scanProgress()
		err := w.Rescan(c.Context, s.node, uint32(from), progress)
		done()
		if err != nil {
			return s.net.explain(s.client, err)
		}
		s.missedSilent(w, true)
		s.missedSilent(w, false)
		found := w.Found()
		return s.print(found, func(out io.Writer) { fmt.Fprintln(out, found) })
	})
}
