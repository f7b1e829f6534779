package web_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/internal/clock"
	"lode/mempool"
	"lode/miner"
	"lode/p2p"
	"lode/rpc"
	"lode/rpc/stream"
	"lode/testnet/chaingen"
)

// network is one without peers, but for those of a test.
type network struct {
	rpc.Network // nothing else is asked for
	peers       []p2p.PeerInfo
}

func (n *network) ConnectionCount() (in, out int) { return len(n.peers), 0 }
func (*network) Syncing() bool                    { return false }
func (*network) InitialBlockDownload() bool       { return false }
func (*network) Warnings() []string               { return nil }
func (n *network) Peers() []p2p.PeerInfo          { return n.peers }

// node is a server with a page over a real ledger and mempool, on a network for
// playing whose coins can be spent at once.
type node struct {
	t     testing.TB
	chain *chain.Chain
	pool  *mempool.Pool
	gen   *chaingen.Chain
	net   *network
	http  *httptest.Server
}

func newNode(t testing.TB, change ...func(*rpc.Config)) *node {
	t.Helper()
	spec := chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity, s.Defaults.Playground = 1, true })
	n := &node{t: t, net: &network{}}
	sigs := sigcheck.New(10_000)
	var err error
	n.chain, err = chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: spec, Sigs: sigs})
	check(t, err)
	t.Cleanup(func() { _ = n.chain.Close() })
	n.pool = mempool.New(mempool.Config{Ledger: n.chain, Sigs: sigs, Policy: mempool.DefaultPolicy()})
	feed, err := stream.Open(t.TempDir(), stream.Sources{Chain: n.chain}, slog.New(slog.DiscardHandler))
	check(t, err)
	n.pool.OnMove(feed.Move)
	times := clock.New(nil)
	cfg := rpc.Config{
		Spec: spec, Chain: n.chain, Pool: n.pool, Network: n.net, Clock: times, Version: "1.2.3", Dir: t.TempDir(), Page: true,
		Events:    stream.NewServer(feed.Log, spec.Name),
		Templates: miner.NewTemplates(miner.TemplatesConfig{Ledger: n.chain, Pool: n.pool, Now: times.Wall.Now, Ready: func() error { return nil }}),
	}
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := rpc.New(cfg)
	n.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rctx, end := context.WithCancel(r.Context())
		defer end()
		defer context.AfterFunc(ctx, end)()
		server.ServeHTTP(w, r.WithContext(rctx))
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := feed.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		n.http.Close()
	})
	n.gen = chaingen.New(&spec.Rules, chaingen.Params{Seed: 3, Txs: 3, Inputs: 1, Outputs: 3, Fee: 2000})
	n.add(n.gen.Extend(8)...)
	return n
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add gives the ledger blocks, and has the mempool follow.
func (n *node) add(blocks ...*consensus.Block) {
	n.t.Helper()
	for _, b := range blocks {
		check(n.t, n.chain.AddBlock(b))
	}
	check(n.t, n.pool.Sync())
}

func (n *node) do(method, path, body string, head ...string) (status int, answer []byte, header http.Header) {
	n.t.Helper()
	r, err := http.NewRequest(method, n.http.URL+path, strings.NewReader(body))
	check(n.t, err)
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	check(n.t, err)
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	check(n.t, err)
	return resp.StatusCode, answer, resp.Header
}

// get asks for a page's own call, and decodes its answer.
func get[T any](n *node, path string) (v T) {
	n.t.Helper()
	status, b, _ := n.do(http.MethodGet, "/page/"+path, "")
	if status != http.StatusOK {
		n.t.Fatalf("%s: %d %s", path, status, b)
	}
	check(n.t, json.Unmarshal(b, &v))
	return v
}

// post does what a button does.
func (n *node) post(path string, v any) (status int, answer string) {
	n.t.Helper()
	body, err := json.Marshal(v)
	check(n.t, err)
	status, b, _ := n.do(http.MethodPost, "/page/"+path, string(body), "Content-Type", "application/json", "Origin", n.http.URL)
	return status, string(b)
}

// TestAnswersOfThePage asks for all that the page shows.
func TestAnswersOfThePage(t *testing.T) {
	n := newNode(t)
	next := n.gen.Extend(1)[0]
	for _, err := range n.pool.AddAll(next.Txs[1:]) {
		check(t, err)
	}
	type object = map[string]any
	home := get[object](n, "home")
	if home["height"] != 8.0 || home["playground"] != true || len(home["blocks"].([]any)) != 9 {
		t.Errorf("home: %v", home)
	}
	if c := get[struct{ Times, Bits []uint32 }](n, "chart?count=5"); len(c.Times) != 6 || len(c.Bits) != 6 {
		t.Errorf("chart: %v", c)
	}
	block := get[struct {
		Height, Tip uint32
		Rows        []struct {
			TxID string
			Fee  int64
		}
		Next   []object
		Active bool
	}](n, "block/5")
	if block.Height != 5 || block.Tip != 8 || len(block.Rows) != 4 || block.Rows[0].Fee != -1 || block.Rows[1].Fee <= 0 || len(block.Next) != 3 || !block.Active {
		t.Errorf("block: %+v", block)
	}
	confirmed := get[object](n, "tx/"+block.Rows[1].TxID)
	if confirmed["height"] != 5.0 || confirmed["fee"] != float64(block.Rows[1].Fee) {
		t.Errorf("a transaction of a block: %v", confirmed)
	}
	waiting := get[struct {
		Wait struct {
			Blocks  int
			Cluster []object
		}
		Fee int64
	}](n, "tx/"+next.Txs[1].TxID().String())
	if waiting.Wait.Blocks != 1 || len(waiting.Wait.Cluster) == 0 || waiting.Fee <= 0 {
		t.Errorf("a transaction of the mempool: %+v", waiting)
	}
	pool := get[struct {
		Count    int
		Clusters [][]object
		Next     struct{ VBytes int }
	}](n, "mempool")
	if pool.Count != len(next.Txs)-1 || len(pool.Clusters) == 0 || pool.Next.VBytes == 0 {
		t.Errorf("mempool: %+v", pool)
	}
	for _, path := range []string{"rules", "peers", "pool", "tree", "blocks", "json/block/5", "search?q=5"} {
		get[object](n, path)
	}
	address := confirmed["out"].([]any)[0].(object)["address"].(string)
	if a := get[object](n, "address/"+address); a["missing"] == nil {
		t.Errorf("an address without an index: %v", a)
	}
	if found := get[object](n, "search?q="+address); found["kind"] != "address" {
		t.Errorf("search: %v", found)
	}
	if status, raw, _ := n.do(http.MethodGet, "/page/raw/block/5", ""); status != 200 || !bytes.Equal(raw, []byte(hex.EncodeToString(n.gen.Blocks[5].Bytes()))) {
		t.Errorf("the hex of a block: %d, %d bytes", status, len(raw))
	}
}

// pay spends a coin of the generated chain.
func (n *node) pay(o consensus.OutPoint, fee consensus.Amount) *consensus.Tx {
	coin := n.gen.Coins[o]
	tx := &consensus.Tx{Version: 2, In: []consensus.TxIn{{PrevOut: o, Sequence: 0xffffffff}}, Out: []consensus.TxOut{{Value: coin.Value - fee, Script: n.gen.Script()}}}
	n.gen.Sign(tx, []consensus.Coin{coin})
	return tx
}

// TestFateOfPayments replaces a block with three payments by two blocks: one payment is
// in them, one comes back, and the coin of one goes to somebody else.
//
//	8 - 9 (again, back, lost)
//	  \ 9' (again, thief) - 10'
func TestFateOfPayments(t *testing.T) {
	n := newNode(t)
	var coins []consensus.OutPoint
	for o, c := range n.gen.Coins {
		if c.Height < 8 && c.Value > 10_000 && len(coins) < 3 {
			coins = append(coins, o)
		}
	}
	again, back, lost := n.pay(coins[0], 1000), n.pay(coins[1], 1000), n.pay(coins[2], 1000)
	thief := n.pay(coins[2], 2000)
	winner := n.gen.Fork(8, 9)
	old := n.gen.With(again, back, lost)
	n.add(old)
	won := winner.With(again, thief)
	check(t, winner.Add(won))
	winner.Params.Txs = 0
	n.add(append([]*consensus.Block{won}, winner.Extend(1)...)...)
	fate := get[struct {
		Active     bool
		ForkHeight int
		Fates      []struct{ TxID, State, To, Block string }
	}](n, "fate/"+hashOf(old))
	if fate.Active || fate.ForkHeight != 8 || len(fate.Fates) != 3 {
		t.Fatalf("fate: %+v", fate)
	}
	for _, f := range fate.Fates {
		switch f.TxID {
		case again.TxID().String():
			if f.State != "confirmed" || f.Block != hashOf(won) {
				t.Errorf("what is in the new blocks, too: %+v", f)
			}
		case back.TxID().String():
			if f.State != "pool" {
				t.Errorf("what comes back: %+v", f)
			}
		default:
			if f.State != "lost" || f.To != thief.TxID().String() {
				t.Errorf("what is lost to another payment: %+v", f)
			}
		}
	}
	tree := get[struct{ Nodes []struct{ Was, Active bool } }](n, "tree?depth=5")
	was := 0
	for _, one := range tree.Nodes {
		if one.Was {
			was++
		}
	}
	if was != 1 {
		t.Errorf("%d replaced blocks in the tree, want 1", was)
	}
}

func hashOf(b *consensus.Block) string { return b.Header.Hash().String() }

// TestVerdicts has the node judge a good block and one of each fault.
func TestVerdicts(t *testing.T) {
	n := newNode(t)
	good := n.gen.Extend(1)[0]
	solve := func(b *consensus.Block) *consensus.Block {
		target, _ := consensus.TargetFromBits(b.Bits)
		for !b.Header.Hash().MeetsTarget(&target) {
			b.Nonce++
		}
		return b
	}
	change := func(f func(*consensus.Block)) *consensus.Block {
		b := &consensus.Block{Header: good.Header}
		for _, tx := range good.Txs {
			b.Txs = append(b.Txs, tx.Clone())
		}
		f(b)
		return solve(b)
	}
	root := func(b *consensus.Block) { b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs()) }
	weak := *good
	target, _ := consensus.TargetFromBits(weak.Bits)
	for weak.Header.Hash().MeetsTarget(&target) {
		weak.Nonce++
	}
	for _, test := range []struct {
		name   string
		block  *consensus.Block
		reason string
	}{
		{"good", good, ""},
		{"of before", n.gen.Blocks[4], ""},
		{"no work", &weak, "high-hash"},
		{"another output", change(func(b *consensus.Block) { b.Txs[1].Out[0].Value-- }), "bad-txnmrklroot"},
		{"another time", change(func(b *consensus.Block) { b.Time = n.gen.Blocks[1].Time - 100 }), "time-too-old"},
		{"from the future", change(func(b *consensus.Block) { b.Time = 1<<32 - 1 }), "time-too-new"},
		{"unknown parent", change(func(b *consensus.Block) { b.Prev[3] ^= 1 }), "prev-blk-not-found"},
		{"too much", change(func(b *consensus.Block) { b.Txs[0].Out[0].Value += 1e9; root(b) }), "bad-cb-amount"},
		{"another commitment", change(func(b *consensus.Block) { b.Txs[1].Out[0].Value--; root(b) }), "bad-witness-merkle-match"},
	} {
		status, answer := n.post("check", map[string]string{"block": hex.EncodeToString(test.block.Bytes())})
		var v struct {
			Verdict, Reason string
			Steps           []struct {
				Rule string
				OK   bool
			}
		}
		if err := json.Unmarshal([]byte(answer), &v); err != nil || status != 200 {
			t.Fatalf("%s: %d %s", test.name, status, answer)
		}
		last := v.Steps[len(v.Steps)-1]
		if v.Reason != test.reason || (v.Verdict == "valid") != (test.reason == "") || last.OK != (test.reason == "") || !last.OK && last.Rule != test.reason {
			t.Errorf("%s: %.300s, want %q", test.name, answer, test.reason)
		}
	}
	if tip := n.chain.Tip(); tip.Height != 8 {
		t.Errorf("a question has changed the ledger: height %d", tip.Height)
	}
}

// TestWhatThePageRefuses asks for what does not exist, is too large, or comes from
// elsewhere.
func TestWhatThePageRefuses(t *testing.T) {
	n := newNode(t)
	hash := strings.Repeat("ab", 32)
	for _, test := range []struct {
		path string
		want int
	}{
		{"/page/", 404}, {"/page/nothing", 404}, {"/page/block/" + hash, 404}, {"/page/block/xyz", 400}, {"/page/block/99", 404}, {"/page/block/-1", 400}, {"/page/tx/" + hash, 404},
		{"/page/tx/1", 400}, {"/page/tx/" + hash + "?block=5", 404}, {"/page/address/bcrt1nothing", 400}, {"/page/search?q=<script>", 404}, {"/page/search", 404}, {"/page/chart?count=99999", 400},
		{"/page/blocks?from=x", 400}, {"/page/raw/block", 400}, {"/page/raw/" + hash + "/" + hash, 404}, {"/page/fate/5x", 400}, {"/static/nothing.js", 404}, {"/static/../web.go", 404}, {"/page/search?q=" + strings.Repeat("a", 2000), 414},
	} {
		status, body, head := n.do(http.MethodGet, test.path, "")
		if status != test.want {
			t.Errorf("%.60s: %d, want %d: %.100s", test.path, status, test.want, body)
		}
		if strings.Contains(head.Get("Content-Type"), "html") {
			t.Errorf("%.60s: the answer may be read as HTML", test.path)
		}
	}
	own := []string{"Content-Type", "application/json", "Origin", n.http.URL}
	for _, test := range []struct {
		path, body string
		head       []string
		want       int
	}{
		{"/page/mine", `{"count":1}`, nil, 403},
		{"/page/mine", `{"count":1}`, []string{"Content-Type", "application/json"}, 403},
		{"/page/mine", `{"count":1}`, []string{"Content-Type", "application/json", "Origin", "http://evil.example"}, 403},
		{"/page/mine", `{"count":1}`, []string{"Content-Type", "text/plain", "Origin", n.http.URL}, 415},
		{"/page/mine", `{"count":1001}`, own, 400}, {"/page/mine", `{"count":1,"address":"x"}`, own, 400}, {"/page/mine", `[`, own, 400}, {"/page/home", `{}`, own, 404},
		{"/page/check", `{"block":"zz"}`, own, 400}, {"/page/check", `{}`, own, 400}, {"/page/check", `{"block":"` + strings.Repeat("0", 10<<20) + `"}`, own, 413},
	} {
		if status, body, _ := n.do(http.MethodPost, test.path, test.body, test.head...); status != test.want {
			t.Errorf("%s %.40s %v: %d, want %d: %.100s", test.path, test.body, test.head, status, test.want, body)
		}
	}
	if tip := n.chain.Tip(); tip.Height != 8 {
		t.Errorf("height %d", tip.Height)
	}
	if status, body := n.post("mine", map[string]any{"count": 2}); status != 200 || n.chain.Tip().Height != 10 {
		t.Errorf("the button mines: %d %s", status, body)
	}
}

// TestPeersAreHiddenElsewhere looks at peers from this machine and from another.
func TestPeersAreHiddenElsewhere(t *testing.T) {
	n := newNode(t, func(c *rpc.Config) { c.OpenPage = true })
	n.net.peers = []p2p.PeerInfo{{ID: 4, Addr: "203.0.113.7:9555", Version: 70016, SubVer: "/<img src=x onerror=alert(1)>/", HandshakeIsOver: true}}
	if _, body, _ := n.do(http.MethodGet, "/page/peers", ""); !bytes.Contains(body, []byte("203.0.113.7")) {
		t.Errorf("here: %s", body)
	}
	r := httptest.NewRequest(http.MethodGet, "/page/peers", nil)
	r.Host, r.RemoteAddr = "198.51.100.1", "198.51.100.9:1234"
	w := httptest.NewRecorder()
	n.http.Config.Handler.ServeHTTP(w, r)
	if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "203.0.113") || !strings.Contains(body, `"id":4`) {
		t.Errorf("elsewhere: %d %s", w.Code, body)
	}
}

// TestFilesOfThePage bounds what a visit sends, and holds the page to its policy.
func TestFilesOfThePage(t *testing.T) {
	n := newNode(t)
	total := 0
	check(t, fs.WalkDir(os.DirFS("."), "static", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		status, packed, head := n.do(http.MethodGet, "/"+path, "", "Accept-Encoding", "gzip")
		if status != 200 || head.Get("Content-Encoding") != "gzip" || !strings.Contains(head.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Errorf("%s: %d %v", path, status, head)
		}
		total += len(packed)
		if status, _, _ := n.do(http.MethodGet, "/"+path, "", "If-None-Match", head.Get("ETag")); status != http.StatusNotModified {
			t.Errorf("%s is sent again: %d", path, status)
		}
		b, err := os.ReadFile(path)
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function", " style=\"", "https://", "document.cookie"} {
			if bytes.Contains(b, []byte(bad)) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
		return err
	}))
	fmt.Printf("the page has %d bytes, compressed\n", total)
	if total > 200<<10 {
		t.Errorf("the page has %d bytes, compressed", total)
	}
	if status, body, head := n.do(http.MethodGet, "/", ""); status != 200 || !bytes.HasPrefix(body, []byte("<!doctype html>")) || head.Get("Set-Cookie") != "" {
		t.Errorf("the page: %d %v", status, head)
	}
}
