package rpc_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/address/v2/base58"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/psbt"
)

type psbtResult struct {
	PSBT, Hex string
	Complete  bool
}

func parsePSBT(t *testing.T, text string) *psbt.Packet {
	t.Helper()
	p, err := psbt.Decode(text)
	check(t, err)
	return p
}

// wif is the private key of the node's miner.
func (n *testNode) wif() string {
	return base58.CheckEncode(append(n.priv.Serialize(), 1), n.spec.Defaults.WIF[0])
}

// spend is a PSBT that spends the coinbases of these blocks.
func (n *testNode) spend(heights ...int) string {
	var inputs []any
	for _, h := range heights {
		o := n.coinbase(uint32(h))
		inputs = append(inputs, object{"txid": o.TxID, "vout": o.Index})
	}
	return ok[string](n, "createpsbt", inputs, []any{object{n.address: "1"}}, 0)
}

func TestPSBTFromItsCreatorToTheBlock(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 110)
	raw := n.spend(1, 2)
	same(t, ok[object](n, "analyzepsbt", raw), object{"inputs": []any{
		object{"has_utxo": false, "is_final": false, "next": "updater"}, object{"has_utxo": false, "is_final": false, "next": "updater"}}, "next": "updater"})

	full := ok[string](n, "utxoupdatepsbt", raw)
	p := parsePSBT(t, full)
	out, _ := p.Inputs[0].WitnessUTXO()
	same(t, []any{out.Value, hex.EncodeToString(out.Script)}, []any{50 * consensus.SatPerCoin, hex.EncodeToString(n.script)})
	a := ok[map[string]json.RawMessage](n, "analyzepsbt", full)
	same(t, []any{a["fee"], a["next"]}, []any{btc("99.00000000"), "updater"})

	// rawtr: the miner pays to a key as it is.
	secret, stranger := descriptor.AddChecksum("rawtr("+n.wif()+")"), descriptor.AddChecksum("wpkh("+n.wif()+")")
	same(t, ok[psbtResult](n, "descriptorprocesspsbt", full, []any{stranger}), psbtResult{PSBT: full})
	public := ok[string](n, "utxoupdatepsbt", raw, []any{object{"desc": descriptor.AddChecksum("rawtr(" + hex.EncodeToString(n.key[:]) + ")")}})
	if len(parsePSBT(t, public).Inputs[1].TapDerivations()) != 1 {
		t.Error("the descriptor says where the key comes from")
	}
	signed := ok[psbtResult](n, "descriptorprocesspsbt", raw, []any{secret}, nil, true, false)
	if signed.Complete || signed.Hex != "" {
		t.Errorf("nothing was to be finalized: %+v", signed)
	}
	if q := parsePSBT(t, ok[psbtResult](n, "descriptorprocesspsbt", raw, []any{secret}, "DEFAULT", false, false).PSBT); len(q.Inputs[0].TapDerivations()) > 0 {
		t.Error("origins were to be left out")
	}
	same(t, ok[map[string]any](n, "analyzepsbt", signed.PSBT)["next"], "finalizer")

	// One signs the first input, the other the second.
	one, two := parsePSBT(t, signed.PSBT), parsePSBT(t, signed.PSBT)
	one.Inputs[1].Delete(psbt.InTapKeySig)
	two.Inputs[0].Delete(psbt.InTapKeySig)
	same(t, ok[psbtResult](n, "finalizepsbt", one.String()).Complete, false)
	both := ok[string](n, "combinepsbt", []any{one.String(), two.String()})
	same(t, both, signed.PSBT)
	kept := ok[psbtResult](n, "finalizepsbt", both, false)
	same(t, []any{kept.Complete, kept.Hex}, []any{true, ""})
	done := ok[psbtResult](n, "finalizepsbt", kept.PSBT)
	same(t, []any{done.Complete, done.PSBT}, []any{true, ""})
	same(t, ok[psbtResult](n, "descriptorprocesspsbt", raw, []any{secret}).Complete, true)
	ok[string](n, "sendrawtransaction", done.Hex, 0)

	// What is in the mempool is found, and given as an output alone.
	tx, err := consensus.DecodeTx(must(hex.DecodeString(done.Hex)))
	check(t, err)
	child := ok[string](n, "createpsbt", []any{object{"txid": tx.TxID(), "vout": 0}}, object{n.address: "0.5"})
	q := parsePSBT(t, ok[string](n, "utxoupdatepsbt", child))
	if !q.Inputs[0].Has(psbt.InWitnessUTXO) || q.Inputs[0].Has(psbt.InNonWitnessUTXO) {
		t.Error("want the output that is spent, and not the transaction")
	}
	any_ := ok[psbtResult](n, "descriptorprocesspsbt", child, []any{secret}, "ALL|ANYONECANPAY", true, false)
	same(t, ok[map[string]any](n, "decodepsbt", any_.PSBT)["inputs"].([]any)[0].(map[string]any)["sighash"], "ALL|ANYONECANPAY")
	n.refused(-22, "Specified sighash value does not match value stored in PSBT", "descriptorprocesspsbt", any_.PSBT, []any{secret})
}

func TestUTXOUpdateByTheIndexOfTransactions(t *testing.T) {
	t.Parallel()
	n := indexed(t, 110)
	q := parsePSBT(t, ok[string](n, "utxoupdatepsbt", n.spend(1)))
	if out, found := q.Inputs[0].WitnessUTXO(); !found || out.Value != 50*consensus.SatPerCoin {
		t.Error(out, found)
	}
}

func TestDecodePSBT(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	raw, err := os.ReadFile("../wallet/psbt/testdata/vectors.json")
	check(t, err)
	var list []struct {
		BIP              int
		Kind, Case, PSBT string
	}
	check(t, json.Unmarshal(raw, &list))
	decoded := 0
	for _, v := range list {
		switch {
		case v.Case == "extracted":
		case v.Kind == "invalid":
			n.failing(-22, "TX decode failed ", "decodepsbt", v.PSBT)
		case v.Kind == "valid" && v.BIP != 375:
			j := ok[map[string]any](n, "decodepsbt", v.PSBT)
			p := parsePSBT(t, v.PSBT)
			same(t, []any{len(j["inputs"].([]any)), j["psbt_version"]}, []any{len(p.Inputs), float64(p.Version())})
			decoded++
		}
		if v.BIP == 373 && v.Case == "PSBT with invalid public nonce valuedata length" {
			n.refused(-22, "TX decode failed Input musig2 pubnonce value is not 66 bytes", "decodepsbt", v.PSBT)
		}
		if v.BIP == 373 && strings.HasPrefix(v.Case, "Spend of a Taproot output where the internal key is a MuSig2") && strings.HasSuffix(v.Case, "partial signatures") {
			in := ok[map[string]any](n, "decodepsbt", v.PSBT)["inputs"].([]any)[0].(map[string]any)
			same(t, []any{len(in["musig2_participant_pubkeys"].([]any)), len(in["musig2_pubnonces"].([]any)), len(in["musig2_partial_sigs"].([]any))}, []any{1, 3, 3})
			same(t, ok[map[string]any](n, "finalizepsbt", v.PSBT)["complete"], true)
		}
	}
	if decoded < 40 {
		t.Errorf("only %d decoded", decoded)
	}
	unknown := "cHNidP8BAD8CAAAAAf//////////////////////////////////////////AAAAAAD/////AQAAAAAAAAAAA2oBAAAAAAAACvABAgMEBQYHCAkPAQIDBAUGBwgJCgsMDQ4PAAA="
	j := ok[map[string]any](n, "decodepsbt", unknown)
	same(t, j["inputs"], []any{object{"unknown": object{"f0010203040506070809": "0102030405060708090a0b0c0d0e0f"}}})
	n.refused(-22, "TX decode failed invalid base64", "decodepsbt", "unknown_param_data=more_data=")
	n.refused(-22, "TX decode failed extra data after PSBT", "decodepsbt", "cHNidP8BAAoAAAAAAAAAAAAAAA0=")
}

// failing calls a method whose error must begin with a message.
func (n *testNode) failing(code int, message, method string, params ...any) {
	n.tb.Helper()
	_, failure := n.call(method, params...)
	if failure == nil || failure.Code != code || !strings.HasPrefix(failure.Message, message) {
		n.tb.Errorf("%s: got %+v, want %d %s", method, failure, code, message)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestRefusalsOfPSBTCalls(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 110)
	one, two := n.spend(1), n.spend(2)
	n.refused(-8, "Parameter 'txs' cannot be empty", "combinepsbt", []any{})
	n.refused(-8, "PSBTs not compatible (different transactions)", "combinepsbt", []any{one, two})
	n.refused(-8, "At least two PSBTs are required to join PSBTs.", "joinpsbts", []any{one})
	o := n.coinbase(1)
	n.refused(-8, "Input "+o.String()+" exists in multiple PSBTs", "joinpsbts", []any{one, one})
	joined := parsePSBT(t, ok[string](n, "joinpsbts", []any{one, two}))
	same(t, []any{len(joined.Inputs), len(joined.Outputs)}, []any{2, 2})

	n.refused(-8, "'all' is not a valid sighash parameter.", "descriptorprocesspsbt", one, []any{}, "all")
	n.refused(-8, "Scan object needs to be either a string or an object", "descriptorprocesspsbt", one, []any{1})
	n.refused(-8, "Descriptor needs to be provided in scan object", "descriptorprocesspsbt", one, []any{object{"range": 1}})
	n.refused(-8, "Range should be greater or equal than 0", "utxoupdatepsbt", one, []any{object{"desc": "x", "range": []any{-1, 1}}})
	n.refused(-8, "Range specified as [begin,end] must not have begin after end", "utxoupdatepsbt", one, []any{object{"desc": "x", "range": []any{2, 1}}})
	n.refused(-8, "Range is too large", "utxoupdatepsbt", one, []any{object{"desc": "x", "range": 1000000}})
	n.refused(-8, "End of range is too high", "utxoupdatepsbt", one, []any{object{"desc": "x", "range": int64(1) << 31}})
	n.refused(-8, "Range must be specified as end or as [begin,end]", "utxoupdatepsbt", one, []any{object{"desc": "x", "range": "y"}})
	n.failing(-5, "", "utxoupdatepsbt", one, []any{"tr(nothing)"})

	tx := n.payment(1, 1000)
	n.refused(-22, "Inputs must not have scriptSigs and scriptWitnesses", "converttopsbt", hexTx(tx))
	n.refused(-22, "TX decode failed", "converttopsbt", hexTx(tx), true, false)
	p := parsePSBT(t, ok[string](n, "converttopsbt", hexTx(tx), true))
	bare, err := p.Tx()
	check(t, err)
	same(t, bare.TxID(), tx.TxID())
	same(t, ok[string](n, "converttopsbt", hexTx(bare)), p.String())
	empty := ok[string](n, "createrawtransaction", []any{}, object{n.address: "1"})
	same(t, len(parsePSBT(t, ok[string](n, "converttopsbt", empty)).Outputs), 1)
}

func TestSignRawTransactionWithKey(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 110)
	o := n.coinbase(1)
	raw := ok[string](n, "createrawtransaction", []any{object{"txid": o.TxID, "vout": o.Index}}, object{n.address: "49.999"})
	type result struct {
		Hex      string
		Complete bool
		Errors   []map[string]any
	}
	done := ok[result](n, "signrawtransactionwithkey", raw, []any{n.wif()})
	if !done.Complete || len(done.Errors) > 0 {
		t.Fatalf("%+v", done)
	}
	same(t, ok[result](n, "signrawtransactionwithkey", done.Hex, []any{}).Complete, true) // signed before
	ok[string](n, "sendrawtransaction", done.Hex)
	none := ok[result](n, "signrawtransactionwithkey", raw, []any{})
	same(t, []any{none.Complete, none.Errors[0]["error"], none.Errors[0]["vout"]}, []any{false, "Witness program was passed an empty witness", 0.0})

	// An output that nobody knows, of the key with its tweak.
	tweaked, _, err := consensus.TweakKey(n.key, nil)
	check(t, err)
	id := strings.Repeat("ab", 32)
	raw = ok[string](n, "createrawtransaction", []any{object{"txid": id, "vout": 3}}, object{n.address: "1"})
	gone := ok[result](n, "signrawtransactionwithkey", raw, []any{n.wif()})
	same(t, []any{gone.Complete, gone.Errors[0]["error"]}, []any{false, "Input not found or already spent"})
	script := hex.EncodeToString(consensus.TaprootScript(tweaked))
	prev := object{"txid": id, "vout": 3, "scriptPubKey": script, "amount": "2"}
	for _, name := range []string{"DEFAULT", "SINGLE|ANYONECANPAY"} {
		same(t, ok[result](n, "signrawtransactionwithkey", raw, []any{n.wif()}, []any{prev}, name).Complete, true)
	}
	delete(prev, "amount")
	n.failing(-3, "Missing amount for CTxOut(nValue=", "signrawtransactionwithkey", raw, []any{n.wif()}, []any{prev})
	prev["vout"] = -1
	n.refused(-22, "vout cannot be negative", "signrawtransactionwithkey", raw, []any{n.wif()}, []any{prev})
	delete(prev, "vout")
	n.refused(-3, "Missing vout", "signrawtransactionwithkey", raw, []any{n.wif()}, []any{prev})
	n.refused(-5, "Invalid private key", "signrawtransactionwithkey", raw, []any{"123"})
	n.refused(-5, "Invalid private key", "signrawtransactionwithkey", raw, []any{hex.EncodeToString(n.key[:])})
	n.failing(-22, "TX decode failed", "signrawtransactionwithkey", raw+"00", []any{n.wif()})
	o = n.coinbase(3)
	raw = ok[string](n, "createrawtransaction", []any{object{"txid": o.TxID, "vout": 0}}, object{n.address: "1"})
	n.failing(-22, "Previous output scriptPubKey mismatch:", "signrawtransactionwithkey", raw, []any{n.wif()}, []any{object{"txid": o.TxID, "vout": 0, "scriptPubKey": "51"}})
}
