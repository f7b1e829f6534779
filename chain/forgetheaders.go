package chain

import (
	"errors"
	"maps"
	"slices"

	"lode/consensus"
)

// maxForgotten is how many headers are dropped at a time with the lock held.
const maxForgotten = 2000

// ForgetHeaders drops headers that have no block, from memory and from the
// database: each of ends, and those before it as far as nothing needs them. A
// header stays that keep names, or that has other headers built on it; whose
// block is stored, or was; that is part of the active chain, or of what led to it;
// that was itself found or named invalid, which must be remembered; on which the
// ledger waits to begin. forgotten are those that went; left are those that
// only keep has saved and on which nothing is built any more. The error is one of
// the ledger.
func (c *Chain) ForgetHeaders(ends []consensus.Hash, keep map[consensus.Hash]struct{}) (forgotten, left []consensus.Hash, err error) {
	best := false
	for len(ends) > 0 && err == nil {
		best = c.forgetSome(&ends, keep, &forgotten, &left, &err) || best
	}
	if best {
		c.pokeAll()
	}
	return forgotten, left, err
}

// forgetSome does a part of ForgetHeaders, and reports whether the best header
// has changed.
func (c *Chain) forgetSome(ends *[]consensus.Hash, keep map[consensus.Hash]struct{}, forgotten, left *[]consensus.Hash, failure *error) (best bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.assert()
	if *failure = c.Err(); *failure != nil {
		return false
	}
	doomed := make(map[*node]struct{})
	gone := make(map[*node]int) // children that are doomed
	for len(*ends) > 0 && len(doomed) < maxForgotten {
		n, _ := c.tree.Find((*ends)[0])
		for n != nil && c.needless(n, gone[n]) && len(doomed) < maxForgotten {
			if _, kept := keep[n.Hash()]; kept {
				*left = append(*left, n.Hash())
				break
			}
			if _, again := doomed[n]; again {
				break
			}
			doomed[n] = struct{}{}
			gone[n.Parent()]++
			n = n.Parent()
		}
		if len(doomed) >= maxForgotten && n != nil { // goes on from there
			(*ends)[0] = n.Hash()
		} else {
			*ends = (*ends)[1:]
		}
	}
	*left = slices.DeleteFunc(*left, func(hash consensus.Hash) bool {
		n, _ := c.tree.Find(hash)
		return n == nil || !c.needless(n, gone[n])
	})
	var b batch
	for n := range doomed {
		b.Delete(headerKey(n.Hash()))
		*forgotten = append(*forgotten, n.Hash())
		delete(c.unsaved, n)
	}
	best = c.tree.Forget(slices.Collect(maps.Keys(doomed)))
	if b.Len() > 0 {
		if err := c.store.write(&b, false); err != nil {
			*failure = c.fail(err)
		}
	}
	return best
}

// needless reports whether nothing needs a header but those of its children that
// are gone. The caller holds mu.
func (c *Chain) needless(n *node, gone int) bool {
	switch {
	case n.Parent() == nil || n.Children() > gone || n.Seq() > 0 || c.tree.IsActive(n):
		return false
	case n.IsStored() || n.Own.has(statusUndo|statusPruned|statusAssumed):
		return false
	case n.IsFaulty() && !n.Parent().IsFaulty():
		return false
	}
	return c.awaited == nil || n.Hash() != c.awaited.base
}

// ForgetAllHeaders drops all headers that ForgetHeaders can drop: after a start
// nobody is there who has shown them.
func (c *Chain) ForgetAllHeaders() error {
	var ends []consensus.Hash
	for _, tip := range c.Tips() {
		if !tip.HaveBlock {
			ends = append(ends, tip.Hash)
		}
	}
	_, _, err := c.ForgetHeaders(ends, nil)
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}
