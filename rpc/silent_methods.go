package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
	"lode/wallet/silent"
)

// Bounds of what is answered at once about silent payments.
const (
	maxSilentBlocks  = 1_000
	maxSilentOutputs = 20_000 // after which no further block is begun
	maxSilentPool    = 500    // transactions, each of which is worked out when it is asked for
)

// silentCalls tell receivers of silent payments (BIP352) what they need of everybody's
// transactions, so that no node need know their keys.
func (s *Server) silentCalls() calls {
	return calls{
		"getsilentblocks":  s.getSilentBlocks,
		"getsilentmempool": s.getSilentMempool,
	}
}

// silentTxJSON is a transaction as a receiver wants it.
type silentTxJSON struct {
	TxID    consensus.Hash `json:"txid"`
	Tweak   string         `json:"tweak"`
	Outputs []string       `json:"outputs"` // keys
}

func silentTx(tx *consensus.Tx, id consensus.Hash, tweak silent.PublicKey) silentTxJSON {
	j := silentTxJSON{TxID: id, Tweak: hex.EncodeToString(tweak[:])}
	for _, key := range silent.OutputKeys(tx) {
		j.Outputs = append(j.Outputs, hex.EncodeToString(key[:]))
	}
	return j
}

type silentBlockJSON struct {
	Height uint32          `json:"height"`
	Hash   consensus.Hash  `json:"hash"`
	Prev   *consensus.Hash `json:"previousblockhash,omitempty"`
	Txs    []silentTxJSON  `json:"transactions"`
}

// silentIndex makes sure that the index of silent payments can be asked.
func (s *Server) silentIndex(ctx context.Context) error {
	kept, ready, err := s.indexReady(ctx, chain.SilentIndex)
	switch {
	case err != nil:
		return err
	case !kept:
		return fail(codeMisc, "Silent payment index is not enabled. Start the node with --silentindex.")
	case !ready:
		return fail(codeMisc, "Silent payment index is still in the process of being built. See getindexinfo.")
	}
	return nil
}

func (s *Server) getSilentBlocks(ctx context.Context, p *params) (any, error) {
	count := p.integer(1, 1, math.MinInt32, math.MaxInt32)
	if p.err != nil {
		return nil, p.err
	}
	if count < 1 || count > maxSilentBlocks {
		return nil, fail(codeParameter, "count must be 1 to %d", maxSilentBlocks)
	}
	info, err := s.hashOrHeight(p, 0)
	if err != nil {
		return nil, err
	}
	if !info.Active {
		return nil, fail(codeParameter, "Block %s is not in the active chain", info.Hash)
	}
	if err := s.silentIndex(ctx); err != nil {
		return nil, err
	}
	blocks, outputs := []silentBlockJSON{}, 0
	for hash, height, ok := info.Hash, info.Height, true; ok; hash, ok = s.cfg.Chain.HashAt(height) {
		b, size, err := s.silentBlock(hash, height)
		if err != nil && len(blocks) > 0 && errors.Is(err, chain.ErrNotFound) {
			return blocks, nil // the chain has moved: the next call finds out
		}
		if err != nil {
			return nil, err
		}
		blocks, outputs, height = append(blocks, b), outputs+size, height+1
		if len(blocks) == int(count) || outputs > maxSilentOutputs || ctx.Err() != nil {
			break
		}
	}
	return blocks, ctx.Err()
}

// silentBlock gives one block, and how many outputs it has.
func (s *Server) silentBlock(hash consensus.Hash, height uint32) (j silentBlockJSON, outputs int, err error) {
	block, err := s.block(hash)
	if err != nil {
		return j, 0, err
	}
	tweaks, err := s.cfg.Chain.SilentTweaks(block)
	if errors.Is(err, chain.ErrNotFound) {
		return j, 0, fmt.Errorf("%w: %w", fail(codeAddress, "The index does not have block %s any more, or not yet: ask again.", hash), err)
	}
	if err != nil {
		return j, 0, err
	}
	j = silentBlockJSON{Height: height, Hash: hash, Txs: make([]silentTxJSON, len(tweaks))}
	if height > 0 {
		j.Prev = &block.Prev
	}
	ids := block.TxIDs()
	for i, t := range tweaks {
		j.Txs[i] = silentTx(block.Txs[t.Index], ids[t.Index], t.Tweak)
		outputs += len(j.Txs[i].Outputs)
	}
	return j, outputs, nil
}

// silentPoolJSON is a page of the mempool.
type silentPoolJSON struct {
	Loaded bool           `json:"loaded"` // false while the mempool that was saved is read
	Txs    []silentTxJSON `json:"transactions"`
	Next   string         `json:"next"`
	More   bool           `json:"more"` // there are more transactions now
}

func (s *Server) getSilentMempool(ctx context.Context, p *params) (any, error) {
	place := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	if _, err := s.cfg.Chain.IndexReady(ctx, chain.SilentIndex); errors.Is(err, chain.ErrNoIndex) {
		return nil, s.silentIndex(ctx)
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	page := silentPoolJSON{Loaded: pool.Loaded(), Txs: []silentTxJSON{}}
	list, next, more, err := pool.Since(place, maxSilentPool)
	if errors.Is(err, mempool.ErrPlace) {
		return nil, fail(codeParameter, "after must be what an earlier answer gave as next (not '%.80s')", place)
	}
	for _, a := range list {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		tweak, ok, err := PendingTweak(s.cfg.Chain, pool, a.Tx)
		if err != nil {
			return nil, err
		}
		if ok {
			page.Txs = append(page.Txs, silentTx(a.Tx, a.TxID, tweak))
		}
	}
	page.Next, page.More = next, more
	return page, err
}

// PendingTweak is the tweak of a transaction of the mempool. ok is false if it cannot pay silently,
// or if it, or its parent, has left the mempool meanwhile: for a block, or for good. The error is
// one of the ledger.
func PendingTweak(ledger *chain.Chain, pool *mempool.Pool, tx *consensus.Tx) (tweak silent.PublicKey, ok bool, err error) {
	coins := make([]consensus.Coin, len(tx.In))
	for i := range tx.In {
		o := tx.In[i].PrevOut
		coin, ok, err := ledger.Coin(o)
		if err != nil {
			return tweak, false, err
		}
		if parent, there := pool.ByTxID(o.TxID); !ok && there && uint64(o.Index) < uint64(len(parent.Out)) {
			coin.Key, ok = consensus.TaprootKey(parent.Out[o.Index].Script)
		}
		if !ok {
			return tweak, false, nil
		}
		coins[i] = coin
	}
	tweak, ok = silent.TweakOf(tx, coins)
	return tweak, ok, nil
}
