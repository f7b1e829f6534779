package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"lode/consensus"
	"lode/internal/pause"
	"lode/wallet"
	"lode/wallet/uri"
)

// requestFlags are those of commands that hand out an address.
func requestFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "uri", Usage: "print a payment request (BIP21) instead of the address alone"},
		&cli.StringFlag{Name: "amount", Usage: "ask for so many `COINS`"},
		&cli.StringFlag{Name: "message", Usage: "say in the request what it is for, `TEXT`"},
		&cli.BoolFlag{Name: "qr", Usage: "draw the address or the request as a QR code, too"},
	}
}

// request is what the flags make of an address.
func (s *walletSession) request(address string) (uri.Request, error) {
	r := uri.Request{Address: address, Label: s.String("label"), Message: s.String("message")}
	if text := s.String("amount"); text != "" {
		var err error
		if r.Amount, err = wallet.ParseAmount(text); err != nil || r.Amount == 0 {
			return r, usageError(s.Command.HelpName, "--amount: want coins, more than nothing, such as 1.5")
		}
	}
	return r, nil
}

// writeRequest prints an address or a request, and its code.
func (s *walletSession) writeRequest(out io.Writer, r *uri.Request) {
	text := r.Address
	if s.Bool("uri") {
		text = r.String(s.net.spec.Defaults.URIScheme)
	}
	fmt.Fprintln(out, text)
	if !s.Bool("qr") {
		return
	}
	if plain := s.net.spec.Defaults.URIScheme + ":" + r.Address; !s.Bool("uri") || text == plain {
		text = strings.ToUpper(plain) // takes a smaller code
	}
	if code, err := qrText(text); err == nil {
		fmt.Fprint(out, code)
	} else {
		s.note("no QR code: %v", err)
	}
}

func receiveCommand() *cli.Command {
	return &cli.Command{
		Name: "receive", Usage: "wait for a payment", ArgsUsage: "[ADDRESS]", Action: walletReceive,
		Description: "Without ADDRESS, an address that was never handed out is printed first. The command ends\n" +
			"with status 0 when payments to it have the confirmations and the amount that are asked\n" +
			"for, and lists them. What a reorganization undoes does not count.",
		Flags: append(append(walletFlags(), requestFlags()...),
			&cli.StringFlag{Name: "label", Usage: "remember `TEXT` with the address"},
			&cli.BoolFlag{Name: "wait", Usage: "wait; otherwise say at once what there is"},
			&cli.IntFlag{Name: "confirmations", Value: 1, Usage: "let payments count from `N` confirmations on, 0 is from the mempool on"},
			&cli.DurationFlag{Name: "timeout", Usage: "give up after `TIME`, with status 1 (default: never)"}),
	}
}

// Bounds of waiting for a payment.
const (
	maxConfirmations = 10_000
	waitChunk        = 5 * time.Minute // of one call that waits for a block
	poolPoll         = time.Second     // between two looks at one key in the mempool
)

// errNotPaid is the kind of the error of a payment that did not come in time.
var errNotPaid = errors.New("not paid")

func walletReceive(c *cli.Context) error {
	if n := c.Int("confirmations"); n < 0 || n > maxConfirmations {
		return usageError(c.Command.HelpName, "--confirmations %d: want 0 to %d", n, maxConfirmations)
	}
	if c.Duration("timeout") < 0 {
		return usageError(c.Command.HelpName, "--timeout %v: want more than nothing", c.Duration("timeout"))
	}
	return withWallet(c, func(s *walletSession, w *wallet.Wallet) error {
		wanted, err := s.wantedPayment(w)
		if err != nil {
			return err
		}
		ctx := s.Context.Context
		if patience := c.Duration("timeout"); patience > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, patience)
			defer cancel()
		}
		got, err := s.await(ctx, w, wanted)
		if err != nil {
			return err
		}
		result := struct {
			Address string           `json:"address"`
			Amount  consensus.Amount `json:"amount"` // of what counts, sat
			Entries []wallet.Entry   `json:"transactions"`
		}{wanted.Address, sumOf(got), got}
		return s.print(result, func(out io.Writer) {
			for _, e := range got {
				fmt.Fprintln(out, historyLine(&e))
			}
		})
	})
}

// wantedPayment is the request for ADDRESS, or for a new one, which is printed.
func (s *walletSession) wantedPayment(w *wallet.Wallet) (r uri.Request, err error) {
	address := s.Args().First()
	if r, err = s.request(address); err != nil {
		return r, err
	}
	if address != "" {
		if r.Key, err = consensus.ParseAddress(s.net.spec.Defaults.AddressPrefix, address); err != nil {
			return r, usageError(s.Command.HelpName, "%v", err)
		}
		r.Address = consensus.Address(s.net.spec.Defaults.AddressPrefix, r.Key)
		if !w.Owns(r.Key) {
			return r, fmt.Errorf("address %s is not one of this wallet: it would not see the payment", address)
		}
		return r, nil
	}
	if err := s.sync(w); err != nil {
		return r, err
	}
	a, err := w.Receive(wallet.AddressOptions{New: true, Label: s.String("label")})
	if err == nil {
		err = w.Save() // before anybody sees it
	}
	if err != nil {
		return r, err
	}
	r.Address = a.Address
	if r.Key, err = consensus.ParseAddress(s.net.spec.Defaults.AddressPrefix, a.Address); err != nil {
		return r, err
	}
	out := s.App.Writer
	if s.Bool("json") {
		out = s.App.ErrWriter // the result alone goes to standard output
	}
	s.writeRequest(out, &r)
	return r, nil
}

// await syncs until the payment is there. The wallet is not locked between.
func (s *walletSession) await(ctx context.Context, w *wallet.Wallet, r uri.Request) (got []wallet.Entry, err error) {
	least := uint32(s.Int("confirmations"))
	for {
		if err := w.Sync(ctx, s.node, nil); err != nil {
			return nil, s.timedOut(ctx, r, got, s.net.explain(s.client, err))
		}
		got = got[:0]
		for _, e := range w.History() {
			counts := e.State == wallet.StateConfirmed || e.State == wallet.StatePending
			if e.Address == r.Address && e.Amount > 0 && counts && e.Confirmations >= least {
				got = append(got, e)
			}
		}
		if len(got) > 0 && sumOf(got) >= r.Amount || !s.Bool("wait") {
			return got, nil
		}
		if err := w.Release(); err != nil {
			return nil, err
		}
		_, tip := w.Scanned()
		err := s.node.waitForChange(ctx, tip, r.Key, least == 0)
		if err := errors.Join(s.timedOut(ctx, r, got, s.net.explain(s.client, err)), w.Acquire(context.WithoutCancel(ctx))); err != nil {
			return nil, err
		}
	}
}

// timedOut says that the time is over where that is so, and else err.
func (s *walletSession) timedOut(ctx context.Context, r uri.Request, got []wallet.Entry, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w within %v: %s has %s with %d confirmations", errNotPaid, s.Duration("timeout"), r.Address, sumOf(got), s.Int("confirmations"))
	}
	return err
}

func sumOf(entries []wallet.Entry) (sum consensus.Amount) {
	for i := range entries {
		sum += entries[i].Amount
	}
	return sum
}

// waitForChange returns when the tip is another one, or, if the mempool counts as
// well, when that has something new for a key: that much is asked every second, and
// nothing else.
func (n *walletNode) waitForChange(ctx context.Context, tip wallet.Point, key [32]byte, pool bool) error {
	if !pool {
		return n.client.Call(ctx, "waitfornewblock", []any{waitChunk.Milliseconds(), tip.Hash}, nil)
	}
	query := wallet.PoolQuery{Keys: [][32]byte{key}}
	before, err := n.Pending(ctx, query)
	for err == nil {
		if err := pause.For(ctx, poolPoll); err != nil {
			return err
		}
		var now wallet.PoolAnswer
		if now, err = n.Pending(ctx, query); err == nil && len(now.Txs) != len(before.Txs) {
			return nil
		}
		var at wallet.Point
		if at, err = n.Tip(ctx); err == nil && at != tip {
			return nil
		}
	}
	return err
}
