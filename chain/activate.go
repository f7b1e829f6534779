package chain

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"lode/chain/headertree"
	"lode/consensus"
	"lode/consensus/sigcheck"
)

const (
	// groupSize is about how many bytes of blocks are connected together, so
	// that their signatures are verified in one batch.
	groupSize = 2 << 20
	// maxHeld is how many bytes of blocks that wait to be connected stay
	// decoded in memory.
	maxHeld = 2 * groupSize
)

// step brings the tip closer to the best candidate: by one group of blocks, or,
// where blocks must be disconnected first, until the tip has at least as much
// work as before. more says whether there is more to do; an error is one of the
// ledger. The caller holds mu, and may let go of it between steps.
func (c *Chain) step() (more bool, err error) {
	defer c.assert()
	if c.awaited != nil {
		return false, nil
	}
	start := c.tree.Tip()
	if start.IsFaulty() { // by InvalidateBlock
		for c.tree.Tip().IsFaulty() {
			if err := c.ended(); err != nil {
				return false, err
			}
			if lost, err := c.disconnect(); err != nil || lost {
				return false, err
			}
		}
	}
	for {
		best, passed := c.bestCandidate()
		c.tellPassed(passed)
		if best == c.tree.Tip() {
			return false, nil
		}
		if err := c.toward(best, start); err != nil {
			return false, err
		}
		if c.tree.Tip() != start && !c.tree.Tip().State().Work.Lt(&start.State().Work) || start.IsFaulty() {
			return true, nil
		}
	}
}

// bestCandidate is what the tip should be, as far as it can be reached; passed are
// what would be better and cannot be. The caller holds mu.
func (c *Chain) bestCandidate() (best *node, passed []*node) { return c.tree.Candidate(c.reachable) }

// toward disconnects blocks back to the fork with best, and connects one group
// on the way to it. The caller holds mu; start is the tip that this step began
// with.
func (c *Chain) toward(best, start *node) error {
	base := headertree.Fork(c.tree.Tip(), best)
	if lost := c.tree.Tip().Height() - base.Height(); lost > 0 {
		c.cfg.Log.Info("reorganizing", "disconnect", lost, "connect", best.Height()-base.Height(), "fork", base.Hash())
	}
	for c.tree.Tip() != base {
		if err := c.ended(); err != nil {
			return err
		}
		if lost, err := c.disconnect(); err != nil || lost {
			return err
		}
	}
	for {
		failed, err := c.connect(c.nextGroup(best))
		if err = errors.Join(err, c.ended()); err != nil || failed || c.tree.Tip() == best || !c.tree.Tip().State().Work.Lt(&start.State().Work) {
			return err
		}
	}
}

// nextGroup is the next nodes on the way from the tip to best: at least one, and
// no more than groupSize bytes otherwise. The caller holds mu.
func (c *Chain) nextGroup(best *node) []*node {
	if !c.onRoute(best) {
		c.route = headertree.Path(c.tree.Tip(), best) // as long as the way is, so not at each step
	}
	size := 0
	for i, n := range c.route {
		size += int(n.Own.body.Size)
		if i > 0 && size > groupSize {
			group := c.route[:i]
			c.route = c.route[i:]
			return group
		}
	}
	group := c.route
	c.route = nil
	return group
}

// onRoute reports whether what is left of the route leads from the tip to n.
// The caller holds mu.
func (c *Chain) onRoute(n *node) bool {
	return len(c.route) > 0 && c.route[0].Parent() == c.tree.Tip() && c.route[len(c.route)-1] == n
}

// connect makes the blocks of a group, the first of them a child of the tip and
// each the parent of the next, the tip one after the other, as far as they are
// valid and there; failed if not all of them are. The caller holds mu.
func (c *Chain) connect(group []*node) (failed bool, err error) {
	blocks, err := c.parseAll(group)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return false, err
	}
	failed = err != nil // and what follows waits for the damaged block
	c.dropLost()
	below := uint32(len(c.tree.Active()))
	updates, err := c.coins.connect(c.rules, c.cfg.Sigs, group, blocks, func(height uint32) uint32 {
		if height >= below {
			return group[height-below].State().MedianTime()
		}
		return c.tree.Active()[height].State().MedianTime()
	})
	var broken *invalidBlock
	if err != nil && !errors.As(err, &broken) {
		return false, err
	}
	done := group[:len(updates)]
	for _, n := range done {
		c.tree.Connect(n)
	}
	for i, n := range done {
		if err := c.confirm(n, updates[i]); err != nil {
			return false, err
		}
	}
	if len(done) > 0 {
		c.forget(done[len(done)-1])
	}
	if broken != nil {
		n := broken.n
		c.cfg.Log.Warn("invalid block", "height", n.Height(), "hash", n.Hash(), "error", broken.err)
		if err := c.markFailed(n); err != nil {
			return false, err
		}
		c.resolve(n, Connected, broken.err)
		failed = true
	}
	if err := c.flushFull(); err != nil {
		return false, err
	}
	for _, n := range done { // not before: nobody is told of a block by a ledger that then fails
		c.resolve(n, Connected, nil)
	}
	return failed, nil
}

// connect applies the blocks of nodes, the first of them a child of the block
// that the coins are of and each the parent of the next, as far as they are
// valid, and gives what each did. If one is not, the error is an *invalidBlock;
// else it is one of the database, and the coins are worth nothing.
func (c *coinCache) connect(rules *consensus.Rules, checker *sigcheck.Checker, nodes []*node, blocks []*consensus.CheckedBlock, medianTime func(height uint32) uint32) (updates []*consensus.Update, err error) {
	if err := c.read(blocks); err != nil {
		return nil, err
	}
	var sigs [][]consensus.SpendCheck
	source := &coins{cache: c}
	for i, p := range blocks {
		u, broken := rules.ConnectBlock(*nodes[i].Parent().State(), p, source, medianTime)
		if source.err != nil {
			return nil, source.err // and the verdict is worth nothing
		}
		if broken != nil {
			err = &invalidBlock{nodes[i], broken}
			break
		}
		c.apply(u.View)
		updates, sigs = append(updates, u), append(sigs, u.Sigs)
	}
	good, broken := checker.VerifyBlocks(sigs)
	if broken == nil {
		return updates, err
	}
	for i := len(updates) - 1; i >= good; i-- {
		view := consensus.NewView(consensus.Coins{})
		if err := consensus.RevertBlock(view, blocks[i].Block(), blocks[i].IDs(), updates[i].Spent); err != nil {
			return nil, fmt.Errorf("block %s: %w", nodes[i].Hash(), err)
		}
		c.apply(view)
	}
	return updates[:good], &invalidBlock{nodes[good], broken}
}

// confirm records that a block is valid.
func (c *Chain) confirm(n *node, u *consensus.Update) (err error) {
	if !n.Own.has(statusUndo) {
		if n.Own.undo, err = c.undos.Append(appendUndo(nil, n.Hash(), u.Spent)); err != nil {
			return err
		}
		n.Own.status |= statusUndo
	}
	c.changed(n)
	return nil
}

// disconnect makes the parent of the tip the tip; lost says that it cannot, as
// the block on disk is damaged, or one that is needed to make its undo data anew.
// The caller holds mu.
func (c *Chain) disconnect() (lost bool, err error) {
	n := c.tree.Tip()
	err = c.revert(n, func(v *consensus.View) error { c.coins.apply(v); return nil })
	c.dropLost()
	if errors.Is(err, ErrPruned) { // undo data is damaged, and what it can be made from is gone
		c.cfg.Log.Warn("a block cannot be disconnected, for its undo data cannot be made anew from pruned blocks", "height", n.Height(), "hash", n.Hash())
		c.pruned.height = max(c.pruned.height, n.Height()+1)
		return true, nil
	}
	if isUndoLost(err) {
		c.stuck, c.stuckBy = n, err
		return true, nil
	}
	if err != nil {
		return false, err
	}
	c.tree.Disconnect()
	c.flushLater()
	return false, c.flushFull()
}

// hold keeps a block decoded in memory until it is connected, if there is room.
// The caller holds mu.
func (c *Chain) hold(n *node, p *consensus.CheckedBlock) {
	if size := int(n.Own.body.Size); c.heldBytes+size <= maxHeld {
		c.held[n] = p
		c.heldBytes += size
	}
}

// letGo does not keep the block of n decoded any more. The caller holds mu.
func (c *Chain) letGo(n *node) {
	if _, held := c.held[n]; held {
		delete(c.held, n)
		c.heldBytes -= int(n.Own.body.Size)
	}
}

// forget lets go of the blocks that are connected, but for the last one, which
// others will ask for, and of those that would have to be better to be. The
// caller holds mu.
func (c *Chain) forget(last *node) {
	for n := range c.held {
		if n != last && !n.Better(last) {
			c.letGo(n)
		}
	}
}

// parseAll is parse for many, on all cores. With an error it gives the blocks
// before the one that could not be read.
func (c *Chain) parseAll(nodes []*node) ([]*consensus.CheckedBlock, error) {
	blocks, errs := make([]*consensus.CheckedBlock, len(nodes)), make([]error, len(nodes))
	onAllCores(len(nodes), func(i int) { blocks[i], errs[i] = c.parse(nodes[i]) })
	for i, err := range errs {
		if err != nil {
			return blocks[:i], err
		}
	}
	return blocks, nil
}

// onAllCores calls do with 0 to n-1 and waits until all calls have ended.
func onAllCores(n int, do func(i int)) {
	var group sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			do(i)
			<-slots
		})
	}
	group.Wait()
}
