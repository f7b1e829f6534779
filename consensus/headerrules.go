package consensus

import (
	"fmt"
	"math"
	"slices"
)

// medianSpan is how many blocks the median time past is taken over.
const medianSpan = 11

// State is all that the rules need to know of a chain to judge the header that
// comes next. It is a value: applying a header gives another.
type State struct {
	Hash   Hash // of the tip
	Height uint32
	Time   uint32 // of the tip, Unix seconds
	Work   Work   // of the whole chain, genesis included
	Anchor Anchor

	times   [medianSpan]uint32 // of the last blocks; block h is at h % medianSpan
	signals signals            // of the upgrades
}

// GenesisState is the state after the first block, which no rule judges.
func (r *Rules) GenesisState() State {
	h := &r.genesis.Header
	s := State{Hash: r.genesisHash, Time: h.Time, Work: WorkFromBits(h.Bits)}
	s.Anchor = Anchor{Height: 0, ParentTime: int64(h.Time) - int64(r.TargetSpacing), Bits: h.Bits}
	s.times[0] = h.Time
	s.signals = r.nextSignals(s.signals, h.Version, 0)
	return s
}

// MedianTime is the median time past of the tip (BIP113): the middle of the
// times of the last eleven blocks, or of all if there are fewer.
func (s *State) MedianTime() uint32 {
	n := min(s.Height+1, medianSpan)
	sorted := s.times
	slices.Sort(sorted[:n])
	return sorted[n/2]
}

// NoTimeLimit is a latest time that every header meets.
const NoTimeLimit = math.MaxUint32

// CheckWork applies the one rule that needs nothing but the header: its hash
// meets its own target, which is not above the limit.
func (r *Rules) CheckWork(h *Header) error { return r.CheckWorkOf(h, h.Hash()) }

// CheckWorkOf is CheckWork for a header whose hash is known.
func (r *Rules) CheckWorkOf(h *Header, hash Hash) error {
	target, ok := TargetFromBits(h.Bits)
	if t := r.trace; t != nil {
		t.Rule(ruleWork, "hash", hash, "bits", hex32(h.Bits), "target", target.Hex(), "limit", r.limit.Hex())
	}
	if !ok || target.Gt(&r.limit) || !hash.MeetsTarget(&target) {
		return broken(ErrHighHash, "proof of work failed")
	}
	return nil
}

// ApplyHeader applies the rules of headers to the one that comes after s, and
// gives the state after it. latest is the latest time that the caller's clock
// allows: a node's own rule and no part of the state.
func (r *Rules) ApplyHeader(s State, h *Header, latest uint32) (State, error) {
	if h.Prev != s.Hash {
		return State{}, fmt.Errorf("header with parent %s applied to %s", h.Prev, s.Hash)
	}
	if err := r.CheckWork(h); err != nil {
		return State{}, err
	}
	if err := r.CheckHeader(&s, h, latest); err != nil {
		return State{}, err
	}
	return r.NextState(s, h), nil
}

// CheckHeader is ApplyHeader without proof of work and without a new state, for
// templates that are not mined yet.
func (r *Rules) CheckHeader(s *State, h *Header, latest uint32) error {
	want := r.NextBits(s)
	if t := r.trace; t != nil {
		t.Rule(ruleBits, "bits", hex32(h.Bits), "want", hex32(want))
	}
	if h.Bits != want {
		return broken(ErrDiffBits, "bits are %08x, want %08x", h.Bits, want)
	}
	median := s.MedianTime()
	if t := r.trace; t != nil {
		t.Rule(ruleTimeOld, "time", h.Time, "median", median)
	}
	if h.Time <= median {
		return broken(ErrTimeTooOld, "time %d is not above the median %d", h.Time, median)
	}
	if t := r.trace; t != nil {
		t.Rule(ruleTimeNew, "time", h.Time, "latest", latest)
	}
	if h.Time > latest {
		return broken(ErrTimeTooNew, "time %d is more than %d s ahead of the clock", h.Time, h.Time-latest)
	}
	if t := r.trace; t != nil {
		t.Rule(ruleVersion, "version", h.Version)
	}
	// Versions 2 to 4 announced BIP34, BIP66 and BIP65, all long in force.
	if h.Version < 4 {
		return &RuleError{Kind: ErrVersion, Suffix: fmt.Sprintf("(0x%08x)", uint32(h.Version)), Detail: "want at least 4"}
	}
	return nil
}

// NextState is the state after a header that was already checked, as when a
// node reads its own index.
func (r *Rules) NextState(s State, h *Header) State { return r.NextStateOf(s, h, h.Hash()) }

// NextStateOf is NextState for a header whose hash is known.
func (r *Rules) NextStateOf(s State, h *Header, hash Hash) State {
	next := s
	next.Hash = hash
	next.Height = s.Height + 1
	next.Time = h.Time
	work := WorkFromBits(h.Bits)
	next.Work.Add(&s.Work, &work)
	next.times[next.Height%medianSpan] = h.Time
	next.signals = r.nextSignals(s.signals, h.Version, next.Height)
	if h.Bits == uint32(r.PowLimit) {
		next.Anchor = Anchor{Height: next.Height, ParentTime: int64(s.Time), Bits: h.Bits}
	}
	return next
}
