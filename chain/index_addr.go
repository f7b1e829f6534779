package chain

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/util"

	"lode/consensus"
)

// The index of addresses has an entry for every transaction of the active chain
// that pays a key or spends from it, under the key, the height and the number in
// the block; and for every key how much that is together.

// AddressTx is what a transaction did to a key.
type AddressTx struct {
	Key      [32]byte
	TxID     consensus.Hash
	Height   uint32
	Index    uint32           // in its block
	Received consensus.Amount // by its outputs
	Spent    consensus.Amount // by its inputs
}

// AddressTotals is what all transactions of the active chain did to a key. The
// balance is the difference.
type AddressTotals struct {
	Received, Spent consensus.Amount
	Txs             uint64
}

type addrChange struct{ received, spent consensus.Amount }

func changeAddrIndex(b *indexBatch, block *indexedBlock, revert bool) error {
	spent := block.spent
	for i, tx := range block.Txs {
		changes := make(map[[32]byte]addrChange)
		for n := range tx.Out {
			if key, ok := consensus.TaprootKey(tx.Out[n].Script); ok {
				change := changes[key]
				change.received += tx.Out[n].Value
				changes[key] = change
			}
		}
		if i > 0 {
			if len(spent) < len(tx.In) {
				return fmt.Errorf("%w: undo data of the block at height %d", errCorrupt, block.height)
			}
			for n := range tx.In {
				change := changes[spent[n].Key]
				change.spent += spent[n].Value
				changes[spent[n].Key] = change
			}
			spent = spent[len(tx.In):]
		}
		for key, change := range changes {
			if err := b.changeAddr(key, block, i, change, revert); err != nil {
				return err
			}
		}
	}
	return nil
}

// changeAddr adds an entry, or takes it back.
func (b *indexBatch) changeAddr(key [32]byte, block *indexedBlock, i int, change addrChange, revert bool) error {
	total, ok := b.totals[key]
	if !ok {
		var err error
		if total, err = b.c.store.addressTotals(key); err != nil {
			return err
		}
		b.totals[key] = total
	}
	entry := addrKey(key, block.height, uint32(i))
	if revert {
		total.Received, total.Spent, total.Txs = total.Received-change.received, total.Spent-change.spent, total.Txs-1
		b.Delete(entry)
		return nil
	}
	total.Received, total.Spent, total.Txs = total.Received+change.received, total.Spent+change.spent, total.Txs+1
	value := consensus.AppendCompactSize(slices.Clone(block.ids[i][:]), uint64(change.received))
	b.Put(entry, consensus.AppendCompactSize(value, uint64(change.spent)))
	return nil
}

// putTotals writes the sums that have changed.
func (b *indexBatch) putTotals() {
	for key, t := range b.totals {
		if t.Txs == 0 {
			b.Delete(addrTotalsKey(key))
			continue
		}
		value := consensus.AppendCompactSize(nil, uint64(t.Received))
		value = consensus.AppendCompactSize(value, uint64(t.Spent))
		b.Put(addrTotalsKey(key), consensus.AppendCompactSize(value, t.Txs))
	}
}

func addrTotalsKey(key [32]byte) []byte { return append([]byte{keyAddrTotals}, key[:]...) }

func addrKey(key [32]byte, height, i uint32) []byte {
	k := append(make([]byte, 0, 41), keyAddr)
	k = append(k, key[:]...)
	k = binary.BigEndian.AppendUint32(k, height)
	return binary.BigEndian.AppendUint32(k, i)
}

func readAddrEntry(k, value []byte) (e AddressTx, err error) {
	if len(k) != 41 {
		return e, fmt.Errorf("%w: %s: a key of %d bytes", errCorrupt, AddrIndex, len(k))
	}
	e.Key, e.Height, e.Index = [32]byte(k[1:33]), binary.BigEndian.Uint32(k[33:]), binary.BigEndian.Uint32(k[37:])
	d := consensus.NewDecoder(value)
	e.TxID, e.Received, e.Spent = d.Hash(), consensus.Amount(d.CompactSize()), consensus.Amount(d.CompactSize())
	if err := d.Finish(); err != nil {
		return e, fmt.Errorf("%w: %s: %w", errCorrupt, AddrIndex, err)
	}
	return e, nil
}

// addressTotals is nothing for a key that no transaction touches.
func (s *store) addressTotals(key [32]byte) (*AddressTotals, error) {
	value, err := s.value(addrTotalsKey(key))
	if value == nil || err != nil {
		return &AddressTotals{}, err
	}
	d := consensus.NewDecoder(value)
	t := &AddressTotals{consensus.Amount(d.CompactSize()), consensus.Amount(d.CompactSize()), d.CompactSize()}
	if err := d.Finish(); err != nil {
		return t, fmt.Errorf("%w: %s: %w", errCorrupt, AddrIndex, err)
	}
	return t, nil
}

// AddressTotals sums up what happened to a key. The error is of kind ErrNoIndex
// without the index of addresses, and else ErrFatal.
func (c *Chain) AddressTotals(key [32]byte) (AddressTotals, error) {
	x, err := c.keptIndex(AddrIndex)
	if err != nil {
		return AddressTotals{}, err
	}
	total := &AddressTotals{}
	err = x.use(func() (err error) {
		total, err = c.store.addressTotals(key)
		return err
	})
	return *total, err
}

// AddressTxs gives to visit, in the order of the chain, what transactions in
// blocks from one height to another did to some keys, until it wants no more;
// visit must not call methods of the chain. The error is that of AddressTotals.
func (c *Chain) AddressTxs(keys [][32]byte, from, to uint32, visit func(AddressTx) (more bool)) error {
	x, err := c.keptIndex(AddrIndex)
	if err != nil {
		return err
	}
	return x.use(func() error {
		snapshot, err := c.store.db.GetSnapshot()
		if err != nil {
			return err
		}
		defer snapshot.Release()
		var m merge
		defer m.release()
		for _, key := range keys {
			end := addrKey(key, to, 0xffffffff)
			it := snapshot.NewIterator(&util.Range{Start: addrKey(key, from, 0), Limit: append(end, 0)}, nil)
			if err := m.add(it); err != nil {
				return err
			}
		}
		for len(m) > 0 {
			select {
			case <-c.closing:
				return errClosed
			default:
			}
			e, err := m.next()
			if err != nil || !visit(e) {
				return err
			}
		}
		return nil
	})
}

// merge is iterators over the entries of several keys, each with the entry that
// it stands at.
type merge []mergeHead

type mergeHead struct {
	it    iterator.Iterator
	entry AddressTx
}

// add takes an iterator, at whose next entry it will stand, or which has ended.
func (m *merge) add(it iterator.Iterator) error {
	if !it.Next() {
		err := it.Error()
		it.Release()
		if errors.Is(err, leveldb.ErrNotFound) {
			err = nil
		}
		return err
	}
	entry, err := readAddrEntry(it.Key(), it.Value())
	*m = append(*m, mergeHead{it, entry})
	return err
}

// next gives the first entry of all.
func (m *merge) next() (AddressTx, error) {
	i := 0
	for j := range *m {
		if (*m)[j].entry.compare(&(*m)[i].entry) < 0 {
			i = j
		}
	}
	head := (*m)[i]
	*m = slices.Delete(*m, i, i+1)
	return head.entry, m.add(head.it)
}

func (m *merge) release() {
	for _, head := range *m {
		head.it.Release()
	}
}

// compare orders entries as their transactions are in the chain.
func (e *AddressTx) compare(f *AddressTx) int {
	return cmp.Or(cmp.Compare(e.Height, f.Height), cmp.Compare(e.Index, f.Index), bytes.Compare(e.Key[:], f.Key[:]))
}
