package chain

import (
	"encoding/binary"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb/util"

	"lode/chain/blockfilter"
	"lode/consensus"
)

// The index of block filters has, for every block that was ever in the active chain
// while it was kept, its basic filter (BIP158), and in an entry of its own the filter's
// header and hash, by height and hash of the block: many headers are read at a time, and
// lie together. A block of a branch that was left is still answered for, as in Bitcoin
// Core: a light client may be on it yet. The first block's is made when it is needed.

// filterHead is what is kept of a filter beside itself.
type filterHead struct{ block, header, hash consensus.Hash }

// changeFilterIndex adds a block; of one that is taken back everything stays.
func changeFilterIndex(b *indexBatch, block *indexedBlock, revert bool) error {
	if revert {
		b.last = nil
		return nil
	}
	if b.last == nil || b.last.block != block.Header.Prev {
		head, ok, err := b.c.filterHead(block.Header.Prev, block.height-1)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: %s: the header before block %s", errCorrupt, FilterIndex, block.Header.Hash())
		}
		b.last = &head
	}
	filter, head, err := filterOf(block.Block, block.spent, b.last.header)
	if err != nil {
		return err
	}
	b.last = &head
	b.Put(filterKey(keyFilter, block.height, head.block), filter)
	b.Put(filterKey(keyFilterHead, block.height, head.block), append(head.header[:], head.hash[:]...))
	return nil
}

// filterOf makes the filter of a block that spends these coins, with its header.
func filterOf(block *consensus.Block, spent []consensus.Coin, before consensus.Hash) ([]byte, filterHead, error) {
	scripts := make([][]byte, len(spent))
	for i := range spent {
		scripts[i] = consensus.TaprootScript(spent[i].Key)
	}
	hash := block.Header.Hash()
	filter, err := blockfilter.Build(hash, blockfilter.Scripts(block, scripts))
	sum := blockfilter.HashOf(filter)
	return filter, filterHead{hash, blockfilter.HeaderOf(sum, before), sum}, err
}

// genesisFilter is that of the first block, which spends nothing.
func (c *Chain) genesisFilter() ([]byte, filterHead, error) {
	return filterOf(c.rules.Genesis(), nil, consensus.Hash{})
}

func filterKey(prefix byte, height uint32, block consensus.Hash) []byte {
	return append(binary.BigEndian.AppendUint32(append(make([]byte, 0, 37), prefix), height), block[:]...)
}

// filterHead reads an entry. ok is false if there is none.
func (c *Chain) filterHead(block consensus.Hash, height uint32) (head filterHead, ok bool, err error) {
	if height == 0 {
		_, head, err = c.genesisFilter()
		return head, err == nil && head.block == block, err
	}
	value, err := c.store.value(filterKey(keyFilterHead, height, block))
	if value == nil || err != nil {
		return head, false, err
	}
	head, err = readFilterHead(block, value)
	return head, err == nil, err
}

func readFilterHead(block consensus.Hash, value []byte) (filterHead, error) {
	if len(value) != 64 {
		return filterHead{}, fmt.Errorf("%w: %s: an entry of %d bytes", errCorrupt, FilterIndex, len(value))
	}
	return filterHead{block, consensus.Hash(value[:32]), consensus.Hash(value[32:])}, nil
}

// noFilter is the error for a block that the index does not have.
func noFilter(block consensus.Hash) error {
	return fmt.Errorf("%w: the filter of block %s", ErrNotFound, block)
}

// BlockFilter gives the filter of a block and its header. The error is of kind ErrNoIndex
// without the index for it, ErrNotFound if that has not had the block in its chain (yet,
// see IndexReady), and else ErrFatal.
func (c *Chain) BlockFilter(block consensus.Hash) (filter []byte, header consensus.Hash, err error) {
	height, err := c.filterHeight(block)
	if err != nil {
		return nil, header, err
	}
	x, err := c.keptIndex(FilterIndex)
	if err != nil {
		return nil, header, err
	}
	var head filterHead
	err = x.use(func() (err error) {
		filter, head, err = c.readFilter(block, height)
		return err
	})
	if err == nil && filter == nil {
		err = noFilter(block)
	}
	return filter, head.header, err
}

// readFilter gives nil if there is none.
func (c *Chain) readFilter(block consensus.Hash, height uint32) (filter []byte, head filterHead, err error) {
	if height == 0 {
		return c.genesisFilter()
	}
	head, ok, err := c.filterHead(block, height)
	if !ok || err != nil {
		return nil, head, err
	}
	if filter, err = c.store.value(filterKey(keyFilter, height, block)); err != nil {
		return nil, head, err
	}
	if filter == nil || blockfilter.HashOf(filter) != head.hash {
		return nil, head, fmt.Errorf("%w: %s: the filter of block %s", errCorrupt, FilterIndex, block)
	}
	return filter, head, nil
}

// filterHeight finds the height of a block.
func (c *Chain) filterHeight(block consensus.Hash) (uint32, error) {
	if _, err := c.keptIndex(FilterIndex); err != nil {
		return 0, err
	}
	info, ok := c.Header(block)
	if !ok {
		return 0, noFilter(block)
	}
	return info.Height, nil
}

// FilterHeader gives the header of a block's filter. The error is that of BlockFilter.
func (c *Chain) FilterHeader(block consensus.Hash) (consensus.Hash, error) {
	height, err := c.filterHeight(block)
	if err != nil {
		return consensus.Hash{}, err
	}
	heads, err := c.filterHeads([]consensus.Hash{block}, height)
	if err != nil {
		return consensus.Hash{}, err
	}
	return heads[0].header, nil
}

// FilterHashes gives the hashes of the filters of a chain's last blocks, of as many as
// count says, from the oldest on, and the header of the filter before these: zero where
// they begin with the first block. The error is that of BlockFilter for the first that
// is not there, and of kind ErrNotFound if the chain is shorter.
func (c *Chain) FilterHashes(last consensus.Hash, count int) (before consensus.Hash, hashes []consensus.Hash, err error) {
	blocks, from, err := c.filterPath(last, count, 1)
	if err != nil {
		return before, nil, err
	}
	heads, err := c.filterHeads(blocks, from)
	if err != nil {
		return before, nil, err
	}
	if len(heads) > count { // one before the first
		before, heads = heads[0].header, heads[1:]
	}
	for i := range heads {
		hashes = append(hashes, heads[i].hash)
	}
	return before, hashes, nil
}

// FilterBlocks lists the last blocks of a chain, of as many as count says, the oldest
// first. The error is that of FilterHashes, but that the index may not have them.
func (c *Chain) FilterBlocks(last consensus.Hash, count int) ([]consensus.Hash, error) {
	blocks, _, err := c.filterPath(last, count, 0)
	return blocks, err
}

// filterPath lists the last blocks of a chain, and so many more where it has them, and
// the height of the first.
func (c *Chain) filterPath(last consensus.Hash, count, more int) (blocks []consensus.Hash, from uint32, err error) {
	if _, err := c.keptIndex(FilterIndex); err != nil {
		return nil, 0, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.tree.Find(last)
	if !ok || count < 1 || uint64(count) > uint64(n.Height())+1 {
		return nil, 0, noFilter(last)
	}
	count = int(min(uint64(count)+uint64(more), uint64(n.Height())+1))
	blocks, from = make([]consensus.Hash, count), n.Height()+1-uint32(count)
	for i := count - 1; i >= 0; i-- {
		blocks[i] = n.Hash()
		n = n.Parent()
	}
	return blocks, from, nil
}

// filterHeads reads the entries of blocks that follow one another, the first at that
// height, in one go.
func (c *Chain) filterHeads(blocks []consensus.Hash, from uint32) ([]filterHead, error) {
	x, err := c.keptIndex(FilterIndex)
	if err != nil {
		return nil, err
	}
	heads := make([]filterHead, 0, len(blocks))
	err = x.use(func() error {
		if from == 0 {
			_, head, err := c.genesisFilter()
			if err != nil {
				return err
			}
			heads = append(heads, head)
		}
		last := filterKey(keyFilterHead, from+uint32(len(blocks)), consensus.Hash{})
		it := c.store.db.NewIterator(&util.Range{Start: filterKey(keyFilterHead, from, consensus.Hash{}), Limit: last}, nil)
		defer it.Release()
		for len(heads) < len(blocks) && it.Next() {
			if want := blocks[len(heads)]; consensus.Hash(it.Key()[5:]) == want {
				head, err := readFilterHead(want, it.Value())
				if err != nil {
					return err
				}
				heads = append(heads, head)
			}
		}
		return it.Error()
	})
	if err == nil && len(heads) < len(blocks) {
		err = noFilter(blocks[len(heads)])
	}
	return heads, err
}

// FilterCheckpoints gives the headers of the filters of every thousandth block of the
// chain that ends with that block. The error is that of BlockFilter.
func (c *Chain) FilterCheckpoints(last consensus.Hash) ([]consensus.Hash, error) {
	x, err := c.keptIndex(FilterIndex)
	if err != nil {
		return nil, err
	}
	blocks, err := c.everyThousandth(last)
	if err != nil {
		return nil, err
	}
	headers := make([]consensus.Hash, 0, len(blocks))
	for i, block := range blocks {
		ok := false
		err := x.use(func() (err error) {
			var head filterHead
			if head, ok, err = c.filterHead(block, uint32(i+1)*FilterInterval); ok {
				headers = append(headers, head.header)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, noFilter(block)
		}
	}
	return headers, nil
}

// FilterInterval is how many blocks lie between two of FilterCheckpoints (BIP157).
const FilterInterval = 1000

func (c *Chain) everyThousandth(last consensus.Hash) ([]consensus.Hash, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n, ok := c.tree.Find(last)
	if !ok {
		return nil, noFilter(last)
	}
	blocks := make([]consensus.Hash, n.Height()/FilterInterval)
	for i := len(blocks) - 1; i >= 0; i-- {
		n = n.Ancestor(uint32(i+1) * FilterInterval)
		blocks[i] = n.Hash()
	}
	return blocks, nil
}
