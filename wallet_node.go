package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/pause"
	"lode/rpc/client"
	"lode/rpc/code"
	"lode/wallet"
)

// walletNode is a node as the wallet sees it, over JSON-RPC.
type walletNode struct {
	client *client.Client
	prefix string        // of addresses
	batch  int           // blocks that are asked for at once
	retry  time.Duration // how often one that is damaged on the node's disk is asked for
}

const (
	// Bounds of what is asked for at once. A block is at most 4 MB, 8 MB in hex.
	maxBlockBatch = 50
	batchLimit    = 128 << 20 // bytes of an answer

	confirmTarget = 6 // blocks, Bitcoin Core's default
	rawEncoding   = 0 // verbosity: hex
)

func newWalletNode(cl *client.Client, prefix string) *walletNode {
	cl.Limit = batchLimit
	return &walletNode{client: cl, prefix: prefix, batch: maxBlockBatch, retry: time.Second}
}

// Tip is the end of the active chain.
func (n *walletNode) Tip(ctx context.Context) (p wallet.Point, err error) {
	var info struct {
		Blocks uint32         `json:"blocks"`
		Best   consensus.Hash `json:"bestblockhash"`
	}
	err = n.client.Call(ctx, "getblockchaininfo", nil, &info)
	return wallet.Point{Height: info.Blocks, Hash: info.Best}, err
}

// BlockHashes gives the hashes at some heights, zero above the tip.
func (n *walletNode) BlockHashes(ctx context.Context, heights []uint32) ([]consensus.Hash, error) {
	hashes := make([]consensus.Hash, len(heights))
	calls := make([]client.Request, len(heights))
	for i, height := range heights {
		calls[i] = client.Request{Method: "getblockhash", Params: []any{height}, Result: &hashes[i]}
	}
	if err := n.client.Batch(ctx, calls); err != nil {
		return nil, err
	}
	for i := range calls {
		if err := calls[i].Err; err != nil && !hasCode(err, code.Parameter) {
			return nil, err
		}
	}
	return hashes, nil
}

// damageRetries is how often a block is asked for again that is damaged on the
// node's disk, and which the node fetches from its peers.
const damageRetries = 20

// Blocks gives as many blocks as fit into an answer, at least one: where they
// are large, fewer are asked for from then on. It waits for a damaged one to be
// mended; when that takes too long, a later call goes on with it.
func (n *walletNode) Blocks(ctx context.Context, hashes []consensus.Hash) ([][]byte, error) {
	for retries := 0; ; retries++ {
		blocks, err := n.blocks(ctx, hashes)
		if len(blocks) > 0 {
			return blocks, nil
		}
		if !hasCode(err, code.Database) || retries == damageRetries {
			return nil, err
		}
		if err := pause.For(ctx, n.retry); err != nil {
			return nil, err
		}
	}
}

// blocks is Blocks without the waiting: with an error it gives those before the
// first that the node does not give.
func (n *walletNode) blocks(ctx context.Context, hashes []consensus.Hash) ([][]byte, error) {
	for {
		hashes = hashes[:min(len(hashes), n.batch)]
		calls := make([]client.Request, len(hashes))
		texts := make([]string, len(hashes))
		for i, hash := range hashes {
			calls[i] = client.Request{Method: "getblock", Params: []any{hash, rawEncoding}, Result: &texts[i]}
		}
		err := n.client.Batch(ctx, calls)
		if errors.Is(err, client.ErrTooLarge) && n.batch > 1 {
			n.batch = max(len(hashes)/2, 1)
			continue
		}
		if err != nil {
			return nil, err
		}
		blocks := make([][]byte, len(hashes))
		for i := range calls {
			if err := calls[i].Err; err != nil {
				return blocks[:i], n.withoutBlock(ctx, hashes[i], err)
			}
			if blocks[i], err = hex.DecodeString(texts[i]); err != nil {
				return blocks[:i], fmt.Errorf("block %s: the node's answer is not hex", hashes[i])
			}
		}
		return blocks, nil
	}
}

// withoutBlock says why the node does not give a block.
func (n *walletNode) withoutBlock(ctx context.Context, hash consensus.Hash, err error) error {
	var info struct {
		Height uint32 `json:"pruneheight"` // absent if nothing is
	}
	if hasCode(err, code.Misc) && n.client.Call(ctx, "getblockchaininfo", nil, &info) == nil && info.Height > 0 {
		return fmt.Errorf("the node has pruned its blocks below height %d, which this wallet has yet to read: ask a node that has all blocks (--rpc URL)", info.Height)
	}
	return fmt.Errorf("block %s: %w", hash, err)
}

// What is asked of the indexes at once.
const (
	addressBatch = 100    // addresses, the most that getaddressdeltas takes
	deltaBatch   = 10_000 // of its entries
	scanBatch    = 50_000 // keys, and outputs, of scanmempool
)

// HeightsOf asks the node's index of addresses, if it keeps one that is ready.
func (n *walletNode) HeightsOf(ctx context.Context, keys [][32]byte, from, to uint32) (heights []uint32, ok bool, err error) {
	var info map[string]struct {
		Synced bool `json:"synced"`
	}
	if err := n.client.Call(ctx, "getindexinfo", nil, &info); hasCode(err, code.NoMethod) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, err
	}
	if !info[chain.AddrIndex].Synced {
		return nil, false, nil
	}
	found := make(map[uint32]bool)
	for some := range slices.Chunk(keys, addressBatch) {
		addresses := make([]string, len(some))
		for i, key := range some {
			addresses[i] = consensus.Address(n.prefix, key)
		}
		if err := n.deltas(ctx, addresses, from, to, found); err != nil {
			return nil, false, err
		}
	}
	return slices.Sorted(maps.Keys(found)), true, nil
}

// deltas adds the heights of all entries of the index. What a full page may lack
// of its last block does not matter: that its height is one of them is known.
func (n *walletNode) deltas(ctx context.Context, addresses []string, from, to uint32, found map[uint32]bool) error {
	for from <= to {
		var page []struct {
			Height uint32 `json:"height"`
		}
		query := map[string]any{"addresses": addresses, "start": from, "end": to, "count": deltaBatch}
		if err := n.client.Call(ctx, "getaddressdeltas", []any{query}, &page); err != nil {
			return err
		}
		for _, d := range page {
			found[d.Height] = true
		}
		if len(page) < deltaBatch {
			return nil
		}
		from = page[len(page)-1].Height + 1
	}
	return nil
}

// Pending asks the mempool for what concerns a wallet.
func (n *walletNode) Pending(ctx context.Context, q wallet.PoolQuery) (a wallet.PoolAnswer, err error) {
	type output struct {
		TxID consensus.Hash `json:"txid"`
		Vout uint32         `json:"vout"`
	}
	keys, outs := make([]string, len(q.Keys)), make([]output, len(q.Coins))
	for i, key := range q.Keys {
		keys[i] = hex.EncodeToString(key[:])
	}
	for i, o := range q.Coins {
		outs[i] = output{o.TxID, o.Index}
	}
	a.Loaded = true
	for first := true; first || len(keys) > 0 || len(outs) > 0; first = false {
		someKeys, someOuts := keys[:min(len(keys), scanBatch)], outs[:min(len(outs), scanBatch)]
		keys, outs = keys[len(someKeys):], outs[len(someOuts):]
		if err := n.scan(ctx, &a, []any{someKeys, someOuts}); err != nil {
			return a, err
		}
	}
	return a, nil
}

// scan adds the pages of one scanmempool.
func (n *walletNode) scan(ctx context.Context, a *wallet.PoolAnswer, params []any) error {
	for {
		var page struct {
			Loaded bool
			Txs    []string `json:"transactions"`
			Next   *string
		}
		if err := n.client.Call(ctx, "scanmempool", params, &page); hasCode(err, code.NoMethod) {
			return errors.New("the node does not know scanmempool: it must be of the same version as this wallet, or newer")
		} else if err != nil {
			return err
		}
		a.Loaded = a.Loaded && page.Loaded
		for _, text := range page.Txs {
			tx, err := decodeTx(text)
			if err != nil {
				return err
			}
			a.Txs = append(a.Txs, tx)
		}
		if page.Next == nil || len(page.Txs) == 0 {
			return nil
		}
		params = append(params[:2:2], *page.Next)
	}
}

func decodeTx(text string) (*consensus.Tx, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, errors.New("the node's answer is not hex")
	}
	return consensus.DecodeTx(raw)
}
