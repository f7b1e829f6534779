package walletrpc

import (
	"errors"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
)

// bump answers bumpfee and psbtbumpfee.
func bump(c *call, wantPSBT bool) (any, error) {
	if c.w.WatchOnly() && !wantPSBT {
		return nil, fail(codeWallet, "bumpfee is not available with wallets that have private keys disabled. Use psbtbumpfee instead.")
	}
	id := c.a.Hash(0, "txid")
	o := c.a.Object(1, "confTarget", "conf_target", "fee_rate", "replaceable", "estimate_mode", "outputs", "original_change_index")
	target := 1
	if !o.Absent(0) {
		if target = 0; !o.Absent(1) {
			o.Fail(fail(codeParameter, "confTarget and conf_target options should not both be set. Use conf_target (confTarget is deprecated)."))
		}
	}
	wish, replaceable := readFee(o, target, 4, 2), o.Flag(3, true)
	if err := firstError(c.a, o); err != nil {
		return nil, err
	}
	b := wallet.Bump{TxID: id, Kind: wallet.DraftBump}
	if err := c.bumpOutputs(&b, o); err != nil {
		return nil, err
	}
	if !c.w.WatchOnly() && c.o.isLocked() {
		return nil, errLocked
	}
	if err := c.poolKnown(); err != nil {
		return nil, err
	}
	d, before, err := c.planBump(&b, wish)
	if err != nil {
		return nil, err
	}
	setReplaceable(d.Tx, replaceable)
	answer := struct {
		TxID   *consensus.Hash `json:"txid,omitempty"`
		PSBT   string          `json:"psbt,omitempty"`
		Before coins           `json:"origfee"`
		Fee    coins           `json:"fee"`
		Errors []string        `json:"errors"`
	}{Before: coins(before), Fee: coins(d.Fee), Errors: []string{}}
	if wantPSBT {
		p, err := c.packetOf(d)
		if err != nil {
			return nil, err
		}
		answer.PSBT = p.String()
		return answer, nil
	}
	tx, err := c.signDraft(d, codeWallet)
	if err != nil {
		return nil, err
	}
	if err := c.pay(d, tx, codeWallet); err != nil {
		return nil, err
	}
	after := tx.TxID()
	answer.TxID = &after
	return answer, nil
}

// bumpOutputs reads what a replacement is to pay instead.
func (c *call) bumpOutputs(b *wallet.Bump, o *rpc.Args) error {
	if !o.Absent(5) {
		if o.Type(5) == "array" && len(o.List(5)) == 0 {
			return fail(codeParameter, "Invalid parameter, output argument cannot be an empty array")
		}
		r, err := c.parseOutputs(o.Raw(5))
		if err != nil {
			return err
		}
		b.Outputs = r.outs
	}
	if o.Absent(6) {
		return nil
	}
	n := o.Integer(6, 0, 0, 1<<32-1)
	if o.Err() != nil {
		return o.Err()
	}
	if b.Outputs != nil {
		return fail(codeParameter, "The options 'outputs' and 'original_change_index' are incompatible. You can only either specify a new set of outputs, or designate a change output to be recycled.")
	}
	if v, ok := c.w.Transaction(b.TxID); ok && n >= int64(len(v.Tx.Out)) {
		return fail(codeParameter, "Change position is out of range")
	}
	b.Change = new(uint32(n))
	return nil
}

// planBump makes a replacement, with Bitcoin Core's errors where it has one.
func (c *call) planBump(b *wallet.Bump, wish feeWish) (d *wallet.Draft, before consensus.Amount, err error) {
	v, ok := c.w.Transaction(b.TxID)
	if !ok {
		return nil, 0, fail(codeAddress, "Invalid or non-wallet transaction id")
	}
	before, whole := v.Fee()
	switch {
	case v.Depth != 0:
		return nil, 0, fail(codeWallet, "Transaction has been mined, or is conflicted with a mined transaction")
	case v.State == wallet.StateReplaced:
		return nil, 0, fail(codeWallet, "Cannot bump transaction %s which was already bumped by transaction %s", v.ID, v.By)
	case !whole:
		return nil, 0, fail(codeWallet, "Transaction contains inputs that don't belong to this wallet")
	}
	if b.Pool, err = c.m.node.PoolFacts(c.ctx, c.w.BumpQuery(b.TxID)); err != nil {
		return nil, 0, err
	}
	if wish.explicit {
		b.Rate = wish.rate
		if least := wallet.FeeRate(c.m.cfg.Pool.MinFeeRate()); b.Rate < least {
			return nil, 0, fail(codeParameter, "Insufficient total fee: fee rate (%s) is lower than the minimum fee rate (%s) to get into the mempool", satPerByte(b.Rate), satPerByte(least))
		}
	} else if b.Estimate, _, err = c.feeRate(wish); err != nil {
		return nil, 0, err
	}
	if info, ok := c.m.cfg.Pool.Info(v.ID); ok && len(info.SpentBy) > 0 {
		return nil, 0, fail(codeParameter, "Transaction has descendants in the mempool")
	}
	d, err = c.w.PlanBump(*b)
	switch {
	case errors.Is(err, wallet.ErrBump) && wish.explicit:
		return nil, 0, fail(codeParameter, "Insufficient total fee: %v", err)
	case err != nil:
		return nil, 0, orderError(err, codeWallet)
	}
	return d, before, nil
}
