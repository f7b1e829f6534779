package chain

import (
	"fmt"

	"lode/consensus"
)

// ErrNotOnTip is the reason why TestBlock judges a block not at all. Its text is
// Bitcoin Core's.
const ErrNotOnTip consensus.ErrorKind = "inconclusive-not-best-prevblk"

// TestBlock applies every rule but the proof of work to a block that would come
// after the tip. It changes nothing, and remembers nothing of the block. The
// errors are those of AddBlock, and of kind ErrNotOnTip.
func (c *Chain) TestBlock(block *consensus.Block) error {
	var update *consensus.Update
	err := c.Read(func(r *Reader) (err error) {
		update, err = r.test(block)
		return err
	})
	if err != nil {
		return err
	}
	_, err = c.cfg.Sigs.VerifyBlocks([][]consensus.SpendCheck{update.Sigs}) // with no lock held
	return err
}

func (r *Reader) test(block *consensus.Block) (*consensus.Update, error) {
	rules, tip := r.c.rules, r.Tip()
	if block.Prev != tip.Hash {
		return nil, fmt.Errorf("%w: the block has the parent %s, and the tip is %s", ErrNotOnTip, block.Prev, tip.Hash)
	}
	source := &readerCoins{r: r}
	update, err := rules.ApplyUnsolved(tip, block, source, r.MedianTime, r.Latest())
	if source.err != nil {
		return nil, source.err // and the verdict is worth nothing
	}
	return update, err
}

// readerCoins is the coins at the tip as a consensus.CoinSource. Other than coins
// it remembers nothing of what it looks up.
type readerCoins struct {
	r   *Reader
	err error // the first of the database
}

// Coin looks a coin up.
func (c *readerCoins) Coin(o consensus.OutPoint) (consensus.Coin, bool) {
	coin, ok, err := c.r.Coin(o)
	if err != nil && c.err == nil {
		c.err = err
	}
	return coin, ok
}
