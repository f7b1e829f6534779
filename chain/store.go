package chain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/syndtr/goleveldb/leveldb"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"

	"lode/chain/blockfile"
	"lode/consensus"
)

// The first byte of every key in the database.
const (
	keyHeader = 'h' // + hash: a node's record
	keyCoin   = 'c' // + transaction id + output index: a coin
	keyTip    = 't' // the hash of the tip to which the coins belong
	keyMoving = 'm' // the hash of another tip: the coins are on their way there
	keyTails  = 'e' // where the block and undo files ended when the tip was written
	keyPruned = 'p' // the first block and undo files that are not pruned; absent if none is
	keyFormat = 'v' // the number of this format

	keySnapshot = 's' // the snapshot that the ledger began with, see beginning

	keyIndex      = 'i' // + a byte for the index: its state
	keyTx         = 'x' // + transaction id: where the transaction is
	keyAddr       = 'a' // + key + height + number in the block: what a transaction did to the key
	keyAddrTotals = 'b' // + SHA-256 of the script: what all transactions did to its key
	keyCoinStats  = 'u' // + block hash: what the coins are after it
	keyCoinSet    = 'w' // the set of the coins at the last block of keyCoinStats, as a number of MuHash
	keySilent     = 'q' // + block hash: what receivers of silent payments need of its transactions
	keyFilter     = 'f' // + height + block hash: its filter (BIP158)
	keyFilterHead = 'g' // + height + block hash: its filter's header and hash
)

// format changes with every change of how the database is written. What has
// another one is built anew.
const format = 1

// store is the LevelDB under the ledger.
type store struct {
	db    *leveldb.DB
	files storage.Storage
}

// openStore opens or makes the database in dir. Its error is errCorrupt for one
// that must be built anew. Journals are read strictly: by default LevelDB drops
// what it cannot read in silence, and coins with it.
func openStore(d blockfile.Disk, dir string, buffer int) (*store, error) {
	raw, err := d.Database(dir)
	if err != nil {
		return nil, err
	}
	files := blockfile.NewSafeStorage(raw, d, dir)
	if err := errors.Join(clearUnborn(d, dir), blockfile.CutJournal(files)); err != nil {
		return nil, errors.Join(err, files.Close())
	}
	options := storeOptions()
	options.WriteBuffer = buffer
	db, err := leveldb.Open(files, options)
	if err != nil {
		return nil, errors.Join(corrupt(err), files.Close())
	}
	return &store{db, files}, nil
}

// storeOptions is how a database is opened, whether it is written to or not.
func storeOptions() *opt.Options {
	return &opt.Options{
		Filter:                 filter.NewBloomFilter(10),
		BlockCacheCapacity:     databaseCache,
		Compression:            opt.NoCompression, // coins are hashes and keys
		OpenFilesCacheCapacity: 64,
		Strict:                 opt.StrictAll,
		// A transaction that fails to begin keeps LevelDB's lock, and Close would
		// wait for it for ever.
		DisableLargeBatchTransaction: true,
	}
}

// clearUnborn removes what LevelDB has left of a database that it was making
// when the process was killed: it would take that for damage. There is nothing in
// a database before CURRENT names its manifest.
func clearUnborn(d blockfile.Disk, dir string) error {
	names, err := d.Names(dir)
	if err != nil {
		return err
	}
	var unborn []string
	for _, name := range names {
		switch {
		case name == "LOCK" || strings.HasPrefix(name, "LOG"):
		case strings.HasPrefix(name, "MANIFEST-") || strings.HasPrefix(name, "CURRENT.") && name != "CURRENT.bak":
			unborn = append(unborn, name)
		default:
			return nil
		}
	}
	for _, name := range unborn {
		err = errors.Join(err, d.RemoveAll(filepath.Join(dir, name)))
	}
	return err
}

const (
	databaseCache  = 8 << 20
	databaseBuffer = 4 << 20 // of which there may be two
)

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

// coinKey orders coins by transaction id and index. An index takes one byte, or
// a byte that says so and four.
func coinKey(o consensus.OutPoint) []byte {
	const long = 0xff
	k := append(make([]byte, 0, 38), keyCoin)
	k = append(k, o.TxID[:]...)
	if o.Index < long {
		return append(k, byte(o.Index))
	}
	return binary.BigEndian.AppendUint32(append(k, long), o.Index)
}

// readCoinKey is the inverse of coinKey.
func readCoinKey(k []byte) (o consensus.OutPoint, ok bool) {
	switch len(k) {
	case 34:
		o.Index = uint32(k[33])
	case 38:
		o.Index = binary.BigEndian.Uint32(k[34:])
	default:
		return o, false
	}
	o.TxID = consensus.Hash(k[1:33])
	return o, bytes.Equal(coinKey(o), k)
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

// hash reads a hash that is kept under a key of one byte, if it is there.
func (s *store) hash(key byte) (h consensus.Hash, ok bool, err error) {
	value, err := s.get(key)
	if value == nil || err != nil {
		return h, false, err
	}
	if len(value) != len(h) {
		return h, false, fmt.Errorf("%w: %c of %d bytes", errCorrupt, key, len(value))
	}
	return consensus.Hash(value), true, nil
}

// get reads what is kept under a key of one byte: nil if nothing is.
func (s *store) get(key byte) ([]byte, error) {
	value, err := s.db.Get([]byte{key}, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil
	}
	return value, corrupt(err)
}

// tails reads where the block and undo files ended when the tip was written.
func (s *store) tails() (blocks, undos blockfile.Position, err error) {
	value, err := s.get(keyTails)
	if err != nil {
		return blocks, undos, err
	}
	d := consensus.NewDecoder(value)
	for _, p := range []*blockfile.Position{&blocks, &undos} {
		p.File, p.Offset = d.Uint32(), d.Uint32()
	}
	if err := d.Finish(); err != nil {
		return blocks, undos, fmt.Errorf("%w: ends of the files: %w", errCorrupt, err)
	}
	return blocks, undos, nil
}

// batch collects changes that are made together or not at all.
type batch struct{ leveldb.Batch }

// newBatch is a batch for many small records: LevelDB's own grows by ever smaller steps,
// and copies itself for each.
func newBatch() batch {
	return batch{*leveldb.MakeBatchWithConfig(&leveldb.BatchConfig{InitialCapacity: 64 << 10, GrowLimit: math.MaxInt32})}
}

func (b *batch) putNode(n *node)                    { b.Put(headerKey(n.Hash()), record(n)) }
func (b *batch) putHash(key byte, h consensus.Hash) { b.Put([]byte{key}, h[:]) }

func (b *batch) putCoin(o consensus.OutPoint, c *consensus.Coin) {
	b.Put(coinKey(o), appendCoin(nil, c))
}

func (b *batch) putTails(blocks, undos blockfile.Position) {
	var value []byte
	for _, p := range []blockfile.Position{blocks, undos} {
		value = binary.LittleEndian.AppendUint32(value, p.File)
		value = binary.LittleEndian.AppendUint32(value, p.Offset)
	}
	b.Put([]byte{keyTails}, value)
}

// write makes the changes; sync has them, and all before them, survive a power
// cut.
func (s *store) write(b *batch, sync bool) error {
	return corrupt(s.db.Write(&b.Batch, &opt.WriteOptions{Sync: sync}))
}

// headers visits all records of nodes.
func (s *store) headers(visit func(n savedNode, hash consensus.Hash) error) error {
	it := s.db.NewIterator(util.BytesPrefix([]byte{keyHeader}), nil)
	defer it.Release()
	for it.Next() {
		n, err := readRecord(it.Value())
		if err == nil && len(it.Key()) != 33 {
			err = errors.New("key of a wrong length")
		}
		if err == nil {
			err = visit(n, consensus.Hash(it.Key()[1:]))
		}
		if err != nil {
			return fmt.Errorf("%w: header record %x: %w", errCorrupt, it.Key(), err)
		}
	}
	return corrupt(it.Error())
}
