package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
	"sync/atomic"

	"lode/chain"
	"lode/chain/blockfilter"
	"lode/consensus"
	"lode/wallet/descriptor"
)

// filterScan is the one scan of block filters that may go on at a time.
type filterScan struct {
	coinScan
	height atomic.Uint32
}

// filterType makes sure that a filter type is the one there is, and that its index is kept.
func (s *Server) filterType(name string) error {
	if name != blockfilter.BasicName {
		return fail(codeAddress, "Unknown filtertype")
	}
	if _, kept := s.indexInfo(chain.FilterIndex); !kept {
		return fail(codeMisc, "Index is not enabled for filtertype %s", name)
	}
	return nil
}

func (s *Server) getBlockFilter(ctx context.Context, p *params) (any, error) {
	hash, kind := p.hash(0, "blockhash"), p.text(1, blockfilter.BasicName)
	if p.err != nil {
		return nil, p.err
	}
	if err := s.filterType(kind); err != nil {
		return nil, err
	}
	info, err := s.header(hash)
	if err != nil {
		return nil, err
	}
	_, ready, err := s.indexReady(ctx, chain.FilterIndex)
	if err != nil {
		return nil, err
	}
	filter, header, err := s.cfg.Chain.BlockFilter(hash)
	switch missing := errors.Is(err, chain.ErrNotFound); {
	case missing && !info.Connected:
		return nil, fail(codeAddress, "Filter not found. Block was not connected to active chain.")
	case missing && !ready:
		return nil, fail(codeMisc, "Filter not found. Block filters are still in the process of being indexed.")
	case missing: // it was left before the index was built
		return nil, fail(codeMisc, "Filter not found. Block was not in the active chain while its filter would have been made.")
	case err != nil:
		return nil, err
	}
	return struct {
		Filter string         `json:"filter"`
		Header consensus.Hash `json:"header"`
	}{hex.EncodeToString(filter), header}, nil
}

func (s *Server) scanBlocks(ctx context.Context, p *params) (any, error) {
	action := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	switch action {
	case "status":
		if done, ok := s.filterScan.status(); ok {
			return struct {
				Progress int    `json:"progress"`
				Height   uint32 `json:"current_height"`
			}{int(done * 100), s.filterScan.height.Load()}, nil
		}
		return nil, nil
	case "abort":
		return s.filterScan.abort(), nil
	case "start":
	default:
		return nil, fail(codeParameter, "Invalid action '%.40s'", action)
	}
	scanned, ok := s.filterScan.begin(ctx)
	if !ok {
		return nil, fail(codeParameter, "Scan already in progress, use action \"abort\" or \"status\"")
	}
	defer s.filterScan.end()
	if p.absent(1) {
		return nil, fail(codeMisc, "scanobjects argument is required for the start action")
	}
	f, err := s.newFilterSearch(scanned, p)
	if err != nil {
		return nil, err
	}
	completed, err := s.searchFilters(scanned, f)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return struct {
		From      uint32           `json:"from_height"`
		To        uint32           `json:"to_height"`
		Blocks    []consensus.Hash `json:"relevant_blocks"`
		Completed bool             `json:"completed"`
	}{f.from, f.at, f.found, completed}, nil
}

// filterSearch is what a scan of block filters looks for.
type filterSearch struct {
	from, to uint32
	last     consensus.Hash // the block at to
	scripts  [][]byte
	exact    bool             // blocks are looked into
	at       uint32           // the last block that was looked at
	found    []consensus.Hash // in the order of the chain
}

// newFilterSearch reads the arguments of a scan.
func (s *Server) newFilterSearch(ctx context.Context, p *params) (*filterSearch, error) {
	kind := p.text(4, blockfilter.BasicName)
	from := p.integer(2, 0, math.MinInt32, math.MaxInt32)
	tip := s.cfg.Chain.Tip()
	to := p.integer(3, int64(tip.Height), math.MinInt32, math.MaxInt32)
	f := &filterSearch{found: []consensus.Hash{}}
	o := p.options(5)
	o.flag("filter_false_positives", &f.exact)
	objects := p.list(1)
	if p.err != nil {
		return nil, p.err
	}
	if err := s.filterType(kind); err != nil {
		return nil, err
	}
	if from < 0 || from > int64(tip.Height) {
		return nil, fail(codeMisc, "Invalid start_height")
	}
	if to < from || to > int64(tip.Height) {
		return nil, fail(codeMisc, "Invalid stop_height")
	}
	f.from, f.to, f.at, f.last = uint32(from), uint32(to), uint32(from), tip.Hash
	if hash, ok := s.cfg.Chain.HashAt(f.to); ok && f.to < tip.Height {
		f.last = hash
	}
	seen := make(map[string]struct{})
	err := s.eachScript(ctx, objects, func(_ *descriptor.Descriptor, _ uint32, script []byte) int {
		if _, ok := seen[string(script)]; !ok {
			seen[string(script)] = struct{}{}
			f.scripts = append(f.scripts, script)
		}
		return len(f.scripts)
	})
	return f, err
}

// searchFilters matches one filter after another, in the chain that ends with f.last. It is
// false if it was aborted.
func (s *Server) searchFilters(ctx context.Context, f *filterSearch) (completed bool, err error) {
	if _, _, err := s.indexReady(ctx, chain.FilterIndex); err != nil {
		return false, err
	}
	blocks, err := s.cfg.Chain.FilterBlocks(f.last, int(f.to-f.from)+1)
	if errors.Is(err, chain.ErrNotFound) {
		return false, fail(codeMisc, "The chain was reorganized while it was scanned; scan again")
	}
	if err != nil {
		return false, err
	}
	for i, hash := range blocks {
		if ctx.Err() != nil {
			return false, nil
		}
		f.at = f.from + uint32(i)
		s.filterScan.height.Store(f.at)
		s.filterScan.progress(float64(i) / float64(len(blocks)))
		relevant, err := s.isRelevant(hash, f)
		if errors.Is(err, chain.ErrNotFound) {
			return false, fail(codeMisc, "Filter not found. Block filters are still in the process of being indexed.")
		}
		if err != nil {
			return false, err
		}
		if relevant {
			f.found = append(f.found, hash)
		}
	}
	return true, nil
}

// isRelevant reports whether a block's filter matches, and so does the block, if that is wanted.
func (s *Server) isRelevant(hash consensus.Hash, f *filterSearch) (bool, error) {
	filter, _, err := s.cfg.Chain.BlockFilter(hash)
	if err != nil {
		return false, err
	}
	ok, err := blockfilter.Match(filter, hash, f.scripts)
	if !ok || err != nil || !f.exact {
		return ok, err
	}
	block, err := s.block(hash)
	if err != nil {
		return false, err
	}
	var spent []consensus.Coin
	if len(block.Txs) > 1 {
		if spent, err = s.cfg.Chain.Spent(hash); err != nil {
			return false, err
		}
	}
	scripts := make([][]byte, len(spent))
	for i := range spent {
		scripts[i] = consensus.TaprootScript(spent[i].Key)
	}
	there := make(map[string]struct{})
	for _, script := range blockfilter.Scripts(block, scripts) {
		there[string(script)] = struct{}{}
	}
	for _, script := range f.scripts {
		if _, ok := there[string(script)]; ok {
			return true, nil
		}
	}
	return false, nil
}
