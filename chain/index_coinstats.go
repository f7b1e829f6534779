package chain

import (
	"fmt"

	"lode/consensus"
)

// The index of what the coins are after each block has a record for every block
// that was ever in the active chain while it was kept: a block of a branch that was
// left is still answered for, as in Bitcoin Core. Beside the records is the set of
// the coins at the last block, as one number to which blocks are added and from
// which they are taken back.

// CoinStats is what the coins of a chain are after its last block.
type CoinStats struct {
	Coins    uint64
	BogoSize uint64 // Bitcoin Core's measure that does not depend on the database
	Total    consensus.Amount
	MuHash   consensus.Hash
	Lost     consensus.Amount // by all blocks so far, see BlockAmounts
	Block    BlockAmounts
}

// BlockAmounts is what a block does to the coins.
type BlockAmounts struct {
	Spent    consensus.Amount // coins that its transactions spend
	Coinbase consensus.Amount // spendable outputs of its coinbase
	Outputs  consensus.Amount // those of its other transactions

	// What it loses for good:
	Genesis   consensus.Amount // the subsidy of the first block, which nobody can spend
	Scripts   consensus.Amount // outputs that can never be spent
	Unclaimed consensus.Amount // of the subsidy and the fees
}

// Lost is the sum of what a block loses for good.
func (a *BlockAmounts) Lost() consensus.Amount { return a.Genesis + a.Scripts + a.Unclaimed }

// coinSet is the coins at a block.
type coinSet struct {
	set   *muHash
	stats CoinStats
}

// genesisCoins is that there are none.
func (c *Chain) genesisCoins() CoinStats {
	lost := c.rules.Subsidy(0)
	return CoinStats{MuHash: newMuHash().sum(), Lost: lost, Block: BlockAmounts{Genesis: lost}}
}

// changeCoinStatsIndex keeps a record of every block, and the set at the last.
func changeCoinStatsIndex(b *indexBatch, block *indexedBlock, revert bool) error {
	if b.coins == nil {
		before := block.Header.Prev
		if revert {
			before = block.Header.Hash()
		}
		var err error
		if b.coins, err = b.c.coinSetAt(before); err != nil {
			return err
		}
	}
	if revert {
		return b.coins.takeBack(b.c, block)
	}
	if err := b.coins.apply(block, b.c.rules.Subsidy(block.height)); err != nil {
		return err
	}
	b.Put(coinStatsKey(block.Header.Hash()), b.coins.stats.append(nil))
	return nil
}

// putCoinSet writes the set if it has changed.
func (b *indexBatch) putCoinSet() {
	if b.coins != nil {
		b.Put([]byte{keyCoinSet}, b.coins.set.normalize())
	}
}

// coinSetAt reads the set as the last batch has left it, at the block of that name.
func (c *Chain) coinSetAt(block consensus.Hash) (*coinSet, error) {
	stats, ok, err := c.coinStats(block)
	if err != nil {
		return nil, err
	}
	number, err := c.store.value([]byte{keyCoinSet})
	if err != nil {
		return nil, err
	}
	s := &coinSet{newMuHash(), stats}
	if number != nil {
		if len(number) != muHashBytes {
			return nil, fmt.Errorf("%w: %s: a set of %d bytes", errCorrupt, CoinStatsIndex, len(number))
		}
		s.set = readMuHash(number)
	}
	if !ok || s.set.sum() != stats.MuHash {
		return nil, fmt.Errorf("%w: %s: the coins at block %s", errCorrupt, CoinStatsIndex, block)
	}
	return s, nil
}

// apply adds a block.
func (s *coinSet) apply(block *indexedBlock, subsidy consensus.Amount) error {
	a, err := s.change(block, (*muHash).add, (*muHash).remove)
	if err != nil {
		return err
	}
	a.Unclaimed = subsidy + a.Spent - a.Outputs - a.Coinbase - a.Scripts
	s.stats.Block = a
	s.stats.Total += a.Coinbase + a.Outputs - a.Spent
	s.stats.Lost += a.Lost()
	s.stats.MuHash = s.set.sum()
	return nil
}

// takeBack takes a block out again.
func (s *coinSet) takeBack(c *Chain, block *indexedBlock) error {
	if _, err := s.change(block, (*muHash).remove, (*muHash).add); err != nil {
		return err
	}
	parent, ok, err := c.coinStats(block.Header.Prev)
	if err != nil {
		return err
	}
	if !ok || s.set.sum() != parent.MuHash {
		return fmt.Errorf("%w: %s: the coins before block %s", errCorrupt, CoinStatsIndex, block.Header.Hash())
	}
	s.stats = parent
	return nil
}

// change puts what a block makes into the set and takes out what it spends, or the
// other way round, and counts the coins as if it was put in.
func (s *coinSet) change(block *indexedBlock, made, gone func(*muHash, []byte)) (a BlockAmounts, err error) {
	spent := block.spent
	var buf []byte
	for i, tx := range block.Txs {
		for n := range tx.Out {
			out := &tx.Out[n]
			key, ok := consensus.TaprootKey(out.Script)
			if !ok {
				a.Scripts += out.Value
				continue
			}
			coin := consensus.Coin{Value: out.Value, Key: key, Height: block.height, Coinbase: i == 0}
			buf = appendForHash(buf[:0], consensus.OutPoint{TxID: block.ids[i], Index: uint32(n)}, &coin)
			made(s.set, buf)
			s.stats.Coins++
			s.stats.BogoSize += bogoSize(&coin)
			if i == 0 {
				a.Coinbase += out.Value
			} else {
				a.Outputs += out.Value
			}
		}
		if i == 0 {
			continue
		}
		if len(spent) < len(tx.In) {
			return a, fmt.Errorf("%w: undo data of the block at height %d", errCorrupt, block.height)
		}
		for n := range tx.In {
			buf = appendForHash(buf[:0], tx.In[n].PrevOut, &spent[n])
			gone(s.set, buf)
			s.stats.Coins--
			s.stats.BogoSize -= bogoSize(&spent[n])
			a.Spent += spent[n].Value
		}
		spent = spent[len(tx.In):]
	}
	return a, nil
}

func coinStatsKey(block consensus.Hash) []byte { return append([]byte{keyCoinStats}, block[:]...) }

func (s *CoinStats) append(b []byte) []byte {
	b = append(b, s.MuHash[:]...)
	for _, n := range []uint64{
		s.Coins, s.BogoSize, uint64(s.Total), uint64(s.Lost),
		uint64(s.Block.Spent), uint64(s.Block.Coinbase), uint64(s.Block.Outputs), uint64(s.Block.Scripts), uint64(s.Block.Unclaimed),
	} {
		b = consensus.AppendCompactSize(b, n)
	}
	return b
}

func readCoinStats(value []byte) (s CoinStats, err error) {
	d := consensus.NewDecoder(value)
	amount := func() consensus.Amount { return consensus.Amount(d.CompactSize()) }
	s = CoinStats{MuHash: d.Hash(), Coins: d.CompactSize(), BogoSize: d.CompactSize(), Total: amount(), Lost: amount()}
	s.Block = BlockAmounts{Spent: amount(), Coinbase: amount(), Outputs: amount(), Scripts: amount(), Unclaimed: amount()}
	return s, d.Finish()
}

// coinStats reads the record of a block. ok is false if there is none.
func (c *Chain) coinStats(block consensus.Hash) (s CoinStats, ok bool, err error) {
	if genesis := c.rules.GenesisState(); block == genesis.Hash {
		return c.genesisCoins(), true, nil
	}
	value, err := c.store.value(coinStatsKey(block))
	if value == nil || err != nil {
		return s, false, err
	}
	if s, err = readCoinStats(value); err != nil {
		err = fmt.Errorf("%w: %s of block %s: %w", errCorrupt, CoinStatsIndex, block, err)
	}
	return s, true, err
}

// CoinStats is what the coins are after a block. The error is of kind ErrNoIndex
// without the index for it, ErrNotFound if that has not had the block in its chain
// (yet, see IndexReady), and else ErrFatal.
func (c *Chain) CoinStats(block consensus.Hash) (s CoinStats, err error) {
	x, err := c.keptIndex(CoinStatsIndex)
	if err != nil {
		return s, err
	}
	ok := false
	err = x.use(func() (err error) {
		s, ok, err = c.coinStats(block)
		return err
	})
	if err == nil && !ok {
		err = fmt.Errorf("%w: the coins after block %s", ErrNotFound, block)
	}
	return s, err
}
