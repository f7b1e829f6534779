package wallet

import (
	"cmp"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"

	"lode/consensus"
)

// Payee is one output of a payment.
type Payee struct {
	To     [32]byte         // output key (BIP341)
	Amount consensus.Amount // sat
}

// LateKeys are output keys of payees that follow from the coins that are spent,
// such as those of silent payments (BIP352). Until a draft is signed, an output
// key that stands for them may be any: it has the same size.
type LateKeys interface {
	// OutputKeys gives the keys by the number of the payee. private is the key of
	// an input's output, after its Taproot tweak; it is not to be kept.
	OutputKeys(spends []Coin, private func(input int) (*btcec.PrivateKey, error)) (map[int][32]byte, error)
}

// Payment is what somebody wants to pay.
type Payment struct {
	Payees       []Payee
	Late         LateKeys // nil if all keys of the payees are known
	Data         [][]byte // one OP_RETURN output without coins for each
	Rate         FeeRate
	SubtractFee  bool                 // all payees bear the fee, each the same part
	SubtractFrom []int                // with SubtractFee: only these payees do, by number
	All          bool                 // all that may be spent goes to the one payee, whose Amount does not count
	From         []consensus.OutPoint // spend these coins, all of them and no others; empty: choose
	AddCoins     bool                 // with From: and others, if these do not suffice
	MinConf      uint32               // choose no coins with fewer confirmations
}

// Draft is a payment before it is signed.
type Draft struct {
	Kind     DraftKind
	Tx       *consensus.Tx
	Spends   []Coin // one for each input
	Payees   []Payee
	Amount   consensus.Amount // of all payees; what comes back to the wallet, if there are none
	Fee      consensus.Amount
	Change   consensus.Amount // 0 if there is no change output
	Replaces consensus.Hash   // the payment that it replaces, if any
	Hastens  consensus.Hash   // the one that it pays for as its child, if any

	late      LateKeys
	outputs   []int // of Payees, in Tx.Out
	changeKey KeyID // if there is one
	changeAt  int   // in Tx.Out
	elsewhere bool  // the change goes to a key that was named
}

// DraftKind says what a draft is for.
type DraftKind uint8

// The kinds of drafts.
const (
	DraftPayment DraftKind = iota
	DraftBump              // pays the same as an earlier payment, with a higher fee
	DraftCancel            // pays back to the wallet what an earlier payment spends
	DraftChild             // pays for an earlier transaction
)

const (
	txVersion = 2 // BIP68; what everybody uses, so that wallets look alike

	// sequenceReplaceable allows a replacement with a higher fee (BIP125), and
	// makes the lock time count.
	sequenceReplaceable = 0xfffffffd
)

// Draft makes the transaction of a payment from coins that the wallet may
// spend. Nothing is stored: see Commit.
func (w *Wallet) Draft(p Payment) (*Draft, error) {
	outs, amount, err := w.outputs(p)
	if err != nil {
		return nil, err
	}
	coins, fixed, err := w.sources(p)
	if err != nil {
		return nil, err
	}
	q := want{amount: amount, rate: p.Rate, subtract: p.SubtractFee || p.All, outs: sizesOf(outs), fixed: fixed}
	s, err := q.choose(coins, p)
	if err != nil {
		if b := w.Balance(); errors.Is(err, ErrFunds) && b.Immature > 0 {
			err = fmt.Errorf("%w (%s more in coinbases that are too young)", err, b.Immature)
		}
		return nil, err
	}
	d := &Draft{Spends: slices.Concat(fixed, s.coins), Payees: slices.Clone(p.Payees), Amount: s.amount, Fee: s.fee, Change: s.change, late: p.Late}
	if p.All {
		d.Payees[0].Amount = s.amount
	} else if err := d.subtract(amount-s.amount, p.SubtractFrom); err != nil {
		return nil, err
	}
	for i := range d.Payees {
		outs[i].Value = d.Payees[i].Amount
		d.outputs = append(d.outputs, i)
	}
	mathrand.Shuffle(len(d.Spends), func(i, j int) { d.Spends[i], d.Spends[j] = d.Spends[j], d.Spends[i] })
	d.Tx = &consensus.Tx{Version: txVersion, LockTime: w.lockTime(), Out: outs}
	for _, c := range d.Spends {
		d.Tx.In = append(d.Tx.In, consensus.TxIn{PrevOut: c.OutPoint, Sequence: sequenceReplaceable})
	}
	if s.change > 0 {
		if err := w.freshChange(d); err != nil {
			return nil, err
		}
		if err := w.addChange(d, mathrand.IntN(len(d.Tx.Out)+1)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Drafts is Draft, but where all is to be paid and that is more coins than one
// transaction can hold, it makes as many as it takes, of about the same worth.
func (w *Wallet) Drafts(p Payment) ([]*Draft, error) {
	outs, _, err := w.outputs(p)
	if err != nil {
		return nil, err
	}
	most := want{outs: sizesOf(outs)}.maxInputs()
	var coins []Coin
	if p.All {
		if coins, _, err = w.sources(p); err != nil {
			return nil, err
		}
	}
	if len(coins) <= most || most <= 0 {
		d, err := w.Draft(p)
		return []*Draft{d}, err
	}
	slices.SortStableFunc(coins, func(a, b Coin) int { return cmp.Compare(b.Value, a.Value) })
	list := make([]*Draft, (len(coins)+most-1)/most)
	for i := range list {
		part := p
		part.From, part.AddCoins = nil, false
		for at := i; at < len(coins); at += len(list) {
			part.From = append(part.From, coins[at].OutPoint)
		}
		if list[i], err = w.Draft(part); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// choose takes the coins of a payment, beside the fixed ones.
func (q want) choose(coins []Coin, p Payment) (selection, error) {
	if p.All || len(p.From) > 0 && !p.AddCoins {
		return q.whole(coins, p.All)
	}
	return selectCoins(coins, q)
}

// Bounds of a payment.
const (
	MaxPayees = 2_500   // as many as fit into a transaction that nodes relay
	maxData   = 100_000 // bytes of all OP_RETURN outputs
)

// outputs checks what is to be paid, and gives its outputs, payees first.
func (w *Wallet) outputs(p Payment) (outs []consensus.TxOut, amount consensus.Amount, err error) {
	switch {
	case len(p.Payees) == 0:
		return nil, 0, errors.New("a payment without a payee")
	case len(p.Payees) > MaxPayees:
		return nil, 0, fmt.Errorf("%d payees: at most %d fit into one transaction: pay the others in another", len(p.Payees), MaxPayees)
	case p.All && len(p.Payees) > 1:
		return nil, 0, errors.New("all coins can go to one payee only")
	case slices.ContainsFunc(p.SubtractFrom, func(i int) bool { return i < 0 || i >= len(p.Payees) }):
		return nil, 0, errors.New("the fee cannot be taken from a payee that there is not")
	case p.Rate <= 0 || p.Rate > maxFeeRate:
		return nil, 0, fmt.Errorf("fee rate of %s sat/vB: want more than 0 and at most %s", p.Rate, maxFeeRate)
	}
	for _, to := range p.Payees {
		if to.Amount < Dust && !p.All {
			return nil, 0, fmt.Errorf("%w: %s is less than %s, the least that nodes relay", ErrDust, to.Amount, Dust)
		}
		if amount += to.Amount; to.Amount > w.spec.Rules.MaxMoney || amount > w.spec.Rules.MaxMoney {
			return nil, 0, fmt.Errorf("%w: there are no more than %s coins at all", ErrFunds, w.spec.Rules.MaxMoney)
		}
		outs = append(outs, consensus.TxOut{Value: to.Amount, Script: consensus.TaprootScript(to.To)})
	}
	size := 0
	for _, data := range p.Data {
		if size += len(data); size > maxData || len(data) > 0xffff {
			return nil, 0, fmt.Errorf("%d bytes of data: at most %d in one output, and %d in all", size, 0xffff, maxData)
		}
		outs = append(outs, consensus.TxOut{Script: consensus.DataScript(data)})
	}
	return outs, amount, nil
}

// sources gives the coins to choose from, or those that are named, which are
// fixed if others may be added.
func (w *Wallet) sources(p Payment) (coins, fixed []Coin, err error) {
	named := make(map[consensus.OutPoint]bool)
	for _, o := range p.From {
		named[o] = true
	}
	for _, c := range w.Coins() {
		switch {
		case named[c.OutPoint] && !c.Spendable():
			return nil, nil, fmt.Errorf("coin %s cannot be spent now: it is locked, immature, or paid by others and in no block", c.OutPoint)
		case named[c.OutPoint] && p.AddCoins:
			fixed = append(fixed, c)
			delete(named, c.OutPoint)
		case named[c.OutPoint]:
			coins = append(coins, c)
			delete(named, c.OutPoint)
		case c.Spendable() && c.Confirmations >= p.MinConf && (len(p.From) == 0 || p.AddCoins):
			coins = append(coins, c)
		}
	}
	for _, o := range p.From {
		if named[o] {
			return nil, nil, fmt.Errorf("%s: %w", o, ErrNoCoin)
		}
	}
	return coins, fixed, nil
}

// whole spends all coins: to the payee alone, or with change.
func (q want) whole(coins []Coin, all bool) (selection, error) {
	if len(coins) > q.maxInputs() {
		return selection{}, fmt.Errorf("%w (%d)", ErrTooManyCoin, q.maxInputs())
	}
	sum := sumOf(coins)
	if all {
		q.amount = sum
	}
	s, ok := q.settle(coins)
	switch {
	case !ok || len(coins) == 0:
		return s, fmt.Errorf("%w: want %s and the fee, may spend %s", ErrFunds, q.amount, sum)
	case s.amount < Dust:
		return s, fmt.Errorf("%w: %s remain after the fee of %s, want at least %s", ErrDust, s.amount, s.fee, Dust)
	}
	return s, nil
}

// subtract takes a fee from payees, or some of them, from each the same, and what
// cannot be divided from the first.
func (d *Draft) subtract(fee consensus.Amount, from []int) error {
	if len(from) == 0 {
		for i := range d.Payees {
			from = append(from, i)
		}
	}
	n := consensus.Amount(len(from))
	for at, i := range from {
		part := fee / n
		if at == 0 {
			part += fee % n
		}
		if d.Payees[i].Amount -= part; d.Payees[i].Amount < Dust {
			return fmt.Errorf("%w: of payee %d's amount %s remain after its part of the fee, want at least %s", ErrDust, i+1, d.Payees[i].Amount, Dust)
		}
	}
	return nil
}

// lockTime makes it worthless to mine an old block again for the fees of a new
// transaction; now and then it is older, for those that were signed long before
// they were sent (Bitcoin Core: anti fee sniping).
func (w *Wallet) lockTime() uint32 {
	height := w.points.tip().Height
	if mathrand.IntN(10) == 0 {
		height -= min(height, mathrand.Uint32N(100))
	}
	return height
}

// freshChange has the change go to a key that no node has seen.
func (w *Wallet) freshChange(d *Draft) error {
	w.refresh()
	b, err := w.role(ChangeChain)
	if err != nil {
		return fmt.Errorf("there is no address for the change: %w", err)
	}
	d.changeKey = KeyID{b.id.source, KeyPath{ChangeChain, b.window.fresh()}}
	return nil
}

// addChange pays the change. Drafts have it at a random place, so that nobody can
// tell which output it is.
func (w *Wallet) addChange(d *Draft, at int) error {
	key, err := w.outputKey(d.changeKey)
	if err != nil {
		return err
	}
	d.changeAt = at
	d.Tx.Out = slices.Insert(d.Tx.Out, at, consensus.TxOut{Value: d.Change, Script: consensus.TaprootScript(key)})
	for i := range d.outputs {
		if d.outputs[i] >= at {
			d.outputs[i]++
		}
	}
	return nil
}

// VSize is the size of the signed transaction in virtual bytes.
func (d *Draft) VSize() int { return sizesOf(d.Tx.Out).vsize(len(d.Tx.In)) }

// Rate is the fee rate of a draft, rounded down.
func (d *Draft) Rate() FeeRate { return FeeRate(int64(d.Fee) * 1000 / int64(d.VSize())) }
