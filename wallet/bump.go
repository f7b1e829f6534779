package wallet

import (
	"errors"
	"fmt"
	"slices"

	"lode/consensus"
)

// ErrBump is the kind of the error of a transaction that cannot be hastened or
// taken back.
var ErrBump = errors.New("cannot be hastened")

// Bump is the wish that a transaction is confirmed sooner, or never.
type Bump struct {
	TxID consensus.Hash
	Kind DraftKind // DraftBump, DraftCancel or DraftChild
	// Rate is wanted for the replacement, or for the child and what it pays for
	// together. If it is 0, it is Estimate, or the least that makes sense if that
	// is more.
	Rate, Estimate FeeRate
	SubtractFee    bool              // DraftBump: the payees bear what the fee grows by
	Outputs        []consensus.TxOut // DraftBump: pay these instead; nil: the same as before
	Change         *uint32           // DraftBump: the output that is the change, if it is not to be found out
	Pool           PoolFacts         // of what BumpQuery names
}

// stepRate is what a replacement pays more, if nothing else is said and the node
// does not want more: nodes elsewhere may (Bitcoin Core's
// WALLET_INCREMENTAL_RELAY_FEE, 5 sat/vB).
const stepRate FeeRate = 5000

// BumpQuery names the transactions that PlanBump wants to know of: the one that
// is to be hastened, and those in no block that it builds on.
func (w *Wallet) BumpQuery(txid consensus.Hash) []consensus.Hash {
	ids := []consensus.Hash{txid}
	r := w.journal.byID.of(txid)
	if r == nil {
		return ids
	}
	for i := range r.tx.In {
		if id := r.tx.In[i].PrevOut.TxID; w.inNoBlock(id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (w *Wallet) inNoBlock(id consensus.Hash) bool {
	r := w.journal.byID.of(id)
	return r != nil && !r.confirmed()
}

// PlanBump makes the transaction that hastens or cancels another one, by the rules
// of Bitcoin Core's feebumper. Nothing is stored: Sign and Commit it like a payment.
// The errors are of kind ErrNoPayment, ErrBump, ErrFunds or ErrDust.
func (w *Wallet) PlanBump(b Bump) (*Draft, error) {
	w.refresh()
	r := w.journal.byID.of(b.TxID)
	if r == nil {
		return nil, fmt.Errorf("%s: %w", b.TxID, ErrNoPayment)
	}
	if b.Rate < 0 || b.Rate > maxFeeRate || b.Estimate > maxFeeRate {
		return nil, fmt.Errorf("fee rate of %s sat/vB: want at most %s", max(b.Rate, b.Estimate), maxFeeRate)
	}
	if b.Rate != 0 && b.Rate < b.Pool.Least {
		return nil, fmt.Errorf("transaction %s %w: the node takes nothing below %s sat/vB, and %s are asked for", b.TxID, ErrBump, b.Pool.Least, b.Rate)
	}
	if b.Kind == DraftChild {
		return w.planChild(b, r)
	}
	return w.planReplacement(b, r)
}

// checkWaits makes sure that a transaction waits for a block.
func (w *Wallet) checkWaits(r *record) error {
	v := verdictOf(w.verdicts, r)
	why := ""
	switch v.state {
	case StatePending:
		return nil
	case StateConfirmed:
		why = fmt.Sprintf("block %d holds it", r.block.Height)
	case StateReplaced:
		why = fmt.Sprintf("%s has replaced it: name that one", v.by)
	case StateConflicted:
		why = fmt.Sprintf("%s, which is in a block, conflicts with it", v.by)
	case StateAbandoned:
		why = "it was given up: pay anew"
	default:
		why = "the node does not have it any more"
	}
	return fmt.Errorf("transaction %s %w: %s", r.id, ErrBump, why)
}

// checkReplaceable makes sure that a replacement of a transaction takes nothing
// else away, and gives the coins that it spends.
func (w *Wallet) checkReplaceable(r *record) ([]Coin, error) {
	if err := w.checkWaits(r); err != nil {
		return nil, err
	}
	coins := make([]Coin, 0, len(r.tx.In))
	for i := range r.tx.In {
		c, ok := w.coinAt(r.tx.In[i].PrevOut)
		if !ok {
			return nil, fmt.Errorf("transaction %s %w by a replacement: others have paid for it too", r.id, ErrBump)
		}
		coins = append(coins, c)
	}
	for n := range r.tx.Out {
		if child, ok := w.liveSpender(consensus.OutPoint{TxID: r.id, Index: uint32(n)}); ok {
			return nil, fmt.Errorf("transaction %s %w by a replacement: %s spends what it pays; hasten that one", r.id, ErrBump, child.id)
		}
	}
	return coins, nil
}

// planReplacement spends the same coins again, all of them: two replacements of
// one payment must never both be confirmed.
func (w *Wallet) planReplacement(b Bump, r *record) (*Draft, error) {
	coins, err := w.checkReplaceable(r)
	if err != nil {
		return nil, err
	}
	if n := b.Pool.Entries[r.id].Descendants; n > 0 {
		return nil, fmt.Errorf("transaction %s %w by a replacement: others have spent what it pays, in %d transactions that wait", r.id, ErrBump, n)
	}
	if err := b.checkSilent(r); err != nil {
		return nil, err
	}
	d := &Draft{Kind: b.Kind, Replaces: r.id, changeAt: -1}
	outs, amount := w.keepOutputs(b, r, d)
	if len(d.Payees) == 0 && len(outs) == 0 || b.Kind == DraftCancel {
		return w.planPayBack(b, r, d, coins)
	}
	before := sumOf(coins) - r.tx.OutputSum()
	q := b.want(before, r)
	q.amount, q.outs, q.fixed = amount, sizesOf(outs), coins
	q.extra = b.Pool.shortfall(b.parentsOf(r), q.rate)
	s, err := w.settleBump(&q, b)
	if err != nil {
		return nil, err
	}
	if b.SubtractFee {
		if err := d.subtract(amount-s.amount, nil); err != nil {
			return nil, err
		}
		for i, at := range d.outputs {
			outs[at].Value = d.Payees[i].Amount
		}
	}
	d.Spends, d.Fee, d.Change = slices.Concat(coins, s.coins), s.fee, s.change
	for _, to := range d.Payees {
		d.Amount += to.Amount
	}
	w.bumpTx(d, r, outs)
	if s.change > 0 {
		if err := w.bumpChange(d); err != nil {
			return nil, err
		}
	}
	return d, b.checkFee(d, before, q.extra)
}

// want has the rate of a replacement of r, which pays a fee now, and the least
// that nodes take for it.
func (b *Bump) want(before consensus.Amount, r *record) want {
	q := want{rate: b.Rate}
	if q.rate == 0 {
		now := FeeRate(int64(before) * 1000 / int64(r.tx.VSize()))
		q.rate = max(now+1+max(b.Pool.Increment, stepRate), b.Estimate, b.Pool.Least)
		q.floor = func(vsize int) consensus.Amount { return before + b.Pool.Increment.Fee(vsize) }
	}
	return q
}

// parentsOf gives the transactions in no block that r builds on.
func (b *Bump) parentsOf(r *record) (ids []consensus.Hash) {
	for i := range r.tx.In {
		ids = append(ids, r.tx.In[i].PrevOut.TxID)
	}
	return ids
}

// checkFee makes sure that nodes take a replacement at the rate that was named.
func (b *Bump) checkFee(d *Draft, before, extra consensus.Amount) error {
	vsize := d.VSize()
	least := before + b.Pool.Increment.Fee(vsize)
	if d.Fee >= least {
		return nil
	}
	enough := FeeRate((int64(least-extra)*1000 + int64(vsize) - 1) / int64(vsize))
	return fmt.Errorf("transaction %s %w: a replacement pays %s at %s sat/vB, and nodes want %s, what it pays now and %s for its relay: ask for %s sat/vB at least",
		b.TxID, ErrBump, d.Fee, b.Rate, least, least-before, enough)
}

// keepOutputs gives the outputs that a replacement has in any case, and notes the
// payees among them and what is change.
func (w *Wallet) keepOutputs(b Bump, r *record, d *Draft) (outs []consensus.TxOut, amount consensus.Amount) {
	from, was := r.tx.Out, []int{} // of the payees, in it
	if b.Outputs != nil {
		from = b.Outputs
	}
	change := w.changeOf(from)
	if b.Change != nil && uint64(*b.Change) < uint64(len(from)) {
		change = int(*b.Change)
	}
	for n := range from {
		id, own := w.keys.counts(from[n].Script)
		if n == change && own && !id.IsSilent() { // whose key follows from the coins
			d.changeKey, d.changeAt = id, len(outs)
			continue
		}
		if key, ok := consensus.TaprootKey(from[n].Script); ok {
			d.Payees = append(d.Payees, Payee{To: key, Amount: from[n].Value})
			d.outputs, was = append(d.outputs, len(outs)), append(was, n)
		}
		outs = append(outs, from[n])
		amount += from[n].Value
	}
	if b.Outputs == nil {
		d.late = w.lateKeys(r, was)
	}
	return outs, amount
}

// changeOf finds the output that is change: the largest to a change key, or -1.
func (w *Wallet) changeOf(outs []consensus.TxOut) int {
	at := -1
	for n := range outs {
		id, own := w.keys.counts(outs[n].Script)
		if own && id.Chain == ChangeChain && (at < 0 || outs[n].Value > outs[at].Value) {
			at = n
		}
	}
	return at
}

// settleBump makes the change smaller, or adds coins that are in blocks: a new
// input from elsewhere would have to wait itself.
func (w *Wallet) settleBump(q *want, b Bump) (selection, error) {
	if b.SubtractFee {
		all := sumOf(q.fixed)
		q.subtract = true
		if s, ok := q.settle(nil); ok {
			return s, nil
		}
		return selection{}, fmt.Errorf("%w: the payees get %s, and the coins are worth %s", ErrFunds, q.amount, all)
	}
	var more []Coin
	for _, c := range w.Coins() {
		if c.Height > 0 && c.Spendable() && w.mayAddCoins(b.TxID) {
			more = append(more, c)
		}
	}
	s, err := q.from(more)
	if errors.Is(err, ErrFunds) {
		err = fmt.Errorf("%w; the payees can bear the fee (subtract-fee)", err)
	}
	return s, err
}

// bumpTx puts the transaction of a replacement together.
func (w *Wallet) bumpTx(d *Draft, r *record, outs []consensus.TxOut) {
	d.Tx = &consensus.Tx{Version: r.tx.Version, LockTime: w.lockTime(), Out: outs}
	for _, c := range d.Spends {
		d.Tx.In = append(d.Tx.In, consensus.TxIn{PrevOut: c.OutPoint, Sequence: sequenceReplaceable})
	}
}

// bumpChange puts the change where it was, or anywhere if there was none.
func (w *Wallet) bumpChange(d *Draft) error {
	if d.changeAt >= 0 {
		return w.addChange(d, d.changeAt)
	}
	if err := w.freshChange(d); err != nil {
		return err
	}
	return w.addChange(d, len(d.Tx.Out))
}

// planPayBack replaces a payment by one that pays the wallet alone.
func (w *Wallet) planPayBack(b Bump, r *record, d *Draft, coins []Coin) (*Draft, error) {
	before := sumOf(coins) - r.tx.OutputSum()
	q := b.want(before, r)
	q.fixed, q.extra = coins, b.Pool.shortfall(b.parentsOf(r), q.rate)
	d.Payees, d.outputs, d.late = nil, nil, nil
	d.Spends, d.Fee = coins, q.fee(0, true)
	if b.Kind == DraftCancel {
		// It is smaller than what it replaces, and must not pay less even so.
		vsize := q.outs.withChange().vsize(len(coins))
		d.Fee = max(d.Fee, before+b.Pool.Increment.Fee(vsize))
	}
	d.Change = sumOf(coins) - d.Fee
	if d.Change < Dust {
		return nil, fmt.Errorf("%w: %s would come back after the fee of %s, want at least %s", ErrDust, max(d.Change, 0), d.Fee, Dust)
	}
	d.Amount = d.Change
	w.bumpTx(d, r, nil)
	d.changeAt = min(d.changeAt, 0)
	if err := w.bumpChange(d); err != nil {
		return nil, err
	}
	return d, b.checkFee(d, before, q.extra)
}

// trucVersion is that of transactions whose unconfirmed children have it too, and
// are small (BIP431).
const trucVersion = 3

// planChild spends what a transaction pays to the wallet, and pays for both and
// for all that they build on.
func (w *Wallet) planChild(b Bump, r *record) (*Draft, error) {
	if err := w.checkWaits(r); err != nil {
		return nil, err
	}
	if _, ok := b.Pool.Entries[r.id]; !ok {
		return nil, fmt.Errorf("transaction %s %w by a child: the node does not have it in its mempool", r.id, ErrBump)
	}
	var own, more []Coin
	for _, c := range w.Coins() {
		switch {
		case c.TxID == r.id && !c.Locked:
			own = append(own, c)
		case c.Height > 0 && c.Spendable():
			more = append(more, c)
		}
	}
	if len(own) == 0 {
		return nil, fmt.Errorf("transaction %s %w by a child: it pays nothing to this wallet that is neither spent nor locked", r.id, ErrBump)
	}
	largest := func(a, b Coin) int { return int(min(max(b.Value-a.Value, -1), 1)) }
	slices.SortStableFunc(own, largest)
	slices.SortStableFunc(more, largest)
	q := want{rate: b.Rate}
	if q.rate == 0 {
		q.rate = max(b.Estimate, b.Pool.Least)
	}
	if q.extra = b.Pool.shortfall([]consensus.Hash{r.id}, q.rate); q.extra == 0 {
		return nil, fmt.Errorf("transaction %s %w: it and what it builds on pay %s sat/vB already", r.id, ErrBump, q.rate)
	}
	d := &Draft{Kind: DraftChild, Hastens: r.id}
	for _, c := range slices.Concat(own, more) {
		d.Spends = append(d.Spends, c)
		d.Fee = q.fee(len(d.Spends), true)
		if d.Change = sumOf(d.Spends) - d.Fee; d.Change >= Dust {
			break
		}
	}
	if d.Change < Dust {
		return nil, fmt.Errorf("%w: a child would pay a fee of %s, and the coins for it are worth %s", ErrFunds, d.Fee, sumOf(d.Spends))
	}
	d.Amount = d.Change
	w.bumpTx(d, r, nil)
	if d.Tx.Version != trucVersion {
		d.Tx.Version = txVersion
	}
	if err := w.freshChange(d); err != nil {
		return nil, err
	}
	return d, w.addChange(d, 0)
}
