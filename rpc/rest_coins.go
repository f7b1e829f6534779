package rpc

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"lode/chain"
	"lode/consensus"
)

func (s *Server) restMempool(ctx context.Context, q *restRequest) (reply, error) {
	switch q.rest {
	case "info":
		return s.restCall(ctx, "getmempoolinfo"), nil
	case "contents":
	default:
		return reply{}, restFail(http.StatusBadRequest, "Invalid URI format. Expected /rest/mempool/<info|contents>.json")
	}
	settings := map[string]bool{"verbose": true, "mempool_sequence": false}
	for _, name := range []string{"verbose", "mempool_sequence"} {
		switch text := q.query.Get(name); {
		case !q.query.Has(name):
		case text != "true" && text != "false":
			return reply{}, restFail(http.StatusBadRequest, "The %q query parameter must be either \"true\" or \"false\".", name)
		default:
			settings[name] = text == "true"
		}
	}
	if settings["verbose"] && settings["mempool_sequence"] {
		return reply{}, restFail(http.StatusBadRequest, "Verbose results cannot contain mempool sequence values. (hint: set \"verbose=false\")")
	}
	return s.restCall(ctx, "getrawmempool", settings["verbose"], settings["mempool_sequence"]), nil
}

// restTx looks into the mempool, and into the index of transactions if there is one.
func (s *Server) restTx(ctx context.Context, q *restRequest) (reply, error) {
	id, err := restHash(q.rest)
	if err != nil {
		return reply{}, err
	}
	pool, err := s.pool()
	if err != nil {
		return reply{}, err
	}
	var block *consensus.Hash
	tx, ok := pool.ByTxID(id)
	if !ok {
		kept, _, err := s.indexReady(ctx, chain.TxIndex)
		if err != nil {
			return reply{}, err
		}
		missing := restFail(http.StatusNotFound, "%s not found", q.rest)
		if !kept {
			return reply{}, missing
		}
		var hash consensus.Hash
		tx, hash, err = s.cfg.Chain.FindTx(id)
		if errors.Is(err, chain.ErrNoTx) {
			return reply{}, missing
		}
		if err != nil {
			return reply{}, err
		}
		block = &hash
	}
	return reply{
		bytes: func() ([]byte, error) { return tx.Bytes(), nil },
		value: func() (any, error) {
			j := s.txJSON(tx, nil, true)
			j.BlockHash = block
			return j, nil
		},
	}, nil
}

// appendOut encodes an output as in a transaction.
func appendOut(b []byte, coin *consensus.Coin) []byte {
	script := consensus.TaprootScript(coin.Key)
	b = binary.LittleEndian.AppendUint64(b, uint64(coin.Value))
	return append(consensus.AppendCompactSize(b, uint64(len(script))), script...)
}

// outJSON is an output that is, or was, unspent.
type outJSON struct {
	Height *int32     `json:"height,omitempty"`
	Value  coins      `json:"value"`
	Script scriptJSON `json:"scriptPubKey"`
}

func (s *Server) outJSON(coin *consensus.Coin) outJSON {
	return outJSON{Value: coins(coin.Value), Script: s.scriptJSON(consensus.TaprootScript(coin.Key))}
}

// restSpent gives, for each transaction of a block, the outputs that it spends.
func (s *Server) restSpent(_ context.Context, q *restRequest) (reply, error) {
	if len(q.parts) != 1 {
		return reply{}, restFail(http.StatusBadRequest, "Invalid URI format. Expected /rest/spenttxouts/<hash>.<ext>")
	}
	hash, err := restHash(q.rest)
	if err != nil {
		return reply{}, err
	}
	info, ok := s.cfg.Chain.Header(hash)
	if !ok {
		return reply{}, restFail(http.StatusNotFound, "%s not found", q.rest)
	}
	lists := [][]consensus.Coin{{}} // the coinbase spends none
	if info.Height > 0 {
		block, err := s.cfg.Chain.Block(hash)
		var spent []consensus.Coin
		if err == nil {
			spent, err = s.cfg.Chain.Spent(hash)
		}
		if errors.Is(err, chain.ErrNotFound) && !errors.Is(err, chain.ErrDamaged) || errors.Is(err, chain.ErrPruned) {
			return reply{}, restFail(http.StatusNotFound, "%s undo not available", q.rest)
		}
		if err != nil {
			return reply{}, err
		}
		for _, tx := range block.Txs[1:] {
			if len(spent) < len(tx.In) {
				return reply{}, restFail(http.StatusNotFound, "%s undo not available", q.rest)
			}
			lists, spent = append(lists, spent[:len(tx.In)]), spent[len(tx.In):]
		}
	}
	return reply{
		bytes: func() ([]byte, error) {
			b := consensus.AppendCompactSize(nil, uint64(len(lists)))
			for _, list := range lists {
				b = consensus.AppendCompactSize(b, uint64(len(list)))
				for i := range list {
					b = appendOut(b, &list[i])
				}
			}
			return b, nil
		},
		value: func() (any, error) {
			all := make([][]outJSON, len(lists))
			for i, list := range lists {
				all[i] = make([]outJSON, len(list))
				for n := range list {
					all[i][n] = s.outJSON(&list[n])
				}
			}
			return all, nil
		},
	}, nil
}

// restUnspent says which of some coins are unspent (BIP64). They are named in the path or,
// in the answer's form, in the body.
func (s *Server) restUnspent(_ context.Context, q *restRequest) (reply, error) {
	points, withPool, err := q.coins()
	if err != nil {
		return reply{}, err
	}
	if len(points) > restCoins {
		return reply{}, restFail(http.StatusBadRequest, "Error: max outpoints exceeded (max: %d, tried: %d)", restCoins, len(points))
	}
	found, tip, err := s.findCoins(points, withPool)
	if err != nil {
		return reply{}, err
	}
	bitmap, digits := make([]byte, (len(points)+7)/8), make([]byte, len(points))
	unspent := []*consensus.Coin{}
	for i, coin := range found {
		digits[i] = '0'
		if coin != nil {
			digits[i] = '1'
			bitmap[i/8] |= 1 << (i % 8)
			unspent = append(unspent, coin)
		}
	}
	return reply{
		bytes: func() ([]byte, error) {
			b := binary.LittleEndian.AppendUint32(nil, tip.Height)
			b = append(b, tip.Hash[:]...)
			b = append(consensus.AppendCompactSize(b, uint64(len(bitmap))), bitmap...)
			b = consensus.AppendCompactSize(b, uint64(len(unspent)))
			for _, coin := range unspent {
				b = append(b, 0, 0, 0, 0) // once the version of the transaction
				b = appendOut(binary.LittleEndian.AppendUint32(b, coin.Height), coin)
			}
			return b, nil
		},
		value: func() (any, error) {
			list := make([]outJSON, len(unspent))
			for i, coin := range unspent {
				height := int32(coin.Height)
				list[i] = s.outJSON(coin)
				list[i].Height = &height
			}
			return struct {
				Height uint32         `json:"chainHeight"`
				Tip    consensus.Hash `json:"chaintipHash"`
				Bitmap string         `json:"bitmap"`
				Coins  []outJSON      `json:"utxos"`
			}{tip.Height, tip.Hash, string(digits), list}, nil
		},
	}, nil
}

// poolHeight is the height of a coin that is not in a block.
const poolHeight = 0x7fffffff

// findCoins looks for coins at one tip; nil for one that is not there, or that the
// mempool spends if it counts.
func (s *Server) findCoins(points []consensus.OutPoint, withPool bool) (found []*consensus.Coin, tip consensus.State, err error) {
	found = make([]*consensus.Coin, len(points))
	err = s.cfg.Chain.Read(func(r *chain.Reader) error {
		tip = r.Tip()
		for i, o := range points {
			coin, ok, err := r.Coin(o)
			if err != nil {
				return err
			}
			if ok {
				found[i] = &coin
			}
		}
		return nil
	})
	if err != nil || !withPool {
		return found, tip, err
	}
	pool, err := s.pool()
	if err != nil {
		return nil, tip, err
	}
	for i, o := range points {
		if tx, ok := pool.ByTxID(o.TxID); ok && found[i] == nil && uint64(o.Index) < uint64(len(tx.Out)) {
			if key, ok := consensus.TaprootKey(tx.Out[o.Index].Script); ok {
				found[i] = &consensus.Coin{Value: tx.Out[o.Index].Value, Key: key, Height: poolHeight}
			}
		}
		if pool.Spends(o) {
			found[i] = nil
		}
	}
	return found, tip, nil
}

// coins reads which coins are asked for, and whether the mempool counts.
func (q *restRequest) coins() (points []consensus.OutPoint, withPool bool, err error) {
	empty, wrong := restFail(http.StatusBadRequest, "Error: empty request"), restFail(http.StatusBadRequest, "Parse error")
	var named []string
	if len(q.rest) > 1 {
		named = q.parts[1:]
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, false, restFail(http.StatusRequestEntityTooLarge, "the request is larger than %d bytes", restBody)
	}
	if len(body) == 0 && len(named) == 0 {
		return nil, false, empty
	}
	if len(named) > 0 && named[0] == "checkmempool" {
		named, withPool = named[1:], true
	}
	for _, name := range named {
		o, ok := restOutPoint(name)
		if !ok {
			return nil, false, wrong
		}
		points = append(points, o)
	}
	if len(points) == 0 && len(q.rest) > 1 {
		return nil, false, empty
	}
	switch q.form {
	case formJSON:
		if len(points) == 0 {
			return nil, false, empty
		}
		return points, withPool, nil
	case formHex:
		if body, err = hex.DecodeString(strings.TrimSpace(string(body))); err != nil {
			return nil, false, wrong
		}
	case formNone:
		return points, withPool, nil // and the answer says that there is no such form
	}
	if len(body) == 0 {
		return points, withPool, nil
	}
	if len(points) > 0 {
		return nil, false, restFail(http.StatusBadRequest, "Combination of URI scheme inputs and raw post data is not allowed")
	}
	d := consensus.NewDecoder(body)
	withPool = d.Uint8() != 0
	points = make([]consensus.OutPoint, d.Count(36))
	for i := range points {
		points[i] = consensus.OutPoint{TxID: d.Hash(), Index: d.Uint32()}
	}
	if d.Err() != nil {
		return nil, false, wrong
	}
	return points, withPool, nil
}

// restOutPoint reads TXID-INDEX.
func restOutPoint(text string) (o consensus.OutPoint, ok bool) {
	id, index, ok := strings.Cut(text, "-")
	if !ok {
		return o, false
	}
	hash, err := consensus.ParseHash(id)
	n, numberErr := strconv.ParseUint(index, 10, 32)
	return consensus.OutPoint{TxID: hash, Index: uint32(n)}, err == nil && numberErr == nil
}
