// Package sigcheck runs the signature checks that the rules collect: many in
// one batch, on all cores, and none that was seen to succeed before.
package sigcheck

import (
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"sync"
	"sync/atomic"

	"lode/consensus"
)

const (
	// maxBatch bounds the memory of a batch, about 4 MB. Larger ones gain little.
	maxBatch = 4096
	// minBatch is what is worth a core of its own.
	minBatch = 32
	// oneByOne is where the search for what is wrong with a batch ends.
	oneByOne = 4
	// chunk is how many checks a core takes at once to hash and look them up.
	chunk = 64
)

// Checker verifies signatures and remembers the valid ones. It may be used from
// several goroutines.
type Checker struct {
	workers int
	// salt makes what the cache is asked for unpredictable from outside.
	salt          [32]byte
	cache         cache
	disagreements atomic.Uint64
}

// New gives a checker that uses all cores and remembers up to size valid
// signatures.
func New(size int) *Checker {
	c := &Checker{workers: runtime.GOMAXPROCS(0), cache: cache{size: size}}
	rand.Read(c.salt[:])
	return c
}

// Verify runs all checks, and remembers the signatures that are valid. The
// error is that of the first failing one in order, a *consensus.RuleError,
// whichever core found it.
func (c *Checker) Verify(checks []consensus.SpendCheck) error {
	_, err := c.verify([][]consensus.SpendCheck{checks}, c.cache.add)
	return err
}

// VerifyBlocks runs the checks of several blocks together: large batches cost
// less. The error is that of the first failing one in order, and block says
// whose it is; the blocks before that are valid. Unlike Verify it remembers
// nothing: nobody asks again for what is in a block, and it would push out what
// the mempool has seen.
func (c *Checker) VerifyBlocks(blocks [][]consensus.SpendCheck) (block int, err error) {
	return c.verify(blocks, func([]item) {})
}

// Disagreements counts the batches that failed though btcec found every
// signature in them valid. It is 0 unless the arithmetic here has a bug; the
// signatures were accepted.
func (c *Checker) Disagreements() uint64 { return c.disagreements.Load() }

// verify runs all checks and says which group has the first that fails.
func (c *Checker) verify(groups [][]consensus.SpendCheck, remember func([]item)) (group int, err error) {
	r := runs.Get().(*run)
	defer r.release()
	r.checker, r.remember = c, remember
	for g, checks := range groups {
		for i := range checks {
			r.checks = append(r.checks, &checks[i])
			r.groups = append(r.groups, g)
		}
	}
	for start := 0; start < len(r.checks); start += maxBatch * c.workers {
		end := min(start+maxBatch*c.workers, len(r.checks))
		if failed, err := r.verify(r.checks[start:end]); err != nil {
			return r.groups[start+failed], err
		}
	}
	return len(groups), nil
}

// run is one call of Verify. Its memory is kept for the next one.
type run struct {
	checker  *Checker
	remember func([]item)
	checks   []*consensus.SpendCheck
	groups   []int

	items []item // what is to be verified, in order

	failed atomic.Int64 // the lowest index that is known to fail
	mu     sync.Mutex   // guards changes of failed, and err
	err    error
}

var runs = sync.Pool{New: func() any { return new(run) }}

// release gives the memory back, without holding on to transactions.
func (r *run) release() {
	clear(r.checks)
	r.checks, r.groups = r.checks[:0], r.groups[:0]
	r.checker, r.remember, r.err = nil, nil, nil
	runs.Put(r)
}

// fail takes note that the check at index i fails.
func (r *run) fail(i int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if int64(i) < r.failed.Load() {
		r.failed.Store(int64(i))
		r.err = err
	}
}

// verify runs checks, which are few enough for one batch a core.
func (r *run) verify(checks []*consensus.SpendCheck) (failed int, err error) {
	r.err = nil
	r.failed.Store(int64(len(checks)))
	r.items = grow(r.items, len(checks))
	parallel(r.checker.workers, (len(checks)+chunk-1)/chunk, func(i int) {
		r.prepare(checks, i*chunk, min((i+1)*chunk, len(checks)))
	})
	left := r.items[:0]
	for _, it := range r.items[:r.failed.Load()] {
		if !it.known {
			left = append(left, it)
		}
	}
	r.share(checks, left)
	return int(r.failed.Load()), r.err
}

// share verifies items on all cores, a batch on each.
func (r *run) share(checks []*consensus.SpendCheck, items []item) {
	batches := min(r.checker.workers, (len(items)+minBatch-1)/minBatch)
	parallel(batches, batches, func(i int) {
		r.search(checks, items[i*len(items)/batches:(i+1)*len(items)/batches])
	})
}

// prepare finds out what there is to verify for the checks from start to end.
func (r *run) prepare(checks []*consensus.SpendCheck, start, end int) {
	for i := start; i < end; i++ {
		if int64(i) >= r.failed.Load() {
			return // what is behind a failure does not matter
		}
		sig, err := checks[i].Signature()
		if err != nil {
			r.fail(i, err)
			return
		}
		r.items[i] = item{Signature: sig, id: r.checker.id(&sig), index: i}
	}
	r.checker.cache.look(r.items[start:end])
}

// search verifies items and finds the first that is invalid: if all of them
// together fail it looks into the first half, then into the other one. What it
// names in the end was refused by btcec, alone.
func (r *run) search(checks []*consensus.SpendCheck, items []item) (ok bool) {
	if len(items) == 0 || int64(items[0].index) > r.failed.Load() {
		return true
	}
	if verifyBatch(items) {
		r.remember(items)
		return true
	}
	if half := len(items) / 2; len(items) > oneByOne {
		if !r.search(checks, items[:half]) || !r.search(checks, items[half:]) {
			return false
		}
	} else {
		for i := range items {
			if it := &items[i]; !it.Verify() {
				r.fail(it.index, checks[it.index].Invalid())
				return false
			}
		}
		r.remember(items)
	}
	if int64(items[len(items)-1].index) < r.failed.Load() { // nothing was left out
		r.checker.disagreements.Add(1)
	}
	return true
}

// id is a hash of all that s consists of, for the cache.
func (c *Checker) id(s *consensus.Signature) consensus.Hash {
	var b [160]byte
	copy(b[:], c.salt[:])
	copy(b[32:], s.Key[:])
	copy(b[64:], s.Message[:])
	copy(b[96:], s.Sig[:])
	return sha256.Sum256(b[:])
}

// parallel calls f(0) to f(n−1) from several goroutines, and returns when all
// are done.
func parallel(workers, n int, f func(i int)) {
	if workers = min(workers, n); workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var (
		next atomic.Int64
		wg   sync.WaitGroup
	)
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
}
