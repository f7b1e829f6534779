package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb"

	"lode/consensus"
)

// Levels of VerifyRecent, each with those before it. They are Bitcoin Core's.
const (
	VerifyRead       = 0 // blocks can be read
	VerifyBlocks     = 1 // and are those of their headers, by all rules that need no coins
	VerifyUndo       = 2 // and what takes them back can be read
	VerifyDisconnect = 3 // and they can be taken back from the coins at the tip, in memory
	VerifyConnect    = 4 // and connected again, signatures included
)

// verifiedChanges bounds the coins that are changed in memory at levels 3 and 4:
// blocks before that are verified at level 2 alone.
const verifiedChanges = 1_000_000

// VerifyRecent verifies the last blocks of the active chain, count of them or all
// if that is 0. The ledger goes on meanwhile, and nothing of it changes but that
// damage is noted and mended as after any other read. The error is of kind
// ErrDamaged, or a rule's, where something is wrong; blocks that were pruned end it.
func (c *Chain) VerifyRecent(ctx context.Context, level int, count uint32) error {
	tip, snapshot, err := c.snapshot()
	if err != nil {
		return err
	}
	defer c.scans.Done()
	defer snapshot.Release()
	v := recent{c: c, ctx: ctx, level: level, coins: &snapshotCoins{snapshot: snapshot}}
	v.view = consensus.NewView(v.coins)
	if count == 0 || count > tip.Height {
		count = tip.Height
	}
	for hash, i := tip.Hash, uint32(0); i < count; i++ {
		n, err := c.lookup(hash)
		if err == nil {
			err = v.back(n)
		}
		if errors.Is(err, ErrPruned) {
			break
		}
		if err != nil {
			return err
		}
		hash = n.Header().Prev
	}
	return v.forward()
}

// recent is the work of VerifyRecent.
type recent struct {
	c       *Chain
	ctx     context.Context
	level   int
	coins   *snapshotCoins
	view    *consensus.View // the coins before the blocks that were taken back
	changes int             // of it, about
	taken   []consensus.Hash
}

// block reads a block as the level asks for it. n is a copy.
func (v *recent) block(n *node) (p *consensus.CheckedBlock, err error) {
	if err := v.ctx.Err(); err != nil {
		return p, err
	}
	payload, _, err := v.c.readBody(n)
	if err == nil && v.level >= VerifyBlocks {
		p, err = v.c.proveAgain(n, payload)
	}
	if errors.Is(err, ErrDamaged) {
		v.c.lose(n, err)
		v.c.settleLosses()
	}
	return p, err
}

// back verifies one block up to level 3.
func (v *recent) back(n *node) error {
	p, err := v.block(n)
	if err != nil || v.level < VerifyUndo {
		return err
	}
	spent, err := v.c.Spent(n.Hash())
	if err != nil || v.level < VerifyDisconnect || v.changes > verifiedChanges {
		return err
	}
	if err := v.made(n, p); err != nil {
		return err
	}
	if err := consensus.RevertBlock(v.view, p.Block(), p.IDs(), spent); err != nil {
		return damaged("undo data of block", n, err)
	}
	for _, tx := range p.Block().Txs {
		v.changes += len(tx.In) + len(tx.Out)
	}
	v.taken = append(v.taken, n.Hash())
	return v.coins.err
}

// made looks for the coins that a block made and did not spend itself: later blocks
// were taken back.
func (v *recent) made(n *node, p *consensus.CheckedBlock) error {
	spent := make(map[consensus.OutPoint]bool)
	for _, tx := range p.Block().Txs {
		for i := range tx.In {
			spent[tx.In[i].PrevOut] = true
		}
	}
	for t, tx := range p.Block().Txs {
		for i := range tx.Out {
			o := consensus.OutPoint{TxID: p.IDs()[t], Index: uint32(i)}
			key, spendable := consensus.TaprootKey(tx.Out[i].Script)
			if !spendable || spent[o] {
				continue
			}
			coin, ok := v.view.Coin(o)
			if v.coins.err != nil {
				return v.coins.err
			}
			if !ok || coin.Value != tx.Out[i].Value || coin.Key != key || coin.Height != n.Height() || coin.Coinbase != (t == 0) {
				return fmt.Errorf("%w: the set of coins does not have %s as block %s at height %d made it", ErrDamaged, o, n.Hash(), n.Height())
			}
		}
	}
	return nil
}

// forward connects the blocks that were taken back.
func (v *recent) forward() error {
	if v.level < VerifyConnect {
		return nil
	}
	for i := len(v.taken) - 1; i >= 0; i-- {
		n, err := v.c.lookup(v.taken[i])
		if err != nil {
			return err
		}
		p, err := v.block(n)
		if err != nil {
			return err
		}
		update, err := v.c.rules.ConnectBlock(*n.Parent().State(), p, v.view, v.medianTimes(n))
		if v.coins.err != nil {
			return v.coins.err
		}
		if err == nil {
			_, err = v.c.cfg.Sigs.VerifyBlocks([][]consensus.SpendCheck{update.Sigs})
		}
		if err != nil {
			return fmt.Errorf("block %s at height %d: %w", n.Hash(), n.Height(), err)
		}
		for t, tx := range p.Block().Txs {
			v.view.ApplyTx(tx, p.IDs()[t], n.Height())
		}
	}
	return nil
}

// medianTimes gives those of blocks before n on its chain.
func (v *recent) medianTimes(n *node) consensus.MedianTimes {
	return func(height uint32) uint32 {
		v.c.mu.RLock()
		defer v.c.mu.RUnlock()
		if int(height) < len(v.c.tree.Active()) && v.c.tree.IsActive(n.Parent()) {
			return v.c.tree.Active()[height].State().MedianTime()
		}
		return n.Parent().Ancestor(height).State().MedianTime()
	}
}

// snapshotCoins is the coins of a snapshot of the database as a consensus.CoinSource.
type snapshotCoins struct {
	snapshot *leveldb.Snapshot
	err      error // the first
}

// Coin looks a coin up.
func (s *snapshotCoins) Coin(o consensus.OutPoint) (coin consensus.Coin, ok bool) {
	value, err := s.snapshot.Get(coinKey(o), nil)
	if err == nil {
		coin, err = readCoin(value)
		ok = err == nil
	}
	if err != nil && !errors.Is(err, leveldb.ErrNotFound) && s.err == nil {
		s.err = corrupt(err)
	}
	return coin, ok
}
