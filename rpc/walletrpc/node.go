package walletrpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
	"lode/rpc"
	"lode/wallet"
)

// localNode is the node of the same process, as its wallets see it.
type localNode struct {
	chain     *chain.Chain
	pool      *mempool.Pool
	broadcast func(txids ...consensus.Hash)
}

var _ wallet.Node = (*localNode)(nil)

// Tip is the end of the active chain.
func (n *localNode) Tip(context.Context) (wallet.Point, error) {
	tip := n.chain.Tip()
	return wallet.Point{Height: tip.Height, Hash: tip.Hash}, nil
}

// BlockHashes gives the hashes of the active chain at some heights, zero above
// the tip.
func (n *localNode) BlockHashes(_ context.Context, heights []uint32) ([]consensus.Hash, error) {
	hashes := make([]consensus.Hash, len(heights))
	for i, height := range heights {
		hashes[i], _ = n.chain.HashAt(height)
	}
	return hashes, nil
}

// maxBlocks bounds what one answer of Blocks holds, in bytes.
const maxBlocks = 32 << 20

// Blocks gives encoded blocks, at least one.
func (n *localNode) Blocks(ctx context.Context, hashes []consensus.Hash) (blocks [][]byte, err error) {
	size := 0
	for _, hash := range hashes {
		b, err := n.chain.BlockBytes(hash)
		switch {
		case err != nil && len(blocks) > 0:
			return blocks, nil
		case err != nil && n.chain.Pruning().Height > 0:
			return nil, fail(codeMisc, "Can't rescan beyond pruned data. Use RPC call getblockchaininfo to determine your pruned height. (%v)", err)
		case err != nil:
			return nil, err
		}
		blocks = append(blocks, b)
		if size += len(b); size > maxBlocks {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return blocks, nil
}

// indexPatience is how long the index of addresses may take for its last blocks.
const indexPatience = 5 * time.Second

// HeightsOf asks the index of addresses, if the node keeps one that is ready.
func (n *localNode) HeightsOf(ctx context.Context, keys [][32]byte, from, to uint32) ([]uint32, bool, error) {
	waiting, cancel := context.WithTimeout(ctx, indexPatience)
	defer cancel()
	if ready, err := n.chain.IndexReady(waiting, chain.AddrIndex); err != nil || !ready {
		return nil, false, ctx.Err() // without it, blocks are read
	}
	found := make(map[uint32]bool)
	err := n.chain.AddressTxs(keys, from, to, func(tx chain.AddressTx) bool {
		found[tx.Height] = true
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	return slices.Sorted(maps.Keys(found)), true, err
}

// Pending asks the mempool.
func (n *localNode) Pending(_ context.Context, q wallet.PoolQuery) (a wallet.PoolAnswer, err error) {
	if err := n.pool.Sync(); err != nil {
		return a, err
	}
	keys := make(map[[32]byte]bool, len(q.Keys))
	for _, key := range q.Keys {
		keys[key] = true
	}
	a.Loaded = n.pool.Loaded()
	a.Txs = slices.Collect(maps.Values(rpc.ScanPool(n.pool, keys, q.Coins)))
	return a, nil
}

// Send gives a transaction to the mempool and the peers.
func (n *localNode) Send(_ context.Context, tx *consensus.Tx) error {
	if err := n.pool.Sync(); err != nil {
		return fmt.Errorf("%w: %w", wallet.ErrNotAsked, err)
	}
	id := tx.TxID()
	n.broadcast(id)
	err := n.pool.Add(tx)
	switch {
	case err == nil, errors.Is(err, mempool.ErrKnown), errors.Is(err, mempool.ErrSameTxID), errors.Is(err, mempool.ErrConfirmed):
		return nil
	case mempool.IsRefusal(err):
		return fmt.Errorf("%w: %w", wallet.ErrRefused, rpc.TxError(tx, err))
	}
	return err
}

// PoolFacts tells of some transactions of the mempool and of all that they need.
func (n *localNode) PoolFacts(_ context.Context, ids []consensus.Hash) (wallet.PoolFacts, error) {
	f := wallet.PoolFacts{Least: wallet.FeeRate(n.pool.MinFeeRate()), Increment: wallet.FeeRate(n.pool.Stats().Policy.Increment), Entries: make(map[consensus.Hash]wallet.PoolEntry)}
	for _, id := range ids {
		own, ok := n.pool.Info(id)
		if !ok {
			continue
		}
		above, _ := n.pool.Ancestors(id)
		for _, info := range append(above, own) {
			f.Entries[info.TxID] = wallet.PoolEntry{VSize: info.Size, Fee: info.Fee, Parents: info.Depends, Descendants: info.Descendants.Count - 1}
		}
	}
	return f, nil
}
