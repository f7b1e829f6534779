package esplora

import (
	"encoding/hex"
	"math"
	"strconv"
	"sync"

	"lode/chain"
	"lode/consensus"
)

type blockJSON struct {
	ID         consensus.Hash  `json:"id"`
	Height     uint32          `json:"height"`
	Version    uint32          `json:"version"`
	Timestamp  uint32          `json:"timestamp"`
	Txs        int             `json:"tx_count"`
	Size       int             `json:"size"`
	Weight     int             `json:"weight"`
	MerkleRoot consensus.Hash  `json:"merkle_root"`
	Prev       *consensus.Hash `json:"previousblockhash"`
	MedianTime uint32          `json:"mediantime"`
	Nonce      uint32          `json:"nonce"`
	Bits       uint32          `json:"bits"`
	Difficulty float64         `json:"difficulty"`
}

// meta is what a block's header does not say.
type meta struct{ size, weight, txs int }

// metaCache keeps that of the blocks that were asked for last.
type metaCache struct {
	ledger Ledger

	mu    sync.Mutex // guards what follows
	known map[consensus.Hash]meta
}

func newMetaCache(ledger Ledger) metaCache {
	return metaCache{ledger: ledger, known: make(map[consensus.Hash]meta)}
}

func (c *metaCache) get(hash consensus.Hash) (meta, error) {
	const most = 10_000
	c.mu.Lock()
	m, ok := c.known[hash]
	c.mu.Unlock()
	if ok {
		return m, nil
	}
	b, err := c.ledger.Block(hash)
	if err != nil {
		return m, err
	}
	m = meta{b.Size(), b.Weight(), len(b.Txs)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= most {
		clear(c.known)
	}
	c.known[hash] = m
	return m, nil
}

func (s *Server) blockJSON(info *chain.HeaderInfo) (j blockJSON, err error) {
	m, err := s.meta.get(info.Hash)
	if err != nil {
		return j, err
	}
	h := &info.Header
	j = blockJSON{
		ID: info.Hash, Height: info.Height, Version: uint32(h.Version), Timestamp: h.Time, Txs: m.txs, Size: m.size, Weight: m.weight,
		MerkleRoot: h.MerkleRoot, MedianTime: info.MedianTime, Nonce: h.Nonce, Bits: h.Bits, Difficulty: difficulty(h.Bits),
	}
	if info.Height > 0 {
		j.Prev = &h.Prev
	}
	return j, nil
}

// difficulty is how much harder a target is than Bitcoin's first one.
func difficulty(bits uint32) float64 {
	mantissa := bits & 0x7fffff
	if mantissa == 0 {
		return 0
	}
	return math.Ldexp(float64(0xffff)/float64(mantissa), 8*(29-int(bits>>24)))
}

// number reads a height or an index.
func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, bad("Invalid number")
	}
	return uint32(n), nil
}

func parseHash(s string) (consensus.Hash, error) {
	h, err := consensus.ParseHash(s)
	if err != nil {
		return h, bad("Invalid hash string")
	}
	return h, nil
}

var errNoBlock = missing("Block not found")

func (s *Server) blocks(path []string) (*answer, error) {
	tip := s.cfg.Ledger.Tip()
	height := tip.Height
	switch {
	case len(path) == 2 && path[0] == "tip" && path[1] == "height":
		return text(strconv.FormatUint(uint64(height), 10))
	case len(path) == 2 && path[0] == "tip" && path[1] == "hash":
		return text(tip.Hash.String())
	case len(path) == 2:
		return nil, missing("endpoint does not exist")
	case len(path) == 1 && path[0] != "":
		var err error
		if height, err = number(path[0]); err != nil {
			return nil, err
		}
	}
	hash, ok := s.cfg.Ledger.HashAt(height)
	if !ok {
		return nil, errNoBlock
	}
	list := make([]blockJSON, 0, blocksPage)
	for len(list) < blocksPage {
		info, ok := s.cfg.Ledger.Header(hash)
		if !ok {
			return nil, errNoBlock
		}
		j, err := s.blockJSON(&info)
		if err != nil {
			return nil, err
		}
		if list = append(list, j); info.Height == 0 {
			break
		}
		hash = info.Header.Prev
	}
	return jsonOf(list)
}

func (s *Server) blockHeight(arg string) (*answer, error) {
	height, err := number(arg)
	if err != nil {
		return nil, err
	}
	hash, ok := s.cfg.Ledger.HashAt(height)
	if !ok {
		return nil, errNoBlock
	}
	return text(hash.String())
}

type blockStatusJSON struct {
	Best   bool            `json:"in_best_chain"`
	Height *uint32         `json:"height"`
	Next   *consensus.Hash `json:"next_best"`
}

func (s *Server) block(arg string, path []string) (*answer, error) {
	hash, err := parseHash(arg)
	if err != nil {
		return nil, err
	}
	info, ok := s.cfg.Ledger.Header(hash)
	if len(path) == 1 && path[0] == "status" {
		return s.blockStatus(info, ok)
	}
	if !ok {
		return nil, errNoBlock
	}
	what, more := "", ""
	if len(path) > 0 {
		what = path[0]
	}
	if len(path) > 1 {
		more = path[1]
	}
	switch {
	case len(path) == 0:
		j, err := s.blockJSON(&info)
		if err != nil {
			return nil, err
		}
		return forEver(jsonOf(j))
	case what == "header" && len(path) == 1:
		return forEver(text(hex.EncodeToString(info.Header.Append(nil))))
	case what == "raw" && len(path) == 1:
		raw, err := s.cfg.Ledger.BlockBytes(hash)
		if err != nil {
			return nil, err
		}
		return binary(raw)
	case what == "txids" && len(path) == 1, what == "txid" && len(path) == 2:
		b, err := s.cfg.Ledger.Block(hash)
		if err != nil {
			return nil, err
		}
		if what == "txids" {
			return forEver(jsonOf(b.TxIDs()))
		}
		i, err := number(more)
		if err != nil {
			return nil, err
		}
		if uint64(i) >= uint64(len(b.Txs)) {
			return nil, missing("tx index out of range")
		}
		return forEver(text(b.Txs[i].TxID().String()))
	case what == "txs":
		return s.blockTxs(&info, more)
	}
	return nil, missing("endpoint does not exist")
}

func (s *Server) blockStatus(info chain.HeaderInfo, known bool) (*answer, error) {
	if !known || !info.Active {
		return jsonOf(blockStatusJSON{})
	}
	j := blockStatusJSON{Best: true, Height: &info.Height}
	if next, ok := s.cfg.Ledger.HashAt(info.Height + 1); ok {
		j.Next = &next
	}
	return jsonOf(j)
}

// blockTxs is a page of the transactions of a block.
func (s *Server) blockTxs(info *chain.HeaderInfo, arg string) (*answer, error) {
	start := uint32(0)
	if arg != "" {
		var err error
		if start, err = number(arg); err != nil {
			return nil, err
		}
	}
	b, err := s.cfg.Ledger.Block(info.Hash)
	if err != nil {
		return nil, err
	}
	switch {
	case uint64(start) >= uint64(len(b.Txs)):
		return nil, missing("start index out of range")
	case start%txsPerPage != 0:
		return nil, bad("start index must be a multipication of %d", txsPerPage)
	}
	var spent []consensus.Coin
	if info.Height > 0 {
		if spent, err = s.cfg.Ledger.Spent(info.Hash); err != nil {
			return nil, err
		}
	}
	var status statusJSON
	if info.Active {
		status = statusOf(info)
	}
	list := make([]txJSON, 0, txsPerPage)
	for i, tx := range b.Txs {
		var coins []consensus.TxOut
		if i > 0 {
			if len(spent) < len(tx.In) {
				return nil, chain.ErrNotFound
			}
			coins, spent = outputsOf(spent[:len(tx.In)]), spent[len(tx.In):]
		}
		if i >= int(start) && len(list) < txsPerPage {
			list = append(list, s.txJSON(tx, coins, status))
		}
	}
	return jsonOf(list)
}

func outputsOf(coins []consensus.Coin) []consensus.TxOut {
	outs := make([]consensus.TxOut, len(coins))
	for i := range coins {
		outs[i] = coins[i].Output()
	}
	return outs
}
