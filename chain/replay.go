package chain

import (
	"context"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb/util"
	"golang.org/x/sync/errgroup"

	"lode/consensus"
	"lode/consensus/sigcheck"
)

// replay builds the coins of a chain anew, from its blocks and in a database of
// its own, with every rule and signature. Of the ledger it uses nothing but the
// blocks.
type replay struct {
	rules *consensus.Rules
	sigs  *sigcheck.Checker
	limit int64   // bytes of memory for coins
	chain []*node // by height, up to where the replay goes at most
	next  uint32  // the height of the block that comes next
	store *store
	coins *coinCache

	read      func(*node) (*consensus.CheckedBlock, error) // called from several goroutines
	connected func(n *node, spent []consensus.Coin) error  // after each group, for each of its blocks; may be nil
	progress  func(height uint32)                          // after each group; may be nil
	before    func() error                                 // a flush; may be nil
}

// invalidBlock is the error for a block that breaks a rule.
type invalidBlock struct {
	n   *node
	err error
}

func (e *invalidBlock) Error() string {
	return fmt.Sprintf("block %s at height %d is invalid: %v", e.n.Hash(), e.n.Height(), e.err)
}

func (e *invalidBlock) Unwrap() error { return e.err }

// brokenBlock is the error for a block that cannot be read.
type brokenBlock struct {
	n   *node
	err error
}

func (e *brokenBlock) Error() string { return fmt.Sprintf("height %d: %v", e.n.Height(), e.err) }
func (e *brokenBlock) Unwrap() error { return e.err }

// begin empties the database of coins and starts with the genesis block, or goes
// on where an earlier replay of the same chain has flushed to last.
func (r *replay) begin() error {
	tip, ok, err := r.store.hash(keyTip)
	if err != nil {
		return err
	}
	moving, err := r.store.get(keyMoving)
	if err != nil {
		return err
	}
	r.coins, r.next = newCoinCache(r.store), 1
	if ok && moving == nil {
		for height := len(r.chain) - 1; height > 0; height-- {
			if r.chain[height].Hash() == tip {
				r.next = uint32(height) + 1
				return nil
			}
		}
	}
	return r.store.clear(keyCoin, keyTip, keyMoving)
}

// run connects blocks until the one at a height is, which must not be below
// those that are. While one group is connected the next is read and hashed.
func (r *replay) run(ctx context.Context, to uint32) error {
	type groupRead struct {
		nodes  []*node
		blocks []*consensus.CheckedBlock
	}
	ahead := make(chan groupRead)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ahead)
		for next := r.next; next <= to; {
			nodes := r.group(next, to)
			blocks, err := r.readAll(nodes)
			if err != nil {
				return err
			}
			select {
			case ahead <- groupRead{nodes, blocks}:
			case <-ctx.Done():
				return ctx.Err()
			}
			next += uint32(len(nodes))
		}
		return nil
	})
	group.Go(func() error {
		for g := range ahead {
			if err := r.connect(g.nodes, g.blocks); err != nil {
				return err
			}
			if r.progress != nil {
				r.progress(r.next - 1)
			}
		}
		return ctx.Err()
	})
	return group.Wait()
}

// group is the nodes from a height on, up to another, whose blocks are verified
// together.
func (r *replay) group(from, to uint32) []*node {
	size, end := 0, from
	for ; end <= to; end++ {
		if size += int(r.chain[end].Own.body.Size); end > from && size > groupSize {
			break
		}
	}
	return r.chain[from:end]
}

func (r *replay) readAll(nodes []*node) ([]*consensus.CheckedBlock, error) {
	blocks, errs := make([]*consensus.CheckedBlock, len(nodes)), make([]error, len(nodes))
	onAllCores(len(nodes), func(i int) {
		n := nodes[i]
		var err error
		if blocks[i], err = r.read(n); err != nil {
			errs[i] = &brokenBlock{n, err}
		} else if err = r.rules.CheckHeader(n.Parent().State(), n.Header(), consensus.NoTimeLimit); err != nil {
			errs[i] = &invalidBlock{n, err}
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err // the lowest of them
		}
	}
	return blocks, nil
}

// connect applies a group of blocks. After an error the coins in memory are
// worth nothing.
func (r *replay) connect(nodes []*node, blocks []*consensus.CheckedBlock) error {
	updates, err := r.coins.connect(r.rules, r.sigs, nodes, blocks, func(height uint32) uint32 { return r.chain[height].State().MedianTime() })
	if err != nil {
		return err
	}
	if r.connected != nil {
		for i, n := range nodes {
			if err := r.connected(n, updates[i].Spent); err != nil {
				return err
			}
		}
	}
	r.next += uint32(len(nodes))
	if r.coins.size() <= r.limit {
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	r.coins = newCoinCache(r.store)
	return nil
}

// flush writes the coins. Between the first and the last batch of many there is
// a mark, with which begin starts anew.
func (r *replay) flush() error {
	if r.before != nil {
		if err := r.before(); err != nil {
			return err
		}
	}
	return r.coins.write(new(batch), r.chain[r.next-1].Hash(), maxBatch)
}

// clear deletes everything under keys with these first bytes.
func (s *store) clear(first ...byte) error {
	var b batch
	for _, key := range first {
		it := s.db.NewIterator(util.BytesPrefix([]byte{key}), nil)
		for it.Next() {
			b.Delete(it.Key())
			if len(b.Dump()) < maxBatch {
				continue
			}
			if err := s.write(&b, false); err != nil {
				it.Release()
				return err
			}
			b.Reset()
		}
		err := it.Error()
		if it.Release(); err != nil {
			return corrupt(err)
		}
	}
	return s.write(&b, true)
}
