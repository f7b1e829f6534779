package rpc

import (
	"context"
	"errors"
	"io/fs"

	"lode/chain"
	"lode/consensus"
)

func (s *Server) snapshotCalls() calls {
	return calls{
		"dumptxoutset":   s.dumpTxOutSet,
		"getchainstates": s.getChainStates,
	}
}

func (s *Server) dumpTxOutSet(ctx context.Context, p *params) (any, error) {
	path, kind := p.text(0, ""), p.text(1, "latest")
	switch {
	case p.err != nil:
		return nil, p.err
	case kind != "latest" && kind != "":
		return nil, fail(codeParameter, "Invalid snapshot type \"%.40s\" specified. Please specify \"latest\"", kind)
	}
	path, err := s.outputPath(path)
	if err != nil {
		return nil, err
	}
	got, err := s.cfg.Chain.WriteSnapshot(ctx, path, nil)
	switch {
	case errors.Is(err, chain.ErrFileTaken):
		return nil, fail(codeParameter, "%s already exists. If you are sure this is what you want, move it out of the way first.", path)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		return nil, fail(codeParameter, "Couldn't open file %s.incomplete for writing", path)
	case err != nil:
		return nil, err
	}
	count, known, err := s.cfg.Chain.TxCount(ctx, got.Base)
	if err != nil {
		return nil, err
	}
	var txs *uint64
	if known {
		txs = &count
	}
	return struct {
		Coins  uint64         `json:"coins_written"`
		Base   consensus.Hash `json:"base_hash"`
		Height uint32         `json:"base_height"`
		Path   string         `json:"path"`
		Hash   consensus.Hash `json:"txoutset_hash"`
		Txs    *uint64        `json:"nchaintx,omitempty"`
	}{got.Coins, got.Base, got.Height, path, got.Hash, txs}, nil
}

// chainStateJSON is one set of coins.
type chainStateJSON struct {
	Blocks     uint32          `json:"blocks"`
	Best       consensus.Hash  `json:"bestblockhash"`
	Bits       string          `json:"bits"`
	Target     string          `json:"target"`
	Difficulty float64         `json:"difficulty"`
	Progress   float64         `json:"verificationprogress"`
	DBCache    int64           `json:"coins_db_cache_bytes"`
	TipCache   int64           `json:"coins_tip_cache_bytes"`
	Snapshot   *consensus.Hash `json:"snapshot_blockhash,omitempty"`
	Validated  bool            `json:"validated"`
}

func (s *Server) chainState(height uint32, hash consensus.Hash, of uint32) chainStateJSON {
	bits := s.bitsOf(hash)
	dbCache, tipCache := s.cfg.Chain.CacheSizes()
	return chainStateJSON{
		Blocks: height, Best: hash, Bits: consensus.Bits(bits).String(), Target: targetHex(bits), Difficulty: difficulty(bits),
		DBCache: dbCache, TipCache: tipCache, Progress: min(1, float64(height)/float64(max(of, 1))),
	}
}

func (s *Server) getChainStates(context.Context, *params) (any, error) {
	best := s.cfg.Chain.BestHeader().Height
	tip := s.cfg.Chain.Tip()
	active := s.chainState(tip.Height, tip.Hash, best)
	if best == tip.Height {
		active.Progress = 1
	}
	active.Validated = true
	states := []chainStateJSON{active}
	if from, ok := s.cfg.Chain.Snapshot(); ok && from.State == chain.SnapshotAssumed {
		states[0].Snapshot, states[0].Validated = &from.Base, false
		if hash, ok := s.cfg.Chain.HashAt(from.Verified); ok {
			background := s.chainState(from.Verified, hash, from.Height)
			background.Validated = true
			states = []chainStateJSON{background, states[0]}
		}
	}
	return struct {
		Headers uint32           `json:"headers"`
		States  []chainStateJSON `json:"chainstates"`
	}{best, states}, nil
}

// warnings is what an operator should know of the ledger and of the network.
func (s *Server) warnings() []string {
	list := append([]string{}, s.cfg.Network.Warnings()...)
	if !s.cfg.Network.InitialBlockDownload() {
		list = append(list, s.cfg.Chain.Warnings()...)
	}
	if s.cfg.Chain.AwaitsSnapshot() {
		return append(list, "The ledger waits for peers to show the headers up to the base of its snapshot.")
	}
	if from, ok := s.cfg.Chain.Snapshot(); ok && from.State == chain.SnapshotAssumed {
		return append(list, "The ledger began with a snapshot at block "+from.Base.String()+", and the history before it has not been verified yet: see getchainstates.")
	}
	return list
}
