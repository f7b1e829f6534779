package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"lode/consensus"
	"lode/rpc/client"
	"lode/rpc/code"
	"lode/wallet"
)

// poolRates gives what a node's mempool takes at least, and what it wants more for a
// replacement.
func (n *walletNode) poolRates(ctx context.Context) (least, increment wallet.FeeRate, err error) {
	var info struct {
		Mempool   json.Number `json:"mempoolminfee"` // coins per 1,000 virtual bytes
		Relay     json.Number `json:"minrelaytxfee"`
		Increment json.Number `json:"incrementalrelayfee"`
	}
	if err := n.client.Call(ctx, "getmempoolinfo", nil, &info); err != nil {
		return 0, 0, err
	}
	for _, rate := range []struct {
		text json.Number
		into *wallet.FeeRate
	}{{info.Mempool, &least}, {info.Relay, &least}, {info.Increment, &increment}} {
		if rate.text == "" {
			continue
		}
		sat, err := wallet.ParseAmount(rate.text.String())
		if err != nil {
			return 0, 0, fmt.Errorf("the node's least fee rate: %w", err)
		}
		*rate.into = max(*rate.into, wallet.FeeRate(sat))
	}
	return least, increment, nil
}

// feeRate is what to pay to be in one of the next blocks: the node's estimate, but
// never less than it accepts at all.
func (n *walletNode) feeRate(ctx context.Context, target int) (wallet.FeeRate, error) {
	least, _, err := n.poolRates(ctx)
	if err != nil {
		return 0, err
	}
	rate := max(wallet.DefaultFeeRate, least)
	var estimate struct {
		Rate *json.Number `json:"feerate"` // absent if the node does not know
	}
	err = n.client.Call(ctx, "estimatesmartfee", []any{target}, &estimate)
	if err != nil && !hasCode(err, code.NoMethod) {
		return 0, err
	}
	if err == nil && estimate.Rate != nil {
		sat, err := wallet.ParseAmount(estimate.Rate.String())
		if err != nil {
			return 0, fmt.Errorf("the node's estimate of a fee rate: %w", err)
		}
		rate = max(rate, wallet.FeeRate(sat))
	}
	return rate, nil
}

// poolEntry is a transaction of the mempool as the RPC describes it.
type poolEntry struct {
	VSize       int `json:"vsize"`
	Descendants int `json:"descendantcount"` // with itself
	Fees        struct {
		Base json.Number `json:"base"` // coins
	} `json:"fees"`
	Depends []consensus.Hash `json:"depends"`
}

// PoolFacts tells of transactions of the mempool and their ancestors.
func (n *walletNode) PoolFacts(ctx context.Context, ids []consensus.Hash) (f wallet.PoolFacts, err error) {
	if f.Least, f.Increment, err = n.poolRates(ctx); err != nil {
		return f, err
	}
	f.Entries = make(map[consensus.Hash]wallet.PoolEntry)
	add := func(id consensus.Hash, e *poolEntry) error {
		fee, err := wallet.ParseAmount(e.Fees.Base.String())
		if err != nil {
			return fmt.Errorf("the node's entry of transaction %s: %w", id, err)
		}
		f.Entries[id] = wallet.PoolEntry{VSize: e.VSize, Fee: fee, Parents: e.Depends, Descendants: max(e.Descendants-1, 0)}
		return nil
	}
	for _, id := range ids {
		var own poolEntry
		if err := n.client.Call(ctx, "getmempoolentry", []any{id}, &own); hasCode(err, code.Address) {
			continue
		} else if err != nil {
			return f, err
		}
		var ancestors map[consensus.Hash]*poolEntry
		if err := n.client.Call(ctx, "getmempoolancestors", []any{id, true}, &ancestors); hasCode(err, code.Address) {
			continue // it has just left
		} else if err != nil {
			return f, err
		}
		ancestors[id] = &own
		for id, e := range ancestors {
			if err := add(id, e); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// Send hands a transaction to the node. No limit of the node's own is put on its
// fee and on what it burns: the command has judged it already.
func (n *walletNode) Send(ctx context.Context, tx *consensus.Tx) error {
	var burnt consensus.Amount
	for i := range tx.Out {
		if consensus.IsDataScript(tx.Out[i].Script) {
			burnt = max(burnt, tx.Out[i].Value)
		}
	}
	err := n.client.Call(ctx, "sendrawtransaction", []any{hex.EncodeToString(tx.Bytes()), json.Number("0"), json.Number(burnt.String())}, nil)
	switch {
	case err == nil || hasCode(err, code.InChain):
		return nil
	case hasCode(err, code.Verify) || hasCode(err, code.Rejected) || hasCode(err, code.Decode):
		return fmt.Errorf("%w: %w", wallet.ErrRefused, err)
	case errors.Is(err, client.ErrNotRunning), errors.Is(err, client.ErrUnauthorized), hasCode(err, code.WarmUp):
		return fmt.Errorf("%w: %w", wallet.ErrNotAsked, err)
	}
	return err
}

// health is how far a node is to be believed.
type health struct {
	Blocks  uint32 `json:"blocks"`
	Headers uint32 `json:"headers"`
	Syncing bool   `json:"initialblockdownload"`
}

// lag says what a node that is not in sync lacks, empty if it is.
func (h *health) lag() string {
	switch {
	case h.Headers > h.Blocks:
		return fmt.Sprintf("the node is at block %d of %d", h.Blocks, h.Headers)
	case h.Syncing:
		return fmt.Sprintf("the node is still looking for blocks behind %d", h.Blocks)
	}
	return ""
}

func (n *walletNode) health(ctx context.Context) (h health, err error) {
	err = n.client.Call(ctx, "getblockchaininfo", nil, &h)
	return h, err
}

// peers counts the node's connections.
func (n *walletNode) peers(ctx context.Context) (count int, err error) {
	err = n.client.Call(ctx, "getconnectioncount", nil, &count)
	return count, err
}

// maxStale bounds how far a block is followed that the chain has left behind.
const maxStale = 10_000

// forkOf finds where the way to a block leaves the active chain, and the blocks
// of it that are not in there. It is the block itself if that is.
func (n *walletNode) forkOf(ctx context.Context, hash consensus.Hash) (fork wallet.Point, stale []consensus.Hash, err error) {
	for range maxStale {
		var h struct {
			Height        uint32         `json:"height"`
			Confirmations int64          `json:"confirmations"` // -1 outside the active chain
			Prev          consensus.Hash `json:"previousblockhash"`
		}
		if err := n.client.Call(ctx, "getblockheader", []any{hash}, &h); hasCode(err, code.Address) {
			return fork, nil, fmt.Errorf("the node does not know block %s", hash)
		} else if err != nil {
			return fork, nil, err
		}
		if h.Confirmations >= 0 {
			return wallet.Point{Height: h.Height, Hash: hash}, stale, nil
		}
		stale, hash = append(stale, hash), h.Prev
	}
	return fork, nil, fmt.Errorf("block %s is more than %d blocks away from the chain", stale[0], maxStale)
}

func hasCode(err error, code int) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Code == code
}
