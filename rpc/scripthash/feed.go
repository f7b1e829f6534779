package scripthash

import (
	"context"
	"errors"

	"lode/chain"
	"lode/consensus"
	"lode/internal/poke"
)

// Changes is what has happened since the last time.
type Changes struct {
	Tip     consensus.State
	Moved   bool            // the tip is another one
	Scripts map[ID]struct{} // that are concerned
	All     bool            // any may be: what happened cannot be told any more
}

// Feed tells what happens to scripts. One goroutine at a time may use it.
//
//	state    what Next does
//	at rest  waits for a poke of the ledger or the mempool
//	behind   takes the next blocks, those to take back first, and then what has
//	         changed in the mempool
type Feed struct {
	x      *Index
	point  consensus.Hash
	poked  chan struct{}
	cancel func()
	behind bool
}

// Feed begins to follow the scripts from the tip as it is now.
func (x *Index) Feed() *Feed {
	f := &Feed{x: x, poked: poke.New()}
	f.cancel = x.ledger.Subscribe(func() { poke.Send(f.poked) })
	f.point = x.ledger.Tip().Hash
	x.mu.Lock()
	defer x.mu.Unlock()
	x.view.touched = make(map[ID]struct{})
	return f
}

// Close ends it.
func (f *Feed) Close() {
	f.cancel()
	f.x.mu.Lock()
	defer f.x.mu.Unlock()
	f.x.view.touched = nil
}

// feedBlocks is how many blocks are taken at a time.
const feedBlocks = 16

// Next waits until something has happened, and says what. While nobody wants to know
// of scripts, no block is read. The error is one of the ledger, or of ctx.
func (f *Feed) Next(ctx context.Context, wanted func() bool) (c Changes, err error) {
	if !f.behind {
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-f.poked:
		case <-f.x.from.Poked():
		}
	}
	f.behind = false
	c.Scripts = make(map[ID]struct{})
	before := f.point
	if err := f.blocks(&c, wanted); err != nil {
		return c, err
	}
	c.Moved = f.point != before
	if err := f.x.pull(); err != nil {
		return c, err
	}
	f.x.mu.Lock()
	defer f.x.mu.Unlock()
	for id := range f.x.view.touched {
		c.Scripts[id] = struct{}{}
	}
	f.x.view.touched = make(map[ID]struct{})
	return c, nil
}

// blocks takes the next blocks.
func (f *Feed) blocks(c *Changes, wanted func() bool) error {
	if c.Tip = f.x.ledger.Tip(); c.Tip.Hash == f.point {
		return nil
	}
	if !wanted() {
		f.point = c.Tip.Hash
		// Who has come meanwhile reads the ledger after this.
		return nil
	}
	var u chain.Updates
	err := f.x.ledger.Read(func(r *chain.Reader) (err error) {
		u, err = r.UpdatesSince(f.point, feedBlocks)
		c.Tip = r.Tip()
		return err
	})
	switch {
	case errors.Is(err, chain.ErrFatal):
		return err
	case err != nil: // a block is damaged, or the way to the tip is not there any more
		c.All, f.point = true, c.Tip.Hash
		return nil
	}
	for _, list := range [][]*consensus.Block{u.Reverted, u.Applied} {
		for _, block := range list {
			if err := f.block(c, block); err != nil {
				return err
			}
		}
	}
	f.point, f.behind = u.Point, u.More
	return nil
}

// block notes the scripts that a block concerns.
func (f *Feed) block(c *Changes, block *consensus.Block) error {
	for _, tx := range block.Txs {
		for i := range tx.Out {
			if _, pays := consensus.TaprootKey(tx.Out[i].Script); pays {
				c.Scripts[Of(tx.Out[i].Script)] = struct{}{}
			}
		}
	}
	spent, err := f.x.ledger.Spent(block.Header.Hash())
	switch {
	case errors.Is(err, chain.ErrFatal):
		return err
	case err != nil:
		c.All = true // the coins are lost on disk, and made anew in a while
	}
	for i := range spent {
		c.Scripts[OfKey(spent[i].Key)] = struct{}{}
	}
	return nil
}
