package electrum_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"lode/rpc/electrum"
	"lode/rpc/rpctest"
)

// serve runs the server on one more port.
func (w *world) serve(l net.Listener, with func(context.Context, net.Listener) error) {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := with(ctx, l); err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
	w.t.Cleanup(wg.Wait)
	w.t.Cleanup(stop)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	rpctest.Check(t, err)
	return l
}

// TestWebSocket: calls and notifications as frames, from programs and allowed pages;
// other pages are refused, and so are garbage and what is no WebSocket.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	const page = "https://wallet.example"
	w := newWorld(t, 3, func(cfg *electrum.Config) { cfg.Origins = []string{page} })
	l := listen(t)
	w.serve(l, w.server.ServeWebSocket)
	url := "ws://" + l.Addr().String() + "/"
	dial := func(origin string) (*websocket.Conn, *http.Response, error) {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		ws, resp, err := websocket.DefaultDialer.Dial(url, header)
		if err == nil {
			t.Cleanup(func() { _ = ws.Close() })
			_ = ws.SetReadDeadline(time.Now().Add(patience))
		}
		return ws, resp, err
	}
	for _, origin := range []string{"https://evil.example", "http://" + l.Addr().String(), "null", page + ".evil.example"} {
		if _, resp, err := dial(origin); err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("a page of %s: %v", origin, err)
		}
	}
	resp, err := http.Get("http://" + l.Addr().String() + "/")
	if err != nil || resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("no WebSocket: %v", err)
	}
	_ = resp.Body.Close()
	for _, origin := range []string{"", page} {
		ws, _, err := dial(origin)
		rpctest.Check(t, err)
		for _, x := range []struct{ send, want string }{
			{`{"id":1,"method":"server.version","params":["x",["1.4","1.6"]]}`, `{"jsonrpc":"2.0","result":["Lode 1.2.3","1.6"],"id":1}`},
			{`{"id":2,"method":"server.ping"}`, `{"jsonrpc":"2.0","result":null,"id":2}`},
			{"garbage", `{"jsonrpc":"2.0","error":{"code":-32700,"message":"invalid JSON"},"id":null}`},
		} {
			rpctest.Check(t, ws.WriteMessage(websocket.TextMessage, []byte(x.send)))
			if _, got, err := ws.ReadMessage(); err != nil || string(got) != x.want {
				t.Errorf("%s: %s, %v", x.send, got, err)
			}
		}
		rpctest.Check(t, ws.WriteMessage(websocket.TextMessage, []byte(`{"id":3,"method":"blockchain.headers.subscribe"}`)))
		if _, got, err := ws.ReadMessage(); err != nil || len(got) < 160 {
			t.Errorf("%s, %v", got, err)
		}
		w.Mine(1)
		if _, got, err := ws.ReadMessage(); err != nil || len(got) < 160 || got[len(got)-1] != '}' {
			t.Errorf("%s, %v", got, err)
		}
	}
	ws, _, err := dial("")
	rpctest.Check(t, err)
	rpctest.Check(t, ws.WriteMessage(websocket.TextMessage, []byte("POST")))
	if _, _, err := ws.ReadMessage(); err == nil {
		t.Error("a first message that is no object is answered")
	}
}

// TestTLS: the same lines over TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rpctest.Check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	rpctest.Check(t, err)
	l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	w.serve(l, w.server.Serve)
	nc, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	rpctest.Check(t, err)
	defer nc.Close()
	c := &client{t: t, net: nc, r: bufio.NewReader(nc)}
	c.gives(nil, "server.ping")
	plain, err := net.Dial("tcp", l.Addr().String())
	rpctest.Check(t, err)
	defer plain.Close()
	bare := &client{t: t, net: plain, r: bufio.NewReader(plain)}
	bare.send("{\"id\":1,\"method\":\"server.ping\"}\n")
	bare.cut()
}

// TestServerStops: connections end with it, whatever they are doing.
func TestServerStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	l := listen(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.server.Serve(ctx, l) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	rpctest.Check(t, err)
	defer nc.Close()
	c := &client{t: t, net: nc, r: bufio.NewReader(nc)}
	c.gives(nil, "server.ping")
	stop()
	c.cut()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestLongMessagesAreGivenBack: who is cut for a long message leaves its share of the
// memory for such messages to others.
func TestLongMessagesAreGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	l := listen(t)
	w.serve(l, w.server.ServeWebSocket)
	spaces := strings.Repeat(" ", 1_100_000)
	say := func(message string) error {
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+l.Addr().String()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		_ = ws.WriteMessage(websocket.TextMessage, []byte(message+spaces))
		_, _, err = ws.ReadMessage()
		return err
	}
	for range 40 { // 64 MiB are for all, and each takes 2
		if say("[]") == nil {
			t.Fatal("what is no object is answered")
		}
	}
	if err := say(`{"id":1,"method":"server.version","params":["test","1.6"]}`); err != nil {
		t.Errorf("a long message is not answered any more: %v", err)
	}
}
