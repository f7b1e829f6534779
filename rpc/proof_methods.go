package rpc

import (
	"context"
	"encoding/hex"
	"errors"

	"lode/chain"
	"lode/consensus"
)

// getTxOutProof proves that transactions are in a block, as BIP37's merkleblock.
func (s *Server) getTxOutProof(ctx context.Context, p *params) (any, error) {
	wanted, err := p.txids(0)
	if err != nil {
		return nil, err
	}
	hash, err := s.proofBlock(ctx, p, wanted)
	if err != nil {
		return nil, err
	}
	block, err := s.block(hash)
	if err != nil {
		return nil, err
	}
	found := 0
	proof := consensus.NewMerkleBlock(block, func(id consensus.Hash) bool {
		if wanted[id] {
			found++
		}
		return wanted[id]
	})
	if found != len(wanted) {
		return nil, fail(codeAddress, "Not all transactions found in specified or retrieved block")
	}
	return hex.EncodeToString(proof.Append(nil)), nil
}

// txids reads a list of ids that differ.
func (p *params) txids(i int) (map[consensus.Hash]bool, error) {
	list := p.texts(i)
	if p.err != nil {
		return nil, p.err
	}
	if len(list) == 0 {
		return nil, fail(codeParameter, "Parameter 'txids' cannot be empty")
	}
	ids := make(map[consensus.Hash]bool)
	for _, text := range list {
		id, err := parseHash(text, "txid")
		if err != nil {
			return nil, err
		}
		if ids[id] {
			return nil, fail(codeParameter, "Invalid parameter, duplicated txid: %s", text)
		}
		ids[id] = true
	}
	return ids, nil
}

// proofBlock is the block that the transactions should be in: the one that was
// named, or that of a coin that one of them has left, or by the index.
func (s *Server) proofBlock(ctx context.Context, p *params, wanted map[consensus.Hash]bool) (consensus.Hash, error) {
	if !p.absent(1) {
		hash := p.hash(1, "blockhash")
		if p.err != nil {
			return hash, p.err
		}
		info, err := s.header(hash)
		return info.Hash, err
	}
	const lookups = 10_000 // in all: a list may be long, and so may a transaction
	for id := range wanted {
		for n := range uint32(max(1, lookups/len(wanted))) {
			coin, ok, err := s.cfg.Chain.Coin(consensus.OutPoint{TxID: id, Index: n})
			if err != nil {
				return consensus.Hash{}, err
			}
			if !ok {
				continue
			}
			if hash, ok := s.cfg.Chain.HashAt(coin.Height); ok {
				return hash, nil
			}
		}
	}
	kept, _, err := s.indexReady(ctx, chain.TxIndex)
	if err != nil {
		return consensus.Hash{}, err
	}
	if kept {
		for id := range wanted {
			_, hash, err := s.cfg.Chain.FindTx(id)
			if err == nil {
				return hash, nil
			}
			if !errors.Is(err, chain.ErrNoTx) {
				return consensus.Hash{}, err
			}
		}
	}
	return consensus.Hash{}, fail(codeAddress, "Transaction not yet in block")
}

// verifyTxOutProof gives the ids that a proof shows to be in a block of the
// active chain, and none where the proof is no good.
func (s *Server) verifyTxOutProof(_ context.Context, p *params) (any, error) {
	text := p.text(0, "")
	if p.err != nil {
		return nil, p.err
	}
	raw, err := hex.DecodeString(text)
	if err != nil || text == "" {
		return nil, fail(codeParameter, "proof must be hexadecimal string (not '%.80s')", text)
	}
	proof, err := consensus.DecodeMerkleBlock(raw)
	if err != nil {
		return nil, fail(codeMisc, "DataStream::read(): end of data: iostream error") // Bitcoin Core's, for whatever is wrong
	}
	none := []consensus.Hash{}
	ids, err := proof.Matches(s.cfg.Chain.Rules().MaxBlockWeight)
	if err != nil {
		return none, nil
	}
	info, ok := s.cfg.Chain.Header(proof.Header.Hash())
	if !ok || !info.Active {
		return nil, fail(codeAddress, "Block not found in chain")
	}
	// The number of transactions is not under the header's proof of work: with
	// another one an inner node could pass for a transaction (CVE-2017-12842).
	block, err := s.blockBytes(info.Hash)
	if err != nil {
		return nil, err
	}
	d := consensus.NewDecoder(block)
	d.Header()
	if d.CompactSize() != uint64(proof.Total) {
		return none, d.Err()
	}
	if ids == nil {
		ids = none
	}
	return ids, nil
}
