// Package mempool keeps the transactions that are valid on top of the active
// chain and are not in it yet. No two of them spend the same coin.
package mempool

import (
	"log/slog"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
)

// Ledger is what the pool needs of the chain.
type Ledger interface {
	Rules() *consensus.Rules
	Read(func(*chain.Reader) error) error
}

// Config is what a pool stands on.
type Config struct {
	Ledger Ledger
	Sigs   *sigcheck.Checker // shared with the ledger: what was verified here is not verified in a block again
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
func (e *Entry) Rate() FeeRate { return rateOf(e.Fee, e.Size) }

// node is an entry and its place among the others.
type node struct {
	Entry
	seq      uint64 // order of entry; parents come before children
	bytes    int    // as encoded
	parents  map[*node]struct{}
	children map[*node]struct{}
}

// Pool is the set of unconfirmed transactions. It may be used from several
// goroutines.
type Pool struct {
	cfg         Config
	maxReturned int // bytes, see the constant

	mu      sync.Mutex // guards what follows
	point   consensus.Hash
	synced  bool
	byTxID  map[consensus.Hash]*node
	byWTxID map[consensus.Hash]*node
	spends  map[consensus.OutPoint]*node
	seq     uint64
	bytes   int // encoded size of all
	vbytes  int // virtual size of all
	fees    consensus.Amount
	floor   FeeRate // raised by evictions
	change  uint64  // counts changes, for whoever waits for them

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
		cfg: cfg, maxReturned: maxReturned, byTxID: make(map[consensus.Hash]*node), byWTxID: make(map[consensus.Hash]*node),
		spends: make(map[consensus.OutPoint]*node),
	}
}

// OnAccept has f called, with no lock held, for every transaction that was
// accepted by itself. feeRate is in sat per 1,000 virtual bytes.
func (p *Pool) OnAccept(f func(tx *consensus.Tx, txid, wtxid consensus.Hash, feeRate int64)) {
	p.hookMu.Lock()
	defer p.hookMu.Unlock()
	p.hooks = append(p.hooks, f)
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
func (p *Pool) ByTxID(id consensus.Hash) (*consensus.Tx, bool) { return find(p, p.byTxID, id) }

// ByWTxID finds a transaction by its witness id.
func (p *Pool) ByWTxID(id consensus.Hash) (*consensus.Tx, bool) { return find(p, p.byWTxID, id) }

func find(p *Pool, in map[consensus.Hash]*node, id consensus.Hash) (*consensus.Tx, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := in[id]
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
	for wtxid, n := range p.byWTxID {
		f(wtxid, n.Tx)
	}
}

// Info is a transaction of the pool and its relatives there.
type Info struct {
	Entry
	Depends     []consensus.Hash // direct parents
	SpentBy     []consensus.Hash // direct children
	Ancestors   Family           // with itself
	Descendants Family           // with itself
}

// Family sums a transaction and its relatives in one direction.
type Family struct {
	Count, Size int // size in virtual bytes
	Fees        consensus.Amount
}

// Info describes one transaction.
func (p *Pool) Info(id consensus.Hash) (Info, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.byTxID[id]
	if !ok {
		return Info{}, false
	}
	return n.info(), true
}

// All describes every transaction, parents before children.
func (p *Pool) All() []Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	infos := make([]Info, 0, len(p.byTxID))
	for _, n := range p.inOrder() {
		infos = append(infos, n.info())
	}
	return infos
}

func (n *node) info() Info {
	info := Info{Entry: n.Entry}
	for parent := range n.parents {
		info.Depends = append(info.Depends, parent.TxID)
	}
	for child := range n.children {
		info.SpentBy = append(info.SpentBy, child.TxID)
	}
	info.Ancestors = sum(relatives(n, (*node).up))
	info.Descendants = n.descendants()
	return info
}

func sum(nodes []*node) (f Family) {
	for _, n := range nodes {
		f.Count++
		f.Size += n.Size
		f.Fees += n.Fee
	}
	return f
}

// Stats sums the pool up.
type Stats struct {
	Count      int
	VBytes     int // virtual size of all
	Bytes      int // encoded size of all
	MaxBytes   int
	Fees       consensus.Amount
	MinFeeRate FeeRate // what a transaction must pay to come in now
	Policy     Policy
}

// Stats sums the pool up.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{len(p.byTxID), p.vbytes, p.bytes, p.cfg.Policy.MaxBytes, p.fees, max(p.floor, p.cfg.Policy.MinRelay), p.cfg.Policy}
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

// Spends reports whether a transaction of the pool spends the coin.
func (p *Pool) Spends(o consensus.OutPoint) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.spends[o]
	return ok
}
