package miner

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lode/consensus"
	"lode/miner/kernel"
	"lode/testnet/chaingen"
)

// TestJob cuts the coinbase in halves; with any extra nonce between them it is
// that of a block that the rules accept.
func TestJob(t *testing.T) {
	n := newNode(t, unchanged)
	n.fill(t)
	tmpl := n.assemble(t)
	target, _ := consensus.TargetFromBits(tmpl.Bits)
	outs := []consensus.TxOut{{Value: tmpl.Value - 1, Script: payTo}, {Value: 1, Script: payTo}}
	for _, size := range []int{1, 4, 8} {
		before, after := tmpl.Split([]byte("eight by"), size, outs...)
		job := tmpl.Job(before, after, size, tmpl.Time(time.Now()), target)
		extra := job.extra(0xfe)
		if len(extra) != size || extra[size-1] != 0xfe {
			t.Fatalf("extra nonce %x", extra)
		}
		f := &Found{Job: job, Extra: extra, Header: job.Header(extra)}
		b, err := tmpl.Solve(f)
		if err != nil {
			t.Fatal(err)
		}
		if root, _ := consensus.MerkleRoot(b.TxIDs()); root != b.MerkleRoot {
			t.Errorf("the branch leads to %s, not to %s", b.MerkleRoot, root)
		}
		chaingen.Mine(b)
		if err := n.ledger.AddBlock(b); err != nil {
			t.Errorf("extra nonce of %d bytes: %v", size, err)
		}
	}
}

// hardJob is one whose target nobody meets.
func hardJob(now time.Time) *Job {
	return &Job{Version: 4, Time: uint32(now.Unix()), MaxTime: uint32(now.Unix()) + 7200, Coinbase1: []byte{1}, ExtraSize: 4}
}

// runWorkers runs workers until the test ends.
func runWorkers(t *testing.T, threads int, k *kernel.Kernel) *Workers {
	w := NewWorkers(threads, k)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

// TestWorkers gives threads one job after another: what they find belongs to the
// last, meets its target, and is found once.
func TestWorkers(t *testing.T) {
	w := runWorkers(t, 2, nil)
	w.Work(hardJob(time.Now()))
	eventually(t, "nothing is tried", func() bool { return w.hashes.Load() > 0 })
	easy, _ := consensus.TargetFromBits(0x2000ffff)
	job := hardJob(time.Now())
	const mask = 0x1800e000
	job.Target, job.VersionMask = easy, mask
	w.Work(job)
	rolled := 0
	seen := make(map[consensus.Hash]bool)
	for range 1000 {
		f := <-w.Found()
		want := job.Header(f.Extra)
		want.Nonce, want.Time = f.Header.Nonce, f.Header.Time
		if f.Header.Version != want.Version {
			rolled++
		}
		want.Version ^= (f.Header.Version ^ want.Version) & mask
		hash := f.Header.Hash()
		if f.Job != job || f.Header != want || !hash.MeetsTarget(&easy) || seen[hash] {
			t.Fatalf("a wrong find: %+v", f)
		}
		seen[hash] = true
	}
	if can := kernel.FastestRolling().NewSearch(); rolled == 0 {
		if can.Roll(mask); can.Versions() > 1 {
			t.Error("no version was changed")
		}
	}
	w.Work(nil)
	eventually(t, "the threads go on", func() bool { // what is under way is taken, and then there is no more
		for len(w.Found()) > 0 {
			<-w.Found()
		}
		before := w.hashes.Load()
		time.Sleep(5 * time.Millisecond)
		return w.hashes.Load() == before && len(w.Found()) == 0
	})
	if w.HashRate() < 0 {
		t.Error("negative hash rate")
	}
}

// TestWorkersYield has the threads rest while something else is more important.
func TestWorkersYield(t *testing.T) {
	var busy atomic.Bool
	w := NewWorkers(2, nil)
	w.YieldTo(busy.Load)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { w.Run(ctx) })
	w.Work(hardJob(time.Now()))
	for range 3 {
		before := w.hashes.Load()
		eventually(t, "nothing is tried", func() bool { return w.hashes.Load() > before })
		busy.Store(true)
		eventually(t, "the threads go on", func() bool {
			before := w.hashes.Load()
			time.Sleep(5 * time.Millisecond)
			return w.hashes.Load() == before
		})
		busy.Store(false)
	}
	busy.Store(true) // another job, and the end, do not wait
	old := w.current.Load()
	w.Work(hardJob(time.Now()))
	eventually(t, "a thread stays at the old job", func() bool { return old.working.Load() == 0 })
}

// TestWorkersOnce wants one find only.
func TestWorkersOnce(t *testing.T) {
	w := runWorkers(t, 4, kernel.Available()[0])
	for range 20 {
		job := hardJob(time.Now())
		job.Target, _ = consensus.TargetFromBits(0x207fffff)
		job.Once = true
		w.Work(job)
		if f := <-w.Found(); f.Job != job {
			t.Fatal("a find of another job")
		}
		if w.current.Load() != nil {
			t.Fatal("the job goes on")
		}
	}
	if n := len(w.Found()); n > 0 {
		t.Errorf("%d more finds", n)
	}
}

// TestWorkersTime ends when a header would have to be later than is allowed.
func TestWorkersTime(t *testing.T) {
	w := runWorkers(t, 1, nil)
	job := hardJob(time.Now())
	job.MaxTime = job.Time - 1
	w.Work(job)
	eventually(t, "it goes on", func() bool { return w.current.Load() == nil })
	if w.hashes.Load() != 0 {
		t.Error("something was tried")
	}
}

func TestMeter(t *testing.T) {
	var m meter
	at := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }
	for _, step := range []struct {
		s     float64
		count uint64
		want  float64
	}{{0, 0, 0}, {1, 100, 100}, {2, 300, 150}, {20, 300, 0}, {30, 800, 50}} {
		if got := m.rate(step.count, at(step.s)); got != step.want {
			t.Errorf("after %v s: %v, want %v", step.s, got, step.want)
		}
	}
}

// TestWorkersTimePasses: what is too late for now is not too late for ever.
func TestWorkersTimePasses(t *testing.T) {
	for _, test := range []struct {
		passed time.Duration
		tried  bool
	}{{0, false}, {9 * time.Second, false}, {10 * time.Hour, true}} {
		w := NewWorkers(1, kernel.Available()[0])
		ctx, cancel := context.WithCancel(t.Context())
		job := hardJob(time.Now())
		job.ExtraSize, job.MaxTime = 1, job.Time
		s := &space{Job: job, began: time.Now().Add(-test.passed)}
		s.next.Store(256 * 10) // ten rounds over all extra nonces, each a second later
		w.current.Store(s)
		done := make(chan struct{})
		go func() { defer close(done); w.grind(ctx, w.kernel.NewSearch(), s) }()
		if test.tried {
			eventually(t, "nothing is tried", func() bool { return w.hashes.Load() > 0 })
		}
		if !test.tried {
			<-done
		}
		if tried := w.hashes.Load() > 0; tried != test.tried {
			t.Errorf("after %v: tried %v, want %v", test.passed, tried, test.tried)
		}
		cancel()
		<-done
	}
}
