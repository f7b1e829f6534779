package consensus

import (
	"context"
	"fmt"
)

// maxCoinbaseScript is the longest script that a coinbase may have, in bytes.
const maxCoinbaseScript = 100

// HeaderSearch gives a header the nonce with which it meets a target, or a later
// time and a nonce. It stops with the error of ctx when that is done.
type HeaderSearch func(ctx context.Context, h *Header, target *Target) error

// MineGenesis finishes the draft of a chainspec: a document that ParseSpec
// would accept, but for its genesis, which may have no work yet or may be
// missing. A genesis that is there keeps its transaction and its time; a
// missing one gets this time (Unix seconds) and a coinbase that spends nothing,
// makes nothing, and carries the message, of at most 97 bytes.
//
// search does the work; nil means one thread of the standard library. MineGenesis
// stops with the error of ctx when that is done.
func MineGenesis(ctx context.Context, draft []byte, time uint32, message string, search HeaderSearch) (doc []byte, err error) {
	spec := new(Spec)
	if err := strictJSON(draft, spec, "rules.genesis"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	r := &spec.Rules
	if err := r.deriveLimit(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	block := newGenesis(time, message)
	if len(r.GenesisHex) > 0 {
		if block, err = DecodeBlock(r.GenesisHex); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSpec, fieldError("rules.genesis", "is not a block: %v", err))
		}
	} else if n := len(block.Txs[0].In[0].ScriptSig); n > maxCoinbaseScript {
		return nil, fmt.Errorf("message of %d bytes is %d too long for a coinbase", len(message), n-maxCoinbaseScript)
	}
	block.Bits = uint32(r.PowLimit)
	block.MerkleRoot, _ = MerkleRoot(block.TxIDs())
	if search == nil {
		search = mine
	}
	if err := search(ctx, &block.Header, &r.limit); err != nil {
		return nil, err
	}
	r.GenesisHex = block.Bytes()
	doc = spec.JSON()
	if _, err := ParseSpec(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// newGenesis is a first block without work and merkle root. No output of it is
// ever a coin.
func newGenesis(time uint32, message string) *Block {
	push := DataScript([]byte(message))[1:]
	coinbase := &Tx{
		Version: 2,
		In: []TxIn{{
			PrevOut:   OutPoint{Index: nullIndex},
			ScriptSig: append(heightScript(0), push...),
			Sequence:  sequenceFinal,
		}},
		Out: []TxOut{{Script: DataScript([]byte("Lode"))}},
	}
	return &Block{Header: Header{Version: versionTop, Time: time}, Txs: []*Tx{coinbase}}
}

// mine is a HeaderSearch.
func mine(ctx context.Context, h *Header, target *Target) error {
	const interval = 1 << 14 // hashes between two looks at ctx: a few milliseconds
	for h.Nonce = 0; ; nextNonce(h) {
		if h.Nonce%interval == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if h.Hash().MeetsTarget(target) {
			return nil
		}
	}
}

func nextNonce(h *Header) {
	if h.Nonce++; h.Nonce == 0 {
		h.Time++
	}
}
