package mempool

// stage is Graph.Stage. The error is of kind ErrClusterSize. The caller holds mu.
func (p *Pool) stage(gone, came []*Node) (*Change, error) {
	c, ok := p.graph.Stage(gone, came)
	if !ok {
		return nil, refuse(ErrClusterSize, "")
	}
	return c, nil
}

// commit makes a change that was staged last, and notes it for all who follow the
// pool. The caller holds mu.
func (p *Pool) commit(c *Change) {
	for _, n := range c.Gone {
		p.estimator.Leave(n.Mark)
		p.journal.add(n.TxID)
	}
	p.graph.Commit(c)
	for _, n := range c.Came {
		p.journal.add(n.TxID)
		p.ages(n)
	}
	p.change++
	p.journal.wake()
	assertWhole(p.graph)
}

// removeAll removes nodes, which must be complete, see Graph.Stage. The caller holds
// mu.
func (p *Pool) removeAll(gone []*Node) {
	if len(gone) == 0 {
		return
	}
	c, err := p.stage(gone, nil)
	if err != nil {
		panic(err) // taking something out makes no cluster larger
	}
	p.commit(c)
}
