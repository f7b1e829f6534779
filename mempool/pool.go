// Package mempool keeps the transactions that are valid on top of the active
// chain and are not in it yet. No two of them spend the same coin.
package mempool

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/mempool/fees"
)

// Ledger is what the pool needs of the chain.
type Ledger interface {
	Rules() *consensus.Rules
	Read(func(*chain.Reader) error) error
	Subscribe(poke func()) (cancel func())
}

// Verifier verifies signatures, as sigcheck.Checker does. The pool has no lock
// held meanwhile.
type Verifier interface {
	Verify([]consensus.SpendCheck) error
}

// Config is what a pool stands on.
type Config struct {
	Ledger Ledger
	Sigs   Verifier // shared with the ledger: what was verified here is not verified in a block again
	Policy Policy
	Now    func() time.Time // nil means time.Now
	Log    *slog.Logger     // nil means none
}

// Entry is a transaction in the pool. It does not change.
type Entry struct {
	Tx     *consensus.Tx
	TxID   consensus.Hash
	WTxID  consensus.Hash
	Fee    consensus.Amount // sat
	Size   int              // virtual bytes
	Weight int              // weight units
	Sigops int              // cost, as a block counts it
	Time   time.Time        // of entry
	Height uint32           // of the tip at entry
}

// Rate is the fee rate of e by itself.
func (e *Entry) Rate() FeeRate { return RateOf(e.Fee, e.Size) }

// Node is an entry and its place among the others.
type Node struct {
	Entry
	Modified consensus.Amount // as prioritised, which is what orders and limits go by
	Seq      uint64           // order of entry; parents come before children
	Usage    int              // bytes of memory
	Volatile bool             // see isVolatile
	Mark     fees.Mark        // of fee estimates
	Parents  []*Node
	Children []*Node
	Cluster  *Cluster
	At       int // in cluster.txs
	staged   int // while a change is staged: its index, or isGone
}

// Pool is the set of unconfirmed transactions. It may be used from several
// goroutines.
type Pool struct {
	cfg         Config
	maxReturned int    // bytes, see the constant
	run         string // see Since

	mu        sync.Mutex // guards what follows
	point     consensus.Hash
	height    uint32 // of point
	synced    bool
	graph     *Graph
	deltas    map[consensus.Hash]consensus.Amount // by which fees are prioritised, there or not
	floor     floor
	aging     ageQueue // all, and some that have left
	estimator *fees.Estimator
	change    uint64 // counts changes, for whoever waits for them
	selected  selected
	journal   journal
	returned  []*Entry // from blocks that do not count any more, to be announced
	moves     moves

	queue  queue       // of what Add was given
	loaded atomic.Bool // see Loaded

	hookMu sync.Mutex
	hooks  []func(tx *consensus.Tx, txid, wtxid consensus.Hash, feeRate int64)
}

// New gives an empty pool on top of the ledger's tip.
func New(cfg Config) *Pool {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Pool{
		cfg: cfg, maxReturned: maxReturned, run: newRun(),
		graph: NewGraph(Limits{Count: cfg.Policy.MaxCluster, Weight: cfg.Policy.MaxClusterSize * consensus.WitnessScale}), deltas: make(map[consensus.Hash]consensus.Amount), queue: newQueue(), estimator: fees.New(0),
	}
}

// OnAccept has f called, with no lock held, for every transaction that was
// accepted by itself, or that has come back from a block that does not count any
// more: where that block never was, nobody else can tell of it. feeRate is in sat
// per 1,000 virtual bytes.
func (p *Pool) OnAccept(f func(tx *consensus.Tx, txid, wtxid consensus.Hash, feeRate int64)) {
	p.hookMu.Lock()
	defer p.hookMu.Unlock()
	p.hooks = append(p.hooks, f)
}

// announceReturned announces what has come back since it was called last.
func (p *Pool) announceReturned() {
	p.mu.Lock()
	list := p.returned
	p.returned = nil
	p.mu.Unlock()
	for _, e := range list {
		p.announce(e)
	}
}

func (p *Pool) announce(e *Entry) {
	p.hookMu.Lock()
	hooks := p.hooks
	p.hookMu.Unlock()
	for _, f := range hooks {
		f(e.Tx, e.TxID, e.WTxID, int64(e.Rate()))
	}
}

// ByTxID finds a transaction by its id.
func (p *Pool) ByTxID(id consensus.Hash) (*consensus.Tx, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.graph.Tx(id)
	if !ok {
		return nil, false
	}
	return n.Tx, true
}

// ByWTxID finds a transaction by its witness id.
func (p *Pool) ByWTxID(id consensus.Hash) (*consensus.Tx, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.graph.WTx(id)
	if !ok {
		return nil, false
	}
	return n.Tx, true
}

// Each calls f for every transaction, in no order. The pool is locked meanwhile:
// f must be quick, and not call it.
func (p *Pool) Each(f func(wtxid consensus.Hash, tx *consensus.Tx)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.graph.All() {
		f(n.WTxID, n.Tx)
	}
}

// Stats sums the pool up.
type Stats struct {
	Count      int
	VBytes     int // virtual size of all
	Memory     int // that all take, bytes
	Fees       consensus.Amount
	MinFeeRate FeeRate // what a transaction must pay to come in now
	Loaded     bool    // see Pool.Loaded
	Policy     Policy
}

// Stats sums the pool up.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.graph.Totals()
	return Stats{p.graph.Len(), t.VBytes, t.Memory, t.Fees, max(p.minFee(), p.cfg.Policy.MinRelay), p.Loaded(), p.cfg.Policy}
}

// MinFeeRate is what a transaction must pay to come in now, in sat per 1,000
// virtual bytes.
func (p *Pool) MinFeeRate() int64 { return int64(p.Stats().MinFeeRate) }

// Changes counts the changes of the pool so far.
func (p *Pool) Changes() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.change
}

// Point is the tip that the pool has followed the ledger to; known is false before it
// began to.
func (p *Pool) Point() (tip consensus.Hash, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.point, p.synced
}

// Spends reports whether a transaction of the pool spends the coin.
func (p *Pool) Spends(o consensus.OutPoint) bool {
	_, ok := p.Spender(o)
	return ok
}

// Spender is the id of the transaction of the pool that spends the coin.
func (p *Pool) Spender(o consensus.OutPoint) (id consensus.Hash, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.graph.Spender(o)
	if !ok {
		return id, false
	}
	return n.TxID, true
}
