package p2p

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
)

// realNode runs a node with a real ledger, outside of any bubble.
func realNode(t *testing.T, change func(*Config)) (*Node, *chain.Chain) {
	spec := regtest(t)
	ledger, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: spec, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Spec: spec, Chain: ledger, Pool: mempool.New(mempool.Config{Ledger: ledger, Sigs: sigcheck.New(1000), Policy: mempool.DefaultPolicy(), Now: now}),
		Outbound: -1, UserAgent: "/test/",
	}
	change(&cfg)
	n := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, ledger.Close()); err != nil {
			t.Error(err)
		}
	})
	return n, ledger
}

func listening(t *testing.T) (net.Listener, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, "ws://" + l.Addr().String()
}

// reach waits until the ledger has a tip.
func reach(t *testing.T, ledger *chain.Chain, tip consensus.Hash) {
	t.Helper()
	poked := make(chan struct{}, 1)
	defer ledger.Subscribe(func() { poke(poked) })()
	deadline := time.After(5 * time.Minute) // it only bounds a failure
	for ledger.Tip().Hash != tip {
		select {
		case <-poked:
		case <-deadline:
			t.Fatalf("only at height %d", ledger.Tip().Height)
		}
	}
}

func TestSyncOverWebSocket(t *testing.T) {
	l, url := listening(t)
	n, a := realNode(t, func(c *Config) { c.Listen = l })
	_, b := realNode(t, func(c *Config) { c.Connect = []string{url} })
	for _, block := range mine(regtest(t), a.Tip(), 1, 100) {
		if err := a.AddBlock(block); err != nil {
			t.Fatal(err)
		}
	}
	reach(t, b, a.Tip().Hash)
	block := mineOn(regtest(t), b.Tip(), 2)
	if err := b.AddBlock(block); err != nil {
		t.Fatal(err)
	}
	reach(t, a, block.Header.Hash())
	if peers := n.Peers(); len(peers) != 1 || peers[0].LocalAddr != l.Addr().String() {
		t.Errorf("peers %+v", peers)
	}
}

func TestWrongNetworkIsRefusedByName(t *testing.T) {
	l, url := listening(t)
	realNode(t, func(c *Config) { c.Listen = l })
	main, err := consensus.EmbeddedSpec("main")
	if err != nil {
		t.Fatal(err)
	}
	url, err = CheckURL(url, regtest(t).Defaults.Ports)
	if err != nil {
		t.Fatal(err)
	}
	_, err = dialSocket(main)(t.Context(), url)
	for _, want := range []string{
		"main (" + subProtocol(&main.Rules) + ")",
		"regtest (" + subProtocol(&regtest(t).Rules) + ")",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v does not name %s", err, want)
		}
	}
}

func TestHTTPRefusals(t *testing.T) {
	l, url := listening(t)
	var log logText
	realNode(t, func(c *Config) {
		c.Listen, c.AllowOrigins, c.Log = l, []string{"https://good.example"}, slog.New(slog.NewTextHandler(&log, nil))
	})
	http2ws := strings.Replace(url, "ws://", "http://", 1)
	own := subProtocol(&regtest(t).Rules)
	upgrade := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	}
	for _, c := range []struct {
		name, path string
		header     map[string]string
		status     int
		says       string
	}{
		{"no WebSocket", "/p2p", nil, http.StatusUpgradeRequired, "Lode"},
		{"another path", "/", nil, http.StatusNotFound, ""},
		{"no sub-protocol", "/p2p", upgrade, http.StatusBadRequest, "regtest"},
		{"wrong sub-protocol", "/p2p", with(upgrade, "Sec-WebSocket-Protocol", "lode-00000000"), http.StatusBadRequest, "lode-00000000"},
		{"a web page", "/p2p", with(upgrade, "Sec-WebSocket-Protocol", own, "Origin", "https://evil.example"), http.StatusForbidden, "Origin"},
		{"this host's web page", "/p2p", with(upgrade, "Sec-WebSocket-Protocol", own, "Origin", http2ws), http.StatusForbidden, "Origin"},
		{"an allowed page", "/p2p", with(upgrade, "Sec-WebSocket-Protocol", own, "Origin", "https://good.example"), http.StatusSwitchingProtocols, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, http2ws+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range c.header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		var body strings.Builder
		if resp.StatusCode != http.StatusSwitchingProtocols {
			if _, err := io.Copy(&body, resp.Body); err != nil {
				t.Fatal(err)
			}
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(body.String(), c.says) {
			t.Errorf("%s: %d %q, want %d and %q", c.name, resp.StatusCode, body.String(), c.status, c.says)
		}
	}
	var told []string
	for _, line := range log.lines() {
		if strings.Contains(line, "connection refused") && strings.Contains(line, "127.0.0.1") {
			told = append(told, line)
		}
	}
	if text := strings.Join(told, ""); len(told) != 5 || !strings.Contains(text, "lode-00000000") || !strings.Contains(text, "evil.example") {
		t.Errorf("the log says %q", text)
	}
}

func with(m map[string]string, kv ...string) map[string]string {
	c := make(map[string]string)
	for k, v := range m {
		c[k] = v
	}
	for i := 0; i < len(kv); i += 2 {
		c[kv[i]] = kv[i+1]
	}
	return c
}

// socketPair is a raw WebSocket and the Conn at its other end.
func socketPair(t *testing.T) (*websocket.Conn, Conn) {
	accepted := make(chan Conn, 1)
	spec := regtest(t)
	server := httptest.NewServer(&socketHandler{
		spec: spec, admit: func(netip.Addr, bool) error { return nil }, accept: func(c Conn) { accepted <- c },
	})
	t.Cleanup(server.Close)
	dialer := websocket.Dialer{Subprotocols: []string{subProtocol(&spec.Rules)}}
	raw, resp, err := dialer.Dial(strings.Replace(server.URL, "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	conn := <-accepted
	t.Cleanup(func() { _, _ = raw.Close(), conn.Close("") })
	return raw, conn
}

func TestSocketRefuses(t *testing.T) {
	frame := func(command string, size int) []byte {
		head := putCommand(command)
		return append(head[:], make([]byte, size)...)
	}
	for name, send := range map[string]func(*websocket.Conn) error{
		"a text":         func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, frame(cmdPing, 8)) },
		"half a command": func(c *websocket.Conn) error { return c.WriteMessage(websocket.BinaryMessage, []byte("ping")) },
		"nothing":        func(c *websocket.Conn) error { return c.WriteMessage(websocket.BinaryMessage, nil) },
		"a long ping": func(c *websocket.Conn) error {
			return c.WriteMessage(websocket.BinaryMessage, frame(cmdPing, minPayloadLimit+1))
		},
		"a huge message": func(c *websocket.Conn) error {
			return c.WriteMessage(websocket.BinaryMessage, frame(cmdBlock, maxPayload+1))
		},
		"a huge unknown": func(c *websocket.Conn) error {
			return c.WriteMessage(websocket.BinaryMessage, frame("x", maxPayload+1))
		},
		"many control pings": func(c *websocket.Conn) error {
			for range maxControlFrames + 1 {
				if err := c.WriteControl(websocket.PingMessage, nil, time.Time{}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		raw, conn := socketPair(t)
		go func() { _ = send(raw) }()
		want := consensus.ErrDecode
		if strings.Contains(name, "huge") {
			want = errOversized
		}
		if _, _, err := conn.ReadMessage(); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is too long for its command can be passed over, on each transport.
func TestTooLongIsPassedOver(t *testing.T) {
	socket, bySocket := socketPair(t)
	stream, byTCP := framedPair(t)
	long := make([]byte, 60_000)
	for _, send := range []func([]byte){
		func(b []byte) {
			head := putCommand(cmdPing)
			_ = socket.WriteMessage(websocket.BinaryMessage, append(head[:], b...))
		},
		func(b []byte) { _, _ = stream.Write(frame(t, cmdPing, b)) }, // which waits for the reader
	} {
		go func() {
			send(long)
			send(long[:8])
		}()
	}
	for name, conn := range map[string]Conn{"WebSocket": bySocket, "TCP": byTCP} {
		if command, _, err := conn.ReadMessage(); !errors.Is(err, errTooLong) {
			t.Errorf("%s: %s, %v", name, command, err)
		}
		if command, payload, err := conn.ReadMessage(); err != nil || command != cmdPing || len(payload) != 8 {
			t.Errorf("%s: then %s of %d bytes, %v", name, command, len(payload), err)
		}
	}
}

func TestSocketCarriesMessages(t *testing.T) {
	raw, conn := socketPair(t)
	other := newSocket(raw, raw.RemoteAddr())
	big := make([]byte, maxPayload)
	big[0], big[maxPayload-1] = 1, 2
	messages := []outMessage{{cmdVerack, nil}, {cmdBlock, big}, {cmdPing, make([]byte, 8)}}
	read := make(chan struct{})
	go func() {
		for _, m := range messages {
			_ = conn.WriteMessage(m.command, m.payload)
		}
		<-read // the reason is told only to a peer that takes it at once
		_ = conn.Close("because")
	}()
	for _, m := range messages {
		command, payload, err := other.ReadMessage()
		if err != nil || command != m.command || string(payload) != string(m.payload) {
			t.Errorf("%s: got %s of %d bytes, %v", m.command, command, len(payload), err)
		}
	}
	close(read)
	if _, _, err := other.ReadMessage(); err == nil || !strings.Contains(err.Error(), `"because"`) {
		t.Errorf("the reason is lost: %v", err)
	}
}

// A node all of whose sockets are taken by strangers who say nothing is still
// reached by others, by either transport.
func TestSilentSocketsKeepNobodyOut(t *testing.T) {
	ws, wsURL := listening(t)
	tcp, tcpURL := listeningTCP(t)
	n, _ := realNode(t, func(c *Config) { c.Listen, c.ListenTCP = ws, tcp })
	other, _ := realNode(t, func(*Config) {})
	for _, l := range []net.Listener{ws, tcp} {
		for range maxInbound + maxUnfinished {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	for _, url := range []string{wsURL, tcpURL} {
		if err := other.AddNode(url); err != nil {
			t.Fatal(err)
		}
	}
	for {
		if in, _ := n.ConnectionCount(); in == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Only a trusted proxy is believed when it names somebody else.
func TestForwardedFor(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		from      string
		forwarded []string
		want      string // empty: refused
	}{
		{"203.0.113.1:5", nil, "203.0.113.1:5"},
		{"203.0.113.1:5", []string{"198.51.100.1"}, "203.0.113.1:5"}, // a stranger's word
		{"10.0.0.1:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"[::ffff:10.0.0.1]:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"[::1]:5", []string{" 2001:db8::7 "}, "[2001:db8::7]:0"},
		{"10.0.0.1:5", []string{"192.0.2.9, 198.51.100.1"}, "198.51.100.1:0"},             // the first is made up
		{"10.0.0.1:5", []string{"192.0.2.9", "198.51.100.1, 10.0.0.2"}, "198.51.100.1:0"}, // two proxies, two headers
		{"10.0.0.1:5", []string{"10.0.0.3"}, "10.0.0.3:0"},
		{"10.0.0.1:5", nil, "10.0.0.1:5"},
		{"10.0.0.1:5", []string{"unknown"}, ""},
		{"10.0.0.1:5", []string{"x, 198.51.100.1"}, "198.51.100.1:0"},
	} {
		r := &http.Request{RemoteAddr: c.from, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		got, err := clientAddr(r, proxies)
		if string(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s forwards for %q: %q, %v; want %q", c.from, c.forwarded, got, err, c.want)
		}
	}
}

// Behind a trusted proxy it is the peer that is seen, and the peer that is banned.
func TestBehindAProxy(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		l, url := listening(t)
		n, _ := realNode(t, func(c *Config) {
			c.Listen = l
			if trusted {
				c.TrustProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
			}
		})
		n.bans.discourage(netip.MustParseAddr("198.51.100.66"))
		dial := func(forwarded string) (*websocket.Conn, error) {
			dialer := websocket.Dialer{Subprotocols: []string{subProtocol(&regtest(t).Rules)}}
			ws, resp, err := dialer.Dial(url+socketPath, http.Header{"X-Forwarded-For": {forwarded}})
			if resp != nil {
				_ = resp.Body.Close()
			}
			return ws, err
		}
		ws, err := dial("198.51.100.1")
		if err != nil {
			t.Fatal(err)
		}
		conn := newSocket(ws, ws.RemoteAddr())
		defer conn.Close("")
		if err := conn.WriteMessage(cmdVersion, actorVersion(ProtocolVersion).append(nil)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil { // it is registered
			t.Fatal(err)
		}
		if host := hostOfString(n.Peers()[0].Addr).String(); (host == "198.51.100.1") != trusted {
			t.Errorf("trusted %v: the peer is seen at %s", trusted, host)
		}
		banned, err := dial("198.51.100.66")
		if (err != nil) != trusted {
			t.Errorf("trusted %v: a banned peer: %v", trusted, err)
		}
		if err == nil {
			_ = banned.Close()
		}
	}
}

func TestTLS(t *testing.T) {
	l, url := listening(t)
	known := httptest.NewTLSServer(nil) // lends its certificate for 127.0.0.1
	defer known.Close()
	pool := x509.NewCertPool()
	pool.AddCert(known.Certificate())
	realNode(t, func(c *Config) { c.Listen, c.TLS = l, &tls.Config{Certificates: known.TLS.Certificates} })
	wss := strings.Replace(url, "ws://", "wss://", 1) + socketPath
	dialer := websocket.Dialer{
		Subprotocols: []string{subProtocol(&regtest(t).Rules)}, TLSClientConfig: &tls.Config{RootCAs: pool},
	}
	ws, resp, err := dialer.Dial(wss, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	conn := newSocket(ws, ws.RemoteAddr())
	defer conn.Close("")
	if err := conn.WriteMessage(cmdVersion, actorVersion(ProtocolVersion).append(nil)); err != nil {
		t.Fatal(err)
	}
	if command, _, err := conn.ReadMessage(); err != nil || command != cmdVersion {
		t.Errorf("answered with %q, %v", command, err)
	}
	if _, err := dialAny(regtest(t))(t.Context(), wss); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	if _, err := dialAny(regtest(t))(t.Context(), url+socketPath); err == nil {
		t.Error("connected without encryption")
	}
}
