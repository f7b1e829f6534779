// Package kernel searches nonces: it has several implementations of SHA-256d
// over a block header, of which a machine uses the fastest that it can run.
package kernel

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"lode/consensus"
)

// Kernel is one implementation.
type Kernel struct {
	Name      string
	available bool // on this CPU
	lanes     uint32
	// scan tries batches of as many nonces as there are lanes, from nonce on. It
	// stops behind the first batch with candidates, nonces whose hash has at most
	// the target's most significant word, and gives how many batches were before
	// it and one bit for each candidate.
	scan func(w *work, nonce, batches uint32) (before, candidates uint32)
}

// Chunk is how many nonces to try between looks at what else has happened: they
// take this kernel a quarter of a millisecond or so. It divides 2^32.
func (k *Kernel) Chunk() uint32 { return 512 * k.lanes }

// Search is a kernel at work on one header. It is for one goroutine.
type Search struct {
	*Kernel
	work   *work
	header consensus.Header
	target consensus.Target
}

// NewSearch prepares memory; Set says what to search.
func (k *Kernel) NewSearch() *Search { return &Search{Kernel: k, work: newWork()} }

// Set takes a header, whose nonce is ignored, and the target that its hash must
// meet.
func (s *Search) Set(h consensus.Header, target *consensus.Target) {
	s.header, s.target = h, *target
	s.work.set(&h, target)
}

// Hits tries count nonces from first on and gives each with which the header
// meets the target, in order. Nonces wrap around. A loop over it cannot be
// interrupted between hits, so that count bounds how long it takes.
func (s *Search) Hits(first, count uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		h, lanes := s.header, s.lanes
		for left := uint64(count); left > 0; {
			batches := uint32((left + uint64(lanes) - 1) / uint64(lanes))
			before, candidates := s.scan(s.work, first, batches)
			first += before * lanes
			if candidates == 0 {
				return // all batches were tried
			}
			left -= uint64(before) * uint64(lanes)
			for lane := range uint32(min(uint64(lanes), left)) {
				if candidates>>lane&1 == 0 {
					continue
				}
				h.Nonce = first + lane
				if h.Hash().MeetsTarget(&s.target) && !yield(h.Nonce) {
					return
				}
			}
			first += lanes
			left -= min(left, uint64(lanes))
		}
	}
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
