package chain

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/util"

	"lode/consensus"
)

// UTXOStats describes the set of all coins at one tip.
type UTXOStats struct {
	Height    uint32
	Tip       consensus.Hash
	Coins     uint64
	Txs       uint64 // transactions that have coins left
	BogoSize  uint64 // Bitcoin Core's measure that does not depend on the database
	Total     consensus.Amount
	Hash      consensus.Hash // as it was asked for
	DiskBytes int64          // an estimate
}

// setHash hashes the coins of a set, which come in the order of their keys.
type setHash interface {
	add(coin []byte)
	sum() consensus.Hash
}

// serialHash is SHA-256d over all coins one after the other.
type serialHash struct{ hash.Hash }

func (h serialHash) add(coin []byte) { h.Write(coin) }

func (h serialHash) sum() consensus.Hash { return sha256.Sum256(h.Sum(nil)) }

// UTXOStats reads the whole set, and hashes it as Bitcoin Core's
// hash_serialized_3. The ledger goes on meanwhile.
func (c *Chain) UTXOStats(ctx context.Context) (UTXOStats, error) {
	return c.utxoStats(ctx, serialHash{sha256.New()})
}

// UTXOMuHash is UTXOStats with Bitcoin Core's muhash instead.
func (c *Chain) UTXOMuHash(ctx context.Context) (UTXOStats, error) {
	return c.utxoStats(ctx, newMuHash())
}

func (c *Chain) utxoStats(ctx context.Context, set setHash) (UTXOStats, error) {
	tip, snapshot, err := c.snapshot()
	if err != nil {
		return UTXOStats{}, err
	}
	defer c.scans.Done()
	s := UTXOStats{Height: tip.Height, Tip: tip.Hash}
	err = c.addCoins(ctx, &s, snapshot, set)
	snapshot.Release()
	if err != nil {
		return UTXOStats{}, c.scanError(ctx, err)
	}
	s.Hash = set.sum()
	if sizes, err := c.store.db.SizeOf([]util.Range{*coinRange}); err == nil {
		s.DiskBytes = sizes.Sum()
	}
	return s, nil
}

// snapshot gives all coins in the database as they are at the tip. Who has read
// them calls c.scans.Done.
func (c *Chain) snapshot() (tip consensus.State, snapshot *leveldb.Snapshot, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return tip, nil, err
	}
	if c.awaited != nil {
		return tip, nil, errAwaits
	}
	err = c.flush()
	if err == nil {
		snapshot, err = c.store.db.GetSnapshot()
	}
	if err != nil {
		return tip, nil, c.fail(corrupt(err))
	}
	c.scans.Add(1)
	return *c.tree.Tip().State(), snapshot, nil
}

var coinRange = util.BytesPrefix([]byte{keyCoin})

// addCoins adds every coin of a snapshot to s and set.
func (c *Chain) addCoins(ctx context.Context, s *UTXOStats, snapshot *leveldb.Snapshot, set setHash) error {
	var last consensus.Hash
	var buf []byte
	return c.eachCoin(ctx, snapshot, func(o consensus.OutPoint, coin consensus.Coin) {
		buf = appendForHash(buf[:0], o, &coin)
		set.add(buf)
		s.Coins++
		s.Total += coin.Value
		s.BogoSize += bogoSize(&coin)
		if s.Coins == 1 || o.TxID != last {
			last = o.TxID
			s.Txs++
		}
	})
}

// bogoSize is Bitcoin Core's measure of a coin that does not depend on the database.
func bogoSize(c *consensus.Coin) uint64 {
	return 32 + 4 + 4 + 8 + 2 + uint64(len(consensus.TaprootScript(c.Key)))
}

// appendForHash is how Bitcoin Core writes a coin when it hashes the set:
// outpoint, twice the height plus one if from a coinbase, output. The order is
// by transaction id and index, as in the database.
func appendForHash(b []byte, o consensus.OutPoint, c *consensus.Coin) []byte {
	b = append(b, o.TxID[:]...)
	b = binary.LittleEndian.AppendUint32(b, o.Index)
	code := c.Height << 1
	if c.Coinbase {
		code |= 1
	}
	b = binary.LittleEndian.AppendUint32(b, code)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Value))
	return consensus.AppendVarBytes(b, consensus.TaprootScript(c.Key))
}

// DiskSize is about how many bytes of block and undo files there are.
func (c *Chain) DiskSize() int64 { return c.blocks.Total() + c.undos.Total() }
