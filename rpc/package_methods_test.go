package rpc_test

import (
	"encoding/hex"
	"testing"

	"lode/consensus"
)

// freeParent is a parent of version 3 that pays nothing, and a child that pays
// fee, over the coinbase at height.
func (n *testNode) freeParent(height uint32, fee consensus.Amount) (parent, child *consensus.Tx) {
	const value = 50 * consensus.SatPerCoin
	sign := func(tx *consensus.Tx) *consensus.Tx {
		tx.Version = 3
		return n.sign(tx, value)
	}
	parent = sign(n.pay(value, []consensus.OutPoint{n.coinbase(height)}, consensus.TxOut{Value: value, Script: n.script}))
	child = sign(n.pay(value, []consensus.OutPoint{{TxID: parent.TxID()}}, consensus.TxOut{Value: value - fee, Script: n.script}))
	return parent, child
}

func hexes(txs ...*consensus.Tx) (list []string) {
	for _, tx := range txs {
		list = append(list, hex.EncodeToString(tx.Bytes()))
	}
	return list
}

func TestSubmitPackage(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 103)
	parent, child := n.freeParent(1, 2220)
	n.refused(-26, "min relay fee not met, 0 < 12", "sendrawtransaction", hexes(parent)[0])
	includes := []any{parent.WTxID(), child.WTxID()}
	want := object{
		"package_msg": "success", "replaced-transactions": []any{}, "tx-results": object{
			parent.WTxID().String(): object{"txid": parent.TxID(), "vsize": 111, "fees": object{"base": btc("0.00000000"), "effective-feerate": btc("0.00010000"), "effective-includes": includes}},
			child.WTxID().String():  object{"txid": child.TxID(), "vsize": 111, "fees": object{"base": btc("0.00002220"), "effective-feerate": btc("0.00010000"), "effective-includes": includes}},
		},
	}
	same(t, ok[object](n, "submitpackage", hexes(parent, child)), want)
	same(t, ok[any](n, "getrawmempool"), []any{parent.TxID(), child.TxID()})

	poor, poorChild := n.freeParent(2, 1)
	same(t, ok[object](n, "submitpackage", hexes(poor, poorChild)), object{
		"package_msg": "transaction failed", "replaced-transactions": []any{}, "tx-results": object{
			poor.WTxID().String():      object{"txid": poor.TxID(), "error": "min relay fee not met, 0 < 12"},
			poorChild.WTxID().String(): object{"txid": poorChild.TxID(), "error": "min relay fee not met, 1 < 23"},
		},
	})
	n.refused(-8, "Array must contain between 1 and 25 transactions.", "submitpackage", []string{})
	n.refused(-22, "TX decode failed: 00 Make sure the tx has at least one input.", "submitpackage", []string{"00"})
	n.refused(-25, "package topology disallowed. not child-with-parents or parents depend on each other.", "submitpackage", hexes(child, parent))
}

func TestPrioritise(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	tx := n.payment(1, 1000)
	id := tx.TxID()
	same(t, ok[any](n, "prioritisetransaction", id, 0, 5000), true)
	same(t, ok[object](n, "getprioritisedtransactions"), object{id.String(): object{"fee_delta": 5000, "in_mempool": false}})
	check(t, n.pool.Add(tx))
	same(t, ok[object](n, "getprioritisedtransactions"), object{id.String(): object{"fee_delta": 5000, "in_mempool": true, "modified_fee": 6000}})
	same(t, ok[any](n, "prioritisetransaction", id, nil, -7000), true)
	same(t, ok[object](n, "getmempoolentry", id)["fees"].(object)["modified"], btc("-0.00001000"))
	same(t, ok[any](n, "prioritisetransaction", id, 0, 2000), true)
	same(t, ok[object](n, "getprioritisedtransactions"), object{})
	n.refused(-8, "Priority is no longer supported, dummy argument to prioritisetransaction must be 0.", "prioritisetransaction", id, 1, 1)
}

func TestEstimateSmartFee(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 125)
	ok[any](n, "getmempoolinfo") // the mempool watches from here on
	for block := range uint32(6) {
		for i := range uint32(4) {
			check(t, n.pool.Add(n.payment(1+4*block+i, 1110)))
		}
		n.mine(1)
	}
	same(t, ok[any](n, "estimatesmartfee", 2), object{"feerate": btc("0.00010000"), "blocks": 2})
	same(t, ok[any](n, "estimatesmartfee", 1000, "conservative"), object{"feerate": btc("0.00010000"), "blocks": 2})
}
