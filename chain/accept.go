package chain

import (
	"errors"
	"fmt"

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
	ids := block.TxIDs()
	if err := c.rules.CheckBlock(block, ids); err != nil {
		return 0, err // nothing is remembered of a header that cannot be blamed
	}
	s, changed, err := c.submit(block, ids)
	if changed {
		c.pokeAll()
	}
	return s, err
}

func (c *Chain) submit(block *consensus.Block, ids []consensus.Hash) (s Status, changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return 0, false, err
	}
	best := c.best
	n, err := c.acceptHeader(&block.Header)
	if err != nil {
		return 0, false, err
	}
	if n.has(statusBody) {
		return Duplicate, false, nil
	}
	if err := c.rules.CheckBlockAfter(&n.parent.state, block, ids); err != nil {
		if consensus.IsMutation(err) { // the header is good, and may get children
			return 0, c.best != best, errors.Join(err, c.putNodes(n))
		}
		return 0, true, errors.Join(err, c.markFailed(n))
	}
	if err := c.storeBody(n, block, ids); err != nil {
		return 0, false, c.fail(err)
	}
	verdicts, err := c.activate()
	if err != nil {
		return 0, true, err
	}
	verdict, tried := verdicts[n]
	if !tried {
		return Stored, true, nil
	}
	return Connected, true, verdict
}

// acceptHeader finds the node of a header whose work was checked, or makes it.
// The caller holds mu.
func (c *Chain) acceptHeader(h *consensus.Header) (*node, error) {
	hash := h.Hash()
	if n, ok := c.index[hash]; ok {
		if n.has(statusFailed) {
			return nil, fmt.Errorf("%w: block %s is marked invalid", ErrKnownInvalid, hash)
		}
		return n, nil
	}
	parent, ok := c.index[h.Prev]
	if !ok {
		return nil, fmt.Errorf("%w: block %s has the parent %s", ErrUnknownParent, hash, h.Prev)
	}
	if parent.has(statusFailed) {
		return nil, fmt.Errorf("%w: block %s has the parent %s", ErrInvalidParent, hash, h.Prev)
	}
	if err := c.rules.CheckHeader(&parent.state, h, c.latest()); err != nil {
		return nil, err
	}
	n := &node{header: *h}
	if err := c.link(n); err != nil {
		return nil, c.fail(err)
	}
	return n, nil
}

// AddHeaders adds headers, each the parent of the next, to the index. Those
// before a bad one stay. The errors are those of AddBlock.
func (c *Chain) AddHeaders(headers []consensus.Header) error {
	for i := range headers {
		if err := c.rules.CheckWork(&headers[i]); err != nil {
			return err
		}
	}
	changed, err := c.addHeaders(headers)
	if changed {
		c.pokeAll()
	}
	return err
}

func (c *Chain) addHeaders(headers []consensus.Header) (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Err(); err != nil {
		return false, err
	}
	best := c.best
	var b batch
	for i := range headers {
		known := len(c.index)
		n, failure := c.acceptHeader(&headers[i])
		if failure != nil {
			err = failure
			break
		}
		if len(c.index) > known {
			b.putNode(n)
		}
	}
	if b.Len() > 0 {
		if failure := c.store.write(&b); failure != nil {
			return false, c.fail(failure)
		}
	}
	return c.best != best, err
}

// storeBody writes a block that has passed every rule but those about coins.
// The caller holds mu.
func (c *Chain) storeBody(n *node, block *consensus.Block, ids []consensus.Hash) error {
	p, err := c.blocks.append(block.Bytes())
	if err != nil {
		return err
	}
	n.body, n.status = p, n.status|statusBody
	c.recent = recentBlock{block, n.hash(), ids}
	var b batch
	b.putNode(n)
	if n.parent.seq > 0 {
		// It completes its own chain, and maybe that of blocks that came
		// before it.
		for queue := []*node{n}; len(queue) > 0; queue = queue[1:] {
			done := queue[0]
			c.seq++
			done.seq = c.seq
			b.putNode(done)
			if !done.has(statusFailed) && !c.tip().better(done) {
				c.candidates[done] = struct{}{}
			}
			queue = append(queue, done.waiting()...)
		}
	}
	return c.store.write(&b)
}

// putNodes writes the records of nodes. The caller holds mu.
func (c *Chain) putNodes(nodes ...*node) error {
	var b batch
	for _, n := range nodes {
		b.putNode(n)
	}
	if err := c.store.write(&b); err != nil {
		return c.fail(err)
	}
	return nil
}

// markFailed remembers that n broke a rule that its hash commits to, and so
// that nothing built on it can be valid. The caller holds mu.
func (c *Chain) markFailed(n *node) error {
	queue := []*node{n}
	for i := 0; i < len(queue); i++ {
		queue[i].status |= statusFailed
		delete(c.candidates, queue[i])
		queue = append(queue, queue[i].children...)
	}
	if c.best.has(statusFailed) {
		c.best = c.tip()
		for _, other := range c.index {
			if !other.has(statusFailed) && other.state.Work.Gt(&c.best.state.Work) {
				c.best = other
			}
		}
	}
	return c.putNodes(queue...)
}
