package chain

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"

	"lode/chain/blockfile"
	"lode/consensus"
)

// WrittenSnapshot describes a snapshot file that was written.
type WrittenSnapshot struct {
	Base   consensus.Hash
	Height uint32
	Coins  uint64
	Hash   consensus.Hash // hash_serialized_3: what whoever starts from the file must know
}

// ErrFileTaken is the kind of error for a name that WriteSnapshot must not use.
var ErrFileTaken = errors.New("is there already")

// WriteSnapshot writes all coins at the tip to a file, in the format of Bitcoin
// Core's dumptxoutset, under a name that must not be taken. Whoever is killed,
// or loses power, leaves the whole file or none under that name. The ledger goes
// on meanwhile. progress, if not nil, is told how far it is: ids are spread
// evenly, so the first of their bytes tell.
func (c *Chain) WriteSnapshot(ctx context.Context, name string, progress func(done, total int64)) (w WrittenSnapshot, err error) {
	taken := fmt.Errorf("%s %w and is left as it is: choose another name", name, ErrFileTaken)
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		return w, errors.Join(err, taken)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return w, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if w, err = c.writeSnapshot(ctx, f, progress); err != nil {
		return w, err
	}
	if err := f.Sync(); err != nil {
		return w, err
	}
	// A link, as a rename would replace a file that has come meanwhile.
	if err := os.Link(f.Name(), name); errors.Is(err, os.ErrExist) {
		return w, taken
	} else if err != nil {
		return w, err
	}
	return w, blockfile.OS{}.SyncDir(filepath.Dir(name))
}

type snapshotTarget interface {
	io.Writer
	io.WriterAt
}

func (c *Chain) writeSnapshot(ctx context.Context, f snapshotTarget, progress func(done, total int64)) (w WrittenSnapshot, err error) {
	tip, coins, err := c.snapshot()
	if err != nil {
		return w, err
	}
	defer c.scans.Done()
	defer coins.Release()
	w.Base, w.Height = tip.Hash, tip.Height
	head := snapshotHeader{magic: c.magic(), base: tip.Hash}
	out := bufio.NewWriterSize(f, 1<<20)
	if _, err := out.Write(head.bytes()); err != nil { // again below, with the number
		return w, err
	}
	set := serialHash{sha256.New()}
	var buf []byte
	top := uint32(0)
	err = c.coinsByTx(ctx, coins, func(id consensus.Hash, list []snapshotCoin) error {
		for i := range list {
			buf = appendForHash(buf[:0], consensus.OutPoint{TxID: id, Index: list[i].index}, &list[i].coin)
			set.add(buf)
			top = max(top, list[i].coin.Height)
		}
		w.Coins += uint64(len(list))
		buf = appendSnapshotTx(buf[:0], id, list)
		if progress != nil {
			progress(int64(id[0])<<8|int64(id[1]), 1<<16)
		}
		_, err := out.Write(buf)
		return err
	})
	if err = errors.Join(err, out.Flush()); err != nil {
		return w, err
	}
	if top != w.Height || w.Coins == 0 {
		return w, fmt.Errorf("block %s at height %d has made no coin, so that a snapshot could not show what its base is: write it after the next block", w.Base, w.Height)
	}
	w.Hash, head.coins = set.sum(), w.Coins
	_, err = f.WriteAt(head.bytes(), 0)
	return w, err
}

// coinsByTx visits the coins of a set, those of a transaction together, and in
// the order of their indices.
func (c *Chain) coinsByTx(ctx context.Context, set *leveldb.Snapshot, visit func(id consensus.Hash, list []snapshotCoin) error) error {
	it := set.NewIterator(coinRange, nil)
	defer it.Release()
	var id consensus.Hash
	var list []snapshotCoin
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
			return c.fail(err)
		}
		if len(list) > 0 && o.TxID != id {
			if err := visit(id, list); err != nil {
				return err
			}
			list = list[:0]
		}
		id, list = o.TxID, append(list, snapshotCoin{o.Index, coin})
	}
	if err := it.Error(); err != nil {
		return c.fail(corrupt(err))
	}
	if len(list) > 0 {
		return visit(id, list)
	}
	return nil
}
