package mempool

import (
	"slices"

	"lode/chain"
	"lode/consensus"
	"lode/mempool/linearize"
)

// candidate is a transaction that may come in.
type candidate struct {
	*Node
	coins     []consensus.Coin
	data      []int            // the inputs that spend a data output of the pool, which nothing can
	tip       consensus.Hash   // that the coins were looked up at
	confirmed bool             // all of the coins are
	replaced  []*Node          // what must go, parents before children
	change    *Change          // as staged
	seen      uint64           // the change of the pool that it was staged at
	limit     FeeRate          // what it may pay at most, or 0
	trace     *consensus.Trace // nil but for an explanation
}

// terms are on what a transaction comes in.
type terms int

const (
	alone terms = iota
	// inPackage has the fees of a package judged together, later.
	inPackage
	// tested is one of several that are only tested: each pays for itself, and
	// replaces nothing.
	tested
	// returning waives fees: what was in a block or in the pool before a
	// reorganization was relayed already.
	returning

	// inside is a transaction of the pool, which is looked at once more.
	inside
)

// prepare applies what needs nothing but the transaction, with no lock held.
func (p *Pool) prepare(tx *consensus.Tx) (*candidate, error) { return p.prepareTraced(tx, nil) }

// prepareTraced is prepare, and has t told of each rule if it is not nil.
func (p *Pool) prepareTraced(tx *consensus.Tx, t *consensus.Trace) (*candidate, error) {
	if err := p.rules(t).CheckTx(tx); err != nil {
		return nil, bare(err)
	}
	if t != nil {
		t.Rule(ruleNoCoinbase, "coinbase", tx.IsCoinbase())
	}
	if tx.IsCoinbase() {
		return nil, refuse(ErrCoinbase, "")
	}
	if err := p.cfg.Policy.checkStandard(tx, t); err != nil {
		return nil, err
	}
	return &candidate{trace: t, Node: &Node{
		Entry: Entry{Tx: tx, TxID: tx.TxID(), WTxID: tx.WTxID(), Size: tx.VSize(), Weight: tx.Weight(), Sigops: tx.SigopsCost()},
		Usage: Memory(tx),
	}}, nil
}

// examine decides about c, as far as signatures do not matter, in the order in
// which Bitcoin Core does. Whoever lets it in must have verified those, and must
// examine it again if the pool has changed meanwhile. The caller holds mu.
func (p *Pool) examine(r *chain.Reader, c *candidate, t terms) error {
	if err := p.look(r, c, t, nil); err != nil {
		return err
	}
	return p.fit(c, t)
}

// again examines c again, which passed before, if it must.
func (p *Pool) again(r *chain.Reader, c *candidate) error {
	if c.tip != p.point || !c.confirmed || c.Modified != modified(c.Fee, p.deltas[c.TxID]) {
		return p.examine(r, c, alone)
	}
	if c.seen == p.change {
		return nil
	}
	if err := p.known(c); err != nil {
		return err
	}
	if err := p.checkFee(feeSize{c.Modified, c.Size}); err != nil {
		return err
	}
	return p.fit(c, alone)
}

func (p *Pool) known(c *candidate) error {
	_, ok := p.graph.WTx(c.WTxID)
	if t := c.trace; t != nil {
		t.Rule(ruleKnown, "wtxid", c.WTxID, "in the mempool", ok)
	}
	if ok {
		return refuse(ErrKnown, "")
	}
	_, ok = p.graph.Tx(c.TxID)
	if t := c.trace; t != nil {
		t.Rule(ruleSameTxID, "txid", c.TxID, "in the mempool", ok)
	}
	if ok {
		return refuse(ErrSameTxID, "")
	}
	return nil
}

// look checks c against the ledger. with are the transactions before it in its
// package.
func (p *Pool) look(r *chain.Reader, c *candidate, t terms, with []*candidate) (err error) {
	rules, tx := p.rules(c.trace), c.Tx
	tip := r.Tip()
	height, median := tip.Height+1, tip.MedianTime()
	if t := c.trace; t != nil {
		t.Rule(ruleFinal, "lock time", tx.LockTime, "height", height, "median time", median)
	}
	if !tx.IsFinal(height, median) {
		return refuse(ErrNonFinal, "")
	}
	if t != inside {
		if err := p.known(c); err != nil {
			return err
		}
	}
	if t == tested && len(p.graph.Conflicts(tx)) > 0 {
		return refuse(ErrNoReplacement, "")
	}
	if err := p.findCoins(r, c, with); err != nil {
		return err
	}
	if t := c.trace; t != nil {
		t.Rule(ruleSequence, "version", tx.Version, "relative locks", consensus.RelativeLocks(tx, c.coins), "height", height, "median time", median)
	}
	if !consensus.SequenceLocksMet(tx, c.coins, height, median, r.MedianTime) {
		return refuse(ErrNonBIP68Final, "")
	}
	if c.Fee, err = rules.CheckInputs(tx, c.coins, height); err != nil {
		return err
	}
	c.Time, c.Height, c.Modified = p.cfg.Now(), tip.Height, modified(c.Fee, p.deltas[c.TxID])
	c.tip = tip.Hash
	c.Volatile = isVolatile(tx, c.coins)
	return p.lookPolicy(c, t)
}

// lookPolicy is the part of look that is about what this node wants of c, whose coins and
// fee are known.
func (p *Pool) lookPolicy(c *candidate, t terms) error {
	policy, tx := &p.cfg.Policy, c.Tx
	if t := c.trace; t != nil {
		t.Rule(ruleStandardWitness, "inputs", len(tx.In))
	}
	if err := checkWitness(tx, c.data); err != nil {
		return err
	}
	if t := c.trace; t != nil {
		t.Rule(ruleDustFee, "fee", c.Modified, "dust outputs", policy.dustOutputs(tx))
	}
	if (c.Fee != 0 || c.Modified != 0) && policy.dustOutputs(tx) > 0 {
		return refuse(ErrDust, "tx with dust output must be 0-fee")
	}
	least := policy.MinRelay.Fee(c.Size)
	if t := c.trace; t != nil {
		t.Rule(ruleMinRelay, "fee", c.Modified, "least", least, "virtual bytes", c.Size)
	}
	if t != returning && tx.Version != trucVersion && c.Modified < least {
		return refuse(ErrMinRelayFee, "%d < %d", c.Modified, least)
	}
	if t == alone || t == tested {
		if t := c.trace; t != nil {
			t.Rule(ruleMempoolFee, "fee", c.Modified, "least", p.minFee().Fee(c.Size), "virtual bytes", c.Size)
		}
		return p.checkFee(feeSize{c.Modified, c.Size})
	}
	return nil
}

// isVolatile reports whether a reorganization alone can make tx invalid, though
// the coins that it spends stay.
func isVolatile(tx *consensus.Tx, coins []consensus.Coin) bool {
	volatile := tx.LockTime != 0
	for i := range coins {
		volatile = volatile || coins[i].Coinbase || tx.Version >= 2 && tx.In[i].Sequence>>31 == 0
	}
	return volatile
}

// feeSize is a fee in sat, prioritised or not, for virtual bytes.
type feeSize struct {
	fee  consensus.Amount
	size int
}

// checkFee makes sure that a transaction or a package pays its way in; what does
// not may do so with a child.
func (p *Pool) checkFee(f feeSize) error {
	if least := p.minFee().Fee(f.size); f.fee < least {
		return tooCheap(refuse(ErrMempoolFee, "%d < %d", f.fee, least))
	}
	if least := p.cfg.Policy.MinRelay.Fee(f.size); f.fee < least {
		return tooCheap(refuse(ErrMinRelayFee, "%d < %d", f.fee, least))
	}
	return nil
}

// coinSource is the coins that a transaction of the pool may spend: the
// ledger's, and those that the pool itself makes. Whether another transaction
// of the pool spends them is a matter of replacement.
type coinSource struct {
	p      *Pool
	r      *chain.Reader
	with   []*candidate
	pooled bool  // a coin that was found is made in the pool
	data   bool  // and there is one among those that nothing can spend
	err    error // of the database
}

// Coin looks a coin up.
func (s *coinSource) Coin(o consensus.OutPoint) (consensus.Coin, bool) {
	if n, ok := s.p.maker(o, s.with); ok {
		s.pooled = true
		if o.Index >= uint32(len(n.Tx.Out)) {
			return consensus.Coin{}, false
		}
		out := &n.Tx.Out[o.Index]
		// A data output never becomes a coin. Bitcoin Core finds that out only
		// when it comes to the script; no signature is valid for its key.
		key, ok := consensus.TaprootKey(out.Script)
		s.data = s.data || !ok
		return consensus.Coin{Value: out.Value, Key: key, Height: s.r.Tip().Height + 1}, true
	}
	coin, ok, err := s.r.Coin(o)
	if err != nil && s.err == nil {
		s.err = err
	}
	return coin, ok
}

// maker is the transaction of the pool, or of with, that makes a coin.
func (p *Pool) maker(o consensus.OutPoint, with []*candidate) (*Node, bool) {
	if n, ok := p.graph.Tx(o.TxID); ok {
		return n, true
	}
	for _, c := range with {
		if c.TxID == o.TxID {
			return c.Node, true
		}
	}
	return nil, false
}

// findCoins looks up what c spends, and its parents in the pool and among with.
func (p *Pool) findCoins(r *chain.Reader, c *candidate, with []*candidate) error {
	source := &coinSource{p: p, r: r, with: with}
	coins, gone, ok := consensus.NewView(source).Inputs(c.Tx)
	if !ok && source.err == nil {
		for i := range c.Tx.Out {
			if _, made := source.Coin(consensus.OutPoint{TxID: c.TxID, Index: uint32(i)}); made {
				if t := c.trace; t != nil {
					t.Rule(ruleConfirmed, "txid", c.TxID)
				}
				return refuse(ErrConfirmed, "")
			}
		}
	}
	if source.err != nil {
		return source.err
	}
	if t := c.trace; t != nil {
		t.Rule(ruleCoins, "inputs", len(c.Tx.In), "all there", ok, "missing", gone)
	}
	if !ok {
		return refuse(consensus.ErrMissingInputs, "coin %s", gone)
	}
	c.coins, c.confirmed, c.Parents, c.data = coins, !source.pooled, nil, nil
	if c.confirmed {
		return nil
	}
	for i := range c.Tx.In {
		o := c.Tx.In[i].PrevOut
		parent, ok := p.maker(o, with)
		if ok && !slices.Contains(c.Parents, parent) {
			c.Parents = append(c.Parents, parent)
		}
		if ok && source.data && consensus.IsDataScript(parent.Tx.Out[o.Index].Script) {
			c.data = append(c.data, i)
		}
	}
	SortByTxID(c.Parents) // as Bitcoin Core looks at them
	return nil
}

// fit checks c against the other transactions of the pool, and stages it.
func (p *Pool) fit(c *candidate, t terms) (err error) {
	direct := p.graph.Conflicts(c.Tx)
	sibling := false
	if t != returning {
		var evict *Node
		if t := c.trace; t != nil {
			t.Rule(ruleTRUC, "version", c.Tx.Version, "unconfirmed parents", len(c.Parents), "virtual bytes", c.Size)
		}
		if evict, err = checkTRUC(c.Node, c.Parents, direct); err != nil {
			return err
		}
		if evict != nil {
			direct, sibling = append(direct, evict), true
		}
	}
	c.Seq = p.graph.Next()
	if c.replaced = nil; len(direct) == 0 {
		if t := c.trace; t != nil {
			t.Rule(ruleCluster, "unconfirmed parents", len(c.Parents), "most transactions", p.cfg.Policy.MaxCluster, "most virtual bytes", p.cfg.Policy.MaxClusterSize)
		}
		c.change, err = p.stage(nil, []*Node{c.Node})
	} else {
		err = p.replace(c, direct, sibling)
	}
	if err != nil {
		return err
	}
	c.seen = p.change
	if err := c.checkLimit(); err != nil {
		return err
	}
	if t := c.trace; t != nil {
		t.Rule(ruleDustSpent, "unconfirmed parents", len(c.Parents))
	}
	return p.checkDustSpent(c.Node)
}

// checkLimit makes sure that c does not pay more than whoever sent it wanted.
func (c *candidate) checkLimit() error {
	if c.limit > 0 && linearize.CompareRates(c.Modified, c.Size, consensus.Amount(c.limit), 1000) > 0 {
		return refuse(ErrMaxFeeRate, "")
	}
	return nil
}

// checkDustSpent makes sure that n spends all dust of its parents: nothing else
// would ever.
func (p *Pool) checkDustSpent(n *Node) error {
	for _, parent := range n.Parents {
		for i := range parent.Tx.Out {
			spends := func(in consensus.TxIn) bool {
				return in.PrevOut == consensus.OutPoint{TxID: parent.TxID, Index: uint32(i)}
			}
			if p.cfg.Policy.isDust(&parent.Tx.Out[i]) && !slices.ContainsFunc(n.Tx.In, spends) {
				return refuse(ErrDustUnspent, "tx %s (wtxid=%s) did not spend parent's ephemeral dust", n.TxID, n.WTxID)
			}
		}
	}
	return nil
}
