package esplora_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lode/chain"
	"lode/consensus"
	"lode/rpc/esplora"
	"lode/rpc/rpctest"
	"lode/rpc/scripthash"
)

type world struct {
	*rpctest.Node
	t      *testing.T
	server *esplora.Server
}

func newWorld(t *testing.T, ledger chain.Config, blocks int) *world {
	t.Helper()
	n := rpctest.NewWith(t, ledger, blocks)
	s := esplora.New(esplora.Config{Spec: n.Spec, Ledger: n.Chain, Pool: n.Pool, Index: n.Index, Summary: scripthash.NewSummarizer(n.Index)})
	s.Use(n.RPC)
	return &world{n, t, s}
}

var indexed = chain.Config{TxIndex: true, AddrIndex: true}

// ask makes a request, and gives status and body.
func (w *world) ask(method, path, body string) (int, string) {
	w.t.Helper()
	r := httptest.NewRequest(method, "/api/"+path, strings.NewReader(body))
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	b, err := io.ReadAll(rec.Result().Body)
	rpctest.Check(w.t, err)
	return rec.Code, string(b)
}

func (w *world) text(want, path string) {
	w.t.Helper()
	if status, got := w.ask("GET", path, ""); status != 200 || got != want {
		w.t.Errorf("%s: %d %.300q, want %.300q", path, status, got, want)
	}
}

func (w *world) refused(status int, text, path string) {
	w.t.Helper()
	if got, body := w.ask("GET", path, ""); got != status || body != text+"\n" {
		w.t.Errorf("%s: %d %.200q, want %d %q", path, got, body, status, text)
	}
}

type object = map[string]any
type list = []any

func (w *world) json(want any, path string) {
	w.t.Helper()
	status, got := w.ask("GET", path, "")
	if status != 200 {
		w.t.Errorf("%s: %d %.200s", path, status, got)
		return
	}
	b, err := json.Marshal(want)
	rpctest.Check(w.t, err)
	var a, c any
	rpctest.Check(w.t, json.Unmarshal(b, &a))
	rpctest.Check(w.t, json.Unmarshal([]byte(got), &c))
	if diff := cmp.Diff(a, c); diff != "" {
		w.t.Errorf("%s (- want, + got):\n%s", path, diff)
	}
}

const nobody = "00000000000000000000000000000000000000000000000000000000000000ff"

func out(value consensus.Amount, script []byte) consensus.TxOut {
	return consensus.TxOut{Value: value, Script: script}
}

func (w *world) address(script []byte) string {
	key, _ := consensus.TaprootKey(script)
	return consensus.Address(w.Spec.Defaults.AddressPrefix, key)
}

// TestEveryPathAnswers compares all that is answered about a small chain, good and bad.
func TestEveryPathAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, indexed, 105)
	alice := rpctest.ScriptOf(rpctest.Key(1))
	tx := w.Pay(rpctest.Subsidy, w.Coinbase(1), out(30e8, alice), out(rpctest.Subsidy-30e8-1000, w.Script), out(0, []byte{0x6a, 3, 1, 2, 3}))
	raw := hex.EncodeToString(tx.Bytes())
	if status, got := w.ask("POST", "tx", raw+"\n"); status != 200 || got != tx.TxID().String() {
		t.Fatalf("%d %s", status, got)
	}
	id := tx.TxID()
	shown := func(status object) object {
		outs := list{
			object{"scriptpubkey": hex.EncodeToString(alice), "scriptpubkey_asm": "OP_PUSHNUM_1 OP_PUSHBYTES_32 " + hex.EncodeToString(alice[2:]), "scriptpubkey_type": "v1_p2tr",
				"scriptpubkey_address": w.address(alice), "value": int64(30e8)},
			object{"scriptpubkey": hex.EncodeToString(w.Script), "scriptpubkey_asm": "OP_PUSHNUM_1 OP_PUSHBYTES_32 " + hex.EncodeToString(w.Script[2:]), "scriptpubkey_type": "v1_p2tr",
				"scriptpubkey_address": w.address(w.Script), "value": int64(rpctest.Subsidy - 30e8 - 1000)},
			object{"scriptpubkey": "6a03010203", "scriptpubkey_asm": "OP_RETURN OP_PUSHBYTES_3 010203", "scriptpubkey_type": "op_return", "value": 0},
		}
		prev := object{"scriptpubkey": hex.EncodeToString(w.Script), "scriptpubkey_asm": "OP_PUSHNUM_1 OP_PUSHBYTES_32 " + hex.EncodeToString(w.Script[2:]), "scriptpubkey_type": "v1_p2tr",
			"scriptpubkey_address": w.address(w.Script), "value": int64(rpctest.Subsidy)}
		return object{"txid": id, "version": 2, "locktime": 0, "size": tx.Size(), "weight": tx.Weight(), "fee": 1000, "status": status, "vout": outs,
			"vin": list{object{"txid": tx.In[0].PrevOut.TxID, "vout": 0, "prevout": prev, "scriptsig": "", "scriptsig_asm": "", "witness": list{hex.EncodeToString(tx.In[0].Witness[0])},
				"is_coinbase": false, "sequence": uint32(0xfffffffd)}}}
	}
	unconfirmed := object{"confirmed": false}
	at := "tx/" + id.String()
	w.json(shown(unconfirmed), at)
	w.json(unconfirmed, at+"/status")
	w.text(raw, at+"/hex")
	w.text(string(tx.Bytes()), at+"/raw")
	w.json(object{"spent": false}, at+"/outspend/0")
	w.refused(404, "Transaction not found or is unconfirmed", at+"/merkle-proof")
	w.refused(404, "Transaction not found or is unconfirmed", at+"/merkleblock-proof")
	w.json(object{"spent": true, "txid": id, "vin": 0, "status": unconfirmed}, "tx/"+tx.In[0].PrevOut.TxID.String()+"/outspend/0")
	a := "address/" + w.address(alice)
	none := object{"funded_txo_count": 0, "funded_txo_sum": 0, "spent_txo_count": 0, "spent_txo_sum": 0, "tx_count": 0}
	funded := object{"funded_txo_count": 1, "funded_txo_sum": int64(30e8), "spent_txo_count": 0, "spent_txo_sum": 0, "tx_count": 1}
	w.json(object{"address": w.address(alice), "chain_stats": none, "mempool_stats": funded}, a)
	w.json(list{shown(unconfirmed)}, a+"/txs")
	w.json(list{shown(unconfirmed)}, a+"/txs/mempool")
	w.json(list{}, a+"/txs/chain")
	w.json(list{object{"txid": id, "vout": 0, "value": int64(30e8), "status": unconfirmed}}, a+"/utxo")
	w.json(list{id}, "mempool/txids")
	w.json(list{object{"txid": id, "fee": 1000, "vsize": tx.VSize(), "value": int64(rpctest.Subsidy - 1000)}}, "mempool/recent")
	rate := math.Floor(1000*1000/float64(tx.VSize())) / 1000
	w.json(object{"count": 1, "vsize": tx.VSize(), "total_fee": 1000, "fee_histogram": list{list{rate, tx.VSize()}}}, "mempool")
	w.json(object{}, "fee-estimates")

	hash := w.Mine(1)[0]
	block := w.Block(106)
	status := object{"confirmed": true, "block_height": 106, "block_hash": hash, "block_time": block.Header.Time}
	w.json(shown(status), at)
	w.json(status, at+"/status")
	w.json(object{"block_height": 106, "merkle": list{block.Txs[0].TxID()}, "pos": 1}, at+"/merkle-proof")
	proof := consensus.NewMerkleBlock(block, func(h consensus.Hash) bool { return h == id })
	w.text(hex.EncodeToString(proof.Append(nil)), at+"/merkleblock-proof")
	w.json(object{"address": w.address(alice), "chain_stats": funded, "mempool_stats": none}, a)
	forwards := scripthash.Of(alice)
	h := "scripthash/" + hex.EncodeToString(forwards[:])
	w.json(object{"scripthash": hex.EncodeToString(forwards[:]), "chain_stats": funded, "mempool_stats": none}, h)
	w.json(list{shown(status)}, a+"/txs")
	w.json(list{shown(status)}, h+"/txs/chain")
	w.json(list{}, h+"/txs/chain/"+id.String())
	w.json(list{}, h+"/txs/mempool")
	w.json(list{object{"txid": id, "vout": 0, "value": int64(30e8), "status": status}}, h+"/utxo")
	w.json(object{"spent": true, "txid": id, "vin": 0, "status": status}, "tx/"+tx.In[0].PrevOut.TxID.String()+"/outspend/0")
	w.json(list{object{"spent": false}, object{"spent": false}, object{"spent": false}}, at+"/outspends")
	spend := w.PayWith(rpctest.Key(1), 30e8, consensus.OutPoint{TxID: id}, out(30e8-2000, w.Script))
	w.Add(spend)
	w.json(list{}, a+"/utxo")
	w.json(list{object{"spent": true, "txid": spend.TxID(), "vin": 0, "status": unconfirmed}, object{"spent": false}, object{"spent": false}}, at+"/outspends")
	w.json(list{w.address(alice)}, "address-prefix/"+w.address(alice)[:20])
	w.json(list{}, "address-prefix/bcrt1q")
	w.json(list{}, "address-prefix/xyz")

	// blocks
	w.text("106", "blocks/tip/height")
	w.text(hash.String(), "blocks/tip/hash")
	w.text(hash.String(), "block-height/106")
	genesis, _ := w.Chain.HashAt(0)
	first, _ := w.Chain.HashAt(1)
	w.text(genesis.String(), "block-height/0")
	info, _ := w.Chain.Header(hash)
	shownBlock := object{"id": hash, "height": 106, "version": uint32(block.Header.Version), "timestamp": block.Header.Time, "tx_count": 2, "size": block.Size(), "weight": block.Weight(),
		"merkle_root": block.Header.MerkleRoot, "previousblockhash": block.Header.Prev, "mediantime": info.MedianTime, "nonce": block.Header.Nonce, "bits": 0x207fffff, "difficulty": 4.6565423739069247e-10}
	b := "block/" + hash.String()
	w.json(shownBlock, b)
	w.json(object{"in_best_chain": true, "height": 0, "next_best": first}, "block/"+genesis.String()+"/status")
	w.json(object{"in_best_chain": true, "height": 106, "next_best": nil}, b+"/status")
	w.json(object{"in_best_chain": false, "height": nil, "next_best": nil}, "block/"+nobody+"/status")
	w.text(hex.EncodeToString(block.Header.Append(nil)), b+"/header")
	w.text(string(block.Bytes()), b+"/raw")
	w.json(block.TxIDs(), b+"/txids")
	w.text(id.String(), b+"/txid/1")
	_, txs := w.ask("GET", b+"/txs", "")
	var page []object
	rpctest.Check(t, json.Unmarshal([]byte(txs), &page))
	coinbase := page[0]["vin"].(list)[0].(object)
	if len(page) != 2 || page[1]["txid"] != id.String() || page[0]["fee"] != 0.0 || coinbase["is_coinbase"] != true || coinbase["prevout"] != nil ||
		coinbase["vout"] != float64(math.MaxUint32) || !strings.HasPrefix(coinbase["scriptsig_asm"].(string), "OP_PUSHBYTES_1 6a") {
		t.Errorf("%.2000s", txs)
	}
	var ten []object
	_, blocks := w.ask("GET", "blocks", "")
	rpctest.Check(t, json.Unmarshal([]byte(blocks), &ten))
	if len(ten) != 10 || ten[9]["height"] != 97.0 {
		t.Errorf("%.300s", blocks)
	}
	_, blocks = w.ask("GET", "blocks/3", "")
	rpctest.Check(t, json.Unmarshal([]byte(blocks), &ten))
	if len(ten) != 4 || ten[3]["previousblockhash"] != nil || ten[3]["height"] != 0.0 {
		t.Errorf("%.300s", blocks)
	}

	// What is wrong.
	for _, path := range []string{"block/" + nobody, "block/" + nobody + "/txids", "block/" + nobody + "/raw", "block-height/107", "blocks/107"} {
		w.refused(404, "Block not found", path)
	}
	for _, path := range []string{"tx/" + nobody, "tx/" + nobody + "/hex", "tx/" + nobody + "/outspends", "tx/" + nobody + "/merkle-proof"} {
		w.refused(404, "Transaction not found", path)
	}
	w.json(unconfirmed, "tx/"+nobody+"/status")
	for _, path := range []string{"block/xyz", "tx/12", "tx/12/status", a + "/txs/chain/12"} {
		w.refused(400, "Invalid hash string", path)
	}
	for _, path := range []string{"block-height/x", "blocks/-1", "blocks/tip", b + "/txid/x", b + "/txs/x", at + "/outspend/x"} {
		w.refused(400, "Invalid number", path)
	}
	w.refused(404, "tx index out of range", b+"/txid/2")
	w.refused(404, "start index out of range", b+"/txs/25")
	w.refused(400, "start index must be a multipication of 25", b+"/txs/1")
	w.refused(400, "Invalid Bitcoin address", "address/bcrt1qqqq")
	w.refused(400, "Address on invalid network", "address/"+consensus.Address("tb", [32]byte(alice[2:])))
	w.refused(400, "Invalid hex string", "scripthash/xx")
	w.refused(400, "Invalid scripthash", "scripthash/00")
	for _, path := range []string{"", "x", "blocks/tip/x", "tx/" + id.String() + "/x", "tx", b + "/x", a + "/x", a + "/txs/x", "mempool/x", "a/b/c/d/e/f/g", "fee-estimates/1"} {
		w.refused(404, "endpoint does not exist", path)
	}
	if status, got := w.ask("POST", "tx", "xx"); status != 400 || !strings.HasPrefix(got, `sendrawtransaction RPC error: {"code":-22,"message":"TX decode failed`) {
		t.Errorf("%d %s", status, got)
	}
	if status, _ := w.ask("POST", "tx", strings.Repeat("0", 3<<20)); status != 413 {
		t.Errorf("a large body: %d", status)
	}
	for _, path := range []string{"block/x", "mempool", "txs"} {
		if status, _ := w.ask("POST", path, ""); status != 404 {
			t.Errorf("POST %s: %d", path, status)
		}
	}
	if status, _ := w.ask("DELETE", "tx", ""); status != 405 {
		t.Errorf("DELETE: %d", status)
	}
}

// TestPackageIsPosted: a parent that pays nothing comes in with its child.
func TestPackageIsPosted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, indexed, 102)
	w.Version = 3
	parent := w.Pay(rpctest.Subsidy, w.Coinbase(1), out(rpctest.Subsidy, w.Script))
	child := w.Pay(rpctest.Subsidy, consensus.OutPoint{TxID: parent.TxID()}, out(rpctest.Subsidy-20_000, w.Script))
	body := fmt.Sprintf(`["%x","%x"]`, parent.Bytes(), child.Bytes())
	status, got := w.ask("POST", "txs/package?maxfeerate=0.5", body)
	if status != 200 || !strings.Contains(got, `"package_msg":"success"`) {
		t.Errorf("%d %s", status, got)
	}
	for _, bad := range []string{"", "{}", `["xx"]`, `[]`, `[1]`} {
		if status, _ := w.ask("POST", "txs/package", bad); status != 400 {
			t.Errorf("%s: %d", bad, status)
		}
	}
}

// TestPagesOfALongHistory: each confirmed transaction comes once, the newest first, 25
// at a time, and what spends a coin of it is found.
func TestPagesOfALongHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, indexed, 130)
	var got []string
	path := "address/" + w.address(w.Script) + "/txs/chain"
	for last := ""; ; {
		_, body := w.ask("GET", path+last, "")
		var page []object
		rpctest.Check(t, json.Unmarshal([]byte(body), &page))
		if len(page) == 0 {
			break
		}
		for _, tx := range page {
			got = append(got, tx["txid"].(string))
		}
		last = "/" + got[len(got)-1]
	}
	var want []string
	for height := uint32(130); height > 0; height-- {
		want = append(want, w.Block(height).Txs[0].TxID().String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var unspent []object
	_, body := w.ask("GET", "address/"+w.address(w.Script)+"/utxo", "")
	rpctest.Check(t, json.Unmarshal([]byte(body), &unspent))
	if len(unspent) != 130 {
		t.Errorf("%d unspent", len(unspent))
	}
}

// TestWithoutIndexes says what to start the node with.
func TestWithoutIndexes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, chain.Config{}, 2)
	const advice = "this needs the indexes of addresses and of transactions: start the node with --addrindex and --txindex"
	for _, path := range []string{"address/" + w.address(w.Script), "address/" + w.address(w.Script) + "/txs", "tx/" + nobody, "address-prefix/bcrt1p"} {
		w.refused(503, advice, path)
	}
	w.text("2", "blocks/tip/height")
}

// FuzzPaths asks for what strangers may ask for: no path is a bug.
func FuzzPaths(f *testing.F) {
	for _, path := range []string{"blocks/tip/hash", "block/x/txs/25", "address/bcrt1p/txs/chain/00", "scripthash/00/utxo", "tx/00/outspend/4294967295", "address-prefix/bcrt1pqq", "mempool/recent", "//", "blocks/18446744073709551616"} {
		f.Add(path)
	}
	n := rpctest.New(f, 3)
	s := esplora.New(esplora.Config{Spec: n.Spec, Ledger: n.Chain, Pool: n.Pool, Index: n.Index, Summary: scripthash.NewSummarizer(n.Index)})
	s.Use(n.RPC)
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest("GET", "/api/", nil)
		r.URL = &url.URL{Path: "/api/" + path}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Fatalf("%q: %s", path, w.Body)
		}
	})
}
