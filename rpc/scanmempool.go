package rpc

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"lode/consensus"
	"lode/mempool"
)

// What scanmempool may be asked for at once, and answers at most.
const (
	maxScanned     = 100_000 // keys, and outputs
	maxScanBytes   = 4 << 20 // of encoded transactions, but at least one is given
	outputKeyBytes = 32
)

type scanJSON struct {
	Loaded bool            `json:"loaded"` // false while the mempool that was saved is read
	Txs    []string        `json:"transactions"`
	Next   *consensus.Hash `json:"next,omitempty"`
}

// scanMempool is the mempool's part of what scantxoutset is for coins: a wallet need
// not fetch everybody's transactions to find its own.
func (s *Server) scanMempool(ctx context.Context, p *params) (any, error) {
	keys, outs, err := scanQuery(p)
	if err != nil {
		return nil, err
	}
	var after consensus.Hash
	if !p.absent(2) {
		after = p.hash(2, "after")
	}
	if p.err != nil {
		return nil, p.err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	answer := scanJSON{Loaded: pool.Loaded(), Txs: []string{}}
	found := scanPool(pool, keys, outs)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	ids := slices.Collect(maps.Keys(found))
	slices.SortFunc(ids, func(a, b consensus.Hash) int { return bytes.Compare(a[:], b[:]) })
	if !p.absent(2) {
		ids = slices.DeleteFunc(ids, func(id consensus.Hash) bool { return bytes.Compare(id[:], after[:]) <= 0 })
	}
	size := 0
	for i, id := range ids {
		raw := found[id].Bytes()
		if size += len(raw); size > maxScanBytes && i > 0 {
			answer.Next = &ids[i-1]
			break
		}
		answer.Txs = append(answer.Txs, hex.EncodeToString(raw))
	}
	return answer, nil
}

// scanQuery reads the keys and outputs that are asked for.
func scanQuery(p *params) (keys map[[outputKeyBytes]byte]bool, outs []consensus.OutPoint, err error) {
	var texts []string
	var list []json.RawMessage
	p.into(0, &texts, "array")
	if p.into(1, &list, "array"); p.err != nil {
		return nil, nil, p.err
	}
	if len(texts) > maxScanned || len(list) > maxScanned {
		return nil, nil, fail(codeParameter, "at most %d keys and as many outputs can be asked for at once", maxScanned)
	}
	keys = make(map[[outputKeyBytes]byte]bool, len(texts))
	for _, text := range texts {
		key, err := hex.DecodeString(text)
		if err != nil || len(key) != outputKeyBytes {
			return nil, nil, fail(codeParameter, "%.80q is no output key: want 64 hex digits", text)
		}
		keys[[outputKeyBytes]byte(key)] = true
	}
	outs = make([]consensus.OutPoint, len(list))
	for i := range list {
		if outs[i], err = outPoint(list[i]); err != nil {
			return nil, nil, err
		}
	}
	return keys, outs, nil
}

// scanPool finds transactions by what they pay and spend. The pool is locked only
// while they are listed.
func scanPool(pool *mempool.Pool, keys map[[outputKeyBytes]byte]bool, outs []consensus.OutPoint) map[consensus.Hash]*consensus.Tx {
	var txs []*consensus.Tx
	if len(keys) > 0 {
		pool.Each(func(_ consensus.Hash, tx *consensus.Tx) { txs = append(txs, tx) })
	}
	found := make(map[consensus.Hash]*consensus.Tx)
	queue := slices.Clone(outs)
	take := func(tx *consensus.Tx) {
		id := tx.TxID()
		if found[id] != nil {
			return
		}
		found[id] = tx
		for i := range tx.Out {
			if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok && keys[key] {
				queue = append(queue, consensus.OutPoint{TxID: id, Index: uint32(i)})
			}
		}
	}
	for _, tx := range txs {
		for i := range tx.Out {
			if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok && keys[key] {
				take(tx)
				break
			}
		}
	}
	for len(queue) > 0 {
		o := queue[0]
		queue = queue[1:]
		if by, ok := pool.Spender(o); ok {
			if tx, ok := pool.ByTxID(by); ok {
				take(tx)
			}
		}
	}
	return found
}
