package electrum_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/rpc/electrum"
	"lode/rpc/rpctest"
	"lode/rpc/scripthash"
)

// TestSubscriberIsToldOfEachChange: of a payment, of its confirmation, and of a reorg
// that takes it back, once each; of a block that does not concern it, never.
func TestSubscriberIsToldOfEachChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 105)
	c := w.connect("1.6")
	alice := rpctest.ScriptOf(rpctest.Key(1))
	id := scripthash.Of(alice)
	status := func() any {
		txs, pool, err := w.Index.History(t.Context(), id, 1000)
		rpctest.Check(t, err)
		return plain(t, electrum.StatusText(txs, pool))
	}
	c.gives(nil, "blockchain.scripthash.subscribe", id)
	told := func(what string) {
		t.Helper()
		got := c.notified("blockchain.scripthash.subscribe")
		if want := status(); got[0] != id.String() || got[1] != want {
			t.Fatalf("%s: told of %v, want %v", what, got, want)
		}
	}
	tx := w.Add(w.Pay(rpctest.Subsidy, w.Coinbase(1), out(rpctest.Subsidy-1000, alice)))
	told("payment")
	w.Mine(1)
	told("confirmation")
	w.Mine(1) // concerns nobody
	child := w.Add(w.PayWith(rpctest.Key(1), rpctest.Subsidy-1000, consensus.OutPoint{TxID: tx.TxID()}, out(rpctest.Subsidy-3000, w.Script)))
	told("spend")
	w.Reorg(2) // the payment is unconfirmed again, and the spend depends on it
	for got := c.notified("blockchain.scripthash.subscribe"); got[1] != status(); {
		got = c.notified("blockchain.scripthash.subscribe")
	}
	if s := status(); s == nil || len(c.news) > 0 {
		t.Errorf("%v, %d more", s, len(c.news))
	}
	if pool, err := w.Index.Mempool(id); err != nil || len(pool) != 2 || pool[0].TxID != tx.TxID() || pool[1].TxID != child.TxID() || pool[1].Height() != -1 {
		t.Errorf("%v %v", pool, err)
	}
	c.gives(status(), "blockchain.scripthash.subscribe", id)
	c.gives(true, "blockchain.scripthash.unsubscribe", id)
	w.Mine(1)
	c.gives(nil, "server.ping")
	if len(c.news) > 0 {
		t.Errorf("told after it has unsubscribed: %v", c.news)
	}
}

// TestChildIsToldWhenItsParentConfirms: its height changes from -1 to 0, though no
// block and no new transaction concerns its script.
func TestChildIsToldWhenItsParentConfirms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 105)
	c := w.connect("1.6")
	bob := rpctest.ScriptOf(rpctest.Key(2))
	parent := w.Add(w.Pay(rpctest.Subsidy, w.Coinbase(1), out(rpctest.Subsidy-1000, w.Script)))
	child := w.Add(w.Pay(rpctest.Subsidy-1000, consensus.OutPoint{TxID: parent.TxID()}, out(rpctest.Subsidy-3000, bob)))
	c.gives([]any{object{"tx_hash": child.TxID(), "height": -1, "fee": 2000}}, "blockchain.scripthash.get_history", scripthash.Of(bob))
	var before *string
	c.ok(&before, "blockchain.scripthash.subscribe", scripthash.Of(bob))
	w.MineOnly(parent)
	if got := c.notified("blockchain.scripthash.subscribe"); got[1] == *before {
		t.Errorf("told of what it knows: %v", got)
	}
	c.gives([]any{object{"tx_hash": child.TxID(), "height": 0, "fee": 2000}}, "blockchain.scripthash.get_history", scripthash.Of(bob))
}

// TestHeadersAreTold of a block and of a reorg, to those who subscribed alone.
func TestHeadersAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	c, other := w.connect("1.4"), w.connect("1.4")
	var first object
	c.ok(&first, "blockchain.headers.subscribe")
	w.Mine(1)
	got := c.notified("blockchain.headers.subscribe")
	if h := got[0].(object); h["height"] != 6.0 {
		t.Errorf("told of %v", got)
	}
	w.Reorg(3)
	tip := w.Chain.Tip()
	for {
		h := c.notified("blockchain.headers.subscribe")[0].(object)
		if h["height"] == float64(tip.Height) {
			break
		}
	}
	other.gives(nil, "server.ping")
	if len(other.news) > 0 {
		t.Errorf("told without asking: %v", other.news)
	}
}

// TestSlowReaderHarmsNobody: a client that does not read, and subscribes to what
// changes most, leaves the others as they are, and learns the last state once it reads.
func TestSlowReaderHarmsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 102)
	slow, quick := w.connect("1.6"), w.connect("1.6")
	id := scriptID(w.Script)
	var status *string
	slow.ok(&status, "blockchain.scripthash.subscribe", id)
	quick.ok(&status, "blockchain.scripthash.subscribe", id)
	for range 200 { // answers of 2 MB that nobody reads
		slow.send(`{"id":1,"method":"blockchain.scripthash.get_history","params":["` + id + "\"]}\n")
	}
	for range 20 {
		w.Mine(1)
		quick.notified("blockchain.scripthash.subscribe")
		quick.gives(nil, "server.ping")
	}
	quick.ok(&status, "blockchain.scripthash.subscribe", id)
	last := ""
	for last != *status {
		if m := slow.receive(); m.Method == "blockchain.scripthash.subscribe" {
			var params []string
			rpctest.Check(t, json.Unmarshal(m.Params, &params))
			last = params[1]
		}
	}
}

// TestBadInputIsAnswered: garbage gets the error of the protocol, and the connection
// goes on.
func TestBadInputIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := w.connect("1.6")
	for _, x := range []struct {
		line string
		id   string
		code int
		text string
	}{
		{"garbage", "null", -32700, "invalid JSON"},
		{"{\"id\":1", "null", -32700, "invalid JSON"},
		{"\"\xff\"", "null", -32700, "invalid JSON"},
		{"1", "null", -32600, "request is no object"},
		{"[]", "null", -32600, "batch is empty"},
		{"[" + strings.Repeat("1,", 100) + "1]", "null", -32600, "101 calls in a batch, want at most 100"},
		{`{"id":7}`, "7", -32600, "method must be a string"},
		{`{"id":7,"method":null}`, "7", -32600, "method must be a string"},
		{`{"id":"a","method":5}`, `"a"`, -32600, "method must be a string"},
		{`{"id":[1],"method":"server.ping"}`, "null", -32600, "id must be a number, a string or null, and short"},
		{`{"id":"` + strings.Repeat("x", 2000) + `","method":"server.ping"}`, "null", -32600, "id must be a number, a string or null, and short"},
		{`{"id":1,"method":"server.ping","params":5}`, "1", -32600, "params must be an array or an object"},
		{`{"id":1,"method":"blockchain.block.header","params":{"height":0,"x":1}}`, "1", -32602, `unknown parameter "x"`},
		{`{"id":1,"method":"nothing"}`, "1", -32601, `unknown method "nothing"`},
	} {
		c.send(x.line + "\n")
		m := c.receive()
		if m.Error == nil || string(m.ID) != x.id || m.Error.Code != x.code || m.Error.Message != x.text {
			t.Errorf("%.40q: id %s, %+v", x.line, m.ID, m.Error)
		}
	}
	// Calls by name, without params, without id, and in a batch.
	c.send(`{"id":1,"method":"blockchain.block.header","params":{"height":0}}` + "\n")
	if m := c.receive(); m.Error != nil || len(m.Result) != 162 {
		t.Errorf("by name: %+v", m)
	}
	c.send("\r\n{\"method\":\"server.ping\"}\n[{\"id\":null,\"method\":\"server.ping\"},{\"id\":2,\"method\":\"server.banner\"},{\"method\":\"server.ping\"}]\n")
	_ = c.net.SetReadDeadline(time.Now().Add(patience))
	line, err := c.r.ReadBytes('\n')
	var batch []message
	if err != nil || json.Unmarshal(line, &batch) != nil || len(batch) != 2 || string(batch[1].ID) != "2" {
		t.Errorf("%s %v", line, err)
	}
	if n := w.server.Counts().Errors.Load(); n < 12 {
		t.Errorf("%d errors counted", n)
	}
}

// TestFirstLineMustBeAnObject: a form that a web page had a browser send here ends the
// connection at its first byte, as does anything else.
func TestFirstLineMustBeAnObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for _, line := range []string{"POST / HTTP/1.1\r\n", "GET", "[{\"id\":1,\"method\":\"server.ping\"}]\n", "  [1]\n", "\n", "5\n", "\x16\x03\x01"} {
		c := w.dial()
		c.send(line)
		c.cut()
	}
	for _, first := range []string{`["1.7"]`, `["1.7","1.9"]`, `["1.0","1.3"]`} {
		c := w.dial()
		var pair []string
		_ = json.Unmarshal([]byte(first), &pair)
		if len(pair) == 1 {
			c.send(`{"id":1,"method":"server.version","params":["x","1.7"]}` + "\n")
		} else {
			c.send(`{"id":1,"method":"server.version","params":["x",` + first + `]}` + "\n")
		}
		if m := c.receive(); m.Error == nil || !strings.HasPrefix(m.Error.Message, "unsupported protocol version") {
			t.Errorf("%s: %+v", first, m)
		}
		c.cut()
	}
}

// TestVersionsAreNegotiated: there is no 1.5, and 1.6 is only for who asks first.
func TestVersionsAreNegotiated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for _, x := range []struct{ params, want string }{
		{`[]`, "1.4"}, {`["x"]`, "1.4"}, {`["x","1.4"]`, "1.4"}, {`["x","1.4.2"]`, "1.4.2"}, {`["x",["1.2","1.4.1"]]`, "1.4.1"}, {`["x",["1.4","1.5"]]`, "1.4.3"},
		{`["x",["1.4","1.6"]]`, "1.6"}, {`["x",["1.4","2.0"]]`, "1.6"}, {`["x",["1.4","1.6"],"more",9999.9,{}]`, "1.6"},
	} {
		c := w.dial()
		c.send(`{"id":1,"method":"server.version","params":` + x.params + "}\n")
		var got []string
		if m := c.receive(); json.Unmarshal(m.Result, &got) != nil || got[1] != x.want {
			t.Errorf("%s: %+v, want %s", x.params, m, x.want)
		}
	}
	late := w.dial()
	late.gives(nil, "server.ping")
	late.refused(1, `["1.4",5] is not a version of the protocol, nor a list of two`, "server.version", "x", []any{"1.4", 5})
	late.refused(1, `"1" is not a version of the protocol, nor a list of two`, "server.version", "x", "1")
	late.gives([]string{"Lode 1.2.3", "1.4.3"}, "server.version", "x", []string{"1.4", "1.6"})
}

// TestLinesAreBounded: half a line for ever and a line without end take no more than
// their share.
func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	short := newWorld(t, 1, func(cfg *electrum.Config) { cfg.IdleTimeout = 200 * time.Millisecond })
	idle := short.dial()
	idle.send("{\"id\":")
	short.dial().cut()
	w := newWorld(t, 1)
	long := w.dial()
	go func() {
		part := bytes.Repeat([]byte("{"), 64<<10)
		for range 40 {
			if _, err := long.net.Write(part); err != nil {
				return
			}
		}
	}()
	long.cut()
	c := w.connect("1.6") // a package of the largest size fits
	c.send(`{"id":5,"method":"blockchain.transaction.broadcast","params":["` + strings.Repeat("00", 900_000) + "\"]}\n")
	if m := c.receive(); m.Error == nil || m.Error.Code != 1 {
		t.Errorf("%+v", m)
	}
}

// TestHistoriesAreBounded: a script with more transactions than an answer holds gets an
// error, its balance an answer, and who has subscribed to it before is cut rather than
// left in the dark.
func TestHistoriesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, func(cfg *electrum.Config) { cfg.MaxHistory = 10 })
	c, other := w.connect("1.6"), w.connect("1.6")
	id := scriptID(w.Script)
	var status *string
	var list []object
	c.ok(&status, "blockchain.scripthash.subscribe", id)
	c.ok(&list, "blockchain.scripthash.get_history", id)
	w.Mine(1)
	c.cut()
	other.refused(1, "history too large: it has 11 transactions, more than 10", "blockchain.scripthash.subscribe", id)
	other.refused(1, "history too large: it has 11 transactions, more than 10", "blockchain.scripthash.get_history", id)
	other.refused(1, "history too large: it has 11 unspent outputs, more than 10", "blockchain.scripthash.listunspent", id)
	other.gives(object{"confirmed": int64(11 * rpctest.Subsidy), "unconfirmed": 0}, "blockchain.scripthash.get_balance", id)
	if n := w.server.Subscriptions(); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

// TestSubscriptionsAreBounded: a million of them get an error and harm nobody.
func TestSubscriptionsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(cfg *electrum.Config) { cfg.MaxSubs = 3 })
	c := w.connect("1.6")
	var status *string
	for _, id := range []string{"01", "02"} {
		c.ok(&status, "blockchain.scripthash.subscribe", strings.Repeat(id, 32))
	}
	c.ok(&status, "blockchain.scripthash.subscribe", nobody)
	c.refused(-101, "too many subscriptions", "blockchain.scripthash.subscribe", strings.Repeat("ab", 32))
	c.gives(true, "blockchain.scripthash.unsubscribe", nobody)
	c.ok(&status, "blockchain.scripthash.subscribe", strings.Repeat("ab", 32))
	_ = c.net.Close()
	for end := time.Now().Add(patience); w.server.Subscriptions() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d subscriptions are left", w.server.Subscriptions())
		}
	}
}

// TestConnectionsOfAnAddressAreBounded: the oldest of an address that is a stranger's
// makes room.
func TestConnectionsOfAnAddressAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(cfg *electrum.Config) {
		cfg.MaxPerAddress, cfg.Local = 3, func(netip.Addr) bool { return false }
	})
	var clients []*client
	for range 4 {
		clients = append(clients, w.connect("1.4"))
	}
	clients[0].cut()
	for _, c := range clients[1:] {
		c.gives(nil, "server.ping")
	}
	if n := w.server.Connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// TestErrorsAreCounted: who sends nothing but nonsense is cut in the end.
func TestErrorsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	c := w.connect("1.4")
	go func() {
		for range 1000 {
			if _, err := fmt.Fprint(c.net, "x\n"); err != nil {
				return
			}
		}
	}()
	c.cut()
}
