package miner

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/miner/kernel"
	"lode/testnet/chaingen"
)

var payTo = consensus.TaprootScript([32]byte{1})

// node is a ledger and a pool with some transactions.
type node struct {
	spec   *consensus.Spec
	ledger *chain.Chain
	pool   *mempool.Pool
	gen    *chaingen.Chain
}

func newNode(t *testing.T, change func(*consensus.Spec)) *node {
	t.Helper()
	n := &node{spec: chaingen.Spec(func(s *consensus.Spec) {
		s.Rules.Maturity = 1
		change(s)
	})}
	sigs := sigcheck.New(1000)
	var err error
	if n.ledger, err = chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: n.spec, Sigs: sigs}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.ledger.Close() })
	n.pool = mempool.New(mempool.Config{Ledger: n.ledger, Sigs: sigs, Policy: mempool.DefaultPolicy()})
	n.gen = chaingen.New(&n.spec.Rules, chaingen.Params{Seed: 4, Txs: 3, Outputs: 3, Fee: 1000})
	for _, b := range n.gen.Extend(6) {
		if err := n.ledger.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func unchanged(*consensus.Spec) {}

// fill adds what another block of the generator would hold.
func (n *node) fill(t *testing.T) (fees consensus.Amount) {
	t.Helper()
	for _, tx := range n.gen.Next().Txs[1:] {
		if err := n.pool.Add(tx); err != nil {
			t.Fatal(err)
		}
		fees += n.gen.Params.Fee
	}
	return fees
}

// setup is a miner in the node.
type setup struct {
	ledger  Ledger
	pool    Pool
	threads int
	kernel  *kernel.Kernel
	pace    time.Duration
	ready   func() error
}

// start runs a miner until the test ends, or stop is called, which gives what
// Run gave.
func start(t *testing.T, s setup) (m *Miner, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	templates := NewTemplates(TemplatesConfig{Ledger: s.ledger, Pool: s.pool, Ready: s.ready})
	m = New(NewLocal(templates, payTo, s.pace, nil), NewWorkers(s.threads, s.kernel), nil)
	ended := make(chan error, 2)
	go func() { ended <- templates.Run(ctx) }()
	go func() { ended <- m.Run(ctx) }()
	return m, func() error {
		cancel()
		var err error
		for range 2 {
			select {
			case e := <-ended:
				err = errors.Join(err, e)
			case <-time.After(patience):
				return errors.New("it does not stop")
			}
		}
		return err
	}
}

// patience only bounds a failure: a loaded machine must not look like one.
const patience = 3 * time.Minute

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// TestRun mines with two miners on one ledger: blocks are found, no two of them
// have the same coinbase, and the pool is emptied.
func TestRun(t *testing.T) {
	n := newNode(t, unchanged)
	n.fill(t)
	var stops []func() error
	var miners []*Miner
	for range 2 {
		m, stop := start(t, setup{ledger: n.ledger, pool: n.pool, threads: 2})
		miners, stops = append(miners, m), append(stops, stop)
	}
	eventually(t, "no blocks are found", func() bool { return n.ledger.Tip().Height >= 20 })
	for _, stop := range stops {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	if miners[0].Stats().Accepted+miners[1].Stats().Accepted < 14 {
		t.Error("blocks are not counted")
	}
	if n.pool.Sync() != nil || n.pool.Stats().Count != 0 {
		t.Errorf("the pool has %d transactions", n.pool.Stats().Count)
	}
	coinbases := make(map[consensus.Hash]bool)
	height := n.ledger.Tip().Height
	for h := uint32(7); h <= height; h++ {
		hash, _ := n.ledger.HashAt(h)
		b, err := n.ledger.Block(hash)
		if err != nil {
			t.Fatal(err)
		}
		coinbases[b.Txs[0].TxID()] = true
	}
	if len(coinbases) != int(height)-6 {
		t.Errorf("%d coinbases in %d blocks", len(coinbases), height-6)
	}
}

// TestRunOnNewTip gives a miner that cannot find anything a block of somebody
// else: it turns to a new template at once.
func TestRunOnNewTip(t *testing.T) {
	n := newNode(t, unchanged)
	pool := &hardPool{Pool: n.pool}
	_, stop := start(t, setup{ledger: hardLedger{n.ledger}, pool: pool, threads: 1})
	eventually(t, "no template", func() bool { return pool.selected.Load() > 0 })
	for _, b := range n.gen.Extend(3) {
		before := pool.selected.Load()
		if err := n.ledger.AddBlock(b); err != nil {
			t.Fatal(err)
		}
		eventually(t, "no new template", func() bool { return pool.selected.Load() > before })
		if tip, _ := pool.tip.Load().(consensus.Hash); tip != b.Header.Hash() {
			t.Errorf("the template is for %s", tip)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestRunKernels mines with every kernel that this CPU can run.
func TestRunKernels(t *testing.T) {
	n := newNode(t, unchanged)
	for _, k := range kernel.Available() {
		m, stop := start(t, setup{ledger: n.ledger, pool: n.pool, threads: 2, kernel: k})
		eventually(t, k.Name+" finds no blocks", func() bool { return m.Stats().Accepted >= 3 })
		if err := stop(); err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
}

// hardPool counts selections.
type hardPool struct {
	Pool
	selected atomic.Int64
	tip      atomic.Value
}

func (p *hardPool) Select(weight, sigops int) (mempool.Selection, error) {
	s, err := p.Pool.Select(weight, sigops)
	p.tip.Store(s.Tip.Hash)
	p.selected.Add(1)
	return s, err
}

// hardLedger has rules under which no proof of work is found.
type hardLedger struct{ *chain.Chain }

func (hardLedger) Rules() *consensus.Rules { return &hard.Rules }

var hard = func() *consensus.Spec {
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		panic(err)
	}
	spec.Rules.PowLimit = 0x0300ffff
	return spec
}()

func TestRunPace(t *testing.T) {
	n := newNode(t, unchanged)
	before := n.ledger.Tip().Height
	const pace = 200 * time.Millisecond
	began := time.Now()
	_, stop := start(t, setup{ledger: n.ledger, pool: n.pool, threads: 2, pace: pace})
	eventually(t, "no blocks are found", func() bool { return n.ledger.Tip().Height >= before+4 })
	if took := time.Since(began); took < 3*pace {
		t.Errorf("four blocks in %v", took)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestRunReady waits while the node is not ready, and ends when it is told to.
func TestRunReady(t *testing.T) {
	n := newNode(t, unchanged)
	var asked atomic.Int64
	_, stop := start(t, setup{ledger: n.ledger, pool: n.pool, ready: func() error {
		asked.Add(1)
		return errors.New("not yet")
	}})
	eventually(t, "it does not ask", func() bool { return asked.Load() > 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n.ledger.Tip().Height != 6 {
		t.Error("it mines while the node is not ready")
	}
}

// TestRunOnFailedLedger ends with the ledger's error when that has failed.
func TestRunOnFailedLedger(t *testing.T) {
	n := newNode(t, unchanged)
	if err := n.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	templates := NewTemplates(TemplatesConfig{Ledger: n.ledger, Pool: n.pool})
	if err := New(NewLocal(templates, payTo, 0, nil), NewWorkers(1, nil), nil).Run(t.Context()); !errors.Is(err, chain.ErrFatal) {
		t.Errorf("mining on a closed ledger: %v", err)
	}
}

// TestThreads has one thread per core, and the fastest kernel, where nothing else is
// asked for.
func TestThreads(t *testing.T) {
	n := newNode(t, unchanged)
	m, stop := start(t, setup{ledger: n.ledger, pool: n.pool})
	eventually(t, "no blocks are found", func() bool { return m.Stats().Accepted > 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestAnotherRateEndsTheWait: whoever had one hash a second to try, and has tried
// thousands, would else rest for an hour.
func TestAnotherRateEndsTheWait(t *testing.T) {
	w := NewWorkers(1, nil)
	w.Limit(1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go w.Run(ctx)
	w.Work(&Job{ExtraSize: 4, MaxTime: 1 << 31}) // with a target that nothing meets
	tried := func(than uint64) func() bool { return func() bool { return w.hashes.Load() > than } }
	eventually(t, "nothing is tried", tried(0))
	before := w.hashes.Load()
	w.Limit(0)
	eventually(t, "the wait goes on", tried(before))
	w.Pause(true)
	eventually(t, "it works while paused", func() bool {
		before = w.hashes.Load()
		time.Sleep(5 * time.Millisecond)
		return w.hashes.Load() == before
	})
	w.Pause(false)
	eventually(t, "the pause does not end", tried(before))
}
