package rpc

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

func (s *Server) chainCalls() calls {
	return calls{
		"getblockchaininfo":     s.getBlockchainInfo,
		"getbestblockhash":      func(context.Context, *params) (any, error) { return s.cfg.Chain.Tip().Hash, nil },
		"getblockcount":         func(context.Context, *params) (any, error) { return s.cfg.Chain.Tip().Height, nil },
		"getblockhash":          s.getBlockHash,
		"getblockheader":        s.getBlockHeader,
		"getblock":              s.getBlock,
		"getchaintips":          s.getChainTips,
		"getchaintxstats":       s.getChainTxStats,
		"verifychain":           s.verifyChain,
		"scantxoutset":          s.scanTxOutSet,
		"scanblocks":            s.scanBlocks,
		"getblockfilter":        s.getBlockFilter,
		"getdescriptoractivity": s.getDescriptorActivity,
		"getblockstats":         s.getBlockStats,
		"waitfornewblock":       s.waitForNewBlock,
		"waitforblock":          s.waitForBlock,
		"waitforblockheight":    s.waitForBlockHeight,
		"gettxoutproof":         s.getTxOutProof,
		"verifytxoutproof":      s.verifyTxOutProof,
		"getdeploymentinfo":     s.getDeploymentInfo,
		"getdifficulty":         func(context.Context, *params) (any, error) { return difficulty(s.bitsOf(s.cfg.Chain.Tip().Hash)), nil },
		"gettxout":              s.getTxOut,
		"gettxoutsetinfo":       s.getTxOutSetInfo,
		"invalidateblock":       s.control((*chain.Chain).InvalidateBlock),
		"reconsiderblock":       s.control((*chain.Chain).ReconsiderBlock),
		"preciousblock":         s.control((*chain.Chain).PreciousBlock),
	}
}

// bitsOf is the compact target of a block that is known.
func (s *Server) bitsOf(hash consensus.Hash) uint32 {
	info, _ := s.cfg.Chain.Header(hash)
	return info.Header.Bits
}

// pool is the mempool, up to date with the ledger: whoever has just mined a
// block must not see its transactions there any more.
func (s *Server) pool() (*mempool.Pool, error) { return s.cfg.Pool, s.cfg.Pool.Sync() }

func (s *Server) getBlockchainInfo(context.Context, *params) (any, error) {
	tip, best := s.cfg.Chain.Tip(), s.cfg.Chain.BestHeader()
	bits := s.bitsOf(tip.Hash)
	initial, syncing := s.cfg.Network.InitialBlockDownload(), s.cfg.Network.Syncing()
	pruning := s.cfg.Chain.Pruning()
	var pruneHeight *uint32
	var autoPruning *bool
	if pruning.Enabled {
		auto := pruning.Target > 0
		pruneHeight, autoPruning = &pruning.Height, &auto
	}
	return struct {
		Chain         string         `json:"chain"`
		Blocks        uint32         `json:"blocks"`
		Headers       uint32         `json:"headers"`
		Best          consensus.Hash `json:"bestblockhash"`
		Bits          string         `json:"bits"`
		Target        string         `json:"target"`
		Difficulty    float64        `json:"difficulty"`
		Time          uint32         `json:"time"`
		MedianTime    uint32         `json:"mediantime"`
		Progress      float64        `json:"verificationprogress"`
		InitialSync   bool           `json:"initialblockdownload"`
		ChainWork     string         `json:"chainwork"`
		SizeOnDisk    int64          `json:"size_on_disk"`
		Pruned        bool           `json:"pruned"`
		PruneHeight   *uint32        `json:"pruneheight,omitempty"`
		AutoPruning   *bool          `json:"automatic_pruning,omitempty"`
		PruneTarget   int64          `json:"prune_target_size,omitempty"`
		Warnings      []string       `json:"warnings"`
		RulesIdentity string         `json:"rules"`
		Syncing       bool           `json:"syncing"` // templates wait for blocks
	}{
		s.cfg.Spec.Name, tip.Height, best.Height, tip.Hash, consensus.Bits(bits).String(), targetHex(bits), difficulty(bits),
		tip.Time, tip.MedianTime(), s.progress(tip.Height, best.Height, tip.Time), initial, workHex(&tip.Work), s.cfg.Chain.DiskSize(), pruning.Enabled, pruneHeight, autoPruning, pruning.Target, s.warnings(),
		hexOf(s.cfg.Spec.Rules.ID()), syncing,
	}, nil
}

// progress is which part of the chain there is up to a height, as far as one can tell:
// by the headers that are known, or where the tip is not recent by how many blocks
// should have come since.
func (s *Server) progress(height, headers, tipTime uint32) float64 {
	const recent = 2 * 60 * 60 // seconds, as in Bitcoin Core
	missing := int64(headers) - int64(height)
	if age := s.cfg.Clock.Wall.Now().Unix() - int64(tipTime); age > recent {
		missing = max(missing, age/int64(s.cfg.Spec.Rules.TargetSpacing))
	}
	if missing <= 0 {
		return 1
	}
	return float64(height) / float64(int64(height)+missing)
}

// hexOf is the hex of a hash in the order of its bytes.
func hexOf(h consensus.Hash) string { return hex.EncodeToString(h[:]) }

func (s *Server) getBlockHash(_ context.Context, p *params) (any, error) {
	height := p.integer(0, 0, math.MinInt32, math.MaxInt32)
	if p.err != nil {
		return nil, p.err
	}
	if height >= 0 {
		if hash, ok := s.cfg.Chain.HashAt(uint32(height)); ok {
			return hash, nil
		}
	}
	return nil, fail(codeParameter, "Block height out of range")
}

func (s *Server) header(hash consensus.Hash) (chain.HeaderInfo, error) {
	info, ok := s.cfg.Chain.Header(hash)
	if !ok {
		return info, fail(codeAddress, "Block not found")
	}
	return info, nil
}

// control changes what the chain thinks of a block.
func (s *Server) control(change func(*chain.Chain, consensus.Hash) error) func(context.Context, *params) (any, error) {
	return func(_ context.Context, p *params) (any, error) {
		hash := p.hash(0, "blockhash")
		if p.err != nil {
			return nil, p.err
		}
		err := change(s.cfg.Chain, hash)
		if errors.Is(err, chain.ErrPruned) {
			return nil, fail(codeMisc, "%v", err)
		}
		return nil, err
	}
}

func (s *Server) getBlockHeader(_ context.Context, p *params) (any, error) {
	hash, verbose := p.hash(0, "hash"), p.flag(1, true)
	if p.err != nil {
		return nil, p.err
	}
	info, err := s.header(hash)
	if err != nil {
		return nil, err
	}
	if !verbose {
		return hex.EncodeToString(info.Header.Append(nil)), nil
	}
	j := s.headerJSON(info)
	j.NTx = int(info.Txs)
	if info.Txs > 0 || !info.HaveBlock {
		return j, nil // without nTx where nobody has seen the block, as Bitcoin Core has it
	}
	raw, err := s.cfg.Chain.BlockBytes(info.Hash)
	if errors.Is(err, chain.ErrPruned) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	d := consensus.NewDecoder(raw)
	d.Header()
	j.NTx = int(d.CompactSize())
	return j, d.Err()
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) getBlock(_ context.Context, p *params) (any, error) {
	hash, verbosity := p.hash(0, "blockhash"), p.verbosity(1, 1)
	if p.err != nil {
		return nil, p.err
	}
	info, err := s.header(hash)
	if err != nil {
		return nil, err
	}
	raw, err := s.blockBytes(info.Hash)
	if err != nil {
		return nil, err
	}
	if verbosity <= 0 {
		return hex.EncodeToString(raw), nil
	}
	block, err := consensus.DecodeBlock(raw)
	if err != nil {
		return nil, fmt.Errorf("block %s on disk is damaged: %w", info.Hash, err)
	}
	return s.blockJSON(info, block, verbosity)
}

// blockBytes is a stored block; its errors have Bitcoin Core's texts.
func (s *Server) blockBytes(hash consensus.Hash) ([]byte, error) {
	raw, err := s.cfg.Chain.BlockBytes(hash)
	if errors.Is(err, chain.ErrDamaged) || !errors.Is(err, chain.ErrNotFound) {
		return raw, err
	}
	switch info, _ := s.cfg.Chain.Header(hash); { // as it is now: pruning may have come in between
	case info.Pruned:
		return nil, fail(codeMisc, "Block not available (pruned data)")
	case !info.HaveBlock:
		return nil, fail(codeMisc, "Block not available (not fully downloaded)")
	}
	return nil, err
}

// block is blockBytes, decoded.
func (s *Server) block(hash consensus.Hash) (*consensus.Block, error) {
	raw, err := s.blockBytes(hash)
	if err != nil {
		return nil, err
	}
	return consensus.DecodeBlock(raw)
}

func (s *Server) blockJSON(info chain.HeaderInfo, block *consensus.Block, verbosity int64) (any, error) {
	j := blockJSON{headerJSON: s.headerJSON(info), StrippedSize: block.StrippedSize(), Size: block.Size(), Weight: block.Weight()}
	j.NTx = len(block.Txs)
	if verbosity == 1 {
		for _, id := range block.TxIDs() {
			j.Txs = append(j.Txs, id)
		}
		return j, nil
	}
	spent, err := s.cfg.Chain.Spent(info.Hash)
	if err != nil && (errors.Is(err, chain.ErrDamaged) || !errors.Is(err, chain.ErrNotFound)) {
		return nil, err
	}
	keys := outputKeys(block.Txs...)
	for i, tx := range block.Txs {
		var own []consensus.Coin
		if i > 0 && err == nil {
			if len(spent) < len(tx.In) {
				return nil, fmt.Errorf("undo data of block %s does not fit it", info.Hash)
			}
			own, spent = spent[:len(tx.In)], spent[len(tx.In):]
		}
		shown := own
		if verbosity < 3 {
			shown = nil
		}
		t := s.txJSONOf(tx, shown, true, keys)
		t.Fee = feeOf(tx, own)
		j.Txs = append(j.Txs, t)
	}
	return j, nil
}

func (s *Server) getChainTips(context.Context, *params) (any, error) {
	type tip struct {
		Height    uint32         `json:"height"`
		Hash      consensus.Hash `json:"hash"`
		BranchLen uint32         `json:"branchlen"`
		Status    string         `json:"status"`
	}
	var tips []tip
	for _, info := range s.cfg.Chain.Tips() {
		t := tip{info.Height, info.Hash, 0, "active"}
		if !info.Active {
			t.BranchLen, t.Status = s.branch(info)
		}
		tips = append(tips, t)
	}
	// The highest first, as Bitcoin Core lists them; of equal ones the active one, which comes first so far.
	slices.SortStableFunc(tips, func(a, b tip) int { return cmp.Compare(b.Height, a.Height) })
	return tips, nil
}

// branch says how far the end of a branch is from the active chain, and what is
// known of the way.
func (s *Server) branch(end chain.HeaderInfo) (length uint32, status string) {
	complete := true
	at := end
	for ok := true; ok && !at.Active; at, ok = s.cfg.Chain.Header(at.Header.Prev) {
		length++
		complete = complete && at.HaveBlock
	}
	switch {
	case end.Invalid:
		return length, "invalid"
	case !complete:
		return length, "headers-only"
	case end.Connected:
		return length, "valid-fork"
	}
	return length, "valid-headers"
}

func (s *Server) getTxOut(_ context.Context, p *params) (any, error) {
	o := consensus.OutPoint{TxID: p.hash(0, "txid"), Index: uint32(p.integer(1, 0, 0, math.MaxUint32))}
	withPool := p.flag(2, true)
	if p.err != nil {
		return nil, p.err
	}
	var tip consensus.State
	var coin consensus.Coin
	var found bool
	err := s.cfg.Chain.Read(func(r *chain.Reader) (err error) {
		tip = r.Tip()
		coin, found, err = r.Coin(o)
		return err
	})
	if err != nil {
		return nil, err
	}
	confirmations := int64(tip.Height) - int64(coin.Height) + 1
	if withPool {
		pool, err := s.pool()
		if err != nil {
			return nil, err
		}
		if pool.Spends(o) {
			return nil, nil
		}
		if tx, ok := pool.ByTxID(o.TxID); ok && !found && o.Index < uint32(len(tx.Out)) {
			coin = consensus.Coin{Value: tx.Out[o.Index].Value}
			coin.Key, found = consensus.TaprootKey(tx.Out[o.Index].Script)
			confirmations = 0
		}
	}
	if !found {
		return nil, nil
	}
	return struct {
		Best          consensus.Hash `json:"bestblock"`
		Confirmations int64          `json:"confirmations"`
		Value         coins          `json:"value"`
		Script        scriptJSON     `json:"scriptPubKey"`
		Coinbase      bool           `json:"coinbase"`
	}{tip.Hash, confirmations, coins(coin.Value), s.scriptJSON(consensus.TaprootScript(coin.Key)), coin.Coinbase}, nil
}
