package rpc_test

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"lode/consensus"
	"lode/rpc"
)

// rest makes a request to the REST interface.
func (n *testNode) rest(method, path, body string) (status int, kind, answer string) {
	n.tb.Helper()
	r, err := http.NewRequest(method, n.http.URL+"/rest/"+path, strings.NewReader(body))
	check(n.tb, err)
	resp, err := http.DefaultClient.Do(r)
	check(n.tb, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(n.tb, err)
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

// TestREST asks for every path in every form, and compares with what calls say.
func TestREST(t *testing.T) {
	t.Parallel()
	n := indexed(t, 102, func(c *rpc.Config) { c.REST = true })
	const subsidy = 50 * consensus.SatPerCoin
	tx := n.pay(subsidy, []consensus.OutPoint{n.coinbase(1)}, consensus.TxOut{Value: subsidy - 9000, Script: n.script})
	same(t, ok[any](n, "sendrawtransaction", hexTx(tx)), tx.TxID())
	block := n.mine(1)[0].String()
	waiting := n.pay(subsidy, []consensus.OutPoint{n.coinbase(2)}, consensus.TxOut{Value: subsidy - 9000, Script: n.script})
	same(t, ok[any](n, "sendrawtransaction", hexTx(waiting)), waiting.TxID())
	n.built()

	var genesis = n.chain.Rules().GenesisHash().String()
	first, pending := tx.TxID().String()+"-0", waiting.TxID().String()+"-0"
	spent := n.coinbase(2).TxID.String() + "-0"
	get := func(path string) string {
		t.Helper()
		status, _, answer := n.rest("GET", path, "")
		if status != 200 {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		return answer
	}
	for _, path := range []string{"tx/" + tx.TxID().String(), "tx/" + waiting.TxID().String(), "block/" + block, "headers/" + genesis + "?count=3", "headers/7/" + genesis,
		"blockfilter/basic/" + block, "blockfilterheaders/basic/" + genesis, "blockfilterheaders/basic/2/" + genesis, "spenttxouts/" + block, "spenttxouts/" + genesis,
		"getutxos/" + first, "getutxos/checkmempool/" + first + "/" + pending + "/" + spent} {
		name, query, _ := strings.Cut(path, "?")
		binary, digits := get(name+".bin?"+query), get(name+".hex?"+query)
		if hex.EncodeToString([]byte(binary))+"\n" != digits || binary == "" {
			t.Errorf("%s: %q is not %q", path, digits, binary)
		}
		if answer := get(name + ".json?" + query); !json.Valid([]byte(answer)) {
			t.Errorf("%s: %s", path, answer)
		}
		if status, kind, answer := n.rest("GET", name+"?"+query, ""); status != 404 || kind != "text/plain" || answer != "output format not found (available: .bin, .hex, .json)\r\n" {
			t.Errorf("%s without a form: %d %s %s", path, status, kind, answer)
		}
	}
	raw := get("block/" + block + ".bin")
	same(t, hex.EncodeToString([]byte(raw)), ok[string](n, "getblock", block, 0))
	same(t, get("tx/"+tx.TxID().String()+".hex"), hexTx(tx)+"\n")
	same(t, get("blockpart/"+block+".bin?offset=80&size=10"), raw[80:90])
	same(t, get("blockpart/"+block+".hex?offset=0&size="+strconv.Itoa(len(raw))), hex.EncodeToString([]byte(raw))+"\n")
	same(t, get("blockhashbyheight/103.hex"), block+"\n")
	hash, _ := n.chain.HashAt(103)
	same(t, get("blockhashbyheight/103.bin"), string(hash[:]))

	object := func(text string) json.RawMessage { return json.RawMessage(text) }
	same(t, object(get("block/"+block+".json")), ok[json.RawMessage](n, "getblock", block, 3))
	same(t, object(get("block/notxdetails/"+block+".json")), ok[json.RawMessage](n, "getblock", block, 1))
	same(t, object(get("headers/"+block+".json")), []json.RawMessage{ok[json.RawMessage](n, "getblockheader", block)})
	same(t, object(get("chaininfo.json")), ok[json.RawMessage](n, "getblockchaininfo"))
	same(t, object(get("deploymentinfo.json")), ok[json.RawMessage](n, "getdeploymentinfo"))
	same(t, object(get("deploymentinfo/"+genesis+".json")), ok[json.RawMessage](n, "getdeploymentinfo", genesis))
	same(t, object(get("mempool/info.json")), ok[json.RawMessage](n, "getmempoolinfo"))
	same(t, object(get("mempool/contents.json")), ok[json.RawMessage](n, "getrawmempool", true))
	same(t, object(get("mempool/contents.json?verbose=false&mempool_sequence=true")), ok[json.RawMessage](n, "getrawmempool", false, true))
	type coins struct {
		Bitmap string
		Coins  []struct{ Height int } `json:"utxos"`
	}
	var found coins
	check(t, json.Unmarshal([]byte(get("getutxos/checkmempool/"+first+"/"+pending+"/"+spent+".json")), &found))
	same(t, found, coins{"110", []struct{ Height int }{{103}, {0x7fffffff}}})
	found = coins{}
	check(t, json.Unmarshal([]byte(get("getutxos/"+first+"/"+pending+"/"+spent+".json")), &found))
	same(t, found.Bitmap, "101")

	id := tx.TxID()
	body := append(append([]byte{0, 1}, id[:]...), 0, 0, 0, 0)
	status, _, posted := n.rest("POST", "getutxos.bin", string(body))
	same(t, status, 200)
	same(t, posted, get("getutxos/"+first+".bin"))
	_, _, posted = n.rest("POST", "getutxos.hex", hex.EncodeToString(body))
	same(t, posted, get("getutxos/"+first+".hex"))
}

// TestRESTRefuses has the status and the text of what cannot be answered.
func TestRESTRefuses(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 3, func(c *rpc.Config) { c.REST = true })
	tip := n.chain.Tip().Hash.String()
	none := strings.Repeat("0", 64)
	many := strings.Repeat("/"+none+"-0", 16)
	for _, c := range []struct {
		path   string
		status int
		text   string
	}{
		{"tx/abc.json", 400, "Invalid hash: abc"},
		{"tx/" + none + ".json", 404, none + " not found"},
		{"block/" + none + ".json", 404, none + " not found"},
		{"headers/1/2/3.json", 400, "Invalid URI format. Expected /rest/headers/<hash>.<ext>?count=<count>"},
		{"headers/" + tip + ".json?count=5a", 400, "Header count is invalid or out of acceptable range (1-2000): 5a"},
		{"headers/" + tip + ".json?count=2001", 400, "Header count is invalid or out of acceptable range (1-2000): 2001"},
		{"headers/" + tip + ".json?count=", 400, "Header count is invalid or out of acceptable range (1-2000): "},
		{"blockhashbyheight/+1.json", 400, "Invalid height: +1"},
		{"blockhashbyheight/.json", 400, "Invalid height: "},
		{"blockhashbyheight/1000000.json", 404, "Block height out of range"},
		{"blockfilter/basic/" + tip + ".json", 400, "Index is not enabled for filtertype basic"},
		{"blockfilter/other/" + tip + ".json", 400, "Unknown filtertype other"},
		{"blockfilterheaders/basic/abc.json", 400, "Invalid hash: abc"},
		{"blockpart/" + tip + ".bin?offset=0", 400, "Block part size missing or invalid"},
		{"blockpart/" + tip + ".bin?size=1", 400, "Block part offset missing or invalid"},
		{"blockpart/" + tip + ".bin?offset=80&size=100000", 400, "Bad block part offset/size 80/100000 for " + tip},
		{"blockpart/" + tip + ".json?offset=0&size=1", 400, "JSON output is not supported for this request type"},
		{"mempool/contents.json?verbose=TRUE", 400, `The "verbose" query parameter must be either "true" or "false".`},
		{"mempool/contents.json?mempool_sequence=true", 400, `Verbose results cannot contain mempool sequence values. (hint: set "verbose=false")`},
		{"mempool/other.json", 400, "Invalid URI format. Expected /rest/mempool/<info|contents>.json"},
		{"mempool/info.bin", 404, "output format not found (available: json)"},
		{"mempool/contents.json?%", 400, "URI parsing failed, it likely contained RFC 3986 invalid characters"},
		{"deploymentinfo/" + none + ".json", 400, "Block not found"},
		{"getutxos.json", 400, "Error: empty request"},
		{"getutxos/checkmempool.json", 400, "Error: empty request"},
		{"getutxos/aa-1.json", 400, "Parse error"},
		{"getutxos/" + none + "-+1.json", 400, "Parse error"},
		{"getutxos" + many + ".json", 400, "Error: max outpoints exceeded (max: 15, tried: 16)"},
		{"spenttxouts/" + none + ".json", 404, none + " not found"},
		{"elsewhere.json", 404, "there is no such path"},
	} {
		if status, _, text := n.rest("GET", c.path, ""); status != c.status || text != c.text+"\r\n" {
			t.Errorf("%s: %d %q, want %d %q", c.path, status, text, c.status, c.text)
		}
	}
	for body, want := range map[string]int{"{\"checkmempool": 400, "\x00\xfd\xff\xff": 400, strings.Repeat("x", 100_000): 413} {
		if status, _, text := n.rest("POST", "getutxos.bin", body); status != want {
			t.Errorf("%.20q: %d %s", body, status, text)
		}
	}
	if status, _, _ := n.rest("PUT", "chaininfo.json", ""); status != 405 {
		t.Errorf("PUT: %d", status)
	}
	if status, _, _ := newNode(t, "regtest", 1).rest("GET", "chaininfo.json", ""); status != 404 {
		t.Errorf("without --rest: %d", status)
	}
	// From elsewhere, and from a page.
	r := httptest.NewRequest("GET", "/rest/chaininfo.json", nil)
	r.RemoteAddr, r.Host = "192.0.2.1:1", "127.0.0.1"
	w := httptest.NewRecorder()
	n.server.ServeHTTP(w, r)
	same(t, w.Code, 403)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Origin", "https://example.org")
	w = httptest.NewRecorder()
	n.server.ServeHTTP(w, r)
	same(t, w.Code, 403)
}

// FuzzREST asks for what anybody on this machine may ask for: no path and no body is a bug.
func FuzzREST(f *testing.F) {
	n := newNode(f, "regtest", 2, func(c *rpc.Config) { c.REST = true })
	tip := n.chain.Tip().Hash.String()
	for _, path := range []string{"tx/" + tip + ".hex", "block/" + tip + ".json", "headers/" + tip + ".bin?count=2", "getutxos/checkmempool/" + tip + "-0.json", "spenttxouts/" + tip + ".json",
		"blockpart/" + tip + ".hex?offset=1&size=2", "blockhashbyheight/1.json", "mempool/contents.json?verbose=false", "deploymentinfo/" + tip + ".json", "blockfilterheaders/basic/" + tip + ".json"} {
		f.Add(path, "")
	}
	f.Add("getutxos.bin", "\x01\x01"+strings.Repeat("\x00", 36))
	f.Fuzz(func(t *testing.T, path, body string) {
		u, err := url.Parse("/rest/" + path)
		if err != nil {
			return
		}
		r := httptest.NewRequest("POST", "/rest/", strings.NewReader(body))
		r.URL, r.RemoteAddr, r.Host = u, "127.0.0.1:1", "127.0.0.1"
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%q: %d %s", path, w.Code, w.Body)
		}
	})
}
