package chain

import (
	"errors"
	"fmt"

	"lode/consensus"
)

// Reader sees the ledger at one instant, see Chain.Read.
type Reader struct{ c *Chain }

// Read calls f with a view of the ledger that does not change while f runs. f
// must not call methods of the chain itself, and must not take long: no block
// is connected meanwhile.
func (c *Chain) Read(f func(*Reader) error) error {
	defer c.settleLosses()
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.Err(); err != nil {
		return err
	}
	return f(&Reader{c})
}

// Tip is the state after the active tip.
func (r *Reader) Tip() consensus.State { return *r.c.tree.Tip().State() }

// Latest is the latest time that a header may have by this node's clock.
func (r *Reader) Latest() uint32 { return r.c.latest() }

// MedianTime is the median time past of a block of the active chain.
func (r *Reader) MedianTime(height uint32) uint32 {
	return r.c.tree.Active()[height].State().MedianTime()
}

// Coin looks up a coin at the tip; an error is of kind ErrFatal.
func (r *Reader) Coin(o consensus.OutPoint) (consensus.Coin, bool, error) {
	coin, ok, err := r.c.coins.coin(o)
	if err != nil {
		err = r.c.fail(fmt.Errorf("coin %s: %w", o, err))
	}
	return coin, ok, err
}

// Coin looks up a coin at the active tip; an error is of kind ErrFatal.
func (c *Chain) Coin(o consensus.OutPoint) (coin consensus.Coin, ok bool, err error) {
	err = c.Read(func(r *Reader) error {
		coin, ok, err = r.Coin(o)
		return err
	})
	return coin, ok, err
}

// Updates is what happened to the active chain between two instants.
type Updates struct {
	Reverted []*consensus.Block // newest first
	Applied  []*consensus.Block // oldest first
	Point    consensus.Hash     // where the updates end; pass it the next time
	More     bool               // there is more after Point
}

// UpdatesSince lists what leads from the active chain as it was when point was
// its tip to what it is now, up to limit blocks, of which there must be at
// least one. The error is of kind ErrNotFound if point is not known, or if a
// block of the way is not stored, and else of kind ErrFatal: whoever follows the
// chain cannot go on without the block.
func (r *Reader) UpdatesSince(point consensus.Hash, limit int) (Updates, error) {
	u, err := r.updatesSince(point, limit)
	switch {
	case errors.Is(err, ErrDamaged):
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	case err != nil && !errors.Is(err, ErrNotFound):
		err = r.c.fail(err)
	}
	return u, err
}

func (r *Reader) updatesSince(point consensus.Hash, limit int) (u Updates, err error) {
	c := r.c
	n, ok := c.tree.Find(point)
	if !ok {
		return Updates{}, fmt.Errorf("%w: %s", ErrNotFound, point)
	}
	for ; !c.tree.IsActive(n); n = n.Parent() {
		if len(u.Reverted) == limit {
			u.Point, u.More = n.Hash(), true
			return u, nil
		}
		p, err := c.parse(n)
		if err != nil {
			return Updates{}, err
		}
		u.Reverted = append(u.Reverted, p.Block())
	}
	for _, next := range c.tree.Active()[n.Height()+1:] {
		if len(u.Reverted)+len(u.Applied) >= limit {
			u.More = true
			break
		}
		p, err := c.parse(next)
		if err != nil {
			return Updates{}, err
		}
		u.Applied = append(u.Applied, p.Block())
		n = next
	}
	u.Point = n.Hash()
	return u, nil
}
