package miner

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/internal/poke"
	"lode/miner/kernel"
	"lode/rpc/client"
)

// fakeNode answers the calls of a miner, from a real ledger unless it is told
// otherwise.
type fakeNode struct {
	*node
	templates *Templates
	server    *httptest.Server
	url       atomic.Value
	password  atomic.Value
	dials     atomic.Value // the password that the miner knows, if it is another one
	asked     atomic.Int64 // calls of getblocktemplate
	waiting   atomic.Int64 // of them that wait
	longPolls bool

	mu      sync.Mutex // guards what follows
	failed  *client.Error
	change  func(map[string]any) // of a template
	reasons []string             // the next answers to submitblock
	drops   int                  // how many submitted blocks get no answer
}

func newFakeNode(t *testing.T) *fakeNode {
	n := &fakeNode{node: newNode(t, unchanged), longPolls: true}
	n.templates = NewTemplates(TemplatesConfig{Ledger: n.ledger, Pool: n.pool})
	n.password.Store("first")
	n.server = httptest.NewServer(http.HandlerFunc(n.serve))
	n.url.Store(n.server.URL)
	t.Cleanup(func() { n.server.CloseClientConnections(); n.server.Close() })
	return n
}

// with changes the node while nobody looks.
func (n *fakeNode) with(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *fakeNode) serve(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Method string
		Params []json.RawMessage
	}
	if _, password, _ := r.BasicAuth(); password != n.password.Load() {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		panic(err)
	}
	result, failure := n.answer(r.Context(), call.Method, call.Params[0])
	if failure == nil && result == nil && call.Method == "getblocktemplate" {
		return // cut
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": 0, "result": result, "error": failure})
}

func (n *fakeNode) answer(ctx context.Context, method string, param json.RawMessage) (any, *client.Error) {
	if method == "submitblock" {
		return n.submitBlock(param), nil
	}
	n.asked.Add(1)
	var request struct {
		Rules      []string
		LongPollID string
	}
	if method != "getblocktemplate" || json.Unmarshal(param, &request) != nil || len(request.Rules) != 1 || request.Rules[0] != "segwit" {
		return nil, &client.Error{Code: -8, Message: "bad request"}
	}
	if request.LongPollID != "" {
		n.waiting.Add(1)
		defer n.waiting.Add(-1)
		moved := make(chan struct{}, 1)
		defer n.ledger.Subscribe(func() { poke.Send(moved) })()
		for n.ledger.Tip().Hash.String() == request.LongPollID {
			select {
			case <-moved:
			case <-ctx.Done():
				return nil, nil
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed != nil {
		return nil, n.failed
	}
	t, _, err := n.templates.Current()
	if err != nil {
		return nil, &client.Error{Code: -1, Message: err.Error()}
	}
	answer := templateOf(t)
	if !n.longPolls {
		delete(answer, "longpollid")
	}
	if n.change != nil {
		n.change(answer)
	}
	return answer, nil
}

// templateOf is a template as a node tells it.
func templateOf(t *Template) map[string]any {
	target, _ := consensus.TargetFromBits(t.Bits)
	txs := []map[string]any{}
	for _, e := range t.Entries {
		txs = append(txs, map[string]any{"data": hex.EncodeToString(e.Tx.Bytes()), "txid": e.TxID, "fee": e.Fee})
	}
	return map[string]any{
		"version": t.Version, "rules": []string{"csv", "!segwit", "taproot"}, "previousblockhash": t.Tip.Hash, "transactions": txs, "coinbasevalue": t.Value,
		"longpollid": t.Tip.Hash, "target": fmt.Sprintf("%064x", target.ToBig()), "mintime": t.MinTime, "curtime": t.MinTime + 1,
		"bits": consensus.Bits(t.Bits).String(), "height": t.Height, "default_witness_commitment": hex.EncodeToString(t.Commitment),
	}
}

func (n *fakeNode) submitBlock(param json.RawMessage) any {
	var text string
	if err := json.Unmarshal(param, &text); err != nil {
		return "rejected"
	}
	n.mu.Lock()
	if n.drops > 0 {
		n.drops--
		n.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	if len(n.reasons) > 0 {
		reason := n.reasons[0]
		n.reasons = n.reasons[1:]
		n.mu.Unlock()
		return reason
	}
	n.mu.Unlock()
	raw, err := hex.DecodeString(text)
	if err != nil {
		return "rejected"
	}
	b, err := consensus.DecodeBlock(raw)
	if err != nil {
		return "rejected"
	}
	switch status, err := n.ledger.SubmitBlock(b); {
	case err != nil:
		return err.Error()
	case status == chain.Stored:
		return "inconclusive"
	case status == chain.Duplicate:
		return "duplicate"
	}
	return nil
}

func (n *fakeNode) dial() (*client.Client, error) {
	password := n.password.Load().(string)
	if wrong, _ := n.dials.Load().(string); wrong != "" {
		password = wrong
	}
	return client.New(n.url.Load().(string), client.Auth{User: "u", Password: password})
}

// remote is a miner that works for the node.
type remote struct {
	*Miner
	log  *syncBuffer
	stop func() error
}

// syncBuffer may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// startRemote runs a miner until the test ends, or stop is called, which gives
// what Run gave.
func (n *fakeNode) startRemote(t *testing.T) *remote {
	t.Helper()
	log := &syncBuffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	m := New(NewRemote(RemoteConfig{Dial: n.dial, PayTo: payTo, Log: logger}), NewWorkers(1, nil), logger)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return &remote{m, log, stop}
}

// TestRemote mines for a node: its transactions go into the first block, and
// every block pays as was asked.
func TestRemote(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	fees := n.fill(t)
	m := n.startRemote(t)
	eventually(t, "no blocks are found", func() bool { return m.Stats().Accepted >= 5 })
	if err := m.stop(); err != nil {
		t.Error(err)
	}
	if s := m.Stats(); s.Rejected+s.Stale > 0 {
		t.Errorf("%+v\n%s", s, m.log)
	}
	hash, _ := n.ledger.HashAt(7)
	b, err := n.ledger.Block(hash)
	if err != nil || len(b.Txs) != 4 || b.Txs[0].Out[0].Value != n.spec.Rules.Subsidy(7)+fees || !bytes.Equal(b.Txs[0].Out[0].Script, payTo) {
		t.Errorf("first block: %v", err)
	}
}

// hardBits keep the miner searching, and the test as fast as the node.
func hardBits(template map[string]any) {
	template["target"] = "00" + strings.Repeat("0", 62)
}

// TestRemoteFollowsTips has blocks come from elsewhere: the long poll ends, and
// there is work on the new tip.
func TestRemoteFollowsTips(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	n.change = hardBits
	m := n.startRemote(t)
	for _, b := range n.gen.Extend(5) {
		eventually(t, "it does not wait for the next template", func() bool { return n.waiting.Load() == 1 })
		if job := m.workers.current.Load(); job == nil || job.Prev != n.ledger.Tip().Hash {
			t.Fatal("no work on the tip")
		}
		if err := n.ledger.AddBlock(b); err != nil {
			t.Fatal(err)
		}
		eventually(t, "no work on the new tip", func() bool {
			job := m.workers.current.Load()
			return job != nil && job.Prev == b.Header.Hash()
		})
	}
	eventually(t, "it does not wait", func() bool { return n.waiting.Load() == 1 })
	if got := n.asked.Load(); got != 7 {
		t.Errorf("it asks %d times for six tips, and to wait for the next", got)
	}
}

// TestRemoteOutage takes the node away, and brings it back elsewhere with another
// password. The miner rests meanwhile, and says so once.
func TestRemoteOutage(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	n.change = hardBits
	m := n.startRemote(t)
	working := func() bool { return m.workers.current.Load() != nil }
	for round := range 2 {
		eventually(t, "no work", func() bool { return working() && n.waiting.Load() == 1 })
		n.server.CloseClientConnections()
		n.server.Close()
		eventually(t, "it goes on", func() bool { return !working() })
		n.password.Store(fmt.Sprint("next", round))
		n.server = httptest.NewServer(http.HandlerFunc(n.serve))
		n.url.Store(n.server.URL)
	}
	eventually(t, "no work again", func() bool { return working() && n.waiting.Load() == 1 })
	if got := strings.Count(m.log.String(), "no work from the node"); got != 2 {
		t.Errorf("%d log lines about two outages:\n%s", got, m.log)
	}
	if got := strings.Count(m.log.String(), "has work again"); got != 2 {
		t.Errorf("%d log lines about two ends of outages:\n%s", got, m.log)
	}
}

// TestRemoteRefused has the node want another password, at the start and later, as
// one does whose cookie is another one at each start: the miner says so, once each
// time, and comes back with what it is told then.
func TestRemoteRefused(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	n.change = hardBits
	n.dials.Store("wrong")
	m := n.startRemote(t)
	said := func(times int) func() bool {
		return func() bool { return strings.Count(m.log.String(), "the node wants other credentials") == times }
	}
	working := func() bool { return m.workers.current.Load() != nil && n.waiting.Load() == 1 }
	eventually(t, "it does not say that it is refused", said(1))
	n.dials.Store("")
	eventually(t, "it does not come back", working)
	n.password.Store("second")
	n.dials.Store("wrong")
	n.server.CloseClientConnections()
	eventually(t, "it does not say that it is refused later", said(2))
	n.dials.Store("")
	eventually(t, "it does not come back later", working)
	if !said(2)() {
		t.Errorf("it says more often that it is refused:\n%s", m.log)
	}
}

// TestRemoteSyncing waits for a node that has no template yet.
func TestRemoteSyncing(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	n.failed = &client.Error{Code: -10, Message: "is in initial sync"}
	m := n.startRemote(t)
	eventually(t, "it does not ask again", func() bool { return n.asked.Load() >= 3 })
	n.with(func() { n.failed = &client.Error{Code: -9, Message: "is not connected"} })
	before := n.asked.Load()
	eventually(t, "it does not ask again", func() bool { return n.asked.Load() >= before+2 })
	n.with(func() { n.failed = nil })
	eventually(t, "no blocks are found", func() bool { return m.Stats().Accepted > 0 })
	for _, want := range []string{"is in initial sync", "is not connected"} {
		if got := strings.Count(m.log.String(), want); got != 1 {
			t.Errorf("%q is said %d times:\n%s", want, got, m.log)
		}
	}
}

// TestRemoteVerdicts tells apart what the node says about blocks, and goes on.
func TestRemoteVerdicts(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	n.reasons = []string{"inconclusive", "bad-cb-amount", "stale-prevblk", "duplicate", "high-hash"}
	n.drops = 1
	m := n.startRemote(t)
	eventually(t, "no blocks are found", func() bool { return m.Stats().Accepted >= 3 })
	if s := m.Stats(); s.Rejected != 2 || s.Stale != 2 {
		t.Errorf("%+v\n%s", s, m.log)
	}
	for _, want := range []string{"reason=bad-cb-amount", "reason=high-hash", "reason=stale-prevblk"} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("%q is not said:\n%s", want, m.log)
		}
	}
}

// TestRemotePace keeps blocks apart.
func TestRemotePace(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	const pace = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	m := New(NewRemote(RemoteConfig{Dial: n.dial, PayTo: payTo, Pace: pace}), NewWorkers(1, nil), nil)
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- m.Run(ctx) }()
	eventually(t, "no blocks are found", func() bool { return n.ledger.Tip().Height >= 10 })
	if took := time.Since(began); took < 3*pace {
		t.Errorf("four blocks in %v", took)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRemoteWithoutLongPolls asks again by itself after a block.
func TestRemoteWithoutLongPolls(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	n.longPolls = false
	m := n.startRemote(t)
	eventually(t, "no blocks are found", func() bool { return m.Stats().Accepted >= 5 })
}

// TestRemoteEnds ends at once where there can be no work.
func TestRemoteEnds(t *testing.T) {
	t.Parallel()
	n := newFakeNode(t)
	for _, test := range []struct {
		name   string
		dial   func() (*client.Client, error)
		change func(map[string]any)
		failed *client.Error
		want   error
	}{
		{"no URL", func() (*client.Client, error) { return client.New("ftp://x", client.Auth{}) }, nil, nil, client.ErrURL},
		{"unknown rule", nil, func(m map[string]any) { m["rules"] = []string{"!segwit", "!other"} }, nil, errTemplate},
		{"no such call", nil, nil, &client.Error{Code: -32601, Message: "Method not found"}, nil},
	} {
		n.with(func() { n.change, n.failed = test.change, test.failed })
		dial := test.dial
		if dial == nil {
			dial = n.dial
		}
		err := NewRemote(RemoteConfig{Dial: dial, PayTo: payTo}).Run(t.Context(), func(*Job) {})
		if e, refused := errors.AsType[*client.Error](err); test.failed != nil && (!refused || *e != *test.failed) || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestRemoteTemplate(t *testing.T) {
	t.Parallel()
	n := newNode(t, unchanged)
	n.fill(t)
	tmpl := n.assemble(t)
	read := func(change func(map[string]any)) (*Job, error) {
		t.Helper()
		m := templateOf(tmpl)
		change(m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var r remoteTemplate
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		return r.job(payTo)
	}
	job, err := read(func(m map[string]any) { m["maxtime"], m["curtime"] = 77, 5; delete(m, "target") })
	target, _ := consensus.TargetFromBits(tmpl.Bits)
	if err != nil || job.MaxTime != 77 || job.Time != tmpl.MinTime || job.Target != target || len(job.Branch) != len(tmpl.Branch) {
		t.Errorf("%+v, %v", job, err)
	}
	if job.VersionMask != kernel.VersionBits {
		t.Errorf("the bits %08x of the version may change", job.VersionMask)
	}
	job, err = read(func(m map[string]any) { m["vbavailable"] = map[string]int{"a": 13, "b": 3, "strange": -1} })
	if err != nil || job.VersionMask != kernel.VersionBits&^(1<<13) {
		t.Errorf("the bits %08x of the version may change: %v", job.VersionMask, err)
	}
	// btcd commits to witnesses only where there are some.
	job, err = read(func(m map[string]any) { m["transactions"] = []any{}; delete(m, "default_witness_commitment") })
	if err != nil {
		t.Fatal(err)
	}
	b, err := job.template.Solve(&Found{Job: job, Extra: job.extra(1), Header: job.Header(job.extra(1))})
	if err != nil || len(b.Txs[0].Out) != 1 || b.Txs[0].HasWitness() {
		t.Errorf("a block without a commitment: %v", err)
	}
	for _, test := range []struct {
		field string
		value any
		want  string
	}{
		{"rules", []string{"!x"}, `the rule "x"`},
		{"coinbasevalue", nil, "coinbasevalue"},
		{"coinbasevalue", -1, "coinbasevalue"},
		{"default_witness_commitment", "", "default_witness_commitment"},
		{"default_witness_commitment", "zz", "default_witness_commitment"},
		{"default_witness_commitment", strings.Repeat("00", 1000), "default_witness_commitment"},
		{"height", 0, "height 0"},
		{"height", uint32(1 << 31), "height"},
		{"bits", "00000000", "bits"},
		{"target", "ff", "target"},
		{"target", strings.Repeat("x", 64), "target"},
		{"transactions", []any{map[string]any{"data": "zz"}}, "transaction 0"},
		{"transactions", []any{map[string]any{"data": "00"}}, "transaction 0"},
		{"transactions", []any{map[string]any{}}, "transaction 0"},
	} {
		if _, err := read(func(m map[string]any) { m[test.field] = test.value }); !errors.Is(err, errTemplate) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %v: %v", test.field, test.value, err)
		}
	}
}

// FuzzRemoteTemplate reads what a node may answer: it is refused, or is a job
// that can be worked on.
func FuzzRemoteTemplate(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"version":4,"rules":["csv","!segwit"],"previousblockhash":"` + strings.Repeat("11", 32) + `","transactions":[],"coinbasevalue":5,"longpollid":"x","mintime":1,"curtime":2,"bits":"207fffff","height":7,"default_witness_commitment":"6a"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r remoteTemplate
		if json.Unmarshal(b, &r) != nil {
			return
		}
		job, err := r.job(payTo)
		if err != nil {
			return
		}
		extra := job.extra(1)
		found := &Found{Job: job, Extra: extra, Header: job.Header(extra)}
		block, err := job.template.Solve(found)
		if err != nil {
			t.Fatal(err)
		}
		if root, _ := consensus.MerkleRoot(block.TxIDs()); root != block.MerkleRoot || len(block.Txs) != 1+len(r.Txs) {
			t.Error("the block does not fit its header")
		}
	})
}
