package p2p

import (
	"encoding/binary"

	"lode/consensus"
)

// recentSet remembers the last few hashes that were added to it: at least half
// of limit and at most limit. It keeps eight bytes of each. To mistake one
// hash for another somebody would have to find a second preimage of 64 bits,
// and would win that one transaction is not passed on by one node.
type recentSet struct {
	limit    int
	new, old map[uint64]struct{}
}

func newRecentSet(limit int) *recentSet {
	return &recentSet{limit: limit, new: make(map[uint64]struct{})}
}

func shortHash(h consensus.Hash) uint64 { return binary.LittleEndian.Uint64(h[:8]) }

func (s *recentSet) add(h consensus.Hash) {
	if len(s.new) >= s.limit/2 {
		s.old, s.new = s.new, make(map[uint64]struct{})
	}
	s.new[shortHash(h)] = struct{}{}
}

func (s *recentSet) has(h consensus.Hash) bool {
	k := shortHash(h)
	if _, ok := s.new[k]; ok {
		return true
	}
	_, ok := s.old[k]
	return ok
}

func (s *recentSet) clear() { s.new, s.old = make(map[uint64]struct{}), nil }
