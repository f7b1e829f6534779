package rpc_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"lode/consensus"
)

func TestGetRawTransaction(t *testing.T) {
	t.Parallel()
	n, payment := withPayment(t)
	block := n.block(101)
	id, hash := payment.TxID(), block.Header.Hash()
	where := object{
		"in_active_chain": true, "blockhash": hash, "confirmations": 2, "time": block.Time, "blocktime": block.Time, "hex": hexTx(payment),
	}
	described := merged(n.wantPayment(payment, "49.99999000"), where)
	same(t, ok[any](n, "getrawtransaction", id, 0, hash), hexTx(payment))
	same(t, ok[any](n, "getrawtransaction", id, nil, hash), hexTx(payment))
	same(t, ok[any](n, "getrawtransaction", id, true, hash), described)
	same(t, ok[any](n, "getrawtransaction", id, 1, hash), described)
	described["fee"] = btc("0.00001000")
	described["vin"].([]any)[0].(object)["prevout"] = object{"generated": true, "height": 1, "value": btc("50.00000000"), "scriptPubKey": n.scriptOf()}
	same(t, ok[any](n, "getrawtransaction", id, 2, hash), described)
	coinbase := block.Txs[0]
	where["hex"] = hexTx(coinbase)
	same(t, ok[any](n, "getrawtransaction", coinbase.TxID(), 2, hash), merged(n.wantCoinbase(coinbase, "50.00001000"), where))

	// In the mempool there is neither a block nor a time.
	child := n.pay(50*consensus.SatPerCoin-1000, []consensus.OutPoint{{TxID: id}}, consensus.TxOut{Value: 1e8, Script: n.script})
	check(t, n.pool.Add(child))
	same(t, ok[any](n, "getrawtransaction", child.TxID()), hexTx(child))
	waiting := merged(n.wantPayment(child, "1.00000000"), object{"hex": hexTx(child)})
	same(t, ok[any](n, "getrawtransaction", child.TxID(), 1), waiting)
	same(t, ok[any](n, "getrawtransaction", child.TxID(), 2), waiting)

	zero := strings.Repeat("0", 64)
	n.refused(-5, "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction queries. Use gettransaction for wallet transactions.", "getrawtransaction", id)
	n.refused(-5, "No such transaction found in the provided block", "getrawtransaction", child.TxID(), 0, hash)
	n.refused(-5, "Block hash not found", "getrawtransaction", id, 0, zero)
	n.refused(-8, "parameter 1 must be of length 64 (not 0, for '')", "getrawtransaction", "")
	n.refused(-8, "parameter 3 must be of length 64 (not 2, for '00')", "getrawtransaction", id, 0, "00")
	n.refused(-5, "The genesis block coinbase is not considered an ordinary transaction and cannot be retrieved",
		"getrawtransaction", n.chain.Rules().Genesis().Txs[0].TxID())
}

func TestGetRawTransactionOffTheActiveChain(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	other := n.template()
	n.mine(1)
	solve(other)
	same(t, ok[any](n, "submitblock", hexBlock(other)), "inconclusive")
	got := ok[object](n, "getrawtransaction", other.Txs[0].TxID(), 1, other.Header.Hash())
	same(t, []any{got["in_active_chain"], got["confirmations"], got["time"], got["blocktime"]}, []any{false, 0, nil, nil})
	lone := variant(other, func(b *consensus.Block) { b.Prev, b.Time = other.Header.Hash(), b.Time+1 })
	solve(lone)
	same(t, ok[any](n, "submitheader", hex.EncodeToString(lone.Header.Append(nil))), nil)
	n.refused(-1, "Block not available", "getrawtransaction", other.Txs[0].TxID(), 1, lone.Header.Hash())
}

func TestDecodeRawTransaction(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	payment := n.payment(1, 1000)
	want := n.wantPayment(payment, "49.99999000")
	same(t, ok[any](n, "decoderawtransaction", hexTx(payment)), want)
	same(t, ok[any](n, "decoderawtransaction", strings.ToUpper(hexTx(payment)), true), want)
	coinbase := n.block(1).Txs[0]
	want = n.wantCoinbase(coinbase, "50.00000000")
	delete(want, "hex")
	same(t, ok[any](n, "decoderawtransaction", hexTx(coinbase)), want)

	// What no rule allows can still be looked at.
	odd := &consensus.Tx{
		Version: math.MaxUint32, LockTime: math.MaxUint32,
		In:  []consensus.TxIn{{PrevOut: consensus.OutPoint{Index: 5}, ScriptSig: []byte{0x51, 0x4c}, Sequence: math.MaxUint32}},
		Out: []consensus.TxOut{{Value: math.MinInt64}, {Value: math.MaxInt64, Script: []byte{0x00, 0x14}}},
	}
	same(t, ok[any](n, "decoderawtransaction", hexTx(odd), false), object{
		"txid": odd.TxID(), "hash": odd.TxID(), "version": uint32(math.MaxUint32), "size": odd.Size(), "vsize": odd.Size(), "weight": 4 * odd.Size(),
		"locktime": uint32(math.MaxUint32),
		"vin": []any{object{
			"txid": strings.Repeat("0", 64), "vout": 5, "scriptSig": object{"asm": "1 [error]", "hex": "514c"}, "sequence": uint32(math.MaxUint32),
		}},
		"vout": []any{
			object{"value": btc("-92233720368.54775808"), "n": 0, "scriptPubKey": object{"asm": "", "desc": "raw()#58lrscpx", "hex": "", "type": "nonstandard"}},
			object{"value": btc("92233720368.54775807"), "n": 1, "scriptPubKey": object{"asm": "0 [error]", "desc": "raw(0014)#yrk928m8", "hex": "0014", "type": "nonstandard"}},
		},
	})

	n.refused(-22, "TX decode failed", "decoderawtransaction", "")
	n.refused(-22, "TX decode failed", "decoderawtransaction", "x")
	n.refused(-22, "TX decode failed", "decoderawtransaction", "00")
	n.refused(-22, "TX decode failed", "decoderawtransaction", hexTx(payment)+"00")
	n.refused(-22, "TX decode failed", "decoderawtransaction", hexTx(payment), false)
	n.refused(-22, "TX decode failed", "decoderawtransaction", hexTx(payment)[2:])
}

func TestSendRawTransaction(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	payment := n.payment(1, 1000)
	raw, id := hexTx(payment), payment.TxID()
	const malformed = "TX decode failed. Make sure the tx has at least one input."
	n.refused(-22, malformed, "sendrawtransaction", "")
	n.refused(-22, malformed, "sendrawtransaction", "00")
	n.refused(-22, malformed, "sendrawtransaction", raw+"00")

	// maxfeerate: the payment's is 1000 sat for 111 vB.
	const tooMuch = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)"
	n.refused(-25, tooMuch, "sendrawtransaction", raw, 0.00009)
	n.refused(-25, tooMuch, "sendrawtransaction", raw, "0.00009")
	n.refused(-25, tooMuch, "sendrawtransaction", raw, json.Number("9e-05"))
	n.refused(-25, tooMuch, "sendrawtransaction", hexTx(n.payment(1, 2_000_000)))
	const tooHigh = "Fee rates larger than or equal to 1BTC/kvB are not accepted"
	n.refused(-8, tooHigh, "sendrawtransaction", raw, 1)
	n.refused(-8, tooHigh, "sendrawtransaction", raw, 5)
	n.refused(-3, "Amount out of range", "sendrawtransaction", raw, -1)
	n.refused(-3, "Invalid amount", "sendrawtransaction", raw, "x")
	n.refused(-3, "Invalid amount", "sendrawtransaction", raw, json.Number("0.000000001"))
	n.refused(-3, "Amount is not a number or string", "sendrawtransaction", raw, true)

	// Missing, and not standing up to the rules or the policy.
	gone := n.pay(1e8, []consensus.OutPoint{{TxID: id, Index: 7}}, consensus.TxOut{Value: 1e7, Script: n.script})
	n.refused(-25, "bad-txns-inputs-missingorspent", "sendrawtransaction", hexTx(gone), 0)
	n.refused(-26, "min relay fee not met, 0 < 12", "sendrawtransaction", hexTx(n.payment(1, 0)))
	n.refused(-26, "coinbase", "sendrawtransaction", hexTx(n.template().Txs[0]))
	immature := n.payment(50, 1000)
	if _, failure := n.call("sendrawtransaction", hexTx(immature)); failure == nil || failure.Code != -26 || !strings.HasPrefix(failure.Message, "bad-txns-premature-spend-of-coinbase") {
		t.Errorf("premature spend: %+v", failure)
	}
	forged := payment.Clone()
	forged.In[0].Witness = [][]byte{append([]byte(nil), payment.In[0].Witness[0]...)}
	forged.In[0].Witness[0][40] ^= 1
	n.refused(-26, fmt.Sprintf("mempool-script-verify-flag-failed (Invalid Schnorr signature), input 0 of %s (wtxid %s), spending %s", id, forged.WTxID(), n.coinbase(1)),
		"sendrawtransaction", hexTx(forged))

	// maxburnamount.
	burning := n.pay(50*consensus.SatPerCoin, []consensus.OutPoint{n.coinbase(2)},
		consensus.TxOut{Value: 49 * consensus.SatPerCoin, Script: n.script}, consensus.TxOut{Value: 99_990_000, Script: consensus.DataScript([]byte("burnt"))})
	const tooMuchBurnt = "Unspendable output exceeds maximum configured by user (maxburnamount)"
	n.refused(-25, tooMuchBurnt, "sendrawtransaction", hexTx(burning))
	n.refused(-25, tooMuchBurnt, "sendrawtransaction", hexTx(burning), 0, 0.5)
	same(t, ok[any](n, "sendrawtransaction", hexTx(burning), nil, 0.9999), burning.TxID())

	if got := n.pool.Stats().Count; got != 1 {
		t.Fatalf("%d transactions in the pool, want the one that was accepted", got)
	}
	for range 2 { // the second time it is there already
		same(t, ok[any](n, "sendrawtransaction", raw, json.Number("0.00010")), id)
	}
	same(t, ok[any](n, "sendrawtransaction", hexTx(forged)), id) // the same id with another witness is there too
	double := n.pay(50*consensus.SatPerCoin, []consensus.OutPoint{n.coinbase(1)}, consensus.TxOut{Value: 1e8, Script: n.script}, consensus.TxOut{Value: 49*1e8 - 1000, Script: n.script})
	if _, failure := n.call("sendrawtransaction", hexTx(double)); failure == nil || failure.Code != -26 || !strings.HasPrefix(failure.Message, "insufficient fee, ") {
		t.Errorf("double spend at the same fee: %+v", failure)
	}

	same(t, len(ok[[]string](n, "generatetoaddress", 1, n.address)), 1)
	n.refused(-27, "Transaction outputs already in utxo set", "sendrawtransaction", raw)
	n.refused(-25, "bad-txns-inputs-missingorspent", "sendrawtransaction", hexTx(double), 0)
}

func TestTestMempoolAccept(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 101)
	payment := n.payment(1, 1110)
	ids := func(tx *consensus.Tx, more object) []any {
		return []any{merged(object{"txid": tx.TxID(), "wtxid": tx.WTxID()}, more)}
	}
	allowed := ids(payment, object{"allowed": true, "vsize": 111, "fees": object{
		"base": btc("0.00001110"), "effective-feerate": btc("0.00010000"), "effective-includes": []any{payment.WTxID()},
	}})
	same(t, ok[any](n, "testmempoolaccept", []string{hexTx(payment)}), allowed)
	same(t, ok[any](n, "testmempoolaccept", []string{hexTx(payment)}, 0), allowed)
	same(t, ok[any](n, "testmempoolaccept", []string{hexTx(payment)}, "0.0001"), allowed)
	same(t, ok[any](n, "testmempoolaccept", []string{hexTx(payment)}, "0.00009990"), ids(payment, object{"allowed": false, "reject-reason": "max-fee-exceeded"}))
	if n.pool.Stats().Count != 0 {
		t.Error("a test put a transaction into the pool")
	}
	gone := n.pay(1e8, []consensus.OutPoint{{TxID: payment.TxID(), Index: 7}}, consensus.TxOut{Value: 1e7, Script: n.script})
	same(t, ok[any](n, "testmempoolaccept", []string{hexTx(gone)}), ids(gone, object{"allowed": false, "reject-reason": "missing-inputs"}))
	free := n.payment(1, 0)
	same(t, ok[any](n, "testmempoolaccept", []string{hexTx(free)}), ids(free, object{
		"allowed": false, "reject-reason": "min relay fee not met", "reject-details": "min relay fee not met, 0 < 12",
	}))
	check(t, n.pool.Add(payment))
	same(t, ok[any](n, "testmempoolaccept", []string{hexTx(payment)}), ids(payment, object{
		"allowed": false, "reject-reason": "txn-already-in-mempool", "reject-details": "txn-already-in-mempool",
	}))

	n.refused(-22, "TX decode failed: 00 Make sure the tx has at least one input.", "testmempoolaccept", []string{"00"})
	n.refused(-8, "Array must contain between 1 and 25 transactions.", "testmempoolaccept", []string{})
	n.refused(-8, "Array must contain between 1 and 25 transactions.", "testmempoolaccept", slices.Repeat([]string{hexTx(payment)}, 26))
	for params, got := range map[string]string{`["00"]`: "string", `[null]`: "null", `[{}]`: "object"} {
		_, answer := n.post(`{"id":1,"method":"testmempoolaccept","params":` + params + `}`)
		if want := `"Position 1 (rawtxs)\": \"JSON value of type ` + got + ` is not of expected type array`; !strings.Contains(answer, want[1:]) {
			t.Errorf("%s: %s", params, answer)
		}
	}
	_, answer := n.post(`{"id":1,"method":"testmempoolaccept","params":[[5]]}`)
	if !strings.Contains(answer, "JSON value of type number is not of expected type string") {
		t.Errorf("a number for a transaction: %s", answer)
	}
}

func TestMempoolMethods(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 101)
	same(t, ok[any](n, "getrawmempool"), []any{})
	same(t, ok[any](n, "getrawmempool", true), object{})
	before := ok[object](n, "getrawmempool", false, true)
	same(t, before["txids"], []any{})

	parent := n.payment(1, 1000)
	parentID := parent.TxID()
	check(t, n.pool.Add(parent))
	child := n.pay(50*consensus.SatPerCoin-1000, []consensus.OutPoint{{TxID: parentID}}, consensus.TxOut{Value: 50*consensus.SatPerCoin - 3000, Script: n.script})
	check(t, n.pool.Add(child))
	childID := child.TxID()
	same(t, ok[any](n, "getrawmempool"), []any{parentID, childID})
	if after := ok[object](n, "getrawmempool", false, true); after["mempool_sequence"] == before["mempool_sequence"] {
		t.Error("the mempool's sequence did not change with it")
	}

	const chunk = "0.00003000" // the child pays for its parent
	entry := func(tx *consensus.Tx, base, ancestors, descendants string) object {
		e := ok[object](n, "getmempoolentry", tx.TxID())
		if _, err := e["time"].(json.Number).Int64(); err != nil {
			t.Error(err)
		}
		delete(e, "time")
		want := object{
			"vsize": 111, "weight": 444, "height": 101, "wtxid": tx.WTxID(), "bip125-replaceable": true, "unbroadcast": false,
			"fees":        object{"base": btc(base), "modified": btc(base), "ancestor": btc(ancestors), "descendant": btc(descendants), "chunk": btc(chunk)},
			"chunkweight": 888,
		}
		for _, key := range []string{"depends", "spentby", "ancestorcount", "ancestorsize", "descendantcount", "descendantsize"} {
			want[key] = e[key]
		}
		same(t, e, want)
		return e
	}
	e := entry(parent, "0.00001000", "0.00001000", "0.00003000")
	same(t, []any{e["depends"], e["spentby"], e["ancestorcount"], e["ancestorsize"], e["descendantcount"], e["descendantsize"]}, []any{[]any{}, []any{childID}, 1, 111, 2, 222})
	e = entry(child, "0.00002000", "0.00003000", "0.00002000")
	same(t, []any{e["depends"], e["spentby"], e["ancestorcount"], e["ancestorsize"], e["descendantcount"], e["descendantsize"]}, []any{[]any{parentID}, []any{}, 2, 222, 1, 111})
	same(t, ok[object](n, "getrawmempool", true), object{
		parentID.String(): ok[any](n, "getmempoolentry", parentID), childID.String(): ok[any](n, "getmempoolentry", childID),
	})

	info := ok[object](n, "getmempoolinfo")
	same(t, info, object{
		"loaded": true, "size": 2, "bytes": 222, "usage": n.pool.Stats().Memory, "total_fee": btc("0.00003000"), "maxmempool": 300_000_000,
		"mempoolminfee": btc("0.00000100"), "minrelaytxfee": btc("0.00000100"), "incrementalrelayfee": btc("0.00000100"), "unbroadcastcount": 0, "fullrbf": true,
		"permitbaremultisig": false, "maxdatacarriersize": 100_000, "limitclustercount": 64, "limitclustersize": 101_000,
	})

	n.refused(-8, "Verbose results cannot contain mempool sequence values.", "getrawmempool", true, true)
	n.refused(-5, "Transaction not in mempool", "getmempoolentry", n.coinbase(1).TxID)
	n.refused(-8, "txid must be of length 64 (not 0, for '')", "getmempoolentry", "")

	// Nobody has told the pool of this block yet.
	n.mine(1)
	same(t, ok[any](n, "getrawmempool"), []any{})
	n.refused(-5, "Transaction not in mempool", "getmempoolentry", parentID)
}

func TestUtilities(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	unknown := object{"errors": []any{"Insufficient data or no feerate found"}, "blocks": 6}
	same(t, ok[any](n, "estimatesmartfee", 6), unknown)
	same(t, ok[any](n, "estimatesmartfee", 6, "CONSERVATIVE"), unknown)
	same(t, ok[any](n, "estimatesmartfee", 6, "unset"), unknown)
	n.refused(-8, `Invalid estimate_mode parameter, must be one of: "unset", "economical", "conservative"`, "estimatesmartfee", 6, "x")
	for _, target := range []int{-1, 0, 1009} {
		n.refused(-8, "Invalid conf_target, must be between 1 and 1008", "estimatesmartfee", target)
	}

	same(t, ok[any](n, "validateaddress", n.address), object{
		"isvalid": true, "address": n.address, "scriptPubKey": hex.EncodeToString(n.script), "isscript": true, "iswitness": true,
		"witness_version": 1, "witness_program": hex.EncodeToString(n.key[:]),
	})
	same(t, ok[object](n, "validateaddress", strings.ToUpper(n.address))["address"], n.address)
	for _, address := range []string{"", "x", n.address[:20], "lode1" + n.address[5:], "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"} {
		got := ok[object](n, "validateaddress", address)
		if got["isvalid"] != false || got["error"] == "" || len(got) != 3 {
			t.Errorf("%q: %v", address, got)
		}
		same(t, got["error_locations"], []any{})
	}
	wrong := []byte(n.address)
	if wrong[20] == 'q' {
		wrong[20] = 'p'
	} else {
		wrong[20] = 'q'
	}
	same(t, ok[object](n, "validateaddress", string(wrong))["error_locations"], []any{20.0})
}
