package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"lode/consensus"
	"lode/rpc/client"
	"lode/wallet"
)

// walletNode is a node as the wallet sees it, over JSON-RPC.
type walletNode struct {
	client *client.Client
	batch  int // blocks that are asked for at once
}

const (
	// Bounds of what is asked for at once. A block is at most 4 MB, 8 MB in hex.
	maxBlockBatch = 50
	maxTxBatch    = 200
	batchLimit    = 128 << 20 // bytes of an answer

	// Error codes of Bitcoin Core's RPC.
	codeMisc       = -1 // RPC_MISC_ERROR
	codeNotFound   = -5 // RPC_INVALID_ADDRESS_OR_KEY
	codeOutOfRange = -8 // RPC_INVALID_PARAMETER
	codeUnknown    = -32601
	confirmTarget  = 6 // blocks, Bitcoin Core's default
	rawEncoding    = 0 // verbosity: hex
)

func newWalletNode(cl *client.Client) *walletNode {
	cl.Limit = batchLimit
	return &walletNode{client: cl, batch: maxBlockBatch}
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
		if err := calls[i].Err; err != nil && !hasCode(err, codeOutOfRange) {
			return nil, err
		}
	}
	return hashes, nil
}

// Blocks gives as many blocks as fit into an answer, at least one: where they
// are large, fewer are asked for from then on.
func (n *walletNode) Blocks(ctx context.Context, hashes []consensus.Hash) ([][]byte, error) {
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
				return nil, n.withoutBlock(ctx, hashes[i], err)
			}
			if blocks[i], err = hex.DecodeString(texts[i]); err != nil {
				return nil, fmt.Errorf("block %s: the node's answer is not hex", hashes[i])
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
	if hasCode(err, codeMisc) && n.client.Call(ctx, "getblockchaininfo", nil, &info) == nil && info.Height > 0 {
		return fmt.Errorf("the node has pruned its blocks below height %d, which this wallet has yet to read: ask a node that has all blocks (--rpc URL)", info.Height)
	}
	return fmt.Errorf("block %s: %w", hash, err)
}

// Mempool gives the transactions of the node's mempool; one that leaves it
// meanwhile is left out.
func (n *walletNode) Mempool(ctx context.Context) ([]*consensus.Tx, error) {
	var ids []consensus.Hash
	if err := n.client.Call(ctx, "getrawmempool", nil, &ids); err != nil {
		return nil, err
	}
	txs := make([]*consensus.Tx, 0, len(ids))
	for len(ids) > 0 {
		some := ids[:min(len(ids), maxTxBatch)]
		ids = ids[len(some):]
		calls := make([]client.Request, len(some))
		texts := make([]string, len(some))
		for i, id := range some {
			calls[i] = client.Request{Method: "getrawtransaction", Params: []any{id, rawEncoding}, Result: &texts[i]}
		}
		if err := n.client.Batch(ctx, calls); err != nil {
			return nil, err
		}
		for i := range calls {
			if hasCode(calls[i].Err, codeNotFound) {
				continue
			}
			if calls[i].Err != nil {
				return nil, calls[i].Err
			}
			tx, err := decodeTx(texts[i])
			if err != nil {
				return nil, fmt.Errorf("transaction %s: %w", some[i], err)
			}
			txs = append(txs, tx)
		}
	}
	return txs, nil
}

func decodeTx(text string) (*consensus.Tx, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		return nil, errors.New("the node's answer is not hex")
	}
	return consensus.DecodeTx(raw)
}

// feeRate is what to pay to be in a block soon: the node's estimate, but never
// less than it accepts at all.
func (n *walletNode) feeRate(ctx context.Context) (wallet.FeeRate, error) {
	var info struct {
		Mempool json.Number `json:"mempoolminfee"` // coins per 1000 virtual bytes
		Relay   json.Number `json:"minrelaytxfee"`
	}
	if err := n.client.Call(ctx, "getmempoolinfo", nil, &info); err != nil {
		return 0, err
	}
	rate := wallet.DefaultFeeRate
	for _, least := range []json.Number{info.Mempool, info.Relay} {
		if least == "" {
			continue
		}
		sat, err := wallet.ParseAmount(least.String())
		if err != nil {
			return 0, fmt.Errorf("the node's least fee rate: %w", err)
		}
		rate = max(rate, wallet.FeeRate(sat))
	}
	var estimate struct {
		Rate *json.Number `json:"feerate"` // absent if the node does not know
	}
	err := n.client.Call(ctx, "estimatesmartfee", []any{confirmTarget}, &estimate)
	if err != nil && !hasCode(err, codeUnknown) {
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

// broadcast hands a transaction to the node. No limit of the node's own is put
// on its fee: the command has judged it already.
func (n *walletNode) broadcast(ctx context.Context, tx *consensus.Tx) error {
	return n.client.Call(ctx, "sendrawtransaction", []any{hex.EncodeToString(tx.Bytes()), json.Number("0")}, nil)
}

func hasCode(err error, code int) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.Code == code
}
