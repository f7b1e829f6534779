package chain

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb"

	"lode/consensus"
)

// CoinScan is what ScanCoins has read.
type CoinScan struct {
	Height uint32 // of the tip then
	Tip    consensus.Hash
	Coins  uint64 // all that were looked at
}

// ScanCoins visits all coins of some output keys, in the order of their outpoints,
// as they are at one tip. The ledger goes on meanwhile. progress is called now and
// then with the part that is done, from 0 to 1.
func (c *Chain) ScanCoins(ctx context.Context, keys map[[32]byte]struct{}, visit func(consensus.OutPoint, consensus.Coin), progress func(done float64)) (CoinScan, error) {
	tip, snapshot, err := c.snapshot()
	if err != nil {
		return CoinScan{}, err
	}
	defer c.scans.Done()
	defer snapshot.Release()
	s := CoinScan{Height: tip.Height, Tip: tip.Hash}
	err = c.eachCoin(ctx, snapshot, func(o consensus.OutPoint, coin consensus.Coin) {
		if s.Coins%8192 == 0 {
			progress(float64(binary.BigEndian.Uint16(o.TxID[:])) / (1 << 16))
		}
		s.Coins++
		if _, wanted := keys[coin.Key]; wanted {
			visit(o, coin)
		}
	})
	if err != nil {
		return s, c.scanError(ctx, err)
	}
	return s, nil
}

// scanError is the error of a scan of a snapshot: whatever is not the end of the
// caller or of the ledger is a failure of the ledger.
func (c *Chain) scanError(ctx context.Context, err error) error {
	select {
	case <-c.closing:
		return err
	default:
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.fail(corrupt(err))
}

// eachCoin visits every coin of a snapshot, until ctx ends or the ledger is closed.
func (c *Chain) eachCoin(ctx context.Context, snapshot *leveldb.Snapshot, visit func(consensus.OutPoint, consensus.Coin)) error {
	it := snapshot.NewIterator(coinRange, nil)
	defer it.Release()
	for it.Next() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.closing:
			return errClosed
		default:
		}
		coin, err := readCoin(it.Value())
		o, ok := readCoinKey(it.Key())
		if err == nil && !ok {
			err = fmt.Errorf("%w: coin under the key %x", errCorrupt, it.Key())
		}
		if err != nil {
			return err
		}
		visit(o, coin)
	}
	return it.Error()
}
