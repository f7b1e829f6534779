package chain

import (
	"errors"
	"fmt"

	"lode/chain/headertree"
	"lode/consensus"
)

// The rules of blocks that are the ledger's, as a trace names them.
var (
	ruleParent      = &consensus.Rule{Kind: ErrUnknownParent, Text: "the parent is known", Source: "Bitcoin"}
	ruleParentValid = &consensus.Rule{Kind: ErrInvalidParent, Text: "the parent is valid", Source: "Bitcoin"}
)

// ErrNoCoins is the kind of the error of Explain for a block of a branch that leaves the
// active chain too far back for the coins at its parent to be reckoned.
var ErrNoCoins = errors.New("the coins before this block are not at hand")

// What a branch may differ by from the active chain so that the coins at its end are
// reckoned for an explanation.
const (
	maxExplainBlocks = 24
	maxExplainBytes  = 8 << 20
)

// Explain applies every rule to a block once more, in the order in which AddBlock does,
// and has t told of each. The ledger does not change and remembers nothing. The errors
// are those of AddBlock, of a block that was never seen before; of kind ErrNoCoins if the
// rules about coins could not be applied.
func (c *Chain) Explain(block *consensus.Block, t *consensus.Trace) error {
	err := c.explain(block, t)
	t.Fail(err)
	return err
}

func (c *Chain) explain(block *consensus.Block, t *consensus.Trace) error {
	rules := c.rules.Traced(t)
	if block.Header.Hash() == c.rules.GenesisHash() {
		return nil // no rule judges it
	}
	checked, err := rules.CheckBlock(block)
	if err != nil {
		return err
	}
	var update *consensus.Update
	err = c.Read(func(r *Reader) error {
		parent, err := c.judgeHeader(rules, &block.Header, checked.Hash(), t)
		if err != nil {
			return err
		}
		if err := rules.CheckBlockAfter(parent.State(), checked); err != nil {
			return err
		}
		coins, err := r.coinsAt(parent, checked.Hash(), block)
		if err != nil {
			return err
		}
		update, err = rules.ConnectBlock(*parent.State(), checked, coins, func(height uint32) uint32 {
			return parent.Ancestor(height).State().MedianTime()
		})
		if coins.tip.err != nil {
			return coins.tip.err // and the verdict is worth nothing
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = c.cfg.Sigs.VerifyBlocks([][]consensus.SpendCheck{update.Sigs}) // with no lock held
	t.Spends(update.Sigs, err)
	return err
}

// ExplainTx applies every rule to a transaction of a stored block, as when the block was
// connected. The error is of kind ErrNotFound if the block was never connected or does not
// hold the transaction, or if it, or what it undid, was pruned.
func (c *Chain) ExplainTx(block, id consensus.Hash, t *consensus.Trace) error {
	b, err := c.Block(block)
	if err != nil {
		return err
	}
	spent, err := c.Spent(block)
	if err != nil {
		return err
	}
	parent, ok := c.State(b.Prev)
	if !ok {
		return fmt.Errorf("%w: %s", ErrNotFound, b.Prev)
	}
	for i, tx := range b.Txs {
		if i > 0 && len(spent) < len(tx.In) {
			break
		}
		if tx.TxID() != id {
			if i > 0 {
				spent = spent[len(tx.In):]
			}
			continue
		}
		if i == 0 {
			err = c.rules.Traced(t).CheckTx(tx)
		} else {
			err = c.explainTx(&parent, tx, id, spent[:len(tx.In)], t)
		}
		t.Fail(err)
		return err
	}
	return fmt.Errorf("%w: block %s does not hold the transaction %s", ErrNotFound, block, id)
}

// explainTx judges a transaction in the block after a state.
func (c *Chain) explainTx(s *consensus.State, tx *consensus.Tx, id consensus.Hash, spent []consensus.Coin, t *consensus.Trace) error {
	coins := make(consensus.Coins, len(spent))
	for i := range spent {
		coins[tx.In[i].PrevOut] = spent[i]
	}
	var update *consensus.Update
	err := c.Read(func(r *Reader) (err error) {
		n, ok := c.tree.Find(s.Hash)
		if !ok {
			return fmt.Errorf("%w: %s", ErrNotFound, s.Hash)
		}
		update, err = c.rules.Traced(t).JudgeTx(s, tx, id, coins, func(height uint32) uint32 { return n.Ancestor(height).State().MedianTime() })
		return err
	})
	if err != nil {
		return err
	}
	err = c.cfg.Sigs.Verify(update.Sigs)
	t.Spends(update.Sigs, err)
	return err
}

// explainCoins is the coins before a block.
type explainCoins struct {
	from consensus.CoinSource
	tip  *readerCoins // what they are reckoned from
}

// Coin looks a coin up.
func (c *explainCoins) Coin(o consensus.OutPoint) (consensus.Coin, bool) { return c.from.Coin(o) }

// coinsAt is the coins after parent, for the block of this hash that follows it: those at
// the tip, or what it spent when it was connected, or those at the tip with the blocks
// since the fork undone and those of the branch applied.
func (r *Reader) coinsAt(parent *node, hash consensus.Hash, block *consensus.Block) (*explainCoins, error) {
	c := r.c
	source := &readerCoins{r: r}
	if parent == c.tree.Tip() {
		return &explainCoins{source, source}, nil
	}
	if n, ok := c.tree.Find(hash); ok && n.Own.has(statusUndo) {
		if spent, err := c.spent(n); err == nil {
			return &explainCoins{coinsSpent(block, spent), source}, nil
		}
	}
	view := consensus.NewView(source)
	fork, bytes := headertree.Fork(c.tree.Tip(), parent), 0
	if c.tree.Tip().Height()-fork.Height() > maxExplainBlocks || parent.Height()-fork.Height() > maxExplainBlocks {
		return nil, fmt.Errorf("%w: its branch leaves the active chain more than %d blocks back", ErrNoCoins, maxExplainBlocks)
	}
	take := func(n *node) (*consensus.CheckedBlock, error) {
		if bytes += int(n.Own.body.Size); bytes > maxExplainBytes {
			return nil, fmt.Errorf("%w: the blocks between are too large", ErrNoCoins)
		}
		p, err := c.parseStored(n)
		if err != nil {
			return nil, fmt.Errorf("%w: block %s cannot be read", ErrNoCoins, n.Hash())
		}
		return p, nil
	}
	for n := c.tree.Tip(); n != fork; n = n.Parent() {
		p, err := take(n)
		if err != nil {
			return nil, err
		}
		spent, err := c.spent(n)
		if err == nil {
			err = consensus.RevertBlock(view, p.Block(), p.IDs(), spent)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: block %s cannot be undone", ErrNoCoins, n.Hash())
		}
	}
	for _, n := range headertree.Path(fork, parent) {
		p, err := take(n)
		if err != nil {
			return nil, err
		}
		for i, tx := range p.Block().Txs {
			if _, _, ok := view.Inputs(tx); !ok && i > 0 {
				return nil, fmt.Errorf("%w: block %s of the branch spends what is not there", ErrNoCoins, n.Hash())
			}
			view.ApplyTx(tx, p.IDs()[i], n.Height())
		}
	}
	return &explainCoins{view, source}, nil
}

// coinsSpent is the coins that a block spent, as far as it did not make them itself.
func coinsSpent(block *consensus.Block, spent []consensus.Coin) consensus.Coins {
	coins, made := make(consensus.Coins), make(map[consensus.Hash]bool)
	for i, tx := range block.Txs {
		for n := 0; i > 0 && n < len(tx.In) && len(spent) > 0; n++ {
			if !made[tx.In[n].PrevOut.TxID] {
				coins[tx.In[n].PrevOut] = spent[0]
			}
			spent = spent[1:]
		}
		made[tx.TxID()] = true
	}
	return coins
}

// ExplainHeader is Explain for a header alone.
func (c *Chain) ExplainHeader(h *consensus.Header, t *consensus.Trace) error {
	rules, hash := c.rules.Traced(t), h.Hash()
	if hash == c.rules.GenesisHash() {
		return nil
	}
	err := rules.CheckWorkOf(h, hash)
	if err == nil {
		err = c.Read(func(*Reader) error {
			_, err := c.judgeHeader(rules, h, hash, t)
			return err
		})
	}
	t.Fail(err)
	return err
}
