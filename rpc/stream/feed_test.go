package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/testnet/chaingen"
)

var spec = chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })

// world is a ledger, a mempool, and the stream of what happens in them.
type world struct {
	t      *testing.T
	dir    string
	ledger *chain.Chain
	sigs   *sigcheck.Checker
	gen    *chaingen.Chain
	http   *httptest.Server

	mu   sync.Mutex // guards what follows
	pool *mempool.Pool
	feed *Feed
	stop func() // ends the feed
	cut  func() // ends the streams
	srv  *Server
	ctx  context.Context // ends when the node stops
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), sigs: sigcheck.New(10_000)}
	var err error
	w.ledger, err = chain.Open(t.Context(), chain.Config{Dir: t.TempDir(), Spec: spec, Sigs: w.sigs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.ledger.Close() })
	w.gen = chaingen.New(&spec.Rules, chaingen.Params{Seed: 5, Txs: 6, Inputs: 1, Outputs: 4, Fee: 2000})
	w.start()
	w.http = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		srv, running := w.srv, w.ctx
		w.mu.Unlock()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(running, cancel)()
		r = r.WithContext(ctx)
		if r.URL.Path == "/events" {
			srv.ServeEvents(rw, r)
			return
		}
		srv.ServeWS(rw, r)
	}))
	t.Cleanup(func() {
		w.stop()
		w.cut()
		w.http.CloseClientConnections()
		w.http.Close()
	})
	return w
}

// start begins with an empty mempool, as a node does.
func (w *world) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	feed, err := Open(w.dir, Sources{Chain: w.ledger}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	w.pool = mempool.New(mempool.Config{Ledger: w.ledger, Sigs: w.sigs, Policy: mempool.DefaultPolicy()})
	w.pool.OnMove(feed.Move)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- feed.Run(ctx) }()
	w.feed, w.srv = feed, NewServer(feed.Log, "test")
	open, leave := context.WithCancel(context.Background())
	w.ctx = open
	w.cut = leave
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

// blocks submits blocks of a chain.
func (w *world) blocks(list []*consensus.Block) {
	w.t.Helper()
	for _, b := range list {
		if err := w.ledger.AddBlock(b); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.pool.Sync(); err != nil {
		w.t.Fatal(err)
	}
}

// offer puts the transactions of the next block into the mempool.
func (w *world) offer(b *consensus.Block) {
	for _, err := range w.pool.AddAll(b.Txs[1:]) {
		if err != nil && !mempool.IsRefusal(err) {
			w.t.Error(err)
		}
	}
}

// client makes of the events what the node has.
type client struct {
	at     Position
	tip    consensus.Hash
	pool   map[consensus.Hash]struct{}
	starts int // how often it was told to start over
	begun  bool
}

type anyEvent struct {
	Seq    uint64
	Topic  string
	Type   string
	Stream string
	Hash   consensus.Hash
	Prev   consensus.Hash
	TxID   consensus.Hash
}

func (c *client) apply(w *world, raw []byte) error {
	var list []anyEvent
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("%.200s: %w", raw, err)
	}
	for _, e := range list {
		if e.Topic == "stream" {
			if e.Type != "resume" { // what there is now, or later: what comes is applied again
				c.starts++
				c.tip, c.begun = consensus.Hash{}, true
				c.pool = make(map[consensus.Hash]struct{})
				w.mu.Lock()
				ids, _ := w.pool.TxIDs()
				w.mu.Unlock()
				for _, id := range ids {
					c.pool[id] = struct{}{}
				}
			}
			c.at = Position{e.Stream, e.Seq}
			continue
		}
		if e.Seq <= c.at.Seq {
			return fmt.Errorf("number %d after %d", e.Seq, c.at.Seq)
		}
		c.at.Seq = e.Seq
		switch e.Topic + " " + e.Type {
		case "blocks connected":
			if c.tip != (consensus.Hash{}) && e.Prev != c.tip {
				return fmt.Errorf("%s is connected on %s, and the tip is %s", e.Hash, e.Prev, c.tip)
			}
			c.tip = e.Hash
		case "blocks disconnected":
			if c.tip != (consensus.Hash{}) && e.Hash != c.tip {
				return fmt.Errorf("%s is disconnected, and the tip is %s", e.Hash, c.tip)
			}
			c.tip = e.Prev
		case "mempool in":
			c.pool[e.TxID] = struct{}{}
		case "mempool out":
			delete(c.pool, e.TxID)
		case "mempool cleared":
			clear(c.pool)
		}
	}
	return nil
}

// run follows the stream, and leaves now and then, until the node is as it should be.
func (c *client) run(w *world, seed uint64, done <-chan struct{}, final func() Position) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for {
		url := "ws" + strings.TrimPrefix(w.http.URL, "http") + "/ws"
		if c.begun {
			url += "?since=" + c.at.String()
		}
		ws, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			return err
		}
		for left := 1 + rnd.IntN(30); left > 0; {
			select {
			case <-done:
				if want := final(); c.at.Seq >= want.Seq {
					return ws.Close()
				}
			default:
				left--
			}
			_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, raw, err := ws.ReadMessage()
			if err != nil {
				break // the node was stopped
			}
			if err := c.apply(w, raw); err != nil {
				return err
			}
		}
		_ = ws.Close()
	}
}

// TestSubscribersHaveWhatTheNodeHas lets blocks, reorganizations, payments and a restart
// happen while clients come and go: each knows the tip and the mempool in the end.
func TestSubscribersHaveWhatTheNodeHas(t *testing.T) {
	w := newWorld(t)
	w.blocks(w.gen.Extend(6))
	done := make(chan struct{})
	final := func() Position { return w.feed.Log.Now() }
	clients := make([]client, 8)
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			if err := clients[i].run(w, uint64(i), done, final); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	for round := range 12 {
		next := w.gen.Extend(1)
		w.offer(next[0])
		if round == 6 { // all are told of a new mempool
			w.stop()
			w.cut()
			w.start()
			w.offer(next[0])
		}
		if round%3 == 2 { // two blocks are replaced by three
			w.blocks(next)
			w.gen = w.gen.Fork(w.gen.Tip().Height-2, uint64(round))
			next = w.gen.Extend(3)
		}
		w.blocks(next)
	}
	w.offer(w.gen.Extend(1)[0])
	waitFor(t, func() bool {
		w.feed.mu.Lock()
		defer w.feed.mu.Unlock()
		return len(w.feed.moves) == 0
	})
	w.feed.Log.add(number(Warnings, 0)) // so that all hear something
	w.stop()
	close(done)
	w.feed.Log.add(number(Warnings, 1))
	group.Wait()
	ids, _ := w.pool.TxIDs()
	want := make(map[consensus.Hash]struct{})
	for _, id := range ids {
		want[id] = struct{}{}
	}
	if len(want) == 0 {
		t.Fatal("the mempool is empty")
	}
	for i := range clients {
		c := &clients[i]
		if c.tip != w.ledger.Tip().Hash {
			t.Errorf("client %d has the tip %s, the node %s", i, c.tip, w.ledger.Tip().Hash)
		}
		if !maps.Equal(c.pool, want) {
			t.Errorf("client %d has %d transactions, the mempool %d", i, len(c.pool), len(want))
		}
		if c.starts != 1 {
			t.Errorf("client %d started %d times, though nothing was lost", i, c.starts)
		}
	}
}

func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

// TestTooManyMovesStartOver has more happen than can be told.
func TestTooManyMovesStartOver(t *testing.T) {
	w := newWorld(t)
	w.stop()
	before := w.feed.Log.Now()
	entry := &mempool.Entry{Tx: &consensus.Tx{}}
	w.feed.most = 100
	for range w.feed.most + 1 {
		w.feed.Move(mempool.Move{Entry: entry})
	}
	w.feed.step()
	if w.feed.Log.over(before, All) == "" {
		t.Error("what was not told is said to have been")
	}
}

// TestManyStreamsOfOneAddressAreRefused opens more than there may be.
func TestManyStreamsOfOneAddressAreRefused(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	get := func() int {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.http.URL+"/events", nil)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp.StatusCode
	}
	for i := range openPerAddress {
		if got := get(); got != http.StatusOK {
			t.Fatalf("stream %d: %d", i, got)
		}
	}
	for range 10 {
		if got := get(); got != http.StatusTooManyRequests {
			t.Fatalf("one too many: %d", got)
		}
	}
	cancel() // they leave
	waitFor(t, func() bool {
		w.srv.mu.Lock()
		defer w.srv.mu.Unlock()
		return w.srv.open == 0 && len(w.srv.streams) == 0
	})
}

func TestWhatIsNoSubscription(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{"topics=nonsense", "topics=peers", "since=x", "since=-1", "topics=,"} {
		resp, err := http.Get(w.http.URL + "/events?" + query)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", query, resp.StatusCode)
		}
	}
}
