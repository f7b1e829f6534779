package stratum_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/miner"
	"lode/miner/stratum"
	"lode/testnet/chaingen"
)

// patience only bounds a failure: a loaded machine must not look like one.
const patience = 3 * time.Minute

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// pool is a server over a real ledger and mempool.
type pool struct {
	t      *testing.T
	spec   *consensus.Spec
	gen    *chaingen.Chain
	ledger *chain.Chain
	txs    *mempool.Pool
	server *stratum.Server
	addr   string
	log    *logBuffer
	stop   func() // ends the server, and waits for it
}

type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Tests mine at difficulties of a few hashes, and want them to stay.
const (
	hash1   = 1.0 / 0x1p32 // the difficulty of about one hash
	someOf  = 64 * hash1
	noLimit = 1e6 // shares a minute
)

// newPool gives a pool of which change sets what matters.
func newPool(t *testing.T, change func(*stratum.Config)) *pool {
	t.Helper()
	p := &pool{t: t, spec: chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 }), log: new(logBuffer)}
	sigs := sigcheck.New(1000)
	var err error
	p.ledger, err = chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: p.spec, Sigs: sigs})
	check(t, err)
	t.Cleanup(func() { p.ledger.Close() })
	p.txs = mempool.New(mempool.Config{Ledger: p.ledger, Sigs: sigs, Policy: mempool.DefaultPolicy()})
	p.gen = chaingen.New(&p.spec.Rules, chaingen.Params{Seed: 4, Txs: 3, Outputs: 3, Fee: 1000})
	for _, b := range p.gen.Extend(6) {
		check(t, p.ledger.AddBlock(b))
	}
	p.serve(t.TempDir(), change)
	return p
}

// serve starts the server.
func (p *pool) serve(dir string, change func(*stratum.Config)) {
	t := p.t
	t.Helper()
	templates := miner.NewTemplates(miner.TemplatesConfig{Ledger: p.ledger, Pool: p.txs, Reserved: stratum.ReservedWeight})
	cfg := stratum.Config{
		Spec: p.spec, Ledger: p.ledger, Templates: templates, Dir: dir, Dust: 330, Window: 50,
		Difficulty: someOf, LeastDifficulty: hash1, SharesPerMinute: noLimit, Log: slog.New(slog.NewTextHandler(p.log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	p.server, err = stratum.NewServer(cfg)
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = templates.Run(ctx) })
	wg.Go(func() {
		if err := p.server.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	p.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(p.stop)
}

func (p *pool) address(n byte) string {
	return consensus.Address(p.spec.Defaults.AddressPrefix, [32]byte{n, 1})
}

// dial connects a miner.
func (p *pool) dial() *rawMiner {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	check(p.t, err)
	p.t.Cleanup(func() { c.Close() })
	check(p.t, c.SetDeadline(time.Now().Add(patience)))
	return newRawMiner(c)
}

// miner connects one and has it begin.
func (p *pool) miner(user string) *rawMiner {
	p.t.Helper()
	m := p.dial()
	check(p.t, m.begin(user))
	return m
}

// paid is what the block at a height pays, by address.
func (p *pool) paid(height uint32) map[string]consensus.Amount {
	p.t.Helper()
	hash, ok := p.ledger.HashAt(height)
	if !ok {
		p.t.Fatalf("no block at height %d", height)
	}
	b, err := p.ledger.Block(hash)
	check(p.t, err)
	paid := make(map[string]consensus.Amount)
	for _, out := range b.Txs[0].Out {
		if key, ok := consensus.TaprootKey(out.Script); ok {
			paid[consensus.Address(p.spec.Defaults.AddressPrefix, key)] += out.Value
		}
	}
	return paid
}

// waitFor reads until a job comes that is as wanted.
func (m *rawMiner) waitFor(t *testing.T, wanted func(*rawJob) bool) *rawJob {
	t.Helper()
	for len(m.jobs) == 0 || !wanted(m.last()) {
		if _, err := m.read(); err != nil {
			t.Fatal(err)
		}
	}
	return m.last()
}

// good submits a share of the newest job that must be accepted.
func (m *rawMiner) good(t *testing.T, user string) share {
	t.Helper()
	s := m.find(m.last(), m.last().difficulty, 0)
	if a, err := m.submit(user, s); err != nil || string(a.Result) != "true" || a.Error != nil {
		t.Fatalf("a good share: %s %v %v", a.Result, a.Error, err)
	}
	return s
}

// TestPool has two miners share a pool on regtest, where each share is a block.
// The first block pays its finder, the following the shares before them. Pending
// transactions are in the blocks, and the rules accept all.
func TestPool(t *testing.T) {
	p := newPool(t, nil)
	p.stop()
	for _, tx := range p.gen.Next().Txs[1:] {
		check(t, p.txs.Add(tx))
	}
	p.serve(t.TempDir(), nil)
	first, second := p.address(1), p.address(2)
	a := p.miner(first + ".rig")
	if len(a.last().branch) == 0 || !a.last().clean {
		t.Errorf("the first job: %+v", a.last())
	}
	shares := map[string]consensus.Amount{}
	var subsidy consensus.Amount
	for i := range 12 {
		user, m := first+".rig", a
		if i%3 == 2 {
			user, m = second, p.miner(second)
		}
		tip := p.ledger.Tip()
		// The newest job on this tip: it pays the shares so far.
		m.waitFor(t, func(j *rawJob) bool { return bytes.Equal(j.prev, tip.Hash[:]) })
		m.good(t, user)
		if now := p.ledger.Tip(); now.Height != tip.Height+1 {
			t.Fatalf("share %d made no block", i)
		}
		paid := p.paid(tip.Height + 1)
		var total consensus.Amount
		for _, v := range paid {
			total += v
		}
		subsidy = p.spec.Rules.Subsidy(tip.Height + 1)
		if fees := total - subsidy; i > 0 && fees != 0 || i == 0 && fees != 3000 {
			t.Errorf("block %d pays %v, the subsidy is %v", i, total, subsidy)
		}
		if i == 0 && len(paid) != 1 {
			t.Errorf("the first block pays %v", paid)
		}
		if i > 0 {
			for payee, n := range shares { // in proportion, within a satoshi
				if want := subsidy * n / consensus.Amount(i); paid[payee]-want > 1 || want-paid[payee] > 1 {
					t.Errorf("block %d pays %v to %s, want %v", i, paid[payee], payee, want)
				}
			}
		}
		shares[strings.TrimSuffix(user, ".rig")]++
	}
	info := p.server.Info()
	if info.Blocks != 12 || info.Shares.Accepted != 12 || info.Payees != 2 || len(info.Workers) != 2 || len(info.Carry) != 0 || info.Connections != 5 {
		t.Errorf("%+v", info)
	}
}

// TestErrors has each error of the protocol, beside what is right.
func TestErrors(t *testing.T) {
	p := newPool(t, nil)
	user := p.address(1)
	m := p.dial()
	expect := func(what string, want int, a rawLine, err error) {
		t.Helper()
		if err != nil || a.code() != want || want != 0 && string(a.Result) != "null" {
			t.Fatalf("%s: %s, error %v (%v), want code %d", what, a.Result, a.Error, err, want)
		}
	}
	call := func(what string, want int, method string, params ...any) {
		t.Helper()
		a, err := m.call(method, params...)
		expect(what, want, a, err)
	}
	call("a share before all", 25, "mining.submit", user, "1", "00000000", "00000000", "00000000")
	call("a bad address", 24, "mining.authorize", "nobody", "x")
	call("no name", 24, "mining.authorize")
	call("a number", 24, "mining.authorize", 5)
	call("a long name", 24, "mining.authorize", user+"."+strings.Repeat("r", 100))
	call("a name with a line feed", 24, "mining.authorize", user+".\n")
	call("a name that is not ASCII", 24, "mining.authorize", user+".\u202e")
	call("an address of another network", 24, "mining.authorize", consensus.Address("lode", [32]byte{1, 1}), "x")
	check(t, m.subscribe())
	call("a share of nobody", 24, "mining.submit", user, "1", "00000000", "00000000", "00000000")
	call("the right name", 0, "mining.authorize", user, "x")
	call("once more", 0, "mining.authorize", user, "x")
	call("its rig", 0, "mining.authorize", user+".rig", "x")
	call("an unknown method", 20, "mining.dance")
	m.waitFor(t, func(*rawJob) bool { return true })

	good := m.find(m.last(), m.last().difficulty, 0)
	field := func(what string, want, i int, v any) {
		t.Helper()
		params := []any{user, good.job.id, good.extra2, good.time, good.nonce}
		params[i] = v
		call(what, want, "mining.submit", params...)
	}
	field("another's name", 24, 0, p.address(2))
	field("no such job", 21, 1, "ffff")
	field("a job that is a number", 20, 1, 7)
	field("a short extra nonce", 20, 2, "00")
	field("an extra nonce that is not hex", 20, 2, "zzzzzzzz")
	field("a time that is not hex", 20, 3, "xxxxxxxx")
	field("a short time", 20, 3, "1")
	field("a time too early", 20, 3, "00000001")
	field("a time too late", 20, 3, fmt.Sprintf("%08x", time.Now().Add(3*time.Hour).Unix()))
	field("a nonce that is not hex", 20, 4, "-1234567")
	field("null for a nonce", 20, 4, nil)
	call("too few fields", 20, "mining.submit", user, good.job.id)
	call("version bits without leave", 20, "mining.submit", user, good.job.id, good.extra2, good.time, good.nonce, "00002000")
	low := m.find(m.last(), hash1, m.last().difficulty)
	a, err := m.submit(user, low)
	expect("a share that is not difficult", 23, a, err)
	before := p.ledger.Tip()
	a, err = m.submit(user, good)
	expect("the good share", 0, a, err)
	a, err = m.submit(user, good)
	expect("the same again", 22, a, err)
	// It was a block: the next share of its job is stale.
	if p.ledger.Tip().Height != before.Height+1 {
		t.Fatal("no block")
	}
	m.waitFor(t, func(j *rawJob) bool { return !bytes.Equal(j.prev, before.Hash[:]) })
	stale := m.find(good.job, good.job.difficulty, 0)
	a, err = m.submit(user+".rig", stale)
	expect("a stale share", 21, a, err)
	// Its block was not lost: it is a fork.
	if tips := p.ledger.Tips(); len(tips) != 2 || !bytes.Equal(tips[1].Hash[:], stale.hash) || !tips[1].HaveBlock {
		t.Errorf("the ledger has no fork: %+v", tips)
	}
	// One of the wrong fields leads to a header that is valid, but too easy; the
	// others count as invalid.
	info := p.server.Info()
	if s := info.Shares; s.Accepted != 1 || s.Stale != 2 || s.Duplicate != 1 || s.Low != 1 || s.Invalid != 11 || info.Nobody != 4 || info.Orphans != 1 || info.Blocks != 1 {
		t.Errorf("%+v", info)
	}
	if len(info.Workers) != 2 || info.Workers[1].Shares.Stale != 1 {
		t.Errorf("workers: %+v", info.Workers)
	}
}

// TestVersionRolling follows BIP310.
func TestVersionRolling(t *testing.T) {
	p := newPool(t, nil)
	user := p.address(1)
	m := p.dial()
	a, err := m.call("mining.configure", []string{"version-rolling", "minimum-difficulty"}, map[string]any{"version-rolling.mask": "ffff0000", "version-rolling.min-bit-count": 2})
	check(t, err)
	if got := string(a.Result); got != `{"minimum-difficulty":false,"version-rolling":true,"version-rolling.mask":"1fff0000"}` {
		t.Fatalf("mining.configure: %s", got)
	}
	check(t, m.begin(user))
	j := m.last()
	s := m.findWith(j, j.difficulty, 0, j.version|0x00130000, j.time)
	a, err = m.call("mining.submit", user, j.id, s.extra2, s.time, s.nonce, "00132000")
	if check(t, err); a.code() != 20 {
		t.Errorf("bits outside of the mask: %s %v", a.Result, a.Error)
	}
	a, err = m.call("mining.submit", user, j.id, s.extra2, s.time, s.nonce, "00130000")
	if check(t, err); string(a.Result) != "true" {
		t.Fatalf("rolled bits: %s %v", a.Result, a.Error)
	}
	info, _ := p.ledger.Header(p.ledger.Tip().Hash)
	if info.Header.Version != 0x20130000 {
		t.Errorf("the version is %08x", info.Header.Version)
	}
	// Without the sixth field nothing is rolled.
	m.waitFor(t, func(j *rawJob) bool { return !bytes.Equal(j.prev, info.Header.Prev[:]) })
	m.good(t, user)
}

// TestLostMiner has a miner vanish when it has handed in a block: the block is
// not lost.
func TestLostMiner(t *testing.T) {
	p := newPool(t, nil)
	client, server := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { p.server.ServeConn(t.Context(), server) })
	m := newRawMiner(client)
	check(t, m.begin(p.address(1)))
	s := m.find(m.last(), m.last().difficulty, 0)
	_, err := m.send("mining.submit", p.address(1), s.job.id, s.extra2, s.time, s.nonce)
	check(t, err) // the other end has read it
	check(t, client.Close())
	wg.Wait()
	if tip := p.ledger.Tip(); !bytes.Equal(tip.Hash[:], s.hash) {
		t.Error("the block is not the tip")
	}
}

// TestRestart keeps what was worked for.
func TestRestart(t *testing.T) {
	p := newPool(t, nil)
	dir := t.TempDir()
	p.stop()
	p.serve(dir, nil)
	one, two := p.address(1), p.address(2)
	a, b := p.miner(one), p.miner(two)
	for i, m := range []*rawMiner{a, b, a} {
		tip := p.ledger.Tip()
		m.waitFor(t, func(j *rawJob) bool { return bytes.Equal(j.prev, tip.Hash[:]) })
		m.good(t, []string{one, two, one}[i])
	}
	before := p.server.Info()
	p.stop()
	p.serve(dir, nil)
	after := p.server.Info()
	if after.Window != before.Window || after.Payees != 2 || after.Blocks != 3 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	m := p.miner(p.address(3))
	m.good(t, p.address(3))
	if paid := p.paid(p.ledger.Tip().Height); len(paid) != 2 || paid[one] < paid[two] {
		t.Errorf("after the restart a block pays %v", paid)
	}
}

// TestReorganized takes back what a block carried over when the ledger drops it, and
// counts it again when it returns.
func TestReorganized(t *testing.T) {
	dir, change := t.TempDir(), func(c *stratum.Config) { c.Dust = 20e8 }
	p := newPool(t, nil)
	p.stop()
	p.serve(dir, change)
	rich, poor := p.address(1), p.address(2)
	a, b := p.miner(rich), p.miner(poor)
	next := func(m *rawMiner, user string) consensus.Hash {
		tip := p.ledger.Tip()
		m.waitFor(t, func(j *rawJob) bool { return bytes.Equal(j.prev, tip.Hash[:]) })
		m.good(t, user)
		return p.ledger.Tip().Hash
	}
	for _, m := range []*rawMiner{a, a, a} {
		next(m, rich)
	}
	next(b, poor)
	if carry := p.server.Info().Carry; len(carry) != 0 {
		t.Fatalf("carried over: %v", carry)
	}
	// The first block that owes him anything: a quarter of the subsidy, below the line.
	hash := next(a, rich)
	want := fmt.Sprint(map[string]consensus.Amount{rich: -12.5e8, poor: 12.5e8})
	expect := func(when, want string, blocks, orphans int) {
		t.Helper()
		if info := p.server.Info(); fmt.Sprint(info.Carry) != want || info.Blocks != blocks || info.Orphans != orphans {
			t.Errorf("%s: %v, %d blocks and %d orphans", when, info.Carry, info.Blocks, info.Orphans)
		}
	}
	expect("in the chain", want, 5, 0)
	check(t, p.ledger.InvalidateBlock(hash))
	expect("reorganized away", "map[]", 4, 1)
	check(t, p.ledger.ReconsiderBlock(hash))
	expect("back", want, 5, 0)
	p.stop() // so that no job of the time between is left
	p.serve(dir, change)
	expect("after a restart", want, 5, 0)
	// The next block pays both: 10 and 12.5 coins are above the line.
	next(p.miner(rich), rich)
	if paid := p.paid(p.ledger.Tip().Height); paid[poor] != 22.5e8 || paid[rich] != 27.5e8 {
		t.Errorf("the next block pays %v", paid)
	}
	expect("paid", "map[]", 6, 0)
}

// TestNotReady waits while there is no template, and says so once.
func TestNotReady(t *testing.T) {
	var mu sync.Mutex
	syncing := true
	p := newPool(t, nil)
	p.stop()
	log := new(logBuffer)
	templates := miner.NewTemplates(miner.TemplatesConfig{Ledger: p.ledger, Pool: p.txs, Ready: func() error {
		mu.Lock()
		defer mu.Unlock()
		if syncing {
			return errors.New("still fetching blocks")
		}
		return nil
	}})
	p.serve(t.TempDir(), func(c *stratum.Config) {
		c.Templates, c.Log = templates, slog.New(slog.NewTextHandler(log, nil))
	})
	m := p.dial()
	check(t, m.subscribe())
	_, err := m.call("mining.authorize", p.address(1), "x")
	check(t, err)
	eventually(t, "it does not say so", func() bool { return strings.Contains(log.String(), "still fetching") })
	a, err := m.call("mining.submit", p.address(1), "1", "00000000", "00000000", "00000000")
	if check(t, err); a.code() != 21 || len(m.jobs) != 0 {
		t.Errorf("without a job: %v, %d jobs", a.Error, len(m.jobs))
	}
	mu.Lock()
	syncing = false
	mu.Unlock()
	m.waitFor(t, func(*rawJob) bool { return true })
	m.good(t, p.address(1))
	if n := strings.Count(log.String(), "still fetching"); n != 1 {
		t.Errorf("it says so %d times", n)
	}
}
