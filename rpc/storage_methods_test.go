package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/rpc"
)

// large mines blocks of nearly 1 MB.
func (n *testNode) large(count int) {
	n.tb.Helper()
	for range count {
		block := n.template()
		coinbase := block.Txs[0]
		coinbase.Out = append(coinbase.Out, consensus.TxOut{Script: append([]byte{0x6a}, make([]byte, 990_000)...)})
		coinbase.Out[1], coinbase.Out[2] = coinbase.Out[2], coinbase.Out[1] // the witness commitment is the last
		block.Seal()
		check(n.tb, n.chain.AddBlock(solve(block)))
	}
}

func TestPruneBlockchain(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, chain.Config{Prune: chain.PruneByHand}, "regtest", 1)
	n.refused(-8, "Negative block height.", "pruneblockchain", -1)
	n.refused(-1, "Blockchain is too short for pruning.", "pruneblockchain", 1)
	info := func() object { t.Helper(); return ok[object](n, "getblockchaininfo") }
	same(t, []any{info()["pruned"], info()["pruneheight"], info()["automatic_pruning"], info()["prune_target_size"]}, []any{true, 0, false, nil})
	behind := mempool.New(mempool.Config{Ledger: n.chain, Sigs: sigcheck.New(10), Policy: mempool.DefaultPolicy(), Now: n.clock.Now})
	check(t, behind.Sync())
	n.large(18) // more than a file
	n.mine(300)
	n.refused(-8, "Blockchain is shorter than the attempted prune height.", "pruneblockchain", 320)
	same(t, ok[any](n, "pruneblockchain", 5), -1) // no whole file
	same(t, info()["pruneheight"], 0)
	size, err := info()["size_on_disk"].(json.Number).Int64()
	check(t, err)
	last, err := ok[json.Number](n, "pruneblockchain", 319).Int64()
	check(t, err)
	if last < 10 || last > 19 {
		t.Errorf("pruned up to %d", last)
	}
	same(t, info()["pruneheight"], last+1)
	check(t, behind.Sync()) // though the way from where it was is gone
	if now, err := info()["size_on_disk"].(json.Number).Int64(); err != nil || now > size-15_000_000 {
		t.Errorf("%d bytes on disk, %d before: %v", now, size, err)
	}
	for height, message := range map[int64]string{0: "Block not available (pruned data)", 2: "Block not available (pruned data)", last: "Block not available (pruned data)"} {
		n.refused(-1, message, "getblock", ok[string](n, "getblockhash", height))
	}
	same(t, ok[object](n, "getblock", ok[string](n, "getblockhash", last+1))["height"], last+1)
	header := ok[object](n, "getblockheader", ok[string](n, "getblockhash", 2))
	same(t, header["height"], 2)
	coinbase := n.block(319).Txs[0].TxID()
	n.refused(-1, "Block not available", "getrawtransaction", coinbase, 1, ok[string](n, "getblockhash", 2))

	// A number above a billion is a time: that of the tip is too late to change
	// anything, and after it there is none.
	tip := n.chain.Tip()
	same(t, ok[any](n, "pruneblockchain", tip.Time), last)
	n.refused(-8, "Could not find block with at least the specified timestamp.", "pruneblockchain", tip.Time+3*60*60)

	n = newNode(t, "regtest", 1)
	n.refused(-1, "Cannot prune blocks because node is not in prune mode.", "pruneblockchain", 1)
	same(t, []any{info()["pruned"], info()["pruneheight"]}, []any{false, nil})

	n = newNodeWith(t, chain.Config{Prune: chain.MinPruneTarget}, "regtest", 1)
	same(t, []any{info()["pruned"], info()["automatic_pruning"], info()["prune_target_size"]}, []any{true, true, chain.MinPruneTarget})
}

// indexed is a node with both indexes, which run until the test ends.
func indexed(t *testing.T, blocks int, change ...func(*rpc.Config)) *testNode {
	t.Helper()
	n := newNodeWith(t, chain.Config{TxIndex: true, AddrIndex: true, SilentIndex: true, CoinStatsIndex: true, FilterIndex: true}, "regtest", blocks, change...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.chain.RunIndexes(ctx) }()
	t.Cleanup(func() { cancel(); check(t, <-ended) })
	n.built()
	return n
}

// built waits until the indexes have been built.
func (n *testNode) built() {
	n.tb.Helper()
	for _, name := range []string{chain.TxIndex, chain.AddrIndex, chain.SilentIndex, chain.CoinStatsIndex, chain.FilterIndex} {
		for ready := false; !ready; {
			var err error
			ready, err = n.chain.IndexReady(context.Background(), name)
			check(n.tb, err)
		}
	}
}

func TestRawTransactionByIndex(t *testing.T) {
	t.Parallel()
	const none, advice = "0000000000000000000000000000000000000000000000000000000000000001", ". Use gettransaction for wallet transactions."
	n := indexed(t, 101)
	same(t, ok[any](n, "getindexinfo"), object{"txindex": object{"synced": true, "best_block_height": 101}, "addrindex": object{"synced": true, "best_block_height": 101}, "silentindex": object{"synced": true, "best_block_height": 101}, "coinstatsindex": object{"synced": true, "best_block_height": 101}, "basic block filter index": object{"synced": true, "best_block_height": 101}})
	same(t, ok[any](n, "getindexinfo", "txindex"), object{"txindex": object{"synced": true, "best_block_height": 101}})
	same(t, ok[any](n, "getindexinfo", "other"), object{})
	tx := n.payment(1, 1000)
	same(t, ok[any](n, "sendrawtransaction", hexTx(tx)), tx.TxID())
	if _, confirmed := ok[object](n, "getrawtransaction", tx.TxID(), 1)["confirmations"]; confirmed {
		t.Error("a transaction of the mempool has confirmations")
	}
	hash := n.mine(1)[0]
	n.mine(2)
	same(t, ok[any](n, "getrawtransaction", tx.TxID()), hexTx(tx))
	for verbosity := range 2 {
		byIndex := ok[object](n, "getrawtransaction", tx.TxID(), verbosity+1)
		inBlock := ok[object](n, "getrawtransaction", tx.TxID(), verbosity+1, hash)
		same(t, inBlock["in_active_chain"], true)
		delete(inBlock, "in_active_chain") // only where the block is named
		same(t, byIndex, inBlock)
		same(t, []any{byIndex["blockhash"], byIndex["confirmations"]}, []any{hash, 3})
	}
	n.refused(-5, "No such mempool or blockchain transaction"+advice, "getrawtransaction", none)

	n = newNodeWith(t, chain.Config{TxIndex: true, AddrIndex: true}, "regtest", 3) // and nobody builds them
	n.refused(-5, "No such mempool transaction. Blockchain transactions are still in the process of being indexed"+advice, "getrawtransaction", n.block(2).Txs[0].TxID())
	n.refused(-1, "Address index is still in the process of being built. See getindexinfo.", "getaddressbalance", n.address)
	same(t, ok[any](n, "getindexinfo", "txindex"), object{"txindex": object{"synced": false, "best_block_height": 0}})

	n = newNode(t, "regtest", 1)
	n.refused(-5, "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction queries"+advice, "getrawtransaction", none)
	same(t, ok[any](n, "getindexinfo"), object{})
}

func TestAddressCalls(t *testing.T) {
	t.Parallel()
	n := indexed(t, 101)
	other := consensus.Address(n.spec.Defaults.AddressPrefix, [32]byte{31: 5})
	const subsidy = 50 * consensus.SatPerCoin
	tx := n.pay(subsidy, []consensus.OutPoint{n.coinbase(1)},
		consensus.TxOut{Value: 7000, Script: consensus.TaprootScript([32]byte{31: 5})}, consensus.TxOut{Value: subsidy - 8000, Script: n.script})
	same(t, ok[any](n, "sendrawtransaction", hexTx(tx)), tx.TxID())
	n.mine(1)
	id, coinbase := tx.TxID(), n.block(102).Txs[0].TxID()
	received := 102*int64(subsidy) + 1000 + int64(subsidy) - 8000
	same(t, ok[any](n, "getaddressbalance", n.address), object{"balance": received - int64(subsidy), "received": received})
	both := object{"addresses": []string{n.address, other, other}}
	same(t, ok[any](n, "getaddressbalance", both), object{"balance": 102 * int64(subsidy), "received": received + 7000})
	same(t, ok[any](n, "getaddresstxids", other), []any{id})
	same(t, len(ok[[]any](n, "getaddresstxids", both)), 103)
	query := func(more object) object {
		more["addresses"] = []string{n.address, other}
		return more
	}
	same(t, ok[any](n, "getaddresstxids", query(object{"start": 102})), []any{coinbase, id})
	same(t, ok[any](n, "getaddresstxids", query(object{"start": 102, "end": 102, "skip": 1, "count": 5})), []any{id})
	same(t, ok[any](n, "getaddresstxids", query(object{"end": 3, "count": 2})), []any{n.block(1).Txs[0].TxID(), n.block(2).Txs[0].TxID()})
	same(t, ok[any](n, "getaddresstxids", query(object{"start": 103, "end": 103})), []any{})
	delta := func(sat int64, address string) object {
		return object{"satoshis": sat, "txid": id, "blockindex": 1, "height": 102, "address": address}
	}
	got := ok[[]object](n, "getaddressdeltas", query(object{"start": 102, "skip": 1}))
	wanted := []object{delta(7000, other), delta(-int64(subsidy), n.address), delta(int64(subsidy)-8000, n.address)}
	if len(got) == 3 && got[0]["address"] == n.address { // the order of the keys
		wanted = append(wanted[1:], wanted[0])
	}
	same(t, got, wanted)
	same(t, ok[any](n, "getaddressdeltas", object{"addresses": []string{other}}), []object{delta(7000, other)})

	for _, bad := range []any{1, nil, []any{other}} {
		if _, failure := n.call("getaddressbalance", bad); failure == nil || failure.Code != -3 {
			t.Errorf("%v: %+v", bad, failure)
		}
	}
	n.refused(-8, "addresses must hold 1 to 100 addresses, not 0", "getaddresstxids", object{"addresses": []string{}})
	n.refused(-8, "addresses must hold 1 to 100 addresses, not 101", "getaddresstxids", object{"addresses": make([]string, 101)})
	n.refused(-8, "start and end must be heights, start not above end", "getaddresstxids", query(object{"start": 5, "end": 4}))
	n.refused(-8, "start and end must be heights, start not above end", "getaddresstxids", query(object{"start": -1}))
	n.refused(-8, "count must be 1 to 10000", "getaddresstxids", query(object{"count": 10001}))
	n.refused(-8, "count must be 1 to 10000", "getaddresstxids", query(object{"count": 0}))
	n.refused(-8, "skip must be 0 to 1000000; for more, begin at a higher start", "getaddresstxids", query(object{"skip": 1000001}))
	for _, q := range []object{{"addresses": "x"}, {"addresses": []string{other}, "from": 1}, {"addresses": []string{other}, "count": 1.5}} {
		if _, failure := n.call("getaddressdeltas", q); failure == nil || failure.Code != -8 {
			t.Errorf("%v: %+v", q, failure)
		}
	}
	for _, address := range []string{"", "x", "bc1p" + other[6:], fmt.Sprint(other, "q")} {
		if _, failure := n.call("getaddressbalance", address); failure == nil || failure.Code != -5 {
			t.Errorf("address %q: %+v", address, failure)
		}
	}
	n = newNode(t, "regtest", 1)
	n.refused(-1, "Address index is not enabled. Start the node with --addrindex.", "getaddressbalance", n.address)
}
