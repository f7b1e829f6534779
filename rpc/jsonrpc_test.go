package rpc_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"lode/rpc"
	"lode/rpc/manual"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	for _, test := range []struct {
		name, body string
		status     int
		answer     string
	}{
		// JSON-RPC 1.0 and 1.1: both result and error, and errors of HTTP.
		{"1.0", `{"method":"getblockcount","params":[],"id":"x"}`, 200, `{"result":0,"error":null,"id":"x"}`},
		{"1.1", `{"version":"1.1","method":"getblockcount","params":[],"id":7}`, 200, `{"result":0,"error":null,"id":7}`},
		{"said to be 1.0", `{"jsonrpc":"1.0","method":"getblockcount","id":null}`, 200, `{"result":0,"error":null,"id":null}`},
		{"said to be 1.1", `{"jsonrpc":"1.1","method":"getblockcount","id":1}`, 200, `{"result":0,"error":null,"id":1}`},
		{"version null", `{"jsonrpc":null,"method":"getblockcount","id":1}`, 200, `{"result":0,"error":null,"id":1}`},
		{"1.0 without id", `{"method":"getblockcount"}`, 200, `{"result":0,"error":null}`},
		{"1.0 error", `{"method":"getblockhash","params":[5],"id":1}`, 500, `{"result":null,"error":{"code":-8,"message":"Block height out of range"},"id":1}`},
		{"1.0 unknown method", `{"method":"nothing","id":1}`, 404, `{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":1}`},
		{"empty method", `{"method":"","id":1}`, 404, `{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":1}`},

		// JSON-RPC 2.0: one of the two, always 200.
		{"2.0", `{"jsonrpc":"2.0","method":"getblockcount","id":"x"}`, 200, `{"jsonrpc":"2.0","result":0,"id":"x"}`},
		{"2.0 null result", `{"jsonrpc":"2.0","method":"ping","id":1}`, 200, `{"jsonrpc":"2.0","result":null,"id":1}`},
		{"2.0 error", `{"jsonrpc":"2.0","method":"getblockhash","params":[5],"id":1}`, 200, `{"jsonrpc":"2.0","error":{"code":-8,"message":"Block height out of range"},"id":1}`},
		{"2.0 unknown method", `{"jsonrpc":"2.0","method":"nothing","id":1}`, 200, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1}`},
		{"2.0 id null is an id", `{"jsonrpc":"2.0","method":"getblockcount","id":null}`, 200, `{"jsonrpc":"2.0","result":0,"id":null}`},
		{"notification", `{"jsonrpc":"2.0","method":"getblockcount"}`, 204, ``},
		{"notification that fails", `{"jsonrpc":"2.0","method":"nothing"}`, 204, ``},

		// The id comes back as it is.
		{"id object", `{"method":"getblockcount","id":{"a":[1.50,"<&>"]}}`, 200, `{"result":0,"error":null,"id":{"a":[1.50,"<&>"]}}`},
		{"id large", `{"method":"getblockcount","id":12345678901234567890123}`, 200, `{"result":0,"error":null,"id":12345678901234567890123}`},

		// What is no request is an error of HTTP in every version.
		{"empty", ``, 500, `{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}`},
		{"not JSON", `this is bad`, 500, `{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}`},
		{"half", `{"method":"getblockcount"`, 500, `{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}`},
		{"two", `{"method":"ping"}{"method":"ping"}`, 500, `{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}`},
		{"not UTF-8", "{\"method\":\"ping\",\"id\":\"\xff\"}", 500, `{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}`},
		{"another space", "\u00a0{\"method\":\"ping\"}", 500, `{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}`},
		{"deep", strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000), 500, `{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}`},
		{"string", `"getblockcount"`, 500, `{"result":null,"error":{"code":-32700,"message":"Top-level object parse error"},"id":null}`},
		{"null", `null`, 500, `{"result":null,"error":{"code":-32700,"message":"Top-level object parse error"},"id":null}`},
		{"empty object", `{}`, 400, `{"result":null,"error":{"code":-32600,"message":"Missing method"}}`},
		{"method null", `{"method":null,"id":1}`, 400, `{"result":null,"error":{"code":-32600,"message":"Missing method"},"id":1}`},
		{"method in another case", `{"Method":"ping","id":1}`, 400, `{"result":null,"error":{"code":-32600,"message":"Missing method"},"id":1}`},
		{"method number", `{"method":5,"id":1}`, 400, `{"result":null,"error":{"code":-32600,"message":"Method must be a string"},"id":1}`},
		{"2.0 without method", `{"jsonrpc":"2.0","id":1}`, 400, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Missing method"},"id":1}`},
		{"params string", `{"method":"nothing","params":"x","id":1}`, 400, `{"result":null,"error":{"code":-32600,"message":"Params must be an array or object"},"id":1}`},
		{"2.0 params number", `{"jsonrpc":"2.0","method":"ping","params":1,"id":1}`, 400, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Params must be an array or object"},"id":1}`},
		{"params null", `{"method":"getblockcount","params":null,"id":1}`, 200, `{"result":0,"error":null,"id":1}`},
		{"version number", `{"jsonrpc":2,"method":"ping"}`, 400, `{"result":null,"error":{"code":-32600,"message":"jsonrpc field must be a string"}}`},
		{"version 3.0", `{"jsonrpc":"3.0","method":"ping","id":1}`, 400, `{"result":null,"error":{"code":-32600,"message":"JSON-RPC version not supported"},"id":1}`},

		{"method twice: the first", `{"method":"getblockcount","method":"stop","id":1,"id":2}`, 200, `{"result":0,"error":null,"id":1}`},
		{"escapes", `{"meth\u006fd":"getblock\u0063ount","id":1}`, 200, `{"result":0,"error":null,"id":1}`},
		{"space around", " \r\n\t{\"method\":\"getblockcount\",\"id\":1}\n ", 200, `{"result":0,"error":null,"id":1}`},
	} {
		status, answer := n.post(test.body)
		if status != test.status || answer != test.answer {
			t.Errorf("%s: status %d and %s, want %d and %s", test.name, status, answer, test.status, test.answer)
		}
	}
	if n.stops.Load() != 0 {
		t.Error("stop was called")
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	const tooMany = `{"result":null,"error":{"code":-32600,"message":"Too many calls in one batch, want at most 50000"},"id":null}`
	for _, test := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"empty", `[]`, 200, `[]`},
		{"empty with space", " [ ] ", 200, `[]`},
		{"mixed", `[{"method":"getblockcount","id":1},{"jsonrpc":"2.0","method":"getblockcount","id":2},{"jsonrpc":"2.0","method":"ping"},{"method":"nothing","id":3},
			{"jsonrpc":"2.0","method":"nothing","id":4},1,null,[],{},{"jsonrpc":"2.0","id":5},{"method":"getblockcount"}]`, 200,
			`[{"result":0,"error":null,"id":1},{"jsonrpc":"2.0","result":0,"id":2},{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":3},` +
				`{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":4},` +
				`{"result":null,"error":{"code":-32600,"message":"Invalid Request object"},"id":null},` +
				`{"result":null,"error":{"code":-32600,"message":"Invalid Request object"},"id":null},` +
				`{"result":null,"error":{"code":-32600,"message":"Invalid Request object"},"id":null},` +
				`{"result":null,"error":{"code":-32600,"message":"Missing method"}},` +
				`{"jsonrpc":"2.0","error":{"code":-32600,"message":"Missing method"},"id":5},{"result":0,"error":null}]`},
		{"notifications only", `[{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","method":"ping"}]`, 204, ``},
		{"not JSON", `[{"method":"ping"},`, 500, `{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}`},
		{"too many", "[" + strings.Repeat(`{"method":"ping"},`, 50_000) + `{"method":"ping"}]`, 400, tooMany},
		{"far too many", "[" + strings.Repeat(`0,`, 1_000_000) + `0]`, 400, tooMany},
	} {
		status, answer := n.post(test.body)
		if status != test.status || answer != test.answer {
			t.Errorf("%s: status %d and %.2000s, want %d and %s", test.name, status, answer, test.status, test.answer)
		}
	}
	if n.net.pings != 3 {
		t.Errorf("%d pings, want 3: notifications are executed, and nothing of a batch that is too large or broken", n.net.pings)
	}
	var all []json.RawMessage
	_, answer := n.post("[" + strings.Repeat(`{"method":"uptime"},`, 49_999) + `{"method":"uptime"}]`)
	if check(t, json.Unmarshal([]byte(answer), &all)); len(all) != 50_000 {
		t.Errorf("%d answers to the largest batch", len(all))
	}
}

// TestBatchWhenTheNodeStops ends a batch whose rest will not be answered: that is no
// success without a body.
func TestBatchWhenTheNodeStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Stop = cancel })
	resp := n.do(authorized(`[{"method":"stop","id":1},{"method":"uptime","id":2}]`).WithContext(ctx))
	if resp.StatusCode != 503 {
		t.Errorf("status %d", resp.StatusCode)
	}
	ctx, cancel = context.WithCancel(t.Context())
	n = newNode(t, "regtest", 0, func(c *rpc.Config) { c.Stop = cancel })
	resp = n.do(authorized(`[{"method":"uptime","id":1},{"method":"stop","id":2}]`).WithContext(ctx))
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(body), "stopping") {
		t.Errorf("status %d and %s", resp.StatusCode, body)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	genesis := n.chain.Rules().GenesisHash().String()
	// wrong is Bitcoin Core's complaint about a type.
	wrong := func(position, got, want string) string {
		return "Wrong type passed:\n{\n    \"Position " + position + "\": \"JSON value of type " + got + " is not of expected type " + want + "\"\n}"
	}
	usage := manual.Methods()["getblockhash"].Help()
	for _, test := range []struct {
		method, params string
		code           int // 0 for a result
		message        string
	}{
		{"getblockhash", `[0]`, 0, ""},
		{"getblockhash", `{"height":0}`, 0, ""},
		{"getblockhash", `{"args":[0]}`, 0, ""},
		{"getblockhash", `[]`, -1, usage},
		{"getblockhash", `null`, -1, usage},
		{"getblockhash", `{}`, -1, usage},
		{"getblockhash", `{"args":[]}`, -1, usage},
		{"getblockhash", `[0,1]`, -1, usage},
		{"getblock", `[1,"x","y"]`, -1, manual.Methods()["getblock"].Help()},
		{"setban", `[1,"add","2"]`, -3, "Wrong type passed:\n{\n    \"Position 1 (subnet)\": \"JSON value of type number is not of expected type string\",\n" +
			"    \"Position 3 (bantime)\": \"JSON value of type string is not of expected type number\"\n}"},
		{"getblockhash", `{"args":[0,1]}`, -1, usage},
		{"getblockhash", `{"args":5}`, -8, "Parameter args must be an array"},
		{"getblockhash", `{"height":0,"args":[]}`, 0, ""},
		{"getblockhash", `{"height":0,"args":null}`, 0, ""},
		{"getblockhash", `{"args":[0],"height":0}`, -8, "Parameter height specified twice both as positional and named argument"},
		{"getblockhash", `{"args":[0],"args":[0]}`, -8, "Parameter args specified multiple times"},
		{"getblockhash", `{"height":0,"height":0}`, -8, "Parameter height specified multiple times"},
		{"getblockhash", `{"Height":0}`, -8, "Unknown named parameter Height"},
		{"getblockhash", `{"height":0,"` + strings.Repeat("x", 100) + `":0}`, -8, "Unknown named parameter " + strings.Repeat("x", 80)},
		{"getblockhash", `[null]`, -3, wrong("1 (height)", "null", "number")},
		{"getblockhash", `["0"]`, -3, wrong("1 (height)", "string", "number")},
		{"getblockhash", `[true]`, -3, wrong("1 (height)", "bool", "number")},
		{"getblockhash", `[[]]`, -3, wrong("1 (height)", "array", "number")},
		{"getblockhash", `[{}]`, -3, wrong("1 (height)", "object", "number")},
		{"getblockhash", `[0.5]`, -1, "JSON integer out of range"},
		{"getblockhash", `[0e0]`, -1, "JSON integer out of range"},
		{"getblockhash", `[2147483648]`, -1, "JSON integer out of range"},
		{"getblockhash", `[99999999999999999999]`, -1, "JSON integer out of range"},
		{"getblockhash", `[-1]`, -8, "Block height out of range"},
		{"getblockhash", `[1]`, -8, "Block height out of range"},

		{"getblock", `["` + genesis + `",1]`, 0, ""},
		{"getblock", `["` + genesis + `",true]`, 0, ""},
		{"getblock", `["` + strings.ToUpper(genesis) + `",null]`, 0, ""},
		{"getblock", `{"blockhash":"` + genesis + `","verbosity":2}`, 0, ""},
		{"getblock", `{"blockhash":"` + genesis + `","verbose":false}`, 0, ""},
		{"getblock", `{"verbose":false,"args":["` + genesis + `"]}`, 0, ""},
		{"getblock", `{"verbose":1,"verbosity":1,"args":["` + genesis + `"]}`, -8, "Parameter verbosity specified multiple times"},
		{"getblock", `["` + genesis + `","1"]`, -3, "JSON value of type string is not of expected type number"},
		// Each as Bitcoin Core says it, and in the order in which it looks.
		{"getrawtransaction", `["` + genesis + `",[]]`, -3, "JSON value of type array is not of expected type number"},
		{"getorphantxs", `["x"]`, -3, "JSON value of type string is not of expected type number"},
		{"getblockstats", `[null]`, -3, "JSON value of type null is not of expected type string"},
		{"submitpackage", `[[{}]]`, -3, "JSON value of type object is not of expected type string"},
		{"testmempoolaccept", `[[{}]]`, -3, "JSON value of type object is not of expected type string"},
		{"sendrawtransaction", `["00",null,"x"]`, -3, "Invalid amount"},
		{"pruneblockchain", `[1.5]`, -1, "Cannot prune blocks because node is not in prune mode."},
		{"decodepsbt", `[""]`, -22, "TX decode failed DataStream::read(): end of data: iostream error"},
		{"decodepsbt", `["AAAAAAAA"]`, -22, "TX decode failed Invalid PSBT magic bytes: iostream error"},
		{"utxoupdatepsbt", `["x",["x"]]`, -5, "'x' is not a valid descriptor function"},
		{"descriptorprocesspsbt", `["x",[{}]]`, -8, "Descriptor needs to be provided in scan object"},
		{"joinpsbts", `[["x"]]`, -8, "At least two PSBTs are required to join PSBTs."},
		{"verifytxoutproof", `[""]`, -8, "proof must be hexadecimal string (not '')"},
		{"verifytxoutproof", `["00"]`, -1, "DataStream::read(): end of data: iostream error"},
		{"getaddednodeinfo", `[""]`, -24, "Error: Node has not been added."},
		{"getnodeaddresses", `[1,""]`, -8, "Network not recognized: "},
		{"scantxoutset", `["` + genesis + `"]`, -8, "Invalid action '" + genesis + "'"},
		{"getblock", `{"verbosity":1}`, -3, wrong("1 (blockhash)", "null", "string")},
		{"getblock", `["00"]`, -8, "blockhash must be of length 64 (not 2, for '00')"},
		{"getblock", `["` + strings.Repeat("x", 64) + `"]`, -8, "blockhash must be hexadecimal string (not '" + strings.Repeat("x", 64) + "')"},
		{"getblock", `["` + strings.Repeat("0", 64) + `"]`, -5, "Block not found"},
		{"getblockheader", `["00"]`, -8, "hash must be of length 64 (not 2, for '00')"},
		{"getblockheader", `["` + genesis + `",1]`, -3, wrong("2 (verbose)", "number", "bool")},
		{"gettxout", `["` + genesis + `",4294967295]`, 0, ""},
		{"gettxout", `["` + genesis + `",4294967296]`, -1, "JSON integer out of range"},
		{"gettxout", `["` + genesis + `",-1]`, -1, "JSON integer out of range"},
	} {
		body := `{"jsonrpc":"2.0","id":1,"method":"` + test.method + `","params":` + test.params + `}`
		_, answer := n.post(body)
		var reply struct {
			Result json.RawMessage
			Error  *struct {
				Code    int
				Message string
			}
		}
		check(t, json.Unmarshal([]byte(answer), &reply))
		switch {
		case reply.Error == nil && test.code == 0:
		case reply.Error == nil || reply.Error.Code != test.code || reply.Error.Message != test.message:
			t.Errorf("%s %s: %s, want %d %s", test.method, test.params, answer, test.code, test.message)
		}
	}
}
