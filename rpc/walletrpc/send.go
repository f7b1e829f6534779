package walletrpc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
)

// sendCalls are the calls that pay.
func (m *Manager) sendCalls() calls {
	return calls{
		"sendtoaddress":      m.on(sendToAddress),
		"sendmany":           m.on(sendMany),
		"send":               m.on(send),
		"sendall":            m.on(sendAll),
		"bumpfee":            m.on(func(c *call) (any, error) { return bump(c, false) }),
		"psbtbumpfee":        m.on(func(c *call) (any, error) { return bump(c, true) }),
		"fundrawtransaction": m.on(fundRawTransaction),
	}
}

// ready makes sure that a wallet can pay: it has its keys, and knows what waits.
func (c *call) ready() error {
	switch {
	case c.w.WatchOnly():
		return fail(codeWallet, "Error: Private keys are disabled for this wallet")
	case c.o.isLocked():
		return errLocked
	}
	return c.poolKnown()
}

func (c *call) poolKnown() error {
	if !c.w.PoolLoaded() {
		return fail(codeWarmUp, "The node is still reading its mempool, so what is pending is not known: try again in a moment")
	}
	return nil
}

// orderError gives an error of making a payment a code: that of sendtoaddress is
// another than that of the calls that fund.
func orderError(err error, other int) error {
	switch {
	case errors.Is(err, wallet.ErrDust):
		return fail(other, "Transaction amount too small (%v)", err)
	case errors.Is(err, wallet.ErrFunds):
		return fail(other, "Insufficient funds (%v)", err)
	case errors.Is(err, wallet.ErrTooManyCoin):
		return fail(other, "The inputs size exceeds the maximum weight. Please try sending a smaller amount or manually consolidating your wallet's UTXOs (%v)", err)
	}
	if _, ok := errors.AsType[*rpc.Error](err); ok || err == nil {
		return err
	}
	return fail(other, "%v", err)
}

// payment is what a wallet is asked to pay.
func (r *recipients) payment(rate wallet.FeeRate, from []int) (p wallet.Payment, payees []int, err error) {
	p.Rate, p.SubtractFee = rate, len(from) > 0
	number := make(map[int]int) // of a payee, by its output
	for i, out := range r.outs {
		key, ok := consensus.TaprootKey(out.Script)
		switch {
		case ok:
			number[i] = len(p.Payees)
			p.Payees = append(p.Payees, wallet.Payee{To: key, Amount: out.Value})
			payees = append(payees, i)
		case out.Value > 0:
			return p, nil, fail(codeWallet, "Output %d burns coins: that is not supported", i)
		default:
			data, ok := dataOf(out.Script)
			if !ok {
				return p, nil, fail(codeWallet, "Output %d is neither an address nor data", i)
			}
			p.Data = append(p.Data, data)
		}
	}
	for _, i := range from {
		n, ok := number[i]
		if !ok {
			return p, nil, fail(codeWallet, "The transaction amount is too small to pay the fee")
		}
		p.SubtractFrom = append(p.SubtractFrom, n)
	}
	return p, payees, nil
}

// dataOf is what an OP_RETURN script with one push holds.
func dataOf(script []byte) ([]byte, bool) {
	if !consensus.IsDataScript(script) || len(script) < 1 {
		return nil, false
	}
	_, data, rest, ok := consensus.CutOp(script[1:])
	return data, len(script) > 1 && ok && len(rest) == 0
}

func sendToAddress(c *call) (any, error) {
	address, comment, to := c.a.Text(0, ""), c.a.Text(2, ""), c.a.Text(3, "")
	subtract, replaceable := c.a.Flag(4, false), c.a.Flag(5, true)
	wish, reuse, verbose := readFee(c.a, 6, 7, 9), c.a.Flag(8, false), c.a.Flag(10, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if reuse {
		return nil, errNoReuse
	}
	if err := c.ready(); err != nil {
		return nil, err
	}
	name, err := json.Marshal(address)
	if err != nil {
		return nil, err
	}
	r, err := c.parsePayees(slices.Concat([]byte("{"), name, []byte(":"), c.a.Raw(1), []byte("}")))
	if err != nil {
		return nil, err
	}
	var from []int
	if subtract {
		from = []int{0}
	}
	return c.sendMoney(r, from, wish, replaceable, verbose, comment, to)
}

func sendMany(c *call) (any, error) {
	dummy, comment := c.a.Text(0, ""), c.a.Text(3, "")
	integer32(c.a, 2, 0)
	replaceable, wish, verbose := c.a.Flag(5, true), readFee(c.a, 6, 7, 8), c.a.Flag(9, false)
	var list []json.RawMessage
	if !c.a.Absent(4) {
		list = c.a.List(4)
	}
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if dummy != "" {
		return nil, fail(codeParameter, `Dummy value must be set to ""`)
	}
	r, err := c.parsePayees(c.a.Raw(1))
	if err != nil {
		return nil, err
	}
	from, err := r.subtractFrom(list)
	if err != nil {
		return nil, err
	}
	if err := c.ready(); err != nil {
		return nil, err
	}
	return c.sendMoney(r, from, wish, replaceable, verbose, comment, "")
}

// sendMoney makes, signs and sends a payment.
func (c *call) sendMoney(r recipients, from []int, wish feeWish, replaceable, verbose bool, comment, to string) (any, error) {
	rate, reason, err := c.feeRate(wish)
	if err != nil {
		return nil, orderError(err, codeFunds)
	}
	p, payees, err := r.payment(rate, from)
	if err != nil {
		return nil, err
	}
	d, err := c.w.Draft(p)
	if err != nil {
		return nil, orderError(err, codeFunds)
	}
	rand.Shuffle(len(r.outs), func(i, j int) {
		r.outs[i], r.outs[j] = r.outs[j], r.outs[i]
		for k := range payees {
			switch payees[k] {
			case i:
				payees[k] = j
			case j:
				payees[k] = i
			}
		}
	})
	d.Arrange(r.outs, payees, -1, nil)
	setReplaceable(d.Tx, replaceable)
	tx, err := c.signDraft(d, codeFunds)
	if err != nil {
		return nil, err
	}
	if err := c.pay(d, tx, codeFunds); err != nil {
		return nil, err
	}
	id := tx.TxID()
	if err := c.comment(id, comment, to); err != nil {
		return nil, err
	}
	if !verbose {
		return id, nil
	}
	return struct {
		TxID   consensus.Hash `json:"txid"`
		Reason string         `json:"fee_reason"`
	}{id, reason}, nil
}

// setReplaceable has the inputs of a transaction without signatures allow its
// replacement, or only its lock time.
func setReplaceable(tx *consensus.Tx, replaceable bool) {
	for i := range tx.In {
		if tx.In[i].Sequence = mostReplaceable; !replaceable {
			tx.In[i].Sequence = mostReplaceable + 1
		}
	}
}

// signDraft signs a draft that does not pay too much.
func (c *call) signDraft(d *wallet.Draft, code int) (tx *consensus.Tx, err error) {
	if d.Fee > defaultMaxFee {
		return nil, fail(code, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)")
	}
	err = c.o.withSecret(func(s *wallet.Secret) error {
		tx, err = c.w.Sign(d, s)
		return err
	})
	return tx, orderError(err, codeWallet)
}

// outcomeTime bounds how long the mempool may take for a payment, even if its
// caller has gone.
const outcomeTime = 30 * time.Second

// pay writes a payment down and gives it to the mempool. One that is refused is as
// if it had never been.
func (c *call) pay(d *wallet.Draft, tx *consensus.Tx, code int) error {
	if err := c.w.Commit(d, tx); err != nil {
		return orderError(err, code)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), outcomeTime)
	defer cancel()
	id := tx.TxID()
	err := c.m.node.Send(ctx, tx)
	switch {
	case errors.Is(err, wallet.ErrRefused), errors.Is(err, wallet.ErrNotAsked):
		if undo := c.w.Refused(id); undo != nil {
			return undo
		}
		return fail(code, "The node did not take the transaction, nothing was paid: %v", err)
	case err != nil:
		return fail(codeWallet, "Payment %s is written down and will be sent again: %v", id, err)
	}
	if err := c.w.Sent(id); err != nil {
		return fail(codeWallet, "Payment %s is sent, do not repeat it; that the node has it could not be written down: %v", id, err)
	}
	return nil
}

// comment keeps what a caller says of a payment: as labels of the transaction and
// of its first output (BIP329).
func (c *call) comment(id consensus.Hash, comment, to string) error {
	for _, l := range [][3]string{{"tx", id.String(), comment}, {"output", consensus.OutPoint{TxID: id}.String(), to}} {
		if l[2] == "" {
			continue
		}
		if err := c.w.SetLabel(l[0], l[1], l[2]); err != nil {
			c.m.cfg.Log.Warn("the comment of a payment is not kept", "wallet", c.o.name, "txid", id, "error", err)
		}
	}
	return nil
}

func hexOf(tx *consensus.Tx) string { return hex.EncodeToString(tx.Bytes()) }
