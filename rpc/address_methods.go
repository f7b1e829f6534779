package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"math"

	"lode/chain"
	"lode/consensus"
	"lode/internal/plainly"
)

// Bitcoin Core has no calls that ask for the history of an address. These have
// the names, arguments and units (sat, not coins) of those that Insight added to
// it, and that Zcash and Dash have kept; skip and count are ours, to bound an
// answer.

const (
	maxAddresses = 100
	maxSkip      = 1_000_000
	defaultCount = 1_000
	maxCount     = 10_000
)

// addressQuery is the argument of these calls.
type addressQuery struct {
	Addresses []string `json:"addresses"`
	Start     int64    `json:"start"` // heights; 0 means from the first, and to the last
	End       int64    `json:"end"`
	Skip      int64    `json:"skip"`
	Count     *int64   `json:"count"`

	keys [][32]byte
}

// addresses reads argument i, an object or one address.
func (s *Server) addresses(p *params, i int) (q addressQuery) {
	switch jsonType(p.values[i]) {
	case "string":
		q.Addresses = []string{p.text(i, "")}
	case "object":
		d := json.NewDecoder(bytes.NewReader(p.values[i]))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			p.fail(fail(codeParameter, "Invalid addresses argument: %v", plainly.Error(err)))
		}
	default:
		p.wrongType(i, "object")
	}
	if q.Count == nil {
		q.Count = new(int64(defaultCount))
	}
	if q.End == 0 {
		q.End = math.MaxUint32
	}
	switch {
	case p.err != nil:
	case len(q.Addresses) == 0 || len(q.Addresses) > maxAddresses:
		p.fail(fail(codeParameter, "addresses must hold 1 to %d addresses, not %d", maxAddresses, len(q.Addresses)))
	case q.Start < 0 || q.End < q.Start || q.End > math.MaxUint32:
		p.fail(fail(codeParameter, "start and end must be heights, start not above end"))
	case q.Skip < 0 || q.Skip > maxSkip:
		p.fail(fail(codeParameter, "skip must be 0 to %d; for more, begin at a higher start", maxSkip))
	case *q.Count < 1 || *q.Count > maxCount:
		p.fail(fail(codeParameter, "count must be 1 to %d", maxCount))
	}
	if p.err != nil {
		return q
	}
	seen := make(map[[32]byte]bool)
	for _, address := range q.Addresses {
		key, err := consensus.ParseAddress(s.cfg.Spec.Defaults.AddressPrefix, address)
		if err != nil {
			p.fail(fail(codeAddress, "Invalid address %.100q: %v", address, err))
			return q
		}
		if !seen[key] {
			seen[key] = true
			q.keys = append(q.keys, key)
		}
	}
	return q
}

// addrIndex makes sure that the index of addresses can be asked.
func (s *Server) addrIndex(ctx context.Context) error {
	kept, ready, err := s.indexReady(ctx, chain.AddrIndex)
	switch {
	case err != nil:
		return err
	case !kept:
		return fail(codeMisc, "Address index is not enabled. Start the node with --addrindex.")
	case !ready:
		return fail(codeMisc, "Address index is still in the process of being built. See getindexinfo.")
	}
	return nil
}

func (s *Server) getAddressBalance(ctx context.Context, p *params) (any, error) {
	q := s.addresses(p, 0)
	if p.err != nil {
		return nil, p.err
	}
	if err := s.addrIndex(ctx); err != nil {
		return nil, err
	}
	var sum chain.AddressTotals
	for _, key := range q.keys {
		t, err := s.cfg.Chain.AddressTotals(key)
		if err != nil {
			return nil, err
		}
		sum.Received += t.Received
		sum.Spent += t.Spent
	}
	return struct {
		Balance  consensus.Amount `json:"balance"`
		Received consensus.Amount `json:"received"`
	}{sum.Received - sum.Spent, sum.Received}, nil
}

func (s *Server) getAddressTxIDs(ctx context.Context, p *params) (any, error) {
	ids := []consensus.Hash{}
	err := s.eachAddressTx(ctx, p, true, func(e chain.AddressTx) { ids = append(ids, e.TxID) })
	return ids, err
}

type deltaJSON struct {
	Satoshis   consensus.Amount `json:"satoshis"` // negative for what is spent
	TxID       consensus.Hash   `json:"txid"`
	BlockIndex uint32           `json:"blockindex"` // of the transaction in its block
	Height     uint32           `json:"height"`
	Address    string           `json:"address"`
}

// getAddressDeltas gives one entry for all that a transaction pays an address,
// and one for all that it spends from it.
func (s *Server) getAddressDeltas(ctx context.Context, p *params) (any, error) {
	deltas := []deltaJSON{}
	err := s.eachAddressTx(ctx, p, false, func(e chain.AddressTx) {
		d := deltaJSON{-e.Spent, e.TxID, e.Index, e.Height, consensus.Address(s.cfg.Spec.Defaults.AddressPrefix, e.Key)}
		if e.Spent > 0 {
			deltas = append(deltas, d)
		}
		if d.Satoshis = e.Received; e.Received > 0 || e.Spent == 0 {
			deltas = append(deltas, d)
		}
	})
	return deltas, err
}

// eachAddressTx visits the transactions that the arguments ask for; once has
// those that concern several of the addresses count as one.
func (s *Server) eachAddressTx(ctx context.Context, p *params, once bool, visit func(chain.AddressTx)) error {
	q := s.addresses(p, 0)
	if p.err != nil {
		return p.err
	}
	if err := s.addrIndex(ctx); err != nil {
		return err
	}
	var last consensus.Hash
	at, end := int64(0), q.Skip+*q.Count
	return s.cfg.Chain.AddressTxs(q.keys, uint32(q.Start), uint32(q.End), func(e chain.AddressTx) bool {
		if once && e.TxID == last {
			return true
		}
		last = e.TxID
		if at >= q.Skip {
			visit(e)
		}
		at++
		return at < end && ctx.Err() == nil
	})
}
