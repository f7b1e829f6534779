package walletrpc

import (
	"context"

	"lode/chain"
	"lode/rpc"
	"lode/wallet"
	"lode/wallet/silent"
)

var _ wallet.SilentNode = (*localNode)(nil)

// silentIndex reports whether the node keeps an index of silent payments that is ready.
func (n *localNode) silentIndex(ctx context.Context) bool {
	waiting, cancel := context.WithTimeout(ctx, indexPatience)
	defer cancel()
	ready, err := n.chain.IndexReady(waiting, chain.SilentIndex)
	return err == nil && ready
}

// SilentBlocks gives what finds silent payments in blocks.
func (n *localNode) SilentBlocks(ctx context.Context, from, count uint32) (blocks []wallet.SilentBlock, ok bool, err error) {
	if !n.silentIndex(ctx) {
		return nil, false, ctx.Err()
	}
	for height := from; height-from < count && ctx.Err() == nil; height++ {
		hash, there := n.chain.HashAt(height)
		if !there {
			break
		}
		block, err := n.chain.Block(hash)
		var tweaks []chain.SilentTweak
		if err == nil {
			tweaks, err = n.chain.SilentTweaks(block)
		}
		if err != nil && len(blocks) > 0 {
			break // the next call says why
		}
		if err != nil {
			return nil, true, err
		}
		b := wallet.SilentBlock{Point: wallet.Point{Height: height, Hash: hash}, Prev: block.Prev}
		for _, t := range tweaks {
			b.Txs = append(b.Txs, wallet.SilentTx{Tweak: t.Tweak, Outputs: silent.OutputKeys(block.Txs[t.Index])})
		}
		blocks = append(blocks, b)
	}
	return blocks, true, ctx.Err()
}

// maxSilentPage bounds what is worked out at once of the mempool, in transactions.
const maxSilentPage = 500

// SilentPool gives what finds silent payments in a part of the mempool.
func (n *localNode) SilentPool(ctx context.Context, after string) (page wallet.SilentPage, ok bool, err error) {
	if !n.silentIndex(ctx) {
		return page, false, ctx.Err()
	}
	if err := n.pool.Sync(); err != nil {
		return page, false, err
	}
	list, next, more, err := n.pool.Since(after, maxSilentPage)
	if err != nil { // of another program: from the beginning
		list, next, more, err = n.pool.Since("", maxSilentPage)
	}
	page.Next, page.More = next, more
	for _, a := range list {
		if ctx.Err() != nil {
			return page, false, ctx.Err()
		}
		tweak, can, err := rpc.PendingTweak(n.chain, n.pool, a.Tx)
		if err != nil {
			return page, false, err
		}
		if can {
			page.Txs = append(page.Txs, wallet.SilentTx{Tweak: tweak, Outputs: silent.OutputKeys(a.Tx)})
		}
	}
	return page, err == nil, err
}
