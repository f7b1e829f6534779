package consensus

import "github.com/holiman/uint256"

// Anchor is the block from which ASERT reckons the target of its descendants.
// It moves to every block whose target is the limit, so that a chain that
// slept does not owe the blocks of its sleep.
type Anchor struct {
	Height     uint32
	ParentTime int64 // Unix seconds; for genesis, one spacing before its own
	Bits       uint32
}

// NextBits is the compact target that the block after s must have.
func (r *Rules) NextBits(s *State) uint32 {
	if r.Difficulty.Algorithm != AlgorithmASERT {
		return uint32(r.PowLimit)
	}
	anchor, _ := TargetFromBits(s.Anchor.Bits) // checked when it became the anchor
	t := asertTarget(&anchor, &r.limit,
		int64(s.Time)-s.Anchor.ParentTime, int64(s.Height-s.Anchor.Height),
		int64(r.TargetSpacing), int64(r.Difficulty.HalfLife))
	return BitsFromTarget(t)
}

// asertTarget is aserti3-2d, as published for Bitcoin Cash in November 2020
// (upgradespecs.bitcoincashnode.org/2020-11-15-asert): the anchor's target
// doubles for every half-life by which the chain is late, and halves for every
// half-life by which it is early, with 2^x in 16.16 fixed point by a cubic.
// Times and spacings are in seconds; heightDelta is the height of the tip above
// the anchor.
func asertTarget(anchor, limit *Target, timeDelta, heightDelta, spacing, halfLife int64) Target {
	// Go divides with truncation toward zero, as the published algorithm does.
	exponent := (timeDelta - spacing*(heightDelta+1)) * 65536 / halfLife
	shifts, frac := exponent>>16, uint64(exponent&0xffff)
	factor := 65536 + (195766423245049*frac+971821376*frac*frac+5127*frac*frac*frac+1<<47)>>48

	// The target is anchor * factor * 2^(shifts-16), at least 1 and at most
	// the limit.
	var t Target
	f := uint256.NewInt(factor)
	if down := 16 - shifts; down >= 0 {
		const widest = 255 // 2^255 is the largest power of two that fits
		first := min(down, widest)
		divisor := new(uint256.Int).Lsh(uint256.NewInt(1), uint(first))
		if _, overflow := t.MulDivOverflow(anchor, f, divisor); overflow {
			return *limit
		}
		t.Rsh(&t, uint(min(down-first, 256)))
	} else {
		up := -down
		if _, overflow := t.MulOverflow(anchor, f); overflow || up > int64(256-t.BitLen()) {
			return *limit
		}
		t.Lsh(&t, uint(up))
	}
	switch {
	case t.IsZero():
		return *t.SetOne()
	case t.Gt(limit):
		return *limit
	}
	return t
}
