package kernel

import (
	"context"
	"runtime"
	"sync"
	"time"

	"lode/consensus"
)

// Rate is how fast a kernel was.
type Rate struct {
	Kernel          *Kernel
	Versions        uint32  // how many versions of a header it tried with each nonce
	HashesPerSecond float64 // of all threads together
}

// Measure runs each of some kernels on a number of threads for a time, in short
// turns, so that what else the machine does falls on all alike. They may change the
// bits of roll in the version, see Search.Roll; with none each nonce is tried with
// one version.
func Measure(ctx context.Context, kernels []*Kernel, roll uint32, threads int, each time.Duration) ([]Rate, error) {
	const turn = 50 * time.Millisecond
	rates := make([]Rate, len(kernels))
	spent := time.Duration(0)
	for turns := 0; turns == 0 || spent < each; turns++ {
		d := min(turn, each-spent)
		for i, k := range kernels {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rates[i].Kernel, rates[i].Versions = k, k.versions(roll)
			sum := 0.0
			for _, r := range k.rates(roll, threads, d) {
				sum += r
			}
			rates[i].HashesPerSecond += (sum - rates[i].HashesPerSecond) / float64(turns+1)
		}
		spent += d
	}
	return rates, nil
}

func (k *Kernel) versions(roll uint32) uint32 {
	s := k.NewSearch()
	s.Roll(roll)
	return s.Versions()
}

// rates runs k on a number of threads for d and gives each one's hashes a
// second.
func (k *Kernel) rates(roll uint32, threads int, d time.Duration) []float64 {
	rates := make([]float64, threads)
	var wg sync.WaitGroup
	for i := range rates {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			s := k.NewSearch()
			s.Roll(roll)
			var nothing consensus.Target // no hash meets it
			s.Set(consensus.Header{Version: int32(i)}, &nothing)
			began, nonce, hashes := time.Now(), uint32(0), uint64(0)
			for time.Since(began) < d {
				for range s.Headers(nonce, s.Chunk()) {
				}
				nonce += s.Chunk()
				hashes += uint64(s.Chunk()) * uint64(s.Versions())
			}
			rates[i] = float64(hashes) / time.Since(began).Seconds()
		})
	}
	wg.Wait()
	return rates
}

// Fastest is the kernel that was the fastest on one thread for some
// milliseconds with headers of one version, and FastestRolling that with
// several. They measure when they are first called.
var (
	Fastest        = sync.OnceValue(func() *Kernel { return fastest(0) })
	FastestRolling = sync.OnceValue(func() *Kernel { return fastest(VersionBits) })
)

func fastest(roll uint32) *Kernel {
	best, rate := kernels[0], 0.0
	for range 4 { // the best of several: something else may have run meanwhile
		for _, k := range Available() {
			if r := k.rates(roll, 1, time.Millisecond)[0]; r > rate {
				best, rate = k, r
			}
		}
	}
	return best
}
