package main

import (
	"context"
	"fmt"

	"lode/chain"
	"lode/consensus"
	"lode/rpc/code"
	"lode/wallet"
	"lode/wallet/silent"
)

// silentTxJSON is a transaction in the answers of getsilentblocks and getsilentmempool.
type silentTxJSON struct {
	Tweak   consensus.HexBytes   `json:"tweak"`
	Outputs []consensus.HexBytes `json:"outputs"`
}

// silentTxs checks what a node says.
func silentTxs(list []silentTxJSON) ([]wallet.SilentTx, error) {
	txs := make([]wallet.SilentTx, len(list))
	for i, j := range list {
		if len(j.Tweak) != len(txs[i].Tweak) {
			return nil, fmt.Errorf("%w: a tweak of %d bytes", wallet.ErrBadNode, len(j.Tweak))
		}
		txs[i].Tweak = silent.PublicKey(j.Tweak)
		for _, key := range j.Outputs {
			if len(key) != 32 {
				return nil, fmt.Errorf("%w: an output key of %d bytes", wallet.ErrBadNode, len(key))
			}
			txs[i].Outputs = append(txs[i].Outputs, [32]byte(key))
		}
	}
	return txs, nil
}

// callSilent calls a method that wants the index of silent payments. ok is false if the node
// has none, or builds it.
func (n *walletNode) callSilent(ctx context.Context, method string, params []any, result any) (ok bool, err error) {
	err = n.client.Call(ctx, method, params, result)
	switch {
	case err == nil:
		return true, nil
	case hasCode(err, code.NoMethod):
		return false, nil
	case hasCode(err, code.Misc):
		if ready, indexErr := n.silentIndex(ctx); indexErr == nil && !ready {
			return false, nil
		}
	}
	return false, err
}

// silentIndex reports whether the node has built an index of silent payments.
func (n *walletNode) silentIndex(ctx context.Context) (bool, error) {
	var info map[string]struct {
		Synced bool `json:"synced"`
	}
	err := n.client.Call(ctx, "getindexinfo", nil, &info)
	return info[chain.SilentIndex].Synced, err
}

// SilentBlocks gives what finds silent payments in blocks.
func (n *walletNode) SilentBlocks(ctx context.Context, from, count uint32) (blocks []wallet.SilentBlock, ok bool, err error) {
	var list []struct {
		Height uint32         `json:"height"`
		Hash   consensus.Hash `json:"hash"`
		Prev   consensus.Hash `json:"previousblockhash"`
		Txs    []silentTxJSON `json:"transactions"`
	}
	ok, err = n.callSilent(ctx, "getsilentblocks", []any{from, count}, &list)
	if hasCode(err, code.Parameter) || hasCode(err, code.Address) {
		return nil, true, nil // the chain has moved
	}
	if !ok || err != nil {
		return nil, false, err
	}
	for _, j := range list {
		txs, err := silentTxs(j.Txs)
		if err != nil {
			return nil, false, err
		}
		blocks = append(blocks, wallet.SilentBlock{Point: wallet.Point{Height: j.Height, Hash: j.Hash}, Prev: j.Prev, Txs: txs})
	}
	return blocks, true, nil
}

// SilentPool gives what finds silent payments in a part of the mempool.
func (n *walletNode) SilentPool(ctx context.Context, after string) (page wallet.SilentPage, ok bool, err error) {
	var j struct {
		Txs  []silentTxJSON `json:"transactions"`
		Next string         `json:"next"`
		More bool           `json:"more"`
	}
	if ok, err = n.callSilent(ctx, "getsilentmempool", []any{after}, &j); !ok || err != nil {
		return page, false, err
	}
	txs, err := silentTxs(j.Txs)
	return wallet.SilentPage{Txs: txs, Next: j.Next, More: j.More}, err == nil, err
}
