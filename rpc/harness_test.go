package rpc_test

import (
	"bytes"
	stdcmp "cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/google/go-cmp/cmp"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/internal/clock"
	"lode/mempool"
	"lode/miner"
	"lode/p2p"
	"lode/rpc"
	"lode/rpc/manual"
)

const (
	user     = rpc.CookieUser
	password = "correct horse battery staple"
)

// testNode is a server over a real ledger and mempool and no network.
type testNode struct {
	tb     testing.TB
	spec   *consensus.Spec
	dir    string // of the ledger
	chain  *chain.Chain
	pool   *mempool.Pool
	net    *fakeNetwork
	clock  *clock.Face
	server *rpc.Server
	http   *httptest.Server
	stops  atomic.Int32

	priv    *btcec.PrivateKey
	key     [32]byte
	script  []byte
	address string
}

// newNode gives a node on an embedded network that has mined some blocks to its
// own key.
func newNode(tb testing.TB, network string, blocks int, change ...func(*rpc.Config)) *testNode {
	tb.Helper()
	return newNodeWith(tb, chain.Config{}, network, blocks, change...)
}

// newNodeWith is newNode with a ledger of another kind, or on another network if
// that has one.
func newNodeWith(tb testing.TB, ledger chain.Config, network string, blocks int, change ...func(*rpc.Config)) *testNode {
	tb.Helper()
	spec, err := ledger.Spec, error(nil)
	if spec == nil {
		spec, err = consensus.EmbeddedSpec(network)
		check(tb, err)
	}
	n := &testNode{tb: tb, spec: spec, net: &fakeNetwork{added: map[string]string{}, ports: spec.Defaults.Ports}}
	times := clock.New(nil)
	n.clock = times.Wall
	seed := sha256.Sum256([]byte("the key of the tests"))
	n.priv, _ = btcec.PrivKeyFromBytes(seed[:])
	copy(n.key[:], schnorr.SerializePubKey(n.priv.PubKey()))
	n.script = consensus.TaprootScript(n.key)
	n.address = consensus.Address(spec.Defaults.AddressPrefix, n.key)

	sigs := sigcheck.New(1000)
	ledger.Dir, ledger.Spec, ledger.Now, ledger.Sigs = tb.TempDir(), spec, n.clock.Now, sigs
	n.dir = ledger.Dir
	n.chain, err = chain.Open(context.Background(), ledger)
	check(tb, err)
	tb.Cleanup(func() { _ = n.chain.Close() })
	n.pool = mempool.New(mempool.Config{Ledger: n.chain, Sigs: sigs, Policy: mempool.DefaultPolicy(), Now: n.clock.Now})
	n.pool.Load(context.Background(), filepath.Join(tb.TempDir(), "mempool.dat"))
	cfg := rpc.Config{
		Dir:  tb.TempDir(),
		Spec: spec, Chain: n.chain, Pool: n.pool, Network: n.net,
		Templates: miner.NewTemplates(miner.TemplatesConfig{Ledger: n.chain, Pool: n.pool, Now: n.clock.Now, Ready: func() error {
			if n.net.syncing {
				return miner.ErrSyncing
			}
			return nil
		}}),
		Clock: times, Version: "1.2.3", UserAgent: "/Lode:1.2.3/",
		Stop: func() { n.stops.Add(1) }, User: user, Password: password,
	}
	for _, f := range change {
		f(&cfg)
	}
	n.server = rpc.New(cfg)
	n.http = httptest.NewServer(n.server)
	tb.Cleanup(n.http.Close)
	n.mine(blocks)
	return n
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// fakeNetwork remembers what it was asked for.
type fakeNetwork struct {
	ports consensus.Ports

	mu        sync.Mutex // guards what follows
	peers     []p2p.PeerInfo
	added     map[string]string // names by URL
	services  uint64
	dialled   []string
	dropped   []string
	pings     int
	syncing   bool
	initial   bool // InitialBlockDownload
	alone     bool
	bans      []p2p.Ban
	warns     []string
	known     []p2p.KnownAddress
	orphans   []p2p.OrphanTx
	book      []p2p.BookEntry
	upload    p2p.Upload
	quiet     bool
	refuses   bool             // transactions of peers
	urls      []string         // that are advertised
	told      []consensus.Hash // by Broadcast
	again     []consensus.Hash // by Resubmit
	dialError error
}

func (f *fakeNetwork) BlocksOnly() bool { return f.refuses }

func (f *fakeNetwork) Broadcast(txids ...consensus.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, txids...)
}

func (f *fakeNetwork) Resubmit(txids ...consensus.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.again = append(f.again, txids...)
}

func (f *fakeNetwork) Unbroadcast() map[consensus.Hash]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := make(map[consensus.Hash]bool)
	for _, id := range f.told {
		ids[id] = true
	}
	return ids
}

func (f *fakeNetwork) Open(_ context.Context, address, kind string) error {
	switch {
	case kind != "feeler" && kind != "block-relay-only":
		return p2p.ErrKind
	case kind == "feeler":
		return p2p.ErrCapacity
	}
	return f.AddNode(address)
}

func (f *fakeNetwork) Send(id int64, _ string, _ []byte) error {
	if id != 0 {
		return p2p.ErrNoPeer
	}
	return nil
}

func (f *fakeNetwork) FetchBlock(_ consensus.Hash, id int64) error { return f.Send(id, "", nil) }
func (f *fakeNetwork) Orphans() []p2p.OrphanTx                     { return f.orphans }
func (f *fakeNetwork) Book() []p2p.BookEntry                       { return f.book }
func (f *fakeNetwork) Settle(context.Context)                      {}

func (f *fakeNetwork) AddAddress(at netip.AddrPort, tried bool) error {
	if tried {
		return p2p.ErrBookTried
	}
	f.book = append(f.book, p2p.BookEntry{Bucket: 3, Position: 7, URL: "tcp://" + at.String(), Source: "192.0", Services: 9, Seen: time.Unix(1_900_000_000, 0)})
	return nil
}

func (f *fakeNetwork) Bans() []p2p.Ban               { return f.bans }
func (f *fakeNetwork) ClearBans() error              { f.bans = nil; return nil }
func (f *fakeNetwork) Addresses() []p2p.KnownAddress { return f.known }
func (f *fakeNetwork) Upload() p2p.Upload            { return f.upload }
func (f *fakeNetwork) SetActive(active bool)         { f.quiet = !active }
func (f *fakeNetwork) Active() bool                  { return !f.quiet }

func (f *fakeNetwork) Ban(subnet p2p.Subnet, until time.Time) error {
	if slices.ContainsFunc(f.bans, func(b p2p.Ban) bool { return b.Subnet == subnet }) {
		return p2p.ErrIsBanned
	}
	f.bans = append(f.bans, p2p.Ban{Subnet: subnet, Created: time.Unix(1_900_000_000, 0), Until: until})
	return nil
}

func (f *fakeNetwork) Unban(subnet p2p.Subnet) error {
	left := slices.DeleteFunc(slices.Clone(f.bans), func(b p2p.Ban) bool { return b.Subnet == subnet })
	if len(left) == len(f.bans) {
		return p2p.ErrNoBan
	}
	f.bans = left
	return nil
}

func (f *fakeNetwork) Peers() []p2p.PeerInfo { return f.peers }
func (f *fakeNetwork) ConnectionCount() (in, out int) {
	if f.alone {
		return 0, 0
	}
	return 1, 2
}
func (f *fakeNetwork) Services() uint64            { return stdcmp.Or(f.services, 1|1<<3) }
func (f *fakeNetwork) NetTotals() (in, out uint64) { return 300, 400 }
func (f *fakeNetwork) Syncing() bool               { return f.syncing }
func (f *fakeNetwork) InitialBlockDownload() bool  { return f.initial }

func (f *fakeNetwork) Warnings() []string { return f.warns }

func (f *fakeNetwork) Ping() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pings++
}

func (f *fakeNetwork) AddNode(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	url, err := p2p.CheckURL(name, f.ports)
	if err == nil && f.added[url] != "" {
		err = fmt.Errorf("%w: %s", p2p.ErrAdded, url)
	}
	if err == nil {
		f.added[url] = name
	}
	return err
}

func (f *fakeNetwork) RemoveNode(url string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	url, err := p2p.CheckURL(url, f.ports)
	if err == nil && f.added[url] == "" {
		err = fmt.Errorf("%w: %s", p2p.ErrNotAdded, url)
	}
	delete(f.added, url)
	return err
}

func (f *fakeNetwork) AddedNodes() (list []p2p.AddedNode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for url, name := range f.added {
		list = append(list, p2p.AddedNode{Name: name, URL: url})
	}
	return list
}

func (f *fakeNetwork) Advertised() []string { return f.urls }

func (f *fakeNetwork) Connect(_ context.Context, url string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dialled = append(f.dialled, url)
	return f.dialError
}

func (f *fakeNetwork) Disconnect(id int64, address string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.peers {
		if address == "" && p.ID == id || address != "" && (p.Addr == address || p.URL == address) {
			f.dropped = append(f.dropped, p.Addr)
			return nil
		}
	}
	return p2p.ErrNoPeer
}

// Calls.

// do sends a request to the handler, without a socket in between.
func (n *testNode) do(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	n.server.ServeHTTP(w, r)
	return w.Result()
}

// authorized is a request as a well-behaved client makes it.
func authorized(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewBufferString(body))
	r.Host = "127.0.0.1:18443"
	r.SetBasicAuth(user, password)
	return r
}

// post sends a body and gives the HTTP status and what came back.
func (n *testNode) post(body string) (status int, answer string) {
	n.tb.Helper()
	resp := n.do(authorized(body))
	b, err := io.ReadAll(resp.Body)
	check(n.tb, err)
	return resp.StatusCode, string(bytes.TrimSpace(b))
}

// call calls a method over a socket, as JSON-RPC 2.0.
func (n *testNode) call(method string, params ...any) (json.RawMessage, *rpc.Error) {
	n.tb.Helper()
	if params == nil {
		params = []any{}
	}
	return n.callWith(method, params)
}

// named calls a method with arguments by name.
func (n *testNode) named(method string, params map[string]any) (json.RawMessage, *rpc.Error) {
	n.tb.Helper()
	return n.callWith(method, params)
}

func (n *testNode) callWith(method string, params any) (json.RawMessage, *rpc.Error) {
	n.tb.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": method, "method": method, "params": params})
	check(n.tb, err)
	req, err := http.NewRequest(http.MethodPost, n.http.URL, bytes.NewReader(body))
	check(n.tb, err)
	req.SetBasicAuth(user, password)
	resp, err := n.http.Client().Do(req)
	check(n.tb, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	check(n.tb, err)
	var reply struct {
		Version string          `json:"jsonrpc"`
		ID      string          `json:"id"`
		Result  json.RawMessage `json:"result"`
		Error   *rpc.Error      `json:"error"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil || resp.StatusCode != 200 || reply.Version != "2.0" || reply.ID != method {
		n.tb.Fatalf("%s: status %s, answer %.300s", body, resp.Status, answer)
	}
	if reply.Error == nil {
		// What help says a method gives must be what it gives.
		if err := manual.Methods()[method].Check(reply.Result); err != nil {
			n.tb.Errorf("the table of methods: %v", err)
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
	dec.UseNumber() // an amount is compared with all its decimal places
	check(n.tb, dec.Decode(&v))
	return v
}

// refused calls a method that must fail with a code and a message.
func (n *testNode) refused(code int, message, method string, params ...any) {
	n.tb.Helper()
	_, failure := n.call(method, params...)
	wantError(n.tb, failure, code, message)
}

func wantError(tb testing.TB, got *rpc.Error, code int, message string) {
	tb.Helper()
	if want := (&rpc.Error{Code: code, Message: message}); !cmp.Equal(got, want) {
		tb.Errorf("error %+v, want %+v", got, want)
	}
}

// same compares the JSON of two values, numbers by how they are written.
func same(tb testing.TB, got, want any) {
	tb.Helper()
	if diff := cmp.Diff(plain(tb, want), plain(tb, got)); diff != "" {
		tb.Errorf("not the JSON that is wanted (- want, + got):\n%s", diff)
	}
}

func plain(tb testing.TB, v any) (out any) {
	tb.Helper()
	b, err := json.Marshal(v)
	check(tb, err)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	check(tb, dec.Decode(&out))
	return out
}

// object is a JSON object of any form.
type object = map[string]any

// btc is an amount as it is written in answers.
func btc(s string) json.Number { return json.Number(s) }

// Blocks and transactions.

func (n *testNode) mine(count int) []consensus.Hash {
	n.tb.Helper()
	if count == 0 {
		return nil
	}
	hashes, err := miner.Generate(context.Background(), n.chain, n.pool, n.script, count, 1<<40, n.clock.Now)
	check(n.tb, err)
	return hashes
}

// block is the block at a height.
func (n *testNode) block(height uint32) *consensus.Block {
	n.tb.Helper()
	hash, ok := n.chain.HashAt(height)
	if !ok {
		n.tb.Fatalf("no block at height %d", height)
	}
	b, err := n.chain.Block(hash)
	check(n.tb, err)
	return b
}

// template is the next block without its proof of work.
func (n *testNode) template() *consensus.Block {
	n.tb.Helper()
	t, err := miner.Assemble(n.chain.Rules(), n.pool, n.clock.Now())
	check(n.tb, err)
	b, err := t.Unsolved(n.script, n.clock.Now())
	check(n.tb, err)
	return b
}

// solve finds the proof of work of b.
func solve(b *consensus.Block) *consensus.Block {
	target, _ := consensus.TargetFromBits(b.Bits)
	for !b.Header.Hash().MeetsTarget(&target) {
		b.Nonce++
	}
	return b
}

// variant is b with other transactions under the same header.
func variant(b *consensus.Block, change func(*consensus.Block)) *consensus.Block {
	v := &consensus.Block{Header: b.Header}
	for _, tx := range b.Txs {
		v.Txs = append(v.Txs, tx.Clone())
	}
	change(v)
	return v
}

// coinbase is the coin of the coinbase at a height.
func (n *testNode) coinbase(height uint32) consensus.OutPoint {
	return consensus.OutPoint{TxID: n.block(height).Txs[0].TxID()}
}

// pay spends coins of this node's key, all of the same value, to outputs.
func (n *testNode) pay(value consensus.Amount, from []consensus.OutPoint, to ...consensus.TxOut) *consensus.Tx {
	n.tb.Helper()
	tx := &consensus.Tx{Version: 2, Out: to}
	for _, o := range from {
		tx.In = append(tx.In, consensus.TxIn{PrevOut: o, Sequence: 0xfffffffd})
	}
	return n.sign(tx, value)
}

// sign signs tx, which spends coins as pay does.
func (n *testNode) sign(tx *consensus.Tx, value consensus.Amount) *consensus.Tx {
	n.tb.Helper()
	spent := make([]consensus.TxOut, len(tx.In))
	for i := range spent {
		spent[i] = consensus.TxOut{Value: value, Script: n.script}
	}
	hasher := consensus.NewSigHasher(tx, spent)
	for i := range tx.In {
		hash, ok := hasher.SigHash(i, consensus.SigHashDefault, nil)
		if !ok {
			n.tb.Fatal("no signature hash")
		}
		sig, err := schnorr.Sign(n.priv, hash[:])
		check(n.tb, err)
		tx.In[i].Witness = [][]byte{sig.Serialize()}
	}
	return tx
}

// payment spends the coinbase at a height back to this node, less a fee.
func (n *testNode) payment(height uint32, fee consensus.Amount) *consensus.Tx {
	n.tb.Helper()
	const subsidy = 50 * consensus.SatPerCoin
	return n.pay(subsidy, []consensus.OutPoint{n.coinbase(height)}, consensus.TxOut{Value: subsidy - fee, Script: n.script})
}

func hexTx(tx *consensus.Tx) string          { return hex.EncodeToString(tx.Bytes()) }
func hexBlock(block *consensus.Block) string { return hex.EncodeToString(block.Bytes()) }
