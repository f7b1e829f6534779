package chain

import (
	"encoding/binary"
	"errors"
	"fmt"

	"lode/consensus"
)

// changeTxIndex keeps, for every transaction of the active chain but genesis',
// the height of its block, where it begins in it and its size, in bytes, and a
// checksum of these bytes. Entries of before there were checksums have none.
func changeTxIndex(b *indexBatch, block *indexedBlock, revert bool) error {
	offset := consensus.HeaderSize + consensus.CompactSizeLen(uint64(len(block.Txs)))
	for i, tx := range block.Txs {
		size := tx.Size()
		if revert {
			b.Delete(txKey(block.ids[i]))
		} else {
			value := consensus.AppendCompactSize(nil, uint64(block.height))
			value = consensus.AppendCompactSize(value, uint64(offset))
			value = consensus.AppendCompactSize(value, uint64(size))
			b.Put(txKey(block.ids[i]), binary.LittleEndian.AppendUint32(value, checksum(tx.Bytes())))
		}
		offset += size
	}
	return nil
}

func txKey(id consensus.Hash) []byte { return append([]byte{keyTx}, id[:]...) }

// ErrNoTx is the kind of error for a transaction that an index does not have.
var ErrNoTx = errors.New("transaction not found")

// FindTx finds a transaction of the active chain, and the block that holds it.
// The error is of kind ErrNoIndex without the index of transactions, ErrNoTx if
// that does not have it (yet, see IndexReady), ErrNotFound if the block is
// damaged on disk, and else ErrFatal.
func (c *Chain) FindTx(id consensus.Hash) (*consensus.Tx, consensus.Hash, error) {
	x, err := c.keptIndex(TxIndex)
	if err != nil {
		return nil, consensus.Hash{}, err
	}
	var value []byte
	err = x.use(func() (err error) {
		value, err = c.store.value(txKey(id))
		return err
	})
	if err != nil {
		return nil, consensus.Hash{}, err
	}
	missing := fmt.Errorf("%w: %s", ErrNoTx, id)
	if value == nil {
		return nil, consensus.Hash{}, missing
	}
	d := consensus.NewDecoder(value)
	height, offset, size := d.CompactSize(), d.CompactSize(), d.CompactSize()
	summed, sum := len(d.Rest()) > 0, uint32(0)
	if summed {
		sum = d.Uint32()
	}
	if err := d.Finish(); err != nil {
		return nil, consensus.Hash{}, c.fail(fmt.Errorf("%w: %s of %s: %w", errCorrupt, TxIndex, id, err))
	}
	hash, ok := c.HashAt(uint32(height))
	if !ok {
		return nil, consensus.Hash{}, missing // a reorganization is under way
	}
	n, err := c.lookup(hash)
	if err != nil {
		return nil, consensus.Hash{}, err
	}
	if summed {
		if tx := c.txAt(n, offset, size, sum); tx != nil && tx.TxID() == id {
			return tx, hash, nil
		}
	}
	block, err := c.Block(hash) // damaged, or another one by now
	if err != nil {
		return nil, consensus.Hash{}, err
	}
	for _, tx := range block.Txs {
		if tx.TxID() == id {
			return tx, hash, nil
		}
	}
	return nil, consensus.Hash{}, missing
}

// txAt reads a transaction out of the block of n: nil if there is none with this
// checksum.
func (c *Chain) txAt(n *node, offset, size uint64, sum uint32) *consensus.Tx {
	if !n.IsStored() || size > uint64(n.Own.body.Size) || offset > uint64(n.Own.body.Size)-size {
		return nil
	}
	raw := make([]byte, size)
	if err := c.blocks.ReadAt(n.Own.body.File, raw, int64(n.Own.body.Offset)+int64(offset)); err != nil || checksum(raw) != sum {
		return nil
	}
	tx, err := consensus.DecodeTx(raw)
	if err != nil {
		return nil
	}
	return tx
}
