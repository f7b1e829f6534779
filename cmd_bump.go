package main

import (
	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/wallet"
)

func bumpCommand() *cli.Command {
	return &cli.Command{
		Name:      "bump",
		Usage:     "have a transaction that waits confirmed sooner",
		ArgsUsage: "TXID",
		Action:    func(c *cli.Context) error { return walletBump(c, wallet.DraftBump) },
		Description: "A payment of this wallet is replaced by one that pays the same with a higher fee, which\n" +
			"comes out of its change, or out of more coins. With --child, what the transaction pays\n" +
			"to this wallet is spent, at a fee that makes up for what it pays too little: that works for\n" +
			"payments of others, too, and for those that were spent already.",
		Flags: append(payFlags(false),
			&cli.BoolFlag{Name: "child", Usage: "pay for it by a transaction that spends from it"},
			&cli.BoolFlag{Name: "subtract-fee", Usage: "take what the fee grows by out of what is paid, from every payee the same part"},
		),
	}
}

func cancelCommand() *cli.Command {
	return &cli.Command{
		Name:      "cancel",
		Usage:     "take back a payment that is in no block",
		ArgsUsage: "TXID",
		Action:    func(c *cli.Context) error { return walletBump(c, wallet.DraftCancel) },
		Description: "It is replaced by one that pays this wallet, with a higher fee. Until that is in a block,\n" +
			"the payment may still be confirmed.",
		Flags: payFlags(false),
	}
}

func walletBump(c *cli.Context, kind wallet.DraftKind) error {
	txid, err := consensus.ParseHash(c.Args().First())
	if err != nil {
		return usageError(c.Command.HelpName, "TXID: %v", err)
	}
	b := wallet.Bump{TxID: txid, Kind: kind, SubtractFee: c.Bool("subtract-fee")}
	if c.Bool("child") {
		if b.Kind = wallet.DraftChild; b.SubtractFee {
			return usageError(c.Command.HelpName, "--child and --subtract-fee exclude each other")
		}
	}
	t, err := readFeeTerms(c)
	if err == nil {
		err = mayAsk(c)
	}
	if err != nil {
		return err
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		if _, err := s.syncAndLag(w); err != nil {
			return err
		}
		if b.Rate = t.rate; b.Rate == 0 {
			if b.Estimate, err = s.node.feeRate(c.Context, t.target); err != nil {
				return s.net.explain(s.client, err)
			}
		}
		if b.Pool, err = s.node.PoolFacts(c.Context, w.BumpQuery(txid)); err != nil {
			return s.net.explain(s.client, err)
		}
		draft, err := w.PlanBump(b)
		if err != nil {
			return err
		}
		return s.pay(w, []*wallet.Draft{draft}, t.maxFee)
	})
}
