package electrum_test

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"lode/consensus"
	"lode/rpc/rpctest"
	"lode/rpc/scripthash"
)

const nobody = "00000000000000000000000000000000000000000000000000000000000000ff"

// TestEveryMethodAnswers makes each call of the protocol, good and bad, in the shapes
// of both versions.
func TestEveryMethodAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 110)
	old, c := w.connect("1.4.3"), w.connect("1.6")
	tip := w.Chain.Tip()
	header := func(height uint32) string {
		b := w.Block(height)
		return hex.EncodeToString(b.Header.Append(nil))
	}

	// server
	genesis := w.Spec.Rules.GenesisHash()
	c.gives(object{"hosts": object{}, "genesis_hash": genesis, "hash_function": "sha256", "server_version": "Lode 1.2.3",
		"protocol_min": "1.4", "protocol_max": "1.6", "pruning": nil, "services": []any{}}, "server.features")
	c.gives("You are connected to Lode 1.2.3 on the network regtest.", "server.banner")
	c.gives("", "server.donation_address")
	c.gives([]any{}, "server.peers.subscribe")
	c.gives(false, "server.add_peer", object{})
	c.gives(nil, "server.ping")
	c.refused(1, "server.version already sent", "server.version", "x", "1.4")
	c.refused(-32601, `unknown method "server.nothing"`, "server.nothing")
	c.refused(-32602, "1 parameters, want at most 0", "server.ping", 1)
	c.refused(-32602, `parameter "features" is missing`, "server.add_peer")

	// headers
	c.gives(header(7), "blockchain.block.header", 7)
	c.gives(object{"count": 2, "max": 2016, "headers": []string{header(7), header(8)}}, "blockchain.block.headers", 7, 2)
	old.gives(object{"count": 2, "max": 2016, "hex": header(7) + header(8)}, "blockchain.block.headers", 7, 2)
	c.gives(object{"count": 1, "max": 2016, "headers": []string{header(110)}}, "blockchain.block.headers", 110, 5000)
	c.gives(object{"count": 0, "max": 2016, "headers": []string{}}, "blockchain.block.headers", 111, 1)
	old.gives(object{"count": 0, "max": 2016, "hex": ""}, "blockchain.block.headers", uint32(math.MaxUint32), 10)
	c.refused(1, "height 111 out of range", "blockchain.block.header", 111)
	c.refused(1, "-1 should be a non-negative integer (height)", "blockchain.block.header", -1)
	c.refused(1, "1.5 should be a non-negative integer (start_height)", "blockchain.block.headers", 1.5, 1)
	c.refused(1, "require header height 5 <= cp_height 200 <= chain height 110", "blockchain.block.header", 5, 200)
	c.refused(1, "require header height 5 <= cp_height 4 <= chain height 110", "blockchain.block.header", 5, 4)
	c.refused(1, "require header height 14 <= cp_height 12", "blockchain.block.headers", 5, 10, 12)
	c.gives(object{"hex": header(110), "height": 110}, "blockchain.headers.subscribe")

	// scripts
	id := scriptID(w.Script)
	c.gives(object{"confirmed": int64(110 * rpctest.Subsidy), "unconfirmed": 0}, "blockchain.scripthash.get_balance", id)
	c.gives(object{"confirmed": 0, "unconfirmed": 0}, "blockchain.scripthash.get_balance", nobody)
	c.gives([]any{}, "blockchain.scripthash.get_history", nobody)
	c.gives([]any{}, "blockchain.scripthash.get_mempool", nobody)
	c.gives([]any{}, "blockchain.scripthash.listunspent", nobody)
	c.gives(nil, "blockchain.scripthash.subscribe", nobody)
	c.gives(true, "blockchain.scripthash.unsubscribe", nobody)
	c.gives(false, "blockchain.scripthash.unsubscribe", nobody)
	for _, method := range []string{"get_balance", "get_history", "get_mempool", "listunspent", "subscribe", "unsubscribe"} {
		c.refused(1, `"12" is not a valid script hash`, "blockchain.scripthash."+method, "12")
		c.refused(1, "scripthash should be a string", "blockchain.scripthash."+method, 12)
		c.refused(1, `"`+strings.Repeat("zz", 32)+`" is not a valid script hash`, "blockchain.scripthash."+method, strings.Repeat("zz", 32))
		c.refused(-32602, `parameter "scripthash" is missing`, "blockchain.scripthash."+method)
	}
	var history []object
	c.ok(&history, "blockchain.scripthash.get_history", id)
	if len(history) != 110 || history[0]["height"] != 1.0 || history[109]["tx_hash"] != w.Block(110).Txs[0].TxID().String() {
		t.Errorf("history of %d: %v", len(history), history[:2])
	}

	// transactions
	tx := w.Pay(rpctest.Subsidy, w.Coinbase(3), out(rpctest.Subsidy-2000, w.Script))
	c.gives(tx.TxID(), "blockchain.transaction.broadcast", hexTx(tx))
	c.gives(tx.TxID(), "blockchain.transaction.broadcast", hexTx(tx)) // it is there already
	c.gives(hexTx(tx), "blockchain.transaction.get", tx.TxID())
	var verbose object
	c.ok(&verbose, "blockchain.transaction.get", tx.TxID(), true)
	if verbose["txid"] != tx.TxID().String() || verbose["hex"] != hexTx(tx) || verbose["confirmations"] != nil {
		t.Errorf("verbose: %v", verbose)
	}
	coinbase := w.Block(3).Txs[0]
	c.gives(hexTx(coinbase), "blockchain.transaction.get", coinbase.TxID(), false)
	c.refused(2, "No such mempool or blockchain transaction: "+nobody, "blockchain.transaction.get", nobody)
	c.refused(2, "daemon error: No such mempool or blockchain transaction. Use gettransaction for wallet transactions.", "blockchain.transaction.get", nobody, true)
	c.refused(1, `"x" is not a valid transaction hash`, "blockchain.transaction.get", "x")
	c.refused(1, "1 should be a boolean (verbose)", "blockchain.transaction.get", nobody, 1)
	c.refused(1, "raw_tx: TX decode failed: encoding/hex: odd length hex string", "blockchain.transaction.broadcast", "abc")
	bad := w.Pay(rpctest.Subsidy, w.Coinbase(110), out(rpctest.Subsidy-2000, w.Script))
	c.refused(1, "the transaction was rejected by network rules.\n\nbad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth 1", "blockchain.transaction.broadcast", hexTx(bad))

	// proofs
	w.Mine(1)
	block := w.Block(111)
	ids := block.TxIDs()
	c.gives(object{"block_height": 111, "pos": 1, "merkle": []any{ids[0]}}, "blockchain.transaction.get_merkle", tx.TxID(), 111)
	c.gives(object{"block_height": 3, "pos": 0, "merkle": []any{}}, "blockchain.transaction.get_merkle", coinbase.TxID(), 3)
	c.refused(1, "tx "+nobody+" not in block at height 3", "blockchain.transaction.get_merkle", nobody, 3)
	c.refused(1, "height 112 out of range", "blockchain.transaction.get_merkle", nobody, 112)
	c.gives(ids[1], "blockchain.transaction.id_from_pos", 111, 1)
	c.gives(object{"tx_hash": ids[1], "merkle": []any{ids[0]}}, "blockchain.transaction.id_from_pos", 111, 1, true)
	c.refused(1, "no tx at position 2 in block at height 111", "blockchain.transaction.id_from_pos", 111, 2)
	c.refused(1, "height 112 out of range", "blockchain.transaction.id_from_pos", 112, 0)

	// fees
	c.gives(-1, "blockchain.estimatefee", 2)
	c.gives(-1, "blockchain.estimatefee", 2, "CONSERVATIVE")
	old.refused(-32602, "2 parameters, want at most 1", "blockchain.estimatefee", 2, "CONSERVATIVE")
	c.refused(2, `daemon error: Invalid estimate_mode parameter, must be one of: "unset", "economical", "conservative"`, "blockchain.estimatefee", 2, "x")
	old.gives(0.000001, "blockchain.relayfee")
	c.refused(-32601, `unknown method "blockchain.relayfee" in version 1.6 of the protocol`, "blockchain.relayfee")
	c.gives(object{"mempoolminfee": 0.000001, "minrelaytxfee": 0.000001, "incrementalrelayfee": 0.000001}, "mempool.get_info")
	old.refused(-32601, `unknown method "mempool.get_info" in version 1.4.3 of the protocol`, "mempool.get_info")
	c.gives([]any{}, "mempool.get_fee_histogram")
	other := w.Add(w.Pay(rpctest.Subsidy, w.Coinbase(4), out(rpctest.Subsidy-5500, w.Script)))
	c.gives([]any{[]any{math.Floor(5500*1000/float64(other.VSize())) / 1000, other.VSize()}}, "mempool.get_fee_histogram")
	if w.Chain.Tip().Height != tip.Height+1 {
		t.Error("another tip")
	}
}

// TestUnconfirmedHistory: heights, fees, order, balance and unspent outputs with
// unconfirmed transactions, one of which depends on another.
func TestUnconfirmedHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 105)
	c := w.connect("1.6")
	alice := rpctest.ScriptOf(rpctest.Key(1))
	a := w.Add(w.Pay(rpctest.Subsidy, w.Coinbase(1), out(30e8, alice), out(rpctest.Subsidy-30e8-1000, w.Script)))
	b := w.Add(w.Pay(rpctest.Subsidy, w.Coinbase(2), out(10e8, alice), out(rpctest.Subsidy-10e8-1100, w.Script)))
	spend := w.Add(w.PayWith(rpctest.Key(1), 30e8, consensus.OutPoint{TxID: a.TxID()}, out(29e8, w.Script), out(1e8-1200, alice)))
	first, second := object{"tx_hash": a.TxID(), "height": 0, "fee": 1000}, object{"tx_hash": b.TxID(), "height": 0, "fee": 1100}
	if a.TxID().String() > b.TxID().String() {
		first, second = second, first
	}
	third := object{"tx_hash": spend.TxID(), "height": -1, "fee": 1200}
	id := scriptID(alice)
	c.gives([]any{first, second, third}, "blockchain.scripthash.get_mempool", id)
	c.gives([]any{first, second, third}, "blockchain.scripthash.get_history", id)
	c.gives(object{"confirmed": 0, "unconfirmed": int64(11e8 - 1200)}, "blockchain.scripthash.get_balance", id)
	var unspent []object
	c.ok(&unspent, "blockchain.scripthash.listunspent", id)
	if len(unspent) != 2 || unspent[0]["height"] != 0.0 {
		t.Errorf("unspent: %v", unspent)
	}
	w.Mine(1)
	c.gives([]any{}, "blockchain.scripthash.get_mempool", id)
	c.gives(object{"confirmed": int64(11e8 - 1200), "unconfirmed": 0}, "blockchain.scripthash.get_balance", id)
	mined := w.Block(106).TxIDs()
	ofB := object{"tx_hash": b.TxID(), "tx_pos": 0, "height": 106, "value": int64(10e8)}
	ofSpend := object{"tx_hash": spend.TxID(), "tx_pos": 1, "height": 106, "value": int64(1e8 - 1200)}
	if slices.Index(mined, b.TxID()) < slices.Index(mined, spend.TxID()) {
		c.gives([]any{ofB, ofSpend}, "blockchain.scripthash.listunspent", id)
	} else {
		c.gives([]any{ofSpend, ofB}, "blockchain.scripthash.listunspent", id)
	}
	// An output that an unconfirmed transaction spends is not listed.
	w.Add(w.PayWith(rpctest.Key(1), 10e8, consensus.OutPoint{TxID: b.TxID()}, out(10e8-900, w.Script)))
	c.gives([]any{ofSpend}, "blockchain.scripthash.listunspent", id)
	c.gives(object{"confirmed": int64(11e8 - 1200), "unconfirmed": int64(-10e8)}, "blockchain.scripthash.get_balance", id)
}

// TestPackageIsBroadcast: a parent that pays nothing comes in with its child.
func TestPackageIsBroadcast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 103)
	c := w.connect("1.6")
	w.Version = 3 // of which parents may pay nothing
	parent := w.Pay(rpctest.Subsidy, w.Coinbase(1), out(rpctest.Subsidy, w.Script))
	child := w.Pay(rpctest.Subsidy, consensus.OutPoint{TxID: parent.TxID()}, out(rpctest.Subsidy-20_000, w.Script))
	stranger := w.Pay(rpctest.Subsidy, w.Coinbase(2), out(rpctest.Subsidy-1000, w.Script))
	cheap := w.Pay(rpctest.Subsidy, w.Coinbase(3), out(rpctest.Subsidy-1, w.Script))
	const method = "blockchain.transaction.broadcast_package"
	c.refused(1, "the tx package was rejected by network rules.\n\npackage topology disallowed. not child-with-parents or parents depend on each other.", method, []string{hexTx(stranger), hexTx(child)})
	c.refused(1, "raw_txs: transaction 1: TX decode failed: encoding/hex: invalid byte: U+0078 'x'", method, []string{hexTx(parent), "xx"})
	c.refused(1, "raw_txs should be a list of strings", method, "00")
	c.gives(object{"success": false, "errors": []any{object{"txid": cheap.TxID(), "error": "min relay fee not met, 1 < 12"}}}, method, []string{hexTx(cheap)})
	var verbose struct {
		Message string `json:"package_msg"`
		Results json.RawMessage
	}
	c.gives(object{"success": true}, method, []string{hexTx(parent), hexTx(child)})
	c.ok(&verbose, method, []string{hexTx(parent), hexTx(child)}, true)
	if verbose.Message != "success" || w.Pool.Stats().Count != 2 {
		t.Errorf("%+v, %d in the mempool", verbose, w.Pool.Stats().Count)
	}
}

// TestHistoryThroughReorg: what was confirmed is unconfirmed again, or gone.
func TestHistoryThroughReorg(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 105)
	c := w.connect("1.6")
	alice := rpctest.ScriptOf(rpctest.Key(1))
	id := scripthash.Of(alice)
	w.MineTo(alice, 1)
	coinbase := w.Block(106).Txs[0].TxID()
	tx := w.Add(w.Pay(rpctest.Subsidy, w.Coinbase(1), out(rpctest.Subsidy-1000, alice)))
	w.Mine(1)
	c.gives([]any{object{"tx_hash": coinbase, "height": 106}, object{"tx_hash": tx.TxID(), "height": 107}}, "blockchain.scripthash.get_history", id)
	w.Reorg(2)
	c.gives([]any{object{"tx_hash": tx.TxID(), "height": 0, "fee": 1000}}, "blockchain.scripthash.get_history", id)
	c.gives(object{"confirmed": 0, "unconfirmed": int64(rpctest.Subsidy - 1000)}, "blockchain.scripthash.get_balance", id)
	w.Mine(1)
	c.gives([]any{object{"tx_hash": tx.TxID(), "height": 109}}, "blockchain.scripthash.get_history", id)
}
