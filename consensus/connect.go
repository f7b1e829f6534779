package consensus

import (
	"errors"
	"fmt"
)

// Update is what a block does to a chain. Applied backwards it reverts the
// block, see RevertBlock.
type Update struct {
	State State        // after the block
	Spent []Coin       // one for each input, in the order of the block, the coinbase's left out
	Fees  Amount       // sat
	View  *View        // the coins after the block
	IDs   []Hash       // the transaction ids
	Sigs  []SpendCheck // what must verify before the block counts as valid
}

// ApplyBlock applies every rule to the block that comes after s. coins must
// hold what the block spends, and what it makes, as far as it is there already;
// times gives the median times of the chain up to s. latest is as in
// ApplyHeader.
//
// The block is valid if there is no error and each of the update's Sigs
// verifies.
func (r *Rules) ApplyBlock(s State, b *Block, coins CoinSource, times MedianTimes, latest uint32) (*Update, error) {
	checked, err := r.CheckBlock(b)
	if err != nil {
		return nil, err
	}
	if b.Prev != s.Hash {
		return nil, fmt.Errorf("header with parent %s applied to %s", b.Prev, s.Hash)
	}
	if err := r.CheckHeader(&s, &b.Header, latest); err != nil {
		return nil, err
	}
	if err := r.CheckBlockAfter(&s, checked); err != nil {
		return nil, err
	}
	return r.ConnectBlock(s, checked, coins, times)
}

// ApplyUnsolved is ApplyBlock without the proof of work, for a block that is not
// mined yet. The caller has made sure that it follows s.
func (r *Rules) ApplyUnsolved(s State, b *Block, coins CoinSource, times MedianTimes, latest uint32) (*Update, error) {
	ids := b.TxIDs()
	if err := r.checkUnsolved(b, ids); err != nil {
		return nil, err
	}
	if err := r.CheckHeader(&s, &b.Header, latest); err != nil {
		return nil, err
	}
	if err := r.checkAfter(&s, b, ids); err != nil {
		return nil, err
	}
	return r.connect(s, b, b.Header.Hash(), ids, coins, times)
}

// ConnectBlock is the part of ApplyBlock that needs the coins, for a block that
// has passed the other parts.
func (r *Rules) ConnectBlock(s State, b *CheckedBlock, coins CoinSource, times MedianTimes) (*Update, error) {
	return r.connect(s, b.block, b.hash, b.ids, coins, times)
}

func (r *Rules) connect(s State, b *Block, hash Hash, ids []Hash, coins CoinSource, times MedianTimes) (*Update, error) {
	height, median := s.Height+1, s.MedianTime()
	u := &Update{State: r.NextStateOf(s, &b.Header, hash), View: NewView(coins), IDs: ids}
	for i, tx := range b.Txs {
		if i > 0 {
			spent, err := r.connectTx(u, tx, height, median, times)
			if err != nil {
				return nil, r.overwriteFirst(inTx(err, ids[i]), b, ids, coins)
			}
			u.Spent = append(u.Spent, spent...)
			u.Sigs = append(u.Sigs, SpendChecks(tx, ids[i], spent)...)
		}
		u.View.ApplyTx(tx, ids[i], height)
	}
	limit, got := r.Subsidy(height)+u.Fees, b.Txs[0].OutputSum()
	if t := r.trace; t != nil {
		t.Rule(ruleCoinbaseAmount, "pays", got, "subsidy", r.Subsidy(height), "fees", u.Fees)
	}
	if got > limit {
		return nil, r.overwriteFirst(broken(ErrCoinbaseAmount, "coinbase pays too much (actual=%d vs limit=%d)", got, limit), b, ids, coins)
	}
	return u, nil
}

func (r *Rules) connectTx(u *Update, tx *Tx, height, median uint32, times MedianTimes) ([]Coin, error) {
	spent, gone, ok := u.View.Inputs(tx)
	if t := r.trace; t != nil {
		t.Rule(ruleCoins, "inputs", len(tx.In), "first", tx.In[0].PrevOut, "missing", missingText(gone, ok))
	}
	if !ok {
		return nil, missing(gone)
	}
	fee, err := r.CheckInputs(tx, spent, height)
	if err != nil {
		return nil, err
	}
	u.Fees += fee
	if t := r.trace; t != nil {
		t.Rule(ruleFees, "fees so far", u.Fees, "limit", r.MaxMoney)
	}
	if u.Fees > r.MaxMoney {
		return nil, broken(ErrFeeSum, "accumulated fee in the block out of range")
	}
	if t := r.trace; t != nil {
		t.Rule(ruleSequence, "version", tx.Version, "relative locks", RelativeLocks(tx, spent), "height", height, "median time", median)
	}
	if !SequenceLocksMet(tx, spent, height, median, times) {
		return nil, broken(ErrNonFinal, "contains a non-BIP68-final transaction")
	}
	return spent, nil
}

// overwriteFirst puts BIP30 before err if the block breaks it: no transaction
// may make a coin that is still there.
//
// A block that breaks no other rule cannot break this one. A coin that is still
// there was made by a transaction with the same id, so with the same inputs,
// and those are spent; they could only be there again if they too had been made
// twice, and so on back to a coinbase. But a coinbase begins with its height
// (BIP34, from the first block on, and no height's push is the beginning of
// another's), so no two coinbases of a chain are the same. Hence it is enough
// to look when a block has failed, to give the reason that Bitcoin Core gives.
func (r *Rules) overwriteFirst(err error, b *Block, ids []Hash, coins CoinSource) error {
	if r.trace != nil {
		r.trace.Fail(err)
	}
	for i, tx := range b.Txs {
		for n := range tx.Out {
			if _, ok := coins.Coin(OutPoint{ids[i], uint32(n)}); ok {
				if t := r.trace; t != nil {
					t.Rule(ruleOverwrite, "coin", OutPoint{ids[i], uint32(n)})
				}
				return inTx(broken(ErrOverwrite, "tried to overwrite transaction"), ids[i])
			}
		}
	}
	return err
}

// JudgeTx applies the rules to one transaction, not a coinbase, in the block that comes
// after s: those that need nothing but itself, and those about the coins that it spends.
// It gives what must still verify. ApplyBlock does the same for all of a block.
func (r *Rules) JudgeTx(s *State, tx *Tx, id Hash, coins CoinSource, times MedianTimes) (*Update, error) {
	if err := r.CheckTx(tx); err != nil {
		return nil, inTx(err, id)
	}
	height, median := s.Height+1, s.MedianTime()
	if err := r.checkFinal(tx, id, height, median); err != nil {
		return nil, err
	}
	u := &Update{State: *s, View: NewView(coins), IDs: []Hash{id}}
	spent, err := r.connectTx(u, tx, height, median, times)
	if err != nil {
		return nil, inTx(err, id)
	}
	u.Spent, u.Sigs = spent, SpendChecks(tx, id, spent)
	return u, nil
}

// ErrUndo is the kind of the errors of RevertBlock.
var ErrUndo = errors.New("undo data does not fit the block")

// RevertBlock removes b from the end of a chain: view, which must show the
// coins after b, shows those before it afterwards. spent is the Spent of the
// update that b gave.
func RevertBlock(view *View, b *Block, ids []Hash, spent []Coin) error {
	for i := len(b.Txs) - 1; i >= 0; i-- {
		tx, n := b.Txs[i], 0
		if i > 0 {
			n = len(tx.In)
		}
		if n > len(spent) {
			return ErrUndo
		}
		view.RevertTx(tx, ids[i], spent[len(spent)-n:])
		spent = spent[:len(spent)-n]
	}
	if len(spent) > 0 {
		return ErrUndo
	}
	return nil
}
