package walletrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/internal/clock"
	"lode/mempool"
	"lode/miner"
	"lode/rpc"
	"lode/rpc/manual"
	"lode/rpc/walletrpc"
)

const password = "correct horse battery staple"

// testNode is a server with wallets over a real ledger and mempool, and no network.
type testNode struct {
	tb      testing.TB
	spec    *consensus.Spec
	dir     string
	chain   *chain.Chain
	pool    *mempool.Pool
	wallets *walletrpc.Manager
	server  *rpc.Server
	at      string // the wallet that calls are for, empty for the path /
}

// lonely is a network without peers.
type lonely struct{ rpc.Network }

func (lonely) Broadcast(...consensus.Hash)              {}
func (lonely) Unbroadcast() map[consensus.Hash]bool     { return nil }
func (lonely) Syncing() bool                            { return false }
func (lonely) BlocksOnly() bool                         { return false }
func (lonely) InitialBlockDownload() bool               { return false }
func (lonely) ConnectionCount() (inbound, outbound int) { return 0, 0 }
func (lonely) Warnings() []string                       { return nil }

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// newNode gives a node on an embedded network.
func newNode(tb testing.TB, network string, change ...func(*walletrpc.Config)) *testNode {
	tb.Helper()
	n := openNode(tb, network, tb.TempDir(), change...)
	tb.Cleanup(n.close)
	return n
}

func openNode(tb testing.TB, network, dir string, change ...func(*walletrpc.Config)) *testNode {
	tb.Helper()
	spec, err := consensus.EmbeddedSpec(network)
	check(tb, err)
	n := &testNode{tb: tb, spec: spec, dir: dir}
	sigs := sigcheck.New(1000)
	n.chain, err = chain.Open(context.Background(), chain.Config{Dir: dir, Spec: spec, Now: time.Now, Sigs: sigs})
	check(tb, err)
	n.pool = mempool.New(mempool.Config{Ledger: n.chain, Sigs: sigs, Policy: mempool.DefaultPolicy()})
	n.pool.Load(context.Background(), filepath.Join(dir, mempool.FileName))
	cfg := walletrpc.Config{Spec: spec, Chain: n.chain, Pool: n.pool, Broadcast: func(...consensus.Hash) {}, Dir: dir, WorkFactor: 1}
	for _, f := range change {
		f(&cfg)
	}
	n.pool = cfg.Pool
	n.wallets, err = walletrpc.New(cfg)
	check(tb, err)
	n.server = rpc.New(rpc.Config{
		Dir: dir, Spec: spec, Chain: n.chain, Pool: n.pool, Network: lonely{}, Clock: clock.New(nil), Version: "1.2.3", UserAgent: "/Lode:1.2.3/", User: rpc.CookieUser, Password: password,
		Templates: miner.NewTemplates(miner.TemplatesConfig{Ledger: n.chain, Pool: n.pool, Now: time.Now, Ready: func() error { return nil }}),
		Wallets:   n.wallets,
	})
	return n
}

func (n *testNode) close() {
	if n.wallets == nil {
		return
	}
	check(n.tb, n.wallets.Close())
	check(n.tb, n.chain.Close())
	n.wallets = nil
}

// on is the node for calls to one wallet.
func (n *testNode) on(name string) *testNode {
	other := *n
	other.at = name
	return &other
}

func (n *testNode) call(method string, params ...any) (json.RawMessage, *rpc.Error) {
	n.tb.Helper()
	if params == nil {
		params = []any{}
	}
	return n.callWith(method, params)
}

func (n *testNode) callWith(method string, params any) (json.RawMessage, *rpc.Error) {
	n.tb.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	check(n.tb, err)
	path := "/"
	if n.at != "" {
		path = "/wallet/" + n.at
	}
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Host = "localhost"
	r.SetBasicAuth(rpc.CookieUser, password)
	w := httptest.NewRecorder()
	n.server.ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Result().Body)
	check(n.tb, err)
	var reply struct {
		Result json.RawMessage `json:"result"`
		Error  *rpc.Error      `json:"error"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		n.tb.Fatalf("%s: status %d, answer %.300s", body, w.Code, answer)
	}
	if reply.Error == nil {
		if err := manual.Methods()[method].Check(reply.Result); err != nil {
			n.tb.Errorf("the table of methods: %v in %.400s", err, reply.Result)
		}
	}
	return reply.Result, reply.Error
}

// ok calls a method that must succeed and decodes its result.
func ok[T any](n *testNode, method string, params ...any) (v T) {
	n.tb.Helper()
	result, failure := n.call(method, params...)
	if failure != nil {
		n.tb.Fatalf("%s %.200v: error %d: %s", method, params, failure.Code, failure.Message)
	}
	dec := json.NewDecoder(bytes.NewReader(result))
	dec.UseNumber()
	check(n.tb, dec.Decode(&v))
	return v
}

// refused calls a method that must fail with a code and a message that has a text.
func (n *testNode) refused(code int, message, method string, params ...any) {
	n.tb.Helper()
	result, failure := n.call(method, params...)
	if failure == nil {
		n.tb.Errorf("%s %.200v: gives %.200s, want error %d: %s", method, params, result, code, message)
	} else if failure.Code != code || !strings.Contains(failure.Message, message) {
		n.tb.Errorf("%s %.200v: error %d: %s; want %d: %s", method, params, failure.Code, failure.Message, code, message)
	}
}

// mine makes blocks that pay to an address.
func (n *testNode) mine(blocks int, address string) []string {
	n.tb.Helper()
	return ok[[]string](n, "generatetoaddress", blocks, address)
}

func (n *testNode) address() string { return ok[string](n, "getnewaddress") }

// funded gives a node with a wallet that has some mature coinbases.
func funded(tb testing.TB, coinbases int) *testNode {
	tb.Helper()
	n := newNode(tb, "regtest")
	ok[any](n, "createwallet", "w")
	n = n.on("w")
	n.mine(coinbases, n.address())
	n.mine(100, elsewhere(n))
	return n
}

// elsewhere is an address of nobody's.
func elsewhere(n *testNode) string {
	return consensus.Address(n.spec.Defaults.AddressPrefix, [32]byte{0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07,
		0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98})
}

// post calls a method without arguments as a user, and gives the HTTP status.
func post(s *rpc.Server, user, password, method string) int {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`"}`))
	r.Host = "localhost"
	r.SetBasicAuth(user, password)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

func writeText(tb testing.TB, path, text string) {
	tb.Helper()
	check(tb, os.WriteFile(path, []byte(text), 0o600))
}

func readText(tb testing.TB, path string) string {
	tb.Helper()
	b, err := os.ReadFile(path)
	check(tb, err)
	return string(b)
}
