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
	HashesPerSecond float64 // of all threads together
}

// Measure runs each of some kernels on a number of threads for a time, in short
// turns, so that what else the machine does falls on all alike.
func Measure(ctx context.Context, kernels []*Kernel, threads int, each time.Duration) ([]Rate, error) {
	const turn = 50 * time.Millisecond
	rates := make([]Rate, len(kernels))
	spent := time.Duration(0)
	for turns := 0; turns == 0 || spent < each; turns++ {
		d := min(turn, each-spent)
		for i, k := range kernels {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rates[i].Kernel = k
			sum := 0.0
			for _, r := range k.rates(threads, d) {
				sum += r
			}
			rates[i].HashesPerSecond += (sum - rates[i].HashesPerSecond) / float64(turns+1)
		}
		spent += d
	}
	return rates, nil
}

// rates runs k on a number of threads for d and gives each one's hashes a
// second.
func (k *Kernel) rates(threads int, d time.Duration) []float64 {
	rates := make([]float64, threads)
	var wg sync.WaitGroup
	for i := range rates {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			s := k.NewSearch()
			var nothing consensus.Target // no hash meets it
			s.Set(consensus.Header{Version: int32(i)}, &nothing)
			began, tried := time.Now(), uint32(0)
			for time.Since(began) < d {
				for range s.Hits(tried, k.Chunk()) {
				}
				tried += k.Chunk()
			}
			rates[i] = float64(tried) / time.Since(began).Seconds()
		})
	}
	wg.Wait()
	return rates
}

// Fastest is the kernel that was the fastest on one thread for some
// milliseconds. It measures when it is first called.
var Fastest = sync.OnceValue(func() *Kernel {
	best, rate := kernels[0], 0.0
	for range 4 { // the best of several: something else may have run meanwhile
		for _, k := range Available() {
			if r := k.rates(1, time.Millisecond)[0]; r > rate {
				best, rate = k, r
			}
		}
	}
	return best
})
