package rpc_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/internal/logcat"
	"lode/mempool/fees"
	"lode/rpc"
	"lode/rpc/manual"
	"lode/wallet/descriptor"
	"log/slog"
)

// What a method says to too few and too many arguments, and to one of a wrong type,
// comes from the table. Here is what the new ones say to values that are wrong.
func TestNewMethodsRefuse(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 5, func(c *rpc.Config) { c.Logging = logcat.New(slog.LevelInfo) })
	none := strings.Repeat("00", 32)
	out := object{"txid": none, "vout": 0}
	for _, c := range []struct {
		code    int
		message string
		method  string
		params  []any
	}{
		{-5, "Block not found", "getchaintxstats", []any{1, none}},
		{-8, "blockhash must be of length 64 (not 1, for '0')", "getchaintxstats", []any{1, "0"}},
		{-8, "blockhash must be hexadecimal string (not '" + strings.Repeat("zz", 32) + "')", "getchaintxstats", []any{1, strings.Repeat("zz", 32)}},
		{-8, "Invalid block count: should be between 0 and the block's height - 1", "getchaintxstats", []any{-1}},
		{-8, "Invalid block count: should be between 0 and the block's height - 1", "getchaintxstats", []any{5}},
		{-1, "JSON integer out of range", "verifychain", []any{int64(1) << 40}},
		{-8, "Invalid action 'begin'", "scantxoutset", []any{"begin"}},
		{-1, "scanobjects argument is required for the start action", "scantxoutset", []any{"start"}},
		{-8, "Scan object needs to be either a string or an object", "scantxoutset", []any{"start", []any{1}}},
		{-8, "Descriptor needs to be provided in scan object", "scantxoutset", []any{"start", []any{object{}}}},
		{-8, "Range must be specified as end or as [begin,end]", "scantxoutset", []any{"start", []any{object{"desc": "addr(x)", "range": "1"}}}},
		{-8, "Range specified as [begin,end] must not have begin after end", "scantxoutset", []any{"start", []any{object{"desc": "addr(x)", "range": []int{2, 1}}}}},
		{-8, "Range should be greater or equal than 0", "scantxoutset", []any{"start", []any{object{"desc": "addr(x)", "range": []int{-1, 1}}}}},
		{-8, "End of range is too high", "scantxoutset", []any{"start", []any{object{"desc": "addr(x)", "range": int64(1) << 31}}}},
		{-8, "Range is too large", "scantxoutset", []any{"start", []any{object{"desc": "addr(x)", "range": 1_000_000}}}},
		{-8, "argument must be hexadecimal string (not 'x')", "decodescript", []any{"x"}},
		{-5, "Missing checksum", "deriveaddresses", []any{"addr(" + n.address + ")"}},
		{-8, "Range should not be specified for an un-ranged descriptor", "deriveaddresses", []any{descriptor.AddChecksum("addr(" + n.address + ")"), 1}},
		{-8, "unknown mode x", "getmemoryinfo", []any{"x"}},
		{-8, "unknown logging category nonsense", "logging", []any{[]any{"nonsense"}}},
		{-3, "JSON value of type number is not of expected type string", "logging", []any{[]any{1}}},
		{-1, "Unable to import mempool file, see debug.log for details.", "importmempool", []any{"none"}},
		{-3, "Unexpected key x", "importmempool", []any{"none", object{"x": true}}},
		{-3, "JSON value of type number for field use_current_time is not of expected type bool", "importmempool", []any{"none", object{"use_current_time": 1}}},
		{-8, "Invalid conf_target, must be between 1 and 1008", "estimaterawfee", []any{0}},
		{-8, "Invalid conf_target, must be between 1 and 1008", "estimaterawfee", []any{1009}},
		{-8, "Invalid threshold", "estimaterawfee", []any{6, 1.5}},
		{-5, "Invalid private key", "signmessagewithprivkey", []any{"x", "m"}},
		{-5, "Invalid private key", "signmessagewithprivkey", []any{strings.Repeat("1", 52), "m"}},
		{-5, "Invalid address", "verifymessage", []any{"x", "", "m"}},
		{-3, "Malformed base64 encoding", "verifymessage", []any{n.address, "!", "m"}},
		{-8, "Range is too large for a descriptor that stands for 3", "deriveaddresses", []any{descriptor.AddChecksum(strings.Replace(ranged, "/0/*", "/<0;1;2>/*", 1)), 900_000}},
		{-8, "Ranged descriptor not accepted. Maybe pass through deriveaddresses first?", "generatetodescriptor", []any{1, ranged}},
		{-3, "Unexpected key x", "gettxspendingprevout", []any{[]any{out}, object{"x": true}}},
		{-1, "Mempool lacks a relevant spend, and txospenderindex is unavailable.", "gettxspendingprevout", []any{[]any{out}, object{"mempool_only": false}}},
	} {
		t.Run(c.method, func(t *testing.T) {
			_, failure := n.call(c.method, c.params...)
			wantError(t, failure, c.code, c.message)
		})
	}
	for _, method := range []string{"getdescriptorinfo", "deriveaddresses", "decodescript", "scantxoutset", "signmessagewithprivkey", "verifymessage", "generatetodescriptor", "importmempool", "estimaterawfee"} {
		n.refused(-1, manual.Methods()[method].Help(), method)
	}
}

// ranged is a descriptor for a range, of an extended key of BIP32's test vectors with
// the version bytes of test networks.
const ranged = "tr(tpubD6NzVbkrYhZ4XgiXtGrdW5XDAPFCL9h7we1vwNCpn8tGbBcgfVYjXyhWo4E1xkh56hjod1RhGjxbaTLV3X4FyWuejifB9jusQ46QzG87VKp/0/*)"

func TestChainTxStats(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	check(t, n.pool.Add(n.payment(1, 1000)))
	n.mine(1)
	tip, first := n.block(103), n.block(93)
	same(t, ok[any](n, "getchaintxstats", 10), object{
		"time": tip.Time, "txcount": 105, "window_final_block_hash": tip.Header.Hash(), "window_final_block_height": 103, "window_block_count": 10,
		"window_tx_count": 11, "window_interval": n.medianTime(103) - n.medianTime(93), "txrate": rate(11, n.medianTime(103)-n.medianTime(93)),
	})
	same(t, ok[object](n, "getchaintxstats", 0, first.Header.Hash())["txcount"], 94)
	same(t, ok[object](n, "getchaintxstats")["window_block_count"], 102)
	check(t, n.chain.InvalidateBlock(tip.Header.Hash()))
	n.refused(-8, "Block is not in main chain", "getchaintxstats", 1, tip.Header.Hash())
}

func (n *testNode) medianTime(height uint32) int64 {
	hash, _ := n.chain.HashAt(height)
	info, _ := n.chain.Header(hash)
	return int64(info.MedianTime)
}

// rate is how JSON shows it.
func rate(count, seconds int64) any { return float64(count) / float64(seconds) }

func TestVerifyChain(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 5)
	same(t, ok[bool](n, "verifychain"), true)
	for level := -1; level <= 5; level++ {
		same(t, ok[bool](n, "verifychain", level, 0), true)
	}
	files, err := filepath.Glob(filepath.Join(n.dir, "blocks", "blk*.dat"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	raw, err := os.ReadFile(files[0])
	check(t, err)
	raw[len(raw)-1] ^= 1
	check(t, os.WriteFile(files[0], raw, 0o600))
	same(t, ok[bool](n, "verifychain", 0, 1), false)
}

func TestScanTxOutSet(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 3)
	same(t, ok[any](n, "scantxoutset", "status"), nil)
	same(t, ok[any](n, "scantxoutset", "abort"), false)
	text := "rawtr(" + hex.EncodeToString(n.key[:]) + ")"
	found := ok[object](n, "scantxoutset", "start", []any{descriptor.AddChecksum(text)})
	tip := n.block(3).Header.Hash()
	same(t, []any{found["success"], found["txouts"], found["height"], found["bestblock"], found["total_amount"]}, []any{true, 3, 3, tip, btc("150.00000000")})
	coins := found["unspents"].([]any)
	if len(coins) != 3 {
		t.Fatalf("%d coins", len(coins))
	}
	for _, c := range coins {
		coin := c.(object)
		height, err := coin["height"].(json.Number).Int64()
		check(t, err)
		block := n.block(uint32(height))
		same(t, []any{coin["txid"], coin["vout"], coin["amount"], coin["coinbase"], coin["blockhash"], coin["confirmations"], coin["scriptPubKey"]},
			[]any{block.Txs[0].TxID(), 0, btc("50.00000000"), true, block.Header.Hash(), 4 - height, hex.EncodeToString(n.script)})
		if !strings.HasPrefix(coin["desc"].(string), "rawtr([") {
			t.Errorf("described as %v", coin["desc"])
		}
	}
	for _, object := range []any{"addr(" + n.address + ")", "raw(" + hex.EncodeToString(n.script) + ")", object{"desc": text, "range": 5}} {
		same(t, len(ok[map[string]any](n, "scantxoutset", "start", []any{object})["unspents"].([]any)), 3)
	}
	for _, nothing := range []any{"raw(51)", "rawtr(" + strings.Repeat("02", 32) + ")", object{"desc": ranged, "range": 20}} {
		same(t, len(ok[map[string]any](n, "scantxoutset", "start", []any{nothing})["unspents"].([]any)), 0)
	}
}

// While one scan goes on there is no other, its status is told, and it can be ended.
func TestScanIsOneAtATime(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	done := make(chan json.RawMessage)
	go func() {
		// Deriving a million keys takes long enough for what follows.
		result, _ := n.call("scantxoutset", "start", []any{object{"desc": ranged, "range": 900_000}})
		done <- result
	}()
	for deadline := time.Now().Add(time.Minute); ok[any](n, "scantxoutset", "status") == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the scan does not begin")
		}
	}
	n.refused(-8, "Scan already in progress, use action \"abort\" or \"status\"", "scantxoutset", "start", []any{})
	same(t, ok[any](n, "scantxoutset", "abort"), true)
	<-done
	same(t, ok[any](n, "scantxoutset", "status"), nil)
}

func TestDescriptors(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	bare := "addr(" + n.address + ")"
	sum, _, _ := descriptor.Checksum(bare)
	same(t, ok[any](n, "getdescriptorinfo", bare), object{"descriptor": bare + "#" + sum, "checksum": sum, "isrange": false, "issolvable": false, "hasprivatekeys": false})
	same(t, ok[any](n, "deriveaddresses", bare+"#"+sum), []string{n.address})
	list := ok[[]string](n, "deriveaddresses", descriptor.AddChecksum(ranged), []int{1, 3})
	if len(list) != 3 || list[0] == list[1] {
		t.Errorf("addresses %v", list)
	}
	same(t, ok[[]string](n, "deriveaddresses", descriptor.AddChecksum(ranged), 1)[1], list[0])
	two := strings.Replace(ranged, "/0/*", "/<0;1>/*", 1)
	if lists := ok[[][]string](n, "deriveaddresses", descriptor.AddChecksum(two), 0); len(lists) != 2 || lists[0][0] == lists[1][0] {
		t.Errorf("addresses of two descriptors: %v", lists)
	}
	if expansion := ok[object](n, "getdescriptorinfo", two)["multipath_expansion"].([]any); len(expansion) != 2 {
		t.Errorf("two descriptors: %v", expansion)
	}
	n.refused(-8, "Range must be specified for a ranged descriptor", "deriveaddresses", descriptor.AddChecksum(ranged))
	for text, kind := range map[string]string{
		"": "nonstandard", "6a0101": "nulldata", hex.EncodeToString(n.script): "witness_v1_taproot", "51024e73": "anchor", "0014" + strings.Repeat("00", 20): "witness_v0_keyhash",
		"0020" + strings.Repeat("00", 32): "witness_v0_scripthash", "6002ffff": "witness_unknown", "0002ffff": "nonstandard", "76a914" + strings.Repeat("00", 20) + "88ac": "pubkeyhash",
		"a914" + strings.Repeat("00", 20) + "87": "scripthash", "21" + strings.Repeat("02", 33) + "ac": "pubkey",
	} {
		if got := ok[object](n, "decodescript", text); got["type"] != kind || got["desc"] != nil && !strings.Contains(got["desc"].(string), "#") {
			t.Errorf("script %s: %v, want %s", text, got, kind)
		}
	}
	hashes := ok[[]string](n, "generatetodescriptor", 2, "raw("+hex.EncodeToString(n.script)+")")
	if len(hashes) != 2 || n.chain.Tip().Height != 2 {
		t.Errorf("generated %v", hashes)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	const key = "cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW"
	address := ok[[]string](n, "deriveaddresses", ok[object](n, "getdescriptorinfo", "tr("+key+")")["descriptor"])[0]
	signature := ok[string](n, "signmessagewithprivkey", key, "hello")
	same(t, ok[bool](n, "verifymessage", address, signature, "hello"), true)
	same(t, ok[bool](n, "verifymessage", address, signature, "hallo"), false)
	same(t, ok[bool](n, "verifymessage", n.address, signature, "hello"), false)
}

func TestControlMore(t *testing.T) {
	t.Parallel()
	levels := logcat.New(slog.LevelInfo)
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Logging, c.LogFile = levels, "/x/debug.log" })
	info := ok[object](n, "getrpcinfo")
	active := info["active_commands"].([]any)
	if len(active) != 1 || active[0].(object)["method"] != "getrpcinfo" || info["logpath"] != "/x/debug.log" {
		t.Errorf("getrpcinfo: %v", info)
	}
	same(t, ok[object](n, "logging")["net"], false)
	same(t, ok[object](n, "logging", []any{"all"}, []any{"net"})["qt"], true)
	same(t, levels.State()["net"], false)
	if names := strings.Join(logcat.Categories(), ", "); !strings.Contains(ok[string](n, "help", "logging"), "valid logging categories are: "+names) {
		t.Error("help does not name the categories")
	}
	// Somebody who is not there is no error.
	n.net.dialError = errors.New("refused")
	same(t, ok[any](n, "addnode", "10.0.0.3:1", "onetry"), nil)
}

func TestImportMempool(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	tx := n.payment(1, 1000)
	check(t, n.pool.Add(tx))
	path := filepath.Join(t.TempDir(), "saved")
	check(t, n.pool.Save(path, tx.TxID()))
	other := newNode(t, "regtest", 0)
	for height := range uint32(102) {
		check(t, other.chain.AddBlock(n.block(height+1)))
	}
	other.net.initial = true
	other.refused(-10, "Can only import the mempool after the block download and sync is done.", "importmempool", path)
	other.net.initial = false
	same(t, ok[any](other, "importmempool", path), object{})
	if _, ok := other.pool.ByTxID(tx.TxID()); !ok {
		t.Error("the transaction has not come")
	}
	// Broadcast would take it for one that everybody knows.
	same(t, ok[any](other, "importmempool", path, object{"apply_unbroadcast_set": true}), object{})
	same(t, other.net.again, []consensus.Hash{tx.TxID()})
	raw := ok[object](n, "estimaterawfee", 6, 0.9)["medium"].(object)
	same(t, raw["errors"], []string{"Insufficient data or no feerate found which meets threshold"})
	if far := ok[object](n, "estimaterawfee", fees.Medium.Most()+1); len(far) != 1 || far["long"] == nil {
		t.Errorf("horizons that do not look so far ahead: %v", far)
	}
	n.net.refuses = true
	n.refused(-32603, "Fee estimation disabled", "estimatesmartfee", 2)
	n.refused(-32603, "Fee estimation disabled", "estimaterawfee", 2)
	n.net.refuses = false
	spender := ok[[]object](n, "gettxspendingprevout", []any{object{"txid": n.coinbase(1).TxID, "vout": 0}}, object{"mempool_only": false, "return_spending_tx": true})
	same(t, spender[0]["spendingtx"], hexTx(tx))

}
