package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/rpc/client"
	"lode/rpc/code"
	"lode/wallet"
)

// answers is an RPC server for tests: each method gives a result in JSON, or an
// error.
func answers(t *testing.T, methods map[string]func(params []any) (string, *client.Error)) *walletNode {
	t.Helper()
	type call struct {
		ID     int
		Method string
		Params []any
	}
	answer := func(c call) string {
		method, ok := methods[c.Method]
		if !ok {
			method = func([]any) (string, *client.Error) {
				return "", &client.Error{Code: code.NoMethod, Message: "Method not found"}
			}
		}
		result, refused := method(c.Params)
		if refused != nil {
			return fmt.Sprintf(`{"id":%d,"error":{"code":%d,"message":%q}}`, c.ID, refused.Code, refused.Message)
		}
		return fmt.Sprintf(`{"id":%d,"result":%s}`, c.ID, result)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var one call
		var many []call
		if json.Unmarshal(body, &many) == nil {
			texts := make([]string, len(many))
			for i, c := range many {
				texts[i] = answer(c)
			}
			io.WriteString(w, "["+strings.Join(texts, ",")+"]")
		} else if json.Unmarshal(body, &one) == nil {
			io.WriteString(w, answer(one))
		}
	}))
	t.Cleanup(server.Close)
	cl, err := client.New(server.URL, client.Auth{})
	if err != nil {
		t.Fatal(err)
	}
	return newWalletNode(cl, "bcrt")
}

// TestWalletNodePruned asks a pruned node for a block that it has no more, and
// another node for one that it does not give for another reason.
func TestWalletNodePruned(t *testing.T) {
	for info, want := range map[string]string{
		`{"pruned":true,"pruneheight":1234}`: "the node has pruned its blocks below height 1234, which this wallet has yet to read: ask a node that has all blocks (--rpc URL)",
		`{"pruned":true,"pruneheight":0}`:    "block " + consensus.Hash{7}.String() + ": error -1: not there",
		`{"pruned":false}`:                   "block " + consensus.Hash{7}.String() + ": error -1: not there",
	} {
		n := answers(t, map[string]func([]any) (string, *client.Error){
			"getblock":          func([]any) (string, *client.Error) { return "", &client.Error{Code: code.Misc, Message: "not there"} },
			"getblockchaininfo": func([]any) (string, *client.Error) { return info, nil },
		})
		if _, err := n.Blocks(t.Context(), []consensus.Hash{{7}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", info, err, want)
		}
	}
}

func TestWalletNodeFeeRate(t *testing.T) {
	for name, c := range map[string]struct {
		info, estimate string
		want           wallet.FeeRate
	}{
		"node knows nothing": {`{"mempoolminfee":0.00000100,"minrelaytxfee":0.00000100}`, `{"errors":["Insufficient data"],"blocks":6}`, 1000},
		"no such method":     {`{"mempoolminfee":0.00000100}`, "", 1000},
		"full mempool":       {`{"mempoolminfee":0.00005001,"minrelaytxfee":0.00001000}`, "", 5001},
		"estimate":           {`{"mempoolminfee":0.00001000,"minrelaytxfee":0.00001000}`, `{"feerate":0.00012345,"blocks":6}`, 12345},
		"estimate too low":   {`{"mempoolminfee":0.00001000,"minrelaytxfee":0.00002000}`, `{"feerate":0.00000500}`, 2000},
	} {
		methods := map[string]func([]any) (string, *client.Error){"getmempoolinfo": func([]any) (string, *client.Error) { return c.info, nil }}
		if c.estimate != "" {
			methods["estimatesmartfee"] = func([]any) (string, *client.Error) { return c.estimate, nil }
		}
		if got, err := answers(t, methods).feeRate(t.Context(), confirmTarget); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, c.want)
		}
	}
	bad := answers(t, map[string]func([]any) (string, *client.Error){
		"getmempoolinfo": func([]any) (string, *client.Error) { return `{"mempoolminfee":1e-5}`, nil },
	})
	if _, err := bad.feeRate(t.Context(), confirmTarget); err == nil {
		t.Error("a rate that is not plain decimal passed")
	}
}

// TestWalletNodeBlocks: where blocks are too large for one answer, fewer are
// asked for, and one at least is delivered.
func TestWalletNodeBlocks(t *testing.T) {
	calls := 0
	n := answers(t, map[string]func([]any) (string, *client.Error){"getblock": func(params []any) (string, *client.Error) {
		calls++
		if len(params) != 2 || params[1] != 0.0 {
			t.Errorf("parameters %v", params)
		}
		return `"` + strings.Repeat("ab", 1000) + `"`, nil
	}})
	n.client.Limit = 7000
	got := 0
	for hashes := make([]consensus.Hash, 20); len(hashes) > 0; {
		blocks, err := n.Blocks(t.Context(), hashes)
		if err != nil || len(blocks) == 0 || len(blocks[0]) != 1000 {
			t.Fatalf("%d blocks, %v", len(blocks), err)
		}
		got += len(blocks)
		hashes = hashes[len(blocks):]
	}
	if got != 20 || calls > 20+20+10+5 {
		t.Errorf("%d blocks in %d calls", got, calls)
	}
	n.client.Limit = 100
	if _, err := n.Blocks(t.Context(), make([]consensus.Hash, 2)); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("a block above every limit: %v", err)
	}
}

func TestWalletNodeChain(t *testing.T) {
	genesis := consensus.Hash{1}
	tx := (&consensus.Tx{In: make([]consensus.TxIn, 1), Out: make([]consensus.TxOut, 1)})
	stale := consensus.Hash{2}
	gone := &client.Error{Code: code.Address, Message: "Block not found"}
	n := answers(t, map[string]func([]any) (string, *client.Error){
		"getblockchaininfo": func([]any) (string, *client.Error) {
			return fmt.Sprintf(`{"blocks":7,"bestblockhash":%q}`, genesis), nil
		},
		"getblockhash": func(params []any) (string, *client.Error) {
			if params[0].(float64) > 7 {
				return "", &client.Error{Code: code.Parameter, Message: "Block height out of range"}
			}
			return fmt.Sprintf("%q", genesis), nil
		},
		"scanmempool": func(params []any) (string, *client.Error) {
			if len(params) == 2 {
				return fmt.Sprintf(`{"loaded":true,"transactions":["%x"],"next":%q}`, tx.Bytes(), tx.TxID()), nil
			}
			return fmt.Sprintf(`{"loaded":false,"transactions":["%x"]}`, tx.Bytes()), nil
		},
		"getblockheader": func(params []any) (string, *client.Error) {
			switch params[0] {
			case genesis.String():
				return `{"height":0,"confirmations":9}`, nil
			case stale.String():
				return fmt.Sprintf(`{"height":1,"confirmations":-1,"previousblockhash":%q}`, genesis), nil
			}
			return "", gone
		},
		"sendrawtransaction": func([]any) (string, *client.Error) {
			return "", &client.Error{Code: -26, Message: "min relay fee not met"}
		},
	})
	if tip, err := n.Tip(t.Context()); err != nil || tip != (wallet.Point{Height: 7, Hash: genesis}) {
		t.Errorf("tip %v, %v", tip, err)
	}
	if h, err := n.BlockHashes(t.Context(), []uint32{7, 8}); err != nil || h[0] != genesis || h[1] != (consensus.Hash{}) {
		t.Errorf("hashes %v, %v", h, err)
	}
	q := wallet.PoolQuery{Keys: [][32]byte{{1}}, Coins: []consensus.OutPoint{{TxID: genesis}}}
	if a, err := n.Pending(t.Context(), q); err != nil || len(a.Txs) != 2 || a.Txs[0].TxID() != tx.TxID() || a.Loaded {
		t.Errorf("mempool %v, %v", a, err)
	}
	if fork, left, err := n.forkOf(t.Context(), stale); err != nil || fork.Hash != genesis || len(left) != 1 || left[0] != stale {
		t.Errorf("a stale block leads to %v, %v, %v", fork, left, err)
	}
	if _, _, err := n.forkOf(t.Context(), consensus.Hash{3}); err == nil {
		t.Error("a block that the node does not know was found")
	}
	if err := n.Send(t.Context(), tx); !errors.Is(err, wallet.ErrRefused) || !hasCode(err, -26) {
		t.Errorf("refused payment: %v", err)
	}
}

// TestWalletNodeIndex asks for the heights of many entries, page by page, and
// nothing of a node without the index.
func TestWalletNodeIndex(t *testing.T) {
	synced := true
	n := answers(t, map[string]func([]any) (string, *client.Error){
		"getindexinfo": func([]any) (string, *client.Error) { return fmt.Sprintf(`{"addrindex":{"synced":%v}}`, synced), nil },
		"getaddressdeltas": func(params []any) (string, *client.Error) {
			q := params[0].(map[string]any)
			start, end, count := int(q["start"].(float64)), int(q["end"].(float64)), int(q["count"].(float64))
			var list []string // three entries in every block
			for h := start; h <= end && len(list) < count; h++ {
				for range 3 {
					list = append(list, fmt.Sprintf(`{"height":%d}`, h))
				}
			}
			return "[" + strings.Join(list[:min(len(list), count)], ",") + "]", nil
		},
	})
	heights, ok, err := n.HeightsOf(t.Context(), make([][32]byte, addressBatch+1), 3, 9000)
	if err != nil || !ok || len(heights) != 8998 || heights[0] != 3 || heights[8997] != 9000 {
		t.Errorf("%d heights, %v, %v", len(heights), ok, err)
	}
	synced = false
	if _, ok, err := n.HeightsOf(t.Context(), make([][32]byte, 1), 0, 1); ok || err != nil {
		t.Errorf("an index that is being built was asked: %v, %v", ok, err)
	}
}

// TestWalletNodeWaitsForDamaged asks for blocks of which one is damaged on the
// node's disk: it gets those before it at once, and that one when it has been
// mended.
func TestWalletNodeWaitsForDamaged(t *testing.T) {
	asked := 0
	n := answers(t, map[string]func([]any) (string, *client.Error){
		"getblock": func(params []any) (string, *client.Error) {
			if params[0] != (consensus.Hash{2}).String() {
				return `"01"`, nil
			}
			if asked++; asked < 3 {
				return "", &client.Error{Code: code.Database, Message: "block 2 is damaged on disk"}
			}
			return `"02"`, nil
		},
	})
	n.retry = time.Millisecond
	hashes := []consensus.Hash{{1}, {2}, {3}}
	for _, want := range []string{"[[1]]", "[[2] [1]]"} {
		got, err := n.Blocks(t.Context(), hashes)
		if err != nil || fmt.Sprint(got) != want {
			t.Fatalf("got %v, want %s: %v", got, want, err)
		}
		hashes = hashes[len(got):]
	}
	if asked != 3 {
		t.Errorf("it was asked for %d times", asked)
	}
}
