package rpc_test

import (
	"encoding/hex"
	"testing"

	"lode/chain"
	"lode/chain/blockfilter"
	"lode/consensus"
)

// TestBlockFilterCall asks for the filters of blocks, of a left branch too, and for what there
// is none of.
func TestBlockFilterCall(t *testing.T) {
	t.Parallel()
	n := indexed(t, 3)
	type answer struct {
		Filter consensus.HexBytes
		Header consensus.Hash
	}
	var before consensus.Hash
	for height := range uint32(4) {
		hash, _ := n.chain.HashAt(height)
		block, err := n.chain.Block(hash)
		check(t, err)
		filter, err := blockfilter.Build(hash, blockfilter.Scripts(block, nil))
		check(t, err)
		before = blockfilter.HeaderOf(blockfilter.HashOf(filter), before)
		got := ok[answer](n, "getblockfilter", hash)
		same(t, hex.EncodeToString(got.Filter), hex.EncodeToString(filter))
		same(t, got.Header, before)
		same(t, ok[answer](n, "getblockfilter", hash, "basic").Header, before)
	}
	tip := n.chain.Tip().Hash
	check(t, n.chain.InvalidateBlock(tip))
	same(t, ok[answer](n, "getblockfilter", tip).Header, before) // still, as it was connected
	n.refused(-5, "Block not found", "getblockfilter", consensus.Hash{1})
	n.refused(-5, "Unknown filtertype", "getblockfilter", tip, "unknown")
	n.refused(-8, "blockhash must be of length 64 (not 2, for '12')", "getblockfilter", "12")

	n = newNodeWith(t, chain.Config{FilterIndex: true}, "regtest", 2) // and nobody builds it
	n.refused(-1, "Filter not found. Block filters are still in the process of being indexed.", "getblockfilter", n.chain.Tip().Hash)
	n.refused(-1, "Filter not found. Block filters are still in the process of being indexed.", "scanblocks", "start", []any{"raw(51)"})
	n = newNode(t, "regtest", 1)
	n.refused(-1, "Index is not enabled for filtertype basic", "getblockfilter", n.chain.Tip().Hash)
	n.refused(-1, "Index is not enabled for filtertype basic", "scanblocks", "start", []any{"raw(51)"})
}

// TestScanBlocks finds blocks by what they pay to and what they spend from, with and without
// one that matches by accident.
func TestScanBlocks(t *testing.T) {
	t.Parallel()
	n := indexed(t, 101)
	other := consensus.TaprootScript([32]byte{1: 9})
	const subsidy = 50 * consensus.SatPerCoin
	tx := n.pay(subsidy, []consensus.OutPoint{n.coinbase(1)}, consensus.TxOut{Value: subsidy - 9000, Script: other})
	same(t, ok[any](n, "sendrawtransaction", hexTx(tx)), tx.TxID())
	paid := n.mine(1)[0]
	n.mine(2)
	n.built()
	raw := func(script string) []any { return []any{"raw(" + script + ")"} }
	scan := func(args ...any) []any {
		t.Helper()
		found := ok[object](n, "scanblocks", append([]any{"start"}, args...)...)
		same(t, found["completed"], any(true))
		return found["relevant_blocks"].([]any)
	}
	there := raw(hex.EncodeToString(other))
	same(t, scan(there), []any{paid.String()})
	same(t, scan(there, 102, 102), []any{paid.String()})
	same(t, len(scan(there, 103)), 0)
	same(t, len(scan(there, 0, 101)), 0)
	same(t, scan(there, 0, 104, "basic", object{"filter_false_positives": true}), []any{paid.String()})
	same(t, len(scan([]any{"addr(" + n.address + ")"}, 90)), 15) // every coinbase

	// One that matches regtest's first block by accident, as in Bitcoin Core's tests.
	const accident = "001400000000000000000000000000000000000cadcb"
	first := n.chain.Rules().GenesisHash().String()
	same(t, scan(raw(accident), 0, 0), []any{first})
	same(t, len(scan(raw(accident), 0, 0, "basic", object{"filter_false_positives": true})), 0)
	key := hex.EncodeToString(n.chain.Rules().Genesis().Txs[0].Out[0].Script)
	same(t, scan(raw(key), 0, 0, "basic", object{"filter_false_positives": true}), []any{first})

	same(t, ok[any](n, "scanblocks", "status"), nil)
	same(t, ok[any](n, "scanblocks", "abort"), any(false))
	n.refused(-8, "Invalid action 'foobar'", "scanblocks", "foobar")
	n.refused(-5, "Unknown filtertype", "scanblocks", "start", there, 0, 10, "extended")
	n.refused(-1, "Invalid start_height", "scanblocks", "start", there, 100_000_000)
	n.refused(-1, "Invalid stop_height", "scanblocks", "start", there, 10, 0)
	n.refused(-1, "Invalid stop_height", "scanblocks", "start", there, 10, 100_000_000)
	n.refused(-1, "scanobjects argument is required for the start action", "scanblocks", "start")
}
