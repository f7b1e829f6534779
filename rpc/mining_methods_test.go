package rpc_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/miner"
	"lode/rpc"
	"lode/rpc/manual"
)

// submit hands a block in and gives the answer: "" for null.
func (n *testNode) submit(b *consensus.Block) string {
	n.tb.Helper()
	answer := ok[*string](n, "submitblock", hexBlock(b))
	if answer == nil {
		return ""
	}
	return *answer
}

func (n *testNode) wantSubmit(b *consensus.Block, want string) {
	n.tb.Helper()
	if got := n.submit(b); got != want {
		n.tb.Errorf("submitblock: %q, want %q", got, want)
	}
}

func (n *testNode) wantTip(b *consensus.Block) {
	n.tb.Helper()
	if got, want := n.chain.Tip().Hash, b.Header.Hash(); got != want {
		n.tb.Errorf("tip %s, want %s", got, want)
	}
}

func TestSubmitBlock(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	first, rival := n.template(), n.template()
	n.wantSubmit(solve(first), "")
	n.wantTip(first)
	n.wantSubmit(first, "duplicate")
	n.wantSubmit(solve(rival), "inconclusive")
	n.wantSubmit(rival, "duplicate")
	n.wantTip(first)

	// Another argument, and bytes behind the block, are ignored.
	block := solve(n.template())
	same(t, ok[any](n, "submitblock", hexBlock(block)+"deadbeef", "ignored"), nil)
	n.wantTip(block)
	// Miners that build on a template leave the witness of the coinbase out.
	block = solve(n.template())
	bare := variant(block, func(b *consensus.Block) { b.Txs[0].In[0].Witness = nil })
	n.wantSubmit(bare, "")
	n.wantTip(block)

	for _, raw := range []string{"", "x", "0", "00", hexBlock(block)[:200], hexBlock(block)[2:]} {
		n.refused(-22, "Block decode failed", "submitblock", raw)
	}
	n.refused(-1, manual.Methods()["submitblock"].Help(), "submitblock")
}

func TestSubmitBadBlocks(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	bad := func(reason string, change func(*consensus.Block)) *consensus.Block {
		t.Helper()
		b := n.template()
		change(b)
		n.wantSubmit(solve(b), reason)
		return b
	}
	tip := n.chain.Tip().Hash
	bad("prev-blk-not-found", func(b *consensus.Block) { b.Prev[0] ^= 1 })
	bad("bad-diffbits", func(b *consensus.Block) { b.Bits = 0x207ffffe })
	bad("time-too-old", func(b *consensus.Block) { b.Time = 1 })
	bad("bad-version(0x00000001)", func(b *consensus.Block) { b.Version = 1 })
	empty := bad("bad-blk-length", func(b *consensus.Block) { b.Txs, b.MerkleRoot = nil, consensus.Hash{} })
	n.wantSubmit(empty, "bad-blk-length")
	greedy := bad("bad-cb-amount", func(b *consensus.Block) {
		b.Txs[0].Out[0].Value++
		b.MerkleRoot, _ = consensus.MerkleRoot(b.TxIDs())
	})
	n.wantSubmit(greedy, "duplicate-invalid")
	bad("bad-prevblk", func(b *consensus.Block) { b.Prev, b.Time = greedy.Header.Hash(), b.Time+1 })
	worthless := n.template()
	for target, _ := consensus.TargetFromBits(worthless.Bits); worthless.Header.Hash().MeetsTarget(&target); {
		worthless.Nonce++
	}
	n.wantSubmit(worthless, "high-hash")
	if n.chain.Tip().Hash != tip {
		t.Error("the tip has moved")
	}
}

// TestHonestBlockAfterAltered hands in a block that was altered on the way, and
// then the honest one with the same hash: the first must not be held against
// the second.
func TestHonestBlockAfterAltered(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, reason string
		change       func(*consensus.Block)
	}{
		{"a transaction", "bad-txnmrklroot", func(b *consensus.Block) { b.Txs[0].Out[0].Value-- }},
		{"no coinbase", "bad-txnmrklroot", func(b *consensus.Block) { b.Txs = b.Txs[1:] }},
		// The merkle root does not see that the last one comes twice (CVE-2012-2459).
		{"a transaction twice", "bad-txns-duplicate", func(b *consensus.Block) { b.Txs = append(b.Txs, b.Txs[2]) }},
		{"a signature", "bad-witness-merkle-match", func(b *consensus.Block) { b.Txs[1].In[0].Witness = [][]byte{make([]byte, 64)} }},
		{"no signature", "bad-witness-merkle-match", func(b *consensus.Block) { b.Txs[1].In[0].Witness = nil }},
		{"the reserved value", "bad-witness-merkle-match", func(b *consensus.Block) { b.Txs[0].In[0].Witness = [][]byte{{31: 1}} }},
		{"a short reserved value", "bad-witness-nonce-size", func(b *consensus.Block) { b.Txs[0].In[0].Witness = [][]byte{{1}} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "regtest", 102)
			check(t, n.pool.Add(n.payment(1, 1000)))
			check(t, n.pool.Add(n.payment(2, 1000)))
			honest := solve(n.template())
			altered := variant(honest, test.change)
			if altered.Header.Hash() != honest.Header.Hash() {
				t.Fatal("another hash")
			}
			n.wantSubmit(altered, test.reason)
			n.wantSubmit(altered, test.reason)
			n.wantSubmit(honest, "")
			n.wantTip(honest)
		})
	}
}

func TestHonestBlockFromTheFuture(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	now := time.Now().Unix()
	same(t, ok[any](n, "setmocktime", now), nil)
	block := n.template()
	block.Time = uint32(now) + n.spec.Defaults.MaxDrift + 1
	solve(block)
	n.wantSubmit(block, "time-too-new")
	same(t, ok[any](n, "setmocktime", now+1), nil)
	n.wantSubmit(block, "")
	n.wantTip(block)
}

func TestSubmitHeader(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 1)
	raw := func(b *consensus.Block) string { return hex.EncodeToString(b.Header.Append(nil)) }
	block := solve(n.template())
	for range 2 {
		same(t, ok[any](n, "submitheader", raw(block)), nil)
	}
	if best := n.chain.BestHeader().Hash; best != block.Header.Hash() {
		t.Errorf("best header %s", best)
	}
	n.wantSubmit(block, "") // a header alone makes no duplicate

	n.refused(-22, "Block header decode failed", "submitheader", "")
	n.refused(-22, "Block header decode failed", "submitheader", "zz")
	n.refused(-22, "Block header decode failed", "submitheader", raw(block)[2:])
	lost := n.template()
	lost.Prev = consensus.Hash{1}
	solve(lost)
	n.refused(-25, "Must submit previous header ("+lost.Prev.String()+") first", "submitheader", raw(lost))
	old := n.template()
	old.Time = 1
	n.refused(-25, "time-too-old", "submitheader", raw(solve(old)))
}

func TestGenerateToAddress(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	hashes := ok[[]consensus.Hash](n, "generatetoaddress", 3, n.address)
	if len(hashes) != 3 || hashes[2] != n.chain.Tip().Hash || n.chain.Tip().Height != 3 {
		t.Errorf("hashes %v, tip %v", hashes, n.chain.Tip())
	}
	if script := n.block(3).Txs[0].Out[0].Script; hex.EncodeToString(script) != hex.EncodeToString(n.script) {
		t.Errorf("the coinbase pays to %x", script)
	}
	same(t, ok[any](n, "generatetoaddress", 0, n.address), []any{})
	same(t, ok[any](n, "generatetoaddress", -5, n.address), []any{})
	same(t, ok[any](n, "generatetoaddress", 1, n.address, 0), []any{})
	n.refused(-1, "JSON integer out of range", "generatetoaddress", int64(1<<31), n.address)
	n.refused(-1, "JSON integer out of range", "generatetoaddress", 1, n.address, -1)
	_, failure := n.call("generatetoaddress", 1, "bcrt1x")
	if failure == nil || failure.Code != -5 || !strings.HasPrefix(failure.Message, "Error: Invalid address") {
		t.Errorf("bad address: %+v", failure)
	}
	result, failure := n.named("generatetoaddress", object{"nblocks": 1, "args": []any{}, "address": n.address})
	if failure != nil || n.chain.Tip().Height != 4 {
		t.Errorf("%s, %+v", result, failure)
	}
	// Where the work is real, the tries run out.
	real := newNode(t, "main", 0)
	same(t, ok[any](real, "generatetoaddress", 1, real.address, 10), []any{})
}

// fakeMiner hashes at a constant rate.
type fakeMiner struct{ asked *[]any }

func (fakeMiner) Stats() miner.Stats  { return miner.Stats{HashRate: 1234, Accepted: 5} }
func (m fakeMiner) Pause(on bool)     { *m.asked = append(*m.asked, on) }
func (m fakeMiner) Limit(rate uint64) { *m.asked = append(*m.asked, rate) }

func TestSetGenerate(t *testing.T) {
	t.Parallel()
	var asked []any
	n := newNode(t, "regtest", 0, func(c *rpc.Config) { c.Mining = fakeMiner{&asked} })
	ok[any](n, "setgenerate", false)
	ok[any](n, "setgenerate", true)
	ok[any](n, "setgenerate", true, 5000)
	if fmt.Sprint(asked) != "[true false 5000 false]" {
		t.Errorf("the miner was asked for %v", asked)
	}
	n.refused(-1, "JSON integer out of range", "setgenerate", true, -1)
	newNode(t, "regtest", 0).refused(-1, "This node does not mine: start it with --mine ADDRESS", "setgenerate", true)
}

func TestGetMiningInfo(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 101, func(c *rpc.Config) { c.Mining = fakeMiner{} })
	check(t, n.pool.Add(n.payment(1, 1000)))
	difficulty := btc(regtestDifficulty)
	want := object{
		"blocks": 101, "bits": "207fffff", "difficulty": difficulty, "target": regtestTarget, "pooledtx": 1, "chain": "regtest",
		"next":          object{"height": 102, "bits": "207fffff", "difficulty": difficulty, "target": regtestTarget},
		"networkhashps": ok[json.Number](n, "getnetworkhashps"), "blockmintxfee": btc("0.00000001"), "localhashps": 1234, "localblocks": 5, "warnings": []any{},
	}
	same(t, ok[any](n, "getmininginfo"), want)
	idle := newNode(t, "regtest", 0)
	info := ok[object](idle, "getmininginfo")
	same(t, []any{info["localhashps"], info["localblocks"], info["pooledtx"]}, []any{0, 0, 0})
}

func TestGetNetworkHashRate(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 0)
	zero := func(params ...any) {
		t.Helper()
		same(t, ok[any](n, "getnetworkhashps", params...), 0)
	}
	zero()
	// Ten blocks, ten minutes apart, each of two hashes.
	began := time.Now().Truncate(time.Second)
	for i := range 10 {
		n.clock.Set(began.Add(time.Duration(i) * 10 * time.Minute))
		n.mine(1)
	}
	near := func(want float64, params ...any) {
		t.Helper()
		if got := ok[float64](n, "getnetworkhashps", params...); math.Abs(got/want-1) > 1e-9 {
			t.Errorf("%v: %v hashes a second, want %v", params, got, want)
		}
	}
	near(2./600, 1)
	near(2./600, 9)
	near(2./600, 3, 7)
	whole := float64(20) / float64(n.chain.Tip().Time-n.block(0).Time)
	near(whole)
	near(whole, 10)
	near(whole, 100000)
	near(whole, -1)
	near(whole, 120, -1)
	n.mine(140) // of a fixed difficulty the last part of a day counts: 150 % 144 + 1 blocks
	same(t, ok[any](n, "getnetworkhashps", -1), ok[any](n, "getnetworkhashps", 7))
	zero(100, 0)
	zero(-1, 0)
	near(2/float64(n.block(1).Time-n.block(0).Time), 100, 1)
	for _, count := range []int{0, -2, -100} {
		n.refused(-8, "Invalid nblocks. Must be a positive number or -1.", "getnetworkhashps", count)
	}
	for _, height := range []int{151, -2, 1 << 30} {
		n.refused(-8, "Block does not exist at specified height", "getnetworkhashps", 100, height)
	}
	n.refused(-3, "Wrong type passed:\n{\n    \"Position 1 (nblocks)\": \"JSON value of type string is not of expected type number\"\n}", "getnetworkhashps", "a")
}

func TestGenerateBlock(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 103)
	inPool, other := n.payment(1, 1000), n.payment(2, 5000)
	check(t, n.pool.Add(inPool))
	check(t, n.pool.Add(n.payment(3, 1000)))
	type answer struct {
		Hash consensus.Hash
		Hex  string
	}
	made := ok[answer](n, "generateblock", n.address, []string{inPool.TxID().String(), hexTx(other)})
	b := n.block(104)
	if made.Hash != b.Header.Hash() || made.Hex != "" || len(b.Txs) != 3 || b.Txs[1].TxID() != inPool.TxID() || b.Txs[2].TxID() != other.TxID() {
		t.Errorf("%+v, %d transactions", made, len(b.Txs))
	}
	if got := b.Txs[0].OutputSum(); got != 50*consensus.SatPerCoin {
		t.Errorf("the coinbase pays %d", got)
	}
	// Without submit it is only shown.
	tip := n.chain.Tip().Hash
	for _, output := range []string{n.address, "addr(" + n.address + ")", "raw(" + hex.EncodeToString(n.script) + ")"} {
		made = ok[answer](n, "generateblock", output, []any{}, false)
		raw, err := hex.DecodeString(made.Hex)
		check(t, err)
		shown, err := consensus.DecodeBlock(raw)
		check(t, err)
		if shown.Header.Hash() != made.Hash || len(shown.Txs) != 1 || string(shown.Txs[0].Out[0].Script) != string(n.script) || n.chain.Tip().Hash != tip {
			t.Errorf("%s: %+v", output, made)
		}
		check(t, n.chain.TestBlock(shown))
	}
	n.wantSubmit(n.decode(made.Hex), "")

	lost := n.child(n.payment(3, 2000), 1000)
	for _, test := range []struct {
		output, txs any
		code        int
		message     string
	}{
		{"x", []any{}, -5, "Error: Invalid address or descriptor"},
		{"raw()", []any{}, -5, "Error: Invalid address or descriptor"},
		{"raw(zz)", []any{}, -5, "Error: Invalid address or descriptor"},
		{"addr(" + n.address, []any{}, -5, "Error: Invalid address or descriptor"},
		{"tr(" + n.address + ")", []any{}, -5, "Error: Invalid address or descriptor"},
		{n.address, []any{5}, -3, "JSON value of type number is not of expected type string"},
		{n.address, []any{"00"}, -22, "Transaction decode failed for 00. Make sure the tx has at least one input."},
		{n.address, []any{other.TxID().String()}, -5, "Transaction " + other.TxID().String() + " not in mempool."},
		{n.address, []any{hexTx(lost)}, -25, "TestBlockValidity failed: bad-txns-inputs-missingorspent, "},
		{"raw(51)", []any{}, -25, "TestBlockValidity failed: bad-txns-output-type"},
	} {
		_, failure := n.call("generateblock", test.output, test.txs)
		if failure == nil || failure.Code != test.code || !strings.HasPrefix(failure.Message, test.message) {
			t.Errorf("%v: %+v, want %s", test.output, failure, test.message)
		}
	}
	if n.pool.Stats().Count == 0 {
		t.Error("the pool has lost transactions")
	}
}

// decode reads a block in hex.
func (n *testNode) decode(text string) *consensus.Block {
	n.tb.Helper()
	raw, err := hex.DecodeString(text)
	check(n.tb, err)
	b, err := consensus.DecodeBlock(raw)
	check(n.tb, err)
	return b
}
