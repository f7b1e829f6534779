package stratum_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/miner"
	"lode/miner/stratum"
	"lode/testnet/chaingen"
)

// fakeChain is a ledger and its templates without disks and threads, for virtual
// time. Its difficulty is not fixed, so that shares are easier than blocks.
type fakeChain struct {
	spec *consensus.Spec
	bits uint32

	mu      sync.Mutex // guards what follows
	tip     consensus.State
	headers map[consensus.Hash]chain.HeaderInfo
	blocks  []*consensus.Block
	current *miner.Template
	changed chan struct{}
}

const fakeValue = 50e8

func newFakeChain(bits uint32) *fakeChain {
	f := &fakeChain{spec: chaingen.Spec(func(*consensus.Spec) {}), bits: bits, headers: make(map[consensus.Hash]chain.HeaderInfo), changed: make(chan struct{})}
	f.spec.Rules.Difficulty = consensus.Difficulty{Algorithm: consensus.AlgorithmASERT, HalfLife: 3600}
	f.tip.Height = 100
	f.tip.Hash[0] = 1
	f.assemble()
	return f
}

// assemble makes the template for the tip. The caller holds mu.
func (f *fakeChain) assemble() {
	f.current = &miner.Template{
		Tip: f.tip, Height: f.tip.Height + 1, Version: 0x20000000, Bits: f.bits, MinTime: 1e8, MaxTime: math.MaxUint32,
		Value: fakeValue, Commitment: consensus.WitnessCommitment(consensus.Hash{}, [32]byte{}),
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeChain) Now() time.Time { return time.Now() }

func (f *fakeChain) Current() (*miner.Template, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, f.changed, nil
}

func (f *fakeChain) Tip() consensus.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tip
}

func (f *fakeChain) Header(h consensus.Hash) (chain.HeaderInfo, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, ok := f.headers[h]
	return info, ok
}

// AddBlock checks what a pool could get wrong.
func (f *fakeChain) AddBlock(b *consensus.Block) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	hash := b.Header.Hash()
	target, _ := consensus.TargetFromBits(f.bits)
	root, _ := consensus.MerkleRoot(b.TxIDs())
	if !hash.MeetsTarget(&target) || b.Bits != f.bits || root != b.MerkleRoot || b.Txs[0].OutputSum() != fakeValue || !b.Txs[0].HasWitness() {
		return errors.New("a bad block")
	}
	f.headers[hash] = chain.HeaderInfo{Header: b.Header, Hash: hash, Height: f.tip.Height + 1, Active: b.Prev == f.tip.Hash}
	f.blocks = append(f.blocks, b)
	if b.Prev == f.tip.Hash {
		f.tip.Hash = hash
		f.tip.Height++
		f.assemble()
	}
	return nil
}

// move changes the tip to that of somebody else.
func (f *fakeChain) move() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tip.Height++
	f.tip.Hash[0]++
	f.assemble()
}

// pipeListener takes connections that have no network.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// virtualPool is a server in a bubble of synctest.
type virtualPool struct {
	*fakeChain
	t      *testing.T
	server *stratum.Server
	l      *pipeListener
	log    *logBuffer
}

// A block takes 65,536 hashes.
const (
	blockBits       = 0x1f00ffff
	blockDifficulty = 0x1p-16
)

// virtual runs a test in a bubble.
func virtual(t *testing.T, change func(*stratum.Config), test func(*virtualPool)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := &virtualPool{fakeChain: newFakeChain(blockBits), t: t, l: &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}, log: new(logBuffer)}
		cfg := stratum.Config{
			Spec: p.spec, Ledger: p.fakeChain, Templates: p.fakeChain, Dir: dir, Dust: 330, Difficulty: someOf, LeastDifficulty: hash1, SharesPerMinute: 20,
			Log: slog.New(slog.NewTextHandler(p.log, nil)),
		}
		if change != nil {
			change(&cfg)
		}
		var err error
		p.server, err = stratum.NewServer(cfg)
		check(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := p.server.Serve(ctx, p.l); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		test(p)
		cancel()
		wg.Wait()
	})
}

func (p *virtualPool) address(n byte) string {
	return consensus.Address(p.spec.Defaults.AddressPrefix, [32]byte{n, 1})
}

// connect gives the miner's end of a connection.
func (p *virtualPool) connect() net.Conn {
	client, server := net.Pipe()
	p.l.conns <- server
	return client
}

func (p *virtualPool) miner(user string) *rawMiner {
	p.t.Helper()
	m := newRawMiner(p.connect())
	check(p.t, m.begin(user))
	return m
}

// follow reads what comes by itself for some time.
func (m *rawMiner) follow(t *testing.T, d time.Duration) {
	t.Helper()
	until := time.Now().Add(d)
	for {
		check(t, m.conn.SetReadDeadline(until))
		if _, err := m.read(); err != nil {
			check(t, m.conn.SetReadDeadline(time.Time{}))
			if !time.Now().Before(until) {
				return
			}
			t.Fatal(err)
		}
	}
}

// mine searches for some virtual time at a virtual hash rate, submits what it finds,
// and gives how many shares were accepted.
func (m *rawMiner) mine(t *testing.T, user string, rate float64, d time.Duration) (accepted int) {
	t.Helper()
	for until := time.Now().Add(d); time.Now().Before(until); {
		j := m.last()
		before := m.hashes
		s := m.find(j, j.difficulty, 0)
		m.follow(t, time.Duration(float64(m.hashes-before)/rate*float64(time.Second)))
		a, err := m.submit(user, s)
		if check(t, err); string(a.Result) == "true" {
			accepted++
		} else if a.code() != 21 {
			t.Fatalf("a share was refused: %v", a.Error)
		}
	}
	return accepted
}

// TestVardiffMiner has miners of two speeds come to about twenty shares a minute
// each, and be paid in proportion to their work.
func TestVardiffMiner(t *testing.T) {
	virtual(t, func(c *stratum.Config) { c.Window = 1000 }, func(p *virtualPool) {
		slow, fast := p.address(1), p.address(2)
		rates := map[string]float64{slow: 100, fast: 500}
		var wg sync.WaitGroup
		hashes := make(map[string]*int)
		for user, rate := range rates {
			m := p.miner(user)
			hashes[user] = &m.hashes
			wg.Go(func() {
				m.mine(t, user, rate, 5*time.Minute)
				before := len(m.jobs)
				n := m.mine(t, user, rate, 15*time.Minute)
				if perMinute := float64(n) / 15; perMinute < 12 || perMinute > 32 {
					t.Errorf("%v H/s gives %v shares a minute", rate, perMinute)
				}
				if changes := len(m.jobs) - before; changes < 15 {
					t.Errorf("%v H/s: %d jobs in 15 minutes", rate, changes)
				}
			})
		}
		wg.Wait()
		info := p.server.Info()
		paid := make(map[string]float64)
		for _, o := range info.Payouts {
			paid[o.Address] = float64(o.Amount)
		}
		got, want := paid[fast]/paid[slow], float64(*hashes[fast])/float64(*hashes[slow])
		if r := got / want; r < 0.75 || r > 1.33 {
			t.Errorf("the fast one is paid %.2f times as much, and has worked %.2f times as much", got, want)
		}
		for _, w := range info.Workers {
			if r := w.HashRate / rates[w.Name]; r < 0.5 || r > 2 {
				t.Errorf("the estimate of %v H/s is %v", rates[w.Name], w.HashRate)
			}
		}
		if len(p.blocks) == 0 || info.Blocks+info.Orphans != len(p.blocks) {
			t.Errorf("%d blocks, %d are known", len(p.blocks), info.Blocks)
		}
	})
}

// TestDifficulties gives another job with another difficulty, and never the same
// headers under both. No share is more difficult than a block.
func TestDifficulties(t *testing.T) {
	virtual(t, nil, func(p *virtualPool) {
		user := p.address(1)
		m := p.miner(user)
		first := m.last()
		for len(m.jobs) < 3 { // too many shares at once
			s := m.find(m.last(), m.last().difficulty, blockDifficulty)
			a, err := m.submit(user, s)
			if check(t, err); string(a.Result) != "true" {
				t.Fatal(a.Error)
			}
		}
		second := m.last()
		if second.difficulty <= first.difficulty || second.id == first.id || bytes.Equal(second.coinb1, first.coinb1) {
			t.Errorf("first %+v, then %+v", first, second)
		}
		a, err := m.submit(user, m.find(first, first.difficulty, second.difficulty))
		if check(t, err); string(a.Result) != "true" {
			t.Errorf("a share of the first difficulty: %v", a.Error)
		}
		a, err = m.submit(user, m.find(second, first.difficulty, second.difficulty))
		if check(t, err); a.code() != 23 {
			t.Errorf("a share of the first difficulty for the second job: %s %v", a.Result, a.Error)
		}
		other := newRawMiner(p.connect())
		check(t, other.subscribe())
		_, err = other.call("mining.suggest_difficulty", 1e9)
		check(t, err)
		check(t, other.begin(user))
		if math.Abs(other.last().difficulty/blockDifficulty-1) > 1e-3 {
			t.Errorf("the highest difficulty is %v, that of a block %v", other.last().difficulty, blockDifficulty)
		}
		third := newRawMiner(p.connect())
		check(t, third.subscribe())
		_, err = third.call("mining.authorize", user, "stats,d=1e-7")
		check(t, err)
		third.waitFor(t, func(*rawJob) bool { return true })
		if third.last().difficulty != 1e-7 {
			t.Errorf("asked for 1e-7, got %v", third.last().difficulty)
		}
	})
}

// TestRenew gives a job every minute at least, and takes the shares, and the block,
// of the one before.
func TestRenew(t *testing.T) {
	virtual(t, func(c *stratum.Config) { c.SharesPerMinute = noLimit }, func(p *virtualPool) {
		user := p.address(1)
		m := p.miner(user)
		old := m.last()
		m.follow(t, time.Minute)
		if len(m.jobs) < 2 || m.last().clean || m.last().time <= old.time || !bytes.Equal(m.last().prev, old.prev) {
			t.Fatalf("after a minute there are %d jobs: %+v", len(m.jobs), m.last())
		}
		s := m.find(old, blockDifficulty, 0)
		a, err := m.submit(user, s)
		if check(t, err); string(a.Result) != "true" {
			t.Errorf("a share of the old job: %v", a.Error)
		}
		if len(p.blocks) != 1 || p.Tip().Height != 101 {
			t.Fatalf("%d blocks", len(p.blocks))
		}
		m.waitFor(t, func(j *rawJob) bool { return !bytes.Equal(j.prev, old.prev) })
		if !m.last().clean {
			t.Error("the job for a new tip is not clean")
		}
		p.move()
		m.waitFor(t, func(j *rawJob) bool { return j.prev[0] == p.Tip().Hash[0] })
	})
}

// TestHostile cuts who sends garbage, too much, or nothing, with a line in the log,
// and goes on with the others.
func TestHostile(t *testing.T) {
	authorized := func(p *virtualPool) net.Conn { return p.miner(p.address(9)).conn }
	for _, c := range []struct {
		name, log string
		begin     func(*virtualPool) net.Conn
		send      func(net.Conn)
		within    time.Duration
	}{
		{"a web browser", "no message", nil, func(c net.Conn) { _, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, time.Second},
		{"bytes", "no message", nil, func(c net.Conn) { _, _ = c.Write([]byte("\x16\x03\x01\x00\n")) }, time.Second},
		{"another kind of JSON", "no message", nil, func(c net.Conn) { _, _ = c.Write([]byte("[1,2]\n")) }, time.Second},
		{"a line without an end", "more than 4096 bytes", nil, func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte("x"), 5000)) }, time.Second},
		{"a huge id", "an id of", nil, func(c net.Conn) { _, _ = c.Write([]byte(`{"id":"` + strings.Repeat("x", 100) + `"}` + "\n")) }, time.Second},
		{"nothing", "said nothing for 30s", nil, func(net.Conn) {}, 31 * time.Second},
		{"nothing more", "said nothing for 10m0s", authorized, func(net.Conn) {}, 11 * time.Minute},
		{"a byte now and then", "said nothing for 30s", nil, func(c net.Conn) {
			for range 10 {
				_, _ = c.Write([]byte("{"))
				time.Sleep(10 * time.Second)
			}
		}, 31 * time.Second},
		{"calls without end", "reason=", nil, func(c net.Conn) {
			for range 2000 {
				_, _ = c.Write([]byte(`{"id":1,"method":"mining.subscribe","params":[]}` + "\n"))
			}
		}, time.Second},
		{"empty lines without end", "empty lines", nil, func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte("\n"), 3000)) }, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			virtual(t, nil, func(p *virtualPool) {
				honest := p.miner(p.address(1))
				var conn net.Conn
				if c.begin != nil {
					conn = c.begin(p)
				} else {
					conn = p.connect()
				}
				began := time.Now()
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() { c.send(conn) })
				buf := make([]byte, 4096)
				var err error
				for err == nil {
					_, err = conn.Read(buf)
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("cut after %v", took)
				}
				synctest.Wait()
				if log := p.log.String(); !strings.Contains(log, "stratum connection cut") || !strings.Contains(log, c.log) {
					t.Errorf("the log does not say %q:\n%s", c.log, log)
				}
				conn.Close()
				if c.within > 5*time.Minute {
					return // the honest one has not said anything either
				}
				honest.mine(t, p.address(1), 1000, 5*time.Second)
			})
		})
	}
}

// TestNoReader cuts who does not read, and does not wait for him.
func TestNoReader(t *testing.T) {
	virtual(t, nil, func(p *virtualPool) {
		honest := p.miner(p.address(1))
		deaf := p.miner(p.address(2))
		p.move()
		began := time.Now()
		honest.waitFor(t, func(j *rawJob) bool { return j.prev[0] == 2 })
		if time.Since(began) > time.Second {
			t.Error("the job of one waits for another")
		}
		honest.follow(t, 15*time.Second)
		if log := p.log.String(); !strings.Contains(log, "cannot be written to") {
			t.Errorf("not cut:\n%s", log)
		}
		deaf.conn.Close()
	})
}

// fromAddress is a connection from an address.
type fromAddress struct {
	net.Conn
	address netip.Addr
}

// RemoteAddr is where the connection comes from.
func (c fromAddress) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.address, 4000))
}

// connectFrom gives the miner's end of a connection from an address.
func (p *virtualPool) connectFrom(a netip.Addr) net.Conn {
	client, server := net.Pipe()
	p.l.conns <- fromAddress{server, a}
	return client
}

// served reports whether a connection is still open after a while.
func (p *virtualPool) served(c net.Conn) bool {
	if c.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// TestLimits bounds the connections, in all, from one address and from a network:
// the oldest of those that have proven nothing makes room.
func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*stratum.Config)
		from   func(i byte) netip.Addr
	}{
		"in all":      {func(c *stratum.Config) { c.MaxConnections = 8 }, func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, i, 0, 1}) }},
		"per address": {func(c *stratum.Config) { c.MaxPerAddress = 8 }, func(byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, 1}) }},
		"per network": {func(c *stratum.Config) { c.MaxPerAddress = 2 }, func(i byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, i}) }},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, test.change, func(p *virtualPool) {
				var conns []net.Conn
				for i := range byte(9) {
					conns = append(conns, p.connectFrom(test.from(i)))
					synctest.Wait() // so that they enter in this order
				}
				open := 0
				for _, c := range conns {
					if p.served(c) {
						open++
					}
				}
				if open != 8 || !p.served(conns[8]) {
					t.Errorf("%d of 9 connections are served, the newest: %v", open, p.served(conns[8]))
				}
				if !strings.Contains(p.log.String(), "made room") {
					t.Error("and nothing is said")
				}
				for _, c := range conns {
					c.Close()
				}
			})
		})
	}
}

// TestSilentSockets has more sockets than there are places say nothing. Who works
// stays, and who is new begins at once.
func TestSilentSockets(t *testing.T) {
	places, sockets := 400, 500
	if os.Getenv("LODE_TEST_ATTACK") != "" {
		places, sockets = 4096, 5000
	}
	virtual(t, func(c *stratum.Config) { c.MaxConnections = places }, func(p *virtualPool) {
		veteran := p.miner(p.address(1))
		veteran.mine(t, p.address(1), 1000, 10*time.Second)
		var silent []net.Conn
		for i := range sockets {
			silent = append(silent, p.connectFrom(netip.AddrFrom4([4]byte{10, byte(i >> 6), 1, byte(i)})))
		}
		began := time.Now()
		m := newRawMiner(p.connectFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1})))
		check(t, m.begin(p.address(2)))
		if took := time.Since(began); took > time.Second {
			t.Errorf("a new miner waits for %v", took)
		}
		var wg sync.WaitGroup
		wg.Go(func() { // meanwhile: who reads nothing for long loses its place too
			if n := veteran.mine(t, p.address(1), 1000, 10*time.Second); n == 0 {
				t.Error("who works has lost its place")
			}
		})
		if n := m.mine(t, p.address(2), 1000, 10*time.Second); n == 0 {
			t.Error("a new miner has no share")
		}
		wg.Wait()
		if n := p.server.Info().Connections; n > places {
			t.Errorf("%d connections, want at most %d", n, places)
		}
		for _, c := range silent {
			c.Close()
		}
	})
}
