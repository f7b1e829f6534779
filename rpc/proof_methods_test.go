package rpc_test

import (
	"encoding/hex"
	"testing"

	"lode/consensus"
)

func TestTxOutProof(t *testing.T) {
	t.Parallel()
	n, payment := withPayment(t)
	block := n.block(101)
	id, coinbase, hash := payment.TxID(), block.Txs[0].TxID(), block.Header.Hash()

	proof := ok[string](n, "gettxoutproof", []any{id})
	same(t, ok[string](n, "gettxoutproof", []any{id}, hash), proof)
	same(t, ok[any](n, "verifytxoutproof", proof), []any{id})
	both := ok[string](n, "gettxoutproof", []any{coinbase, id})
	same(t, ok[any](n, "verifytxoutproof", both), []any{coinbase, id})

	spent := n.block(1).Txs[0].TxID() // has no coin left, and there is no index
	n.refused(-5, "Transaction not yet in block", "gettxoutproof", []any{spent})
	same(t, ok[any](n, "verifytxoutproof", ok[string](n, "gettxoutproof", []any{spent}, n.block(1).Header.Hash())), []any{spent})
	n.refused(-5, "Not all transactions found in specified or retrieved block", "gettxoutproof", []any{id, spent})
	n.refused(-8, "Parameter 'txids' cannot be empty", "gettxoutproof", []any{})
	n.refused(-8, "Invalid parameter, duplicated txid: "+id.String(), "gettxoutproof", []any{id, id})
	n.refused(-8, "txid must be of length 64 (not 2, for '00')", "gettxoutproof", []any{"00"})
	n.refused(-5, "Block not found", "gettxoutproof", []any{id}, consensus.Hash{1})

	// A proof whose nodes do not fit proves nothing, and neither does one that
	// counts the block's transactions wrongly.
	raw, _ := hex.DecodeString(both)
	tweaked, err := consensus.DecodeMerkleBlock(raw)
	check(t, err)
	tweaked.Hashes[0][0] ^= 1
	same(t, ok[any](n, "verifytxoutproof", hex.EncodeToString(tweaked.Append(nil))), []any{})
	inner := &consensus.MerkleBlock{Header: block.Header, Total: 1, Hashes: []consensus.Hash{block.MerkleRoot}, Flags: []byte{1}}
	same(t, ok[any](n, "verifytxoutproof", hex.EncodeToString(inner.Append(nil))), []any{})
	n.refused(-8, "proof must be hexadecimal string (not 'x')", "verifytxoutproof", "x")

	check(t, n.chain.InvalidateBlock(hash))
	n.refused(-5, "Block not found in chain", "verifytxoutproof", both)
}

func TestTxOutProofByIndex(t *testing.T) {
	t.Parallel()
	n := indexed(t, 101)
	id := n.block(1).Txs[0].TxID()
	payment := n.payment(1, 1000)
	check(t, n.pool.Add(payment))
	n.mine(1)
	n.built()
	same(t, ok[any](n, "verifytxoutproof", ok[string](n, "gettxoutproof", []any{id})), []any{id})
}
