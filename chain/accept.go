package chain

import (
	"errors"
	"fmt"

	"lode/chain/headertree"
	"lode/consensus"
)

// Status is what became of a block that was no error.
type Status int

const (
	Connected Status = iota // it is, or was for a moment, part of the active chain
	Stored                  // it lies on a side branch, or waits for its ancestors
	Duplicate               // it was stored before
)

// AddBlock stores a block and makes the best chain active. There is no error
// for a block on a side branch or one that was known. An error is a
// *consensus.RuleError if this very block breaks a rule, or of one of the kinds
// ErrUnknownParent, ErrInvalidParent, ErrKnownInvalid and ErrFatal.
func (c *Chain) AddBlock(block *consensus.Block) error {
	_, err := c.SubmitBlock(block)
	return err
}

// SubmitBlock is AddBlock, and says what became of the block.
func (c *Chain) SubmitBlock(block *consensus.Block) (Status, error) {
	v := c.SubmitBlocks(block)[0]
	return v.Status, v.Err
}

// Verdict is what became of a submitted block; the error is that of AddBlock.
type Verdict struct {
	Status Status
	Err    error
}

// SubmitBlocks is SubmitBlock for several blocks, which are stored in this order.
// Signatures are verified together.
func (c *Chain) SubmitBlocks(blocks ...*consensus.Block) []Verdict {
	return c.checkAndSubmit(len(blocks), func(i int) (*consensus.CheckedBlock, error) { return c.rules.CheckBlock(blocks[i]) })
}

// SubmitHashed is SubmitBlocks for blocks whose hashes are known.
func (c *Chain) SubmitHashed(blocks ...consensus.HashedBlock) []Verdict {
	return c.checkAndSubmit(len(blocks), func(i int) (*consensus.CheckedBlock, error) { return c.rules.CheckHashed(blocks[i]) })
}

// SubmitChecked is SubmitBlocks for blocks that were checked by the rules of this
// network.
func (c *Chain) SubmitChecked(blocks ...*consensus.CheckedBlock) []Verdict {
	return c.checkAndSubmit(len(blocks), func(i int) (*consensus.CheckedBlock, error) { return blocks[i], nil })
}

// checkAndSubmit submits n blocks, as far as they pass a check, which is called on
// all cores.
func (c *Chain) checkAndSubmit(n int, check func(i int) (*consensus.CheckedBlock, error)) []Verdict {
	c.submitting.Add(1)
	defer c.submitting.Add(-1)
	list := make([]submission, n)
	onAllCores(n, func(i int) { list[i].block, list[i].err = check(i) })
	var good []*submission
	for i := range list {
		if list[i].err == nil { // else nothing is remembered: the header cannot be blamed
			good = append(good, &list[i])
		}
	}
	if len(good) > 0 {
		c.submit(good...)
	}
	verdicts := make([]Verdict, len(list))
	for i := range list {
		verdicts[i] = Verdict{list[i].status, list[i].err}
	}
	return verdicts
}

// Busy reports whether blocks are being validated: a good time to leave the cores
// alone.
func (c *Chain) Busy() bool { return c.submitting.Load() > 0 }

// submission is a block on its way into the ledger, and what became of it.
type submission struct {
	block    *consensus.CheckedBlock // nil if it did not pass the check
	imported bool                    // with many others: what was pruned is not stored again, or the disk would fill up
	status   Status
	err      error
}

// submit stores blocks and makes the best chain active. Blocks that several
// goroutines submit at the same time are connected together: whoever gets the
// lock works for all, and readers get their turn between the steps.
func (c *Chain) submit(list ...*submission) {
	c.inboxMu.Lock()
	c.inbox = append(c.inbox, list...)
	c.inboxMu.Unlock()
	for c.work() {
	}
	c.pokeAll()
}

// work stores what has been submitted and does one step. When nothing is left to
// do all submissions so far are done.
func (c *Chain) work() (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inboxMu.Lock()
	inbox := c.inbox
	c.inbox = nil
	c.inboxMu.Unlock()
	for _, s := range inbox {
		c.store1(s)
	}
	err := c.Err()
	if err == nil {
		more, err = c.step()
	}
	if err == nil && !more {
		err = c.pruneFull()
	}
	if err != nil {
		more, err = false, c.fail(err)
	}
	if !more {
		c.settleWaiting(err)
	}
	return more
}

// store1 stores the block of a submission, and has it wait for the verdict if it
// is new. The caller holds mu.
func (c *Chain) store1(s *submission) {
	n, _ := c.tree.Find(s.block.Hash())
	switch {
	case n != nil && len(c.waiting[n]) > 0:
		s.status = Duplicate // of a block whose verdict is still to come
		c.waiting[n] = append(c.waiting[n], s)
		return
	case n != nil && n.Own.has(statusPruned) && s.imported:
		s.status = Duplicate
		return
	}
	n, err := c.take(s.block)
	switch {
	case err != nil:
		s.err = err
	case n == nil:
		s.status = Duplicate
	default:
		c.waiting[n] = append(c.waiting[n], s)
	}
}

// take stores a block in the files and hangs it into the index. It gives no node
// for one that is there already. The caller holds mu.
func (c *Chain) take(p *consensus.CheckedBlock) (*node, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	c.dropLost()
	n, _ := c.tree.Find(p.Hash())
	if _, lost := c.lost[n]; !lost { // else it is needed whatever is said of it, if only to be disconnected
		var err error
		if n, err = c.acceptHeader(&p.Block().Header, p.Hash()); err != nil {
			return nil, err
		}
	}
	if n.IsStored() {
		return nil, nil
	}
	if err := c.rules.CheckBlockAfter(n.Parent().State(), p); err != nil {
		if consensus.IsMutation(err) { // the header is good, and may get children
			return nil, errors.Join(err, c.putNodes(n))
		}
		return nil, errors.Join(err, c.markFailed(n))
	}
	payload := p.Block().Bytes()
	body, err := c.blocks.Append(payload)
	if err != nil {
		return nil, c.fail(err)
	}
	n.Own.setBody(body, payload)
	c.complete(n)
	c.hold(n, p)
	return n, nil
}

// complete notes that the block of n has been stored. If it completes its own chain,
// and maybe that of blocks that came before it, they compete for the tip. The
// caller holds mu.
func (c *Chain) complete(n *node) {
	if _, lost := c.lost[n]; lost {
		delete(c.lost, n)
		c.stuck = nil // this may be the block that was missing
	}
	c.changed(n)
	for _, m := range c.tree.Store(n, n.Own.body.Order()) {
		c.changed(m)
	}
}

// resolve tells who submitted the block of n what became of it. The caller holds
// mu.
func (c *Chain) resolve(n *node, status Status, err error) {
	for i, s := range c.waiting[n] {
		if i == 0 {
			s.status = status
		}
		s.err = err
	}
	delete(c.waiting, n)
}

// settleWaiting resolves all submissions when there is nothing more to connect,
// or the ledger has failed. A block that was not tried is stored and no more,
// also if an ancestor was found to be invalid meanwhile. The caller holds mu.
func (c *Chain) settleWaiting(failure error) {
	for n := range c.waiting {
		c.resolve(n, Stored, failure)
	}
}

// acceptHeader finds the node of a header whose work was checked, or makes it,
// also where the error is of kind ErrInvalidated: ReconsiderBlock may want it.
// The caller holds mu.
func (c *Chain) acceptHeader(h *consensus.Header, hash consensus.Hash) (*node, error) {
	if n, ok := c.tree.Find(hash); ok {
		switch {
		case n.IsBroken():
			return nil, fmt.Errorf("%w: block %s is marked invalid", ErrKnownInvalid, hash)
		case n.IsInvalidated():
			return n, fmt.Errorf("%w: block %s was %w", ErrKnownInvalid, hash, ErrInvalidated)
		}
		return n, nil
	}
	parent, err := c.judgeHeader(c.rules, h, hash, nil)
	if err != nil {
		return nil, err
	}
	n, err := c.tree.Add(headertree.Saved{Header: *h, Hash: hash, Faults: parent.Faults()}, kept{})
	if err != nil {
		return nil, c.fail(err)
	}
	if n.IsInvalidated() {
		c.changed(n)
		return n, fmt.Errorf("%w: the parent %s of block %s was %w", ErrInvalidParent, h.Prev, hash, ErrInvalidated)
	}
	return n, nil
}

// judgeHeader finds the parent of a header that is not known, and applies the rules of
// headers; t is nil but for an explanation. The caller holds mu, if only for reading.
func (c *Chain) judgeHeader(rules *consensus.Rules, h *consensus.Header, hash consensus.Hash, t *consensus.Trace) (parent *node, err error) {
	parent, ok := c.tree.Find(h.Prev)
	if t != nil {
		t.Rule(ruleParent, "parent", h.Prev, "known", ok)
	}
	if !ok {
		return nil, fmt.Errorf("%w: block %s has the parent %s", ErrUnknownParent, hash, h.Prev)
	}
	if t != nil {
		t.Rule(ruleParentValid, "parent", h.Prev, "height", parent.Height(), "broken", parent.IsBroken())
	}
	if parent.IsBroken() {
		return nil, fmt.Errorf("%w: block %s has the parent %s", ErrInvalidParent, hash, h.Prev)
	}
	if err := rules.CheckHeader(parent.State(), h, c.latest()); err != nil {
		return nil, err
	}
	return parent, nil
}

// AddHeaders adds headers, each the parent of the next, to the index. Those
// before a bad one stay. The errors are those of AddBlock; where it is of kind
// ErrInvalidated all have been added, but count for nothing until
// ReconsiderBlock.
func (c *Chain) AddHeaders(headers []consensus.Header) error {
	hashes := make([]consensus.Hash, len(headers))
	for i := range headers {
		hashes[i] = headers[i].Hash()
		if err := c.rules.CheckWorkOf(&headers[i], hashes[i]); err != nil {
			return err
		}
	}
	changed, err := c.addHeaders(headers, hashes)
	if changed {
		c.pokeAll()
	}
	return err
}

func (c *Chain) addHeaders(headers []consensus.Header, hashes []consensus.Hash) (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return false, err
	}
	best := c.tree.Best()
	var added []*node
	for i := range headers {
		known := c.tree.Len()
		n, failure := c.acceptHeader(&headers[i], hashes[i])
		if c.tree.Len() > known {
			added = append(added, n)
		}
		if failure != nil {
			err = failure
			if !errors.Is(failure, ErrInvalidated) {
				break
			}
		}
	}
	if len(added) > 0 {
		if failure := c.putNodes(added...); failure != nil {
			return false, failure
		}
	}
	return c.tree.Best() != best, err
}

// putNodes writes the records of nodes, and of those below that wait to be
// written: a record without that of its parent would count as damage. The caller
// holds mu.
func (c *Chain) putNodes(nodes ...*node) error {
	var b batch
	put := make(map[*node]struct{}, len(nodes))
	for _, n := range nodes {
		for m, wanted := n, true; wanted; _, wanted = c.unsaved[m] {
			if _, again := put[m]; again {
				break
			}
			put[m] = struct{}{}
			b.putNode(m)
			m = m.Parent()
		}
	}
	if err := c.store.write(&b, false); err != nil {
		return c.fail(err)
	}
	return nil
}

// markFailed remembers that n broke a rule that its hash commits to, and so
// that nothing built on it can be valid. The caller holds mu.
func (c *Chain) markFailed(n *node) error {
	if c.excused(n) {
		return c.refute()
	}
	return c.mark(n, headertree.Broken)
}

// mark has n, and what is built on it, count as invalid. The caller holds mu.
func (c *Chain) mark(n *node, why headertree.Fault) error {
	nodes := c.tree.AddFault(n, why)
	for _, m := range nodes {
		c.letGo(m)
	}
	return c.putNodes(nodes...)
}
