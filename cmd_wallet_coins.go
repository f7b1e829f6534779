package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/wallet"
)

func coinsCommand() *cli.Command {
	return &cli.Command{
		Name: "coins", Usage: "list the coins, and lock or unlock some", Action: walletCoins,
		Description: "A locked coin is not spent until it is unlocked.",
		Flags: append(walletFlags(),
			&cli.StringSliceFlag{Name: "lock", Usage: "lock coin `TXID:N`"},
			&cli.StringSliceFlag{Name: "unlock", Usage: "unlock coin `TXID:N`, or all"}),
	}
}

func abandonCommand() *cli.Command {
	return &cli.Command{
		Name: "abandon", Usage: "give up a payment that the node does not have", Action: walletAbandon,
		Description: "Its coins may be spent again, and it is not sent again. Somebody who has kept it can\n" +
			"still have it confirmed: only a payment that spends one of its coins makes sure.",
		Flags: append(walletFlags(), &cli.StringFlag{Name: "txid", Usage: "`TXID` of the payment", Required: true}),
	}
}

// coinLine is a coin as programs read it.
type coinLine struct {
	TxID          consensus.Hash   `json:"txid"`
	Vout          uint32           `json:"vout"`
	Amount        consensus.Amount `json:"amount"` // sat
	Address       string           `json:"address"`
	Label         string           `json:"label,omitempty"`
	Path          string           `json:"path"`
	Height        uint32           `json:"height,omitempty"` // absent if pending
	Confirmations uint32           `json:"confirmations"`
	Coinbase      bool             `json:"coinbase"`
	Mature        bool             `json:"mature"`
	Trusted       bool             `json:"trusted"`
	Locked        bool             `json:"locked"`
	Spendable     bool             `json:"spendable"`
}

func walletCoins(c *cli.Context) error {
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if _, err := s.syncAndLag(w); err != nil {
			return err
		}
		if err := s.changeLocks(w); err != nil {
			return err
		}
		coins := w.Coins()
		lines := make([]coinLine, len(coins))
		for i, coin := range coins {
			a, err := w.Address(coin.Key)
			if err != nil {
				return err
			}
			lines[i] = coinLine{coin.TxID, coin.Index, coin.Value, a.Address, a.Label, w.Path(coin.Key), coin.Height, coin.Confirmations,
				coin.Coinbase, coin.Mature, coin.Trusted, coin.Locked, coin.Spendable()}
		}
		return s.print(lines, func(out io.Writer) {
			for _, l := range lines {
				fmt.Fprintf(out, "%s:%d\t%20s\t%d conf.\t%s\t%s\t%s\n", l.TxID, l.Vout, l.Amount, l.Confirmations, l.state(), l.Address, l.Label)
			}
		})
	})
}

// state says in a word why a coin cannot be spent.
func (l *coinLine) state() string {
	switch {
	case l.Locked:
		return "locked"
	case !l.Mature:
		return "immature"
	case !l.Trusted:
		return "others'"
	}
	return "spendable"
}

// changeLocks does what --lock and --unlock say, or nothing at all.
func (s *walletSession) changeLocks(w *wallet.Wallet) error {
	for _, text := range s.StringSlice("unlock") {
		list := []string{text}
		if text == "all" {
			list = w.Locked()
		}
		for _, text := range list {
			o, err := wallet.ParseOutPoint(text)
			if err != nil {
				return usageError("lode wallet coins", "--unlock: %v", err)
			}
			if !w.Unlock(o) {
				return fmt.Errorf("coin %s is not locked", o)
			}
		}
	}
	for _, text := range s.StringSlice("lock") {
		o, err := wallet.ParseOutPoint(text)
		if err != nil {
			return usageError("lode wallet coins", "--lock: %v", err)
		}
		if err := w.Lock(o); err != nil {
			return err
		}
	}
	return nil
}

func walletAbandon(c *cli.Context) error {
	txid, err := consensus.ParseHash(c.String("txid"))
	if err != nil {
		return usageError("lode wallet abandon", "--txid: %v", err)
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if _, err := s.syncAndLag(w); err != nil {
			return err
		}
		if err := w.Abandon(txid); err != nil {
			return err
		}
		result := struct {
			TxID consensus.Hash `json:"txid"`
		}{txid}
		return s.print(result, func(out io.Writer) { fmt.Fprintf(out, "Payment %s is given up.\n", txid) })
	})
}
