package electrum

import (
	"context"
	"encoding/hex"

	"lode/consensus"
	"lode/rpc/scripthash"
)

// header is the header at a height of the active chain.
func (s *Server) header(height uint32) (consensus.Header, bool) {
	hash, ok := s.cfg.Ledger.HashAt(height)
	if !ok {
		return consensus.Header{}, false
	}
	info, ok := s.cfg.Ledger.Header(hash)
	return info.Header, ok
}

type proofJSON struct {
	Branch []consensus.Hash `json:"branch"`
	Header string           `json:"header"`
	Root   consensus.Hash   `json:"root"`
}

func blockHeader(_ context.Context, s *session, p *params, r *reply) (any, error) {
	height, checkpoint := p.number(0, 0), p.number(1, 0)
	if p.err != nil {
		return nil, p.err
	}
	h, ok := s.c.s.header(height)
	if !ok {
		return nil, fail(codeBad, "height %d out of range", height)
	}
	raw := hex.EncodeToString(h.Append(nil))
	if checkpoint == 0 {
		return raw, nil
	}
	branch, root, err := s.proof(height, checkpoint, r)
	if err != nil {
		return nil, err
	}
	return proofJSON{branch, raw, root}, nil
}

// proof proves that the header at a height is part of the chain up to a checkpoint.
func (s *session) proof(height, checkpoint uint32, r *reply) (branch []consensus.Hash, root consensus.Hash, err error) {
	tip := s.c.s.cfg.Ledger.Tip().Height
	if height > checkpoint || checkpoint > tip {
		return nil, root, fail(codeBad, "require header height %d <= cp_height %d <= chain height %d", height, checkpoint, tip)
	}
	r.cost += 5
	branch, root, ok := s.c.s.headers.proof(height, checkpoint)
	if !ok {
		return nil, root, fail(codeInternal, "the chain is being reorganized, ask again")
	}
	return branch, root, nil
}

type headersJSON struct {
	Hex     *string          `json:"hex,omitempty"`     // before 1.6
	Headers *[]string        `json:"headers,omitempty"` // from 1.6 on
	Count   int              `json:"count"`
	Max     int              `json:"max"`
	Root    *consensus.Hash  `json:"root,omitempty"`
	Branch  []consensus.Hash `json:"branch,omitempty"`
}

func blockHeaders(_ context.Context, s *session, p *params, r *reply) (any, error) {
	start, count, checkpoint := p.number(0, 0), p.number(1, 0), p.number(2, 0)
	if p.err != nil {
		return nil, p.err
	}
	if checkpoint > 0 && count > 0 && uint64(start)+uint64(count)-1 > uint64(checkpoint) {
		return nil, fail(codeBad, "require header height %d <= cp_height %d", uint64(start)+uint64(count)-1, checkpoint)
	}
	count = min(count, maxHeaders)
	if err := s.large(r, 2*consensus.HeaderSize*int(count)); err != nil {
		return nil, err
	}
	headers := s.c.s.headersFrom(start, int(count))
	r.cost += float64(len(headers)) / perRow
	out := headersJSON{Count: len(headers), Max: maxHeaders}
	if s.version.less(v16) {
		all := make([]byte, 0, consensus.HeaderSize*len(headers))
		for i := range headers {
			all = headers[i].Append(all)
		}
		out.Hex = new(hex.EncodeToString(all))
	} else {
		list := make([]string, len(headers))
		for i := range headers {
			list[i] = hex.EncodeToString(headers[i].Append(nil))
		}
		out.Headers = &list
	}
	if len(headers) > 0 && checkpoint > 0 {
		branch, root, err := s.proof(start+uint32(len(headers))-1, checkpoint, r)
		if err != nil {
			return nil, err
		}
		out.Branch, out.Root = branch, &root
	}
	return out, nil
}

// headersFrom lists headers of the active chain, each the parent of the next.
func (s *Server) headersFrom(start uint32, count int) (list []consensus.Header) {
	for height := uint64(start); len(list) < count && height <= uint64(s.cfg.Ledger.Tip().Height); height++ {
		h, ok := s.header(uint32(height))
		if !ok || len(list) > 0 && h.Prev != list[len(list)-1].Hash() {
			break // the chain is being reorganized: what was before ends here
		}
		list = append(list, h)
	}
	return list
}

type merkleJSON struct {
	Height uint32           `json:"block_height"`
	Merkle []consensus.Hash `json:"merkle"`
	Pos    int              `json:"pos"`
}

func getMerkle(_ context.Context, s *session, p *params, r *reply) (any, error) {
	id, height := p.hash(0, "transaction hash"), p.number(1, 0)
	if p.err != nil {
		return nil, p.err
	}
	ids, err := s.txIDs(height, r)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		if ids[i] == id {
			branch, _ := scripthash.MerkleBranch(ids, i)
			return merkleJSON{height, orEmpty(branch), i}, nil
		}
	}
	return nil, fail(codeBad, "tx %s not in block at height %d", id, height)
}

// txIDs lists the transactions of the block at a height, in a slice of the caller's
// own.
func (s *session) txIDs(height uint32, r *reply) ([]consensus.Hash, error) {
	hash, ok := s.c.s.cfg.Ledger.HashAt(height)
	if !ok {
		return nil, fail(codeBad, "height %d out of range", height)
	}
	ids, err := s.c.s.blocks.get(hash)
	if err != nil {
		return nil, err
	}
	r.cost += float64(len(ids)) / 500
	return append(make([]consensus.Hash, 0, len(ids)+1), ids...), nil
}

func orEmpty(list []consensus.Hash) []consensus.Hash {
	if list == nil {
		return []consensus.Hash{}
	}
	return list
}

func idFromPos(_ context.Context, s *session, p *params, r *reply) (any, error) {
	height, pos, merkle := p.number(0, 0), p.number(1, 0), p.flag(2)
	if p.err != nil {
		return nil, p.err
	}
	ids, err := s.txIDs(height, r)
	if err != nil {
		return nil, err
	}
	if uint64(pos) >= uint64(len(ids)) {
		return nil, fail(codeBad, "no tx at position %d in block at height %d", pos, height)
	}
	id := ids[pos]
	if !merkle {
		return id, nil
	}
	branch, _ := scripthash.MerkleBranch(ids, int(pos))
	return struct {
		TxID   consensus.Hash   `json:"tx_hash"`
		Merkle []consensus.Hash `json:"merkle"`
	}{id, orEmpty(branch)}, nil
}
