package chain

import (
	"fmt"
	"math/bits"
	"sync"

	"lode/consensus"
)

// What blocks signal for by bits of their version that no upgrade of the network has
// (BIP9), in windows as long as those of Bitcoin Core's networks for tests.
const (
	signalWindow    = 144 // blocks
	signalThreshold = 108 // of a window lock a change of the rules in
)

// farAhead is by how many blocks' work an invalid chain must be ahead of the active one,
// so that others seem to hold other rules.
const farAhead = 6

// unknownRules is which changes of the rules, unknown to this node, the blocks of a
// chain have decided on. It goes on from the last window that is still part of the
// chain, and looks at each window once.
type unknownRules struct {
	mu    sync.Mutex // guards what follows; Chain.mu may be taken with it held
	marks []signalMark
	told  uint32 // bits of which the log has a line
}

// signalMark is what was decided after a window. A bit is locked in when enough blocks
// of a window have it, and active one window later, for good.
type signalMark struct {
	last             consensus.Hash // of the window's last block
	lockedIn, active uint32         // bits
}

// after is the mark of the window that follows m, in which counts blocks had each bit.
func (m signalMark) after(last consensus.Hash, counts *[32]int) signalMark {
	next := signalMark{last: last, active: m.active | m.lockedIn}
	for bit, n := range counts {
		if n >= signalThreshold {
			next.lockedIn |= 1 << bit &^ next.active
		}
	}
	return next
}

// unknownSignals is the bits of a block's version by which it signals, without those
// that this node would have set itself.
func unknownSignals(version, ours int32) uint32 {
	const top, topMask = 0x20000000, 0xe0000000
	if uint32(version)&topMask != top {
		return 0
	}
	return uint32(version) &^ topMask &^ uint32(ours)
}

// step brings the marks closer to the tip, by some windows at a time; more says whether
// there are more.
func (u *unknownRules) step(c *Chain) (more bool) {
	const together = 64 // windows with the lock of the chain held
	c.mu.RLock()
	defer c.mu.RUnlock()
	active := c.tree.Active()
	for n := len(u.marks); n > 0 && (n*signalWindow > len(active) || active[n*signalWindow-1].Hash() != u.marks[n-1].last); n-- {
		u.marks = u.marks[:n-1]
	}
	for range together {
		first := len(u.marks) * signalWindow
		if first+signalWindow > len(active) {
			return false
		}
		var counts [32]int
		for _, n := range active[max(first, 1) : first+signalWindow] {
			for set := unknownSignals(n.Header().Version, c.rules.BlockVersion(n.Parent().State())); set != 0; set &= set - 1 {
				counts[bits.TrailingZeros32(set)]++
			}
		}
		var before signalMark
		if len(u.marks) > 0 {
			before = u.marks[len(u.marks)-1]
		} else {
			counts = [32]int{} // in Bitcoin Core nothing counts yet in the first window
		}
		u.marks = append(u.marks, before.after(active[first+signalWindow-1].Hash(), &counts))
	}
	return true
}

// active is the bits of the changes that are active, for the block after the tip.
func (u *unknownRules) active(c *Chain) uint32 {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.step(c) {
	}
	if len(u.marks) == 0 {
		return 0
	}
	last := u.marks[len(u.marks)-1]
	for set := last.lockedIn &^ u.told; set != 0; set &= set - 1 {
		c.cfg.Log.Warn("unknown new rules will be activated: see whether there is a newer version of this program",
			"bit", bits.TrailingZeros32(set), "in_blocks", signalWindow)
	}
	u.told |= last.lockedIn
	return last.active
}

// Warnings are what an operator should know of the chain, in Bitcoin Core's sentences:
// that blocks follow rules which this node does not know, or that a chain with much
// more work than the active one is invalid here. They mean little while the node
// downloads the chain for the first time.
func (c *Chain) Warnings() (list []string) {
	for set := c.unknown.active(c); set != 0; set &= set - 1 {
		list = append(list, fmt.Sprintf("Unknown new rules activated (versionbit %d)", bits.TrailingZeros32(set)))
	}
	if c.othersAhead() {
		list = append(list, "Warning: We do not appear to fully agree with our peers! You may need to upgrade, or other nodes may need to upgrade.")
	}
	return list
}

// othersAhead reports whether a chain that broke a rule is far ahead of the tip. What
// the operator has invalidated by name is no sign of anything.
func (c *Chain) othersAhead() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	tip := c.tree.Tip()
	if tip.Parent() == nil {
		return false
	}
	ahead := tip.State().Work
	var own consensus.Work // of the tip itself
	own.Sub(&ahead, &tip.Parent().State().Work)
	for range farAhead {
		ahead.Add(&ahead, &own)
	}
	for n := range c.tree.Tips() {
		if n.IsBroken() && n.State().Work.Gt(&ahead) {
			return true
		}
	}
	return false
}
