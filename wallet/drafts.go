package wallet

import (
	"fmt"
	"slices"

	"lode/consensus"
)

// DraftWhole spends coins as a whole: to outputs, of which those that are named
// share what is left after the others and the fee, each the same part, and the first
// what cannot be divided.
func DraftWhole(outs []consensus.TxOut, share []int, coins []Coin, rate FeeRate) (*Draft, error) {
	d := &Draft{Spends: coins, Tx: &consensus.Tx{Version: txVersion, Out: slices.Clone(outs)}, changeAt: -1}
	for _, c := range coins {
		d.Tx.In = append(d.Tx.In, consensus.TxIn{PrevOut: c.OutPoint, Sequence: sequenceReplaceable})
	}
	if most := (want{outs: sizesOf(outs)}).maxInputs(); len(coins) > most {
		return nil, fmt.Errorf("%w (%d)", ErrTooManyCoin, most)
	}
	d.Fee = rate.Fee(d.VSize())
	sum, paid := sumOf(coins), consensus.Amount(0)
	for i := range outs {
		if !slices.Contains(share, i) {
			paid += outs[i].Value
		}
	}
	rest := sum - d.Fee - paid
	switch {
	case sum <= d.Fee:
		return nil, fmt.Errorf("%w: the coins are worth %s, and the fee is %s", ErrFunds, sum, d.Fee)
	case rest < 0:
		return nil, fmt.Errorf("%w: the coins are worth %s, the fee is %s, and %s is to be paid", ErrFunds, sum, d.Fee, paid)
	}
	n := consensus.Amount(len(share))
	for k, i := range share {
		if d.Tx.Out[i].Value = rest / n; k == 0 {
			d.Tx.Out[i].Value += rest % n
		}
	}
	for i, out := range d.Tx.Out {
		key, ok := consensus.TaprootKey(out.Script)
		if ok && out.Value < Dust {
			return nil, fmt.Errorf("%w: output %d would get %s, want at least %s", ErrDust, i, out.Value, Dust)
		}
		if ok {
			d.Payees, d.outputs = append(d.Payees, Payee{To: key, Amount: out.Value}), append(d.outputs, i)
			d.Amount += out.Value
		}
	}
	return d, nil
}

// LockTime is what a transaction that is made now gets as its lock time.
func (w *Wallet) LockTime() uint32 { return w.lockTime() }
