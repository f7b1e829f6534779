package rpc_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"lode/consensus"
)

func TestCreateRawTransaction(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	id := strings.Repeat("ab", 32)
	input := object{"txid": id, "vout": 3}
	decode := func(params ...any) *consensus.Tx {
		t.Helper()
		raw, err := hex.DecodeString(ok[string](n, "createrawtransaction", params...))
		check(t, err)
		tx, err := consensus.DecodeTx(raw)
		check(t, err)
		return tx
	}
	tx := decode([]any{input}, object{n.address: "0.5"})
	same(t, []any{tx.In[0].PrevOut.TxID.String(), tx.In[0].PrevOut.Index, tx.In[0].Sequence, tx.LockTime, tx.Version}, []any{id, 3, int64(0xfffffffd), 0, 2})
	same(t, []any{tx.Out[0].Value, hex.EncodeToString(tx.Out[0].Script)}, []any{consensus.SatPerCoin / 2, hex.EncodeToString(n.script)})
	tx = decode([]any{input}, []any{object{n.address: 1}, object{"data": "cafe"}}, 500, false, 3)
	same(t, []any{tx.In[0].Sequence, tx.LockTime, tx.Version, hex.EncodeToString(tx.Out[1].Script)}, []any{uint32(0xfffffffe), 500, 3, "6a02cafe"})
	tx = decode([]any{object{"txid": id, "vout": 0, "sequence": 7}}, object{n.address: 1}, 0, true)
	same(t, tx.In[0].Sequence, 7)

	outs := object{n.address: 1}
	for _, bad := range []struct {
		code   int
		text   string
		params []any
	}{
		{-8, "Invalid parameter, locktime out of range", []any{[]any{}, outs, -1}},
		{-8, "Invalid parameter, version out of range(1~3)", []any{[]any{}, outs, 0, true, 4}},
		{-8, "txid must be of length 64 (not 1, for 'x')", []any{[]any{object{"txid": "x"}}, outs}},
		{-8, "Invalid parameter, missing vout key", []any{[]any{object{"txid": id}}, outs}},
		{-8, "Invalid parameter, vout cannot be negative", []any{[]any{object{"txid": id, "vout": -1}}, outs}},
		{-8, "Invalid parameter, sequence number is out of range", []any{[]any{object{"txid": id, "vout": 0, "sequence": int64(1) << 32}}, outs}},
		{-8, "Invalid parameter combination: Sequence number(s) contradict replaceable option", []any{[]any{object{"txid": id, "vout": 0, "sequence": int64(0xffffffff)}}, outs, 0, true}},
		{-8, "Invalid parameter, duplicate key: data", []any{[]any{}, []any{object{"data": "00"}, object{"data": "00"}}}},
		{-8, "Invalid parameter, duplicated address: " + n.address, []any{[]any{}, []any{object{n.address: 1}, object{n.address: 1}}}},
		{-8, "Invalid parameter, key-value pair must contain exactly one key", []any{[]any{}, []any{object{}}}},
		{-8, "Invalid parameter, key-value pair not an object as expected", []any{[]any{}, []any{1}}},
		{-8, "Data must be hexadecimal string (not 'xx')", []any{[]any{}, object{"data": "xx"}}},
		{-5, "Invalid Bitcoin address: foo", []any{[]any{}, object{"foo": 1}}},
		{-3, "Amount out of range", []any{[]any{}, object{n.address: -1}}},
		{-3, "Invalid amount", []any{[]any{}, object{n.address: "1x"}}},
	} {
		n.refused(bad.code, bad.text, "createrawtransaction", bad.params...)
	}
}

func TestCombineRawTransaction(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	const subsidy = 50 * consensus.SatPerCoin
	whole := n.pay(subsidy, []consensus.OutPoint{n.coinbase(1), n.coinbase(2)}, consensus.TxOut{Value: subsidy, Script: n.script})
	one, two := whole.Clone(), whole.Clone()
	one.In[1].Witness, two.In[0].Witness = nil, nil
	same(t, ok[any](n, "combinerawtransaction", []string{hexTx(one), hexTx(two)}), hexTx(whole))
	n.refused(-22, "Missing transactions", "combinerawtransaction", []string{})
	n.refused(-22, "TX decode failed for tx 1. Make sure the tx has at least one input.", "combinerawtransaction", []string{hexTx(one), "00"})
	lost := whole.Clone()
	lost.In[0].PrevOut.Index = 9
	n.refused(-25, "Input not found or already spent", "combinerawtransaction", []string{hexTx(lost)})
}
