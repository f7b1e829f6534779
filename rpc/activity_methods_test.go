package rpc_test

import (
	"encoding/hex"
	"testing"

	"lode/consensus"
)

// TestGetDescriptorActivity: what descriptors have received and spent in blocks and in
// the mempool, in the order of the chain, whatever the order that was asked for.
func TestGetDescriptorActivity(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 101)
	const subsidy, fee = 50 * consensus.SatPerCoin, 1000
	data := []byte{0x6a, 1, 7}
	first := n.pay(subsidy, []consensus.OutPoint{n.coinbase(1)}, consensus.TxOut{Script: data}, consensus.TxOut{Value: subsidy - fee, Script: n.script})
	same(t, ok[any](n, "sendrawtransaction", hexTx(first)), first.TxID())
	n.mine(1)
	last := n.pay(subsidy-fee, []consensus.OutPoint{{TxID: first.TxID(), Index: 1}}, consensus.TxOut{Value: subsidy - 2*fee, Script: n.script})
	same(t, ok[any](n, "sendrawtransaction", hexTx(last)), last.TxID())

	own, dataHex := "addr("+n.address+")", hex.EncodeToString(data)
	spk := ok[object](n, "gettxout", n.block(101).Txs[0].TxID(), 0)["scriptPubKey"]
	receive := func(id consensus.Hash, vout int, amount string, in object) object {
		return merged(object{"type": "receive", "amount": btc(amount), "txid": id, "vout": vout, "output_spk": spk}, in)
	}
	spend := func(by, of consensus.Hash, vout int, amount string, in object) object {
		return merged(object{"type": "spend", "amount": btc(amount), "spend_txid": by, "spend_vin": 0, "prevout_txid": of, "prevout_vout": vout, "prevout_spk": spk}, in)
	}
	at := func(height uint32) object {
		return object{"blockhash": n.block(height).Header.Hash(), "height": height}
	}
	coinbase := func(height uint32) consensus.Hash { return n.block(height).Txs[0].TxID() }
	mined := []any{
		receive(coinbase(1), 0, "50.00000000", at(1)),
		receive(coinbase(102), 0, "50.00001000", at(102)),
		spend(first.TxID(), coinbase(1), 0, "50.00000000", at(102)),
		receive(first.TxID(), 1, "49.99999000", at(102)),
	}
	blocks := []consensus.Hash{n.block(102).Header.Hash(), n.block(1).Header.Hash(), n.block(102).Header.Hash(), n.block(0).Header.Hash()}
	same(t, ok[any](n, "getdescriptoractivity", blocks, []string{own, own}, false), object{"activity": mined})
	pooled := []any{spend(last.TxID(), first.TxID(), 1, "49.99999000", nil), receive(last.TxID(), 0, "49.99998000", nil)}
	same(t, ok[any](n, "getdescriptoractivity", blocks, []string{own}), object{"activity": append(mined, pooled...)})
	same(t, ok[any](n, "getdescriptoractivity", []string{}, []string{}), object{"activity": []any{}})
	got := ok[object](n, "getdescriptoractivity", blocks, []string{"raw(" + dataHex + ")"})["activity"].([]any)
	if len(got) != 1 || got[0].(object)["output_spk"].(object)["hex"] != dataHex {
		t.Errorf("of the data output: %v", got)
	}

	n.refused(-5, "Block not found", "getdescriptoractivity", []any{consensus.Hash{1}}, []string{own})
	n.refused(-8, "blockhash must be of length 64 (not 1, for 'x')", "getdescriptoractivity", []string{"x"}, []string{own})
	n.refused(-5, "'addrx' is not a valid descriptor function", "getdescriptoractivity", blocks, []string{"addrx(" + n.address + ")"})
	n.refused(-8, "Scan object needs to be either a string or an object", "getdescriptoractivity", blocks, []any{5})
	tip := n.block(102).Header.Hash()
	same(t, ok[any](n, "invalidateblock", tip), nil)
	n.refused(-8, "Block is not in main chain", "getdescriptoractivity", []any{tip}, []string{own})
}
