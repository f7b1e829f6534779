package chain

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/util"

	"lode/consensus"
)

// The index of addresses has an entry for every transaction of the active chain
// that pays a key or spends from it, under the key, the height and the number in
// the block; and for every key how much that is together, under the SHA-256 of the
// script that pays to the key, by which Electrum's protocol and Esplora ask.

// addrFormat is the format of this index. Format 1 had no totals by script, nor
// which outputs and inputs of a transaction an entry stands for.
const addrFormat = 2

// AddressTx is what a transaction did to a key.
type AddressTx struct {
	Key      [32]byte
	TxID     consensus.Hash
	Height   uint32
	Index    uint32           // in its block
	Received consensus.Amount // by its outputs
	Spent    consensus.Amount // by its inputs
	Outs     []uint32         // which outputs pay the key

	spends []uint32 // tags of the coins that it spends, see spendTag
}

// MaySpend reports false if the transaction does not spend the coin. True is right
// but for one coin in 2^32: the transaction itself knows.
func (e *AddressTx) MaySpend(o consensus.OutPoint) bool {
	return slices.Contains(e.spends, spendTag(o))
}

// spendTag stands for a coin that is spent, where there is no room for all of it.
func spendTag(o consensus.OutPoint) uint32 { return binary.LittleEndian.Uint32(o.TxID[:]) + o.Index }

// AddressTotals is what all transactions of the active chain did to a key. The
// balance is the difference.
type AddressTotals struct {
	Received, Spent consensus.Amount
	Txs             uint64
	Outputs, Inputs uint64 // how many paid it, and how many spent from it
}

type addrChange struct {
	received, spent consensus.Amount
	outs, spends    []uint32
}

// totals is the record of a key.
type totals struct {
	AddressTotals
	key, script [32]byte // script is the hash of the script; not set in what is only read
}

// scriptHash is the SHA-256 of the script that pays to a key.
func scriptHash(key [32]byte) [32]byte { return sha256.Sum256(consensus.TaprootScript(key)) }

func changeAddrIndex(b *indexBatch, block *indexedBlock, revert bool) error {
	spent := block.spent
	changes := make(map[[32]byte]addrChange)
	for i, tx := range block.Txs {
		for n := range tx.Out {
			if key, ok := consensus.TaprootKey(tx.Out[n].Script); ok {
				change := changes[key]
				change.received += tx.Out[n].Value
				change.outs = append(change.outs, uint32(n))
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
				change.spends = append(change.spends, spendTag(tx.In[n].PrevOut))
				changes[spent[n].Key] = change
			}
			spent = spent[len(tx.In):]
		}
		for key, change := range changes {
			if err := b.changeAddr(key, block, i, change, revert); err != nil {
				return err
			}
		}
		const many = 64 // to clear a map takes as long as it has ever been large
		if len(changes) > many {
			changes = make(map[[32]byte]addrChange)
		}
		clear(changes)
	}
	return nil
}

// changeAddr adds an entry, or takes it back.
func (b *indexBatch) changeAddr(key [32]byte, block *indexedBlock, i int, change addrChange, revert bool) error {
	total, err := b.totalsOf(key)
	if err != nil {
		return err
	}
	entry, outs, ins := addrKey(key, block.height, uint32(i)), uint64(len(change.outs)), uint64(len(change.spends))
	if revert {
		total.AddressTotals = AddressTotals{total.Received - change.received, total.Spent - change.spent, total.Txs - 1, total.Outputs - outs, total.Inputs - ins}
		b.Delete(entry)
		return nil
	}
	total.AddressTotals = AddressTotals{total.Received + change.received, total.Spent + change.spent, total.Txs + 1, total.Outputs + outs, total.Inputs + ins}
	b.Put(entry, change.append(block.ids[i]))
	return nil
}

// totalsOf finds the sums of a key as they will be: in this batch, among those that were
// written last, or in the database.
func (b *indexBatch) totalsOf(key [32]byte) (*totals, error) {
	total, ok := b.totals[key]
	if ok {
		return total, nil
	}
	if last, ok := b.known[key]; ok {
		copied := *last // of a batch that is not written nothing must stay
		total = &copied
	} else {
		script := scriptHash(key)
		var err error
		if total, err = b.c.store.totals(script); err != nil {
			return nil, err
		}
		total.key, total.script = key, script
	}
	b.totals[key] = total
	return total, nil
}

// maxKnownTotals is about how many sums an index remembers beside the database: 32 MB.
const maxKnownTotals = 200_000

// remember keeps sums that were written, for the next batches.
func (x *index) remember(written map[[32]byte]*totals) {
	if len(written) == 0 {
		return
	}
	if x.totals == nil || len(x.totals)+len(written) > maxKnownTotals {
		x.totals = written
		return
	}
	maps.Copy(x.totals, written)
}

// append encodes the entry of a transaction.
func (c *addrChange) append(id consensus.Hash) []byte {
	value := append(make([]byte, 0, len(id)+9+9+1+len(c.outs)+4*len(c.spends)), id[:]...)
	value = consensus.AppendCompactSize(value, uint64(c.received))
	value = consensus.AppendCompactSize(value, uint64(c.spent))
	value = consensus.AppendCompactSize(value, uint64(len(c.outs)))
	for _, n := range c.outs {
		value = consensus.AppendCompactSize(value, uint64(n))
	}
	for _, tag := range c.spends {
		value = binary.LittleEndian.AppendUint32(value, tag)
	}
	return value
}

// putTotals writes the sums that have changed.
func (b *indexBatch) putTotals() {
	value := make([]byte, 0, 128)
	for _, t := range b.totals {
		if t.Txs == 0 {
			b.Delete(totalsKey(t.script))
			continue
		}
		value = value[:0]
		for _, n := range []uint64{uint64(t.Received), uint64(t.Spent), t.Txs, t.Outputs, t.Inputs} {
			value = consensus.AppendCompactSize(value, n)
		}
		value = append(value, t.key[:]...)
		b.Put(totalsKey(t.script), value)
	}
}

func totalsKey(script [32]byte) []byte { return append([]byte{keyAddrTotals}, script[:]...) }

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
	e.Outs = make([]uint32, d.Count(1))
	for i := range e.Outs {
		e.Outs[i] = uint32(d.CompactSize())
	}
	for d.Err() == nil && len(d.Rest()) > 0 {
		e.spends = append(e.spends, d.Uint32())
	}
	if err := d.Finish(); err != nil {
		return e, fmt.Errorf("%w: %s: %w", errCorrupt, AddrIndex, err)
	}
	return e, nil
}

// totals is nothing for a script that no transaction touches.
func (s *store) totals(script [32]byte) (*totals, error) {
	value, err := s.value(totalsKey(script))
	if value == nil || err != nil {
		return &totals{}, err
	}
	d := consensus.NewDecoder(value)
	t := &totals{AddressTotals: AddressTotals{consensus.Amount(d.CompactSize()), consensus.Amount(d.CompactSize()), d.CompactSize(), d.CompactSize(), d.CompactSize()}}
	t.key = d.Hash()
	if err := d.Finish(); err != nil {
		return t, fmt.Errorf("%w: %s: %w", errCorrupt, AddrIndex, err)
	}
	return t, nil
}

// AddressTotals sums up what happened to a key. The error is of kind ErrNoIndex
// without the index of addresses, and else ErrFatal.
func (c *Chain) AddressTotals(key [32]byte) (AddressTotals, error) {
	_, total, err := c.ScriptTotals(scriptHash(key))
	return total, err
}

// ScriptTotals is AddressTotals by the SHA-256 of the script of the outputs, and
// gives the key. Both are zero for a script that no transaction of the active
// chain touches.
func (c *Chain) ScriptTotals(script [32]byte) (key [32]byte, sum AddressTotals, err error) {
	x, err := c.keptIndex(AddrIndex)
	if err != nil {
		return key, sum, err
	}
	total := &totals{}
	err = x.use(func() (err error) {
		total, err = c.store.totals(script)
		return err
	})
	return total.key, total.AddressTotals, err
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

// AddressTxsBack is AddressTxs of one key backwards, the newest first, from a
// height on.
func (c *Chain) AddressTxsBack(key [32]byte, from uint32, visit func(AddressTx) (more bool)) error {
	x, err := c.keptIndex(AddrIndex)
	if err != nil {
		return err
	}
	return x.use(func() error {
		end := addrKey(key, from, 0xffffffff)
		it := c.store.db.NewIterator(&util.Range{Start: addrKey(key, 0, 0), Limit: append(end, 0)}, nil)
		defer it.Release()
		for ok := it.Last(); ok; ok = it.Prev() {
			select {
			case <-c.closing:
				return errClosed
			default:
			}
			e, err := readAddrEntry(it.Key(), it.Value())
			if err != nil || !visit(e) {
				return err
			}
		}
		return it.Error()
	})
}

// AddressKeys lists the first keys, at most limit of them, in order, that lie
// from one to another and that a transaction of the active chain touches. The
// error is that of AddressTotals.
func (c *Chain) AddressKeys(from, to [32]byte, limit int) (keys [][32]byte, err error) {
	x, err := c.keptIndex(AddrIndex)
	if err != nil {
		return nil, err
	}
	err = x.use(func() error {
		end := addrKey(to, 0xffffffff, 0xffffffff)
		it := c.store.db.NewIterator(&util.Range{Start: addrKey(from, 0, 0), Limit: append(end, 0)}, nil)
		defer it.Release()
		for ok := it.Next(); ok && len(keys) < limit; {
			e, err := readAddrEntry(it.Key(), it.Value())
			if err != nil {
				return err
			}
			keys = append(keys, e.Key)
			ok = it.Seek(append(addrKey(e.Key, 0xffffffff, 0xffffffff), 0))
		}
		return it.Error()
	})
	return keys, err
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
