package web

import (
	"container/list"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"lode/chain"
	"lode/consensus"
)

// summary is a block in a list.
type summary struct {
	Hash   consensus.Hash   `json:"hash"`
	Prev   consensus.Hash   `json:"prev"`
	Height uint32           `json:"height"`
	Time   uint32           `json:"time"`
	Txs    int              `json:"txs"`
	Size   int              `json:"size"`
	Weight int              `json:"weight"`
	Fees   consensus.Amount `json:"fees"` // sat that the coinbase takes beyond the subsidy
	Miner  string           `json:"miner"`
	Bits   uint32           `json:"bits"`
	Known  bool             `json:"known"` // the block is stored
}

// summaries keeps those of the blocks that were asked for last: a block does not
// change.
type summaries struct {
	mu    sync.Mutex // guards what follows
	by    map[consensus.Hash]*list.Element
	order list.List // the newest in front
}

const maxSummaries = 1000

func (s *summaries) get(hash consensus.Hash, make func() (summary, bool)) summary {
	s.mu.Lock()
	if e := s.by[hash]; e != nil {
		s.order.MoveToFront(e)
		s.mu.Unlock()
		return e.Value.(summary)
	}
	s.mu.Unlock()
	v, final := make()
	if !final {
		return v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[consensus.Hash]*list.Element{}
	}
	if s.by[hash] == nil {
		s.by[hash] = s.order.PushFront(v)
	}
	if s.order.Len() > maxSummaries {
		last := s.order.Back()
		delete(s.by, s.order.Remove(last).(summary).Hash)
	}
	return v
}

func (h *Handler) summary(info chain.HeaderInfo) summary {
	return h.blocks.get(info.Hash, func() (summary, bool) {
		s := summary{Hash: info.Hash, Prev: info.Header.Prev, Height: info.Height, Time: info.Header.Time, Bits: info.Header.Bits, Txs: int(info.Txs)}
		b, err := h.cfg.Chain.Block(info.Hash)
		if err != nil {
			return s, false
		}
		s.Txs, s.Size, s.Weight, s.Known = len(b.Txs), b.Size(), b.Weight(), true
		if coinbase := b.Txs[0]; info.Height > 0 {
			s.Fees = coinbase.OutputSum() - h.cfg.Chain.Rules().Subsidy(info.Height)
		}
		s.Miner = minerText(b.Txs[0].In[0].ScriptSig)
		return s, true
	})
}

// minerText is what a miner has written into a coinbase: runs of characters that can
// be shown.
func minerText(script []byte) string {
	var text, run []byte
	for i := 0; i <= len(script); i++ {
		if i < len(script) && script[i] >= ' ' && script[i] < 127 {
			run = append(run, script[i])
			continue
		}
		if len(run) >= 6 {
			if len(text) > 0 {
				text = append(text, ' ')
			}
			text = append(text, run...)
		}
		run = nil
	}
	return string(text)
}

// last lists blocks of the active chain from a height downwards.
func (h *Handler) last(from uint32, count int) []summary {
	blocks := []summary{}
	for height := int64(from); height >= 0 && len(blocks) < count; height-- {
		hash, ok := h.cfg.Chain.HashAt(uint32(height))
		if !ok {
			continue
		}
		if info, ok := h.cfg.Chain.Header(hash); ok {
			blocks = append(blocks, h.summary(info))
		}
	}
	return blocks
}

func (h *Handler) home(*http.Request, []string) (any, error) {
	if err := h.cfg.Pool.Sync(); err != nil {
		return nil, err
	}
	tip, best, pool := h.cfg.Chain.Tip(), h.cfg.Chain.BestHeader(), h.cfg.Pool.Stats()
	in, out := h.cfg.Network.ConnectionCount()
	spec := h.cfg.Spec
	type indexes struct {
		Tx      bool `json:"tx"`
		Address bool `json:"address"`
	}
	var kept indexes
	for _, x := range h.cfg.Chain.Indexes() {
		kept.Tx = kept.Tx || x.Name == chain.TxIndex
		kept.Address = kept.Address || x.Name == chain.AddrIndex
	}
	return map[string]any{
		"network": spec.Name, "version": h.cfg.Version, "rules": spec.Rules.ID(), "spacing": spec.Rules.TargetSpacing, "playground": spec.Defaults.Playground,
		"height": tip.Height, "hash": tip.Hash, "time": tip.Time, "headers": best.Height, "work": tip.Work.Hex(),
		"syncing": h.cfg.Network.Syncing(), "initial": h.cfg.Network.InitialBlockDownload(), "in": in, "out": out,
		"mempool": map[string]any{"count": pool.Count, "vbytes": pool.VBytes, "fees": pool.Fees, "minrate": pool.MinFeeRate, "memory": pool.Memory, "max": pool.Policy.MaxMemory, "loaded": pool.Loaded},
		"indexes": kept, "warnings": append([]string{}, h.cfg.Warnings()...), "now": h.cfg.Now().Unix(), "maxweight": h.cfg.Chain.Rules().BlockWeightLimit(&tip),
		"subsidy": h.cfg.Chain.Rules().Subsidy(tip.Height + 1), "halving": spec.Rules.HalvingInterval, "prefix": spec.Defaults.AddressPrefix,
		"blocks": h.last(tip.Height, 10), "stale": h.stale(),
	}, nil
}

// stale counts the blocks of the last staleWindow heights that lost against another of
// their height.
func (h *Handler) stale() map[string]int {
	tip := h.cfg.Chain.Tip()
	from := tip.Height - min(tip.Height, staleWindow)
	count := 0
	for _, info := range h.cfg.Chain.HeadersFrom(from+1, maxTree) {
		if !info.Active && !info.Invalid {
			count++
		}
	}
	return map[string]int{"stale": count, "of": int(tip.Height - from)}
}

const (
	staleWindow = 500
	maxTree     = 1500 // headers
	maxChart    = 2016
	maxList     = 50
)

// number reads a parameter of a query.
func number(r *http.Request, name string, fallback, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0, badInput(name + " must be a number from 0 to " + strconv.FormatInt(most, 10))
	}
	return n, nil
}

func (h *Handler) recentBlocks(r *http.Request, _ []string) (any, error) {
	from, err := number(r, "from", int64(h.cfg.Chain.Tip().Height), 1<<32-1)
	count, err2 := number(r, "count", 20, maxList)
	if err := errors.Join(err, err2); err != nil {
		return nil, badInput(err.Error())
	}
	return map[string]any{"blocks": h.last(uint32(min(from, int64(h.cfg.Chain.Tip().Height))), int(count)), "tip": h.cfg.Chain.Tip().Height}, nil
}

// chart is the times and targets of the last blocks, oldest first.
func (h *Handler) chart(r *http.Request, _ []string) (any, error) {
	count, err := number(r, "count", 500, maxChart)
	if err != nil {
		return nil, err
	}
	tip := h.cfg.Chain.Tip()
	from := tip.Height - min(tip.Height, uint32(count))
	times, bits := []uint32{}, []uint32{}
	for height := from; height <= tip.Height; height++ {
		hash, ok := h.cfg.Chain.HashAt(height)
		info, ok2 := h.cfg.Chain.Header(hash)
		if !ok || !ok2 {
			break
		}
		times, bits = append(times, info.Header.Time), append(bits, info.Header.Bits)
	}
	return map[string]any{"from": from, "times": times, "bits": bits, "spacing": h.cfg.Spec.Rules.TargetSpacing}, nil
}

// node is a header in the tree of forks.
type node struct {
	Hash   consensus.Hash `json:"hash"`
	Prev   consensus.Hash `json:"prev"`
	Height uint32         `json:"height"`
	Time   uint32         `json:"time"`
	Txs    uint32         `json:"txs"`
	Active bool           `json:"active,omitempty"`
	Bad    bool           `json:"bad,omitempty"`    // it broke a rule
	Banned bool           `json:"banned,omitempty"` // by the operator
	Header bool           `json:"header,omitempty"` // the block is not stored
	Was    bool           `json:"was,omitempty"`    // it was part of the active chain
}

// tree is the newest part of the tree of headers.
func (h *Handler) tree(r *http.Request, _ []string) (any, error) {
	depth, err := number(r, "depth", 40, 1000)
	if err != nil {
		return nil, err
	}
	tip := h.cfg.Chain.Tip()
	from := tip.Height - min(tip.Height, uint32(depth))
	nodes := []node{}
	for _, i := range h.cfg.Chain.HeadersFrom(from, maxTree) {
		nodes = append(nodes, node{
			i.Hash, i.Header.Prev, i.Height, i.Header.Time, i.Txs, i.Active, i.Invalid && !i.Invalidated, i.Invalidated, !i.HaveBlock && !i.Pruned, !i.Active && i.Connected,
		})
	}
	return map[string]any{"tip": tip.Hash, "height": tip.Height, "from": from, "nodes": nodes}, nil
}
