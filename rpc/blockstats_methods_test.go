package rpc_test

import (
	"testing"

	"lode/consensus"
)

func TestGetBlockStats(t *testing.T) {
	t.Parallel()
	n, payment := withPayment(t)
	block := n.block(101)
	hash := block.Header.Hash()
	info, _ := n.chain.Header(hash)
	size, weight := payment.Size(), payment.Weight()
	rate := 1000 * consensus.WitnessScale / weight
	const output = 8 + 1 + 34 + 41 // a Taproot output as Bitcoin Core reckons it
	commitment := block.Txs[0].Out[1]
	data := 8 + 1 + len(commitment.Script) + 41
	want := object{
		"avgfee": 1000, "avgfeerate": rate, "avgtxsize": size, "blockhash": hash, "feerate_percentiles": []int{rate, rate, rate, rate, rate},
		"height": 101, "ins": 1, "maxfee": 1000, "maxfeerate": rate, "maxtxsize": size, "medianfee": 1000, "mediantime": info.MedianTime,
		"mediantxsize": size, "minfee": 1000, "minfeerate": rate, "mintxsize": size, "outs": 3, "subsidy": 50 * consensus.SatPerCoin,
		"swtotal_size": size, "swtotal_weight": weight, "swtxs": 1, "time": block.Time, "total_out": 50*consensus.SatPerCoin - 1000,
		"total_size": size, "total_weight": weight, "totalfee": 1000, "txs": 2, "utxo_increase": 2, "utxo_size_inc": output + data,
		"utxo_increase_actual": 1, "utxo_size_inc_actual": output,
	}
	same(t, ok[any](n, "getblockstats", hash), want)
	same(t, ok[any](n, "getblockstats", 101), want)
	same(t, ok[any](n, "getblockstats", 101, []string{"totalfee", "txs"}), object{"totalfee": 1000, "txs": 2})

	empty := ok[object](n, "getblockstats", 1)
	same(t, []any{empty["txs"], empty["minfee"], empty["mintxsize"], empty["totalfee"], empty["utxo_increase_actual"]}, []any{1, 0, 0, 0, 1})
	genesis := ok[object](n, "getblockstats", 0)
	same(t, []any{genesis["utxo_increase"], genesis["utxo_increase_actual"]}, []any{1, 0})

	n.refused(-8, "Target block height -1 is negative", "getblockstats", -1)
	n.refused(-8, "Target block height 103 after current tip 102", "getblockstats", 103)
	n.refused(-5, "Block not found", "getblockstats", consensus.Hash{1})
	n.refused(-8, "Invalid selected statistic 'asdfghjkl'", "getblockstats", 1, []string{"asdfghjkl"})
	n.refused(-8, "hash_or_height must be of length 64 (not 3, for 'abc')", "getblockstats", "abc")
}
