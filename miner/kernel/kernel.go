// Package kernel searches nonces: it has several implementations of SHA-256d
// over a block header, of which a machine uses the fastest that it can run.
package kernel

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"strings"

	"lode/consensus"
)

// Kernel is one implementation.
type Kernel struct {
	Name      string
	available bool // on this CPU
	one       scanner
	rolling   *scanner // for several versions of a header; nil if the kernel has none
}

// scanner searches in batches.
type scanner struct {
	lanes       uint32 // nonces in a batch
	least, most uint32 // versions that it can try with each of these, in powers of two
	// scan tries batches from nonce on. It stops behind the first batch with
	// candidates, hashes with at most the target's most significant word, and gives
	// how many batches were before it and one bit for each nonce with candidates.
	// For several versions, each one's candidates are in the work.
	scan func(w *work, nonce, batches uint32) (before, candidates uint32)
}

// chunk is how many nonces to try between looks at what else has happened, each
// with a number of versions: they take a quarter of a millisecond or so. It
// divides 2^32.
func (s *scanner) chunk(versions uint32) uint32 { return max(1, 512/versions) * s.lanes }

// Chunk is how many nonces of one header to try between looks at what else has
// happened: they take this kernel a quarter of a millisecond or so. It divides
// 2^32.
func (k *Kernel) Chunk() uint32 { return k.one.chunk(1) }

// Search is a kernel at work on one header, or on several that differ in their
// version alone: those share what depends on the nonce in their message
// schedule, so that a hash takes less time (the overlapping version rolling of
// BIP320, "overt AsicBoost"). It is for one goroutine.
type Search struct {
	*Kernel
	scanner  *scanner
	roll     uint32 // bits of the version to change
	work     *work
	header   consensus.Header
	target   consensus.Target
	versions []int32
}

// NewSearch prepares memory; Set says what to search.
func (k *Kernel) NewSearch() *Search {
	s := &Search{Kernel: k, work: newWork()}
	s.Roll(0)
	return s
}

// Roll says in which bits of the version headers may differ: RollableBits, or
// those that a pool allows. Others than VersionBits do not count. How many of them
// it changes is the kernel's choice. Set comes after it.
func (s *Search) Roll(mask uint32) {
	s.roll = mask & VersionBits
	s.scanner, s.versions = &s.one, make([]int32, 1)
	if r, can := s.rolling, uint32(1)<<bits.OnesCount32(s.roll); r != nil && can >= r.least {
		s.scanner, s.versions = r, make([]int32, min(can, r.most))
	}
}

// Versions is how many versions of a header are tried with each nonce.
func (s *Search) Versions() uint32 { return uint32(len(s.versions)) }

// Chunk is how many nonces to try between looks at what else has happened: they
// take a quarter of a millisecond or so. It divides 2^32.
func (s *Search) Chunk() uint32 { return s.scanner.chunk(s.Versions()) }

// Set takes a header, whose nonce is ignored, and the target that its hash must
// meet. Its own version is the first to be tried.
func (s *Search) Set(h consensus.Header, target *consensus.Target) {
	s.header, s.target = h, *target
	flip := uint32(0)
	for i := range s.versions {
		s.versions[i] = h.Version ^ int32(flip)
		flip = (flip - s.roll) & s.roll // the next subset of the bits
	}
	s.work.set(h, target, s.versions)
}

// Hits is Headers for a search of one version: it gives the nonces.
func (s *Search) Hits(first, count uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for h := range s.Headers(first, count) {
			if !yield(h.Nonce) {
				return
			}
		}
	}
}

// Headers tries count nonces from first on, each with all versions, and gives the
// headers that meet the target, in the order of the nonces. Nonces wrap around.
// A loop over it cannot be interrupted between hits, so that count bounds how
// long it takes.
func (s *Search) Headers(first, count uint32) iter.Seq[consensus.Header] {
	return func(yield func(consensus.Header) bool) {
		lanes := s.scanner.lanes
		for left := uint64(count); left > 0; {
			batches := uint32((left + uint64(lanes) - 1) / uint64(lanes))
			before, candidates := s.scanner.scan(s.work, first, batches)
			first += before * lanes
			if candidates == 0 {
				return // all batches were tried
			}
			left -= uint64(before) * uint64(lanes)
			for lane := range uint32(min(uint64(lanes), left)) {
				if candidates>>lane&1 != 0 && !s.check(first+lane, lane, yield) {
					return
				}
			}
			first += lanes
			left -= min(left, uint64(lanes))
		}
	}
}

// check hashes the candidates among the headers with a nonce. It says whether to
// go on.
func (s *Search) check(nonce, lane uint32, yield func(consensus.Header) bool) bool {
	for i, version := range s.versions {
		if len(s.versions) > 1 && s.work.version[i].found>>lane&1 == 0 {
			continue
		}
		h := s.header
		h.Version, h.Nonce = version, nonce
		if h.Hash().MeetsTarget(&s.target) && !yield(h) {
			return false
		}
	}
	return true
}

// ErrKernel is the kind of error for a kernel that does not exist, or that the
// CPU cannot run.
var ErrKernel = errors.New("kernel")

// Available are the kernels that this CPU can run, the plainest first.
func Available() []*Kernel {
	var can []*Kernel
	for _, k := range kernels {
		if k.available {
			can = append(can, k)
		}
	}
	return can
}

// ByName finds an available kernel.
func ByName(name string) (*Kernel, error) {
	var names []string
	for _, k := range Available() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return nil, fmt.Errorf("%w %q: this machine has %s", ErrKernel, name, strings.Join(names, ", "))
}
