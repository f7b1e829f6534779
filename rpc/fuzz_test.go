package rpc_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// FuzzServe posts bodies as somebody who is let in: whatever they hold, no
// method panics, and every answer is JSON.
func FuzzServe(f *testing.F) {
	n := newNode(f, "regtest", 101)
	payment := n.payment(1, 1000)
	check(f, n.pool.Add(payment))
	block := n.block(1)
	hash, header := block.Header.Hash(), hex.EncodeToString(block.Header.Append(nil))
	seeds := []string{
		``, `{}`, `[]`, `null`, `[1,{}]`, `{"method":null}`, `{"jsonrpc":"2.0","method":"ping"}`, `{"method":"getblockhash","params":{"args":[1],"height":2}}`,
		`[{"jsonrpc":"2.0","method":"help","id":[]},{"method":"uptime","id":{}}]`, `{"method":"stop","params":[0]}`,
	}
	for _, name := range allMethods {
		seeds = append(seeds, fmt.Sprintf(`{"method":%q,"params":[],"id":1}`, name))
	}
	seeds = append(seeds, fmt.Sprintf(`{"method":"getblocktemplate","params":[{"mode":"proposal","data":%q}]}`, hexBlock(block)))
	psbtSeed := fmt.Sprintf("%q", ok[string](n, "converttopsbt", hexTx(payment), true))
	for method, params := range map[string]string{
		"getblock": fmt.Sprintf(`%q,3`, hash), "getblockheader": fmt.Sprintf(`%q,true`, hash), "getblockhash": `5`, "gettxout": fmt.Sprintf(`%q,0,true`, payment.TxID()),
		"gettxoutsetinfo": `"muhash",null,true`, "getrawtransaction": fmt.Sprintf(`%q,2,%q`, block.Txs[0].TxID(), hash), "decoderawtransaction": fmt.Sprintf(`%q,true`, hexTx(payment)),
		"sendrawtransaction": fmt.Sprintf(`%q,0.1,"1e-8"`, hexTx(payment)), "testmempoolaccept": fmt.Sprintf(`[%q],0`, hexTx(payment)), "submitblock": fmt.Sprintf(`%q,""`, hexBlock(block)),
		"submitheader": fmt.Sprintf(`%q`, header), "generatetoaddress": fmt.Sprintf(`1,%q,10`, n.address), "getblocktemplate": fmt.Sprintf(`{"rules":["segwit"],"longpollid":"%s5","mode":"template"}`, hash),
		"generateblock": fmt.Sprintf(`%q,[%q],false`, n.address, hexTx(payment)), "getnetworkhashps": `-1,50`, "getmempoolentry": fmt.Sprintf(`%q`, payment.TxID()),
		"getmempoolancestors": fmt.Sprintf(`%q,true`, payment.TxID()), "gettxspendingprevout": fmt.Sprintf(`[{"txid":%q,"vout":0}]`, payment.TxID()),
		"getrawmempool": `true,false`, "estimatesmartfee": `6,"economical"`, "validateaddress": fmt.Sprintf(`%q`, n.address), "addnode": `"10.0.0.1:1","add",false`,
		"setban": `"192.0.2.0/24","add",60,false`, "getnodeaddresses": `2,"ipv4"`, "setnetworkactive": `true`, "dumptxoutset": `"coins","latest"`,
		"getblockstats": `1,["txs"]`, "gettxoutproof": fmt.Sprintf(`[%q],%q`, block.Txs[0].TxID(), hash), "waitforblockheight": `1,1`,
		"createrawtransaction": fmt.Sprintf(`[{"txid":%q,"vout":0}],[{%q:"1e-3"},{"data":"00"}],1,true,3`, payment.TxID(), n.address), "combinerawtransaction": fmt.Sprintf(`[%q]`, hexTx(payment)),
		"decodepsbt": psbtSeed, "analyzepsbt": psbtSeed, "finalizepsbt": psbtSeed, "combinepsbt": "[" + psbtSeed + "," + psbtSeed + "]", "joinpsbts": "[" + psbtSeed + "," + psbtSeed + "]",
		"utxoupdatepsbt": psbtSeed + `,[{"desc":"raw(51)","range":[0,1]}]`, "descriptorprocesspsbt": psbtSeed + `,["raw(51)"],"ALL",true,true`,
		"converttopsbt": fmt.Sprintf(`%q,true,true`, hexTx(payment)), "createpsbt": fmt.Sprintf(`[{"txid":%q,"vout":0}],[{"data":"00"}]`, payment.TxID()),
		"signrawtransactionwithkey": fmt.Sprintf(`%q,[],[{"txid":%q,"vout":0,"scriptPubKey":"51","amount":1}],"NONE"`, hexTx(payment), payment.TxID()),
		"scantxoutset":              fmt.Sprintf(`"start",["addr(%s)",{"desc":"raw(51)","range":[0,5]}]`, n.address), "getdescriptorinfo": `"raw(51)#8lvh9jxk"`,
		"deriveaddresses": `"raw(51)#8lvh9jxk",[0,1]`, "decodescript": `"51"`, "importmempool": `"mempool.dat",{"use_current_time":false}`, "estimaterawfee": `6,0.5`, "explain": `"0"`,
		"signmessagewithprivkey": `"cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW","m"`, "verifymessage": fmt.Sprintf(`%q,"AUA=","m"`, n.address),
		"logging": `["net"],["all"]`, "getchaintxstats": fmt.Sprintf(`1,%q`, hash), "verifychain": `4,2`, "generatetodescriptor": `1,"raw(51)",5`,
		"disconnectnode": `"",5`, "getaddednodeinfo": `"10.0.0.1:1"`, "setmocktime": `1900000000`, "getmemoryinfo": `"stats"`, "help": `"help"`,
		"addconnection": `"10.0.0.1:1","block-relay-only",false`, "addpeeraddress": `"192.0.2.1",1,true`, "getblockfrompeer": fmt.Sprintf(`%q,0`, hash), "getorphantxs": `2`,
		"sendmsgtopeer": `0,"ping","00"`, "mockscheduler": `60`, "setclockahead": `-5`, "setgenerate": `true,1000`,
		"scanblocks": fmt.Sprintf(`"start",["addr(%s)"],0,2,"basic",{"filter_false_positives":true}`, n.address), "getblockfilter": fmt.Sprintf(`%q,"basic"`, hash),
		"getdescriptoractivity": fmt.Sprintf(`[%q],["addr(%s)",{"desc":"raw(51)","range":[0,5]}],true`, hash, n.address),
		"getsilentblocks":       `1,10`, "getsilentmempool": `"x-1"`,
	} {
		seeds = append(seeds, fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":[%s],"id":1}`, method, params))
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		// A million blocks are a fair request, but not here.
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		resp := n.do(authorized(body).WithContext(ctx))
		answer, err := io.ReadAll(resp.Body)
		check(t, err)
		switch resp.StatusCode {
		case 204:
			if len(answer) > 0 {
				t.Errorf("204 with %q", answer)
			}
		case 200, 400, 404, 500:
			if !json.Valid(answer) {
				t.Errorf("status %d without JSON: %q", resp.StatusCode, answer)
			}
		default:
			t.Errorf("status %d", resp.StatusCode)
		}
		if strings.Contains(string(answer), `"code":-32603`) {
			t.Errorf("a method has panicked, or its result cannot be encoded: %s", answer)
		}
	})
}
