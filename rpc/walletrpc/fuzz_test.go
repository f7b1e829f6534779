package walletrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"lode/rpc"
)

// FuzzWalletCalls posts bodies under the path of a wallet: whatever they hold, no
// call panics, and every answer that comes in time is JSON.
func FuzzWalletCalls(f *testing.F) {
	n := newNode(f, "regtest")
	ok[any](n, "createwallet", "w")
	n = n.on("w")
	a := n.address()
	n.mine(101, a)
	coin := ok[[]object](n, "listunspent")[0]
	id := ok[string](n, "sendtoaddress", elsewhere(n), 1)
	raw := ok[object](n, "gettransaction", id)["hex"]
	psbt := ok[object](n, "walletcreatefundedpsbt", []any{}, object{elsewhere(n): 1})["psbt"]
	desc := ok[struct{ Descriptors []object }](n, "listdescriptors").Descriptors[0]["desc"]
	known := n.wallets.Calls()
	for _, name := range slices.Sorted(maps.Keys(known)) {
		f.Add(fmt.Sprintf(`{"method":%q,"params":[],"id":1}`, name))
	}
	for method, params := range map[string]string{
		"createwallet": `"x",true,true,"",false,true,null,false`, "loadwallet": `"../w",true`, "restorewallet": `"x","settings.json"`, "backupwallet": `"blocks/x"`,
		"getbalance": `"*",1,true,false`, "listunspent": fmt.Sprintf(`0,9999999,[%q],true,{"minimumAmount":"1e-8","maximumCount":1}`, a),
		"lockunspent": fmt.Sprintf(`false,[{"txid":%q,"vout":%v}],true`, coin["txid"], coin["vout"]), "rescanblockchain": `0,5`, "getnewaddress": `"x","bech32m"`,
		"getaddressinfo": fmt.Sprintf(`%q`, a), "setlabel": fmt.Sprintf(`%q,"x"`, a), "listtransactions": `"*",100,0`, "listsinceblock": `"",6,true,true,true,"x"`,
		"gettransaction": fmt.Sprintf(`%q,true,true`, id), "sendtoaddress": fmt.Sprintf(`%q,"0.01","c","t",true,false,null,"unset",null,"1.5",true`, a),
		"sendmany": fmt.Sprintf(`"",{%q:1},1,"c",[%q],true,6,"economical"`, a, a), "send": fmt.Sprintf(`[{%q:1},{"data":"00"}],null,"unset",1,{"inputs":[],"subtract_fee_from_outputs":[0],"change_position":1}`, a),
		"sendall": fmt.Sprintf(`[%q,{%q:0.1}],null,"unset",1,{"send_max":true,"psbt":true}`, a, elsewhere(n)), "bumpfee": fmt.Sprintf(`%q,{"fee_rate":20,"outputs":[{%q:1}]}`, id, a),
		"fundrawtransaction": fmt.Sprintf(`%q,{"changeAddress":%q,"feeRate":"0.0001"},true`, raw, a), "walletprocesspsbt": fmt.Sprintf(`%q,true,"ALL",true,false`, psbt),
		"walletcreatefundedpsbt":       fmt.Sprintf(`[{"txid":%q,"vout":0,"sequence":1}],{%q:1},5,{"add_inputs":true}`, coin["txid"], a),
		"signrawtransactionwithwallet": fmt.Sprintf(`%q,[{"txid":%q,"vout":0,"scriptPubKey":"51","amount":1}],"NONE"`, raw, id), "simulaterawtransaction": fmt.Sprintf(`[%q]`, raw),
		"importdescriptors": fmt.Sprintf(`[{"desc":%q,"timestamp":"now","range":[0,5],"next_index":2,"active":true,"internal":false,"label":""}]`, desc),
		"listdescriptors":   `true`, "gethdkeys": `{"private":true,"active_only":true}`, "walletpassphrase": `"x",1`, "signmessage": fmt.Sprintf(`%q,"m"`, a),
	} {
		f.Add(fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":[%s],"id":1}`, method, params))
	}
	f.Fuzz(func(t *testing.T, body string) {
		if strings.Contains(body, "generate") || strings.Contains(body, "encryptwallet") || strings.Contains(body, "keypoolrefill") {
			return // fair requests, but not thousands of times
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		r := httptest.NewRequest(http.MethodPost, "/wallet/w", bytes.NewBufferString(body)).WithContext(ctx)
		r.Host = "localhost"
		r.SetBasicAuth(rpc.CookieUser, password)
		w := httptest.NewRecorder()
		n.server.ServeHTTP(w, r)
		answer, err := io.ReadAll(w.Result().Body)
		check(t, err)
		late := w.Code == http.StatusServiceUnavailable && ctx.Err() != nil // a batch that nobody waits for ends without JSON
		if w.Code != http.StatusNoContent && !late && !json.Valid(answer) {
			t.Errorf("status %d without JSON: %q", w.Code, answer)
		}
		if strings.Contains(string(answer), "internal error, see the log") {
			t.Errorf("%q: a call panicked", body)
		}
	})
}
