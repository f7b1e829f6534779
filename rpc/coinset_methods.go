package rpc

import (
	"context"
	"errors"

	"lode/chain"
	"lode/consensus"
)

// coinSetJSON is the answer of gettxoutsetinfo.
type coinSetJSON struct {
	Height   uint32          `json:"height"`
	Best     consensus.Hash  `json:"bestblock"`
	TxOuts   uint64          `json:"txouts"`
	BogoSize uint64          `json:"bogosize"`
	Hash     *consensus.Hash `json:"hash_serialized_3,omitempty"`
	MuHash   *consensus.Hash `json:"muhash,omitempty"`
	Total    coins           `json:"total_amount"`

	// Without the index:
	Txs      *uint64 `json:"transactions,omitempty"`
	DiskSize *int64  `json:"disk_size,omitempty"`

	// With it:
	Lost  *coins         `json:"total_unspendable_amount,omitempty"`
	Block *blockCoinJSON `json:"block_info,omitempty"`
}

// blockCoinJSON is what a block does to the coins.
type blockCoinJSON struct {
	Spent    coins        `json:"prevout_spent"`
	Coinbase coins        `json:"coinbase"`
	Outputs  coins        `json:"new_outputs_ex_coinbase"`
	Lost     coins        `json:"unspendable"`
	Kinds    lostCoinJSON `json:"unspendables"`
}

type lostCoinJSON struct {
	Genesis   coins `json:"genesis_block"`
	BIP30     coins `json:"bip30"` // the rules exclude it
	Scripts   coins `json:"scripts"`
	Unclaimed coins `json:"unclaimed_rewards"`
}

// The kinds of hashes of the set of coins.
const (
	hashSerial = "hash_serialized_3"
	hashMu     = "muhash"
	hashNone   = "none"
)

func (s *Server) getTxOutSetInfo(ctx context.Context, p *params) (any, error) {
	kind, indexed := p.text(0, hashSerial), p.flag(2, true)
	if p.err != nil {
		return nil, p.err
	}
	if kind != hashSerial && kind != hashMu && kind != hashNone {
		return nil, fail(codeParameter, "'%.80s' is not a valid hash_type", kind)
	}
	built, kept := s.indexInfo(chain.CoinStatsIndex)
	tip := s.cfg.Chain.Tip()
	at := chain.HeaderInfo{Hash: tip.Hash, Height: tip.Height}
	if !p.absent(1) {
		var err error
		switch {
		case !kept:
			err = fail(codeParameter, "Querying specific block heights requires coinstatsindex")
		case kind == hashSerial:
			err = fail(codeParameter, hashSerial+" hash type cannot be queried for a specific block")
		case !indexed:
			err = fail(codeParameter, "Cannot set use_index to false when querying for a specific block")
		default:
			at, err = s.hashOrHeight(p, 1)
		}
		if err != nil {
			return nil, err
		}
	}
	if !indexed || !kept {
		return s.countCoins(ctx, kind)
	}
	if _, ready, err := s.indexReady(ctx, chain.CoinStatsIndex); err != nil {
		return nil, err
	} else if !ready && at.Height > built.Height {
		return nil, fail(codeInternal, "Unable to get data because coinstatsindex is still syncing. Current height: %d", built.Height)
	}
	if kind == hashSerial { // which the index does not have
		return s.countCoins(ctx, kind)
	}
	return s.indexedCoins(at.Hash, at.Height, kind)
}

// countCoins reads the whole set of coins.
func (s *Server) countCoins(ctx context.Context, kind string) (any, error) {
	read := s.cfg.Chain.UTXOStats
	if kind == hashMu {
		read = s.cfg.Chain.UTXOMuHash
	}
	stats, err := read(ctx)
	if err != nil {
		return nil, err
	}
	j := coinSetJSON{
		Height: stats.Height, Best: stats.Tip, TxOuts: stats.Coins, BogoSize: stats.BogoSize, Total: coins(stats.Total),
		Txs: &stats.Txs, DiskSize: &stats.DiskBytes,
	}
	switch kind {
	case hashSerial:
		j.Hash = &stats.Hash
	case hashMu:
		j.MuHash = &stats.Hash
	}
	return j, nil
}

// indexedCoins looks up what the coins are after a block.
func (s *Server) indexedCoins(block consensus.Hash, height uint32, kind string) (any, error) {
	stats, err := s.cfg.Chain.CoinStats(block)
	if errors.Is(err, chain.ErrNotFound) {
		return nil, fail(codeInternal, "Unable to read UTXO set")
	}
	if err != nil {
		return nil, err
	}
	b := &stats.Block
	j := coinSetJSON{
		Height: height, Best: block, TxOuts: stats.Coins, BogoSize: stats.BogoSize, Total: coins(stats.Total), Lost: new(coins(stats.Lost)),
		Block: &blockCoinJSON{
			Spent: coins(b.Spent), Coinbase: coins(b.Coinbase), Outputs: coins(b.Outputs), Lost: coins(b.Lost()),
			Kinds: lostCoinJSON{Genesis: coins(b.Genesis), Scripts: coins(b.Scripts), Unclaimed: coins(b.Unclaimed)},
		},
	}
	if kind == hashMu {
		j.MuHash = &stats.MuHash
	}
	return j, nil
}
