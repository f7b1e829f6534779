package rpc_test

import (
	"strings"
	"testing"

	"lode/chain"
	"lode/consensus"
)

func TestGetTxOutSetInfo(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 5)
	stats, err := n.chain.UTXOStats(t.Context())
	check(t, err)
	muhash, err := n.chain.UTXOMuHash(t.Context())
	check(t, err)
	all := object{
		"height": 5, "bestblock": n.chain.Tip().Hash, "txouts": 5, "bogosize": 5 * (32 + 4 + 4 + 8 + 2 + 34),
		"total_amount": btc("250.00000000"), "transactions": 5, "disk_size": stats.DiskBytes,
	}
	same(t, ok[any](n, "gettxoutsetinfo", "none"), all)
	hashed := merged(all, object{"hash_serialized_3": stats.Hash})
	same(t, ok[any](n, "gettxoutsetinfo"), hashed)
	same(t, ok[any](n, "gettxoutsetinfo", "hash_serialized_3", nil, false), hashed)
	same(t, ok[any](n, "gettxoutsetinfo", "muhash"), merged(all, object{"muhash": muhash.Hash}))
	n.refused(-8, "'sha256' is not a valid hash_type", "gettxoutsetinfo", "sha256")
	n.refused(-8, "Querying specific block heights requires coinstatsindex", "gettxoutsetinfo", "none", 3)
}

// TestGetTxOutSetInfoByIndex: what the coins were after any block, and what it did to them; also
// of one that is not in the chain any more.
func TestGetTxOutSetInfoByIndex(t *testing.T) {
	t.Parallel()
	n := indexed(t, 102)
	counted := func(kind string) object {
		all := ok[object](n, "gettxoutsetinfo", kind, nil, false)
		delete(all, "transactions") // which the index does not know
		delete(all, "disk_size")
		return all
	}
	amounts := func(spent, coinbase, outputs, genesis, scripts, unclaimed, lost string) object {
		return object{
			"prevout_spent": btc(spent), "coinbase": btc(coinbase), "new_outputs_ex_coinbase": btc(outputs), "unspendable": btc(lost),
			"unspendables": object{"genesis_block": btc(genesis), "bip30": btc(zeroCoins), "scripts": btc(scripts), "unclaimed_rewards": btc(unclaimed)},
		}
	}
	first := counted("muhash")
	ordinary := object{"total_unspendable_amount": btc("50.00000000"), "block_info": amounts(zeroCoins, "50.00000000", zeroCoins, zeroCoins, zeroCoins, zeroCoins, zeroCoins)}
	same(t, ok[any](n, "gettxoutsetinfo", "muhash"), merged(first, ordinary))
	same(t, ok[any](n, "gettxoutsetinfo", "none"), merged(counted("none"), ordinary))
	hashed := ok[object](n, "gettxoutsetinfo") // counted: the index has another hash
	same(t, hashed, ok[object](n, "gettxoutsetinfo", "hash_serialized_3", nil, false))
	same(t, ok[any](n, "gettxoutsetinfo", "none", 0), object{
		"height": 0, "bestblock": ok[string](n, "getblockhash", 0), "txouts": 0, "bogosize": 0, "total_amount": btc(zeroCoins),
		"total_unspendable_amount": btc("50.00000000"), "block_info": amounts(zeroCoins, zeroCoins, zeroCoins, "50.00000000", zeroCoins, zeroCoins, "50.00000000"),
	})

	const subsidy = 50 * consensus.SatPerCoin
	burn := n.pay(subsidy, []consensus.OutPoint{n.coinbase(1)},
		consensus.TxOut{Value: 3 * consensus.SatPerCoin, Script: []byte{0x6a}}, consensus.TxOut{Value: subsidy - 4*consensus.SatPerCoin, Script: n.script})
	same(t, ok[any](n, "sendrawtransaction", hexTx(burn), 0, 3), burn.TxID())
	block := solve(variant(n.template(), func(b *consensus.Block) {
		b.Txs[0].Out[0].Value -= 10 * consensus.SatPerCoin
		b.Header.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs())
	}))
	same(t, ok[any](n, "submitblock", hexBlock(block)), nil)
	second := merged(counted("muhash"), object{
		"total_unspendable_amount": btc("63.00000000"),
		"block_info":               amounts("50.00000000", "41.00000000", "46.00000000", zeroCoins, "3.00000000", "10.00000000", "13.00000000"),
	})
	same(t, ok[any](n, "gettxoutsetinfo", "muhash"), second)
	same(t, ok[any](n, "gettxoutsetinfo", "muhash", 102), merged(first, ordinary))
	hash := block.Header.Hash()
	same(t, ok[any](n, "invalidateblock", hash), nil)
	n.mine(2)
	same(t, ok[any](n, "gettxoutsetinfo", "muhash", hash), second)
	same(t, ok[object](n, "gettxoutsetinfo", "muhash", 103)["bestblock"], ok[string](n, "getblockhash", 103))

	n.refused(-8, "hash_serialized_3 hash type cannot be queried for a specific block", "gettxoutsetinfo", "hash_serialized_3", 3)
	n.refused(-8, "Cannot set use_index to false when querying for a specific block", "gettxoutsetinfo", "none", 3, false)
	n.refused(-8, "Target block height 105 after current tip 104", "gettxoutsetinfo", "none", 105)
	n.refused(-8, "Target block height -1 is negative", "gettxoutsetinfo", "none", -1)
	n.refused(-5, "Block not found", "gettxoutsetinfo", "none", strings.Repeat("f", 64))
	n.refused(-8, "hash_or_height must be of length 64 (not 1, for 'x')", "gettxoutsetinfo", "none", "x")

	n = newNodeWith(t, chain.Config{CoinStatsIndex: true}, "regtest", 3) // and nobody builds it
	n.refused(-32603, "Unable to get data because coinstatsindex is still syncing. Current height: 0", "gettxoutsetinfo", "none")
	same(t, ok[object](n, "gettxoutsetinfo", "none", 0)["height"], 0)
}

const zeroCoins = "0.00000000"
