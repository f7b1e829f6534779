package chain

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"

	"lode/consensus"
)

// The first byte of every key in the database.
const (
	keyHeader = 'h' // + hash: a node's record
	keyCoin   = 'c' // + transaction id + output index, big endian: a coin
	keyTip    = 't' // the hash of the active tip, to which the coins belong
)

// store is the LevelDB under the ledger.
type store struct {
	db    *leveldb.DB
	files storage.Storage
}

// openStore opens or makes the database in dir. Its error is errCorrupt for one
// that must be built anew. Journals are read strictly: by default LevelDB drops
// what it cannot read in silence, and coins with it.
func openStore(dir string) (*store, error) {
	files, err := storage.OpenFile(dir, false)
	if err != nil {
		return nil, err
	}
	if err := cutJournal(dir, files); err != nil {
		return nil, errors.Join(err, files.Close())
	}
	db, err := leveldb.Open(files, &opt.Options{
		Filter:             filter.NewBloomFilter(10),
		BlockCacheCapacity: 16 << 20,
		WriteBuffer:        8 << 20,
		Strict:             opt.StrictAll,
	})
	if err != nil {
		return nil, errors.Join(corrupt(err), files.Close())
	}
	return &store{db, files}, nil
}

func (s *store) close() error { return errors.Join(s.db.Close(), s.files.Close()) }

// errCorrupt is the kind of error for a database that must be built anew.
var errCorrupt = errors.New("the ledger's database is damaged, start with --reindex")

// corrupt makes LevelDB's errors about damage ones of kind errCorrupt.
func corrupt(err error) error {
	if ldberrors.IsCorrupted(err) {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return err
}

func coinKey(o consensus.OutPoint) []byte {
	k := append(make([]byte, 0, 37), keyCoin)
	k = append(k, o.TxID[:]...)
	return binary.BigEndian.AppendUint32(k, o.Index)
}

func headerKey(h consensus.Hash) []byte { return append([]byte{keyHeader}, h[:]...) }

// coin looks a coin up; an error is one of the database.
func (s *store) coin(o consensus.OutPoint) (c consensus.Coin, ok bool, err error) {
	value, err := s.db.Get(coinKey(o), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return c, false, nil
	}
	if err == nil {
		c, err = readCoin(value)
	}
	return c, err == nil, corrupt(err)
}

func readCoin(value []byte) (consensus.Coin, error) {
	d := consensus.NewDecoder(value)
	c := decodeCoin(d)
	if err := d.Finish(); err != nil {
		return c, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return c, nil
}

// coins is the UTXO set as a consensus.CoinSource. The first error of the
// database sticks; whoever used it must look at err before it believes a miss.
type coins struct {
	store *store
	err   error
}

// Coin looks a coin up.
func (c *coins) Coin(o consensus.OutPoint) (consensus.Coin, bool) {
	coin, ok, err := c.store.coin(o)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("coin %s: %w", o, err)
	}
	return coin, ok
}

// tip is the hash of the block to which the coins belong, if any was written.
func (s *store) tip() (h consensus.Hash, ok bool, err error) {
	value, err := s.db.Get([]byte{keyTip}, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return h, false, nil
	}
	if err == nil && len(value) != len(h) {
		err = fmt.Errorf("%w: tip of %d bytes", errCorrupt, len(value))
	}
	if err != nil {
		return h, false, corrupt(err)
	}
	return consensus.Hash(value), true, nil
}

// batch collects changes that are made together or not at all.
type batch struct{ leveldb.Batch }

func (b *batch) putNode(n *node)         { b.Put(headerKey(n.hash()), n.record()) }
func (b *batch) putTip(h consensus.Hash) { b.Put([]byte{keyTip}, h[:]) }
func (b *batch) putView(v *consensus.View) {
	removed, added := v.Changes()
	for o := range removed {
		if _, back := added[o]; !back {
			b.Delete(coinKey(o))
		}
	}
	var buf []byte
	for o, c := range added {
		buf = appendCoin(buf[:0], &c)
		b.Put(coinKey(o), buf)
	}
}

func (s *store) write(b *batch) error { return corrupt(s.db.Write(&b.Batch, nil)) }

// sync makes all writes so far survive a power cut.
func (s *store) sync(tip consensus.Hash) error {
	return corrupt(s.db.Put([]byte{keyTip}, tip[:], &opt.WriteOptions{Sync: true}))
}

// headers visits all records of nodes.
func (s *store) headers(visit func(n *node, height uint32, hash consensus.Hash) error) error {
	it := s.db.NewIterator(util.BytesPrefix([]byte{keyHeader}), nil)
	defer it.Release()
	for it.Next() {
		n, height, err := readRecord(it.Value())
		if err == nil && len(it.Key()) != 33 {
			err = errors.New("key of a wrong length")
		}
		if err == nil {
			err = visit(n, height, consensus.Hash(it.Key()[1:]))
		}
		if err != nil {
			return fmt.Errorf("%w: header record %x: %w", errCorrupt, it.Key(), err)
		}
	}
	return corrupt(it.Error())
}
