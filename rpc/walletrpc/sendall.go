package walletrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
)

// The members of the options of sendall beside those of send.
const (
	optSendMax = optCount + iota
	optVersion
)

// sendAll spends all coins of the wallet, or those that are named, to recipients of
// which some have no amount: they share what is left.
func sendAll(c *call) (any, error) {
	o := readOptions(c.a, 4, false, "send_max", "version")
	o.mergeFee(c.a, 1, 2, 3)
	f := funding{lockTime: readLockTime(o.Args, optLockTime)}
	if !o.Absent(optVersion) {
		f.version = readVersion(o.Args, optVersion)
	}
	most, wantPSBT, add, lock := o.Flag(optSendMax, false), o.Flag(optPSBT, false), o.Flag(optAddToWallet, true), o.Flag(optLockUnspents, false)
	if err := firstError(c.a, o.Args); err != nil {
		return nil, err
	}
	share, err := c.sharers(&f)
	if err != nil {
		return nil, err
	}
	rate, _, err := c.feeRate(o.wish)
	if err != nil {
		return nil, err
	}
	if !c.w.WatchOnly() && c.o.isLocked() {
		return nil, errLocked
	}
	if err := c.poolKnown(); err != nil {
		return nil, err
	}
	spends, err := c.allCoins(&f, &o, rate)
	if err != nil {
		return nil, err
	}
	d, err := wallet.DraftWhole(f.outs, share, spends, rate)
	if err != nil {
		return nil, shareError(err, most)
	}
	if f.lockTime == nil {
		d.Tx.LockTime = c.w.LockTime()
	}
	c.finishInputs(&f, d, o.Flag(optReplaceable, true))
	for _, coin := range d.Spends {
		if lock && (wantPSBT || !add || c.w.WatchOnly()) {
			c.w.Hold(coin.OutPoint)
		}
	}
	return c.finish(d, wantPSBT, add)
}

// shareError has Bitcoin Core's texts.
func shareError(err error, most bool) error {
	switch {
	case errors.Is(err, wallet.ErrTooManyCoin):
		return fail(codeWallet, "Transaction too large. (%v)", err)
	case errors.Is(err, wallet.ErrDust):
		return fail(codeFunds, "Dynamically assigned remainder results in dust output. (%v)", err)
	case most:
		return fail(codeFunds, "Total value of UTXO pool too low to pay for transaction, try using lower feerate. (%v)", err)
	}
	return fail(codeFunds, "Total value of UTXO pool too low to pay for transaction. Try using lower feerate or excluding uneconomic UTXOs with 'send_max' option. (%v)", err)
}

// sharers reads the recipients, and says which of them have no amount.
func (c *call) sharers(f *funding) (share []int, err error) {
	list := c.a.List(0)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	var pairs []string
	for i, raw := range list {
		if rpc.JSONType(raw) == "string" {
			share = append(share, i)
			pairs = append(pairs, fmt.Sprintf("{%s:0}", raw))
			continue
		}
		pairs = append(pairs, string(raw))
	}
	if len(share) == 0 {
		return nil, fail(codeParameter, "Must provide at least one address without a specified amount")
	}
	f.recipients, err = c.parseOutputs(json.RawMessage("[" + strings.Join(pairs, ",") + "]"))
	for i, out := range f.outs {
		if _, ok := consensus.TaprootKey(out.Script); err == nil && ok && out.Value < wallet.Dust && rpc.JSONType(list[i]) != "string" {
			return nil, fail(codeParameter, "Specified output amount to %s is below dust threshold.", f.addresses[i])
		}
	}
	return share, err
}

// allCoins gives the coins to spend.
func (c *call) allCoins(f *funding, o *options, rate wallet.FeeRate) (spends []wallet.Coin, err error) {
	most, named := o.Flag(optSendMax, false), !o.Absent(optInputs)
	least, upTo := integer32(o.Args, optMinConf, 0), integer32(o.Args, optMaxConf, 9999999)
	switch {
	case o.Err() != nil:
		return nil, o.Err()
	case named && !o.Absent(optSendMax):
		return nil, fail(codeParameter, "Cannot combine send_max with specific inputs.")
	case named && (!o.Absent(optMinConf) || !o.Absent(optMaxConf)):
		return nil, fail(codeParameter, "Cannot combine minconf or maxconf with specific inputs.")
	case least < 0:
		return nil, fail(codeParameter, "Invalid minconf (minconf cannot be negative): %d", least)
	case upTo < least:
		return nil, fail(codeParameter, "maxconf can't be lower than minconf: %d < %d", upTo, least)
	case named:
		if err := f.readInputs(o.List(optInputs), o.Flag(optReplaceable, true)); err != nil {
			return nil, err
		}
		return c.namedCoins(f)
	}
	for _, coin := range c.w.Coins() {
		deep := int64(coin.Confirmations) >= least && int64(coin.Confirmations) <= upTo
		if coin.Spendable() && deep && (!most || coin.Value > rate.Fee(wallet.InputVSize)) {
			spends = append(spends, coin)
		}
	}
	return spends, nil
}

// namedCoins gives the coins that are to be spent, and no others.
func (c *call) namedCoins(f *funding) (spends []wallet.Coin, err error) {
	all := make(map[consensus.OutPoint]wallet.Coin)
	for _, coin := range c.w.Coins() {
		all[coin.OutPoint] = coin
	}
	for _, in := range f.inputs {
		coin, ok := all[in.PrevOut]
		if !ok {
			v, known := c.w.Transaction(in.PrevOut.TxID)
			if known && in.PrevOut.Index < uint32(len(v.Outputs)) && v.Outputs[in.PrevOut.Index].Mine {
				return nil, fail(codeParameter, "Input not available. UTXO (%s) was already spent.", in.PrevOut)
			}
			return nil, fail(codeParameter, "Input not found. UTXO (%s) is not part of wallet.", in.PrevOut)
		}
		spends = append(spends, coin)
		delete(all, in.PrevOut)
	}
	return spends, nil
}
