package mempool

import (
	"slices"

	"lode/chain"
	"lode/consensus"
)

// Add takes tx in, or says why not: an error of kind ErrKnown if it is there
// already, consensus.ErrMissingInputs if it spends a coin that is not there,
// and others; see IsRefusal.
func (p *Pool) Add(tx *consensus.Tx) error {
	e, err := p.add(tx, false)
	if err == nil {
		p.announce(e)
	}
	return err
}

// Test is Add without taking tx in: it gives what the entry would be.
func (p *Pool) Test(tx *consensus.Tx) (*Entry, error) { return p.add(tx, true) }

func (p *Pool) add(tx *consensus.Tx, testOnly bool) (e *Entry, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err = p.cfg.Ledger.Read(func(r *chain.Reader) error {
		if err := p.sync(r); err != nil {
			return err
		}
		c, err := p.consider(r, tx, false)
		if err != nil {
			return err
		}
		e = c.entry
		if testOnly {
			return nil
		}
		for _, n := range slices.Backward(c.replaced) {
			p.remove(n)
		}
		p.insert(e)
		p.trim()
		if _, ok := p.byTxID[e.TxID]; !ok {
			return refuse(ErrFull, "its fee rate is below that of the others")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// candidate is a transaction that may come in.
type candidate struct {
	entry    *Entry
	coins    []consensus.Coin
	replaced []*node // what must go, parents before children
}

// consider decides about tx, in the order in which Bitcoin Core does. returning
// waives the fee that a transaction must pay to come in: one that was in a block
// or in the pool before a reorganization was relayed already.
func (p *Pool) consider(r *chain.Reader, tx *consensus.Tx, returning bool) (*candidate, error) {
	rules, policy := p.cfg.Ledger.Rules(), &p.cfg.Policy
	if err := rules.CheckTx(tx); err != nil {
		return nil, err
	}
	if tx.IsCoinbase() {
		return nil, refuse(ErrCoinbase, "")
	}
	if err := policy.checkStandard(tx); err != nil {
		return nil, err
	}
	tip := r.Tip()
	height, median := tip.Height+1, tip.MedianTime()
	if !tx.IsFinal(height, median) {
		return nil, refuse(ErrNonFinal, "")
	}
	id, wid := tx.TxID(), tx.WTxID()
	if _, ok := p.byWTxID[wid]; ok {
		return nil, refuse(ErrKnown, "")
	}
	if _, ok := p.byTxID[id]; ok {
		return nil, refuse(ErrSameTxID, "")
	}
	coins, err := p.inputs(r, tx, id)
	if err != nil {
		return nil, err
	}
	if !consensus.SequenceLocksMet(tx, coins, height, median, r.MedianTime) {
		return nil, refuse(ErrNonBIP68Final, "")
	}
	fee, err := rules.CheckInputs(tx, coins, height)
	if err != nil {
		return nil, err
	}
	c := &candidate{coins: coins, entry: &Entry{
		Tx: tx, TxID: id, WTxID: wid, Fee: fee, Size: tx.VSize(), Weight: tx.Weight(), Sigops: tx.SigopsCost(),
		Time: p.cfg.Now(), Height: tip.Height,
	}}
	if err := checkWitness(tx); err != nil {
		return nil, err
	}
	if !returning && fee != 0 && policy.dustOutputs(tx) > 0 {
		return nil, refuse(ErrDust, "tx with dust output must be 0-fee")
	}
	if c.entry.Sigops > maxSigopsCost {
		return nil, refuse(ErrSigops, "%d", c.entry.Sigops)
	}
	if returning {
		err = p.checkCluster(c, nil)
	} else if err = p.checkFee(c.entry); err == nil {
		err = p.replace(c)
	}
	if err != nil {
		return nil, err
	}
	// The signatures last: they cost the most.
	return c, p.cfg.Sigs.Verify(consensus.SpendChecks(tx, id, coins))
}

// checkFee makes sure that an entry pays its way in.
func (p *Pool) checkFee(e *Entry) error {
	if least := p.cfg.Policy.MinRelay.Fee(e.Size); e.Fee < least {
		return refuse(ErrMinRelayFee, "%d < %d", e.Fee, least)
	}
	if least := p.floor.Fee(e.Size); e.Fee < least {
		return refuse(ErrMempoolFee, "%d < %d", e.Fee, least)
	}
	return nil
}

// coinSource is the coins that a transaction of the pool may spend: the
// ledger's, and those that the pool itself makes. Whether another transaction
// of the pool spends them is a matter of replacement.
type coinSource struct {
	p   *Pool
	r   *chain.Reader
	err error // of the database
}

// Coin looks a coin up.
func (s *coinSource) Coin(o consensus.OutPoint) (consensus.Coin, bool) {
	if n, ok := s.p.byTxID[o.TxID]; ok {
		if o.Index >= uint32(len(n.Tx.Out)) {
			return consensus.Coin{}, false
		}
		out := &n.Tx.Out[o.Index]
		key, ok := consensus.TaprootKey(out.Script)
		return consensus.Coin{Value: out.Value, Key: key, Height: s.r.Tip().Height + 1}, ok
	}
	coin, ok, err := s.r.Coin(o)
	if err != nil && s.err == nil {
		s.err = err
	}
	return coin, ok
}

func (p *Pool) inputs(r *chain.Reader, tx *consensus.Tx, id consensus.Hash) ([]consensus.Coin, error) {
	source := &coinSource{p: p, r: r}
	coins, gone, ok := consensus.NewView(source).Inputs(tx)
	if !ok && source.err == nil {
		for i := range tx.Out {
			if _, made := source.Coin(consensus.OutPoint{TxID: id, Index: uint32(i)}); made {
				return nil, refuse(ErrConfirmed, "")
			}
		}
	}
	if !ok && source.err == nil {
		return nil, refuse(consensus.ErrMissingInputs, "coin %s", gone)
	}
	return coins, source.err
}

// replace finds what tx would replace, and checks that this pays; and that what
// would hang together with tx is not too large.
func (p *Pool) replace(c *candidate) error {
	tx, policy := c.entry.Tx, &p.cfg.Policy
	direct := make(map[*node]struct{})
	for i := range tx.In {
		if n, ok := p.spends[tx.In[i].PrevOut]; ok {
			direct[n] = struct{}{}
		}
	}
	if len(direct) > policy.MaxReplaced {
		return refuse(ErrManyReplaced, "rejecting replacement %s; too many conflicting transactions (%d > %d)", c.entry.TxID, len(direct), policy.MaxReplaced)
	}
	gone := make(map[*node]struct{}, len(direct))
	for n := range direct {
		gone[n] = struct{}{}
	}
	reach(gone, -1, (*node).down)
	c.replaced = sorted(gone)
	for i := range tx.In {
		if parent, ok := p.byTxID[tx.In[i].PrevOut.TxID]; ok {
			if _, ok := gone[parent]; ok {
				return refuse(ErrSpendsConflict, "%s spends conflicting transaction %s", c.entry.TxID, parent.TxID)
			}
		}
	}
	if len(gone) > 0 {
		if err := p.checkReplacement(c, direct); err != nil {
			return err
		}
	}
	return p.checkCluster(c, gone)
}

// checkReplacement makes sure that a replacement pays for what it evicts and
// for its own relay, and that a miner prefers it to each that it conflicts with.
func (p *Pool) checkReplacement(c *candidate, direct map[*node]struct{}) error {
	evicted := sum(c.replaced)
	if c.entry.Fee < evicted.Fees {
		return refuse(ErrReplaceFee, "rejecting replacement %s, less fees than conflicting txs; %s < %s",
			c.entry.TxID, consensus.FormatMoney(c.entry.Fee), consensus.FormatMoney(evicted.Fees))
	}
	if more, least := c.entry.Fee-evicted.Fees, p.cfg.Policy.Increment.Fee(c.entry.Size); more < least {
		return refuse(ErrReplaceFee, "rejecting replacement %s, not enough additional fees to relay; %s < %s",
			c.entry.TxID, consensus.FormatMoney(more), consensus.FormatMoney(least))
	}
	for n := range direct {
		if compareRates(c.entry.Fee, c.entry.Size, n.Fee, n.Size) <= 0 {
			return refuse(ErrReplaceRate, "insufficient feerate: not above that of %s, which it replaces", n.TxID)
		}
	}
	return nil
}

// checkCluster bounds the transactions that hang together with c once gone is
// gone.
func (p *Pool) checkCluster(c *candidate, gone map[*node]struct{}) error {
	set := make(map[*node]struct{})
	for i := range c.entry.Tx.In {
		if parent, ok := p.byTxID[c.entry.Tx.In[i].PrevOut.TxID]; ok {
			set[parent] = struct{}{}
		}
	}
	staying := func(direction func(*node) map[*node]struct{}) func(*node) map[*node]struct{} {
		return func(n *node) map[*node]struct{} {
			if _, ok := gone[n]; ok {
				return nil
			}
			return direction(n)
		}
	}
	policy := &p.cfg.Policy
	reach(set, policy.MaxCluster+len(gone), staying((*node).up), staying((*node).down))
	count, size := 1, c.entry.Size
	for n := range set {
		if _, ok := gone[n]; !ok {
			count++
			size += n.Size
		}
	}
	if count > policy.MaxCluster || size > policy.MaxClusterSize {
		return refuse(ErrClusterSize, "")
	}
	return nil
}
