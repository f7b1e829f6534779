package electrum_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lode/consensus"
	"lode/rpc/electrum"
	"lode/rpc/rpctest"
	"lode/rpc/scripthash"
)

// world is a node that serves wallets.
type world struct {
	*rpctest.Node
	t       *testing.T
	server  *electrum.Server
	address string
}

func newWorld(t *testing.T, blocks int, change ...func(*electrum.Config)) *world {
	t.Helper()
	n := rpctest.New(t, blocks)
	cfg := electrum.Config{Spec: n.Spec, Ledger: n.Chain, Index: n.Index, Summary: scripthash.NewSummarizer(n.Index), Node: n.RPC, Software: "Lode 1.2.3"}
	for _, f := range change {
		f(&cfg)
	}
	w := &world{Node: n, t: t, server: electrum.New(cfg)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	rpctest.Check(t, err)
	w.address = l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.server.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	wg.Go(func() {
		if err := w.server.Serve(ctx, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(stop)
	return w
}

// client speaks the protocol, a line a message.
type client struct {
	t    *testing.T
	net  net.Conn
	r    *bufio.Reader
	next int
	news []message // notifications that came before an answer
}

type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *protocolError  `json:"error"`
}

type protocolError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

func (w *world) dial() *client {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.address)
	rpctest.Check(w.t, err)
	w.t.Cleanup(func() { _ = nc.Close() })
	return &client{t: w.t, net: nc, r: bufio.NewReader(nc)}
}

// connect dials and agrees on a version.
func (w *world) connect(version string) *client {
	w.t.Helper()
	c := w.dial()
	var got []string
	c.ok(&got, "server.version", "test", []string{"1.4", version})
	if len(got) != 2 || got[0] != "Lode 1.2.3" || got[1] != version {
		w.t.Fatalf("server.version: %q", got)
	}
	return c
}

func (c *client) send(line string) {
	c.t.Helper()
	_, err := c.net.Write([]byte(line))
	rpctest.Check(c.t, err)
}

func (c *client) receive() message {
	c.t.Helper()
	_ = c.net.SetReadDeadline(time.Now().Add(patience))
	line, err := c.r.ReadBytes('\n')
	if err != nil {
		c.t.Fatalf("nothing came: %v (%.100q)", err, line)
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		c.t.Fatalf("%.200s: %v", line, err)
	}
	return m
}

func (c *client) call(method string, params ...any) message {
	c.t.Helper()
	if params == nil {
		params = []any{}
	}
	c.next++
	line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": c.next, "method": method, "params": params})
	rpctest.Check(c.t, err)
	c.send(string(line) + "\n")
	for {
		m := c.receive()
		if m.Method != "" {
			c.news = append(c.news, m)
			continue
		}
		if string(m.ID) != fmt.Sprint(c.next) {
			c.t.Fatalf("%s: answer to %s, want %d", method, m.ID, c.next)
		}
		return m
	}
}

// ok makes a call that must succeed.
func (c *client) ok(v any, method string, params ...any) {
	c.t.Helper()
	m := c.call(method, params...)
	if m.Error != nil {
		c.t.Fatalf("%s %.100v: error %d: %s", method, params, m.Error.Code, m.Error.Message)
	}
	if err := json.Unmarshal(m.Result, v); err != nil {
		c.t.Fatalf("%s: %.200s: %v", method, m.Result, err)
	}
}

// gives makes a call that must give this JSON.
func (c *client) gives(want any, method string, params ...any) {
	c.t.Helper()
	m := c.call(method, params...)
	if m.Error != nil {
		c.t.Errorf("%s %.100v: error %d: %s", method, params, m.Error.Code, m.Error.Message)
		return
	}
	if diff := cmp.Diff(plain(c.t, want), plain(c.t, m.Result)); diff != "" {
		c.t.Errorf("%s %.100v (- want, + got):\n%s", method, params, diff)
	}
}

// refused makes a call that must fail with a code and a message.
func (c *client) refused(code int, text, method string, params ...any) {
	c.t.Helper()
	m := c.call(method, params...)
	if m.Error == nil || m.Error.Code != code || m.Error.Message != text {
		c.t.Errorf("%s %.100v: %+v %.100s, want error %d: %s", method, params, m.Error, m.Result, code, text)
	}
}

func plain(t *testing.T, v any) (out any) {
	t.Helper()
	b, err := json.Marshal(v)
	rpctest.Check(t, err)
	rpctest.Check(t, json.Unmarshal(b, &out))
	return out
}

// notified waits for a notification and gives its parameters.
func (c *client) notified(method string) []any {
	c.t.Helper()
	for {
		if i := slices.IndexFunc(c.news, func(m message) bool { return m.Method == method }); i >= 0 {
			m := c.news[i]
			c.news = slices.Delete(c.news, i, i+1)
			var params []any
			rpctest.Check(c.t, json.Unmarshal(m.Params, &params))
			return params
		}
		m := c.receive()
		if m.Method == "" {
			c.t.Fatalf("an answer to %s, want a notification", m.ID)
		}
		c.news = append(c.news, m)
	}
}

// cut waits until the server ends the connection.
func (c *client) cut() {
	c.t.Helper()
	_ = c.net.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, err := c.r.ReadBytes('\n'); err != nil {
			var slow net.Error
			if ok := errors.As(err, &slow); ok && slow.Timeout() {
				c.t.Errorf("the connection is not cut")
			}
			return
		}
	}
}

// object is a JSON object of any form.
type object = map[string]any

func scriptID(script []byte) string { return scripthash.Of(script).String() }
func hexTx(tx *consensus.Tx) string { return hex.EncodeToString(tx.Bytes()) }
func out(value consensus.Amount, script []byte) consensus.TxOut {
	return consensus.TxOut{Value: value, Script: script}
}
