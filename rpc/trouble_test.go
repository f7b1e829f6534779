package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lode/rpc"
)

// brokenNetwork has a bug.
type brokenNetwork struct{ fakeNetwork }

func (*brokenNetwork) Ping() { panic("a bug") }

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	n := newNode(t, "regtest", 0, func(c *rpc.Config) {
		c.Network, c.Log = &brokenNetwork{}, slog.New(slog.NewTextHandler(&log, nil))
	})
	status, answer := n.post(`[{"method":"ping","id":1},{"method":"getblockcount","id":2}]`)
	want := `[{"result":null,"error":{"code":-32603,"message":"internal error, see the log of the node"},"id":1},{"result":0,"error":null,"id":2}]`
	if status != 200 || answer != want {
		t.Errorf("status %d and %s, want %s", status, answer, want)
	}
	for _, part := range []string{"a bug", "method=ping", "trouble_test.go"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %q: %s", part, log.String())
		}
	}
}

// TestClosedLedger calls what reads the ledger after it was closed, as may
// happen to the last calls of a node that stops.
func TestClosedLedger(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 101)
	payment, block := n.payment(1, 1000), n.block(1)
	next := solve(n.template())
	check(t, n.chain.Close())
	for _, call := range []struct {
		method string
		params []any
	}{
		{"gettxout", []any{payment.TxID(), 0}},
		{"gettxoutsetinfo", nil},
		{"gettxoutsetinfo", []any{"muhash"}},
		{"getblock", []any{block.Header.Hash(), 2}},
		{"sendrawtransaction", []any{hexTx(payment)}},
		{"testmempoolaccept", []any{[]string{hexTx(payment)}}},
		{"submitblock", []any{hexBlock(next)}},
		{"generatetoaddress", []any{1, n.address}},
		{"getrawmempool", nil},
		{"getmempoolinfo", nil},
		{"getmininginfo", nil},
	} {
		if _, failure := n.call(call.method, call.params...); failure == nil || failure.Code != -1 {
			t.Errorf("%s: %+v, want an error with code -1", call.method, failure)
		}
	}
	same(t, ok[any](n, "getblockcount"), 101)
}

// TestInterrupted stops a long call: mining tells what it has until then.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	resp := n.do(authorized(`{"method":"generatetoaddress","params":[1000000,"` + n.address + `"]}`).WithContext(ctx))
	var answer bytes.Buffer
	_, err := answer.ReadFrom(resp.Body)
	check(t, err)
	if got, want := strings.TrimSpace(answer.String()), `{"result":[],"error":null}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestAtOnce makes calls that read while others mine and pay; the race detector
// watches.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 110)
	tip := n.chain.Tip().Hash.String()
	bodies := []string{
		`{"method":"generatetoaddress","params":[2,"` + n.address + `"],"id":1}`,
		`[{"method":"getblockchaininfo"},{"method":"getbestblockhash"},{"method":"getmininginfo"},{"method":"getchaintips"},{"method":"getdifficulty"}]`,
		`[{"method":"getrawmempool","params":[true]},{"method":"getmempoolinfo"},{"method":"getrawmempool","params":[false,true]}]`,
		`[{"method":"getblock","params":["` + tip + `",3]},{"method":"getblockheader","params":["` + tip + `"]},{"method":"gettxoutsetinfo"}]`,
		`[{"method":"setmocktime","params":[0]},{"method":"addnode","params":["10.0.0.1","add"]},{"method":"getaddednodeinfo"},{"method":"help"}]`,
	}
	for height := range uint32(5) {
		payment := n.payment(height+1, 1000)
		bodies = append(bodies, `{"method":"sendrawtransaction","params":["`+hexTx(payment)+`"]}`,
			`[{"method":"gettxout","params":["`+payment.TxID().String()+`",0]},{"method":"getrawtransaction","params":["`+payment.TxID().String()+`",2]}]`)
	}
	var wg sync.WaitGroup
	for _, body := range bodies {
		wg.Go(func() {
			for range 3 {
				n.post(body)
			}
		})
	}
	wg.Wait()
	if height := n.chain.Tip().Height; height < 111 {
		t.Errorf("height %d", height)
	}
}

// TestDamagedBlockIsSaid overwrites the value of a coinbase on disk: no call
// shows it, and each says what is wrong instead, as long as nobody has sent the
// block again; so does an invalidation that needs it.
func TestDamagedBlockIsSaid(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 5)
	block := n.block(3)
	hash, raw := block.Header.Hash(), block.Bytes()
	name := filepath.Join(n.dir, "blocks", "blk00000.dat")
	data, err := os.ReadFile(name)
	check(t, err)
	value := binary.LittleEndian.AppendUint64(nil, uint64(block.Txs[0].Out[0].Value))
	copy(data[bytes.Index(data, raw)+bytes.LastIndex(raw, append(value, byte(len(n.script)))):], "eight by")
	check(t, os.WriteFile(name, data, 0o600))
	for _, call := range []struct {
		method string
		params []any
	}{
		{"getblock", []any{hash, 0}},
		{"getblock", []any{hash, 1}},
		{"getblock", []any{hash, 3}},
		{"getrawtransaction", []any{block.Txs[0].TxID(), 1, hash}},
		{"invalidateblock", []any{n.block(2).Header.Hash()}},
	} {
		if _, failure := n.call(call.method, call.params...); failure == nil || failure.Code != -20 ||
			!strings.Contains(failure.Message, "damaged on disk") || !strings.Contains(failure.Message, hash.String()) {
			t.Errorf("%s: %+v, want an error with code -20 that says what is damaged", call.method, failure)
		}
	}
	same(t, n.chain.Tip().Height, 3)
	check(t, n.chain.AddBlock(block))
	same(t, n.chain.Tip().Height, 1)
	same(t, ok[any](n, "getblock", hash, 0), hexBlock(block))
}
