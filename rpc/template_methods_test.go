package rpc_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/testnet/chaingen"
)

// segwit is the request that every miner makes.
var segwit = object{"rules": []string{"segwit"}}

// gbt is a template as a miner that knows nothing but BIP22 reads it.
type gbt struct {
	Version  int32
	Prev     consensus.Hash `json:"previousblockhash"`
	Txs      []gbtTx        `json:"transactions"`
	Value    consensus.Amount
	ID       string `json:"longpollid"`
	Target   string
	MinTime  uint32
	CurTime  uint32
	Bits     string
	Height   uint32
	Output   string           `json:"default_witness_commitment"`
	Coinbase consensus.Amount `json:"coinbasevalue"`
	Weight   int              `json:"weightlimit"`
	Rules    []string
	Signals  map[string]int `json:"vbavailable"`
}

type gbtTx struct {
	Data       string
	TxID, Hash consensus.Hash
	Depends    []int
	Fee        consensus.Amount
	Sigops     int
	Weight     int
}

// block makes the block of a template as a miner does: from its fields alone,
// and with a coinbase that has no witness.
func (g *gbt) block(tb testing.TB, payTo []byte) *consensus.Block {
	tb.Helper()
	commitment, err := hex.DecodeString(g.Output)
	check(tb, err)
	coinbase := consensus.NewCoinbase(consensus.CoinbaseScript(g.Height, []byte(tb.Name())[:8]), []consensus.TxOut{{Value: g.Coinbase, Script: payTo}, {Script: commitment}})
	coinbase.In[0].Witness = nil
	var bits consensus.Bits
	check(tb, json.Unmarshal([]byte(`"`+g.Bits+`"`), &bits))
	b := &consensus.Block{Header: consensus.Header{Version: g.Version, Prev: g.Prev, Time: g.CurTime, Bits: uint32(bits)}, Txs: []*consensus.Tx{coinbase}}
	for _, tx := range g.Txs {
		raw, err := hex.DecodeString(tx.Data)
		check(tb, err)
		decoded, err := consensus.DecodeTx(raw)
		check(tb, err)
		b.Txs = append(b.Txs, decoded)
	}
	b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs())
	return b
}

// child spends the first output of a transaction of this node.
func (n *testNode) child(parent *consensus.Tx, fee consensus.Amount) *consensus.Tx {
	value := parent.Out[0].Value
	return n.pay(value, []consensus.OutPoint{{TxID: parent.TxID()}}, consensus.TxOut{Value: value - fee, Script: n.script})
}

func TestGetBlockTemplate(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	parent := n.payment(1, 1000)
	child := n.child(parent, 3000)
	check(t, n.pool.Add(parent))
	check(t, n.pool.Add(child))
	n.clock.Set(time.Unix(int64(n.chain.Tip().Time)+100, 0))
	tip := n.chain.Tip()
	entry := func(tx *consensus.Tx, fee int, depends ...int) object {
		return object{"data": hexTx(tx), "txid": tx.TxID(), "hash": tx.WTxID(), "depends": append([]int{}, depends...), "fee": fee, "sigops": tx.SigopsCost(), "weight": tx.Weight()}
	}
	unmined := n.template()
	commitment, _ := unmined.WitnessCommitmentIndex()
	want := object{
		"capabilities": []string{"proposal"}, "version": 0x20000000, "rules": []string{"csv", "!segwit", "taproot"}, "vbavailable": object{}, "vbrequired": 0,
		"previousblockhash": tip.Hash, "transactions": []any{entry(parent, 1000), entry(child, 3000, 1)}, "coinbaseaux": object{}, "coinbasevalue": int64(50_0000_4000),
		"longpollid": fmt.Sprintf("%s%d", tip.Hash, n.pool.Changes()), "target": regtestTarget, "mintime": tip.MedianTime() + 1,
		"mutable": []string{"time", "transactions", "prevblock"}, "noncerange": "00000000ffffffff", "sigoplimit": 80000, "sizelimit": 4000000, "weightlimit": 4000000,
		"curtime": tip.Time + 100, "bits": "207fffff", "height": 103, "default_witness_commitment": hex.EncodeToString(unmined.Txs[0].Out[commitment].Script),
	}
	same(t, ok[any](n, "getblocktemplate", segwit), want)
	same(t, ok[any](n, "getblocktemplate", object{"rules": []string{"segwit", "other"}, "mode": "template", "capabilities": 5}), want)
	info := ok[object](n, "getmininginfo")
	same(t, []any{info["currentblocktx"], info["currentblockweight"]}, []any{2, 8000 + parent.Weight() + child.Weight()})

	g := ok[gbt](n, "getblocktemplate", segwit)
	b := solve(g.block(t, n.script))
	n.wantSubmit(b, "")
	n.wantTip(b)
	if n.pool.Sync() != nil || n.pool.Stats().Count != 0 {
		t.Error("the pool is not empty")
	}
}

// TestTemplateUpgrades tells miners what to signal for, what is in force, and how
// heavy a block may be.
func TestTemplateUpgrades(t *testing.T) {
	t.Parallel()
	spec := chaingen.Spec(func(s *consensus.Spec) {
		s.Defaults.Upgrades = []consensus.Upgrade{
			{Name: "lighter", Height: 3, MaxBlockWeight: 100_000},
			{Name: "asked", MaxBlockWeight: 4_000_000, Signal: consensus.Signal{Bit: 3, Timeout: 1000, Window: 4, Threshold: 3}},
		}
	})
	n := newNodeWith(t, chain.Config{Spec: spec}, "", 0)
	seen := make(map[string]bool)
	for range 16 {
		g := ok[gbt](n, "getblocktemplate", segwit)
		rules := strings.Join(g.Rules[3:], ",")
		bit, asked := g.Signals["asked"]
		if signals := g.Version>>3&1 == 1; signals != asked || asked && bit != 3 {
			t.Errorf("height %d: version %08x, signals %v", g.Height, g.Version, g.Signals)
		}
		if light := g.Weight == 100_000; light != strings.Contains(rules, "lighter") || light != (g.Height >= 3) {
			t.Errorf("height %d: weight limit %d, rules %s", g.Height, g.Weight, rules)
		}
		seen[fmt.Sprint(rules, asked)] = true
		n.wantSubmit(solve(g.block(t, n.script)), "")
	}
	same(t, slices.Sorted(maps.Keys(seen)), []string{"false", "lighter,askedfalse", "lighterfalse", "lightertrue"})
}

func TestGetBlockTemplateRefusals(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	const noSegwit = `getblocktemplate must be called with the segwit rule set (call with {"rules": ["segwit"]})`
	zeros := strings.Repeat("0", 62)
	for _, test := range []struct {
		request any
		code    int
		message string
	}{
		{object{}, -8, noSegwit},
		{object{"rules": nil}, -8, noSegwit},
		{object{"rules": "segwit"}, -8, noSegwit},
		{object{"rules": object{"segwit": 1}}, -8, noSegwit},
		{object{"rules": []string{"Segwit"}}, -8, noSegwit},
		{object{"rules": []any{"segwit", 1}}, -3, "JSON value of type number is not of expected type string"},
		{object{"rules": []any{nil}}, -3, "JSON value of type null is not of expected type string"},
		{object{"mode": 1}, -8, "Invalid mode"},
		{object{"mode": "x"}, -8, "Invalid mode"},
		{object{"mode": "proposal"}, -3, "Missing data String key for proposal"},
		{object{"mode": "proposal", "data": 5}, -3, "Missing data String key for proposal"},
		{object{"mode": "proposal", "data": ""}, -22, "Block decode failed"},
		{object{"mode": "proposal", "data": "zz"}, -22, "Block decode failed"},
		{object{"mode": "proposal", "data": "00"}, -22, "Block decode failed"},
		{object{"rules": []string{"segwit"}, "longpollid": ""}, -8, "longpollid must be of length 64 (not 0, for '')"},
		{object{"rules": []string{"segwit"}, "longpollid": "12"}, -8, "longpollid must be of length 64 (not 2, for '12')"},
		{object{"rules": []string{"segwit"}, "longpollid": "zz" + zeros}, -8, "longpollid must be hexadecimal string (not 'zz" + zeros + "')"},
		{[]any{}, -3, "Wrong type passed:\n{\n    \"Position 1 (template_request)\": \"JSON value of type array is not of expected type object\"\n}"},
		{nil, -3, "Wrong type passed:\n{\n    \"Position 1 (template_request)\": \"JSON value of type null is not of expected type object\"\n}"},
	} {
		n.refused(test.code, test.message, "getblocktemplate", test.request)
	}
	if _, failure := n.call("getblocktemplate"); failure == nil || failure.Code != -1 {
		t.Errorf("no argument: %+v", failure)
	}
	// An id of another tip is out of date at once, whatever follows it.
	for _, id := range []string{"11" + zeros, "11" + zeros + "7", "11" + zeros + "-x", "11" + zeros + strings.Repeat("9", 99)} {
		ok[gbt](n, "getblocktemplate", object{"rules": []string{"segwit"}, "longpollid": id})
	}
	n.net.syncing = true
	n.refused(-10, "Lode is in initial sync and waiting for blocks...", "getblocktemplate", segwit)
	n.net.syncing = false
	n.clock.Set(time.Unix(1_000_000_000, 0))
	if _, failure := n.call("getblocktemplate", segwit); failure != nil {
		t.Errorf("a clock in the past: %+v", failure)
	}
	ok[gbt](n, "getblocktemplate", segwit)
}

// TestTemplateWithoutPeers asks a node that is alone: where coins are worth
// something it has no template.
func TestTemplateWithoutPeers(t *testing.T) {
	t.Parallel()
	for network, alone := range map[string]bool{"main": false, "testnet": true, "regtest": true} {
		n := newNode(t, network, 0)
		ok[gbt](n, "getblocktemplate", segwit)
		n.net.alone = true
		if alone {
			ok[gbt](n, "getblocktemplate", segwit)
		} else {
			n.refused(-9, "Lode is not connected!", "getblocktemplate", segwit)
		}
	}
}

func TestProposal(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	check(t, n.pool.Add(n.payment(1, 1000)))
	before := n.chain.Tip()
	propose := func(want any, b *consensus.Block) {
		t.Helper()
		same(t, ok[any](n, "getblocktemplate", object{"mode": "proposal", "data": hexBlock(b)}), want)
		if _, known := n.chain.Header(b.Header.Hash()); known && !strings.HasPrefix(fmt.Sprint(want), "duplicate") {
			t.Error("the header of a proposal is remembered")
		}
	}
	change := func(f func(*consensus.Block)) *consensus.Block {
		b := n.template()
		f(b)
		return b
	}
	reroot := func(b *consensus.Block) { b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs()) }
	forged := func(b *consensus.Block) {
		b.Txs[1] = b.Txs[1].Clone()
		b.Txs[1].In[0].Witness = [][]byte{make([]byte, 64)}
		b.Txs[0].Out = b.Txs[0].Out[:1]
		b.Seal()
	}
	propose(nil, n.template())
	propose("inconclusive-not-best-prevblk", change(func(b *consensus.Block) { b.Prev = n.block(101).Header.Hash() }))
	propose("bad-txnmrklroot", change(func(b *consensus.Block) { b.MerkleRoot[0] ^= 1 }))
	propose("bad-cb-missing", change(func(b *consensus.Block) { b.Txs = b.Txs[1:]; reroot(b) }))
	propose("bad-blk-length", change(func(b *consensus.Block) { b.Txs = nil; reroot(b) }))
	propose("bad-diffbits", change(func(b *consensus.Block) { b.Bits = 0x1d00ffff }))
	propose("time-too-old", change(func(b *consensus.Block) { b.Time = 1 }))
	propose("time-too-new", change(func(b *consensus.Block) { b.Time += 3 * 3600 }))
	propose("bad-version(0x00000003)", change(func(b *consensus.Block) { b.Version = 3 }))
	propose("bad-cb-amount", change(func(b *consensus.Block) { b.Txs[0].Out[0].Value++; reroot(b) }))
	propose("bad-cb-height", change(func(b *consensus.Block) { b.Txs[0].In[0].ScriptSig = []byte{1, 1}; reroot(b) }))
	propose("bad-witness-nonce-size", change(func(b *consensus.Block) { b.Txs[0].In[0].Witness = nil })) // other than submitblock
	propose("bad-txns-inputs-missingorspent", change(func(b *consensus.Block) {
		b.Txs = append(b.Txs, b.Txs[1])
		b.Txs = append(b.Txs[:1], b.Txs[2:]...)
		b.Txs[1] = n.child(b.Txs[1], 1000)
		b.Txs[0].Out = b.Txs[0].Out[:1]
		b.Seal()
	}))
	propose("block-script-verify-flag-failed (Invalid Schnorr signature)", change(forged))
	if n.chain.Tip() != before || n.pool.Stats().Count != 1 {
		t.Error("a proposal changes something")
	}

	// What is known is not judged again.
	stored := solve(n.template())
	n.wantSubmit(solve(n.template()), "")
	n.wantSubmit(stored, "inconclusive")
	propose("duplicate", n.block(103))
	propose("duplicate-inconclusive", stored)
	bad := change(func(b *consensus.Block) { b.Txs[0].Out[0].Value++; reroot(b) })
	n.wantSubmit(solve(bad), "bad-cb-amount")
	propose("duplicate-invalid", bad)
	// A block that was proposed may be mined.
	good := n.template()
	propose(nil, good)
	n.wantSubmit(solve(good), "")
}

// templateNow asks for a template without a socket, as must be done where time is not
// real.
func (n *testNode) templateNow() (id string) {
	n.tb.Helper()
	_, answer := n.post(`{"method":"getblocktemplate","params":[{"rules":["segwit"]}],"id":1}`)
	answers := make(chan string, 1)
	answers <- answer
	return n.wantTemplate(answers)
}

// longPoll asks for a template and sends what came when it comes.
func (n *testNode) longPoll(ctx context.Context, id any) <-chan string {
	body, err := json.Marshal(object{"jsonrpc": "2.0", "id": 1, "method": "getblocktemplate", "params": []any{object{"rules": []string{"segwit"}, "longpollid": id}}})
	check(n.tb, err)
	answers := make(chan string, 1)
	go func() {
		answer, err := io.ReadAll(n.do(authorized(string(body)).WithContext(ctx)).Body)
		if err != nil {
			answer = []byte(err.Error())
		}
		answers <- string(answer)
	}()
	return answers
}

// wantTemplate waits for a template that comes after the tip.
func (n *testNode) wantTemplate(answers <-chan string) (id string) {
	n.tb.Helper()
	var reply struct{ Result gbt }
	answer := <-answers
	if err := json.Unmarshal([]byte(answer), &reply); err != nil || reply.Result.Prev != n.chain.Tip().Hash {
		n.tb.Fatalf("no template for the tip: %.300s", answer)
	}
	return reply.Result.ID
}

func (n *testNode) wantNone(answers <-chan string) {
	n.tb.Helper()
	synctest.Wait()
	select {
	case answer := <-answers:
		n.tb.Fatalf("an answer too early: %.300s", answer)
	default:
	}
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 103)
	payments := []*consensus.Tx{n.payment(1, 1000), n.payment(2, 1000), n.payment(3, 1000)}
	n.clock.Set(time.Now()) // the other clock is far behind in what follows
	synctest.Test(t, func(t *testing.T) {
		old := n.chain.Tip().Hash.String() + "0"
		id := n.templateNow()
		// A new tip is told at once.
		answers := n.longPoll(t.Context(), id)
		n.wantNone(answers)
		time.Sleep(time.Hour)
		n.wantNone(answers)
		began := time.Now()
		n.mine(1)
		id = n.wantTemplate(answers)
		n.wantTemplate(n.longPoll(t.Context(), old))
		if took := time.Since(began); took != 0 {
			t.Errorf("a new tip takes %v", took)
		}
		// Other transactions are looked for after a minute,
		answers = n.longPoll(t.Context(), id)
		time.Sleep(30 * time.Second)
		check(t, n.pool.Add(payments[0]))
		time.Sleep(29 * time.Second)
		n.wantNone(answers)
		time.Sleep(2 * time.Second)
		id = n.wantTemplate(answers)
		// and then every ten seconds.
		answers = n.longPoll(t.Context(), id)
		time.Sleep(65 * time.Second)
		check(t, n.pool.Add(payments[1]))
		time.Sleep(4 * time.Second)
		n.wantNone(answers)
		time.Sleep(2 * time.Second)
		n.wantTemplate(answers)
		// What is no text stands for the present template.
		answers = n.longPoll(t.Context(), 5)
		time.Sleep(10 * time.Minute)
		n.wantNone(answers)
		n.mine(1)
		id = n.wantTemplate(answers)
		// The node stops.
		ctx, stop := context.WithCancel(t.Context())
		answers = n.longPoll(ctx, id)
		n.wantNone(answers)
		stop()
		if got, want := <-answers, `{"jsonrpc":"2.0","error":{"code":-9,"message":"Shutting down"},"id":1}`; strings.TrimSpace(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestManyLongPolls has more miners wait than calls are worked on at once. They
// keep nobody from being answered, and one more is refused.
func TestManyLongPolls(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	n.clock.Set(time.Now()) // the other clock is far behind in what follows
	synctest.Test(t, func(t *testing.T) {
		const most = 128
		id := n.templateNow()
		waiting := make([]<-chan string, most)
		for i := range waiting {
			waiting[i] = n.longPoll(t.Context(), id)
			synctest.Wait()
		}
		if got, want := <-n.longPoll(t.Context(), id), `{"jsonrpc":"2.0","error":{"code":-1,"message":"Too many long polls at once, want at most 128"},"id":1}`; strings.TrimSpace(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
		n.mine(1)
		for _, answers := range waiting {
			n.wantTemplate(answers)
		}
		answers := n.longPoll(t.Context(), 1)
		n.wantNone(answers)
		n.mine(1)
		n.wantTemplate(answers)
	})
}

// TestLongPollInBatch waits for one call of several.
func TestLongPollInBatch(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	n.clock.Set(time.Now()) // the other clock is far behind in what follows
	synctest.Test(t, func(t *testing.T) {
		const call = `{"method":"getblocktemplate","params":[{"rules":["segwit"],"longpollid":1}],"id":1}`
		done := make(chan int, 1)
		go func() {
			status, answer := n.post("[" + call + "," + call + "]")
			if strings.Contains(answer, `"error":{`) {
				t.Error(answer)
			}
			done <- status
		}()
		for range 2 {
			synctest.Wait()
			if len(done) > 0 {
				t.Fatal("it does not wait")
			}
			n.mine(1)
		}
		if status := <-done; status != 200 {
			t.Errorf("status %d", status)
		}
	})
}

// deadlines are those of a connection, in Unix nanoseconds; 0 for none, -1 before
// there was any.
type deadlines struct{ read, write atomic.Int64 }

// deadlineConn remembers its deadlines.
type deadlineConn struct {
	net.Conn
	*deadlines
}

func keep(at *atomic.Int64, t time.Time) {
	at.Store(0)
	if !t.IsZero() {
		at.Store(t.UnixNano())
	}
}

func (c deadlineConn) SetReadDeadline(t time.Time) error {
	keep(&c.read, t)
	return c.Conn.SetReadDeadline(t)
}

func (c deadlineConn) SetWriteDeadline(t time.Time) error {
	keep(&c.write, t)
	return c.Conn.SetWriteDeadline(t)
}

type deadlineListener struct {
	net.Listener
	deadlines
}

func (l *deadlineListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return deadlineConn{conn, &l.deadlines}, nil
}

// TestLongPollHasNoDeadline: what bounds the reading of a request and the writing
// of an answer must not end a call that takes longer.
func TestLongPollHasNoDeadline(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l := &deadlineListener{Listener: inner}
	l.read.Store(-1)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		if err := n.server.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		for began := time.Now(); l.read.Load() != 0 || l.write.Load() != 0; time.Sleep(time.Millisecond) {
			if time.Since(began) > 3*time.Minute {
				t.Error("there is a deadline while the call waits")
				stop()
				return
			}
		}
		// The call may not have looked at the tip yet: then it waits for the next.
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			n.mine(1)
		}
	})
	r, err := http.NewRequest(http.MethodPost, "http://"+inner.Addr().String(), strings.NewReader(`{"method":"getblocktemplate","params":[{"rules":["segwit"],"longpollid":1}],"id":1}`))
	check(t, err)
	r.SetBasicAuth(user, password)
	resp, err := http.DefaultClient.Do(r)
	check(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(t, err)
	stop()
	if resp.StatusCode != 200 || !strings.Contains(string(body), `"previousblockhash"`) {
		t.Errorf("status %s, %.300s", resp.Status, body)
	}
}
