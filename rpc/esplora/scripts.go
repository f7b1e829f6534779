package esplora

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"lode/chain"
	"lode/consensus"
	"lode/rpc/scripthash"
)

type statsJSON struct {
	Funded    uint64           `json:"funded_txo_count"`
	FundedSum consensus.Amount `json:"funded_txo_sum"`
	Spent     uint64           `json:"spent_txo_count"`
	SpentSum  consensus.Amount `json:"spent_txo_sum"`
	Txs       uint64           `json:"tx_count"`
}

func statsOf(t *chain.AddressTotals) statsJSON {
	return statsJSON{t.Outputs, t.Received, t.Inputs, t.Spent, t.Txs}
}

// scriptOf is the script that an address or a hash (forwards) names.
func (s *Server) scriptOf(kind, arg string) (scripthash.ID, error) {
	if kind == "scripthash" {
		raw, err := hex.DecodeString(arg)
		if err != nil {
			return scripthash.ID{}, bad("Invalid hex string")
		}
		if len(raw) != 32 {
			return scripthash.ID{}, bad("Invalid scripthash")
		}
		return scripthash.ID(raw), nil
	}
	key, err := consensus.ParseAddress(s.cfg.Spec.Defaults.AddressPrefix, arg)
	if err == nil {
		return scripthash.OfKey(key), nil
	}
	if i := strings.LastIndexByte(arg, '1'); i > 0 && len(arg) < 200 {
		if _, other := consensus.ParseAddress(strings.ToLower(arg[:i]), arg); other == nil {
			return scripthash.ID{}, bad("Address on invalid network")
		}
	}
	return scripthash.ID{}, bad("Invalid Bitcoin address")
}

func (s *Server) script(ctx context.Context, kind, arg string, path []string) (*answer, error) {
	id, err := s.scriptOf(kind, arg)
	if err != nil {
		return nil, err
	}
	switch what := strings.Join(path, "/"); {
	case what == "":
		sum, err := s.cfg.Index.Totals(ctx, id)
		if err != nil {
			return nil, err
		}
		return jsonOf(map[string]any{kind: arg, "chain_stats": statsOf(&sum.Confirmed), "mempool_stats": statsOf(&sum.Unconfirmed)})
	case what == "txs":
		return s.scriptTxs(ctx, id, true, true, consensus.Hash{})
	case what == "txs/mempool":
		return s.scriptTxs(ctx, id, true, false, consensus.Hash{})
	case what == "txs/chain":
		return s.scriptTxs(ctx, id, false, true, consensus.Hash{})
	case len(path) == 3 && path[0] == "txs" && path[1] == "chain":
		after, err := parseHash(path[2])
		if err != nil {
			return nil, err
		}
		return s.scriptTxs(ctx, id, false, true, after)
	case what == "utxo":
		return s.unspent(ctx, id)
	}
	return nil, missing("endpoint does not exist")
}

// scriptTxs is transactions of a script, the newest first.
func (s *Server) scriptTxs(ctx context.Context, id scripthash.ID, unconfirmed, confirmed bool, after consensus.Hash) (*answer, error) {
	list := []txJSON{}
	if unconfirmed {
		pool, err := s.cfg.Index.Mempool(id)
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(pool, func(a, b scripthash.PoolTx) int { return b.Time.Compare(a.Time) })
		for _, e := range pool[:min(poolTxs, len(pool))] {
			j, err := s.show(ctx, &found{tx: e.Tx})
			if errors.Is(err, chain.ErrNoTx) {
				continue // it has just left
			}
			if err != nil {
				return nil, err
			}
			list = append(list, j)
		}
	}
	if !confirmed {
		return jsonOf(list)
	}
	page, err := s.cfg.Index.Page(ctx, id, after, txsPerPage)
	if err != nil && !errors.Is(err, chain.ErrNoTx) {
		return nil, err
	}
	for _, tx := range page {
		f, err := s.find(ctx, tx.TxID)
		if errors.Is(err, chain.ErrNoTx) {
			continue // a reorganization is under way
		}
		if err != nil {
			return nil, err
		}
		j, err := s.show(ctx, &f)
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return jsonOf(list)
}

type unspentJSON struct {
	TxID   consensus.Hash   `json:"txid"`
	Index  uint32           `json:"vout"`
	Status statusJSON       `json:"status"`
	Value  consensus.Amount `json:"value"`
}

func (s *Server) unspent(ctx context.Context, id scripthash.ID) (*answer, error) {
	outs, err := s.cfg.Index.Unspent(ctx, id, maxUnspent)
	if err != nil {
		return nil, err
	}
	list := make([]unspentJSON, len(outs))
	for i, o := range outs {
		list[i] = unspentJSON{TxID: o.TxID, Index: o.Index, Value: o.Value}
		if o.Height == 0 {
			continue
		}
		if hash, ok := s.cfg.Ledger.HashAt(o.Height); ok {
			info, _ := s.cfg.Ledger.Header(hash)
			list[i].Status = statusOf(&info)
		}
	}
	return jsonOf(list)
}

// charset is that of bech32, see BIP173.
const charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// addressPrefix lists addresses of the chain that begin with a text. In an address the
// bits of the key follow each other, behind its version, five in a character.
func (s *Server) addressPrefix(prefix string) (*answer, error) {
	head := s.cfg.Spec.Defaults.AddressPrefix + "1p"
	prefix = strings.ToLower(prefix)
	list := []string{}
	if !strings.HasPrefix(prefix, head) {
		if strings.HasPrefix(head, prefix) {
			prefix = head // any
		} else {
			return jsonOf(list)
		}
	}
	var from, to [32]byte
	for i := range to {
		to[i] = 0xff
	}
	bits := prefix[len(head):]
	for i := range min(len(bits), 52) { // beyond is the checksum
		v := strings.IndexByte(charset, bits[i])
		if v < 0 {
			return jsonOf(list)
		}
		for k := range 5 {
			if at := 5*i + k; at < 256 {
				set := byte(v>>(4-k)&1) << (7 - at%8)
				from[at/8] |= set
				to[at/8] = to[at/8]&^(1<<(7-at%8)) | set
			}
		}
	}
	keys, err := s.cfg.Ledger.AddressKeys(from, to, maxPrefix)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if a := consensus.Address(s.cfg.Spec.Defaults.AddressPrefix, key); strings.HasPrefix(a, prefix) {
			list = append(list, a)
		}
	}
	return jsonOf(list)
}
